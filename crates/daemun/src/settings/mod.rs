//! Settings: from Gunicorn's command line, its configuration file and the environment to values ready to run.
//!
//! Two levels. *As typed*: [`given`] collects what each source says, checked against the types of the table
//! ([`table`]), and remembers where it stands. *Ready*: [`ready`] resolves it, once, into [`Settings`]: addresses
//! parsed, users looked up, paths absolute. Nothing of this touches the network or loads the application.

mod bind;
mod command_line;
mod environment;
mod given;
mod ready;
mod reference;
mod shlex;
pub mod table;
mod value;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use bind::Bind;
pub use environment::{Applied, apply_environment};
pub use reference::{help, reference_markdown, version};

use crate::error_log::Level;
use crate::host::SettingValue;
use command_line::Ask;
use given::{Given, Origin};

const PROGRAM: &str = "daemun";
const USAGE: &str = "daemun [options] MODULE[:CALLABLE | :factory('arg')]";
const DEFAULT_CONFIG: &str = "./gunicorn.conf.py";

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
    /// The directory the program was started in.
    pub start_dir: PathBuf,
    /// The directory to serve from; absolute. All other relative paths are resolved against it already.
    pub chdir: PathBuf,
    /// To be put before Python's module path.
    pub pythonpath: Vec<PathBuf>,
    /// For the application's environment.
    pub raw_env: Vec<(String, String)>,

    /// Where to listen.
    pub bind: Vec<Bind>,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
    /// Set SO_REUSEPORT.
    pub reuse_port: bool,

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
    /// Read the whole body before the application is called.
    pub request_buffering: bool,
    /// Where large bodies go; the system's directory for such files if not given.
    pub tmp_upload_dir: Option<PathBuf>,
    /// Let the kernel copy files to sockets.
    pub sendfile: bool,
    /// What is served without Python.
    pub static_files: Vec<StaticFiles>,

    /// Restart workers when code changes.
    pub reload: bool,
    /// Further files to watch; may hold wildcards.
    pub reload_extra_files: Vec<PathBuf>,

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

    /// What the user should know about these settings; to be logged once.
    pub warnings: Vec<String>,
    /// The values as typed.
    given: Given,
}

/// The interface an application speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// To be found out.
    Auto,
    /// PEP 3333.
    Wsgi,
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
    /// What kind of worker runs, in Gunicorn's words.
    pub fn worker_class(&self) -> &'static str {
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

/// Reads all sources of settings. `args` does not begin with the program's name. `read_config` gets a path, or
/// `python:MODULE`, and gives the names that it defines.
pub fn from_command_line(
    args: &[OsString],
    env: &dyn Fn(&str) -> Option<String>,
    read_config: &dyn Fn(&str) -> Result<Vec<(String, SettingValue)>, String>,
) -> Result<Action, Exit> {
    let line = command_line::parse(args, "")?;
    match line.ask {
        Some(Ask::Help) => return Ok(Action::Print(help())),
        Some(Ask::Version) => return Ok(Action::Print(version())),
        None => {}
    }
    let arguments = match env("GUNICORN_CMD_ARGS") {
        None => Vec::new(),
        Some(text) => {
            let words = shlex::split(&text).map_err(|why| Exit::new(2, format!("$GUNICORN_CMD_ARGS: {why}"), None))?;
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            command_line::parse(&words, " in $GUNICORN_CMD_ARGS")?.values
        }
    };
    let mut given = Given::default();
    given.take_environment(env)?;
    let named = |values: &[(&table::Row, SettingValue)]| {
        values.iter().find(|(row, _)| row.name == "config").map(|(_, value)| value.clone())
    };
    let config = match named(&line.values).or_else(|| named(&arguments)) {
        Some(SettingValue::Str(source)) => Some(source),
        _ => std::fs::exists(DEFAULT_CONFIG).unwrap_or(false).then(|| DEFAULT_CONFIG.to_string()),
    };
    if let Some(source) = config {
        given.take_file(&source, read_config)?;
    }
    given.take_line(arguments, Origin::Arguments)?;
    given.take_line(line.values, Origin::CommandLine)?;
    let settings = ready::resolve(given, line.app)?;
    Ok(match () {
        () if settings.given.switch("print_config") => Action::PrintConfig(settings),
        () if settings.given.switch("check_config") => Action::CheckConfig(settings),
        () => Action::Run(settings),
    })
}

#[cfg(test)]
mod tests;
