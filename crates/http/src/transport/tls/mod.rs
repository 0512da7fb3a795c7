//! TLS under a connection (RFC 8446, RFC 5246), of a client or to a server: what rustls makes of records, and the
//! socket below.
//!
//! Plaintext is taken in large pieces and encrypted at once, so that an answer is few records and one or two calls to
//! the kernel. The memory for that is the thread's: a connection owns some only for what the socket did not take, for
//! a record that has not come whole, and for bytes that nobody asked for yet. An idle one owns none.

pub mod client;
mod read;
mod session;
#[cfg(test)]
mod tests;
mod write;

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::CommonState;
use rustls::server::{ServerConfig, UnbufferedServerConnection};

use super::io::Stream;
use crate::sys;
pub use session::Session;
use session::Turn;

/// The longest incomplete input: a handshake message may be 64 KiB, in as many records as its sender likes.
const LONGEST: usize = 256 * 1024;

/// The memory of a thread.
struct Scratch {
    /// Ciphertext that came.
    input: Vec<u8>,
    /// Plaintext that goes.
    plain: Vec<u8>,
    /// Ciphertext that goes; its whole length may be written to.
    output: Vec<u8>,
}

/// So much plaintext is encrypted at once, in bytes.
const PIECE: usize = 128 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { input: Vec::new(), plain: Vec::new(), output: Vec::new() }) };
}

/// Why there is no session.
#[derive(Debug)]
pub enum Failure {
    /// The other side ended the connection.
    Closed,
    Socket(io::Error),
    Tls(rustls::Error),
}

/// A stream that speaks TLS once `start` was called, and is what lies below until then.
pub struct TlsStream {
    io: Stream,
    session: Option<Session>,
    /// There will be no session.
    plain: bool,
    /// Ciphertext of a record that is not complete.
    input: Vec<u8>,
    /// Plaintext that was not asked for yet. 0 <= ahead_done <= ahead.len()
    ahead: Vec<u8>,
    ahead_done: usize,
    /// Ciphertext that the socket did not take. 0 <= output_done <= output.len()
    output: Vec<u8>,
    output_done: usize,
    /// The same was not offered to the socket yet: it may leave with what is written next.
    fresh: bool,
    /// There were requests in the other side's first bytes: they are answered before the handshake is complete.
    early: bool,
    /// What is written next is the last, if all of it is taken.
    last: bool,
    /// Plaintext that more will follow at once.
    held: Vec<u8>,
    /// Of the ServerHello: 32 random bytes, then the session's identifier.
    hello: Box<[u8]>,
    /// The socket took something since it was last asked.
    moved: bool,
    /// The other side has said that it sends no more.
    ended: bool,
    /// This side has, or may not speak any more.
    closed: bool,
}

impl TlsStream {
    pub fn new(io: Stream) -> TlsStream {
        TlsStream {
            io,
            session: None,
            plain: false,
            input: Vec::new(),
            ahead: Vec::new(),
            ahead_done: 0,
            output: Vec::new(),
            output_done: 0,
            fresh: false,
            early: false,
            last: false,
            held: Vec::new(),
            hello: Box::default(),
            moved: false,
            ended: false,
            closed: false,
        }
    }

    /// Whether the first bytes are still to decide.
    pub fn awaits_handshake(&self) -> bool {
        self.session.is_none() && !self.plain
    }

    /// The client does not speak TLS.
    pub fn stay_plain(&mut self) {
        self.plain = true;
    }

    /// What lies below.
    pub fn below(&self) -> &Stream {
        &self.io
    }

    /// The same, to be waited for.
    pub fn below_mut(&mut self) -> &mut Stream {
        &mut self.io
    }

    /// What is known of the session.
    pub fn session(&self) -> Option<&CommonState> {
        self.session.as_ref().map(Session::state)
    }

    /// What tells the session from others: the identifier in the ServerHello, or in TLS 1.3, where that is only an echo,
    /// what is random there.
    pub fn session_id(&self, newer: bool) -> &[u8] {
        let (random, id) = self.hello.split_at(self.hello.len().min(session::RANDOM));
        if newer { random } else { id }
    }

    /// Forgets what only the handshake's end needs.
    pub fn forget_hello(&mut self) {
        self.hello = Box::default();
    }

    /// Speaks TLS from now on; `begun` was read already.
    pub fn start(&mut self, config: Arc<ServerConfig>, begun: &mut [u8]) -> Result<(), Failure> {
        self.session = Some(Session::Server(UnbufferedServerConnection::new(config).map_err(Failure::Tls)?));
        let processed = self.process(begun, &mut Vec::new(), 0);
        self.keep(begun, processed)
    }

    /// Begins a session that speaks first.
    fn begin(&mut self, session: Session) -> Result<(), Failure> {
        self.session = Some(session);
        self.process(&mut [], &mut Vec::new(), 0).map(drop).map_err(Failure::Tls)
    }

    /// Goes on with the handshake until it is done. What this side says last (tickets) waits for what is written next,
    /// or for the first read that has to wait.
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.session().is_some_and(|session| !session.is_handshaking()) {
                self.fresh = self.output_done == 0 && !self.output.is_empty();
                return Poll::Ready(Ok(()));
            }
            let sent = match self.poll_output(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Socket(error))),
                other => other.is_ready(),
            };
            if !sent {
                return Poll::Pending;
            }
            if !self.ahead.is_empty() {
                // Data that came early, and was decrypted: our own side of the handshake is complete.
                self.early = true;
                return Poll::Ready(Ok(()));
            }
            // What comes behind the handshake already waits in `ahead`.
            match ready!(self.fill(cx, &mut Vec::new(), 0)) {
                Ok(0) => return Poll::Ready(Err(Failure::Closed)),
                Ok(_) if self.ended => return Poll::Ready(Err(Failure::Closed)),
                Ok(_) => {}
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
    }

    /// Whether what was read last may have been sent by somebody who only repeats it (RFC 8446 section 8): the handshake
    /// is not complete.
    pub fn is_early(&self) -> bool {
        self.early && self.session().is_some_and(CommonState::is_handshaking)
    }

    /// Keeps what is left of the input.
    fn keep(&mut self, input: &[u8], processed: Result<usize, rustls::Error>) -> Result<(), Failure> {
        let done = processed.map_err(|error| {
            self.fail();
            Failure::Tls(error)
        })?;
        let rest = input.get(done..).unwrap_or_default();
        if rest.is_empty() {
            self.input = Vec::new();
        } else if rest.len() > LONGEST {
            self.closed = true;
            return Err(Failure::Tls(rustls::Error::General("a message is too long".into())));
        } else {
            self.input.clear();
            self.input.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Nothing more can be said but why: the alert is sent as far as the socket takes it.
    fn fail(&mut self) {
        self.closed = true;
        if let Some(session) = &mut self.session {
            session.last_words(&mut self.output);
        }
        let _ = self.try_output();
    }

    /// Lets the session look at ciphertext; gives how much of it is done with.
    fn process(&mut self, input: &mut [u8], buf: &mut Vec<u8>, room: usize) -> Result<usize, rustls::Error> {
        let Some(session) = &mut self.session else { return Ok(0) };
        let full = buf.len() + room;
        let TlsStream { ahead, output, hello, ended, .. } = self;
        session.process(input, &mut Turn { buf, full, ahead, output, hello, ended })
    }

    /// Sends what the socket did not take before.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fresh = false;
        while self.output_done < self.output.len() {
            match ready!(self.io.poll_write(cx, &self.output[self.output_done..])) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(sent) => self.sent(sent),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same without waiting; `WouldBlock`: there is more.
    fn try_output(&mut self) -> io::Result<()> {
        self.fresh = false;
        while self.output_done < self.output.len() {
            let sent = sys::send_slices(self.io.as_raw_fd(), &[IoSlice::new(&self.output[self.output_done..])])?;
            self.sent(sent);
        }
        Ok(())
    }

    fn sent(&mut self, bytes: usize) {
        self.moved |= bytes > 0;
        self.output_done += bytes;
        if self.output_done == self.output.len() {
            self.output = Vec::new();
            self.output_done = 0;
        }
    }

    /// Tells the other side that nothing more follows (RFC 8446 section 6.1); as far as the socket takes it.
    pub fn close(&mut self) {
        let Some(session) = &mut self.session else { return };
        if std::mem::replace(&mut self.closed, true) || (session.state().is_handshaking() && !self.early) {
            return;
        }
        session.say_goodbye(&mut self.input, &mut self.output);
        let _ = self.try_output();
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.close();
    }
}
