//! What the process needs of the language that it hosts. The process builds and tests without it: see `main.rs`.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use http::app::App;

use crate::settings::{Interface, Settings};

/// An application and the surroundings it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSpec {
    /// `MODULE[:CALLABLE]`
    pub module: String,
    /// A virtual environment, whose packages it uses.
    pub home: Option<PathBuf>,
    /// The directory to change to before it is imported.
    pub chdir: Option<PathBuf>,
    /// To be put before Python's module path.
    pub path: Vec<PathBuf>,
    /// Its threads; `None` is one.
    pub threads: Option<usize>,
    pub interface: Interface,
    /// For its environment; a later one wins.
    pub env: Vec<(String, String)>,
    /// The path it is mounted under, without a slash at its end; empty = none.
    pub root_path: String,
    /// Requests after which a worker is replaced; 0 is never.
    pub max_requests: u64,
    /// Longest call; zero is no limit.
    pub timeout: Duration,
}

impl AppSpec {
    /// An application without any wishes.
    pub fn new(module: impl Into<String>) -> AppSpec {
        AppSpec {
            module: module.into(),
            home: None,
            chdir: None,
            path: Vec::new(),
            threads: None,
            interface: Interface::Auto,
            env: Vec::new(),
            root_path: String::new(),
            max_requests: 0,
            timeout: Duration::ZERO,
        }
    }

    /// The application of a command line. Directory and environment are the whole process's there, and set already.
    pub fn of(settings: &Settings) -> AppSpec {
        AppSpec {
            path: settings.pythonpath.clone(),
            threads: Some(settings.threads),
            interface: settings.interface,
            root_path: settings.root_path.clone(),
            max_requests: settings.max_requests,
            timeout: settings.timeout,
            ..AppSpec::new(settings.app.clone())
        }
    }
}

/// A value of the configuration file.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Vec<SettingValue>),
    Dict(Vec<(String, SettingValue)>),
    /// A function, by its name.
    Callable(String),
    /// Anything else, by its type's name.
    Other(String),
}

/// Why the application could not be loaded.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// What a worker exits with: 3 when the module cannot be imported, 4 when it has no such application.
    pub code: i32,
    /// For the log: what failed, the application's traceback, what to do.
    pub message: String,
}

/// What an application's bridge is told.
#[derive(Clone, Debug, Default)]
pub struct AppOptions {
    pub multithread: bool,
    pub multiprocess: bool,
    pub sendfile: bool,
    /// Environ keys whose values the access log wants.
    pub logged: Vec<String>,
    /// The error log, where it is a file: what applications write to `wsgi.errors` goes there.
    pub errors: Option<RawFd>,
}

/// The interpreter. Called from the main thread, which does not hold its lock between calls.
pub trait Host: Sync {
    /// Loads what workers need of the standard library, in the master: their user may not be allowed to read it. To be
    /// called before the first fork of workers that have applications; the second time it does nothing.
    fn prepare(&self) -> Result<(), String>;

    /// Around each fork; what the interpreter's own `fork` does.
    fn before_fork(&self);
    fn after_fork_parent(&self);
    fn after_fork_child(&self);

    /// Evaluates a configuration file; `source` is a path or `python:MODULE`.
    fn read_config(&self, source: &str) -> Result<Vec<(String, SettingValue)>, String>;

    /// Makes the module path ready and imports the application, in the master.
    fn preload(&self, settings: &Settings) -> Result<(), LoadError>;

    /// Imports the application.
    fn load(&self, spec: &AppSpec, settings: &Settings, options: &AppOptions) -> Result<App, LoadError>;

    /// An application that shows why the real one cannot be loaded.
    fn explain(&self, error: &LoadError, options: &AppOptions) -> Result<App, LoadError>;

    /// Makes the interpreter of a new worker ready; `log` is where tracebacks of stuck threads go.
    fn worker_started(&self, log: RawFd);

    /// Runs `body` as a thread of the interpreter; the lock is not held while it runs.
    fn as_thread(&self, body: &mut dyn FnMut());

    /// Calls `changed` with a path, once, when a source file of the application changes. `everything`: files that are
    /// not imported yet, too.
    fn watch(&self, settings: &Settings, everything: bool, changed: Box<dyn Fn(&str) + Send + Sync>);

    /// What the interpreter does at the end of a process: `atexit`, open output.
    fn worker_ending(&self);
}
