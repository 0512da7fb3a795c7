//! A connection to a server that HTTP/2 is spoken on. A task drives it as long as anybody holds it, and some moments more,
//! in which the server is told that it ends.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Error, SendStream};
use http_types::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::io::Stream;
use crate::upstream::spec::Keepalive;

/// The least room that a server has for an answer, in bytes: what the protocol begins with.
const LEAST_WINDOW: usize = 64 * 1024 - 1;
/// And the most.
const MOST_WINDOW: usize = 1 << 20;
/// So much of a request may wait for the socket, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// What a head may have beyond its limit before the connection itself is at fault, in bytes: the limit is of its text,
/// and kept where that is made.
const HEAD: usize = 64 * 1024;
/// How long the last frames may take.
const CLOSING: Duration = Duration::from_secs(1);

pub struct Link {
    send: SendRequest<Bytes>,
    shared: Arc<Shared>,
    /// When it was made.
    pub since: Instant,
    /// Requests that it has carried.
    pub requests: u32,
}

/// What the connection's task and its holder tell each other.
#[derive(Default)]
struct Shared {
    /// The task has ended.
    dead: AtomicBool,
    /// Nobody holds the connection.
    left: AtomicBool,
    /// Of the task.
    waker: Mutex<Option<Waker>>,
    read: AtomicU64,
    written: AtomicU64,
}

impl Link {
    /// Begins the protocol on a new connection. `memory`: for an answer; `head`: the longest head, both in bytes.
    pub async fn begin(stream: Stream, memory: usize, head: usize) -> io::Result<Link> {
        let shared = Arc::<Shared>::default();
        let window = memory.clamp(LEAST_WINDOW, MOST_WINDOW) as u32;
        let heads = u32::try_from(head.saturating_mul(2).saturating_add(HEAD)).unwrap_or(u32::MAX);
        let io = Io { stream, shared: shared.clone() };
        let (send, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(window)
            .initial_connection_window_size(window)
            .max_header_list_size(heads)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(io)
            .await
            .map_err(|error| error.into_io().unwrap_or_else(|| io::ErrorKind::InvalidData.into()))?;
        tokio::spawn(drive(connection, shared.clone()));
        Ok(Link { send, shared, since: Instant::now(), requests: 0 })
    }

    pub fn sent(&self) -> u64 {
        self.shared.written.load(Relaxed)
    }

    pub fn received(&self) -> u64 {
        self.shared.read.load(Relaxed)
    }

    /// Whether it may carry another request.
    pub fn may_stay(&self, keepalive: &Keepalive) -> bool {
        keepalive.most > 0
            && self.requests < keepalive.requests
            && self.since.elapsed().as_millis() as u64 <= keepalive.time
    }

    /// Whether the server has neither closed it nor said that it will.
    pub fn is_quiet(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        !self.shared.dead.load(Relaxed) && matches!(self.send.poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Ready when a request may be begun.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.send.poll_ready(cx)
    }

    /// Begins a request; `end`: it has no body.
    pub fn request(&mut self, request: Request<()>, end: bool) -> Result<(ResponseFuture, SendStream<Bytes>), Error> {
        self.send.send_request(request, end)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.left.store(true, Relaxed);
        if let Some(waker) = self.shared.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// Moves the frames of a connection until it ends, which it does when nobody holds it.
async fn drive(mut connection: Connection<Io, Bytes>, shared: Arc<Shared>) {
    let mut closing = None;
    poll_fn(|cx| {
        {
            let mut waker = shared.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !shared.left.load(Relaxed) {
            return Poll::Pending;
        }
        closing.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSING))).as_mut().poll(cx)
    })
    .await;
    shared.dead.store(true, Relaxed);
}

/// The stream as the crate `h2` wants it, counted.
struct Io {
    stream: Stream,
    shared: Arc<Shared>,
}

impl Io {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.shared.written.fetch_add(bytes as u64, Relaxed);
        }
        written
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.stream.poll_read_buf(cx, buf);
        self.shared.read.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        polled
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream.poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream.poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.poll_flush(cx);
        if flushed.is_ready() {
            self.stream.shutdown_write();
        }
        flushed
    }
}
