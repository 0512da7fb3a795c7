//! What the process needs of the language that it hosts. The process builds and tests without it: see `main.rs`.

use std::os::fd::RawFd;

use http::app::App;

use crate::settings::Settings;

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
    /// Around each fork; what the interpreter's own `fork` does.
    fn before_fork(&self);
    fn after_fork_parent(&self);
    fn after_fork_child(&self);

    /// Evaluates a configuration file; `source` is a path or `python:MODULE`.
    fn read_config(&self, source: &str) -> Result<Vec<(String, SettingValue)>, String>;

    /// Makes the module path ready and imports the application, in the master.
    fn preload(&self, settings: &Settings) -> Result<(), LoadError>;

    /// Imports the application.
    fn load(&self, spec: &str, settings: &Settings, options: &AppOptions) -> Result<App, LoadError>;

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
