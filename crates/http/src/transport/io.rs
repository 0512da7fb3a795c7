//! The stream under a connection: TCP or a Unix socket. A closed set, so an enum.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::exchange::FileSlice;
use crate::sys;

/// A connected, non-blocking stream.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Reads into the free capacity of `buf`, at most `max` bytes; the number of bytes, 0 at the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>, max: usize) -> Poll<io::Result<usize>> {
        let before = buf.len();
        let room = (buf.capacity() - before).min(max);
        if room == 0 {
            return Poll::Ready(Err(io::Error::other("no room to read into")));
        }
        let mut limited = ReadBuf::uninit(&mut buf.spare_capacity_mut()[..room]);
        let polled = match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut limited),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut limited),
        };
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

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    pub fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    /// Sends a part of a file; the number of bytes, 0 when the file is shorter than it was.
    pub fn poll_sendfile(&mut self, cx: &mut Context<'_>, slice: &FileSlice, done: u64) -> Poll<io::Result<usize>> {
        let file = slice.file.as_raw_fd();
        let (offset, left) = (slice.offset + done, slice.len - done);
        let sent = ready!(self.poll_send(cx, |socket| sys::sendfile(socket, file, offset, left)))?;
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
        };
    }

    /// Writes bytes that more will follow at once: the kernel waits for those before it sends a short segment.
    pub fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |socket| sys::send_more(socket, bytes))
    }

    /// Runs a system call that sends, when the socket has room.
    fn poll_send(&self, cx: &mut Context<'_>, send: impl Fn(RawFd) -> io::Result<usize>) -> Poll<io::Result<usize>> {
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
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                other => return Poll::Ready(other),
            }
        }
    }

    /// Whether the socket waits for full segments.
    pub fn cork(&self, on: bool) {
        if let Stream::Tcp(stream) = self {
            sys::cork(stream.as_raw_fd(), on);
        }
    }

    /// Sends FIN; the peer may still send.
    pub fn shutdown_write(&self) {
        sys::shutdown_write(self.as_raw_fd());
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }
}
