//! HTTP/1 on a connection (RFC 9112): wait, read a head, have it answered, again.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use wire::h1::parse;

use crate::exchange::Request;
use crate::handlers::errors;
use crate::phases;
use crate::transport::pool::{self, Exchange};
use crate::transport::sender::Sender;
use crate::transport::{Conn, registry};

/// What follows an exchange.
enum Next {
    /// Wait for another request.
    Idle,
    /// Close; `true`: the peer may still be sending, so read on for a while lest a reset destroys the answer.
    Close(bool),
}

/// How long the rest of what a client sends is read and thrown away before its connection is closed, in ms.
const LINGER: u64 = 5_000;
/// How many bytes of it.
const LINGER_BYTES: usize = 8 << 20;

/// A connection until its end. A hand-written future: it is what an idle connection costs, so it holds the connection
/// once, and everything that a request needs is behind one pointer that is there only while there is a request.
pub struct Serve {
    state: State,
}

enum State {
    /// Between two requests.
    Idle(Conn),
    Busy(Pin<Box<dyn Future<Output = Option<Conn>> + Send>>),
    Ended,
}

impl Serve {
    pub fn new(conn: Conn) -> Serve {
        conn.arm(conn.engine.config.settings.client_header_timeout);
        Serve { state: State::Idle(conn) }
    }
}

impl Future for Serve {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Ended => return Poll::Ready(()),
                State::Idle(conn) => {
                    let Some(exchange) = ready!(poll_idle(conn, cx)) else {
                        this.state = State::Ended;
                        return Poll::Ready(());
                    };
                    if let State::Idle(conn) = std::mem::replace(&mut this.state, State::Ended) {
                        this.state = State::Busy(Box::pin(busy(conn, exchange)));
                    }
                }
                State::Busy(future) => {
                    this.state = ready!(future.as_mut().poll(cx)).map_or(State::Ended, State::Idle);
                }
            }
        }
    }
}

/// Waits for the first bytes of a request; `None` when the connection is to end.
fn poll_idle(conn: &mut Conn, cx: &mut Context<'_>) -> Poll<Option<Exchange>> {
    let mut exchange = pool::take(&conn.local);
    match conn.stream.poll_read(cx, &mut exchange.request.buf, pool::READ) {
        Poll::Ready(Ok(read)) if read > 0 => {
            conn.watch.set_idle(false);
            Poll::Ready(Some(exchange))
        }
        Poll::Ready(_) => {
            pool::put(exchange);
            Poll::Ready(None)
        }
        Poll::Pending => {
            pool::put(exchange);
            if conn.expired() || conn.engine.is_stopping() {
                return Poll::Ready(None);
            }
            conn.watch.register(cx);
            Poll::Pending
        }
    }
}

/// One request, or several that follow each other without a pause; `None` when the connection has ended.
async fn busy(mut conn: Conn, exchange: Exchange) -> Option<Conn> {
    let next = exchanges(&mut conn, exchange).await;
    let keepalive = conn.engine.config.settings.keepalive_timeout;
    match next {
        Next::Idle if keepalive > 0 => {
            conn.arm(if conn.engine.is_draining() { keepalive.min(registry::DRAIN_IDLE) } else { keepalive });
            conn.watch.set_idle(true);
            Some(conn)
        }
        Next::Idle | Next::Close(false) => None,
        Next::Close(true) => {
            linger(conn).await;
            None
        }
    }
}

/// Answers the request whose first bytes are read, and those that follow it without a pause.
async fn exchanges(conn: &mut Conn, exchange: Exchange) -> Next {
    let Exchange { mut request, mut sender } = exchange;
    loop {
        request.peer = conn.peer;
        request.started = Instant::now();
        if let Err(next) = read_head(conn, &mut request, &mut sender).await {
            return next;
        }
        conn.requests = conn.requests.saturating_add(1);
        let slot = conn.engine.slot();
        slot.requests.fetch_add(1, Relaxed);
        let (back, unread) = phases::exchange(conn, request, &mut sender).await;
        slot.requests.fetch_sub(1, Relaxed);
        slot.handled.fetch_add(1, Relaxed);
        conn.engine.request_ended();
        request = back;
        if !sender.keep_alive {
            let more = unread || request.buf.len() > request.consumed;
            return Next::Close(more);
        }
        if request.buf.len() == request.consumed {
            pool::put(Exchange { request, sender });
            return Next::Idle;
        }
        let consumed = request.consumed;
        request.buf.drain(..consumed);
        pool::clean(&mut request);
    }
}

/// Reads until the head is complete and well-formed; otherwise what to do with the connection.
async fn read_head(conn: &mut Conn, request: &mut Request, sender: &mut Sender) -> Result<(), Next> {
    let engine = conn.engine.clone();
    let settings = &engine.config.settings;
    let mut waiting = false;
    loop {
        match parse(&request.buf, &settings.limits, &mut request.head) {
            Ok(Some(len)) => {
                request.consumed = len;
                return Ok(());
            }
            Ok(None) => {}
            Err(refusal) => {
                engine.log.warning(format_args!("Invalid request from ip={}: {}", conn.client(), refusal.reason()));
                return Err(refuse(conn, request, sender, refusal.status()).await);
            }
        }
        if !waiting {
            waiting = true;
            conn.arm(settings.client_header_timeout);
        }
        let full = request.buf.len() == request.buf.capacity();
        if full {
            request.buf.reserve(pool::READ);
        }
        match conn.read(&mut request.buf, usize::MAX).await {
            Ok(0) => return Err(Next::Close(false)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                engine.log.info(format_args!("{}: the request head did not arrive in time", conn.client()));
                return Err(refuse(conn, request, sender, 408).await);
            }
            Err(_) => return Err(Next::Close(false)),
        }
    }
}

/// Answers what is not a request, or not yet.
async fn refuse(conn: &mut Conn, request: &Request, sender: &mut Sender, status: u16) -> Next {
    sender.reset_without_request(&conn.engine.config.settings);
    errors::page(sender, status, &[]);
    let send_timeout = conn.engine.config.settings.send_timeout;
    let _ = conn.flush(sender, send_timeout).await;
    phases::log(conn, request, sender);
    Next::Close(true)
}

/// Lingering close: FIN, then read until the peer closes too, within limits.
async fn linger(mut conn: Conn) {
    conn.stream.shutdown_write();
    conn.arm(LINGER);
    conn.watch.set_idle(true);
    let mut scratch = Vec::with_capacity(pool::READ);
    let mut total = 0;
    while total < LINGER_BYTES && !conn.engine.is_stopping() {
        scratch.clear();
        match conn.read(&mut scratch, usize::MAX).await {
            Ok(read) if read > 0 => total += read,
            _ => return,
        }
    }
}
