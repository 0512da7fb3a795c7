//! Bodies that go through stages before they are framed: piece by piece, as the socket takes what was there before, so
//! that a large file needs no more memory than a small one, and a few bytes that stand for many need no more than
//! others.

use std::collections::VecDeque;
use std::io;

use super::{Fault, Sender};
use crate::exchange::Chunk;
use crate::stage::{Chain, Ratio, Stage};

/// So much of a body goes through its stages at a time, in bytes.
pub const PIECE: usize = 64 * 1024;

/// With so many bytes unsent, what an application gives waits before its stages.
const ENOUGH: usize = 64 * 1024;

/// So much of what an application gives at once goes through at once; the rest lets others have their turn, in bytes.
const AT_ONCE: usize = 1 << 20;

/// What a compressor holds back is asked for while less than this is unsent, in bytes.
const LITTLE: usize = 4 * 1024;

/// A body on its way through stages.
pub(super) struct Staged {
    /// `None`: they have ended.
    chain: Option<Chain>,
    /// The body is complete here; what comes still goes out as it is.
    complete: bool,
    /// What waits for its turn: a file, and what stands behind one; memory when there is enough to send.
    waiting: VecDeque<Waiting>,
    /// Bytes of the first one that are done with.
    read: u64,
    /// Bytes of memory in `waiting`.
    held: usize,
    /// Bytes that are still to come, where the length was told.
    left: Option<u64>,
    /// Something has gone in since the last flush, and may not have come out.
    unflushed: bool,
}

enum Waiting {
    /// A piece of the body; whether it is the last one.
    Body(Chunk, bool),
    BodyEnd,
    /// What follows the body.
    After(Chunk),
    End,
}

/// What became of a body on its way.
#[derive(Default)]
pub struct Passed {
    /// By how much it has become shorter.
    pub ratio: Option<Ratio>,
    /// Why it is cut, for the log.
    pub trouble: Option<String>,
}

impl Staged {
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Bytes of memory that wait.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether the client may lack something that the application has sent.
    pub fn holds_back(&self) -> bool {
        self.unflushed && !self.complete
    }

    /// Whether the body is complete, as its length tells.
    pub fn is_satisfied(&self) -> bool {
        self.left == Some(0)
    }

    /// Cuts what is longer than was told.
    fn admit(&mut self, chunk: Chunk, fault: &mut Option<Fault>) -> Chunk {
        let Some(left) = &mut self.left else { return chunk };
        let len = chunk.len();
        if len > *left {
            *fault = Some(Fault::TooLong);
        }
        let allowed = len.min(*left);
        *left -= allowed;
        if allowed < len { chunk.truncate(allowed) } else { chunk }
    }

    fn wait(&mut self, waiting: Waiting) {
        self.held += waiting.held();
        self.waiting.push_back(waiting);
    }
}

impl Waiting {
    fn held(&self) -> usize {
        match self {
            Waiting::Body(chunk, _) | Waiting::After(chunk) => chunk.memory().map_or(0, <[u8]>::len),
            Waiting::BodyEnd | Waiting::End => 0,
        }
    }
}

impl Sender {
    /// From here on the body goes through `stages`; `length`: its own, where it was told.
    pub fn stage(&mut self, stages: Vec<Box<dyn Stage>>, length: Option<u64>) {
        self.staged = Some(Box::new(Staged {
            chain: Some(Chain::new(stages)),
            complete: false,
            waiting: VecDeque::new(),
            read: 0,
            held: 0,
            left: length,
            unflushed: false,
        }));
    }

    /// What would code the body, if nothing else is to be done with it and it has not begun. The whole of it is to
    /// be coded by the caller then.
    pub fn take_coder(&mut self) -> Option<Box<dyn Stage>> {
        let staged = self.staged.as_mut().filter(|staged| !staged.unflushed && !staged.is_waiting())?;
        let coder = staged.chain.as_mut().and_then(Chain::sole_coder)?;
        self.staged = None;
        Some(coder)
    }

    /// Notes by how much a body has become shorter that was coded elsewhere.
    pub fn was_coded(&mut self, ratio: Ratio) {
        self.passed.get_or_insert_default().ratio = Some(ratio);
    }

    pub(super) fn stage_chunk(&mut self, chunk: Chunk) {
        let Some(mut staged) = self.staged.take() else { return };
        if staged.complete {
            if staged.is_waiting() {
                staged.wait(Waiting::After(chunk));
            } else {
                self.put(chunk);
            }
        } else {
            let empty = chunk.is_empty();
            let chunk = staged.admit(chunk, &mut self.fault);
            let last = staged.left == Some(0);
            if chunk.is_empty() && !(last && empty) {
                // Nothing of it belongs to the body.
            } else if let Some(bytes) = chunk.memory().filter(|_| !staged.is_waiting()) {
                let mut at = 0;
                let done = loop {
                    let (taken, done) = self.piece(&mut staged, &bytes[at..], last);
                    at += taken;
                    if done || self.pending() > ENOUGH || at > AT_ONCE {
                        break done;
                    }
                };
                if !done {
                    staged.read = at as u64;
                    staged.wait(Waiting::Body(chunk, last));
                }
            } else {
                staged.wait(Waiting::Body(chunk, last));
            }
        }
        self.put_back(staged);
    }

    /// Has a piece of `bytes` go through; `last`: with them the body ends. How many bytes were taken, and whether
    /// nothing is left to be done with them.
    fn piece(&mut self, staged: &mut Staged, bytes: &[u8], last: bool) -> (usize, bool) {
        let Some(chain) = &mut staged.chain else { return (bytes.len(), true) };
        let part = &bytes[..bytes.len().min(PIECE)];
        let mut out = Vec::new();
        staged.unflushed = true;
        if last && part.len() == bytes.len() && !chain.expands() {
            chain.last(part, &mut out);
            self.emit(out);
            self.end_chain(staged);
            return (part.len(), true);
        }
        let taken = chain.feed(part, last, &mut out);
        let done = taken == bytes.len() && !chain.is_full();
        self.emit(out);
        self.check(staged);
        (taken, done)
    }

    /// Notes what became of the body, or that it cannot be completed.
    fn check(&mut self, staged: &mut Staged) {
        let Some(trouble) = staged.chain.as_mut().and_then(Chain::failure) else { return };
        if self.fault.is_none() {
            self.passed.get_or_insert_default().trouble = Some(trouble);
        }
        // What is here still goes out, and then the connection ends.
        staged.chain = None;
        staged.complete = true;
        staged.waiting.clear();
        staged.held = 0;
        staged.unflushed = false;
        self.cut();
    }

    fn end_chain(&mut self, staged: &mut Staged) {
        self.check(staged);
        if let Some(chain) = staged.chain.take() {
            self.passed.get_or_insert_default().ratio = chain.ratio();
        }
        staged.unflushed = false;
    }

    /// The answer has no end: nothing more is taken.
    fn cut(&mut self) {
        self.ended = true;
        self.keep_alive = false;
        self.is_cut = true;
        if let Some(frames) = &mut self.frames {
            frames.abort();
        }
    }

    fn put_back(&mut self, staged: Box<Staged>) {
        if !self.is_cut {
            self.staged = Some(staged);
        }
    }

    /// The body that goes through stages has ended; more may follow.
    pub fn end_stages(&mut self) {
        let Some(mut staged) = self.staged.take_if(|staged| !staged.complete) else { return };
        staged.complete = true;
        if staged.left.is_some_and(|left| left > 0) {
            self.fault = Some(Fault::TooShort);
            self.keep_alive = false;
        }
        if staged.is_waiting() {
            staged.wait(Waiting::BodyEnd);
        } else {
            self.end_body(&mut staged);
        }
        self.put_back(staged);
    }

    /// Takes the end of the body through the stages, if they have not had it.
    fn end_body(&mut self, staged: &mut Staged) {
        if let Some(chain) = &mut staged.chain {
            let mut out = Vec::new();
            chain.last(&[], &mut out);
            self.emit(out);
            self.end_chain(staged);
        }
    }

    /// Ends the answer; `false`: not yet, something waits.
    pub(super) fn end_staged(&mut self) -> bool {
        self.end_stages();
        match &mut self.staged {
            Some(staged) if staged.is_waiting() => {
                staged.wait(Waiting::End);
                false
            }
            _ => {
                self.staged = None;
                !self.is_cut
            }
        }
    }

    /// Has what compressors hold back go out.
    pub(super) fn flush_stages(&mut self) {
        let Some(mut staged) = self.staged.take() else { return };
        staged.unflushed = false;
        if let Some(chain) = &mut staged.chain {
            let mut out = Vec::new();
            chain.flush(&mut out);
            self.emit(out);
            self.check(&mut staged);
        }
        self.put_back(staged);
    }

    /// Whether that is due: the application has sent all that it has for now, and little else is on its way.
    pub(super) fn is_flush_due(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| {
            staged.holds_back()
                && !staged.is_waiting()
                && self.queue.is_empty()
                && self.out.len() - self.out_done < LITTLE
        })
    }

    /// Whether the next of what waits is in memory.
    pub(super) fn memory_waits(&self) -> bool {
        let next = self.staged.as_ref().and_then(|staged| staged.waiting.front());
        next.is_some_and(|next| !matches!(next, Waiting::Body(Chunk::File(_), _) | Waiting::After(Chunk::File(_))))
    }

    /// Takes what waits a step on: the next piece of it, or what stands behind it.
    pub(super) fn expand(&mut self) -> io::Result<()> {
        let Some(mut staged) = self.staged.take() else { return Ok(()) };
        match staged.waiting.pop_front() {
            None => {}
            Some(Waiting::Body(chunk, last)) => {
                let len = chunk.len();
                let (taken, done) = if let Chunk::File(slice) = &chunk {
                    let mut piece = Vec::new();
                    slice.read_at(staged.read, PIECE, &mut piece)?;
                    let ends = staged.read + piece.len() as u64 == len;
                    let (taken, done) = self.piece(&mut staged, &piece, last && ends);
                    (taken, done && ends)
                } else {
                    let bytes = chunk.memory().and_then(|bytes| bytes.get(staged.read as usize..));
                    self.piece(&mut staged, bytes.unwrap_or_default(), last)
                };
                if self.is_cut {
                    return Ok(());
                }
                staged.read += taken as u64;
                if done {
                    staged.read = 0;
                    staged.held -= chunk.memory().map_or(0, <[u8]>::len);
                } else {
                    staged.waiting.push_front(Waiting::Body(chunk, last));
                }
            }
            Some(Waiting::BodyEnd) => self.end_body(&mut staged),
            Some(Waiting::After(chunk)) => {
                staged.held -= chunk.memory().map_or(0, <[u8]>::len);
                self.put(chunk);
            }
            Some(Waiting::End) => {
                self.close();
                return Ok(());
            }
        }
        self.put_back(staged);
        Ok(())
    }

    fn emit(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.put(Chunk::Bytes(bytes));
        }
    }
}
#[cfg(test)]
mod tests;
