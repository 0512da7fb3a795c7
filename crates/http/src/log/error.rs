//! The error log, in Gunicorn's or nginx's line format: one write(2) per line, so that lines of several threads and
//! processes never mix. It knows nothing of what is logged.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use super::context::{Context, Line};
pub use super::level::Level;
use super::sink::Sink;
use super::time;
use crate::sys;

/// The longest line in nginx's style, its end included; nginx cuts there, too. Messages of several lines are not cut.
const LONGEST: usize = 2048;
/// The access of a new file of [`ErrorLog::open`], before umask, as Gunicorn has it.
const MODE: u32 = 0o666;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `[2026-11-21 15:42:33 +0000] [1234] [ERROR] message`
    Gunicorn,
    /// `2026/11/21 15:42:33 [error] 1234#1234: *17 message, client: 127.0.0.1, …`
    Nginx,
}

/// The error log. Shared by reference; every method is safe to call from several threads.
pub struct ErrorLog {
    style: Style,
    outputs: Vec<Output>,
    /// The lowest of the outputs' levels.
    lowest: AtomicU8,
}

struct Output {
    sink: Arc<Sink>,
    /// Messages below this level are not for this output.
    level: AtomicU8,
}

impl ErrorLog {
    /// A log that writes to several places, to each from a level on.
    pub fn new(style: Style, outputs: Vec<(Arc<Sink>, Level)>) -> ErrorLog {
        let lowest = outputs.iter().map(|(_, level)| *level as u8).min().unwrap_or(u8::MAX);
        let output = |(sink, level)| Output { sink, level: AtomicU8::new(level as u8) };
        ErrorLog { style, outputs: outputs.into_iter().map(output).collect(), lowest: AtomicU8::new(lowest) }
    }

    /// Whether its lines are in nginx's style.
    pub fn is_nginx(&self) -> bool {
        self.style == Style::Nginx
    }

    /// Opens a log in Gunicorn's style: `-` is standard error, everything else a file that is appended to.
    pub fn open(target: &str, level: Level) -> io::Result<ErrorLog> {
        let sink = if target == "-" { Sink::stderr() } else { Sink::file(Path::new(target), MODE)? };
        Ok(ErrorLog::new(Style::Gunicorn, vec![(Arc::new(sink), level)]))
    }

    /// A log on standard error, in Gunicorn's style.
    pub fn stderr(level: Level) -> ErrorLog {
        ErrorLog::new(Style::Gunicorn, vec![(Arc::new(Sink::stderr()), level)])
    }

    /// Opens the files anew under their names, after they were moved away. An old one stays in use when that fails;
    /// the first failure is told.
    pub fn reopen(&self) -> io::Result<()> {
        self.outputs.iter().map(|output| output.sink.reopen()).fold(Ok(()), Result::and)
    }

    /// The descriptor that lines go to, the first if there are several; the same for the log's life.
    pub fn fd(&self) -> RawFd {
        self.outputs.iter().find_map(|output| output.sink.fd()).unwrap_or_else(|| io::stderr().as_raw_fd())
    }

    /// The first file, where there is one.
    pub fn file(&self) -> Option<&File> {
        self.outputs.iter().find_map(|output| output.sink.named_file())
    }

    /// Whether messages of this level are written.
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 >= self.lowest.load(Relaxed)
    }

    /// Changes the lowest level that is written, everywhere.
    pub fn set_level(&self, level: Level) {
        self.lowest.store(level as u8, Relaxed);
        self.outputs.iter().for_each(|output| output.level.store(level as u8, Relaxed));
    }

    /// Writes one line. Line ends within the message are escaped like every control character.
    pub fn log(&self, level: Level, message: fmt::Arguments) {
        self.request(level, &Context::default(), message);
    }

    /// Writes one line about a connection or request. Gunicorn's style has the message only.
    pub fn request(&self, level: Level, context: &Context, message: fmt::Arguments) {
        if self.enabled(level) {
            self.write(level, context, message, false);
        }
    }

    /// Writes a message of several lines, as a traceback is: its line ends are kept.
    pub fn log_lines(&self, level: Level, message: &str) {
        if self.enabled(level) {
            let message = message.trim_end_matches('\n');
            self.write(level, &Context::default(), format_args!("{message}"), true);
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

    /// [`ErrorLog::log`] at the level notice.
    pub fn notice(&self, message: fmt::Arguments) {
        self.log(Level::Notice, message);
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

    /// [`ErrorLog::log`] at the level critical, by nginx's name.
    pub fn crit(&self, message: fmt::Arguments) {
        self.log(Level::Critical, message);
    }

    /// [`ErrorLog::log`] at the level alert.
    pub fn alert(&self, message: fmt::Arguments) {
        self.log(Level::Alert, message);
    }

    /// [`ErrorLog::log`] at the level emerg.
    pub fn emerg(&self, message: fmt::Arguments) {
        self.log(Level::Emerg, message);
    }

    /// There is nowhere to tell of a failure but [`Sink::tick`], so there is no result.
    fn write(&self, level: Level, context: &Context, message: fmt::Arguments, keep_lines: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let mut line = Line { text: String::with_capacity(256), keep_lines };
        let _ = match self.style {
            Style::Gunicorn => gunicorn(&mut line, now, level, message),
            Style::Nginx => nginx(&mut line, now, level, context, message),
        };
        let mut text = line.text;
        if self.style == Style::Nginx && !keep_lines {
            cut(&mut text, LONGEST - 1);
        }
        text.push('\n');
        for output in &self.outputs {
            if level as u8 >= output.level.load(Relaxed) {
                output.sink.write_error(level.severity(), text.as_bytes());
            }
        }
    }
}

/// Shortens a text to at most so many bytes, between two characters.
fn cut(text: &mut String, longest: usize) {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
}

fn gunicorn(line: &mut Line, now: i64, level: Level, message: fmt::Arguments) -> fmt::Result {
    timestamp(&mut line.text, now, sys::time::local_offset_minutes(now));
    write!(line.text, " [{}] [{}] ", std::process::id(), level.name())?;
    line.write_fmt(message)
}

fn nginx(line: &mut Line, now: i64, level: Level, context: &Context, message: fmt::Arguments) -> fmt::Result {
    line.bytes(&time::texts(now).error);
    write!(line.text, " [{}] {}#{}: ", level.nginx_name(), std::process::id(), sys::process::thread_id())?;
    if let Some(number) = context.connection {
        write!(line.text, "*{number} ")?;
    }
    line.write_fmt(message)?;
    context.write(line)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(log: impl FnOnce(&ErrorLog)) -> String {
        written_in(Style::Gunicorn, log)
    }

    fn written_in(style: Style, log: impl FnOnce(&ErrorLog)) -> String {
        let sink = Arc::new(Sink::memory());
        log(&ErrorLog::new(style, vec![(sink.clone(), Level::Info)]));
        sink.taken()
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

    /// The line's process and thread, as they stand in nginx's style.
    fn ids() -> String {
        format!("{}#{}", std::process::id(), sys::process::thread_id())
    }

    #[test]
    fn a_line_in_nginx_style_tells_of_the_request() {
        let context = Context {
            connection: Some(17),
            doing: "connecting to upstream",
            client: Some(&"127.0.0.1"),
            server: Some(b"localhost"),
            request: b"GET / HTTP/1.1",
            upstream: b"http://127.0.0.1:9/",
            host: Some(b"a"),
            referrer: Some(b"r"),
            ..Context::default()
        };
        let message = "connect() failed (111: Connection refused)";
        let line = written_in(Style::Nginx, |log| log.request(Level::Error, &context, format_args!("{message}")));
        let (time, rest) = line.split_at(19);
        assert!(time.starts_with("20") && time.as_bytes()[4] == b'/' && time.as_bytes()[13] == b':', "{time}");
        let expected = format!(
            " [error] {}: *17 {message} while connecting to upstream, client: 127.0.0.1, server: localhost, request: \
             \"GET / HTTP/1.1\", upstream: \"http://127.0.0.1:9/\", host: \"a\", referrer: \"r\"\n",
            ids()
        );
        assert_eq!(rest, expected);
        let line = written(|log| log.request(Level::Error, &context, format_args!("{message}")));
        assert!(line.ends_with(&format!("[ERROR] {message}\n")), "{line}");
    }

    #[test]
    fn nginx_has_levels_of_its_own() {
        let lines = |style| {
            written_in(style, |log| {
                for level in Level::ALL {
                    log.log(level, format_args!("x"));
                }
            })
        };
        let levels = |text: String| -> Vec<String> {
            let name = |line: &str| line.rsplit('[').next().unwrap().split(']').next().unwrap().to_owned();
            text.lines().map(name).collect()
        };
        assert_eq!(levels(lines(Style::Nginx)), ["info", "notice", "warn", "error", "crit", "alert", "emerg"]);
        assert_eq!(
            levels(lines(Style::Gunicorn)),
            ["INFO", "INFO", "WARNING", "ERROR", "CRITICAL", "CRITICAL", "CRITICAL"]
        );
    }

    #[test]
    fn each_output_has_its_level() {
        let (all, few) = (Arc::new(Sink::memory()), Arc::new(Sink::memory()));
        let log = ErrorLog::new(Style::Nginx, vec![(all.clone(), Level::Notice), (few.clone(), Level::Critical)]);
        log.info(format_args!("nothing"));
        log.notice(format_args!("one"));
        log.crit(format_args!("two"));
        assert_eq!(all.taken().lines().count(), 2);
        assert!(few.taken().ends_with(": two\n"));
        assert!(!log.enabled(Level::Info) && log.enabled(Level::Notice));
        assert!(!ErrorLog::new(Style::Nginx, Vec::new()).enabled(Level::Emerg));
    }

    #[test]
    fn no_request_can_forge_a_line_in_nginx_style() {
        let context = Context { request: b"GET /\r\n\x1b\xff\xc3\xa9\xc2\x9b HTTP/1.1", ..Context::default() };
        let line = written_in(Style::Nginx, |log| log.request(Level::Error, &context, format_args!("x")));
        let end = ": x, request: \"GET /\\r\\n\\x1b\\xff\u{e9}\\x9b HTTP/1.1\"\n";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn a_long_line_is_cut_where_nginx_cuts() {
        let long = "\u{e9}".repeat(3000);
        let line = written_in(Style::Nginx, |log| log.error(format_args!("{long}")));
        assert!(line.ends_with("\u{e9}\n") && (2047..=2048).contains(&line.len()), "{}", line.len());
        let lines = written_in(Style::Nginx, |log| log.log_lines(Level::Error, &format!("a\n{long}")));
        assert!(lines.len() > 6000);
        assert!(written(|log| log.error(format_args!("{long}"))).len() > 6000);
    }
}
