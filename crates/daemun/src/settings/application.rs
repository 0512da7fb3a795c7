//! What kind of application is served, how it is run, and what the server tells it and adds for it.

use std::path::{Path, PathBuf};

use http::config::WebSocket;
use wire::forwarded::Trusted;

use super::Exit;
use super::given::Given;
use super::ready::{directory, refuse, split_commas};
use crate::host::SettingValue;
use crate::sys::reason;

/// The interface an application speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// To be found out.
    #[default]
    Auto,
    /// PEP 3333.
    Wsgi,
    /// ASGI of either version, to be found out.
    Asgi,
    /// ASGI 2: called with the scope, then with `receive` and `send`.
    Asgi2,
    /// ASGI 3: called once.
    Asgi3,
}

impl Interface {
    /// The interface of a word that the setting takes.
    pub(super) fn of(word: &str) -> Interface {
        match word {
            "wsgi" => Interface::Wsgi,
            "asgi" => Interface::Asgi,
            "asgi2" => Interface::Asgi2,
            "asgi3" => Interface::Asgi3,
            _ => Interface::Auto,
        }
    }

    /// Whether it is ASGI for certain.
    pub fn is_asgi(self) -> bool {
        matches!(self, Interface::Asgi | Interface::Asgi2 | Interface::Asgi3)
    }
}

/// Whether an ASGI application gets lifespan events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifespan {
    /// If it takes them.
    #[default]
    Auto,
    /// Yes; without them it does not start.
    On,
    /// No.
    Off,
}

impl Lifespan {
    /// The value of a word that the setting takes.
    pub(super) fn of(word: &str) -> Lifespan {
        match word {
            "on" => Lifespan::On,
            "off" => Lifespan::Off,
            _ => Lifespan::Auto,
        }
    }
}

/// The event loop that an ASGI application runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventLoop {
    /// asyncio's own, which is the faster one here.
    #[default]
    Auto,
    /// asyncio's own.
    Asyncio,
    /// uvloop; it must be installed.
    Uvloop,
}

impl EventLoop {
    /// The value of a word that the setting takes.
    pub(super) fn of(word: &str) -> EventLoop {
        match word {
            "asyncio" => EventLoop::Asyncio,
            "uvloop" => EventLoop::Uvloop,
            _ => EventLoop::Auto,
        }
    }
}

/// Classes of workers that Gunicorn has, or takes from elsewhere, for ASGI.
const ASGI_WORKERS: &[&str] = &[
    "asgi",
    "gunicorn.workers.gasgi.ASGIWorker",
    "uvicorn.workers.UvicornWorker",
    "uvicorn.workers.UvicornH11Worker",
    "uvicorn_worker.UvicornWorker",
    "uvicorn_worker.UvicornH11Worker",
];

/// What `interface` and `worker_class` say together.
pub(super) fn interface(given: &Given) -> Result<Interface, Exit> {
    let interface = Interface::of(&given.text("interface"));
    match (asgi_worker(given)?, interface) {
        (true, Interface::Auto) => Ok(Interface::Asgi),
        (true, Interface::Wsgi) => {
            let (class, interface) = (given.place("worker_class"), given.place("interface"));
            let why = format!("{class} is for ASGI applications, and {interface} says that this one speaks WSGI");
            Err(Exit::new(1, why, Some("leave one of them out".into())))
        }
        (_, interface) => Ok(interface),
    }
}

/// Accepts the worker classes whose behaviour this server has, and tells those for ASGI; for the others says what to do.
fn asgi_worker(given: &Given) -> Result<bool, Exit> {
    let SettingValue::Str(class) = given.value("worker_class") else {
        return Err(refuse(given, "worker_class", "worker classes of one's own are not supported", None));
    };
    let last = class.rsplit('.').next().unwrap_or_default();
    let lower = class.to_ascii_lowercase();
    let hint = match last {
        _ if ASGI_WORKERS.contains(&class.as_str()) => return Ok(true),
        "sync" | "SyncWorker" | "gthread" | "ThreadWorker" | "" => return Ok(false),
        _ if ["gevent", "eventlet", "tornado", "meinheld", "greenlet"].iter().any(|name| lower.contains(name)) => (
            format!("the worker class `{class}` is not supported"),
            "use `gthread` and `--threads N` for N requests at a time in each worker",
        ),
        _ if ["uvicorn", "asgi", "aiohttp"].iter().any(|name| lower.contains(name)) => (
            format!("the worker class `{class}` is not supported"),
            "use `asgi`; what a class of one's own sets are options here, as `--lifespan` and `--asgi-loop`",
        ),
        _ => (format!("there is no worker class `{class}`"), "use `sync`, `gthread` or `asgi`"),
    };
    Err(refuse(given, "worker_class", hint.0, Some(hint.1)))
}

/// The application that a factory makes, as a specification.
pub(super) fn called(app: String) -> String {
    match app.split_once(':') {
        Some((_, name)) if name.trim_end().ends_with(')') => app,
        Some((_, "")) => format!("{app}application()"),
        Some(_) => format!("{app}()"),
        None => format!("{app}:application()"),
    }
}

/// Directories to put before Python's module path; the last one comes first in it. With `app_dir` that is the first,
/// and the current directory the second.
pub(super) fn python_path(given: &Given, chdir: &Path) -> Result<Vec<PathBuf>, Exit> {
    let mut path: Vec<PathBuf> = split_commas(&given.text("pythonpath")).map(|path| chdir.join(path)).collect();
    if let Some(first) = directory(given, "app_dir", chdir)? {
        path.push(chdir.to_path_buf());
        path.push(first);
    }
    Ok(path)
}

/// The path of the mount, without the slash that may end it.
pub(super) fn root_path(given: &Given) -> Result<String, Exit> {
    let path = given.text("root_path");
    if !path.is_empty() && !path.starts_with('/') {
        let hint = format!("as in `/{path}`");
        return Err(refuse(given, "root_path", format!("`{path}` does not begin with `/`"), Some(&hint)));
    }
    Ok(path.trim_end_matches('/').to_string())
}

/// The configuration of Python's logging; it must be readable now, not only in the workers.
pub(super) fn log_config(given: &Given, base: &Path) -> Result<Option<PathBuf>, Exit> {
    let Some(path) = given.optional("logconfig") else { return Ok(None) };
    let absolute = base.join(&path);
    match std::fs::File::open(&absolute) {
        Ok(_) => Ok(Some(absolute)),
        Err(error) => Err(refuse(given, "logconfig", format!("cannot read `{path}`: {}", reason(&error)), None)),
    }
}

/// Fields that say where an answer ends and what becomes of the connection.
const FRAMING: [&str; 6] = ["connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"];

/// Further fields of answers. Whether they are fields at all is checked where the configuration takes them.
pub(super) fn headers(given: &Given) -> Result<Vec<(String, String)>, Exit> {
    let read = |text: &String| match text.split_once(':') {
        Some((name, _)) if FRAMING.iter().any(|own| own.eq_ignore_ascii_case(name.trim())) => {
            let why = format!("`{}` is the server's own business", name.trim());
            Err(refuse(given, "headers", why, Some("leave it out")))
        }
        Some((name, value)) => Ok((name.trim().to_string(), value.trim().to_string())),
        None => Err(refuse(given, "headers", format!("`{text}` is not of the form NAME:VALUE"), None)),
    };
    given.list("headers").iter().map(read).collect()
}

/// Whether a field of this name is among them.
pub(super) fn has_header(given: &Given, name: &str) -> bool {
    let named = |text: &String| text.split(':').next().is_some_and(|own| own.trim().eq_ignore_ascii_case(name));
    given.list("headers").iter().any(named)
}

/// How WebSockets are served.
pub(super) fn websocket(given: &Given) -> WebSocket {
    let ms = |name| (given.float(name) * 1000.0).round() as u64;
    WebSocket {
        enabled: given.text("ws") != "none",
        max_size: match given.int("websocket_max_message_size") {
            0 => usize::MAX,
            size => size as usize,
        },
        max_queue: given.int("ws_max_queue") as usize,
        ping_interval: ms("ws_ping_interval"),
        ping_timeout: ms("ws_ping_timeout"),
        deflate: given.text("ws_per_message_deflate") == "on",
    }
}

/// Proxies whose word is taken, as typed. A warning tells of names, which no client ever has. What is no address or
/// network is refused where the configuration takes it.
pub(super) fn trusted_proxies(given: &mut Given) -> String {
    let text = given.text("forwarded_allow_ips");
    let place = given.place("forwarded_allow_ips");
    for name in Trusted::parse(&text).iter().flat_map(Trusted::literals) {
        let what = format!("`{name}` is no address, network or `*`, so it trusts nobody: names are not looked up");
        given.warnings.push(format!("{place}: {what}"));
    }
    text
}

/// Fields by which a proxy says that its client came by TLS, and the values that say so.
pub(super) fn secure_scheme_headers(given: &Given) -> Result<Vec<(String, String)>, Exit> {
    let read = |(name, value): (String, SettingValue)| match value {
        SettingValue::Str(value) if wire::h1::encode::is_token(name.as_bytes()) => Ok((name, value)),
        SettingValue::Str(_) => {
            Err(refuse(given, "secure_scheme_headers", format!("`{name}` is not the name of a header field"), None))
        }
        _ => Err(refuse(given, "secure_scheme_headers", format!("the value of `{name}` must be text"), None)),
    };
    given.pairs("secure_scheme_headers").into_iter().map(read).collect()
}

/// Directories to watch.
pub(super) fn reload_dirs(given: &Given, base: &Path) -> Result<Vec<PathBuf>, Exit> {
    let read = |text: &String| match base.join(text) {
        path if path.is_dir() => Ok(path),
        _ => Err(refuse(given, "reload_dirs", format!("there is no directory `{text}`"), None)),
    };
    given.list("reload_dirs").iter().map(read).collect()
}
