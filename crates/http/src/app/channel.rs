//! An answer on its way from an application's thread to the connection's task.
//!
//! The thread puts events in, the task takes them out and is woken for them. Memory is bounded: past `MEMORY` bytes
//! the thread waits a little for the client, and then the rest goes to a temporary file, so that a slow reader holds
//! a client's place and not a thread of the application.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::exchange::{Chunk, FileSlice, Request, ResponseHead};
use crate::sys;
use crate::transport::memory::Charge;

use super::output::{Gone, Severity};

/// Bytes of an answer kept in memory while the client has not taken them.
const MEMORY: usize = 1 << 20;
/// Bytes of an answer kept in its temporary file; past them the thread waits for the client.
const DISK: u64 = 1 << 30;
/// How long one answer's thread waits in all for its client before it writes to the file.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the task is told.
pub enum Event {
    /// An interim answer: status and encoded field lines.
    Informational(u16, Vec<u8>),
    Head(ResponseHead),
    Body(Chunk),
    /// Something for the error log.
    Log(Severity, String),
    /// The answer is complete.
    End,
    /// The answer cannot be completed.
    Abort,
}

struct State {
    events: Vec<Event>,
    /// Bytes of memory in `events`, and in what the task took and has not sent yet.
    buffered: usize,
    /// Memory in `events`.
    charge: Charge,
    /// The client is gone, or the worker does not want the answer any more.
    gone: bool,
    /// The request, given back when the application is done with it.
    request: Option<Box<Request>>,
    finished: bool,
    waker: Option<Waker>,
    spill: Option<Spill>,
    patience: Duration,
}

struct Spill {
    file: Arc<File>,
    end: u64,
}

pub struct Channel {
    state: Mutex<State>,
    room: Condvar,
    temporary: PathBuf,
}

impl Channel {
    /// `temporary` is the directory for what does not fit in memory.
    pub fn new(temporary: PathBuf) -> Arc<Channel> {
        Arc::new(Channel {
            state: Mutex::new(State {
                events: Vec::new(),
                buffered: 0,
                charge: Charge::default(),
                gone: false,
                request: None,
                finished: false,
                waker: None,
                spill: None,
                patience: PATIENCE,
            }),
            room: Condvar::new(),
            temporary,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers `events` (drained). May wait for the client: to be called without the interpreter's lock.
    pub fn deliver(&self, events: &mut Vec<Event>) -> Result<(), Gone> {
        let mut state = self.lock();
        for event in events.drain(..) {
            if state.gone && matches!(event, Event::Body(_)) {
                continue;
            }
            match event {
                Event::Body(chunk) => state = self.deliver_body(state, chunk),
                other => state.events.push(other),
            }
        }
        let gone = state.gone;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if gone { Err(Gone) } else { Ok(()) }
    }

    /// Puts one piece where there is room: memory, or the file.
    fn deliver_body<'a>(&'a self, mut state: MutexGuard<'a, State>, chunk: Chunk) -> MutexGuard<'a, State> {
        let len = chunk.memory().map_or(0, <[u8]>::len);
        while state.buffered > 0 && state.buffered + len > MEMORY && !state.gone {
            if state.patience.is_zero() {
                match self.spill(&mut state, &chunk) {
                    Ok(Some(slice)) => {
                        state.events.push(Event::Body(Chunk::File(slice)));
                        return state;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let what = format!("cannot write to a temporary file in {}: {error}", self.temporary.display());
                        state.events.push(Event::Log(Severity::Error, what));
                        state.events.push(Event::Abort);
                        state.gone = true;
                        return state;
                    }
                }
            }
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
            let since = Instant::now();
            let wait = if state.patience.is_zero() { Duration::from_millis(250) } else { state.patience };
            state = self.room.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            state.patience = state.patience.saturating_sub(since.elapsed());
        }
        if !state.gone {
            state.buffered += len;
            state.charge.add(len);
            state.events.push(Event::Body(chunk));
        }
        state
    }

    /// Writes a piece to the temporary file; `None` when that is full.
    fn spill(&self, state: &mut State, chunk: &Chunk) -> io::Result<Option<FileSlice>> {
        let bytes = chunk.memory().unwrap_or_default();
        let spill = match &mut state.spill {
            Some(spill) => spill,
            none => none.insert(Spill { file: Arc::new(sys::temporary_file(&self.temporary)?), end: 0 }),
        };
        if spill.end + bytes.len() as u64 > DISK {
            return Ok(None);
        }
        spill.file.write_all_at(bytes, spill.end)?;
        let slice = FileSlice { file: spill.file.clone(), offset: spill.end, len: bytes.len() as u64 };
        spill.end += slice.len;
        Ok(Some(slice))
    }

    /// The application is done with the request.
    pub fn finish(&self, request: Option<Box<Request>>) {
        let mut state = self.lock();
        state.request = request;
        state.finished = true;
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    /// Takes what was delivered into `events`; ready when there is something, or the application is done.
    pub fn poll_take(&self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Poll<()> {
        let mut state = self.lock();
        if state.events.is_empty() && !state.finished {
            if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        std::mem::swap(events, &mut state.events);
        state.charge.set(0);
        Poll::Ready(())
    }

    /// Whether the application is done; its request comes back with that.
    pub fn finished(&self) -> Option<Option<Box<Request>>> {
        let mut state = self.lock();
        (state.finished && state.events.is_empty()).then(|| state.request.take())
    }

    /// Tells how many bytes of memory still wait for the client; lets the thread go on when there is room.
    pub fn set_buffered(&self, buffered: usize) {
        let mut state = self.lock();
        let queued: usize = state
            .events
            .iter()
            .map(|event| match event {
                Event::Body(chunk) => chunk.memory().map_or(0, <[u8]>::len),
                _ => 0,
            })
            .sum();
        state.buffered = buffered + queued;
        drop(state);
        self.room.notify_all();
    }

    /// The client is gone.
    pub fn set_gone(&self) {
        self.lock().gone = true;
        self.room.notify_all();
    }

    pub fn is_gone(&self) -> bool {
        self.lock().gone
    }
}
