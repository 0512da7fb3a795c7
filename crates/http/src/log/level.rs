//! How much a message of the error log matters: nginx's eight levels, and Gunicorn's names for them.

use std::str::FromStr;

/// A message's level, the chattiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// For whoever looks for a defect.
    Debug,
    /// What the server does.
    Info,
    /// What the server does, and an operator should read; Gunicorn's `info`.
    Notice,
    /// Something is not as it should be; nothing is lost.
    Warning,
    /// Something failed.
    Error,
    /// Users feel it; nginx's `crit`.
    Critical,
    /// Somebody should look at once; Gunicorn's `critical`, as the next.
    Alert,
    /// The server cannot do its work.
    Emerg,
}

/// nginx's words for parts of `debug`: they are that level here.
const DEBUG_PARTS: [&str; 7] =
    ["debug_core", "debug_alloc", "debug_mutex", "debug_event", "debug_http", "debug_mail", "debug_stream"];

impl Level {
    /// All levels, the chattiest first.
    pub const ALL: [Level; 8] = [
        Level::Debug,
        Level::Info,
        Level::Notice,
        Level::Warning,
        Level::Error,
        Level::Critical,
        Level::Alert,
        Level::Emerg,
    ];

    /// As it stands in a log of Gunicorn's style.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info | Level::Notice => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical | Level::Alert | Level::Emerg => "CRITICAL",
        }
    }

    /// As it stands in nginx's log and in `error_log`.
    pub fn nginx_name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warning => "warn",
            Level::Error => "error",
            Level::Critical => "crit",
            Level::Alert => "alert",
            Level::Emerg => "emerg",
        }
    }

    /// The level of a word in `error_log`. `None`: there is none of this name.
    pub fn of_nginx(word: &str) -> Option<Level> {
        if DEBUG_PARTS.contains(&word) {
            return Some(Level::Debug);
        }
        Level::ALL.into_iter().find(|level| level.nginx_name() == word)
    }

    /// Whether a word of `error_log` is one for a part of `debug`; several of these may stand together.
    pub fn is_debug_part(word: &str) -> bool {
        DEBUG_PARTS.contains(&word)
    }

    /// syslog's number: 0 is `emerg`, 7 `debug`.
    pub fn severity(self) -> u8 {
        7 - self as u8
    }
}

impl FromStr for Level {
    type Err = ();

    /// Reads Gunicorn's name of a level, in any case.
    fn from_str(name: &str) -> Result<Self, ()> {
        Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name)).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sets_of_names_are_read() {
        assert_eq!("Warning".parse(), Ok(Level::Warning));
        assert_eq!("info".parse(), Ok(Level::Info));
        assert_eq!("critical".parse(), Ok(Level::Critical));
        assert_eq!("loud".parse::<Level>(), Err(()));
        assert_eq!(Level::of_nginx("warn"), Some(Level::Warning));
        assert_eq!(Level::of_nginx("debug_http"), Some(Level::Debug));
        assert_eq!(Level::of_nginx("warning"), None);
        assert_eq!(Level::of_nginx("Error"), None);
    }

    #[test]
    fn severities_are_those_of_syslog() {
        assert_eq!(Level::ALL.map(Level::severity), [7, 6, 5, 4, 3, 2, 1, 0]);
    }
}
