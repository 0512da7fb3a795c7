//! Settings: from Gunicorn's or Uvicorn's command line, the configuration file and the environment to values ready to
//! run.
//!
//! Two levels. *As typed*: [`given`] collects what each source says, checked against the types of the table
//! ([`table`]), and remembers where it stands; [`uvicorn`] puts Uvicorn's words into Gunicorn's. *Ready*: [`ready`]
//! resolves it, once, into [`Settings`]: addresses parsed, users looked up, paths absolute. Nothing of this touches the
//! network or loads the application.

mod application;
mod bind;
mod command_line;
mod env_file;
mod environment;
mod face;
mod given;
mod http2;
mod ready;
mod reference;
mod shlex;
mod sources;
pub mod table;
mod tls;
mod uvicorn;
mod value;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use application::{EventLoop, Interface, Lifespan};
pub use bind::{Bind, Listening};
pub use environment::{Applied, apply_environment};
pub use face::{Command, Face};
pub use http2::Http2;
pub use reference::{help, keywords_python, reference_markdown, version};
pub use sources::from_command_line;
pub use tls::{Clients, Secret, Tls};

use http::config::{Config, WebSocket};

use crate::error_log::Level;
use crate::host::SettingValue;
use crate::nginx::Setup;
use crate::wording::Wording;
use given::Given;

const PROGRAM: &str = "daemun";
const USAGE: &str = "daemun [options] MODULE[:CALLABLE | :factory('arg')]";

/// What a command line asks for.
pub enum Action {
    /// Serve.
    Run(Settings),
    /// Print the settings, then check that the application loads.
    PrintConfig(Settings),
    /// Check that the application loads.
    CheckConfig(Settings),
    /// Print this and end well.
    Print(String),
}

/// Why the program ends before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// For standard error, without a line end.
    pub message: String,
}

impl Exit {
    /// `daemun: what`, and what to do about it.
    pub fn new(code: i32, what: impl AsRef<str>, hint: Option<String>) -> Exit {
        let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        Exit { code, message: format!("{PROGRAM}: {}{hint}", what.as_ref()) }
    }
}

/// Everything a server needs to know, ready to use.
#[derive(Clone)]
pub struct Settings {
    /// `MODULE[:CALLABLE]`
    pub app: String,
    /// The interface the application speaks.
    pub interface: Interface,
    /// What is named makes the application: it is called without arguments.
    pub factory: bool,
    /// The path the application is mounted under, without a slash at its end; empty = none.
    pub root_path: String,
    /// Whether an ASGI application gets lifespan events.
    pub lifespan: Lifespan,
    /// The event loop of an ASGI application.
    pub event_loop: EventLoop,
    /// A file that configures Python's logging before the application is imported.
    pub log_config: Option<PathBuf>,
    /// The directory the program was started in.
    pub start_dir: PathBuf,
    /// The directory to serve from; absolute. All other relative paths are resolved against it already.
    pub chdir: PathBuf,
    /// To be put before Python's module path.
    pub pythonpath: Vec<PathBuf>,
    /// For the application's environment; a later one wins.
    pub raw_env: Vec<(String, String)>,

    /// Where to listen.
    pub bind: Vec<Bind>,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
    /// Set SO_REUSEPORT.
    pub reuse_port: bool,
    /// How connections are encrypted; `None`: they are not.
    pub tls: Option<Tls>,
    /// Whether and how HTTP/2 is spoken, too.
    pub http2: Http2,

    /// Worker processes.
    pub workers: usize,
    /// Python threads of each.
    pub threads: usize,
    /// Most connections of each.
    pub worker_connections: usize,
    /// Longest call; zero is no limit.
    pub timeout: Duration,
    /// How long a worker may take to end.
    pub graceful_timeout: Duration,
    /// How long an idle connection is kept.
    pub keepalive: Duration,
    /// Requests after which a worker is replaced; 0 is never.
    pub max_requests: u64,
    /// A random number up to this comes on top.
    pub max_requests_jitter: u64,
    /// Load the application before the fork.
    pub preload: bool,
    /// Where a worker's I/O runs.
    pub front: Front,

    /// In bytes; 0 is no limit.
    pub limit_request_line: usize,
    /// In number; never 0.
    pub limit_request_fields: usize,
    /// In bytes; 0 is no limit.
    pub limit_request_field_size: usize,
    /// For the head of a request.
    pub client_header_timeout: Duration,
    /// Between two pieces of a body.
    pub client_body_timeout: Duration,
    /// Between two pieces of an answer.
    pub send_timeout: Duration,
    /// The largest body, in bytes; 0 is no limit.
    pub client_max_body_size: u64,
    /// Of a worker, for bodies and answers in progress, in bytes; 0 = no limit.
    pub worker_memory: u64,
    /// Read the whole body before the application is called.
    pub request_buffering: bool,
    /// Where large bodies go; the system's directory for such files if not given.
    pub tmp_upload_dir: Option<PathBuf>,
    /// Let the kernel copy files to sockets.
    pub sendfile: bool,
    /// Requests of one worker that the application may have at a time; 0 is no limit.
    pub limit_concurrency: u32,
    /// How WebSockets are served.
    pub websocket: WebSocket,
    /// Answers have a Server field.
    pub server_header: bool,
    /// Answers have a Date field.
    pub date_header: bool,
    /// Further fields of every answer.
    pub headers: Vec<(String, String)>,
    /// Proxies whose word is taken, as typed; empty is none.
    pub forwarded_allow_ips: String,
    /// Fields by which such a proxy says that its client came by TLS, and their values.
    pub secure_scheme_headers: Vec<(String, String)>,
    /// What is served without Python.
    pub static_files: Vec<StaticFiles>,

    /// Restart workers when code changes.
    pub reload: bool,
    /// Further files to watch; may hold wildcards.
    pub reload_extra_files: Vec<PathBuf>,
    /// Directories to watch; absolute.
    pub reload_dirs: Vec<PathBuf>,
    /// Wildcards of the files there that count beside `*.py`.
    pub reload_includes: Vec<String>,
    /// Wildcards and directories of the files that do not count.
    pub reload_excludes: Vec<String>,
    /// Between two looks for changes.
    pub reload_delay: Duration,

    /// Go to the background.
    pub daemon: bool,
    /// Keep standard output and error there.
    pub enable_stdio_inheritance: bool,
    /// Where the master's process number goes.
    pub pidfile: Option<PathBuf>,
    /// The workers' user, if it is to change.
    pub user: Option<u32>,
    /// The workers' group, if it is to change.
    pub group: Option<u32>,
    /// Give workers all groups of their user.
    pub initgroups: bool,
    /// Permission bits that unix sockets do not get.
    pub umask: u32,
    /// The name that process lists show.
    pub proc_name: Option<String>,

    /// A path, or `-` for standard output.
    pub accesslog: Option<String>,
    /// What its lines look like.
    pub access_log_format: AccessLogFormat,
    /// A path, or `-` for standard error.
    pub errorlog: String,
    /// What the error log leaves out.
    pub loglevel: Level,

    /// In whose words the log speaks.
    pub wording: Wording,
    /// What nginx's face has read, where the settings come from there.
    pub nginx: Option<Arc<Setup>>,
    /// The engine's configuration, once it is built, and what is to be known about it: workers share the master's, whose
    /// files they may not be able to read.
    pub built: OnceLock<(Arc<Config>, Vec<String>)>,

    /// What the user should know about these settings; to be logged once.
    pub warnings: Vec<String>,
    /// The values as typed.
    given: Given,
}

/// Where a worker's I/O runs beside Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Inline, until a call was slow.
    Auto,
    /// On Python's own thread.
    Inline,
    /// On a thread of its own.
    Thread,
}

/// A directory that is served without Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticFiles {
    /// A path that begins and ends with a slash.
    pub url: String,
    /// An existing directory; absolute.
    pub directory: PathBuf,
}

/// What a line of the access log looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Text with Gunicorn's atoms.
    Atoms(String),
    /// A JSON object.
    Json,
}

impl Settings {
    /// A [`Settings::graceful_timeout`] without a limit.
    pub const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// Everything as it is when nobody says anything, without an application.
    pub fn plain() -> Result<Settings, Exit> {
        ready::resolve(Given::default(), Some(String::new()), Vec::new())
    }

    /// What kind of worker runs, in Gunicorn's words.
    pub fn worker_class(&self) -> &'static str {
        if self.interface.is_asgi() {
            return "asgi";
        }
        if self.threads > 1 || self.given.text("worker_class").contains("hread") { "gthread" } else { "sync" }
    }

    /// What `--print-config` prints.
    pub fn print_config(&self) -> String {
        reference::print_config(&|row| match row.name {
            "chdir" => SettingValue::Str(self.chdir.display().to_string()),
            "user" => SettingValue::Int(self.user.unwrap_or_else(|| nix::unistd::geteuid().as_raw()).into()),
            "group" => SettingValue::Int(self.group.unwrap_or_else(|| nix::unistd::getegid().as_raw()).into()),
            "wsgi_app" => SettingValue::Str(self.app.clone()),
            name => self.given.value(name),
        })
    }

    /// Where the value of a setting stands, for messages: `` `--bind` `` or `` `bind` in gunicorn.conf.py ``.
    pub fn place(&self, name: &str) -> String {
        self.given.place(name)
    }
}

#[cfg(test)]
mod tests;
