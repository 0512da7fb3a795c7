//! One WebSocket between a connection's task and an application on an event loop (RFC 6455; ASGI's WebSocket scope).
//!
//! The connection puts the client's messages in, up to a number and a size at which it reads no further; the
//! application puts frames into the `Sender`, and waits while too much of them is unsent.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;

use wire::ws::{Encoder, Params};

use super::Gone;
use super::inbox::{Item, Resume};
use super::link::{HIGH, LOW, Link, Linked, Shared};
use crate::engine::Engine;
use crate::exchange::ResponseHead;
use crate::transport::sender::Sender;

/// Bytes of messages that wait for the application, from which on the client is read no further.
const MOST_WAITING: usize = 256 * 1024;

/// A message of the client.
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }
}

/// How far a WebSocket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The handshake waits for the application.
    Connecting,
    Open,
    /// Our Close is sent, the client's is waited for.
    Closing,
    /// An ordinary answer takes the place of the WebSocket.
    Denied,
    Closed,
}

pub struct State {
    pub phase: Phase,
    /// The handshake's answer, and all that is sent after it.
    pub sender: Sender,
    pub encoder: Encoder,
    incoming: VecDeque<Message>,
    /// Bytes in `incoming`.
    waiting: usize,
    /// Close code and reason, for the application.
    pub end: Option<(u16, String)>,
    /// The application knows of it.
    pub told: bool,
    /// Nothing can be sent any more.
    pub broken: bool,
    pub link: Link,
}

pub struct Socket {
    shared: Shared<State>,
    /// What was agreed on with the client, for when it is accepted.
    pub deflate: Option<Params>,
    /// Sec-WebSocket-Accept.
    accept: [u8; 28],
}

impl Deref for Socket {
    type Target = Shared<State>;

    fn deref(&self) -> &Shared<State> {
        &self.shared
    }
}

impl Linked for State {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl Socket {
    /// `location`: of the request.
    pub fn new(
        engine: Arc<Engine>,
        location: u32,
        sender: Sender,
        accept: [u8; 28],
        deflate: Option<Params>,
    ) -> Arc<Socket> {
        let state = State {
            phase: Phase::Connecting,
            sender,
            encoder: Encoder::new(deflate.as_ref()),
            incoming: VecDeque::new(),
            waiting: 0,
            end: None,
            told: false,
            broken: false,
            link: Link::default(),
        };
        Arc::new(Socket { shared: Shared::new(engine, location, state), deflate, accept })
    }

    /// The next message, if it has come; `Err`: there will be none, with close code and reason.
    pub fn receive(&self) -> Result<Option<Message>, (u16, String)> {
        let mut state = self.lock();
        if let Some(message) = state.incoming.pop_front() {
            let stopped = state.is_full();
            state.waiting -= message.len();
            if state.incoming.is_empty() {
                // What waits for the next message is not to hold memory.
                state.incoming.shrink_to(4);
            }
            if stopped || state.incoming.is_empty() {
                self.tell_connection(state);
            }
            return Ok(Some(message));
        }
        match state.end.clone() {
            Some(end) => {
                if !std::mem::replace(&mut state.told, true) {
                    self.tell_connection(state);
                }
                Err(end)
            }
            None => Ok(None),
        }
    }

    /// Has `resume` called when a message has come, or the end.
    pub fn wait_for_client(&self, resume: Arc<dyn Resume>) {
        let mut state = self.lock();
        if state.incoming.is_empty() && state.end.is_none() {
            state.link.readers.add(resume);
        } else {
            self.inbox().push(Item::Resume(resume));
        }
    }

    /// Accepts the handshake. `head`: the application's fields.
    pub fn accept(&self, mut head: ResponseHead) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.phase != Phase::Connecting {
            return Err(Gone);
        }
        head.status = 101;
        head.put("Upgrade", b"websocket");
        head.put("Sec-WebSocket-Accept", &self.accept);
        if let Some(deflate) = &self.deflate {
            head.put("Sec-WebSocket-Extensions", deflate.to_field().as_bytes());
        }
        state.sender.switch_protocols(head);
        state.phase = Phase::Open;
        self.tell_connection(state);
        Ok(())
    }

    /// Answers the handshake with something else.
    pub fn deny(&self, head: Option<ResponseHead>, add: impl FnOnce(&mut Sender)) -> Result<(), Gone> {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Connecting | Phase::Denied) || state.broken {
            return Err(Gone);
        }
        state.phase = Phase::Denied;
        if let Some(head) = head {
            state.sender.start(head);
        }
        add(&mut state.sender);
        self.tell_connection(state);
        Ok(())
    }

    /// Sends a frame.
    pub fn send(&self, encode: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.phase != Phase::Open || state.broken || state.told {
            return Err(Gone);
        }
        let State { sender, encoder, .. } = &mut *state;
        sender.raw(|out| encode(encoder, out));
        self.tell_connection(state);
        Ok(())
    }

    /// Begins to close.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.phase != Phase::Open || state.broken || state.told {
            return Err(Gone);
        }
        state.close(Some(code), reason);
        self.tell_connection(state);
        Ok(())
    }

    pub fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Whether the client has gone.
    pub fn is_gone(&self) -> bool {
        let state = self.lock();
        state.broken || state.end.is_some()
    }

    /// Whether the application may send on.
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        state.sender.pending() <= HIGH || state.broken || state.told
    }

    /// Has `resume` called when there is room; `false`: there is.
    pub fn wait_for_room(&self, resume: Arc<dyn Resume>) -> bool {
        let mut state = self.lock();
        let full = state.sender.pending() > HIGH && !state.broken && !state.told;
        if full {
            state.link.writers.add(resume);
        }
        full
    }

    /// Tells the application, if it waits, of what has happened. For the connection.
    pub fn tell_application(&self, state: &mut State) {
        let over = state.end.is_some() || state.broken;
        if over || !state.incoming.is_empty() {
            state.link.readers.resume(self.inbox());
        }
        if over || state.sender.pending() <= LOW {
            state.link.writers.resume(self.inbox());
        }
    }
}

impl State {
    /// Bytes of messages that wait for the application.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting
    }

    /// Puts a message of the client in.
    pub fn put(&mut self, message: Message) {
        self.waiting += message.len();
        self.incoming.push_back(message);
    }

    /// Whether the client must be read no further for the sake of memory.
    pub fn is_full(&self) -> bool {
        self.waiting >= MOST_WAITING
    }

    /// Messages that wait for the application.
    pub fn queued(&self) -> usize {
        self.incoming.len()
    }

    /// Sends our Close; messages end here.
    pub fn close(&mut self, code: Option<u16>, reason: &str) {
        if self.phase == Phase::Open {
            let State { sender, encoder, .. } = self;
            sender.raw(|out| encoder.close(out, code, reason));
            self.phase = Phase::Closing;
        }
    }

    /// The client is gone, or has said goodbye.
    pub fn ended(&mut self, code: u16, reason: String) {
        self.end.get_or_insert((code, reason));
    }
}
