//! An open log target: lines go in, whole lines come out, and a failure never stops who logs.
//!
//! Lines of several workers never mix: files are opened for appending and each write has whole lines only; into a pipe
//! no write is longer than PIPE_BUF, which the kernel keeps in one piece (longer lines are cut there). Without a buffer
//! each line is one write(2), so that whoever follows the file sees it at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::errno_text;
use super::syslog::Syslog;
use super::target::{Buffering, Place, Target};
use crate::sys;

/// The longest write into a pipe that no other write can come between (PIPE_BUF on Linux).
const PIPE_BUF: usize = 4096;
/// The access of a new file, before umask, as nginx has it.
const MODE: u32 = 0o644;
/// The least time between two reports of failures, in milliseconds.
const QUIET: u64 = 60_000;

/// Shared by reference; every method is safe to call from several threads.
pub struct Sink {
    output: Output,
    pending: Mutex<Pending>,
    /// The longest write: PIPE_BUF for a pipe.
    largest: AtomicUsize,
    failure: Mutex<Failure>,
}

enum Output {
    Stderr,
    /// The descriptor's number stays the same over [`Sink::reopen`].
    File {
        file: File,
        /// `None`: standard output.
        path: Option<PathBuf>,
        mode: u32,
    },
    Syslog(Syslog),
    /// Tests look at what was written.
    #[cfg(test)]
    Memory(Mutex<Vec<u8>>),
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// When the first of the bytes came, in milliseconds of the coarse monotonic clock.
    since: u64,
    /// `None`: nothing is held back.
    buffering: Option<Buffering>,
}

#[derive(Default)]
struct Failure {
    /// When one was noted last, in milliseconds.
    noted: Option<u64>,
    /// To be told at the next tick.
    text: Option<String>,
}

impl Sink {
    /// Opens a target; relative paths are below `prefix`. The error is in nginx's words.
    pub fn open(target: &Target, prefix: &Path) -> Result<Sink, String> {
        let sink = match target.place.below(prefix) {
            Place::Stderr => Sink::stderr(),
            Place::Stdout => Sink::stdout().map_err(|error| format!("dup() failed ({})", errno_text(&error)))?,
            Place::File(path) => Sink::file(&path, MODE).map_err(|error| open_failed(&path, &error))?,
            Place::Syslog(settings) => Sink::new(Output::Syslog(Syslog::new(settings)), usize::MAX),
        };
        sink.set_buffering(target.buffering);
        Ok(sink)
    }

    /// Standard error.
    pub fn stderr() -> Sink {
        Sink::new(Output::Stderr, usize::MAX)
    }

    /// Standard output, over a descriptor of its own.
    pub fn stdout() -> io::Result<Sink> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let largest = largest(&file)?;
        Ok(Sink::new(Output::File { file, path: None, mode: MODE }, largest))
    }

    /// A file that is appended to, made with the access `mode` if there is none.
    pub fn file(path: &Path, mode: u32) -> io::Result<Sink> {
        let file = append(path, mode)?;
        let largest = largest(&file)?;
        Ok(Sink::new(Output::File { file, path: Some(path.to_owned()), mode }, largest))
    }

    /// Lines that [`Sink::taken`] gives.
    #[cfg(test)]
    pub fn memory() -> Sink {
        Sink::new(Output::Memory(Mutex::default()), usize::MAX)
    }

    /// What was written to memory so far.
    #[cfg(test)]
    pub fn taken(&self) -> String {
        let Output::Memory(bytes) = &self.output else { return String::new() };
        String::from_utf8(std::mem::take(&mut *bytes.lock().unwrap())).unwrap()
    }

    fn new(output: Output, largest: usize) -> Sink {
        Sink { output, pending: Mutex::default(), largest: AtomicUsize::new(largest), failure: Mutex::default() }
    }

    /// How lines are held back from now on.
    pub fn set_buffering(&self, buffering: Option<Buffering>) {
        self.lock().buffering = buffering;
    }

    pub fn buffering(&self) -> Option<Buffering> {
        self.lock().buffering
    }

    /// The descriptor that lines go to; the same for the sink's life. `None`: syslog.
    pub fn fd(&self) -> Option<RawFd> {
        match &self.output {
            Output::Stderr => Some(io::stderr().as_raw_fd()),
            Output::File { file, .. } => Some(file.as_raw_fd()),
            _ => None,
        }
    }

    /// The file with a name, where it is one; for its owner to be set.
    pub fn named_file(&self) -> Option<&File> {
        match &self.output {
            Output::File { file, path: Some(_), .. } => Some(file),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one line, which is without its end.
    pub fn write_line(&self, line: &[u8]) {
        self.write_with(|out| out.extend_from_slice(line));
    }

    /// Writes the line that `line` appends, without its end. What is there before belongs to other lines.
    pub fn write_with(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut pending = self.lock();
        let Pending { bytes, since, buffering } = &mut *pending;
        let before = bytes.len();
        line(bytes);
        if let Output::Syslog(syslog) = &self.output {
            self.note(syslog.send(None, &bytes[before..]));
            return bytes.truncate(before);
        }
        bytes.push(b'\n');
        let largest = self.largest.load(Relaxed);
        if bytes.len() - before > largest {
            bytes.truncate(before + largest - 4);
            bytes.extend_from_slice(b"...\n");
        }
        let Some(rules) = *buffering else {
            self.put(bytes, None);
            return bytes.clear();
        };
        let mut first = before == 0;
        if bytes.len() > rules.size {
            self.put(&bytes[..before], rules.gzip);
            bytes.drain(..before);
            first = true;
        }
        if bytes.len() > rules.size {
            self.put(bytes, rules.gzip);
            bytes.clear();
        } else if first {
            *since = sys::time::coarse_monotonic_ms();
        }
    }

    /// Writes a line of the error log, with its end, past the buffer. `severity` is syslog's; a message of several
    /// lines becomes as many datagrams.
    pub(super) fn write_error(&self, severity: u8, lines: &[u8]) {
        match &self.output {
            Output::Syslog(syslog) => {
                for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                    self.note(syslog.send(Some(severity), line));
                }
            }
            _ => self.note(self.output.write_all(lines)),
        }
    }

    /// Writes what is held back.
    pub fn flush(&self) {
        self.flush_locked(&mut self.lock());
    }

    fn flush_locked(&self, pending: &mut Pending) {
        if !pending.bytes.is_empty() {
            self.put(&pending.bytes, pending.buffering.and_then(|rules| rules.gzip));
            pending.bytes.clear();
        }
    }

    /// Writes what has been held back for long enough. `now`: milliseconds of the coarse monotonic clock. Gives a
    /// failure to tell of, at most one a minute.
    pub fn tick(&self, now: u64) -> Option<String> {
        let mut pending = self.lock();
        if let Some(Buffering { flush: Some(flush), .. }) = pending.buffering
            && now.saturating_sub(pending.since) >= flush
        {
            self.flush_locked(&mut pending);
        }
        drop(pending);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).text.take()
    }

    /// Opens the file anew under its name, after it was moved away. The old one stays in use when that fails.
    pub fn reopen(&self) -> io::Result<()> {
        let mut pending = self.lock();
        self.flush_locked(&mut pending);
        if let Output::File { file, path: Some(path), mode } = &self.output {
            let new = append(path, *mode)?;
            let largest = largest(&new)?;
            sys::descriptor::replace(file, &new)?;
            self.largest.store(largest, Relaxed);
        }
        Ok(())
    }

    /// Writes whole lines. A full disk or a closed pipe must not stop requests: what cannot be written is lost.
    fn put(&self, lines: &[u8], gzip: Option<u32>) {
        if lines.is_empty() {
            return;
        }
        if let Some(level) = gzip {
            return self.note(member(lines, level).and_then(|member| self.output.write_all(&member)));
        }
        let largest = self.largest.load(Relaxed);
        let mut rest = lines;
        while !rest.is_empty() {
            let end = if rest.len() <= largest {
                rest.len()
            } else {
                // No line is longer than `largest`.
                rest[..largest].iter().rposition(|&byte| byte == b'\n').map_or(largest, |at| at + 1)
            };
            let written = self.output.write_all(&rest[..end]);
            if written.is_err() {
                return self.note(written);
            }
            rest = &rest[end..];
        }
    }

    fn note(&self, result: io::Result<()>) {
        let Err(error) = result else { return };
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let now = sys::time::coarse_monotonic_ms();
        if failure.noted.is_some_and(|noted| now.saturating_sub(noted) < QUIET) {
            return;
        }
        let why = errno_text(&error);
        failure.noted = Some(now);
        failure.text = Some(match &self.output {
            Output::Syslog(syslog) => {
                format!("send() failed ({why}) while logging to syslog, server: {}", syslog.name())
            }
            Output::File { path: Some(path), .. } => format!("write() to \"{}\" failed ({why})", path.display()),
            _ => format!("write() of a log failed ({why})"),
        });
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Output {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Stderr => io::stderr().write_all(bytes),
            Output::File { file, .. } => (&mut &*file).write_all(bytes),
            Output::Syslog(_) => Ok(()),
            #[cfg(test)]
            Output::Memory(memory) => memory.lock().expect("no test panics while it holds this").write_all(bytes),
        }
    }
}

/// nginx's words for a file that cannot be opened.
pub fn open_failed(path: &Path, error: &io::Error) -> String {
    format!("open() \"{}\" failed ({})", path.display(), errno_text(error))
}

fn append(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(mode).open(path)
}

/// The longest write that stays in one piece.
fn largest(file: &File) -> io::Result<usize> {
    let kind = file.metadata()?.file_type();
    Ok(if kind.is_fifo() || kind.is_socket() { PIPE_BUF } else { usize::MAX })
}

/// One gzip member (RFC 1952): a file may have several, one behind the other.
fn member(lines: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let out = Vec::with_capacity(lines.len() / 4 + 64);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(level));
    encoder.write_all(lines)?;
    encoder.finish()
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
