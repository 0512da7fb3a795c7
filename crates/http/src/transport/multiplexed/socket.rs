//! The socket below a connection with many streams. What is written is gathered, and leaves once a turn in one piece:
//! frames are short, and a system call for each would cost more than all the rest.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Conn;

/// From so many gathered bytes on the socket must take some before there is room for more.
const HIGH: usize = 64 * 1024;
/// So many bytes are read at a turn, then other connections have theirs.
const TURN: usize = 32 * 1024;
/// And for so long, if the bytes mean much work (HPACK).
const LONG: Duration = Duration::from_micros(500);
/// Gathering memory larger than this is given back to the allocator.
const KEPT: usize = 64 * 1024;

thread_local! {
    /// Memory to gather in. A connection has it only until all is sent: an idle one owns none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A connection, with what is read of it already and what is not sent yet.
pub struct Socket {
    pub conn: Conn,
    early: Vec<u8>,
    early_done: usize,
    out: Vec<u8>,
    out_done: usize,
    /// Bytes read in this turn.
    turn: usize,
    /// When they were begun to be read.
    since: Option<Instant>,
    /// Nothing is read for now; whoever says so wakes the task.
    pub rests: bool,
    /// Bytes read so far.
    pub read: u64,
    /// Grows with what the socket takes.
    pub written: u64,
    /// Streams that the codec broke off because their heads were malformed or too large.
    pub faults: u64,
}

impl Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.rests {
            return Poll::Pending;
        }
        if self.turn >= TURN || self.since.is_some_and(|since| since.elapsed() > LONG) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if self.early_done < self.early.len() {
            let len = buf.remaining().min(self.early.len() - self.early_done);
            buf.put_slice(&self.early[self.early_done..self.early_done + len]);
            self.early_done += len;
            if self.early_done == self.early.len() {
                self.early = Vec::new();
                self.early_done = 0;
            }
        } else {
            ready!(self.conn.stream.poll_read_buf(cx, buf))?;
        }
        let read = buf.filled().len() - before;
        if self.turn == 0 {
            self.since = Some(Instant::now());
        }
        self.turn += read;
        self.read += read as u64;
        Poll::Ready(Ok(()))
    }

    /// The connection has its turn.
    pub fn begin_turn(&mut self) {
        self.turn = 0;
        self.since = None;
    }

    /// Writes what is gathered.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out_done < self.out.len() {
            ready!(self.poll_write_out(cx, 0))?;
        }
        let gathered = std::mem::take(&mut self.out);
        if (1..=KEPT).contains(&gathered.capacity()) {
            SPARE.set(gathered);
        }
        let flushed = self.conn.stream.poll_flush(cx);
        self.written += u64::from(flushed.is_pending() && self.conn.stream.moved());
        flushed
    }

    /// Writes until at most `left` bytes are left.
    fn poll_write_out(&mut self, cx: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        while self.out.len() - self.out_done > left {
            let n = ready!(self.conn.stream.poll_write(cx, &self.out[self.out_done..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out_done += n;
            self.written += n as u64;
        }
        if self.out_done == self.out.len() {
            self.out.clear();
        } else {
            self.out.drain(..self.out_done);
        }
        self.out_done = 0;
        Poll::Ready(Ok(()))
    }

    /// Takes whole frames.
    fn gather(&mut self, frames: &[u8]) {
        if self.out.capacity() == 0 {
            self.out = SPARE.take();
        }
        self.out.extend_from_slice(frames);
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.len() - self.out_done < HIGH { Poll::Ready(Ok(())) } else { self.poll_write_out(cx, HIGH / 2) }
    }
}

/// The socket as the codec has it.
pub struct Port(Arc<Mutex<Socket>>);

impl Port {
    /// `early`: what was read already.
    pub fn new(conn: Conn, early: Vec<u8>) -> Port {
        let socket = Socket {
            conn,
            early,
            early_done: 0,
            out: Vec::new(),
            out_done: 0,
            turn: 0,
            rests: false,
            since: None,
            read: 0,
            written: 0,
            faults: 0,
        };
        Port(Arc::new(Mutex::new(socket)))
    }

    /// Another hold of the same.
    pub fn share(&self) -> Port {
        Port(self.0.clone())
    }

    pub fn lock(&self) -> MutexGuard<'_, Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket back, if nobody else holds it.
    pub fn into_inner(self) -> Option<Socket> {
        Arc::into_inner(self.0).map(|socket| socket.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsyncRead for Port {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_read(cx, buf)
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut socket = self.lock();
        ready!(socket.poll_room(cx))?;
        socket.faults += faults(buf);
        socket.gather(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.lock();
        ready!(socket.poll_room(cx))?;
        // Frames begin in the first: the others have the rest of the last one.
        socket.faults += slices.first().map_or(0, |slice| faults(slice));
        let mut len = 0;
        for slice in slices {
            socket.gather(slice);
            len += slice.len();
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The task that drives the connection flushes, at the end of its turn.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_flush(cx)
    }
}

/// How many of the frames are RST_STREAM with PROTOCOL_ERROR (RFC 9113 section 6.4): nothing but the codec sends these,
/// for heads that it gives to nobody.
fn faults(mut frames: &[u8]) -> u64 {
    const HEAD: usize = 9;
    let mut found = 0;
    while let Some((&[a, b, c, kind, ..], rest)) = frames.split_first_chunk::<HEAD>() {
        found += u64::from(kind == 3 && rest.starts_with(&[0, 0, 0, 1]));
        frames = rest.get(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::faults;

    #[test]
    fn streams_that_the_codec_breaks_off_are_counted() {
        let reset = |code: u8| [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, code];
        let ping = [0, 0, 8, 6, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0];
        let data_begun = [0, 64, 0, 0, 0, 0, 0, 0, 7, b'x'];
        let all = [&reset(1)[..], &ping, &reset(2), &reset(1), &data_begun].concat();
        assert_eq!((faults(&all), faults(&[]), faults(&all[..12])), (2, 0, 0));
    }
}
