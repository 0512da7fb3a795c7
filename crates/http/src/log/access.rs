//! The access log: a line per request, buffered, written outside the interpreter's lock.
//!
//! Lines of several workers never mix: the file is opened for appending and each write has whole lines only; into a
//! pipe no write is longer than PIPE_BUF, which the kernel keeps in one piece (longer lines are cut there).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ErrorLog, Format};
use crate::exchange::Request;
use crate::sys;
use crate::transport::sender::Sender;

/// A buffer with more than this is written at once.
const FULL: usize = 32 * 1024;
/// The longest write into a pipe that no other write can come between (PIPE_BUF on Linux).
const PIPE_BUF: usize = 4096;

pub struct AccessLog {
    format: Format,
    /// `None`: standard output.
    path: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    file: File,
    /// Longest write: PIPE_BUF for a pipe.
    largest: usize,
    buffer: Vec<u8>,
    /// Local time's offset in minutes, and the hour it was asked in.
    offset: (i64, i32),
}

impl AccessLog {
    /// Opens the log: `-` is standard output.
    pub fn open(path: &str, format: Format) -> io::Result<AccessLog> {
        let path = (path != "-").then(|| PathBuf::from(path));
        let (file, largest) = open(path.as_deref())?;
        let state = State { file, largest, buffer: Vec::new(), offset: (-1, 0) };
        Ok(AccessLog { format, path, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The environ keys that the format asks for.
    pub fn environ(&self) -> Vec<String> {
        self.format.environ()
    }

    /// Notes one exchange.
    pub fn write(&self, request: &Request, sender: &Sender) {
        let mut state = self.lock();
        let now = sys::time::coarse_seconds();
        let quarter = now / 900;
        if state.offset.0 != quarter {
            state.offset = (quarter, sys::time::local_offset_minutes(now));
        }
        let offset = state.offset.1;
        let before = state.buffer.len();
        self.format.write(&mut state.buffer, request, sender, now, offset);
        if state.buffer.len() - before > state.largest {
            let end = before + state.largest - 4;
            state.buffer.truncate(end);
            state.buffer.extend_from_slice(b"...\n");
        }
        if state.buffer.len() > FULL {
            state.flush();
        }
    }

    /// Writes what is buffered.
    pub fn flush(&self) {
        self.lock().flush();
    }

    /// Opens the file again under its name, after it was rotated.
    pub fn reopen(&self, log: &ErrorLog) {
        let mut state = self.lock();
        state.flush();
        match open(self.path.as_deref()) {
            Ok((file, largest)) => (state.file, state.largest) = (file, largest),
            Err(error) => log.error(format_args!("cannot reopen the access log: {error}")),
        }
    }
}

impl State {
    fn flush(&mut self) {
        let mut rest = &self.buffer[..];
        while !rest.is_empty() {
            let end = if rest.len() <= self.largest {
                rest.len()
            } else {
                // Whole lines only; no line is longer than `largest`.
                rest[..self.largest].iter().rposition(|&b| b == b'\n').map_or(self.largest, |at| at + 1)
            };
            // A full disk or a closed pipe must not stop requests; the error log has its own trouble then.
            if self.file.write_all(&rest[..end]).is_err() {
                break;
            }
            rest = &rest[end..];
        }
        self.buffer.clear();
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

fn open(path: Option<&Path>) -> io::Result<(File, usize)> {
    let file = match path {
        Some(path) => OpenOptions::new().append(true).create(true).open(path)?,
        None => {
            use std::os::fd::AsFd;
            File::from(io::stdout().as_fd().try_clone_to_owned()?)
        }
    };
    let kind = file.metadata()?.file_type();
    let largest = if kind.is_fifo() || kind.is_socket() { PIPE_BUF } else { usize::MAX };
    Ok((file, largest))
}
