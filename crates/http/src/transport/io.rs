//! The stream under a connection: TCP or a Unix socket, TLS on one, or one of those in an HTTP/2 connection. A closed set,
//! so an enum.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::multiplexed::Multiplexed;
use super::tls::TlsStream;
use crate::exchange::FileSlice;
use crate::sys;

thread_local! {
    /// What TLS gives goes here first where a buffer of the runtime's kind is wanted.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connected, non-blocking stream.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS; see `TlsStream::start`.
    Tls(Box<TlsStream>),
    /// What is written to it goes through a sender, in frames.
    H2(Box<Multiplexed>),
}

impl Stream {
    /// Both ends of a connection within the process.
    pub fn pair() -> io::Result<(Stream, Stream)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Stream::Unix(one), Stream::Unix(other)))
    }

    /// Reads into the free capacity of `buf`, at most `max` bytes; the number of bytes, 0 at the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>, max: usize) -> Poll<io::Result<usize>> {
        if let Stream::Tls(stream) = self {
            return stream.poll_read(cx, buf, max);
        }
        if let Stream::H2(stream) = self {
            return stream.poll_read(cx, buf, max);
        }
        let before = buf.len();
        let room = (buf.capacity() - before).min(max);
        if room == 0 {
            return Poll::Ready(Err(io::Error::other("no room to read into")));
        }
        let mut limited = ReadBuf::uninit(&mut buf.spare_capacity_mut()[..room]);
        let polled = self.poll_read_buf(cx, &mut limited);
        let read = limited.filled().len();
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                sys::grow_initialised(buf, before + read);
                Poll::Ready(Ok(read))
            }
        }
    }

    /// Whether the peer has closed the connection behind what was read, or broken its stream off; wakes the task when
    /// that is so.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let ready = match self {
                Stream::Tcp(stream) => stream.poll_read_ready(cx),
                Stream::Unix(stream) => stream.poll_read_ready(cx),
                Stream::Tls(stream) => return stream.poll_gone(cx),
                Stream::H2(stream) => return stream.poll_lost(cx).is_ready(),
            };
            if ready.is_pending() {
                return false;
            }
            match sys::peek(self.as_raw_fd()) {
                Ok(0) => return true,
                // More is there, a next request or a body: what comes behind it is not seen.
                Ok(_) => return false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_for_bytes(),
                Err(_) => return true,
            }
        }
    }

    /// Makes the runtime forget that there was something to read, until the kernel says so again.
    fn wait_for_bytes(&self) {
        let none = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = match self {
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, none),
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, none),
            Stream::Tls(_) | Stream::H2(_) => return,
        };
    }

    /// The same as `poll_read`, into a buffer of the runtime's kind.
    pub fn poll_read_buf(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => SCRATCH.with_borrow_mut(|scratch| {
                scratch.clear();
                scratch.reserve(buf.remaining());
                ready!(stream.poll_read(cx, scratch, buf.remaining()))?;
                buf.put_slice(scratch);
                Poll::Ready(Ok(()))
            }),
            Stream::H2(_) => Poll::Ready(Err(framed())),
        }
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => stream.poll_write_vectored(cx, &[IoSlice::new(bytes)]),
            Stream::H2(_) => Poll::Ready(Err(framed())),
        }
    }

    pub fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => stream.poll_write_vectored(cx, slices),
            Stream::H2(_) => Poll::Ready(Err(framed())),
        }
    }

    /// Sends on what a layer above the socket holds back of what was written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) | Stream::H2(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => stream.poll_flush(cx),
        }
    }

    /// Writes what the socket takes at once; `WouldBlock`: nothing. Asks the socket itself and not the runtime, which
    /// learns of new room only when it gets its turn.
    pub fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => sys::send_slices(self.as_raw_fd(), slices),
            Stream::Tls(stream) => stream.try_write(slices),
            Stream::H2(_) => Err(framed()),
        }
    }

    /// What is written next is all that is left to be written, if all of it is taken at once.
    pub fn is_last(&mut self) {
        if let Stream::Tls(stream) = self {
            stream.is_last();
        }
    }

    /// Waits on the calling thread until there is room, for so many milliseconds at most; `false`: there is none.
    pub fn wait_writable(&self, ms: u64) -> bool {
        sys::wait_writable(self.as_raw_fd(), ms)
    }

    /// The bytes on the socket are those that are written: whoever knows the socket may write to it.
    pub fn is_plain(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => true,
            Stream::Tls(_) | Stream::H2(_) => false,
        }
    }

    /// A layer above the socket has something of what was written that is not on it: `poll_flush` is due.
    pub fn holds_back(&self) -> bool {
        match self {
            Stream::Tls(stream) => stream.holds_back(),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::H2(_) => false,
        }
    }

    /// Whether the socket took something of that since this was last asked.
    pub fn moved(&mut self) -> bool {
        match self {
            Stream::Tls(stream) => stream.moved(),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::H2(_) => false,
        }
    }

    /// The TLS of it.
    pub fn tls(&mut self) -> Option<&mut TlsStream> {
        match self {
            Stream::Tls(stream) => Some(stream),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::H2(_) => None,
        }
    }

    /// Whether what was read last came before the handshake's end.
    pub fn is_early(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.is_early())
    }

    /// The TCP connection, if that is what carries it.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::Unix(_) | Stream::H2(_) => None,
            Stream::Tls(stream) => stream.below().tcp(),
        }
    }

    /// Who is at the other end, in any words that are nobody else's.
    pub fn peer(&self) -> String {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().map_or_else(|_| String::new(), |address| address.to_string()),
            Stream::Unix(stream) => match stream.peer_addr() {
                Ok(address) => address.as_pathname().map_or_else(String::new, |path| path.display().to_string()),
                Err(_) => String::new(),
            },
            Stream::Tls(stream) => stream.below().peer(),
            Stream::H2(_) => String::new(),
        }
    }

    /// Whether other requests share the connection with this one.
    pub fn is_multiplexed(&self) -> bool {
        matches!(self, Stream::H2(_))
    }

    /// Whether the client has broken a stream off that shares its connection; else the task is woken when it does.
    /// Of a connection of its own that is found out by reading.
    pub fn is_lost(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Stream::H2(stream) => stream.poll_lost(cx).is_ready(),
            _ => false,
        }
    }

    /// Sends a part of a file; the number of bytes, 0 when the file is shorter than it was.
    pub fn poll_sendfile(&mut self, cx: &mut Context<'_>, slice: &FileSlice, done: u64) -> Poll<io::Result<usize>> {
        if let Stream::Tls(stream) = self {
            return stream.poll_sendfile(cx, slice, done);
        }
        let file = slice.file.as_raw_fd();
        let (offset, left) = (slice.offset + done, slice.len - done);
        let sent = ready!(self.poll_send(cx, &|socket| sys::sendfile(socket, file, offset, left)))?;
        if (sent as u64) < left.min(sys::SENDFILE_MOST) && offset + (sent as u64) < slice.file.metadata()?.len() {
            // The socket is full, not the file at its end: to try again at once would send it in small pieces.
            self.wait_for_room();
        }
        Poll::Ready(Ok(sent))
    }

    /// Makes the runtime forget that the socket was writable, until the kernel says so again.
    fn wait_for_room(&self) {
        let full = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = match self {
            Stream::Tcp(stream) => stream.try_io(Interest::WRITABLE, full),
            Stream::Unix(stream) => stream.try_io(Interest::WRITABLE, full),
            Stream::Tls(stream) => return stream.below().wait_for_room(),
            Stream::H2(_) => return,
        };
    }

    /// Writes bytes that more will follow at once: the kernel waits for those before it sends a short segment.
    pub fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tls(stream) => stream.poll_write_more(cx, bytes),
            _ => self.poll_send(cx, &|socket| sys::send_more(socket, bytes)),
        }
    }

    /// Runs a system call that sends, when the socket has room.
    fn poll_send(&self, cx: &mut Context<'_>, send: &dyn Fn(RawFd) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        let socket = self.as_raw_fd();
        loop {
            let sent = match self {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || send(socket))
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_io(Interest::WRITABLE, || send(socket))
                }
                Stream::Tls(stream) => return stream.below().poll_send(cx, send),
                Stream::H2(_) => Err(framed()),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                other => return Poll::Ready(other),
            }
        }
    }

    /// Whether the socket waits for full segments.
    pub fn cork(&self, on: bool) {
        if let Some(stream) = self.tcp() {
            sys::cork(stream.as_raw_fd(), on);
        }
    }

    /// Sends FIN; the peer may still send.
    pub fn shutdown_write(&mut self) {
        if let Stream::Tls(stream) = self {
            stream.close();
        }
        if self.is_multiplexed() {
            return;
        }
        sys::shutdown_write(self.as_raw_fd());
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
            Stream::Tls(stream) => stream.below().as_raw_fd(),
            Stream::H2(stream) => stream.as_raw_fd(),
        }
    }
}

/// Bytes for one stream among several go through its sender.
fn framed() -> io::Error {
    io::ErrorKind::Unsupported.into()
}
