//! The writing half of a TLS stream.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use super::{PIECE, SCRATCH, Scratch, TlsStream};
use crate::exchange::FileSlice;
use crate::sys;
use crate::transport::io::Stream;

/// So much of a file is read and encrypted at once.
const FILE_PIECE: usize = 64 * 1024;
/// Plaintext that waits for what follows it, at most.
const HELD: usize = 8 * 1024;

impl TlsStream {
    /// Encrypts; gives the length of what is in `into` then: with what the handshake left to be said before, and the
    /// goodbye behind it if nothing follows (`end`).
    fn seal(&mut self, plain: &[u8], into: &mut Vec<u8>, end: bool) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return Err(ErrorKind::NotConnected.into()) };
        let mut before = 0;
        if std::mem::take(&mut self.fresh) {
            before = self.output.len();
            if into.len() < before {
                into.resize(before, 0);
            }
            into[..before].copy_from_slice(&self.output);
            self.output = Vec::new();
        }
        let mut len = session.seal(&mut self.input, plain, (into, before), &mut self.ended)?;
        if end && !std::mem::replace(&mut self.closed, true) {
            let mut goodbye = Vec::new();
            session.say_goodbye(&mut self.input, &mut goodbye);
            let end = len + goodbye.len();
            if into.len() < end {
                into.resize(end, 0);
            }
            into[len..end].copy_from_slice(&goodbye);
            len = end;
        }
        Ok(len)
    }

    /// Lets what was not sent go first; what the socket does not know of yet goes along.
    fn poll_before(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fresh { Poll::Ready(Ok(())) } else { self.poll_output(cx) }
    }

    /// What is written next is the last on this connection, if all of it is taken at once: the goodbye leaves with it.
    pub fn is_last(&mut self) {
        self.last = true;
    }

    /// Encrypts what is held back and `fill` adds to it, and sends it by `send` as far as that goes; gives what `fill`
    /// gives. All that was sent before is on the socket.
    fn write<R>(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> io::Result<R>,
        end: bool,
        mut send: impl FnMut(&mut Stream, &[u8]) -> io::Result<usize>,
    ) -> io::Result<R> {
        if self.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { plain, output, .. } = scratch;
            plain.clear();
            plain.extend_from_slice(&self.held);
            let filled = fill(plain)?;
            if !self.held.is_empty() {
                self.held = Vec::new();
            }
            let len = self.seal(plain, output, end)?;
            self.send_sealed(&output[..len], &mut send)?;
            Ok(filled)
        })
    }

    fn send_sealed(
        &mut self,
        sealed: &[u8],
        send: &mut impl FnMut(&mut Stream, &[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let sent = match send(&mut self.io, sealed) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.moved |= sent > 0;
        if sent < sealed.len() {
            self.output.extend_from_slice(&sealed[sent..]);
        }
        Ok(())
    }

    /// Takes what slices have, up to a piece.
    fn write_slices(
        &mut self,
        slices: &[IoSlice<'_>],
        mut send: impl FnMut(&mut Stream, &[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let last = std::mem::take(&mut self.last);
        if let [slice] = slices
            && self.held.is_empty()
            && !self.closed
        {
            let part = &slice[..slice.len().min(PIECE)];
            return SCRATCH.with_borrow_mut(|scratch| {
                let len = self.seal(part, &mut scratch.output, last && part.len() == slice.len())?;
                self.send_sealed(&scratch.output[..len], &mut send)?;
                Ok(part.len())
            });
        }
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        self.write(|plain| Ok(gather(slices, plain)), last && all <= PIECE, send)
    }

    pub fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.session.is_none() {
            return self.io.poll_write_vectored(cx, slices);
        }
        ready!(self.poll_before(cx))?;
        Poll::Ready(self.write_slices(slices, |io, bytes| poll_send(cx, io, bytes)))
    }

    /// Writes without waiting; `WouldBlock`: nothing.
    pub fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.session.is_none() {
            return self.io.try_write(slices);
        }
        if !self.fresh {
            self.try_output()?;
        }
        self.write_slices(slices, |io, bytes| sys::send_slices(io.as_raw_fd(), &[IoSlice::new(bytes)]))
    }

    /// Reads a piece of a file and sends it; 0 when the file is shorter than it was.
    pub fn poll_sendfile(&mut self, cx: &mut Context<'_>, slice: &FileSlice, done: u64) -> Poll<io::Result<usize>> {
        if self.session.is_none() {
            return self.io.poll_sendfile(cx, slice, done);
        }
        ready!(self.poll_before(cx))?;
        let fill = |plain: &mut Vec<u8>| {
            let before = plain.len();
            match slice.read_at(done, FILE_PIECE, plain) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                other => other.map(|()| plain.len() - before),
            }
        };
        Poll::Ready(self.write(fill, false, |io, bytes| poll_send(cx, io, bytes)))
    }

    /// Takes bytes that more will follow at once: they leave together.
    pub fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.session.is_none() {
            return self.io.poll_write_more(cx, bytes);
        }
        if self.held.len() + bytes.len() > HELD {
            return self.poll_write_vectored(cx, &[IoSlice::new(bytes)]);
        }
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends all that was written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            ready!(self.poll_before(cx))?;
            self.write(|_| Ok(()), false, |io, bytes| poll_send(cx, io, bytes))?;
        }
        self.poll_output(cx)
    }

    /// Something that was written is not on the socket.
    pub fn holds_back(&self) -> bool {
        self.output_done < self.output.len() || !self.held.is_empty()
    }

    /// Whether the socket took something since this was last asked.
    pub fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

/// Writes what the socket takes; it is known to wait for room where it does not take all.
fn poll_send(cx: &mut Context<'_>, io: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    match io.poll_write(cx, bytes) {
        Poll::Ready(sent) => sent,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn gather(slices: &[IoSlice<'_>], plain: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    for slice in slices {
        let part = &slice[..slice.len().min(PIECE - taken)];
        plain.extend_from_slice(part);
        taken += part.len();
        if taken == PIECE {
            break;
        }
    }
    taken
}
