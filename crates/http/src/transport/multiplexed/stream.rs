//! One stream of a connection: a request's body on the way in, its answer on the way out.
//!
//! What is read has the form that `receive` knows from HTTP/1: a body whose length was told comes as it is, another one
//! in chunks, with its trailers behind the last (RFC 9112 section 7.1). The client's window grows as its bytes are
//! taken from here, so what waits is bounded.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http_types::{HeaderMap, Response};

use super::Shared;

/// How the client's bytes are given on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// The same; their end is told.
    Tunnel,
    Chunked,
    /// They have ended: only the end of the stream is waited for.
    Ended,
}

pub struct Multiplexed {
    shared: Arc<Shared>,
    socket: RawFd,
    respond: SendResponse<Bytes>,
    /// Once the head of the answer is sent.
    send: Option<SendStream<Bytes>>,
    body: RecvStream,
    form: Form,
    /// Framing to be given on before `rest`.
    ahead: Vec<u8>,
    ahead_done: usize,
    /// Of the last frame.
    rest: Bytes,
    /// Its length: the window grows by it when all is taken.
    taken: usize,
}

impl Multiplexed {
    /// `socket`: the connection's.
    pub fn new(respond: SendResponse<Bytes>, body: RecvStream, shared: Arc<Shared>, socket: RawFd) -> Multiplexed {
        let form = if body.is_end_stream() { Form::Ended } else { Form::Plain };
        let (ahead, rest) = (Vec::new(), Bytes::new());
        Multiplexed { shared, socket, respond, send: None, body, form, ahead, ahead_done: 0, rest, taken: 0 }
    }

    /// The stream is a tunnel: its end is as that of a connection.
    pub fn use_tunnel(&mut self) {
        self.form = Form::Tunnel;
    }

    /// Whether the client sends more than a head.
    pub fn has_body(&self) -> bool {
        self.form != Form::Ended
    }

    /// The length of the body is not known: it is given on in chunks.
    pub fn use_chunks(&mut self) {
        if self.form == Form::Plain {
            self.form = Form::Chunked;
        }
    }

    /// Reads into the free capacity of `buf`, at most `max` bytes. Where the client has said all it only becomes ready
    /// when the stream is broken off.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>, max: usize) -> Poll<io::Result<usize>> {
        let room = (buf.capacity() - buf.len()).min(max);
        if room == 0 {
            return Poll::Ready(Err(io::Error::other("no room to read into")));
        }
        let before = buf.len();
        loop {
            self.give(buf, before + room);
            if buf.len() > before {
                return Poll::Ready(Ok(buf.len() - before));
            }
            if self.form == Form::Ended {
                ready!(self.poll_lost(cx));
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    self.taken = bytes.len();
                    self.rest = bytes;
                    if self.form == Form::Chunked && self.taken > 0 {
                        self.ahead.extend_from_slice(format!("{:x}\r\n", self.taken).as_bytes());
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => {
                    let trailers = ready!(self.body.poll_trailers(cx)).map_err(broken)?;
                    let form = std::mem::replace(&mut self.form, Form::Ended);
                    match form {
                        Form::Tunnel => return Poll::Ready(Ok(0)),
                        Form::Plain | Form::Ended => continue,
                        Form::Chunked => {}
                    }
                    self.ahead.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.iter().flatten() {
                        self.ahead.extend_from_slice(name.as_str().as_bytes());
                        self.ahead.extend_from_slice(b": ");
                        self.ahead.extend_from_slice(value.as_bytes());
                        self.ahead.extend_from_slice(b"\r\n");
                    }
                    self.ahead.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    /// Throws away what comes of the body: how many bytes; 0 at its end.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let held = std::mem::take(&mut self.taken);
        self.rest = Bytes::new();
        let _ = self.body.flow_control().release_capacity(held);
        loop {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    self.shared.add_payload(bytes.len() as u64);
                    let _ = self.body.flow_control().release_capacity(bytes.len());
                    return Poll::Ready(bytes.len());
                }
                Some(Err(_)) | None => return Poll::Ready(0),
            }
        }
    }

    /// Moves what is here into `buf`, until that has `end` bytes.
    fn give(&mut self, buf: &mut Vec<u8>, end: usize) {
        loop {
            if self.ahead_done < self.ahead.len() {
                let len = (self.ahead.len() - self.ahead_done).min(end - buf.len());
                buf.extend_from_slice(&self.ahead[self.ahead_done..self.ahead_done + len]);
                self.ahead_done += len;
                if self.ahead_done < self.ahead.len() {
                    return;
                }
                self.ahead.clear();
                self.ahead_done = 0;
            }
            let len = self.rest.len().min(end - buf.len());
            buf.extend_from_slice(&self.rest[..len]);
            self.rest.advance(len);
            if !self.rest.is_empty() || self.taken == 0 {
                return;
            }
            self.shared.add_payload(self.taken as u64);
            let _ = self.body.flow_control().release_capacity(self.taken);
            self.taken = 0;
            self.rest = Bytes::new();
            if self.form == Form::Chunked {
                self.ahead.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Ready when the client has broken the stream off, or the connection is lost.
    pub fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        polled.map(drop)
    }

    /// Whether it is.
    pub fn is_lost(&mut self) -> bool {
        self.poll_lost(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Sends an interim answer.
    pub fn inform(&mut self, head: Response<()>) -> io::Result<()> {
        self.respond.send_informational(head).map_err(broken)
    }

    /// Whether the head of the answer is sent.
    pub fn has_started(&self) -> bool {
        self.send.is_some()
    }

    /// Sends the head of the answer; `end`: nothing follows it.
    pub fn start(&mut self, head: Response<()>, end: bool) -> io::Result<()> {
        self.send = Some(self.respond.send_response(head, end).map_err(broken)?);
        Ok(())
    }

    /// How many bytes of the answer's body may be sent now, at most `want`; waits until there is one.
    pub fn poll_room(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<io::Result<usize>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        ready!(self.shared.poll_room(cx));
        send.reserve_capacity(want);
        let mut room = send.capacity();
        while room == 0 {
            room = match ready!(send.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        Poll::Ready(Ok(room.min(want)))
    }

    /// Sends a piece of the body, for which there is room; `end`: it is the last.
    pub fn data(&mut self, bytes: Bytes, end: bool) -> io::Result<()> {
        let Some(send) = &mut self.send else { return Err(io::ErrorKind::NotConnected.into()) };
        self.shared.sending(bytes.len() as u64);
        send.send_data(bytes, end).map_err(broken)
    }

    /// Ends the answer with trailer fields.
    pub fn trailers(&mut self, fields: HeaderMap) -> io::Result<()> {
        let Some(send) = &mut self.send else { return Err(io::ErrorKind::NotConnected.into()) };
        send.send_trailers(fields).map_err(broken)
    }

    /// Breaks the stream off: the answer cannot be completed.
    pub fn reset(&mut self) {
        self.respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// What is wrong with a stream, as something wrong with a connection.
fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}

impl AsRawFd for Multiplexed {
    fn as_raw_fd(&self) -> RawFd {
        self.socket
    }
}
