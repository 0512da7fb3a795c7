//! The error log: Gunicorn's line format, one write(2) per line, so that lines of several threads and processes never
//! mix. It knows nothing of what is logged; a message's control characters are escaped here, so that no peer and no
//! application can forge a line.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sys;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// For whoever looks for a defect.
    Debug,
    /// What the server does.
    Info,
    /// Something is not as it should be; nothing is lost.
    Warning,
    /// Something failed.
    Error,
    /// Users feel it.
    Critical,
}

impl Level {
    /// All levels, the chattiest first.
    pub const ALL: [Level; 5] = [Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical];

    /// As it stands in the log.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        }
    }
}

impl FromStr for Level {
    type Err = ();

    /// Reads a level's name in any case.
    fn from_str(name: &str) -> Result<Self, ()> {
        Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name)).ok_or(())
    }
}

/// The error log. Shared by reference; every method is safe to call from several threads.
pub struct ErrorLog {
    output: Output,
    /// Messages below this level are dropped.
    level: AtomicU8,
}

enum Output {
    Stderr,
    /// The descriptor's number stays the same over [`ErrorLog::reopen`].
    File {
        file: File,
        path: PathBuf,
    },
    /// Tests look at what was written.
    #[cfg(test)]
    Memory(std::sync::Mutex<Vec<u8>>),
}

impl ErrorLog {
    /// Opens the log: `-` is standard error, everything else a file that is appended to.
    pub fn open(target: &str, level: Level) -> io::Result<ErrorLog> {
        let output = match target {
            "-" => Output::Stderr,
            path => Output::File { file: open(Path::new(path))?, path: path.into() },
        };
        Ok(ErrorLog { output, level: AtomicU8::new(level as u8) })
    }

    /// A log on standard error.
    pub fn stderr(level: Level) -> ErrorLog {
        ErrorLog { output: Output::Stderr, level: AtomicU8::new(level as u8) }
    }

    /// Opens the file anew under its name, after it was moved away. The old one stays in use when that fails.
    pub fn reopen(&self) -> io::Result<()> {
        match &self.output {
            Output::File { file, path } => sys::descriptor::replace(file, &open(path)?),
            _ => Ok(()),
        }
    }

    /// The descriptor that lines go to; the same for the log's life.
    pub fn fd(&self) -> RawFd {
        match &self.output {
            Output::File { file, .. } => file.as_raw_fd(),
            _ => io::stderr().as_raw_fd(),
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&File> {
        match &self.output {
            Output::File { file, .. } => Some(file),
            _ => None,
        }
    }

    /// Whether messages of this level are written.
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 >= self.level.load(Relaxed)
    }

    /// Changes the lowest level that is written.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Relaxed);
    }

    /// Writes one line. Line ends within the message are escaped like every control character.
    pub fn log(&self, level: Level, message: fmt::Arguments) {
        if self.enabled(level) {
            self.write(level, message, false);
        }
    }

    /// Writes a message of several lines, as a traceback is: its line ends are kept.
    pub fn log_lines(&self, level: Level, message: &str) {
        if self.enabled(level) {
            self.write(level, format_args!("{}", message.trim_end_matches('\n')), true);
        }
    }

    /// [`ErrorLog::log`] at the level debug.
    pub fn debug(&self, message: fmt::Arguments) {
        self.log(Level::Debug, message);
    }

    /// [`ErrorLog::log`] at the level info.
    pub fn info(&self, message: fmt::Arguments) {
        self.log(Level::Info, message);
    }

    /// [`ErrorLog::log`] at the level warning.
    pub fn warning(&self, message: fmt::Arguments) {
        self.log(Level::Warning, message);
    }

    /// [`ErrorLog::log`] at the level error.
    pub fn error(&self, message: fmt::Arguments) {
        self.log(Level::Error, message);
    }

    /// [`ErrorLog::log`] at the level critical.
    pub fn critical(&self, message: fmt::Arguments) {
        self.log(Level::Critical, message);
    }

    fn write(&self, level: Level, message: fmt::Arguments, keep_lines: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let mut line = String::with_capacity(160);
        timestamp(&mut line, now, sys::time::local_offset_minutes(now));
        let _ = write!(line, " [{}] [{}] ", std::process::id(), level.name());
        let _ = write!(Escape { out: &mut line, keep_lines }, "{message}");
        line.push('\n');
        self.write_raw(line.as_bytes());
    }

    /// Writes ready lines as they are. There is nowhere to tell of a failure, so there is no result.
    pub fn write_raw(&self, lines: &[u8]) {
        let _ = match &self.output {
            Output::Stderr => io::stderr().write_all(lines),
            Output::File { file, .. } => (&mut &*file).write_all(lines),
            #[cfg(test)]
            Output::Memory(memory) => memory.lock().expect("no test panics while it holds this").write_all(lines),
        };
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// `[2026-11-21 02:49:32 +0000]`
fn timestamp(out: &mut String, unix: i64, offset_minutes: i32) {
    let local = wire::date::Civil::of(unix + i64::from(offset_minutes) * 60);
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let offset = offset_minutes.unsigned_abs();
    let _ = write!(
        out,
        "[{:04}-{:02}-{:02} {:02}:{:02}:{:02} {sign}{:02}{:02}]",
        local.year,
        local.month,
        local.day,
        local.hour,
        local.minute,
        local.second,
        offset / 60,
        offset % 60
    );
}

/// Passes text on with its control characters escaped as `\x1b`.
struct Escape<'a> {
    out: &'a mut String,
    keep_lines: bool,
}

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.chars() {
            match part {
                '\n' if self.keep_lines => self.out.push('\n'),
                '\t' => self.out.push('\t'),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                control if control.is_control() => write!(self.out, "\\x{:02x}", u32::from(control))?,
                other => self.out.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(log: impl FnOnce(&ErrorLog)) -> String {
        let memory = ErrorLog { output: Output::Memory(Default::default()), level: AtomicU8::new(Level::Info as u8) };
        log(&memory);
        let Output::Memory(bytes) = memory.output else { unreachable!() };
        String::from_utf8(bytes.into_inner().unwrap()).unwrap()
    }

    #[test]
    fn a_line_has_time_process_and_level() {
        let line = written(|log| log.info(format_args!("Listening at: {}", "x")));
        let (time, rest) = line.split_at(27);
        assert!(time.starts_with("[20") && time.ends_with(']'), "{time}");
        assert_eq!(rest, format!(" [{}] [INFO] Listening at: x\n", std::process::id()));
    }

    #[test]
    fn the_time_is_local_and_tells_its_offset() {
        let mut out = String::new();
        timestamp(&mut out, 1_795_229_372, 0);
        timestamp(&mut out, 951_782_400, -210);
        timestamp(&mut out, 0, 60);
        assert_eq!(out, "[2026-11-21 02:49:32 +0000][2000-02-28 20:30:00 -0330][1970-01-01 01:00:00 +0100]");
    }

    #[test]
    fn messages_below_the_level_are_dropped() {
        assert_eq!(written(|log| log.debug(format_args!("x"))), "");
        assert_eq!("Warning".parse(), Ok(Level::Warning));
        assert_eq!("loud".parse::<Level>(), Err(()));
    }

    #[test]
    fn no_message_can_forge_a_line() {
        let line = written(|log| log.error(format_args!("GET /\r\n[2026] {}", "\u{1b}[31m\u{85}")));
        assert!(line.ends_with("GET /\\r\\n[2026] \\x1b[31m\\x85\n"), "{line}");
        let lines = written(|log| log.log_lines(Level::Error, "Traceback:\n  File\x07\n"));
        assert!(lines.ends_with("] Traceback:\n  File\\x07\n"), "{lines}");
    }

    #[test]
    fn a_file_is_reopened_under_the_same_descriptor() {
        let path = std::env::temp_dir().join(format!("daemun-error-log-{}", std::process::id()));
        let moved = path.with_extension("1");
        let log = ErrorLog::open(path.to_str().unwrap(), Level::Info).unwrap();
        let fd = log.fd();
        log.info(format_args!("one"));
        std::fs::rename(&path, &moved).unwrap();
        log.reopen().unwrap();
        log.info(format_args!("two"));
        assert_eq!(log.fd(), fd);
        assert!(std::fs::read_to_string(&moved).unwrap().ends_with("one\n"));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("two\n"));
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&moved).unwrap();
    }
}
