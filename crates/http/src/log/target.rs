//! Where log lines go, as `access_log` and `error_log` say it. Nothing is opened here; problems are in nginx's words.

use std::path::{Path, PathBuf};

use super::level::Level;
use super::syslog;

/// Which word was wrong (0 is the first argument), and what is wrong with it.
pub type Wrong = (usize, String);

/// `gzip` without `buffer=`.
const GZIP_BUFFER: usize = 64 * 1024;

/// A place that lines go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Stderr,
    Stdout,
    File(PathBuf),
    Syslog(syslog::Settings),
}

/// How lines are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// Bytes.
    pub size: usize,
    /// The longest that a line waits, in milliseconds; 0: until the next tick.
    pub flush: Option<u64>,
    /// The level of compression, 1 to 9.
    pub gzip: Option<u32>,
}

/// A place and how it is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was written.
    pub name: String,
    pub place: Place,
    pub buffering: Option<Buffering>,
    /// Nothing is written there: it is not opened.
    pub unused: bool,
}

/// What `access_log` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTarget {
    pub target: Target,
    /// The format's name. It is word 1, where there is one.
    pub format: String,
    /// What stands behind `if=`, a text with variables.
    pub condition: Option<String>,
}

impl Target {
    /// A file that each line is written to at once.
    pub fn file(path: &str) -> Target {
        Target { name: path.to_owned(), place: Place::File(path.into()), buffering: None, unused: false }
    }

    /// Whether the path has variables: then `files::FileCache` writes, and this is never opened.
    pub fn has_variables(&self) -> bool {
        matches!(self.place, Place::File(_)) && self.name.contains('$')
    }

    /// Reads the arguments of `access_log`; `None` is `off`.
    pub fn access(words: &[&str]) -> Result<Option<AccessTarget>, Wrong> {
        let name = words.first().copied().unwrap_or_default();
        if name == "off" {
            return match words.get(1) {
                Some(word) => Err((1, invalid(word))),
                None => Ok(None),
            };
        }
        let mut target = Target { name: name.to_owned(), place: place(name)?, buffering: None, unused: false };
        let format = words.get(1).copied().unwrap_or("combined").to_owned();
        let mut condition = None;
        let (mut size, mut flush, mut gzip) = (None, None, None);
        for (at, word) in words.iter().enumerate().skip(2) {
            if let Some(text) = word.strip_prefix("buffer=") {
                let bytes = conf::size(text).and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
                size = Some(bytes.ok_or_else(|| (at, format!("invalid buffer size \"{text}\"")))?);
            } else if let Some(text) = word.strip_prefix("flush=") {
                let ms = conf::time_ms(text).filter(|ms| *ms > 0);
                flush = Some(ms.ok_or_else(|| (at, format!("invalid flush time \"{text}\"")))?);
            } else if *word == "gzip" {
                (size, gzip) = (size.or(Some(GZIP_BUFFER)), Some(1));
            } else if let Some(text) = word.strip_prefix("gzip=") {
                let level = conf::size(text)
                    .and_then(|level| u32::try_from(level).ok())
                    .filter(|level| (1..=9).contains(level));
                let level = level.ok_or_else(|| (at, format!("invalid compression level \"{text}\"")))?;
                (size, gzip) = (size.or(Some(GZIP_BUFFER)), Some(level));
            } else if let Some(text) = word.strip_prefix("if=") {
                condition = Some(text.to_owned());
            } else {
                return Err((at, invalid(word)));
            }
        }
        target.buffering = match size {
            None if flush.is_some() => return Err((0, format!("no buffer is defined for access_log \"{name}\""))),
            None => None,
            Some(_) if target.has_variables() => {
                return Err((0, "buffered logs cannot have variables in name".to_owned()));
            }
            Some(_) if matches!(target.place, Place::Syslog(_)) => {
                return Err((0, "logs to syslog cannot be buffered".to_owned()));
            }
            Some(size) => Some(Buffering { size, flush, gzip }),
        };
        Ok(Some(AccessTarget { target, format, condition }))
    }

    /// Reads the arguments of `error_log`: the target and the lowest level that is written to it.
    pub fn error(words: &[&str]) -> Result<(Target, Level), Wrong> {
        let name = words.first().copied().unwrap_or_default();
        if name.starts_with("memory:") {
            return Err((0, "logs in memory are not supported".to_owned()));
        }
        let place = if name == "stderr" { Place::Stderr } else { place(name)? };
        let mut level = None;
        for (at, word) in words.iter().enumerate().skip(1) {
            let Some(found) = Level::of_nginx(word) else {
                return Err((at, format!("invalid log level \"{word}\"")));
            };
            // Parts of `debug` may stand together; nothing else may.
            match level {
                None => level = Some((found, Level::is_debug_part(word))),
                Some((_, true)) if Level::is_debug_part(word) => {}
                Some(_) if Level::is_debug_part(word) => return Err((at, format!("invalid log level \"{word}\""))),
                Some(_) => return Err((at, format!("duplicate log level \"{word}\""))),
            }
        }
        let target = Target { name: name.to_owned(), place, buffering: None, unused: false };
        Ok((target, level.map_or(Level::Error, |(level, _)| level)))
    }
}

impl Place {
    /// The same with a full path: `prefix` is where relative paths begin.
    pub fn below(&self, prefix: &Path) -> Place {
        match self {
            Place::File(path) => Place::File(prefix.join(path)),
            other => other.clone(),
        }
    }
}

fn place(name: &str) -> Result<Place, Wrong> {
    match name.strip_prefix("syslog:") {
        Some(text) => Ok(Place::Syslog(syslog::Settings::parse(text).map_err(|what| (0, what))?)),
        None => Ok(Place::File(name.into())),
    }
}

fn invalid(word: &str) -> String {
    format!("invalid parameter \"{word}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(line: &str) -> Result<Option<AccessTarget>, Wrong> {
        Target::access(&line.split(' ').collect::<Vec<_>>())
    }

    fn error(line: &str) -> Result<(Target, Level), Wrong> {
        Target::error(&line.split(' ').collect::<Vec<_>>())
    }

    /// The texts are those of nginx 1.22.
    #[test]
    fn what_is_wrong_in_access_log() {
        for (line, at, what) in [
            ("x.log combined buffer=0", 2, "invalid buffer size \"0\""),
            ("x.log combined buffer=4q", 2, "invalid buffer size \"4q\""),
            ("x.log combined flush=1s", 0, "no buffer is defined for access_log \"x.log\""),
            ("x.log combined buffer=4k flush=0", 3, "invalid flush time \"0\""),
            ("x.log combined gzip=0", 2, "invalid compression level \"0\""),
            ("x.log combined gzip=", 2, "invalid compression level \"\""),
            ("x.log combined gzip=10", 2, "invalid compression level \"10\""),
            ("x.log combined gzipp", 2, "invalid parameter \"gzipp\""),
            ("off combined buffer=4k", 1, "invalid parameter \"combined\""),
            ("x$uri.log combined gzip", 0, "buffered logs cannot have variables in name"),
            ("syslog:server=127.0.0.1 combined buffer=4k", 0, "logs to syslog cannot be buffered"),
            ("syslog:facility=kern", 0, "no syslog server specified"),
        ] {
            assert_eq!(access(line), Err((at, what.to_owned())), "{line}");
        }
    }

    #[test]
    fn access_log_is_read() {
        assert_eq!(access("off"), Ok(None));
        let plain = access("x.log").unwrap().unwrap();
        assert_eq!((plain.format.as_str(), plain.target.buffering), ("combined", None));
        let full = access("x.log main buffer=32k gzip=9 flush=1m if=$loud").unwrap().unwrap();
        let buffering = Buffering { size: 32 * 1024, flush: Some(60_000), gzip: Some(9) };
        assert_eq!(full.target.buffering, Some(buffering));
        assert_eq!((full.format.as_str(), full.condition.as_deref()), ("main", Some("$loud")));
        let gzip = access("x.log main gzip").unwrap().unwrap().target.buffering.unwrap();
        assert_eq!((gzip.size, gzip.gzip), (GZIP_BUFFER, Some(1)));
        assert!(access("x$host.log").unwrap().unwrap().target.has_variables());
    }

    #[test]
    fn error_log_is_read() {
        assert_eq!(
            error("stderr notice").map(|(target, level)| (target.place, level)),
            Ok((Place::Stderr, Level::Notice))
        );
        assert_eq!(error("x.log").unwrap().1, Level::Error);
        assert_eq!(error("x.log debug_http debug_core").unwrap().1, Level::Debug);
        for (line, at, what) in [
            ("x.log nope", 1, "invalid log level \"nope\""),
            ("x.log error warn", 2, "duplicate log level \"warn\""),
            ("x.log error debug_http", 2, "invalid log level \"debug_http\""),
            ("x.log debug_http error", 2, "duplicate log level \"error\""),
            ("x.log debug debug_http", 2, "invalid log level \"debug_http\""),
            ("memory:32k debug", 0, "logs in memory are not supported"),
        ] {
            assert_eq!(error(line), Err((at, what.to_owned())), "{line}");
        }
    }
}
