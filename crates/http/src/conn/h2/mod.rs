//! HTTP/2 on a connection (RFC 9113). One task drives the connection; each request has one of its own, in which it is
//! answered as any other (`stream`), and is polled once before it is spawned: most are answered by then.
//!
//! `head` turns a request into text for the parser that all heads go through, `limits` says when a client is at fault
//! beyond what the crate `h2` itself bounds, `place` is the memory that requests are answered in.

mod head;
mod limits;
mod place;
mod stream;

use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http_types::Request as Head;
use tokio::time::Sleep;

use super::h1::{Linger, linger};
use super::proxied;
use crate::config::settings::Lingering;
use crate::engine::Engine;
use crate::exchange::Request;
use crate::log::Level;
use crate::transport::io::Stream;
use crate::transport::multiplexed::{Multiplexed, Port, Shared};
use crate::transport::registry::{DRAIN_IDLE, Watch};
use crate::transport::{Conn, pool};
use limits::Limits;
use place::Place;

/// What a client begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For so long new requests are begun in the connection's own task; then the others have their turn.
const INLINE: Duration = Duration::from_micros(500);
/// How long the last frames of a connection may take, in ms.
const CLOSING: u64 = 5_000;

/// Whether what a client sends begins with the preface; reads on until that is known. `None`: nothing more comes.
pub async fn begins(conn: &mut Conn, request: &mut Request) -> Option<bool> {
    loop {
        let len = request.buf.len().min(PREFACE.len());
        if request.buf[..len] != PREFACE[..len] {
            return Some(false);
        }
        if len == PREFACE.len() {
            return Some(true);
        }
        if !proxied::more(conn, request, "reading HTTP/2 preface").await {
            return None;
        }
    }
}

/// Serves a connection to its end. `early`: what was read of it already. What an idle one holds is what this future is
/// made of, so that nothing stands in it twice.
pub fn serve(conn: Conn, early: Vec<u8>) -> impl Future<Output = ()> + Send {
    let engine = conn.engine.clone();
    let watch = conn.watch.clone();
    let settings = engine.config.first_settings(conn.local.listen);
    let lingers = settings.1.lingering_close != Lingering::Off;
    let linger_for = Linger { time: settings.1.lingering_time, timeout: settings.1.lingering_timeout };
    conn.arm(settings.0.client_header_timeout);
    let port = Port::new(conn, early);
    let shared = Shared::new(watch.clone());
    async move {
        let driver = |connection| Driver::new(connection, port.share(), shared.clone(), &engine);
        // In memory of its own, which is as large as all the rest and free when the handshake is done.
        let mut driver = Box::pin(shake_hands(&port, &engine, &watch)).await.map(driver);
        // By reference: what is moved out of a variable keeps its place until the function's end.
        let end = match &mut driver {
            Some(driver) => poll_fn(|cx| driver.poll(cx)).await,
            None => End::Lost,
        };
        drop(driver);
        let Some(mut socket) = port.into_inner() else { return };
        if end == End::Said && lingers {
            linger(&mut socket.conn, linger_for).await;
        }
        // What still runs is of this connection, which is only gone when all of it is.
        socket.conn.arm(0);
        poll_fn(|cx| {
            watch.register(cx);
            if shared.active() == 0 || engine.is_stopping() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Exchanges the first frames.
async fn shake_hands(port: &Port, engine: &Engine, watch: &Watch) -> Option<Connection<Port, Bytes>> {
    let listen = port.lock().conn.local.listen;
    let (server, _) = engine.config.first_settings(listen);
    let http2 = &server.http2;
    let preread = http2.preread.max(limits::LEAST_WINDOW);
    let mut builder = Builder::new();
    builder
        .initial_window_size(preread)
        .initial_connection_window_size(preread.max(limits::CONNECTION_WINDOW))
        .max_concurrent_streams(http2.streams)
        .max_frame_size(http2.frame)
        .max_header_list_size(limits::head_size(server))
        .max_send_buffer_size(limits::SEND_BUFFER)
        .max_concurrent_reset_streams(limits::RESET_KEPT)
        .reset_stream_duration(limits::RESET_KEPT_FOR);
    let evented = engine.apps.iter().any(|app| matches!(app, crate::app::App::Evented(_)));
    if evented || !engine.config.passes.is_empty() {
        builder.enable_connect_protocol();
    }
    let mut handshake = builder.handshake::<Port, Bytes>(port.share());
    poll_fn(|cx| {
        watch.register(cx);
        port.lock().begin_turn();
        let polled = Pin::new(&mut handshake).poll(cx);
        let _ = port.lock().poll_flush(cx);
        match polled {
            Poll::Ready(shaken) => Poll::Ready(shaken.ok()),
            Poll::Pending if engine.registry.expired(watch) || engine.is_stopping() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client is gone, or there is nothing to say to it.
    Lost,
    /// It was told so, and may still be sending.
    Said,
}

/// What a limit of time is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    /// The first request.
    First,
    /// Another request.
    Idle,
    /// Requests under way have limits of their own.
    Nothing,
    /// That the client takes what is sent.
    Room,
    /// The last frames.
    End,
}

/// A connection while it lasts.
struct Driver {
    connection: Connection<Port, Bytes>,
    port: Port,
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    watch: Arc<Watch>,
    listen: usize,
    limits: Limits,
    waits_for: WaitsFor,
    /// Bytes written when the time for more began.
    written: u64,
    /// The client is told to send no more requests.
    leaving: bool,
    /// Heads so far that were none.
    faults: u64,
    /// Nothing more is read for now because of the last.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    fn new(connection: Connection<Port, Bytes>, port: Port, shared: Arc<Shared>, engine: &Arc<Engine>) -> Driver {
        let (watch, listen) = {
            let socket = port.lock();
            (socket.conn.watch.clone(), socket.conn.local.listen)
        };
        let limits = Limits::new(engine.config.first_settings(listen).0.http2.streams);
        let engine = engine.clone();
        let waits_for = WaitsFor::Nothing;
        Driver {
            connection,
            port,
            shared,
            engine,
            watch,
            listen,
            limits,
            waits_for,
            written: 0,
            leaving: false,
            faults: 0,
            rest: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.shared.drive(true);
        self.port.lock().begin_turn();
        let polled = self.turn(cx);
        self.shared.drive(false);
        polled
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.watch.register(cx);
        if self.engine.is_stopping() {
            return Poll::Ready(End::Lost);
        }
        if self.engine.is_draining() {
            self.leave();
        }
        self.rest(cx);
        let mut since = None;
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((head, respond)))) => {
                    let inline = since.get_or_insert_with(Instant::now).elapsed() < INLINE;
                    self.begin(cx, head, respond, inline);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.tell(&error);
                    let _ = self.port.lock().poll_flush(cx);
                    return Poll::Ready(if error.is_io() { End::Lost } else { End::Said });
                }
                Poll::Ready(None) => {
                    let _ = self.port.lock().poll_flush(cx);
                    return Poll::Ready(End::Said);
                }
                Poll::Pending => break,
            }
        }
        let (flushed, read, written, faults) = {
            let mut socket = self.port.lock();
            (socket.poll_flush(cx), socket.read, socket.written, socket.faults)
        };
        if let Poll::Ready(Err(_)) = flushed {
            return Poll::Ready(End::Lost);
        }
        if flushed.is_ready() {
            self.shared.sent();
        }
        if faults > self.faults {
            self.faults = faults;
            self.rest = Some(Box::pin(tokio::time::sleep(limits::rest(faults))));
            self.rest(cx);
        }
        if self.limits.is_exceeded(&self.shared, read, faults) && self.waits_for != WaitsFor::End {
            self.end(Reason::ENHANCE_YOUR_CALM);
            cx.waker().wake_by_ref();
        }
        if self.keep_time(flushed.is_pending(), written) {
            return Poll::Ready(End::Lost);
        }
        Poll::Pending
    }

    /// Reads again when the time for it has come.
    fn rest(&mut self, cx: &mut Context<'_>) {
        let Some(rest) = &mut self.rest else { return };
        let rests = rest.as_mut().poll(cx).is_pending();
        self.port.lock().rests = rests;
        if !rests {
            self.rest = None;
        }
    }

    /// Has a request answered.
    fn begin(&mut self, cx: &mut Context<'_>, head: Head<RecvStream>, respond: SendResponse<Bytes>, inline: bool) {
        let (head, body) = head.into_parts();
        let active = self.shared.enter();
        let early;
        let (conn, mut exchange) = {
            let mut socket = self.port.lock();
            let conn = &mut socket.conn;
            conn.requests = conn.requests.saturating_add(1);
            early = conn.stream.is_early();
            let stream = Multiplexed::new(respond, body, self.shared.clone(), conn.stream.as_raw_fd());
            (conn.of_stream(Stream::H2(Box::new(stream))), pool::take(&conn.local))
        };
        exchange.request.early = early;
        let settings = self.engine.config.first_settings(self.listen).1;
        let last = settings.keepalive_requests != 0 && conn.requests >= settings.keepalive_requests;
        let old = settings.keepalive_time != 0 && conn.age() >= settings.keepalive_time;
        let mut place = Place::new(place::Request { conn, exchange, head, active });
        let polled = if inline {
            // What goes wrong in one request is not to end the others.
            catch_unwind(AssertUnwindSafe(|| Pin::new(&mut place).poll(cx))).unwrap_or(Poll::Ready(()))
        } else {
            Poll::Pending
        };
        if polled.is_pending() {
            tokio::spawn(place);
        }
        if last || old {
            self.leave();
        }
    }

    /// Tells the client to send no more requests; those that it has sent are answered.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.connection.graceful_shutdown();
            self.watch.wake();
        }
    }

    /// Ends the connection as soon as the client is told why.
    fn end(&mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        self.rest = None;
        self.port.lock().rests = false;
        self.waits_for = WaitsFor::End;
        self.engine.registry.arm(&self.watch, CLOSING);
    }

    /// Arms the limit of time that holds now; `true`: it is over, and the connection too.
    fn keep_time(&mut self, stuck: bool, written: u64) -> bool {
        let registry = &self.engine.registry;
        let expired = registry.expired(&self.watch);
        let active = self.shared.active() > 0;
        let (server, settings) = self.engine.config.first_settings(self.listen);
        match self.waits_for {
            WaitsFor::End | WaitsFor::Room if expired && (stuck || self.waits_for == WaitsFor::End) => return true,
            WaitsFor::End => return false,
            WaitsFor::First | WaitsFor::Idle if expired && !active => {
                self.end(Reason::NO_ERROR);
                self.watch.wake();
                return false;
            }
            _ => {}
        }
        let first = self.waits_for == WaitsFor::First && !active && self.port.lock().conn.requests == 0;
        let next = match () {
            () if stuck => WaitsFor::Room,
            () if active => WaitsFor::Nothing,
            () if first => WaitsFor::First,
            () => WaitsFor::Idle,
        };
        if next == self.waits_for && (next != WaitsFor::Room || self.written == written) {
            return false;
        }
        self.waits_for = next;
        self.written = written;
        self.watch.set_idle(false);
        match next {
            WaitsFor::Room => registry.arm(&self.watch, settings.send_timeout),
            WaitsFor::First | WaitsFor::Idle => {
                let first = next == WaitsFor::First;
                let time = if first { server.client_header_timeout } else { settings.keepalive_timeout.max(1) };
                registry.arm(&self.watch, if self.leaving { time.min(DRAIN_IDLE) } else { time });
                registry.rest(&self.watch, settings.keepalive_min_timeout);
            }
            WaitsFor::Nothing | WaitsFor::End => registry.arm(&self.watch, 0),
        }
        false
    }

    /// Tells of a client that is at fault.
    fn tell(&self, error: &h2::Error) {
        if !error.is_io() {
            let message = format!("{error} while processing HTTP/2 connection");
            proxied::tell(&self.port.lock().conn, Level::Info, &message, "");
        }
    }
}
