//! Directives that make the structure: blocks, what servers listen at and are called, how locations are entered.

use super::arguments::check;
use super::context::Context;
use super::context::sets::*;
use super::listen;
use super::names::ServerName;
use super::row::Action::{Open, Set, Tuning};
use super::row::{MANY, Row};

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("defaults", M, (1, 1), "nginx | modern", "nginx",
        "Which defaults hold for what the configuration does not say: nginx's, or with `modern` those of this \
         program where nginx's are dated.",
        Set(|s| s.one_of(0, &[("nginx", ()), ("modern", ())]))),
    Row::new("events", M, (0, 0), "{ ... }", "", "The block with settings of how workers handle connections. It must be there, and may be empty.", Open(Context::Events)),
    Row::new("http", M, (0, 0), "{ ... }", "", "The block with everything about serving HTTP.", Open(Context::Http)),
    Row::new("if", S, (1, MANY), "(CONDITION) { ... }", "", "Commands for requests that a condition holds for.",
        Open(Context::ServerIf)).repeats(),
    Row::new("if", L, (1, MANY), "(CONDITION) { ... }", "",
        "Commands and settings for requests that a condition holds for.", Open(Context::LocationIf)).repeats(),
    Row::new("include", M, (1, 1), "FILE | PATTERN", "",
        "Reads a file here, or several; may stand in any block. Relative names count from the configuration file.",
        Tuning(check::anything)).repeats(),
    Row::new("internal", L, (0, 0), "", "", "The location serves only requests that the server itself sends there (`error_page`, `try_files`, \
         `rewrite`, X-Accel-Redirect); clients get 404.",
        Set(|s| { s.block.own.location.internal = true; Ok(()) })),
    Row::new("limit_except", L, (1, MANY), "METHOD ... { ... }", "", "What holds for requests with other methods than these, mostly `deny` or `auth_basic`. GET stands for \
         HEAD, too.",
        Open(Context::LimitExcept)),
    Row::new("listen", S, (1, MANY), "ADDRESS[:PORT] | PORT | unix:PATH [PARAMETER ...]", "*:80 | *:8000",
        "The address and port, or the unix socket, that the server takes connections at. Among servers of the \
         same address, `server_name` decides, and the one with `default_server` (or the first) is for all other \
         names.",
        Set(|s| {
            let parsed = listen::parse(&s.it.args)?;
            if parsed.options.http2 {
                let old = "the \"listen ... http2\" directive is deprecated, use the \"http2\" directive instead";
                let warning = s.wrong(old);
                s.make.warn(warning);
            }
            let at = s.it.name.at.clone();
            s.block.own.server.listens.push((parsed, at));
            Ok(())
        })).repeats(),
    Row::new("location", SL, (1, 2), "[= | ^~ | ~ | ~*] URI { ... } | $VARIABLE { ... } | @NAME { ... }", "",
        "What holds for requests of a path: `=` exactly this one, a prefix (the longest wins), `^~` a prefix before which regular \
         expressions are not looked at, `~` and `~*` regular expressions with and without regard to case, in their order. `@NAME` \
         is for redirects of the server's own. `$VARIABLE` is for any path, after the regular expressions, while the variable is \
         neither empty nor 0.",
        Open(Context::Location)).repeats(),
    Row::new("server", H, (0, 0), "{ ... }", "", "A virtual server: its addresses (`listen`), its names (`server_name`), and what it serves (`location`).", Open(Context::Server)).repeats(),
    Row::new("server_name", S, (1, MANY), "NAME ...", "\"\"",
        "The server's names: exact, `*.example.org`, `www.example.*`, `.example.org` (with and without something before), `~REGEX`, `\"\"` \
         (requests without Host).",
        Set(|s| {
            let hostname = crate::sys::process::host_name();
            for word in &s.it.args {
                let name = ServerName::parse(&word.text, &hostname).map_err(|why| s.wrong(why))?;
                if let Some(warning) = name.suspicious() {
                    s.make.warn(conf::Diagnostic::new(word.at.clone(), warning));
                }
                if let Some(regex) = name.regex() {
                    super::pattern::announce(regex, &word.at, &mut s.make.registry);
                }
                s.block.own.server.names.push((name, word.at.clone()));
            }
            Ok(())
        })).repeats(),
    Row::new("try_files", SL, (2, MANY), "FILE ... URI | @NAME | =CODE", "",
        "Looks for the FILEs in this order (with a slash at its end, for a directory) and answers with the first \
         that exists. If none does, the request goes to the last argument: a path, a named location, or an answer \
         of status CODE.",
        Set(crate::handlers::files::try_files::set)),
];
