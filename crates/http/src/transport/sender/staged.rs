//! Bodies that go through stages before they are framed. Files are read piece by piece, when the socket has taken what
//! was there before, so that a large file needs no more memory than a small one.

use std::collections::VecDeque;
use std::io;

use super::{Fault, Sender};
use crate::exchange::Chunk;
use crate::stage::{Chain, Stage};

/// So much of a file is read at a time, in bytes.
pub const PIECE: usize = 64 * 1024;

/// A body on its way through stages.
pub(super) struct Staged {
    /// `None`: they have ended.
    chain: Option<Chain>,
    /// The body is complete here; what comes still goes out as it is.
    complete: bool,
    /// What waits for a file before it to be read.
    waiting: VecDeque<Waiting>,
    /// Bytes of the first file that are read.
    read: u64,
    /// Bytes that are still to come, where the length was told.
    left: Option<u64>,
}

enum Waiting {
    /// A piece of the body.
    Body(Chunk),
    BodyEnd,
    /// What follows the body.
    After(Chunk),
    End,
}

impl Staged {
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
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
}

impl Sender {
    /// From here on the body goes through `stages`; `length`: its own, where it was told.
    pub fn stage(&mut self, stages: Vec<Box<dyn Stage>>, length: Option<u64>) {
        let chain = Some(Chain::new(stages));
        self.staged =
            Some(Box::new(Staged { chain, complete: false, waiting: VecDeque::new(), read: 0, left: length }));
    }

    pub(super) fn stage_chunk(&mut self, chunk: Chunk) {
        let Some(mut staged) = self.staged.take() else { return };
        if staged.complete {
            staged.waiting.push_back(Waiting::After(chunk));
        } else {
            let chunk = staged.admit(chunk, &mut self.fault);
            if staged.is_waiting() || chunk.memory().is_none() {
                staged.waiting.push_back(Waiting::Body(chunk));
            } else if let (Some(chain), Some(bytes)) = (&mut staged.chain, chunk.memory()) {
                let out = chain.feed(bytes);
                self.emit(out);
            }
        }
        self.staged = Some(staged);
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
            staged.waiting.push_back(Waiting::BodyEnd);
            self.staged = Some(staged);
        } else if let Some(mut chain) = staged.chain.take() {
            let out = chain.end();
            self.emit(out);
        }
    }

    /// Ends the answer; `false`: not yet, a file is to be read.
    pub(super) fn end_staged(&mut self) -> bool {
        self.end_stages();
        let Some(staged) = &mut self.staged else { return true };
        staged.waiting.push_back(Waiting::End);
        false
    }

    /// Takes what waits a step on: the next piece of a file, or what stands behind it.
    pub(super) fn expand(&mut self) -> io::Result<()> {
        let Some(mut staged) = self.staged.take() else { return Ok(()) };
        match staged.waiting.pop_front() {
            None => {}
            Some(Waiting::Body(chunk)) => {
                let mut piece = Vec::new();
                let bytes = match &chunk {
                    Chunk::File(slice) => {
                        slice.read_at(staged.read, PIECE, &mut piece)?;
                        staged.read += piece.len() as u64;
                        &piece[..]
                    }
                    other => other.memory().unwrap_or_default(),
                };
                if let Some(chain) = &mut staged.chain {
                    let out = chain.feed(bytes);
                    self.emit(out);
                }
                if chunk.memory().is_none() && staged.read < chunk.len() {
                    staged.waiting.push_front(Waiting::Body(chunk));
                } else {
                    staged.read = 0;
                }
            }
            Some(Waiting::BodyEnd) => {
                if let Some(mut chain) = staged.chain.take() {
                    let out = chain.end();
                    self.emit(out);
                }
            }
            Some(Waiting::After(chunk)) => self.put(chunk),
            Some(Waiting::End) => self.close(),
        }
        if staged.is_waiting() || staged.chain.is_some() {
            self.staged = Some(staged);
        }
        Ok(())
    }

    fn emit(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.put(Chunk::Bytes(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::exchange::{FileSlice, ResponseHead};
    use crate::stage::sub::{Patterns, Sub};

    fn stages() -> Vec<Box<dyn Stage>> {
        vec![Box::new(Sub::new(Arc::new(Patterns::new(&[b"old"])), vec![b"newer".to_vec()], false))]
    }

    fn taken(sender: &mut Sender) -> String {
        let mut bytes = std::mem::take(&mut sender.out);
        for chunk in sender.queue.drain(..) {
            bytes.extend_from_slice(chunk.memory().unwrap_or(b"<file>"));
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_file_is_read_piece_by_piece_and_in_its_place() {
        let mut sender = Sender::new();
        sender.reset_without_request(&Arc::default());
        sender.begin(ResponseHead { length: Some(PIECE as u64 + 10), stages: stages(), ..ResponseHead::new(200) });
        let head = taken(&mut sender);
        assert!(head.contains("Transfer-Encoding: chunked") && !head.contains("Content-Length"), "{head}");
        let mut file = tempfile();
        let text = "x".repeat(PIECE - 1) + "old";
        file.write_all(text.as_bytes()).unwrap();
        let len = text.len() as u64;
        sender.push(Chunk::File(FileSlice { file: Arc::new(file), offset: 0, len }));
        sender.copy(b"an old b");
        sender.end();
        assert!(!sender.is_flushed() && sender.ended && sender.out.is_empty() && sender.queue.is_empty());
        let mut parts = Vec::new();
        while !sender.is_flushed() {
            sender.expand().unwrap();
            parts.push(taken(&mut sender));
        }
        assert_eq!(parts.len(), 5, "{:?}", parts.iter().map(String::len).collect::<Vec<_>>());
        assert_eq!(parts[1], "5\r\nnewer\r\n");
        assert_eq!(parts[2], "a\r\nan newer b\r\n");
        assert_eq!((parts[4].as_str(), sender.fault), ("0\r\n\r\n", None));
    }

    #[test]
    fn the_length_that_was_told_holds() {
        for (told, body, fault) in
            [(3, "old", None), (2, "old", Some(Fault::TooLong)), (4, "old", Some(Fault::TooShort))]
        {
            let mut sender = Sender::new();
            sender.reset_without_request(&Arc::default());
            sender.begin(ResponseHead { length: Some(told), stages: stages(), ..ResponseHead::new(200) });
            sender.copy(body.as_bytes());
            sender.end();
            assert_eq!(sender.fault, fault, "{told}");
            assert_eq!(taken(&mut sender).ends_with("0\r\n\r\n"), fault != Some(Fault::TooShort), "{told}");
        }
    }

    fn tempfile() -> std::fs::File {
        let name = format!("daemun-staged-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }
}
