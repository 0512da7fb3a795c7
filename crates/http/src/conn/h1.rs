//! HTTP/1 on a connection (RFC 9112): wait, read a head, have it answered, again.

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use wire::h1::{Limits, Refusal, parse};

use crate::config::Config;
use crate::config::settings::Lingering;
use crate::exchange::Request;
use crate::log::Level;
use crate::phases;
use crate::phases::{refused, route};
use crate::slots::Slot;
use crate::transport::pool::{self, Exchange};
use crate::transport::sender::Sender;
use crate::transport::{Conn, registry};

use super::{h2, proxied, secure};

/// What follows an exchange.
enum Next {
    /// Wait for another request, so many ms at most; and so many at least, if the worker is to end meanwhile.
    Idle(u64, u64),
    /// Close. The peer may still be sending, so read on for a while lest a reset destroys the answer.
    Close(Option<Linger>),
    /// The client speaks HTTP/2: this was read of it.
    Http2(Vec<u8>),
}

/// How a connection is read on before it is closed: in ms, in all and without a byte.
#[derive(Clone, Copy)]
pub struct Linger {
    pub time: u64,
    pub timeout: u64,
}

impl Linger {
    /// What the settings say for a connection whose peer may still send (`more`), or may not.
    fn of(sender: &Sender, more: bool) -> Option<Linger> {
        let settings = sender.settings()?;
        let wanted = match settings.lingering_close {
            Lingering::Off => false,
            Lingering::On => more,
            Lingering::Always => true,
        };
        wanted.then_some(Linger { time: settings.lingering_time, timeout: settings.lingering_timeout })
    }
}

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
    Busy(Pin<Box<dyn Future<Output = After> + Send>>),
    Http2(Pin<Box<dyn Future<Output = ()> + Send>>),
    Ended,
}

/// What becomes of a connection after requests, or after its handshake.
pub(super) enum After {
    Idle(Conn),
    Ended,
    Http2(Conn, Vec<u8>),
}

impl Serve {
    pub fn new(conn: Conn) -> Serve {
        conn.arm(conn.engine.config.first_settings(conn.local.listen).0.client_header_timeout);
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
                    if let State::Idle(mut conn) = std::mem::replace(&mut this.state, State::Ended) {
                        this.state = State::Busy(match conn.stream.tls().is_some_and(|tls| tls.awaits_handshake()) {
                            true => Box::pin(secure::begin(conn, exchange)),
                            false => Box::pin(busy(conn, exchange)),
                        });
                    }
                }
                State::Busy(future) => {
                    this.state = match ready!(future.as_mut().poll(cx)) {
                        After::Idle(conn) => State::Idle(conn),
                        After::Ended => State::Ended,
                        After::Http2(conn, early) => State::Http2(Box::pin(h2::serve(conn, early))),
                    };
                }
                State::Http2(future) => {
                    ready!(future.as_mut().poll(cx));
                    this.state = State::Ended;
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
            tell_gone(conn);
            Poll::Ready(None)
        }
        Poll::Pending => {
            pool::put_unused(exchange);
            if conn.expired() || conn.engine.is_stopping() {
                if conn.requests == 0 && conn.expired() && !conn.watch.is_shed() {
                    let doing = if conn.awaits_proxy { "reading PROXY protocol" } else { "waiting for request" };
                    proxied::tell(conn, Level::Info, "client timed out (110: Connection timed out)", doing);
                    conn.reset_if_late();
                }
                return Poll::Ready(None);
            }
            conn.watch.register(cx);
            Poll::Pending
        }
    }
}

/// The client has ended the connection between two requests, or before the first.
fn tell_gone(conn: &Conn) {
    if conn.requests == 0 {
        proxied::tell(conn, Level::Info, "client closed connection", "waiting for request");
    } else if conn.engine.log_of_listener(conn.local.listen).enabled(Level::Info) {
        let message = format!("client {} closed keepalive connection", conn.client());
        proxied::tell(conn, Level::Info, &message, "");
    }
}

/// One request, or several that follow each other without a pause.
pub(super) async fn busy(mut conn: Conn, exchange: Exchange) -> After {
    let next = exchanges(&mut conn, exchange).await;
    match next {
        Next::Idle(keepalive, least) if keepalive > 0 => {
            conn.arm(if conn.engine.is_draining() { keepalive.min(registry::DRAIN_IDLE) } else { keepalive });
            conn.engine.registry.rest(&conn.watch, least);
            After::Idle(conn)
        }
        Next::Idle(..) | Next::Close(None) => After::Ended,
        Next::Close(Some(lingering)) => {
            linger(&mut conn, lingering).await;
            After::Ended
        }
        Next::Http2(early) => After::Http2(conn, early),
    }
}

/// Answers the request whose first bytes are read, and those that follow it without a pause.
async fn exchanges(conn: &mut Conn, exchange: Exchange) -> Next {
    let Exchange { mut request, mut sender } = exchange;
    if std::mem::take(&mut conn.awaits_proxy) {
        conn.arm(conn.engine.config.first_settings(conn.local.listen).0.client_header_timeout);
        if !proxied::read(conn, &mut request).await {
            return Next::Close(None);
        }
        if request.buf.is_empty() && !proxied::more(conn, &mut request, "waiting for request").await {
            return Next::Close(None);
        }
    }
    if conn.requests == 0 && conn.tls.is_none() && conn.engine.config.has_http2_in_clear(conn.local.listen) {
        match h2::begins(conn, &mut request).await {
            Some(true) => return Next::Http2(std::mem::take(&mut request.buf)),
            Some(false) => {}
            None => return Next::Close(None),
        }
    }
    loop {
        request.peer = conn.peer;
        request.proxied.clone_from(&conn.proxied);
        request.tls.clone_from(&conn.tls);
        request.secure = conn.tls.is_some();
        request.early = conn.stream.is_early();
        request.started = Instant::now();
        if let Err(failure) = read_head(conn, &mut request).await {
            return refuse(conn, request, &mut sender, failure).await;
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
            // Behind early data the end of the handshake is still to come.
            let more = unread || request.buf.len() > request.consumed || conn.stream.is_early();
            return Next::Close(Linger::of(&sender, more));
        }
        if request.buf.len() == request.consumed {
            let times = sender.settings().map(|settings| (settings.keepalive_timeout, settings.keepalive_min_timeout));
            let (keepalive, least) = times.unwrap_or_default();
            pool::put(Exchange { request, sender });
            return Next::Idle(keepalive, least);
        }
        let consumed = request.consumed;
        request.buf.drain(..consumed);
        pool::clean(&mut request);
        request.pipelined = true;
    }
}

/// Why there is no head.
enum Failure {
    /// There was nothing to be a request.
    Nothing,
    /// It is refused.
    Refused(Refusal),
    /// It did not come in time.
    Late,
    /// The client ended the connection.
    Gone,
}

/// Reads until the head is complete and well-formed.
async fn read_head(conn: &mut Conn, request: &mut Request) -> Result<(), Failure> {
    let engine = conn.engine.clone();
    let config = &engine.config;
    let settings = config.first_settings(conn.local.listen).0;
    let mut limits = &settings.limits;
    // The server that the client names may have limits of its own.
    let mut settled = !config.listens[conn.local.listen].limits_differ;
    let mut waiting = None;
    loop {
        let parsed = parse(&request.buf, limits, &mut request.head);
        if !settled && parsed != Ok(None) && request.head.host.is_some() {
            settled = true;
            let own = own_limits(config, conn.local.listen, request);
            if own != limits {
                limits = own;
                request.head.reset();
                continue;
            }
        }
        match parsed {
            Ok(Some(len)) => {
                if waiting.is_some() {
                    conn.watch.set_idle(false);
                }
                request.consumed = len;
                return Ok(());
            }
            Ok(None) => {}
            Err(refusal) => return Err(Failure::Refused(refusal)),
        }
        if waiting.is_none() {
            waiting = Some(Reading::of(engine.slot()));
            conn.arm(settings.client_header_timeout);
            engine.registry.read(&conn.watch);
        }
        let full = request.buf.len() == request.buf.capacity();
        if full {
            request.buf.reserve(pool::READ);
        }
        match conn.read(&mut request.buf, usize::MAX).await {
            Ok(read) if read > 0 => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => return Err(Failure::Late),
            _ if request.buf.is_empty() => return Err(Failure::Nothing),
            _ => return Err(Failure::Gone),
        }
    }
}

/// The limits of the server that a head asks for.
pub fn own_limits<'c>(config: &'c Config, listen: usize, request: &mut Request) -> &'c Limits {
    let _ = route::choose(config, listen, request);
    &config.server(request.route.server).settings.limits
}

/// A head that has begun, in the numbers of `stub_status`.
struct Reading(&'static Slot);

impl Reading {
    fn of(slot: &'static Slot) -> Reading {
        slot.reading.fetch_add(1, Relaxed);
        Reading(slot)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Relaxed);
    }
}

/// Answers what is not a request, or not yet.
async fn refuse(conn: &mut Conn, mut request: Box<Request>, sender: &mut Sender, failure: Failure) -> Next {
    let engine = conn.engine.clone();
    let config = &engine.config;
    engine.slot().handled.fetch_add(1, Relaxed);
    request.carrier = conn.carrier();
    let _ = route::choose(config, conn.local.listen, &mut request);
    let settings = config.location(request.route.location).settings.clone();
    let log = engine.log_of(&request);
    let status = match failure {
        Failure::Nothing => return Next::Close(None),
        Failure::Refused(refusal) => {
            refused::tell(conn, &request, config, log, refusal);
            if settings.nginx_pages { refusal.nginx_status() } else { refusal.status() }
        }
        Failure::Late if !settings.nginx_pages => {
            log.info(format_args!("{}: the request head did not arrive in time", conn.client()));
            408
        }
        Failure::Gone if !settings.nginx_pages => return Next::Close(None),
        // As nginx does: there is nothing to say to a client that says nothing.
        Failure::Late | Failure::Gone => {
            let late = matches!(failure, Failure::Late);
            let (status, what) = if late {
                (408, "client timed out (110: Connection timed out)")
            } else {
                (400, "client prematurely closed connection")
            };
            let doing = refused::doing(&request);
            request.log(Level::Info, config, log, format_args!("{what} while {doing}"));
            sender.reset(&request, false, &settings);
            sender.head.status = status;
            sender.abort();
            phases::log(conn, &mut request, sender);
            if late && settings.reset_timedout_connection {
                conn.reset();
            }
            return Next::Close(None);
        }
    };
    request = phases::refuse(conn, request, sender, status).await;
    let send_timeout = sender.settings().map_or(0, |settings| settings.send_timeout);
    let _ = conn.flush(sender, send_timeout).await;
    phases::log(conn, &mut request, sender);
    Next::Close(Linger::of(sender, true))
}

/// Lingering close: FIN, then read until the peer closes too, within limits.
pub async fn linger(conn: &mut Conn, lingering: Linger) {
    conn.stream.shutdown_write();
    let end = conn.age() + lingering.time;
    conn.watch.set_idle(true);
    let mut scratch = Vec::with_capacity(pool::READ);
    let mut total = 0;
    while total < LINGER_BYTES && !conn.engine.is_stopping() {
        scratch.clear();
        let left = end.saturating_sub(conn.age());
        if left == 0 {
            return;
        }
        conn.arm(left.min(lingering.timeout).max(1));
        match conn.read(&mut scratch, usize::MAX).await {
            Ok(read) if read > 0 => total += read,
            _ => return,
        }
    }
}
