//! WebSockets for an evented application (RFC 6455): the handshake, then messages both ways until one side closes. Over
//! HTTP/2 the handshake is an extended CONNECT, and a stream takes the place of the connection (RFC 8441).

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use wire::h1::{Known, Method, Version};
use wire::ws::{Decoder, Event, extension, handshake};

use super::{Outcome, evented};
use crate::app::inbox::Item;
use crate::app::socket::{Message, Phase, Socket, State};
use crate::app::{Evented, Scope};
use crate::config::Settings;
use crate::exchange::Request;
use crate::handlers::errors;
use crate::transport::Conn;
use crate::transport::memory::{self, Charge};
use crate::transport::sender::Sender;

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// How long a client's Close is waited for after ours, in ms.
const CLOSE_TIMEOUT: u64 = 5_000;
/// The most of an incomplete message that is kept when memory is short, see `worker_memory`; in bytes.
const MOST_WHEN_SHORT: usize = 64 * 1024;
/// Its close code.
const TRY_AGAIN_LATER: u16 = 1013;
/// The close code of a server that goes away for a moment: reload and restart.
const SERVICE_RESTART: u16 = 1012;
/// The close code for a client that does not answer a ping.
const INTERNAL_ERROR: u16 = 1011;

thread_local! {
    /// What is read goes here first: a WebSocket that waits holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whether a request asks for a WebSocket.
pub fn is_handshake(request: &Request) -> bool {
    let head = &request.head;
    if request.tunnel {
        return head.upgrade;
    }
    head.upgrade
        && head.method == Method::Get
        && head.version == Version::Http11
        && tokens(request, Known::Upgrade).any(|token| token.eq_ignore_ascii_case(b"websocket"))
}

/// The members of a list field.
fn tokens(request: &Request, known: Known) -> impl Iterator<Item = &[u8]> {
    values(request, known).flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// The values of a field.
fn values(request: &Request, known: Known) -> impl Iterator<Item = &[u8]> {
    let fields = request.head.fields.iter().filter(move |field| field.known == known);
    fields.map(|field| field.value.of(&request.buf))
}

/// Sec-WebSocket-Accept, if there is one valid key.
fn accept(request: &Request) -> Option<[u8; 28]> {
    let mut keys = values(request, Known::SecWebSocketKey);
    match (keys.next(), keys.next()) {
        (Some(key), None) if handshake::is_key(key) => Some(handshake::accept(key)),
        _ => None,
    }
}

/// Serves a WebSocket to its end.
pub async fn serve(
    conn: &mut Conn,
    mut request: Box<Request>,
    sender: &mut Sender,
    app: &Arc<dyn Evented>,
    settings: &Settings,
) -> Outcome {
    sender.keep_alive = false;
    if !values(&request, Known::SecWebSocketVersion).eq([&b"13"[..]]) {
        errors::page(sender, 426, &[("Sec-WebSocket-Version", b"13"), ("Upgrade", b"websocket")]);
        return Outcome { request, unread: false, status: None };
    }
    // There is no key where a stream is opened for it.
    let Some(accept) = accept(&request).or(request.tunnel.then_some([0; 28])) else {
        conn.engine.log.warning(format_args!("Invalid request from ip={}: not a WebSocket key", conn.client()));
        errors::page(sender, 400, &[]);
        return Outcome { request, unread: false, status: None };
    };
    let deflate = if settings.app.websocket.deflate {
        extension::negotiate(values(&request, Known::SecWebSocketExtensions))
    } else {
        None
    };
    request.consumed = request.head.len;
    let early = request.buf.split_off(request.consumed);
    let engine = conn.engine.clone();
    let socket = Socket::new(engine.clone(), request.route.location, std::mem::take(sender), accept, deflate);
    let tunnel = request.tunnel;
    let lent = engine.is_fronted();
    if lent {
        let spare = std::mem::replace(&mut request, Box::new(Request::new(0, conn.local.clone())));
        engine.inbox.push(Item::Begin { app: app.clone(), request: spare, scope: Scope::WebSocket(socket.clone()) });
    } else {
        evented::begin(&engine, app, &mut request, Scope::WebSocket(socket.clone()));
        request.buf.shrink_to_fit();
    }
    conn.watch.set_idle(false);
    let mut relay = Relay {
        settings,
        decoder: Decoder::new(settings.app.websocket.max_size, deflate.as_ref()),
        charge: Charge::default(),
        rest: early,
        asked: false,
        armed: None,
        pings: 0,
        lent,
        eof: false,
        goodbye: None,
        done: false,
    };
    poll_fn(|cx| relay.poll(cx, conn, &socket)).await;
    let mut state = socket.lock();
    *sender = std::mem::take(&mut state.sender);
    if tunnel && matches!(state.phase, Phase::Closing | Phase::Closed) && !state.broken {
        // The stream ends as a connection would (RFC 8441 section 5).
        sender.end();
    } else if !matches!(state.phase, Phase::Denied) || state.broken || !sender.ended {
        sender.abort();
    }
    sender.keep_alive = false;
    state.phase = Phase::Closed;
    state.broken = true;
    state.ended(1006, String::new());
    socket.tell_application(&mut state);
    if let Some(back) = state.link.request.take() {
        request = back;
    }
    drop(state);
    // Where both have closed nothing more comes.
    Outcome { request, unread: !relay.eof && !relay.done, status: None }
}

/// What a limit of time is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    /// The time for the next ping.
    Ping,
    Pong,
    /// That the client takes what is sent.
    Room,
    /// The client's Close.
    Close,
    Nothing,
}

/// What moves while a WebSocket is there.
struct Relay<'a> {
    settings: &'a Settings,
    decoder: Decoder,
    /// Messages that the application has not taken, and the one that is arriving.
    charge: Charge,
    /// Read and not decoded yet.
    rest: Vec<u8>,
    /// A ping has been sent and not been answered.
    asked: bool,
    /// What the limit of time that runs is for.
    armed: Option<WaitsFor>,
    pings: u32,
    /// The request is with the loop's thread.
    lent: bool,
    eof: bool,
    /// The Close that is to be sent once the application has had what came before: code and reason.
    goodbye: Option<(Option<u16>, &'static str)>,
    /// Both sides have closed.
    done: bool,
}

impl Relay<'_> {
    /// Ready when the connection is to end.
    fn poll(&mut self, cx: &mut Context<'_>, conn: &mut Conn, socket: &Socket) -> Poll<()> {
        conn.watch.register(cx);
        let mut guard = socket.lock();
        let state = &mut *guard;
        if self.lent && state.link.request.is_some() {
            self.lent = false;
            if let Some(request) = &mut state.link.request {
                request.buf.shrink_to_fit();
            }
        }
        if conn.engine.is_stopping() {
            state.broken = true;
        }
        if conn.engine.is_draining() && state.phase == Phase::Open {
            state.close(Some(SERVICE_RESTART), "");
            state.ended(SERVICE_RESTART, String::new());
        }
        self.read(cx, conn, state);
        if state.told || state.link.done {
            self.say_goodbye(state);
        }
        self.keep_time(conn, state);
        self.write(cx, conn, state);
        socket.tell_application(state);
        if self.is_over(state) {
            return Poll::Ready(());
        }
        state.link.wait(cx.waker());
        Poll::Pending
    }

    fn is_over(&self, state: &State) -> bool {
        if self.lent {
            return false;
        }
        let sent = state.sender.is_flushed();
        match state.phase {
            _ if state.broken => true,
            Phase::Connecting => state.link.done,
            Phase::Denied => state.sender.ended || state.link.done,
            Phase::Open => false,
            Phase::Closing => self.eof,
            Phase::Closed => sent,
        }
    }

    /// Takes what the client sends, as far as there is room for it.
    fn read(&mut self, cx: &mut Context<'_>, conn: &mut Conn, state: &mut State) {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.reserve(READ);
            scratch.append(&mut self.rest);
            loop {
                let decoded =
                    if matches!(state.phase, Phase::Open | Phase::Closing) { self.decode(scratch, state) } else { 0 };
                scratch.drain(..decoded);
                if self.eof || state.phase == Phase::Closed || self.must_wait(state, scratch.len()) {
                    break;
                }
                let room = READ.saturating_sub(scratch.len()).max(1024);
                scratch.reserve(room);
                match conn.stream.poll_read(cx, scratch, room) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(read)) if read > 0 => {}
                    Poll::Ready(other) => {
                        self.eof = true;
                        state.broken |= other.is_err() || state.phase != Phase::Closing;
                        state.ended(if state.phase == Phase::Closing { 1005 } else { 1006 }, String::new());
                        break;
                    }
                }
            }
            if !scratch.is_empty() {
                self.rest.extend_from_slice(scratch);
            }
        });
    }

    /// Answers the client's Close, or its fault.
    fn say_goodbye(&mut self, state: &mut State) {
        if let Some((code, reason)) = self.goodbye.take() {
            state.close(code, reason);
            state.phase = Phase::Closed;
        }
    }

    fn must_wait(&self, state: &State, undecoded: usize) -> bool {
        let full = state.queued() >= self.settings.app.websocket.max_queue || state.is_full();
        match state.phase {
            // Before the handshake is answered a client has nothing to say; its end is noticed.
            Phase::Connecting | Phase::Denied => undecoded > 0,
            _ => full || self.goodbye.is_some(),
        }
    }

    /// Decodes what is there; how many bytes are done with.
    fn decode(&mut self, bytes: &mut [u8], state: &mut State) -> usize {
        let mut at = 0;
        while !self.must_wait(state, 0) {
            match self.decoder.decode(&mut bytes[at..]) {
                Ok((consumed, event)) => {
                    at += consumed;
                    let Some(event) = event else { break };
                    self.take(event, state);
                }
                Err(fault) => {
                    state.ended(fault.code, fault.reason.to_owned());
                    self.goodbye = Some((Some(fault.code), fault.reason));
                    return bytes.len();
                }
            }
        }
        let held = self.decoder.held();
        self.charge.set(held + state.waiting_bytes());
        if held > MOST_WHEN_SHORT && memory::is_over() {
            let reason = "the server is short of memory";
            state.ended(TRY_AGAIN_LATER, reason.to_owned());
            self.goodbye = Some((Some(TRY_AGAIN_LATER), reason));
            return bytes.len();
        }
        at
    }

    fn take(&mut self, event: Event, state: &mut State) {
        match event {
            // What comes after our Close is not heard any more.
            Event::Text(text) if state.phase == Phase::Open => state.put(Message::Text(text)),
            Event::Binary(bytes) if state.phase == Phase::Open => state.put(Message::Binary(bytes)),
            Event::Text(_) | Event::Binary(_) => {}
            Event::Ping(payload) => {
                if state.phase == Phase::Open {
                    let State { sender, encoder, .. } = state;
                    sender.raw(|out| encoder.pong(out, &payload));
                }
            }
            Event::Pong(payload) => {
                if payload == self.pings.to_be_bytes() {
                    self.asked = false;
                }
            }
            Event::Close(close) => {
                let echoed = close.as_ref().map(|(code, _)| *code);
                let (code, reason) = close.unwrap_or((1005, String::new()));
                state.ended(code, reason);
                self.done = true;
                if state.phase == Phase::Open {
                    self.goodbye = Some((echoed, ""));
                } else {
                    state.phase = Phase::Closed;
                }
            }
        }
    }

    /// Pings, and gives up on clients that are gone or take nothing.
    fn keep_time(&mut self, conn: &Conn, state: &mut State) {
        let websocket = &self.settings.app.websocket;
        let pings = state.phase == Phase::Open && websocket.ping_interval > 0;
        if self.armed.is_some() && conn.expired() {
            self.armed = None;
            if self.goodbye.is_some() {
                self.say_goodbye(state);
            } else if !pings {
                // Closing takes too long, or what is to be sent is not taken.
                state.broken = true;
                state.ended(1006, String::new());
                return;
            } else if self.asked {
                state.close(Some(INTERNAL_ERROR), "keepalive ping timeout");
                state.ended(INTERNAL_ERROR, "keepalive ping timeout".to_owned());
                state.phase = Phase::Closed;
            } else {
                self.asked = true;
                self.pings = self.pings.wrapping_add(1);
                let payload = self.pings.to_be_bytes();
                let State { sender, encoder, .. } = state;
                sender.raw(|out| encoder.ping(out, &payload));
            }
        }
        let waits_for = match state.phase {
            _ if self.goodbye.is_some() => WaitsFor::Close,
            Phase::Open if pings && self.asked => WaitsFor::Pong,
            Phase::Open if pings => WaitsFor::Ping,
            Phase::Open | Phase::Denied if !state.sender.is_flushed() => WaitsFor::Room,
            Phase::Closing | Phase::Closed => WaitsFor::Close,
            _ => WaitsFor::Nothing,
        };
        if self.armed == Some(waits_for) {
            return;
        }
        self.armed = Some(waits_for);
        conn.arm(match waits_for {
            WaitsFor::Ping => websocket.ping_interval,
            WaitsFor::Pong => websocket.ping_timeout,
            WaitsFor::Room => self.settings.send_timeout,
            WaitsFor::Close => CLOSE_TIMEOUT,
            WaitsFor::Nothing => 0,
        });
    }

    fn write(&mut self, cx: &mut Context<'_>, conn: &mut Conn, state: &mut State) {
        if state.broken || state.sender.is_flushed() {
            return;
        }
        let mut progress = false;
        if let Poll::Ready(Err(_)) = state.sender.poll_flush(cx, &mut conn.stream, &mut progress) {
            state.broken = true;
            state.sender.clear_queue();
            state.ended(1006, String::new());
        }
        if progress && self.armed == Some(WaitsFor::Room) {
            self.armed = None;
        }
        if state.sender.is_flushed() {
            // A WebSocket that waits holds no buffer.
            state.sender.shrink();
        }
    }
}
