//! The directives about applications: which one answers, and how requests get to it.

use std::sync::Arc;

use conf::{Diagnostic, Directive};

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Table};
use crate::config::row::Row;
use crate::config::{AppSpec, Handler, Interface, WebSocket};

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    /// Read bodies whole before the application is called.
    pub request_buffering: bool,
    /// Requests of one worker that may be in the application's hands at a time; more are answered 503. 0 = no limit.
    pub limit_concurrency: u32,
    pub websocket: WebSocket,
    /// The path that the application is mounted under, without a slash at its end; empty = none.
    pub root_path: Arc<str>,
    /// The location's prefix, where the application is mounted there: without a slash at its end; empty = it is not.
    pub mount: Arc<str>,
    /// The application sees paths as they were sent, not as locations see them.
    pub raw_path: bool,
    /// Answers of 300 and more of the application are shown by `error_page`.
    pub intercept_errors: bool,
    /// The X-Accel-* fields of its answers are obeyed, and taken out.
    pub accel: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            request_buffering: true,
            limit_concurrency: 0,
            websocket: WebSocket::default(),
            root_path: "".into(),
            mount: "".into(),
            raw_path: false,
            intercept_errors: false,
            accel: true,
        }
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("limit_concurrency", HSL, (1, 1), "NUMBER", "0",
        "How many requests of a worker the application may have at a time; more are answered 503. 0 = no limit.",
        Set(|s| { let n = s.number(0)?; s.settings().app.limit_concurrency = u32::try_from(n).unwrap_or(u32::MAX); Ok(()) })),
    Row::new("python_accel", HSL, (1, 1), "on | off", "on",
        "Whether X-Accel-Redirect and the other X-Accel fields of an application's answers are obeyed; otherwise they are passed on.",
        Set(|s| s.set_flag(|x| &mut x.app.accel))),
    Row::new("python_app", H, (1, 1), "NAME { ... }", "",
        "Names an application for `python_pass`. In it: `module MODULE[:CALLABLE]`, `home VENV`, `chdir DIRECTORY`, `path DIRECTORY`, \
         `threads NUMBER`, `interface auto | wsgi | asgi`, `env NAME VALUE`, `root_path PATH`, `max_requests NUMBER`, `timeout TIME`.",
        Table(python_app)).repeats(),
    Row::new("python_intercept_errors", HSL, (1, 1), "on | off", "off",
        "Whether an application's answers of status 300 and more are shown by `error_page`.",
        Set(|s| s.set_flag(|x| &mut x.app.intercept_errors))),
    Row::new("python_mount", LI, (1, 1), "on | off", "off",
        "Whether the location's prefix is where the application is mounted: SCRIPT_NAME, `root_path`.",
        Set(python_mount)),
    Row::new("python_pass", LIX, (1, 1), "MODULE[:CALLABLE] | NAME", "", "Answers by a Python application, WSGI or ASGI, that runs in the worker itself: the CALLABLE of MODULE, \
         or what a `python_app` block names.", Set(python_pass)),
    Row::new("python_raw_path", HSL, (1, 1), "on | off", "off",
        "Whether an application sees paths as clients sent them; otherwise as `location` does: without `..`, doubled slashes or \
         escapes that hide them, so that it cannot be led past what locations protect.",
        Set(|s| s.set_flag(|x| &mut x.app.raw_path))),
    Row::new("python_request_buffering", HSL, (1, 1), "on | off", "on",
        "Whether a request's body is read whole before the application is called; `off` calls at once and streams it.",
        Set(|s| s.set_flag(|x| &mut x.app.request_buffering))),
    Row::new("root_path", HSL, (1, 1), "PATH", "", "The path that applications are mounted under, as a proxy before this server has it.",
        Set(|s| { let path = s.text(0).trim_end_matches('/').into(); s.settings().app.root_path = path; Ok(()) })),
    Row::new("websocket", HSL, (1, 1), "on | off", "on", "Whether WebSocket handshakes are taken; `off` leaves them ordinary requests.",
        Set(|s| s.set_flag(|x| &mut x.app.websocket.enabled))),
    Row::new("websocket_deflate", HSL, (1, 1), "on | off", "on", "Whether WebSocket messages may be compressed.",
        Set(|s| s.set_flag(|x| &mut x.app.websocket.deflate))),
    Row::new("websocket_max_queue", HSL, (1, 1), "NUMBER", "32",
        "How many messages of a WebSocket may wait for the application before its client is read no further.",
        Set(|s| { let n = s.number(0)? as usize; s.settings().app.websocket.max_queue = n; Ok(()) })),
    Row::new("websocket_max_size", HSL, (1, 1), "SIZE", "16m",
        "The longest message taken from a WebSocket; a longer one closes it with code 1009. 0 = no limit.",
        Set(|s| {
            let most = match s.size(0)? {
                0 => usize::MAX,
                size => usize::try_from(size).unwrap_or(usize::MAX),
            };
            s.settings().app.websocket.max_size = most;
            Ok(())
        })),
    Row::new("websocket_ping_interval", HSL, (1, 1), "TIME", "20s", "How often a WebSocket's client is pinged. 0 = never.",
        Set(|s| s.set_ms(|x| &mut x.app.websocket.ping_interval))),
    Row::new("websocket_ping_timeout", HSL, (1, 1), "TIME", "20s", "How long a pong may take before the WebSocket is closed. 0 = no limit.",
        Set(|s| s.set_ms(|x| &mut x.app.websocket.ping_timeout))),
];

fn python_pass(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = s.text(0).to_owned();
    if name.is_empty() {
        return Err(s.wrong("\"python_pass\" names no application").hint("for example `python_pass shop.wsgi;`"));
    }
    let at = s.it.name.at.clone();
    let named = s.make.named_apps.get(&name).copied();
    let known = named.or_else(|| s.make.apps.iter().position(|app| app.module == name && !app.is_named));
    let index = known.unwrap_or_else(|| {
        s.make.apps.push(AppSpec { at, ..AppSpec::of(&name) });
        s.make.apps.len() - 1
    });
    s.handler(Handler::App(index))
}

fn python_mount(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let on = s.flag()?;
    let prefix = s.block.own.location.prefix().unwrap_or_default();
    if on && !prefix.starts_with('/') {
        return Err(s
            .wrong("\"python_mount\" needs a location with a prefix")
            .hint("for example `location /shop/ { ... }`"));
    }
    let mount = if on { prefix.trim_end_matches('/').into() } else { "".into() };
    s.settings().app.mount = mount;
    Ok(())
}

fn python_app(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = s.text(0).to_owned();
    let mut app = AppSpec { at: s.it.name.at.clone(), is_named: true, ..AppSpec::of("") };
    let mut problems = Vec::new();
    for it in s.it.block.iter().flatten() {
        if let Err(problem) = setting(&mut app, it) {
            problems.push(problem);
        }
    }
    if app.module.is_empty() && problems.is_empty() {
        problems
            .push(s.wrong(format!("python_app \"{name}\" has no \"module\"")).hint("for example `module shop.wsgi;`"));
    }
    if s.make.named_apps.contains_key(&name) {
        problems.push(s.wrong(format!("duplicate python_app \"{name}\"")));
    }
    s.make.problems.append(&mut problems);
    // A location before this block may have taken the name for a module's.
    match s.make.apps.iter().position(|known| known.module == name && !known.is_named) {
        Some(index) => {
            s.make.apps[index] = app;
            s.make.named_apps.insert(name, index);
        }
        None => {
            s.make.apps.push(app);
            s.make.named_apps.insert(name, s.make.apps.len() - 1);
        }
    }
    Ok(())
}

const SETTINGS: [&str; 10] =
    ["module", "home", "chdir", "path", "threads", "interface", "env", "root_path", "max_requests", "timeout"];

fn setting(app: &mut AppSpec, it: &Directive) -> Result<(), Diagnostic> {
    let text = |index: usize| it.args.get(index).map_or("", |word| word.text.as_str());
    let wrong = |message: String| Diagnostic::of(it, message);
    let name = it.name.text.as_str();
    if !SETTINGS.contains(&name) {
        let problem = wrong(format!("unknown directive \"{name}\" in python_app"));
        return Err(match conf::nearest(name, SETTINGS) {
            Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
            None => problem.hint(format!("one of: {}", SETTINGS.join(", "))),
        });
    }
    let wanted = if name == "env" { 2 } else { 1 };
    if it.args.len() != wanted || it.block.is_some() {
        return Err(wrong(format!("invalid number of arguments in \"{name}\" directive")));
    }
    let number = || text(0).parse::<u64>().map_err(|_| wrong("invalid number".to_owned()));
    match name {
        "module" => app.module = text(0).to_owned(),
        "home" => app.home = Some(text(0).to_owned()),
        "chdir" => app.chdir = Some(text(0).to_owned()),
        "path" => app.path.push(text(0).to_owned()),
        "threads" => match number()? {
            0 => return Err(wrong("invalid number".to_owned())),
            threads => app.threads = Some(threads as usize),
        },
        "interface" => {
            app.interface = match text(0) {
                "auto" => Interface::Auto,
                "wsgi" => Interface::Wsgi,
                "asgi" => Interface::Asgi,
                other => return Err(wrong(format!("invalid value \"{other}\"")).hint("one of: auto, wsgi, asgi")),
            }
        }
        "env" => app.env.push((text(0).to_owned(), text(1).to_owned())),
        "root_path" => app.root_path = text(0).trim_end_matches('/').to_owned(),
        "max_requests" => app.max_requests = number()?,
        _ => {
            app.timeout =
                Some(conf::time_ms(text(0)).ok_or_else(|| wrong("\"timeout\" directive invalid value".to_owned()))?)
        }
    }
    Ok(())
}
