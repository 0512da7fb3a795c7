//! The access logs: a line per request in each log of the location that answered, in its format, if its condition holds.

use std::path::PathBuf;
use std::sync::Arc;

use super::files::Limits;
use super::sinks::{Problem, Sinks};
use super::{ErrorLog, FileCache, Format, Sink, errno_text};
use crate::sys;
use crate::transport::sender::Sender;
use crate::variables::{Scope, Template};

/// A log of a location.
#[derive(Clone)]
pub struct Place {
    /// Index into `Config::logs`.
    pub target: usize,
    pub format: Arc<Format>,
    pub condition: Option<Arc<Template>>,
    /// A path with variables in it.
    pub path: Option<Arc<Template>>,
}

/// All open logs of a worker.
pub struct AccessLogs {
    sinks: Vec<Option<Arc<Sink>>>,
    all: Sinks,
    /// The files of paths with variables, by `open_log_file_cache`.
    files: Vec<(Option<Limits>, FileCache)>,
    prefix: PathBuf,
    environ: Vec<String>,
}

impl AccessLogs {
    /// Opens the targets; relative ones are below `prefix`.
    pub fn open(config: &crate::config::Config, prefix: PathBuf) -> Result<AccessLogs, String> {
        let mut all = Sinks::default();
        let mut sinks = Vec::new();
        let places = || config.locations.iter().flat_map(|location| location.settings.access_logs.iter());
        for target in &config.logs {
            sinks.push(if target.has_variables() || target.unused {
                None
            } else {
                Some(all.open(target, &prefix).map_err(|problem| match problem {
                    Problem::Directive(message) | Problem::System(message) => message,
                })?)
            });
        }
        let mut files: Vec<(Option<Limits>, FileCache)> = Vec::new();
        for location in &config.locations {
            let limits = location.settings.log_cache;
            let written = location.settings.access_logs.iter().any(|place| place.path.is_some());
            if written && !files.iter().any(|(known, _)| *known == limits) {
                files.push((limits, FileCache::new(limits)));
            }
        }
        let environ = places().map(|place| place.format.environ()).find(|keys| !keys.is_empty()).unwrap_or_default();
        Ok(AccessLogs { sinks, all, files, prefix, environ })
    }

    /// The environ keys that a format asks for.
    pub fn environ(&self) -> Vec<String> {
        self.environ.clone()
    }

    /// Notes one exchange.
    pub fn write(&self, scope: &mut Scope<'_>, sender: &Sender, places: &[Place]) {
        for place in places {
            if place.condition.as_ref().is_some_and(|condition| !condition.is_true(scope)) {
                continue;
            }
            match (&place.path, self.sinks.get(place.target)) {
                (Some(path), _) => self.write_to_file(scope, sender, place, path),
                (None, Some(Some(sink))) => sink.write_with(|line| place.format.write(line, scope, sender)),
                _ => {}
            }
        }
    }

    fn write_to_file(&self, scope: &mut Scope<'_>, sender: &Sender, place: &Place, path: &Template) {
        use std::os::unix::ffi::OsStringExt;
        let mut line = Vec::new();
        place.format.write(&mut line, scope, sender);
        if !has_root(scope) {
            return;
        }
        let path = self.prefix.join(std::ffi::OsString::from_vec(path.value(scope)));
        let limits = scope.settings().log_cache;
        let Some((_, files)) = self.files.iter().find(|(known, _)| *known == limits) else { return };
        if let Err(why) = files.write(&path, &line, sys::time::coarse_monotonic_ms()) {
            scope.request.crit(scope.config, scope.log, format_args!("{why}"));
        }
    }

    /// Writes what has waited long enough.
    pub fn tick(&self, log: &ErrorLog) {
        let now = sys::time::coarse_monotonic_ms();
        for problem in self.all.tick(now) {
            log.alert(format_args!("{problem}"));
        }
        self.files.iter().for_each(|(_, files)| files.tick(now));
    }

    /// Writes what is buffered.
    pub fn flush(&self) {
        for sink in self.all.iter() {
            sink.flush();
        }
    }

    /// Opens the files again under their names, after they were rotated.
    pub fn reopen(&self, log: &ErrorLog) {
        for sink in self.all.iter() {
            if let Err(error) = sink.reopen() {
                log.error(format_args!("cannot reopen the access log: {error}"));
            }
        }
        self.files.iter().for_each(|(_, files)| files.reopen());
    }
}

impl Place {
    /// A log of `target`.
    pub fn new(target: usize, format: Arc<Format>) -> Place {
        Place { target, format, condition: None, path: None }
    }
}

/// Whether the directory of the request's files is there. If it is not, a name of a log that is made of what the client
/// sent may mean anything.
fn has_root(scope: &mut Scope<'_>) -> bool {
    let mut root = Vec::new();
    crate::handlers::files::path::root(scope, &mut root);
    let error = match sys::open::metadata(&root) {
        Ok(metadata) if metadata.is_dir() => return true,
        Ok(_) => std::io::Error::from_raw_os_error(libc::ENOTDIR),
        Err(error) => error,
    };
    let (path, why) = (String::from_utf8_lossy(&root), errno_text(&error));
    scope.request.error(scope.config, scope.log, format_args!("testing \"{path}\" existence failed ({why})"));
    false
}
