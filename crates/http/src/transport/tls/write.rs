//! The writing half of a TLS stream.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError};

use super::{PIECE, SCRATCH, Scratch, TlsStream};
use crate::exchange::FileSlice;
use crate::sys;
use crate::transport::io::Stream;

/// So much of a file is read and encrypted at once.
const FILE_PIECE: usize = 64 * 1024;
/// Plaintext that waits for what follows it, at most.
const HELD: usize = 8 * 1024;

impl TlsStream {
    /// Encrypts; gives the length of what is in `into` then.
    fn seal(&mut self, plain: &[u8], into: &mut Vec<u8>) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return Err(ErrorKind::NotConnected.into()) };
        if into.is_empty() {
            into.resize(PIECE + PIECE / 8, 0);
        }
        let mut at = 0;
        loop {
            // What waits in the input is no whole message, or it would have been looked at.
            match session.process_tls_records(&mut self.input).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => match traffic.encrypt(plain, &mut into[at..]) {
                    Ok(written) => return Ok(at + written),
                    Err(EncryptError::InsufficientSize(needed)) => into.resize(at + needed.required_size, 0),
                    Err(EncryptError::EncryptExhausted) => return Err(io::Error::other("the keys are used up")),
                },
                Ok(ConnectionState::EncodeTlsData(mut data)) => match data.encode(&mut into[at..]) {
                    Ok(written) => at += written,
                    Err(EncodeError::InsufficientSize(needed)) => {
                        into.resize(at + needed.required_size, 0);
                        match data.encode(&mut into[at..]) {
                            Ok(written) => at += written,
                            Err(_) => return Err(ErrorKind::InvalidData.into()),
                        }
                    }
                    Err(EncodeError::AlreadyEncoded) => {}
                },
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(_) => return Err(ErrorKind::BrokenPipe.into()),
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
        }
    }

    /// Encrypts what is held back and `fill` adds to it, and sends it by `send` as far as that goes; gives what `fill`
    /// gives. All that was sent before is on the socket.
    fn write<R>(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> io::Result<R>,
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
            let len = self.seal(plain, output)?;
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
        if let [slice] = slices
            && self.held.is_empty()
            && !self.closed
        {
            let part = &slice[..slice.len().min(PIECE)];
            return SCRATCH.with_borrow_mut(|scratch| {
                let len = self.seal(part, &mut scratch.output)?;
                self.send_sealed(&scratch.output[..len], &mut send)?;
                Ok(part.len())
            });
        }
        self.write(|plain| Ok(gather(slices, plain)), send)
    }

    pub fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.session.is_none() {
            return self.io.poll_write_vectored(cx, slices);
        }
        ready!(self.poll_output(cx))?;
        Poll::Ready(self.write_slices(slices, |io, bytes| poll_send(cx, io, bytes)))
    }

    /// Writes without waiting; `WouldBlock`: nothing.
    pub fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.session.is_none() {
            return self.io.try_write(slices);
        }
        self.try_output()?;
        self.write_slices(slices, |io, bytes| sys::send_slices(io.as_raw_fd(), &[IoSlice::new(bytes)]))
    }

    /// Reads a piece of a file and sends it; 0 when the file is shorter than it was.
    pub fn poll_sendfile(&mut self, cx: &mut Context<'_>, slice: &FileSlice, done: u64) -> Poll<io::Result<usize>> {
        if self.session.is_none() {
            return self.io.poll_sendfile(cx, slice, done);
        }
        ready!(self.poll_output(cx))?;
        let fill = |plain: &mut Vec<u8>| {
            let before = plain.len();
            match slice.read_at(done, FILE_PIECE, plain) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                other => other.map(|()| plain.len() - before),
            }
        };
        Poll::Ready(self.write(fill, |io, bytes| poll_send(cx, io, bytes)))
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
        ready!(self.poll_output(cx))?;
        if !self.held.is_empty() {
            self.write(|_| Ok(()), |io, bytes| poll_send(cx, io, bytes))?;
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
