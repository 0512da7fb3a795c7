//! The reading half of a TLS stream.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use super::{Failure, PIECE, SCRATCH, TlsStream};

/// What is read beyond what was asked for: the frame of a record.
const FRAME: usize = 512;
/// The least that is read at once.
const LEAST: usize = 4 * 1024;

impl TlsStream {
    /// Reads plaintext into the free capacity of `buf`, at most `max` bytes; 0 at the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>, max: usize) -> Poll<io::Result<usize>> {
        if self.session.is_none() {
            return self.io.poll_read(cx, buf, max);
        }
        let before = buf.len();
        let room = (buf.capacity() - before).min(max);
        if room == 0 {
            return Poll::Ready(Err(io::Error::other("no room to read into")));
        }
        loop {
            if self.ahead_done < self.ahead.len() {
                let ahead = &self.ahead[self.ahead_done..];
                let len = ahead.len().min(room);
                buf.extend_from_slice(&ahead[..len]);
                self.ahead_done += len;
                if self.ahead_done == self.ahead.len() {
                    self.ahead = Vec::new();
                    self.ahead_done = 0;
                }
                return Poll::Ready(Ok(len));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let Poll::Ready(filled) = self.fill(cx, buf, room) else {
                if self.output_done < self.output.len() {
                    // For now nothing is written that this could leave with.
                    let _ = self.poll_output(cx);
                }
                return Poll::Pending;
            };
            if self.output_done < self.output.len() {
                // An answer of the protocol's own: who cannot take it now gets it with the next bytes.
                let _ = self.poll_output(cx);
            }
            match filled {
                _ if buf.len() > before => return Poll::Ready(Ok(buf.len() - before)),
                Ok(0) => return Poll::Ready(Ok(0)),
                Ok(_) => {}
                Err(Failure::Tls(error)) => return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error))),
                Err(Failure::Socket(error)) => return Poll::Ready(Err(error)),
                Err(Failure::Closed) => return Poll::Ready(Ok(0)),
            }
        }
    }

    /// Whether the client has closed the connection behind what was read.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        if self.session.is_none() {
            return self.io.poll_gone(cx);
        }
        loop {
            if self.ended {
                return true;
            }
            if !self.ahead.is_empty() {
                return false;
            }
            match self.fill(cx, &mut Vec::new(), 0) {
                Poll::Pending => {
                    let _ = self.poll_output(cx);
                    return false;
                }
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return true,
            }
        }
    }

    /// Reads from the socket once and decrypts what is complete into `buf`, `room` bytes of it; more waits in `ahead`.
    /// Gives the number of bytes that came.
    pub(super) fn fill(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<usize, Failure>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let input = &mut scratch.input;
            input.clear();
            input.extend_from_slice(&self.input);
            let most = room.clamp(LEAST, PIECE) + FRAME;
            input.reserve(most);
            let read = match ready!(self.io.poll_read(cx, input, most)) {
                Ok(0) => return Poll::Ready(Ok(0)),
                Ok(read) => read,
                Err(error) => return Poll::Ready(Err(Failure::Socket(error))),
            };
            let processed = self.process(input, buf, room);
            Poll::Ready(self.keep(input, processed).map(|()| read))
        })
    }
}
