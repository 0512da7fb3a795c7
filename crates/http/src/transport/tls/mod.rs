//! TLS under a connection (RFC 8446, RFC 5246): what rustls makes of records, and the socket below.
//!
//! Plaintext is taken in large pieces and encrypted at once, so that an answer is few records and one or two calls to
//! the kernel. The memory for that is the thread's: a connection owns some only for what the socket did not take, for
//! a record that has not come whole, and for bytes that nobody asked for yet. An idle one owns none.

mod read;
mod write;

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::{ServerConfig, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};

use super::io::Stream;
use crate::sys;

/// Bytes of a ServerHello that are random.
const RANDOM: usize = 32;
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
    /// The client ended the connection.
    Closed,
    Socket(io::Error),
    Tls(rustls::Error),
}

/// A stream that speaks TLS once `start` was called, and is what lies below until then.
pub struct TlsStream {
    io: Stream,
    session: Option<UnbufferedServerConnection>,
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
    /// Plaintext that more will follow at once.
    held: Vec<u8>,
    /// Of the ServerHello: 32 random bytes, then the session's identifier.
    hello: Box<[u8]>,
    /// The socket took something since it was last asked.
    moved: bool,
    /// The client has said that it sends no more.
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
    pub fn session(&self) -> Option<&UnbufferedServerConnection> {
        self.session.as_ref()
    }

    /// What tells the session from others: the identifier in the ServerHello, or in TLS 1.3, where that is only an echo,
    /// what is random there.
    pub fn session_id(&self, newer: bool) -> &[u8] {
        let (random, id) = self.hello.split_at(self.hello.len().min(RANDOM));
        if newer { random } else { id }
    }

    /// Forgets what only the handshake's end needs.
    pub fn forget_hello(&mut self) {
        self.hello = Box::default();
    }

    /// Speaks TLS from now on; `begun` was read already.
    pub fn start(&mut self, config: Arc<ServerConfig>, begun: &mut [u8]) -> Result<(), Failure> {
        self.session = Some(UnbufferedServerConnection::new(config).map_err(Failure::Tls)?);
        let processed = self.process(begun, &mut Vec::new(), 0);
        self.keep(begun, processed)
    }

    /// Goes on with the handshake until it is done.
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let sent = match self.poll_output(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Socket(error))),
                other => other.is_ready(),
            };
            if self.session.as_ref().is_some_and(|session| !session.is_handshaking()) {
                return Poll::Ready(Ok(()));
            }
            if !sent {
                return Poll::Pending;
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
        if let Some(session) = &mut self.session
            && let Ok(ConnectionState::EncodeTlsData(mut data)) = session.process_tls_records(&mut []).state
        {
            encode(&mut data, &mut self.output);
        }
        let _ = self.try_output();
    }

    /// Lets the session look at ciphertext; gives how much of it is done with.
    fn process(&mut self, input: &mut [u8], buf: &mut Vec<u8>, room: usize) -> Result<usize, rustls::Error> {
        let Some(session) = &mut self.session else { return Ok(0) };
        let full = buf.len() + room;
        let mut take = |bytes: &[u8], ahead: &mut Vec<u8>| {
            let len = bytes.len().min(full.saturating_sub(buf.len()));
            buf.extend_from_slice(&bytes[..len]);
            ahead.extend_from_slice(&bytes[len..]);
        };
        let handshaking = session.is_handshaking();
        let mut done = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } = session.process_tls_records(&mut input[done..]);
            let mut last = false;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        take(record.payload, &mut self.ahead);
                    }
                }
                ConnectionState::ReadEarlyData(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        take(record.payload, &mut self.ahead);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let at = self.output.len();
                    encode(&mut data, &mut self.output);
                    if handshaking {
                        note_hello(&self.output[at..], &mut self.hello);
                    }
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                ConnectionState::Closed => {
                    self.ended = true;
                    last = true;
                }
                _ => last = true,
            }
            done += discard;
            if last {
                return Ok(done);
            }
        }
    }

    /// Sends what the socket did not take before.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// Tells the client that nothing more follows (RFC 8446 section 6.1); as far as the socket takes it.
    pub fn close(&mut self) {
        let Some(session) = &mut self.session else { return };
        if std::mem::replace(&mut self.closed, true) || session.is_handshaking() {
            return;
        }
        let mut alert = [0; 64];
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = session.process_tls_records(&mut self.input).state
            && let Ok(len) = traffic.queue_close_notify(&mut alert)
        {
            self.output.extend_from_slice(&alert[..len]);
        }
        let _ = self.try_output();
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.close();
    }
}

/// Appends what the protocol has to say.
fn encode<D>(data: &mut rustls::unbuffered::EncodeTlsData<'_, D>, output: &mut Vec<u8>) {
    let at = output.len();
    output.resize(at + 1024, 0);
    loop {
        match data.encode(&mut output[at..]) {
            Ok(written) => return output.truncate(at + written),
            Err(EncodeError::InsufficientSize(needed)) => output.resize(at + needed.required_size, 0),
            Err(EncodeError::AlreadyEncoded) => return output.truncate(at),
        }
    }
}

/// Notes what a record with a ServerHello has of the session (RFC 8446 section 4.1.3); the last one counts.
fn note_hello(record: &[u8], noted: &mut Box<[u8]>) {
    /// Before it: the heads of record and message, the version.
    const START: usize = 5 + 4 + 2;
    if let [22, _, _, _, _, 2, ..] = record
        && let Some(len) = record.get(START + RANDOM)
    {
        let end = START + RANDOM + 1 + usize::from(*len);
        let mut hello = record[START..START + RANDOM].to_vec();
        hello.extend_from_slice(record.get(START + RANDOM + 1..end).unwrap_or_default());
        *noted = hello.into();
    }
}
