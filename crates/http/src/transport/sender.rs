//! The sending half of an HTTP/1 exchange: heads and pieces of bodies in, bytes on the socket out.
//!
//! `Sender` decides the framing (RFC 9112 section 6), keeps the application to its Content-Length, drops bodies where
//! there must be none (RFC 9110 section 6.4.1), and queues what the socket does not take yet. It does no waiting of
//! its own: `poll_flush` is for a task, `try_flush` for code that must not wait.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use wire::h1::{Method, Version, encode};

use super::clock::{self, Common};
use super::io::Stream;
use crate::config::Settings;
use crate::exchange::{Chunk, Request, ResponseHead};
use crate::sys;

/// Pieces up to this size are copied behind the head: one `send` is cheaper than a `writev`.
pub const COPY: usize = 4096;

/// Files from this size are sent corked: they go in several pieces, whose ends would make short segments.
const CORKED: u64 = 1 << 20;

/// How the end of the body is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    /// No body follows the head.
    None,
    /// So many bytes are left.
    Length(u64),
    Chunked,
    /// The end of the connection.
    Close,
}

/// What became of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The application gave more bytes than its Content-Length; they were dropped.
    TooLong,
    /// It gave fewer; the connection is closed.
    TooShort,
}

pub struct Sender {
    /// Bytes to send before `queue`. 0 <= out_done <= out.len()
    out: Vec<u8>,
    out_done: usize,
    /// Pieces to send after `out`; `front_done` bytes of the first are sent.
    queue: VecDeque<Chunk>,
    front_done: u64,
    /// Bytes of memory in `queue`, files not counted.
    queued: usize,
    framing: Framing,
    version: Version,
    bodyless: bool,
    /// The head of the final answer is encoded.
    pub started: bool,
    /// The answer is complete in the queue.
    pub ended: bool,
    /// The connection can carry another request after this answer.
    pub keep_alive: bool,
    pub fault: Option<Fault>,
    /// The head as sent, for the log; status 0 until then.
    pub head: ResponseHead,
    /// Body bytes accepted for sending (without chunk framing).
    pub body_bytes: u64,
    /// Fields to follow the last chunk.
    trailers: Vec<u8>,
    /// What every answer's head says is told here.
    settings: Option<Arc<Settings>>,
    /// The socket sends full segments only, until the answer is out.
    corked: bool,
}

impl Sender {
    pub fn new() -> Self {
        Sender {
            out: Vec::new(),
            out_done: 0,
            queue: VecDeque::new(),
            front_done: 0,
            queued: 0,
            framing: Framing::None,
            version: Version::Http11,
            bodyless: false,
            started: false,
            ended: false,
            keep_alive: false,
            fault: None,
            head: ResponseHead::default(),
            body_bytes: 0,
            trailers: Vec::new(),
            settings: None,
            corked: false,
        }
    }

    /// Makes ready for the answer to `request`. What is still queued of the answer before stays queued.
    pub fn reset(&mut self, request: &Request, keep_alive: bool, settings: &Arc<Settings>) {
        self.configure(settings);
        self.version = request.head.version;
        self.bodyless = request.head.method == Method::Head;
        self.begin_exchange(keep_alive);
    }

    /// The same for an answer to something that was not a request: HTTP/1.1, and the connection ends.
    pub fn reset_without_request(&mut self, settings: &Arc<Settings>) {
        self.configure(settings);
        self.version = Version::Http11;
        self.bodyless = false;
        self.begin_exchange(false);
    }

    fn configure(&mut self, settings: &Arc<Settings>) {
        if !self.settings.as_ref().is_some_and(|known| Arc::ptr_eq(known, settings)) {
            self.settings = Some(settings.clone());
        }
    }

    fn begin_exchange(&mut self, keep_alive: bool) {
        self.framing = Framing::None;
        self.head.status = 0;
        self.head.length = None;
        self.head.fields.clear();
        self.started = false;
        self.ended = false;
        self.keep_alive = keep_alive;
        self.fault = None;
        self.body_bytes = 0;
        self.trailers.clear();
    }

    /// Whether everything accepted has been written to the socket.
    pub fn is_flushed(&self) -> bool {
        self.out_done == self.out.len() && self.queue.is_empty()
    }

    /// Bytes of memory that wait for the socket.
    pub fn pending(&self) -> usize {
        self.out.len() - self.out_done + self.queued
    }

    /// An interim answer (RFC 9110 section 15.2): `fields` are encoded lines. Not for HTTP/1.0 clients.
    pub fn informational(&mut self, status: u16, fields: &[u8]) {
        if self.version == Version::Http11 && !self.started {
            let mut bytes = Vec::with_capacity(64 + fields.len());
            encode::status_line(&mut bytes, true, status, None);
            bytes.extend_from_slice(fields);
            bytes.extend_from_slice(b"\r\n");
            self.append(&bytes);
        }
    }

    /// Encodes the head. Framing follows from its length, the version and the request's method.
    pub fn start(&mut self, head: ResponseHead) {
        debug_assert!(!self.started);
        self.started = true;
        let status = head.status;
        let without_body = self.bodyless || status == 204 || status == 304 || status < 200;
        if head.close {
            self.keep_alive = false;
        }
        self.framing = match head.length {
            _ if without_body => Framing::None,
            Some(length) => Framing::Length(length),
            None if self.version == Version::Http11 => Framing::Chunked,
            None => {
                self.keep_alive = false;
                Framing::Close
            }
        };
        let common = self.settings.as_deref().map(Common::from).unwrap_or_default();
        let mut own = Vec::new();
        let fits = self.queue.is_empty();
        let out = if fits { &mut self.out } else { &mut own };
        clock::common_head(out, &head, common);
        out.extend_from_slice(&head.fields);
        if let Some(length) = head.length.filter(|_| status != 204 && status >= 200) {
            out.extend_from_slice(b"Content-Length: ");
            encode::number(out, length);
            out.extend_from_slice(b"\r\n");
        } else if self.framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !self.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.version == Version::Http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !fits {
            self.append(&own);
        }
        self.head = head;
    }

    /// Encodes the head of a 101: from here on the connection speaks another protocol, whose bytes go through `raw`.
    pub fn switch_protocols(&mut self, head: ResponseHead) {
        self.started = true;
        self.framing = Framing::Close;
        let common = self.settings.as_deref().map(Common::from).unwrap_or_default();
        clock::common_head(&mut self.out, &head, common);
        self.out.extend_from_slice(&head.fields);
        self.out.extend_from_slice(b"Connection: Upgrade\r\n\r\n");
        self.head = head;
    }

    /// Has bytes added that are framed already.
    pub fn raw(&mut self, add: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(self.queue.is_empty());
        let before = self.out.len();
        add(&mut self.out);
        self.body_bytes += (self.out.len() - before) as u64;
    }

    /// Gives up memory that is not in use.
    pub fn shrink(&mut self) {
        if self.out.is_empty() {
            self.out.shrink_to(0);
        }
    }

    /// Takes body bytes, copying them.
    pub fn copy(&mut self, bytes: &[u8]) {
        let allowed = self.allow(bytes.len() as u64) as usize;
        if allowed == 0 {
            return;
        }
        self.chunk_head(allowed as u64);
        self.append(&bytes[..allowed]);
        self.chunk_end();
    }

    /// Takes a piece of the body.
    pub fn push(&mut self, chunk: Chunk) {
        if let Some(bytes) = chunk.memory().filter(|bytes| bytes.len() <= COPY) {
            return self.copy(bytes);
        }
        let len = chunk.len();
        let allowed = self.allow(len);
        if allowed == 0 {
            return;
        }
        let chunk = if allowed < len { chunk.truncate(allowed) } else { chunk };
        self.chunk_head(allowed);
        self.queued += chunk.memory().map_or(0, <[u8]>::len);
        self.queue.push_back(chunk);
        self.chunk_end();
    }

    /// Adds trailer fields, encoded lines (RFC 9112 section 7.1.2). Where the body is not chunked they are dropped.
    pub fn trailer(&mut self, fields: &[u8]) {
        if self.framing == Framing::Chunked {
            self.trailers.extend_from_slice(fields);
        }
    }

    /// The body is complete.
    pub fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        match self.framing {
            Framing::Chunked if self.trailers.is_empty() => self.append(encode::LAST_CHUNK),
            Framing::Chunked => {
                let trailers = std::mem::take(&mut self.trailers);
                self.append(b"0\r\n");
                self.append(&trailers);
                self.append(b"\r\n");
            }
            Framing::Length(left) if left > 0 => {
                self.fault = Some(Fault::TooShort);
                self.keep_alive = false;
            }
            _ => {}
        }
    }

    /// The answer cannot be completed: the client must notice, so the connection ends without the last chunk.
    pub fn abort(&mut self) {
        self.ended = true;
        self.keep_alive = false;
    }

    /// Whether a Content-Length was given and all of it is here.
    pub fn is_satisfied(&self) -> bool {
        matches!(self.framing, Framing::Length(0) | Framing::None)
    }

    /// How many of `len` further bytes the framing lets through.
    fn allow(&mut self, len: u64) -> u64 {
        let allowed = match &mut self.framing {
            Framing::None => 0,
            Framing::Chunked | Framing::Close => len,
            Framing::Length(left) => {
                let allowed = len.min(*left);
                *left -= allowed;
                if allowed < len {
                    self.fault = Some(Fault::TooLong);
                }
                allowed
            }
        };
        self.body_bytes += allowed;
        allowed
    }

    fn chunk_head(&mut self, len: u64) {
        if self.framing == Framing::Chunked {
            let mut head = Vec::with_capacity(18);
            encode::chunk_head(&mut head, len as usize);
            self.append(&head);
        }
    }

    fn chunk_end(&mut self) {
        if self.framing == Framing::Chunked {
            self.append(b"\r\n");
        }
    }

    /// Queues bytes of our own behind everything else.
    fn append(&mut self, bytes: &[u8]) {
        if self.queue.is_empty() {
            self.out.extend_from_slice(bytes);
            return;
        }
        self.queued += bytes.len();
        match self.queue.back_mut() {
            Some(Chunk::Bytes(last)) if last.len() + bytes.len() <= 2 * COPY => last.extend_from_slice(bytes),
            _ => self.queue.push_back(Chunk::Bytes(bytes.to_vec())),
        }
    }

    /// Writes until everything is on the socket. Every call that wrote something sets `progress`.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.queue.is_empty() {
                if self.out_done == self.out.len() {
                    self.out.clear();
                    self.out_done = 0;
                    if std::mem::take(&mut self.corked) {
                        stream.cork(false);
                    }
                    return Poll::Ready(Ok(()));
                }
                match stream.poll_write(cx, &self.out[self.out_done..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(n)) => self.out_done += n,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
                *progress = true;
                continue;
            }
            let written = match self.queue.front() {
                Some(Chunk::File(slice)) if self.out_done == self.out.len() => {
                    stream.poll_sendfile(cx, slice, self.front_done)
                }
                Some(Chunk::File(slice)) => {
                    if slice.len >= CORKED && !self.corked {
                        self.corked = true;
                        stream.cork(true);
                    }
                    stream.poll_write_more(cx, &self.out[self.out_done..])
                }
                _ => {
                    let mut slices = [IoSlice::new(&[]); 16];
                    let count = self.slices(&mut slices);
                    stream.poll_write_vectored(cx, &slices[..count])
                }
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.advance(n),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            *progress = true;
        }
    }

    /// Writes what the socket takes at once. Files wait for `poll_flush`. Asks the socket itself and not the runtime,
    /// which learns of new room only when it gets its turn.
    pub fn try_flush(&mut self, socket: RawFd) -> io::Result<()> {
        while !self.is_flushed() {
            let mut slices = [IoSlice::new(&[]); 16];
            let count = self.slices(&mut slices);
            if count == 0 {
                return Ok(());
            }
            match sys::send_slices(socket, &slices[..count]) {
                Ok(n) => self.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The memory at the head of the queue.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; 16]) -> usize {
        let mut count = 0;
        if self.out_done < self.out.len() {
            slices[0] = IoSlice::new(&self.out[self.out_done..]);
            count = 1;
        }
        let mut skip = self.front_done as usize;
        for chunk in &self.queue {
            let Some(bytes) = chunk.memory() else { break };
            if count == slices.len() {
                break;
            }
            slices[count] = IoSlice::new(&bytes[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    /// Notes that `n` bytes were written.
    fn advance(&mut self, mut n: usize) {
        let head = n.min(self.out.len() - self.out_done);
        self.out_done += head;
        n -= head;
        if self.out_done == self.out.len() {
            self.out.clear();
            self.out_done = 0;
        }
        while n > 0 {
            let Some(front) = self.queue.front() else { break };
            let left = front.len() - self.front_done;
            if (n as u64) < left {
                self.front_done += n as u64;
                return;
            }
            n -= left as usize;
            self.front_done = 0;
            if let Some(done) = self.queue.pop_front() {
                self.queued -= done.memory().map_or(0, <[u8]>::len);
            }
        }
    }

    /// Drops what is queued: the connection is dead. It does not count as sent.
    pub fn clear_queue(&mut self) {
        let queued: u64 = self.queue.iter().map(Chunk::len).sum();
        let unsent = queued - self.front_done + (self.out.len() - self.out_done) as u64;
        self.body_bytes = self.body_bytes.saturating_sub(unsent);
        self.out.clear();
        self.out_done = 0;
        self.queue.clear();
        self.front_done = 0;
        self.queued = 0;
        self.corked = false;
    }

    /// The same, before the sender is put away: big buffers are given back.
    pub fn clear(&mut self) {
        self.clear_queue();
        if self.out.capacity() > 64 * 1024 {
            self.out = Vec::with_capacity(1024);
        }
        self.queue.shrink_to(8);
        let mut fields = std::mem::take(&mut self.head).fields;
        fields.clear();
        self.head.fields = fields;
    }

    /// A new head, with the memory of the one before.
    pub fn recycled_head(&mut self, status: u16) -> ResponseHead {
        let mut fields = std::mem::take(&mut self.head.fields);
        fields.clear();
        ResponseHead { status, fields, ..ResponseHead::default() }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Local;

    /// What is sent for `request` when `answer` has had the sender, and whether the connection goes on.
    #[track_caller]
    fn sent(request: &str, answer: impl FnOnce(&mut Sender)) -> (String, bool, Option<Fault>) {
        let mut sender = Sender::new();
        if request.is_empty() {
            sender.reset_without_request(&Arc::default());
        } else {
            let local = Arc::new(Local { name: "localhost".into(), port: "80".into() });
            let mut parsed = Request::new(0, local);
            parsed.buf = request.replace('\n', "\r\n").into_bytes();
            let limits = crate::config::Settings::default().limits;
            wire::h1::parse(&parsed.buf, &limits, &mut parsed.head).unwrap().unwrap();
            sender.reset(&parsed, parsed.head.keep_alive, &Arc::default());
        }
        answer(&mut sender);
        let mut bytes = sender.out.clone();
        for chunk in &sender.queue {
            bytes.extend_from_slice(chunk.memory().unwrap_or(b"<file>"));
        }
        let text = String::from_utf8(bytes).unwrap();
        let dated = text.find("Date: ").map(|at| text[..at].to_owned() + &text[at + 37..]).unwrap_or(text);
        (dated.replace("\r\n", "\n"), sender.keep_alive, sender.fault)
    }

    fn head(length: Option<u64>) -> ResponseHead {
        ResponseHead { length, ..ResponseHead::new(200) }
    }

    const GET: &str = "GET / HTTP/1.1\nHost: a\n\n";
    const START: &str = "HTTP/1.1 200 OK\nServer: daemun\n";

    #[test]
    fn a_known_length_is_told() {
        let (text, keep, fault) = sent(GET, |s| {
            s.start(head(Some(5)));
            s.copy(b"hello");
            s.end();
        });
        assert_eq!(text, format!("{START}Content-Length: 5\n\nhello"));
        assert!(keep && fault.is_none());
    }

    #[test]
    fn an_unknown_length_is_chunked() {
        let (text, keep, _) = sent(GET, |s| {
            s.start(head(None));
            s.copy(b"hello");
            s.push(Chunk::Bytes(vec![b'x'; COPY + 1]));
            s.end();
        });
        let large = "x".repeat(COPY + 1);
        assert_eq!(text, format!("{START}Transfer-Encoding: chunked\n\n5\nhello\n1001\n{large}\n0\n\n"));
        assert!(keep);
    }

    #[test]
    fn an_http_1_0_client_gets_the_end_of_the_connection() {
        let (text, keep, _) = sent("GET / HTTP/1.0\nConnection: keep-alive\n\n", |s| {
            s.start(head(None));
            s.copy(b"hello");
            s.end();
        });
        assert_eq!(text, format!("{START}Connection: close\n\nhello"));
        assert!(!keep);
    }

    #[test]
    fn an_http_1_0_client_that_asks_keeps_its_connection() {
        let (text, keep, _) = sent("GET / HTTP/1.0\nConnection: keep-alive\n\n", |s| {
            s.start(head(Some(0)));
            s.end();
        });
        assert_eq!(text, format!("{START}Content-Length: 0\nConnection: keep-alive\n\n"));
        assert!(keep);
    }

    #[test]
    fn too_much_is_cut_and_noted() {
        let (text, keep, fault) = sent(GET, |s| {
            s.start(head(Some(3)));
            s.copy(b"hello");
            s.push(Chunk::Bytes(vec![b'x'; 2 * COPY]));
            s.end();
        });
        assert!(text.ends_with("\n\nhel"), "{text}");
        assert_eq!((keep, fault), (true, Some(Fault::TooLong)));
    }

    #[test]
    fn too_little_ends_the_connection() {
        let (_, keep, fault) = sent(GET, |s| {
            s.start(head(Some(6)));
            s.copy(b"hello");
            s.end();
        });
        assert_eq!((keep, fault), (false, Some(Fault::TooShort)));
    }

    #[test]
    fn where_there_is_no_body_none_is_sent() {
        for (request, status, length, tells) in [
            ("HEAD / HTTP/1.1\nHost: a\n\n", 200, Some(5), true),
            ("HEAD / HTTP/1.1\nHost: a\n\n", 200, None, false),
            (GET, 204, Some(5), false),
            (GET, 304, Some(5), true),
        ] {
            let (text, keep, fault) = sent(request, |s| {
                s.start(ResponseHead { length, ..ResponseHead::new(status) });
                s.copy(b"hello");
                s.end();
            });
            assert!(text.ends_with("\n\n"), "{text}");
            assert_eq!(text.contains("Content-Length"), tells, "{text}");
            assert!(!text.contains("Transfer-Encoding") && keep && fault.is_none(), "{text}");
        }
    }

    #[test]
    fn interim_answers_come_before_the_head_and_only_to_http_1_1() {
        let (text, ..) = sent(GET, |s| {
            s.informational(103, b"Link: <a>\r\n");
            s.start(head(Some(0)));
            s.informational(103, b"Link: <b>\r\n");
            s.end();
        });
        assert_eq!(text, format!("HTTP/1.1 103 Early Hints\nLink: <a>\n\n{START}Content-Length: 0\n\n"));
        let (text, ..) = sent("GET / HTTP/1.0\n\n", |s| s.informational(103, b""));
        assert_eq!(text, "");
    }

    #[test]
    fn an_aborted_answer_has_no_last_chunk() {
        let (text, keep, _) = sent(GET, |s| {
            s.start(head(None));
            s.copy(b"hello");
            s.abort();
            s.end();
        });
        assert!(text.ends_with("5\nhello\n") && !keep, "{text}");
    }

    #[test]
    fn a_partial_write_leaves_the_rest() {
        let mut sender = Sender::new();
        sender.reset_without_request(&Arc::default());
        sender.append(b"0123456789");
        sender.queue.push_back(Chunk::Static(b"abcdef"));
        sender.queued = 6;
        sender.advance(4);
        assert_eq!((sender.pending(), sender.out_done), (12, 4));
        sender.advance(8);
        assert_eq!((sender.pending(), sender.front_done), (6, 2));
        let mut slices = [IoSlice::new(&[]); 16];
        assert_eq!(sender.slices(&mut slices), 1);
        assert_eq!(&*slices[0], b"cdef");
        sender.advance(4);
        assert!(sender.is_flushed());
    }
}
