//! Directives of nginx that this does not have yet: TLS, newer protocols, proxying, compression, authentication,
//! limits. A configuration may have them, with nginx's contexts and numbers of arguments; a warning says what they mean
//! until they work. Nothing that would protect something is passed over: see `note`.

mod families;
mod others;
mod tls;

use conf::{Diagnostic, Directive};

use super::Handler;
use super::arguments::{check, text};
use super::build::Setter;
use super::row::Row;
use crate::variables::registry::Source;

/// The table: families of names, then TLS and protocols, then the others.
pub const ROWS: &[Row] = &joined::<{ count(PARTS) }>(PARTS);

const PARTS: &[&[Row]] = &[
    families::PROXY,
    families::PROXY_COMMON,
    families::PROXY_ANSWERS,
    families::PROXY_BUFFERED,
    families::PROXY_TLS,
    families::FASTCGI,
    families::FASTCGI_COMMON,
    families::FASTCGI_ANSWERS,
    families::FASTCGI_BUFFERED,
    families::UWSGI,
    families::UWSGI_COMMON,
    families::UWSGI_ANSWERS,
    families::UWSGI_BUFFERED,
    families::UWSGI_TLS,
    families::SCGI,
    families::SCGI_COMMON,
    families::SCGI_ANSWERS,
    families::SCGI_BUFFERED,
    families::GRPC,
    families::GRPC_COMMON,
    families::GRPC_ANSWERS,
    families::GRPC_TLS,
    families::MEMCACHED,
    families::MEMCACHED_COMMON,
    families::TUNNEL,
    families::TUNNEL_COMMON,
    tls::SSL,
    tls::PROTOCOLS,
    tls::ACME,
    others::COMPRESSION,
    others::PROTECTION,
    others::UPSTREAM,
    others::REST,
];

const fn count(parts: &[&[Row]]) -> usize {
    let (mut part, mut all) = (0, 0);
    while part < parts.len() {
        all += parts[part].len();
        part += 1;
    }
    all
}

const fn joined<const N: usize>(parts: &[&[Row]]) -> [Row; N] {
    let mut rows = [parts[0][0]; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            rows[at] = parts[part][index];
            (at, index) = (at + 1, index + 1);
        }
        part += 1;
    }
    rows
}

/// Rows, one a line: `"NAME" CONTEXTS (LEAST, MOST) "SYNTAX" "DEFAULT" "DOCUMENTATION" => ACTION(ARGUMENT), repeats;`
/// Names begin with the prefix.
macro_rules! rows {
    ($prefix:literal $($name:literal $contexts:ident ($least:expr, $most:expr) $syntax:literal $default:literal $doc:literal
        => $action:ident($what:expr) $(, $repeats:ident)?;)*) => {
        &[$(Row::new(concat!($prefix, $name), $contexts, ($least, $most), $syntax, $default, $doc, Action::$action($what))
            $(.$repeats())?),*]
    };
}
use rows;

/// Directives whose work is to answer.
const HANDLERS: [&str; 7] =
    ["fastcgi_pass", "grpc_pass", "memcached_pass", "proxy_pass", "scgi_pass", "tunnel_pass", "uwsgi_pass"];

/// Directives that keep requests out, unless they say `off`.
const PROTECTIONS: [&str; 2] = ["auth_basic", "auth_request"];

/// Whether a directive says only what holds anyway, like `gzip off`: no warning is due.
pub fn is_default(row: &Row, it: &Directive) -> bool {
    let mut words = row.default.split(' ');
    it.args.iter().all(|word| words.next() == Some(&word.text)) && words.next().is_none()
}

/// Checks an argument whose kind the syntax tells.
pub fn check(row: &Row, it: &Directive) -> Result<(), Diagnostic> {
    if it.args.iter().any(|word| word.text.contains('$')) {
        return Ok(());
    }
    match row.syntax {
        "on | off" => check::flag(it),
        "NUMBER" => check::number(it),
        "SIZE" => check::offset(it),
        "TIME" => check::time(it).or_else(|problem| conf::time_s(text(it, 0)).map(drop).ok_or(problem)),
        "NUMBER SIZE" => check::buffers(it),
        _ => Ok(()),
    }
}

/// What a directive of this table means for the block it stands in: what should have answered is known by name, so that
/// it can be told; and where something should have protected, nothing is answered. Inner blocks have that, too, until
/// they say `off`.
pub fn note(s: &mut Setter<'_>) {
    let (name, value) = (s.name(), text(s.it, 0));
    if let Some(handler) = HANDLERS.into_iter().find(|handler| *handler == name) {
        let own = &mut s.block.own.location;
        own.handler = Handler::Later(handler);
        own.handled_by = Some(handler);
    } else if let Some(protection) = PROTECTIONS.into_iter().find(|protection| *protection == name) {
        protect(s, protection, value != "off");
    } else if name == "ssl_verify_client" {
        protect(s, "ssl_verify_client", value == "on");
    } else if name == "resolver" {
        let parameters = ["valid=", "ipv4=", "ipv6=", "status_zone="];
        if s.it.args.iter().all(|word| parameters.iter().any(|parameter| word.text.starts_with(parameter))) {
            s.make.problems.push(Diagnostic::of(s.it, "no name servers defined"));
        }
    } else if matches!(name, "auth_request_set" | "json_set") {
        match value.strip_prefix('$') {
            Some(variable) if !variable.is_empty() => {
                s.make.registry.define(variable, Source::Assigned, &s.it.name.at);
            }
            _ => s.make.problems.push(Diagnostic::of(s.it, format!("invalid variable name \"{value}\""))),
        }
    }
}

fn protect(s: &mut Setter<'_>, name: &'static str, on: bool) {
    let unsupported = &mut s.block.own.location.unsupported;
    unsupported.retain(|other| *other != name);
    if on {
        unsupported.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Built, Config, Place};
    use super::*;

    fn build(http: &str) -> Built {
        let tree = conf::parse_alone("test", &format!("http {{ {http} }}")).unwrap_or_else(|p| panic!("{p:?}"));
        Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// What keeps requests out of each location: its name, the directive.
    fn protected(http: &str) -> Vec<(String, Option<&'static str>)> {
        let locations = build(http).config.locations;
        locations.iter().map(|location| (location.name.to_string(), location.unsupported)).collect()
    }

    fn warnings(http: &str) -> Vec<String> {
        build(http).warnings.into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn what_should_protect_closes_inner_blocks_too() {
        let found = protected(
            "server { auth_basic x; location /a { location /a/b { auth_basic off; } } location /c { auth_basic off; \
             if ($uri) { } } location /d { limit_except GET { auth_basic x; } } }",
        );
        assert_eq!(found[0], (String::new(), Some("auth_basic")));
        for (name, unsupported) in &found[1..] {
            let open = name == "/a/b" || name == "/c";
            assert_eq!(unsupported.is_none(), open, "{name}: {unsupported:?}");
        }
        let found = protected("server { location /d { limit_except GET { auth_basic x; } } }");
        let of_d: Vec<_> = found.iter().filter(|(name, _)| name == "/d").map(|(_, unsupported)| *unsupported).collect();
        assert_eq!(of_d, [None, Some("auth_basic")]);
    }

    #[test]
    fn taking_one_protection_away_leaves_the_other() {
        let found = protected("auth_basic x; auth_request /auth; server { location / { auth_basic off; } }");
        assert_eq!(found[1], ("/".to_owned(), Some("auth_request")));
        let found = protected("server { ssl_verify_client on; location / { } } server { ssl_verify_client optional; }");
        let all: Vec<_> = found.iter().map(|(_, unsupported)| *unsupported).collect();
        assert_eq!(all, [Some("ssl_verify_client"), Some("ssl_verify_client"), None]);
    }

    #[test]
    fn there_is_no_short_way_past_protection() {
        let only = |http: &str| build(http).config.servers[0].only.is_some();
        assert!(only("server { location / { python_pass app; } }"));
        assert!(!only("auth_basic x; server { location / { python_pass app; } }"));
        assert!(!only("server { deny all; location / { python_pass app; } }"));
        assert!(!only("server { location / { python_pass app; limit_except GET { deny all; } } }"));
        assert!(!only("set_real_ip_from 1.1.1.1; server { location / { python_pass app; } }"));
        assert!(!only("server { location / { python_pass app; userid on; } }"));
        assert!(!only("server { location / { python_pass app; if ($uri) { return 403; } } }"));
        assert!(!only("server { return 404; location / { python_pass app; } }"));
        assert!(only("server { add_header A b; client_max_body_size 1; location / { python_pass app; expires 1h; } }"));
    }

    #[test]
    fn handlers_are_known_by_name() {
        let config = build("server { location / { proxy_pass http://a; if ($uri) { fastcgi_pass a; } } }").config;
        let handlers: Vec<_> = config.locations.iter().map(|location| location.handler).collect();
        assert!(handlers.contains(&Handler::Later("proxy_pass")), "{handlers:?}");
        assert!(handlers.contains(&Handler::Later("fastcgi_pass")), "{handlers:?}");
        assert_eq!(handlers[0], Handler::Files);
    }

    #[test]
    fn one_warning_for_a_name_and_none_for_what_holds_anyway() {
        let found = warnings("gzip on; server { gzip on; }");
        assert_eq!(found, ["\"gzip\" is not supported yet: answers are not compressed"]);
        assert!(warnings("gzip off; gzip_http_version 1.1; proxy_buffers 4 8k; auth_basic off; server { }").is_empty());
    }

    #[test]
    fn variables_that_it_would_set_are_defined() {
        build("server { location / { auth_request_set $who $upstream_http_x; add_header X $who; } }");
    }

    #[test]
    fn values_are_checked() {
        for (http, why) in [
            ("gzip perhaps;", "invalid value \"perhaps\" in \"gzip\" directive, it must be \"on\" or \"off\""),
            ("auth_delay x;", "\"auth_delay\" directive invalid value"),
            ("proxy_read_timeout 1x;", "\"proxy_read_timeout\" directive invalid value"),
            ("proxy_buffers 0 8k;", "\"proxy_buffers\" directive invalid value"),
            ("resolver valid=1s;", "no name servers defined"),
        ] {
            let tree = conf::parse_alone("test", &format!("http {{ {http} }}")).unwrap_or_else(|p| panic!("{p:?}"));
            let problems = Config::build(&tree, &Place::default()).err().unwrap_or_default();
            assert!(problems.iter().any(|problem| problem.message == why), "{http}: {problems:?}");
        }
    }

    #[test]
    fn names_stand_in_one_family() {
        let mut seen = std::collections::HashSet::new();
        for row in ROWS {
            assert!(seen.insert((row.name, row.contexts.to_string())), "{}", row.name);
        }
        assert_eq!(ROWS.len(), count(PARTS));
    }
}
