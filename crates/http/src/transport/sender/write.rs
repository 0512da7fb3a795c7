//! The writing half of a sender: what is queued goes to the socket.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::task::{Context, Poll};

use super::{Framing, PIECE, Sender};
use crate::exchange::Chunk;
use crate::sys;
use crate::transport::io::Stream;

/// Files from this size are sent corked: they go in several pieces, whose ends would make short segments.
const CORKED: u64 = 1 << 20;

/// So many pieces of a body with stages are made before others get their turn.
const TURN: u32 = 16;

impl Sender {
    /// Writes until everything is on the socket. Every call that wrote something sets `progress`.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        let polled = self.poll_write_out(cx, stream, progress);
        let kept = self.kept.as_ref().map_or(0, |kept| kept.size);
        self.charge.set(self.pending() + kept);
        polled
    }

    fn poll_write_out(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        let mut turns = 0;
        loop {
            if self.kept.is_some() && self.is_stuck() {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
            if self.staged.is_some() && self.is_flush_due() {
                self.flush_stages();
            }
            if self.staged.is_some() && self.is_written() && self.has_waiting() {
                turns += 1;
                if turns > TURN {
                    cx.waker().wake_by_ref();
                    *progress = true;
                    return Poll::Pending;
                }
                if let Err(error) = self.expand() {
                    self.abort();
                    return Poll::Ready(Err(error));
                }
                continue;
            }
            let most = match &mut self.rate {
                None => u64::MAX,
                Some(rate) => match rate.poll(cx) {
                    Poll::Ready(most) => most,
                    Poll::Pending if self.is_written() => u64::MAX,
                    Poll::Pending => {
                        // The client is not slow: it is us who wait.
                        *progress = true;
                        return Poll::Pending;
                    }
                },
            };
            if let Stream::H2(stream) = stream {
                match self.poll_frames(cx, stream, most) {
                    Poll::Ready(Ok(Some(sent))) => {
                        *progress = true;
                        if let Some(rate) = &mut self.rate {
                            rate.sent(sent as u64);
                        }
                        continue;
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if most != u64::MAX && !self.is_written() {
                match self.poll_limited(cx, stream, most) {
                    Poll::Ready(Ok(())) => *progress = true,
                    other => return other,
                }
                continue;
            }
            if self.queue.is_empty() {
                if self.out_done == self.out.len() {
                    self.out.clear();
                    self.out_done = 0;
                    if std::mem::take(&mut self.corked) {
                        stream.cork(false);
                    }
                    let flushed = stream.poll_flush(cx);
                    self.held = flushed.is_pending();
                    *progress |= self.held && stream.moved();
                    return flushed;
                }
                if self.is_end_near() {
                    stream.is_last();
                }
                match stream.poll_write(cx, &self.out[self.out_done..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(n)) => self.out_done += n,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        *progress |= stream.moved();
                        return Poll::Pending;
                    }
                }
                *progress = true;
                continue;
            }
            let written = match self.queue.front() {
                Some(Chunk::File(slice)) if self.out_done == self.out.len() => {
                    stream.poll_sendfile(cx, slice, self.front_done)
                }
                Some(Chunk::File(slice)) => {
                    if slice.len >= CORKED && !self.corked {
                        self.corked = true;
                        stream.cork(true);
                    }
                    stream.poll_write_more(cx, &self.out[self.out_done..])
                }
                _ => {
                    if self.is_end_near() {
                        stream.is_last();
                    }
                    let mut slices = [IoSlice::new(&[]); 16];
                    let count = self.slices(&mut slices);
                    stream.poll_write_vectored(cx, &slices[..count])
                }
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.advance(n),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    *progress |= stream.moved();
                    return Poll::Pending;
                }
            }
            *progress = true;
        }
    }

    /// Has bytes of the body written at once, behind what waits: as many as the stream takes just now, and nothing
    /// where bodies do not go out as they come. How many were taken; the others are still the caller's.
    pub fn write_through(&mut self, bytes: &[u8], stream: &mut Stream) -> io::Result<usize> {
        let direct = self.kept.is_none()
            && self.staged.is_none()
            && self.frames.is_none()
            && self.rate.is_none()
            && self.queue.is_empty()
            && !self.held;
        let len = match self.framing {
            Framing::Length(left) => bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
            Framing::Close => bytes.len(),
            Framing::Chunked => bytes.len().min(PIECE),
            Framing::None => 0,
        };
        if !direct || len == 0 {
            return Ok(0);
        }
        let chunked = self.framing == Framing::Chunked;
        self.chunk_head(len as u64);
        let waiting = self.out.len() - self.out_done;
        let end = if chunked { &b"\r\n"[..] } else { b"" };
        let slices = [IoSlice::new(&self.out[self.out_done..]), IoSlice::new(&bytes[..len]), IoSlice::new(end)];
        let written = match stream.try_write(&slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        self.held = stream.holds_back();
        self.advance(written.min(waiting));
        let of_bytes = written.saturating_sub(waiting).min(len);
        if !chunked {
            self.allow(of_bytes as u64);
            return Ok(of_bytes);
        }
        // A chunk that was begun is ended.
        self.allow(len as u64);
        self.framing_bytes += 2;
        let of_end = written.saturating_sub(waiting + len);
        self.append(&bytes[of_bytes..len]);
        self.append(&end[of_end..]);
        Ok(len)
    }

    /// Writes one piece of at most `most` bytes.
    fn poll_limited(&mut self, cx: &mut Context<'_>, stream: &mut Stream, most: u64) -> Poll<io::Result<()>> {
        let written = if self.out_done < self.out.len() {
            let end = self.out.len().min(self.out_done + usize::try_from(most).unwrap_or(usize::MAX));
            stream.poll_write(cx, &self.out[self.out_done..end])
        } else {
            match self.queue.front() {
                None => return Poll::Ready(Ok(())),
                Some(Chunk::File(slice)) => {
                    let part =
                        crate::exchange::FileSlice { len: slice.len.min(self.front_done + most), ..slice.clone() };
                    stream.poll_sendfile(cx, &part, self.front_done)
                }
                Some(chunk) => {
                    let bytes = &chunk.memory().unwrap_or_default()[self.front_done as usize..];
                    stream.poll_write(cx, &bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))])
                }
            }
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => {
                self.advance(n);
                if let Some(rate) = &mut self.rate {
                    rate.sent(n as u64);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what the stream takes at once. Files wait for `poll_flush`.
    pub fn try_flush(&mut self, stream: &mut Stream) -> io::Result<()> {
        if let Stream::H2(stream) = stream {
            if self.rate.is_some() || self.kept.is_some() {
                return if self.is_stuck() { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(()) };
            }
            loop {
                while self.step_stages()? {}
                self.try_frames(stream)?;
                if self.staged.is_none() || !self.is_written() || !(self.is_flush_due() || self.memory_waits()) {
                    return Ok(());
                }
            }
        }
        if self.is_end_near() {
            stream.is_last();
        }
        let done = self.try_flush_by(|slices| stream.try_write(slices));
        self.held = stream.holds_back();
        done
    }

    /// Whether one write can take all that this connection will have said.
    fn is_end_near(&self) -> bool {
        self.ended
            && !self.keep_alive
            && self.staged.is_none()
            && self.kept.is_none()
            && self.rate.is_none()
            && self.queue.len() < 16
            && self.queue.iter().all(|chunk| chunk.memory().is_some())
    }

    /// The same on a plain stream's socket.
    pub fn try_flush_socket(&mut self, socket: RawFd) -> io::Result<()> {
        self.try_flush_by(|slices| sys::send_slices(socket, slices))
    }

    fn try_flush_by(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        if self.kept.is_some() && self.is_stuck() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        loop {
            while self.step_stages()? {}
            let mut slices = [IoSlice::new(&[]); 16];
            let count = self.slices(&mut slices);
            if count == 0 {
                return Ok(());
            }
            let most = self.rate.as_ref().map_or(u64::MAX, |rate| rate.allowed());
            let first = slices[0];
            let written = match usize::try_from(most).unwrap_or(usize::MAX) {
                0 => return Ok(()),
                usize::MAX => write(&slices[..count]),
                most => write(&[IoSlice::new(&first[..first.len().min(most)])]),
            };
            match written {
                Ok(n) => {
                    self.advance(n);
                    if let Some(rate) = &mut self.rate {
                        rate.sent(n as u64);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes stages a step on, as far as no file is to be read; `true`: there may be another one.
    fn step_stages(&mut self) -> io::Result<bool> {
        if self.staged.is_none() {
            return Ok(false);
        }
        if self.is_flush_due() {
            self.flush_stages();
        }
        if !self.is_written() || !self.memory_waits() {
            return Ok(false);
        }
        self.expand()?;
        Ok(true)
    }

    /// The memory at the head of the queue.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; 16]) -> usize {
        let mut count = 0;
        if self.out_done < self.out.len() {
            slices[0] = IoSlice::new(&self.out[self.out_done..]);
            count = 1;
        }
        let mut skip = self.front_done as usize;
        for chunk in &self.queue {
            let Some(bytes) = chunk.memory() else { break };
            if count == slices.len() {
                break;
            }
            slices[count] = IoSlice::new(&bytes[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    /// Notes that `n` bytes were written.
    pub(super) fn advance(&mut self, mut n: usize) {
        let head = n.min(self.out.len() - self.out_done);
        self.out_done += head;
        n -= head;
        if self.out_done == self.out.len() {
            self.out.clear();
            self.out_done = 0;
        }
        while n > 0 {
            let Some(front) = self.queue.front() else { break };
            let left = front.len() - self.front_done;
            if (n as u64) < left {
                self.front_done += n as u64;
                return;
            }
            n -= left as usize;
            self.front_done = 0;
            if let Some(done) = self.queue.pop_front() {
                self.queued -= done.memory().map_or(0, <[u8]>::len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_partial_write_leaves_the_rest() {
        let mut sender = Sender::new();
        sender.reset_without_request(&Arc::new(Settings::modern()));
        sender.append(b"0123456789");
        sender.queue.push_back(Chunk::Static(b"abcdef"));
        sender.queued = 6;
        sender.advance(4);
        assert_eq!((sender.pending(), sender.out_done), (12, 4));
        sender.advance(8);
        assert_eq!((sender.pending(), sender.front_done), (6, 2));
        let mut slices = [IoSlice::new(&[]); 16];
        assert_eq!(sender.slices(&mut slices), 1);
        assert_eq!(&*slices[0], b"cdef");
        sender.advance(4);
        assert!(sender.is_flushed());
    }
}
