//! Reading a request's body (RFC 9112 section 6): whole before the handler is called, or streamed to it.
//!
//! Buffered bodies stay in the request's own buffer when they fit there, in memory up to `client_body_buffer_size`,
//! and in an unlinked temporary file beyond that.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use wire::h1::{Chunk, ChunkedDecoder, Framing, Span};

use super::Conn;
use super::memory;
use super::pool::READ;
use super::sender::Sender;
use crate::config::Settings;
use crate::exchange::stream::{BodyError, Demand};
use crate::exchange::{BodyStream, Request, RequestBody};
use crate::sys;

/// Bytes of trailer fields taken.
const TRAILERS: usize = 8 * 1024;

/// Why a body could not be read.
#[derive(Debug)]
pub enum Failure {
    /// The client went away.
    Gone,
    /// To be answered with that status; the reason is for the log.
    Refused(u16, String),
}

/// The framing of a body, as it is taken off.
enum Decoder {
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
}

/// What the first bytes of `raw` are.
enum Step {
    /// Drop so many; more must be read.
    More(usize),
    /// Drop `skip`, then `len` bytes are body.
    Data { skip: usize, len: usize },
    /// Drop so many; the body is complete.
    End(usize),
}

impl Decoder {
    fn new(framing: Framing) -> Option<Decoder> {
        match framing {
            Framing::None | Framing::Length(0) => None,
            Framing::Length(len) => Some(Decoder::Length(len)),
            Framing::Chunked => Some(Decoder::Chunked(Box::new(ChunkedDecoder::new(TRAILERS)))),
        }
    }

    fn step(&mut self, raw: &[u8]) -> Result<Step, String> {
        match self {
            Decoder::Length(0) => Ok(Step::End(0)),
            Decoder::Length(_) if raw.is_empty() => Ok(Step::More(0)),
            Decoder::Length(left) => {
                let len = (raw.len() as u64).min(*left);
                *left -= len;
                Ok(Step::Data { skip: 0, len: len as usize })
            }
            Decoder::Chunked(decoder) => match decoder.decode(raw).map_err(|refusal| refusal.reason().to_owned())? {
                Chunk::More { consumed } => Ok(Step::More(consumed)),
                Chunk::Data { skip, len } => Ok(Step::Data { skip, len }),
                Chunk::End { consumed } => Ok(Step::End(consumed)),
            },
        }
    }

    /// How much may be read without taking bytes that a later use of the connection must see: no limit for chunked,
    /// where what is left over is kept.
    fn read_limit(&self) -> usize {
        match self {
            Decoder::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Decoder::Chunked(_) => usize::MAX,
        }
    }

    fn take_trailers(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        match self {
            Decoder::Chunked(decoder) => decoder.take_trailers(),
            Decoder::Length(_) => Vec::new(),
        }
    }
}

/// Whether the whole body is already behind the head, so that nothing has to be read for the next request.
pub fn body_is_here(request: &Request) -> bool {
    match request.head.framing {
        Framing::None => true,
        Framing::Length(len) => (request.buf.len() - request.head.len) as u64 >= len,
        Framing::Chunked => false,
    }
}

/// How much of a body that nobody wants is read to keep its connection, in bytes.
pub const MOST_DISCARDED: u64 = 1 << 20;

/// The same under these settings: nginx reads whatever it allows, for `lingering_time`.
pub fn most_discarded(settings: &Settings) -> u64 {
    if settings.nginx_pages { settings.max_body() } else { MOST_DISCARDED }
}

/// Whether what is here of a body is malformed already.
pub fn is_malformed(request: &Request) -> bool {
    if request.head.framing != Framing::Chunked {
        return false;
    }
    let mut decoder = ChunkedDecoder::new(TRAILERS);
    let mut rest = request.buf.get(request.head.len..).unwrap_or_default();
    loop {
        match decoder.decode(rest) {
            Ok(Chunk::Data { skip, len }) => rest = &rest[skip + len..],
            Ok(Chunk::More { .. } | Chunk::End { .. }) => return false,
            Err(_) => return true,
        }
    }
}

/// How much of a body that nobody wants is read, and for how long: as before the end of a connection.
pub struct Unwanted {
    most: u64,
    read: u64,
    /// The connection's age then, in ms.
    end: u64,
    timeout: u64,
}

impl Unwanted {
    pub fn new(conn: &Conn, settings: &Settings) -> Unwanted {
        let end = conn.age().saturating_add(settings.lingering_time);
        Unwanted { most: most_discarded(settings), read: 0, end, timeout: settings.lingering_timeout }
    }

    /// So many bytes more were read; `false`: too many.
    pub fn add(&mut self, bytes: u64) -> bool {
        self.read = self.read.saturating_add(bytes);
        self.read <= self.most
    }

    /// Sets the limit for the next read; `false`: there is no time for one.
    pub fn arm(&self, conn: &Conn) -> bool {
        let left = self.end.saturating_sub(conn.age());
        conn.arm(left.min(self.timeout).max(1));
        left > 0
    }
}

/// Reads a body and throws it away, so that the next request on the connection can be read.
pub async fn discard(conn: &mut Conn, request: &mut Request, settings: &Settings) -> Result<(), Failure> {
    let head = request.head.len;
    let Some(mut decoder) = Decoder::new(request.head.framing) else { return Ok(()) };
    let mut at = head;
    let mut unwanted = Unwanted::new(conn, settings);
    loop {
        match decoder.step(&request.buf[at..]).map_err(|why| Failure::Refused(400, why))? {
            Step::Data { skip, len } => {
                at += skip + len;
                if !unwanted.add(len as u64) {
                    return Err(too_large());
                }
            }
            Step::End(consumed) => {
                request.consumed = at + consumed;
                return Ok(());
            }
            Step::More(consumed) => {
                request.buf.drain(head..at + consumed);
                at = head;
                if request.buf.capacity() - request.buf.len() < READ {
                    request.buf.reserve(READ);
                }
                if !settings.nginx_pages {
                    read_some(conn, &mut request.buf, decoder.read_limit(), settings).await?;
                    continue;
                }
                let in_time = unwanted.arm(conn);
                match conn.read(&mut request.buf, decoder.read_limit()).await {
                    Ok(read) if read > 0 && in_time => {}
                    _ => return Err(Failure::Gone),
                }
            }
        }
    }
}

/// Where a buffered body goes.
enum Store {
    Memory(Vec<u8>),
    File(std::fs::File, u64),
}

/// Reads the whole body of `request`.
pub async fn buffer(
    conn: &mut Conn,
    request: &mut Request,
    sender: &mut Sender,
    settings: &Settings,
) -> Result<(), Failure> {
    let head = request.head.len;
    check_length(request, settings)?;
    if let Framing::Length(len) = request.head.framing
        && len <= settings.client_body_buffer_size
    {
        return buffer_in_place(conn, request, sender, len as usize, settings).await;
    }
    let Some(mut decoder) = Decoder::new(request.head.framing) else { return Ok(()) };
    let mut store = Store::Memory(Vec::new());
    let mut total = 0u64;
    let mut at = head;
    loop {
        match decoder.step(&request.buf[at..]).map_err(|why| malformed(settings, why))? {
            Step::Data { skip, len } => {
                at += skip;
                total += len as u64;
                if total > settings.max_body() {
                    return Err(too_large_chunked(settings, total - len as u64, len));
                }
                let data = &request.buf[at..at + len];
                let added = store.add(data, settings);
                request.charge.set(store.memory());
                added.map_err(|error| {
                    Failure::Refused(
                        500,
                        format!("cannot buffer a request body in {}: {error}", settings.temporary().display()),
                    )
                })?;
                at += len;
            }
            Step::End(consumed) => {
                request.consumed = at + consumed;
                request.trailers = decoder.take_trailers();
                request.body = match store {
                    Store::Memory(bytes) if bytes.is_empty() => RequestBody::Empty,
                    Store::Memory(bytes) => RequestBody::Memory(bytes),
                    Store::File(file, len) => RequestBody::File { file, len },
                };
                return Ok(());
            }
            Step::More(consumed) => {
                at += consumed;
                if at == request.buf.len() {
                    request.buf.truncate(head);
                    at = head;
                } else if at > head {
                    request.buf.drain(head..at);
                    at = head;
                }
                say_continue(conn, request, sender, settings).await?;
                if request.buf.capacity() - request.buf.len() < READ {
                    request.buf.reserve(4 * READ);
                }
                read_some(conn, &mut request.buf, decoder.read_limit(), settings).await?;
            }
        }
    }
}

/// A body that fits: read right behind the head, in one buffer.
async fn buffer_in_place(
    conn: &mut Conn,
    request: &mut Request,
    sender: &mut Sender,
    len: usize,
    settings: &Settings,
) -> Result<(), Failure> {
    let end = request.head.len + len;
    if request.buf.len() < end {
        say_continue(conn, request, sender, settings).await?;
        request.buf.reserve_exact(end - request.buf.len());
        request.charge.set(request.buf.capacity());
    }
    while request.buf.len() < end {
        let missing = end - request.buf.len();
        read_some(conn, &mut request.buf, missing, settings).await?;
    }
    request.consumed = end;
    if len > 0 {
        request.body = RequestBody::Inline(Span { start: request.head.len as u32, end: end as u32 });
    }
    Ok(())
}

async fn read_some(conn: &mut Conn, buf: &mut Vec<u8>, max: usize, settings: &Settings) -> Result<(), Failure> {
    conn.arm(settings.client_body_timeout);
    match conn.read(buf, max).await {
        Ok(0) => Err(Failure::Gone),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(too_late()),
        Err(_) => Err(Failure::Gone),
    }
}

/// `Expect: 100-continue` (RFC 9110 section 10.1.1): the client waits to be told before it sends its body.
async fn say_continue(
    conn: &mut Conn,
    request: &mut Request,
    sender: &mut Sender,
    settings: &Settings,
) -> Result<(), Failure> {
    if std::mem::take(&mut request.head.expect_continue) {
        sender.informational(100, &[]);
        conn.flush(sender, settings.send_timeout).await.map_err(|_| Failure::Gone)?;
    }
    Ok(())
}

/// Refuses a body that is announced to be longer than is allowed.
fn check_length(request: &Request, settings: &Settings) -> Result<(), Failure> {
    match request.head.framing {
        Framing::Length(len) if len > settings.max_body() => Err(too_large()),
        _ => Ok(()),
    }
}

/// The reason in nginx's words, where these are wanted.
fn malformed(settings: &Settings, why: String) -> Failure {
    Failure::Refused(400, if settings.nginx_pages { "client sent invalid chunked body".into() } else { why })
}

fn too_late() -> Failure {
    Failure::Refused(408, "the request body did not arrive in time".into())
}

/// A chunked body that turned out to be too long, after `before` bytes and at `len` more.
fn too_large_chunked(settings: &Settings, before: u64, len: usize) -> Failure {
    if !settings.nginx_pages {
        return too_large();
    }
    Failure::Refused(413, format!("client intended to send too large chunked body: {before}+{len} bytes"))
}

fn too_large() -> Failure {
    Failure::Refused(413, "client intended to send too large body".into())
}

impl Store {
    /// Bytes of memory.
    fn memory(&self) -> usize {
        match self {
            Store::Memory(bytes) => bytes.len(),
            Store::File(..) => 0,
        }
    }

    fn add(&mut self, data: &[u8], settings: &Settings) -> io::Result<()> {
        if let Store::Memory(bytes) = self {
            if !memory::is_over() && (bytes.len() + data.len()) as u64 <= settings.client_body_buffer_size {
                bytes.extend_from_slice(data);
                return Ok(());
            }
            let mut file = sys::temporary_file(&settings.temporary())?;
            file.write_all(bytes)?;
            *self = Store::File(file, bytes.len() as u64);
        }
        if let Store::File(file, len) = self {
            file.write_all(data)?;
            *len += data.len() as u64;
        }
        Ok(())
    }
}

/// What a pump waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pumped {
    /// Nothing: the body is complete, has failed, or is not wanted.
    Done,
    /// That somebody reads.
    Reader,
    Client,
}

/// Streams a body to the thread that reads it (`--request-buffering off`), beside the answer.
pub struct Pump {
    pub stream: Arc<BodyStream>,
    decoder: Decoder,
    /// Read from the socket and not taken yet: raw[at..]
    raw: Vec<u8>,
    at: usize,
    expect_continue: bool,
    left: u64,
    /// The limit of time for the next bytes is running.
    armed: bool,
    pub done: bool,
    complete: bool,
    /// Why the body could not be read to its end.
    pub failure: Option<Failure>,
}

impl Pump {
    /// Takes the body over from `request`; `None` when there is none.
    pub fn new(request: &mut Request, settings: &Settings) -> Result<Option<Pump>, Failure> {
        check_length(request, settings)?;
        let Some(decoder) = Decoder::new(request.head.framing) else { return Ok(None) };
        let head = request.head.len;
        let mut raw = Vec::with_capacity(4 * READ);
        raw.extend_from_slice(&request.buf[head..]);
        request.buf.truncate(head);
        request.consumed = head;
        let stream = Arc::new(BodyStream::default());
        request.body = RequestBody::Stream(stream.clone());
        let expect_continue = request.head.expect_continue;
        Ok(Some(Pump {
            stream,
            decoder,
            raw,
            at: 0,
            expect_continue,
            left: settings.max_body(),
            armed: false,
            done: false,
            complete: false,
            failure: None,
        }))
    }

    /// Moves what can be moved. Ready when the body is complete or has failed. The connection's limit of time is the
    /// body's, of so many ms.
    pub fn poll(&mut self, cx: &mut Context<'_>, conn: &mut Conn, sender: &mut Sender, timeout: u64) -> Poll<()> {
        match self.pump(cx, conn, sender) {
            Pumped::Done => return Poll::Ready(()),
            Pumped::Reader => {}
            Pumped::Client if !self.armed => {
                self.armed = true;
                conn.arm(timeout);
            }
            Pumped::Client if conn.expired() => {
                self.expire();
                return Poll::Ready(());
            }
            Pumped::Client => {}
        }
        Poll::Pending
    }

    /// Moves what can be moved; limits of time are the caller's.
    pub fn pump(&mut self, cx: &mut Context<'_>, conn: &mut Conn, sender: &mut Sender) -> Pumped {
        while !self.done {
            let room = match self.stream.poll_demand(cx) {
                Poll::Pending => return Pumped::Reader,
                Poll::Ready(Demand::Abandoned) => {
                    self.finish(None);
                    break;
                }
                Poll::Ready(Demand::Room(room)) => room,
            };
            match self.decoder.step(&self.raw[self.at..]) {
                Err(why) => self.fail(BodyError::Malformed, Failure::Refused(400, why)),
                Ok(Step::End(consumed)) => {
                    self.at += consumed;
                    self.complete = true;
                    self.finish(None);
                }
                Ok(Step::Data { skip, len }) => {
                    if len as u64 > self.left {
                        self.fail(BodyError::Malformed, too_large());
                        break;
                    }
                    self.left -= len as u64;
                    self.at += skip;
                    self.stream.push(&self.raw[self.at..self.at + len]);
                    self.at += len;
                }
                Ok(Step::More(consumed)) => {
                    self.at += consumed;
                    self.raw.drain(..self.at);
                    self.at = 0;
                    if std::mem::take(&mut self.expect_continue) && !sender.started {
                        sender.informational(100, &[]);
                        let _ = sender.try_flush(&mut conn.stream);
                    }
                    self.raw.reserve(READ);
                    let max = room.max(READ).min(self.decoder.read_limit());
                    match conn.stream.poll_read(cx, &mut self.raw, max) {
                        Poll::Pending => return Pumped::Client,
                        Poll::Ready(Ok(read)) if read > 0 => self.armed = false,
                        Poll::Ready(_) => self.fail(BodyError::Disconnected, Failure::Gone),
                    }
                }
            }
        }
        Pumped::Done
    }

    /// The client took too long.
    pub fn expire(&mut self) {
        self.fail(BodyError::Disconnected, too_late());
    }

    fn finish(&mut self, error: Option<BodyError>) {
        self.done = true;
        self.stream.end(error);
    }

    fn fail(&mut self, error: BodyError, failure: Failure) {
        self.failure = Some(failure);
        self.finish(Some(error));
    }

    /// Whether the body was read to its end, so that the connection can be used again.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Reads the rest of a body that nobody wants any more, if it is short; `true`: all of it is read.
    pub async fn discard(&mut self, conn: &mut Conn, timeout: u64) -> bool {
        let mut total = 0;
        while !self.done && !self.expect_continue {
            match self.decoder.step(&self.raw[self.at..]) {
                Ok(Step::End(consumed)) => {
                    self.at += consumed;
                    self.done = true;
                    self.complete = true;
                }
                Ok(Step::Data { skip, len }) => {
                    self.at += skip + len;
                    total += len as u64;
                    if total > MOST_DISCARDED {
                        break;
                    }
                }
                Ok(Step::More(consumed)) => {
                    self.raw.drain(..self.at + consumed);
                    self.at = 0;
                    self.raw.reserve(READ);
                    conn.arm(timeout);
                    let max = READ.min(self.decoder.read_limit());
                    if !conn.read(&mut self.raw, max).await.is_ok_and(|read| read > 0) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        self.complete
    }

    /// Gives what was read beyond the body back to the request's buffer.
    pub fn restore(&self, request: &mut Request) {
        request.buf.extend_from_slice(&self.raw[self.at..]);
    }
}
