//! Logs. `error` is for people; `access` has a line per request in Gunicorn's `format`. Below both: `target` says where
//! lines go, `sink` is such a place open, `sinks` all of them, `files` those whose names have variables. `escape` and
//! `time` are what nginx's log formats need.

pub mod access;
pub mod context;
pub mod directives;
pub mod error;
pub mod escape;
pub mod files;
pub mod format;
pub mod level;
pub mod sink;
pub mod sinks;
pub mod syslog;
pub mod target;
pub mod time;

pub use access::AccessLogs;
pub use context::Context;
pub use error::ErrorLog;
pub use escape::Escaping;
pub use files::FileCache;
pub use format::Format;
pub use level::Level;
pub use sink::Sink;
pub use sinks::Sinks;
pub use target::Target;

/// What the system said, as nginx writes it: `2: No such file or directory`.
pub fn errno_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => format!("{code}: {}", text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::errno_text;
    use std::io;

    #[test]
    fn system_errors_read_as_in_nginx() {
        assert_eq!(errno_text(&io::Error::from_raw_os_error(2)), "2: No such file or directory");
        assert_eq!(errno_text(&io::Error::from_raw_os_error(111)), "111: Connection refused");
        assert_eq!(errno_text(&io::Error::other("no system error")), "no system error");
    }
}
