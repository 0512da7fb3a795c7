//! The error logs of nginx's face: all targets that the main context names, or the default one.

use std::path::PathBuf;

use http::config::main::ErrorTarget;
use http::log::error::{ErrorLog, Style};
use http::log::{Level, Sinks, Target};

use super::Setup;

impl Setup {
    /// The targets, each with the least level that it takes.
    pub fn error_logs(&self) -> Vec<ErrorTarget> {
        match self.main.error_logs.as_slice() {
            [] => vec![ErrorTarget { words: vec![self.layout.error_log.clone()], level: None }],
            targets => targets.to_vec(),
        }
    }

    /// Opens all of them; the error is nginx's.
    pub fn open_error_log(&self) -> Result<ErrorLog, String> {
        self.open(&self.error_logs())
    }

    /// Opens these; the error is nginx's.
    pub fn open(&self, targets: &[ErrorTarget]) -> Result<ErrorLog, String> {
        let mut sinks = Sinks::default();
        let mut outputs = Vec::new();
        for target in targets {
            let words: Vec<&str> = target.words.iter().chain(&target.level).map(String::as_str).collect();
            let (target, level) = Target::error(&words).map_err(|(_, why)| why)?;
            let sink = sinks.open(&target, &self.layout.prefix).map_err(|problem| match problem {
                http::log::sinks::Problem::Directive(why) | http::log::sinks::Problem::System(why) => why,
            })?;
            outputs.push((sink, level));
        }
        Ok(ErrorLog::new(Style::Nginx, outputs))
    }

    /// The error logs that are files.
    pub fn error_files(&self) -> Vec<PathBuf> {
        let file = |target: ErrorTarget| {
            let name = target.words.into_iter().next()?;
            (name != "stderr" && !name.starts_with("syslog:")).then(|| self.layout.path(&name))
        };
        self.error_logs().into_iter().filter_map(file).collect()
    }

    /// All log files that workers write to, whose user they must belong to so that it can open them anew.
    pub fn log_files(&self) -> Vec<PathBuf> {
        let mut files = self.error_files();
        files.extend(self.logs.iter().cloned());
        files
    }

    /// The least level of the first target.
    pub fn level(&self) -> Level {
        let first = self.error_logs().first().and_then(|target| target.level.clone());
        first.and_then(|level| Level::of_nginx(&level)).unwrap_or(Level::Error)
    }
}
