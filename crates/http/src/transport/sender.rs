//! The sending half of an exchange: heads and pieces of bodies in, bytes on the socket out. `write` and this file frame
//! for HTTP/1, `frames` for a stream of HTTP/2; what goes on before is the same.
//!
//! `Sender` decides the framing (RFC 9112 section 6), keeps the application to its Content-Length, drops bodies where
//! there must be none (RFC 9110 section 6.4.1), and queues what the socket does not take yet. It does no waiting of
//! its own: `poll_flush` is for a task, `try_flush` for code that must not wait.

mod frames;
mod staged;
mod write;

pub use staged::{PIECE, Passed};

use std::collections::VecDeque;
use std::sync::Arc;

use wire::h1::{Method, Version, encode};

use super::clock::{self, Common};
use super::memory::Charge;
use super::rate::Rate;
use crate::config::Settings;
use crate::exchange::{Chunk, Request, ResponseHead};

/// Pieces up to this size are copied behind the head: one `send` is cheaper than a `writev`.
pub const COPY: usize = 4096;

/// So many bytes of an answer are kept in memory, files not counted.
pub const MOST_KEPT: usize = 64 << 20;

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
    /// The client came by TLS.
    secure: bool,
    /// The stream holds something back of what was written to it.
    held: bool,
    /// The head of the final answer is encoded.
    pub started: bool,
    /// The answer is complete in the queue.
    pub ended: bool,
    /// The connection can carry another request after this answer.
    pub keep_alive: bool,
    pub fault: Option<Fault>,
    /// The client did not get all of it.
    pub broken: bool,
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
    /// Looks at an answer's head before it is sent.
    filter: Option<Box<dyn Filter>>,
    /// The answer is kept, not sent.
    kept: Option<Box<Kept>>,
    /// Bytes of the head as encoded.
    head_bytes: u64,
    /// Bytes of chunk framing and trailers.
    framing_bytes: u64,
    /// What the answer may be sent with.
    rate: Option<Box<Rate>>,
    /// The body goes through stages.
    staged: Option<Box<staged::Staged>>,
    /// What the client has not taken.
    charge: Charge,
    /// It goes over a stream of HTTP/2.
    frames: Option<Box<frames::Frames>>,
    /// What became of it there.
    pub passed: Option<Box<Passed>>,
    /// Nothing follows any more: the answer is broken off where it is.
    is_cut: bool,
}

/// What stands between an application's answer and the client.
pub trait Filter: Send {
    /// May change the head; says what becomes of the answer.
    fn head(&mut self, head: &mut ResponseHead) -> Verdict;

    /// The fields that follow the body, as encoded lines; asked for where the head expects them.
    fn trailers(&mut self, _head: &ResponseHead, _body_bytes: u64) -> Vec<u8> {
        Vec::new()
    }
}

/// What becomes of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Send,
    /// It is kept, for something to be made of it.
    Keep,
    /// Its head is kept and its body dropped: another answer takes its place.
    Drop,
    /// Nothing is sent, and the connection ends.
    Refuse,
}

/// An answer that was not sent.
#[derive(Default)]
pub struct Kept {
    pub head: ResponseHead,
    pub body: Vec<Chunk>,
    /// The body is wanted.
    with_body: bool,
    /// But nobody will look at it.
    only_head: bool,
    /// It is longer than what may be kept, and incomplete.
    pub too_long: bool,
    /// It was broken off.
    pub aborted: bool,
    /// Bytes of memory in `body`.
    size: usize,
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
            secure: false,
            held: false,
            started: false,
            ended: false,
            keep_alive: false,
            fault: None,
            broken: false,
            head: ResponseHead::default(),
            body_bytes: 0,
            trailers: Vec::new(),
            settings: None,
            corked: false,
            filter: None,
            kept: None,
            head_bytes: 0,
            framing_bytes: 0,
            rate: None,
            staged: None,
            charge: Charge::default(),
            frames: None,
            passed: None,
            is_cut: false,
        }
    }

    /// Makes ready for the answer to `request`. What is still queued of the answer before stays queued.
    pub fn reset(&mut self, request: &Request, keep_alive: bool, settings: &Arc<Settings>) {
        self.configure(settings);
        self.version = request.head.version;
        self.bodyless = request.head.method == Method::Head;
        self.secure = request.secure;
        self.begin_exchange(keep_alive);
    }

    /// From now on other settings hold. `secure`: the client came by TLS, as far as is known now.
    pub fn use_settings(&mut self, settings: &Arc<Settings>, secure: bool) {
        self.configure(settings);
        self.secure = secure;
    }

    /// Lets `filter` see the head of the answer first.
    pub fn set_filter(&mut self, filter: Option<Box<dyn Filter>>) {
        self.filter = filter;
    }

    /// Keeps the answer: nothing is sent.
    pub fn keep(&mut self) {
        self.kept = Some(Box::new(Kept { with_body: true, ..Kept::default() }));
    }

    /// Keeps the head of the answer: nothing is sent, and the body dropped.
    pub fn keep_head(&mut self) {
        self.kept = Some(Box::new(Kept { with_body: true, only_head: true, ..Kept::default() }));
    }

    /// The answer that was kept; another one may be begun.
    pub fn take_kept(&mut self) -> Option<Box<Kept>> {
        let kept = self.kept.take()?;
        self.filter = None;
        self.started = false;
        self.ended = false;
        self.fault = None;
        self.body_bytes = 0;
        Some(kept)
    }

    /// Whether an answer is being kept.
    pub fn is_keeping(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether one is, for another one to take its place.
    pub fn is_dropping(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.with_body)
    }

    /// Whether the answer that was begun has a body.
    pub fn has_body(&self) -> bool {
        self.framing != Framing::None
    }

    /// Whether so much waits for the socket that whoever makes more should wait, too.
    pub fn is_full(&self) -> bool {
        self.pending() > 1 << 20 || self.queue.len() > 64
    }

    /// Sends no faster than `rate` bytes a second, after the first `after` bytes.
    pub fn limit_rate(&mut self, rate: u64, after: u64) {
        self.rate = Rate::new(rate, after).map(Box::new);
    }

    /// Nothing may be sent just now, whatever the socket would take.
    pub fn must_pause(&self) -> bool {
        self.rate.as_ref().is_some_and(|rate| rate.allowed() == 0)
    }

    /// Bytes of the body that were accepted for sending, with what frames it: what nginx counts.
    pub fn framed_bytes(&self) -> u64 {
        self.body_bytes + self.framing_bytes
    }

    /// Bytes of head and body that were accepted for sending.
    pub fn bytes(&self) -> u64 {
        self.head_bytes + self.body_bytes + self.framing_bytes
    }

    /// The same for an answer to something that was not a request: HTTP/1.1, and the connection ends.
    pub fn reset_without_request(&mut self, settings: &Arc<Settings>) {
        self.configure(settings);
        self.version = Version::Http11;
        self.bodyless = false;
        self.secure = false;
        self.begin_exchange(false);
    }

    fn configure(&mut self, settings: &Arc<Settings>) {
        if !self.settings.as_ref().is_some_and(|known| Arc::ptr_eq(known, settings)) {
            self.settings = Some(settings.clone());
        }
    }

    fn begin_exchange(&mut self, keep_alive: bool) {
        self.framing = Framing::None;
        self.clear_head();
        self.filter = None;
        self.kept = None;
        self.head_bytes = 0;
        self.framing_bytes = 0;
        self.rate = None;
        self.staged = None;
        self.passed = None;
        self.is_cut = false;
        self.started = false;
        self.ended = false;
        self.keep_alive = keep_alive;
        self.fault = None;
        self.broken = false;
        self.body_bytes = 0;
        self.trailers.clear();
        if let Some(frames) = &mut self.frames {
            frames.begin();
        }
    }

    /// The settings that hold.
    pub fn settings(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref()
    }

    /// Whether everything accepted has been written to the socket.
    pub fn is_flushed(&self) -> bool {
        self.is_written()
            && !self.held
            && self.staged.as_ref().is_none_or(|staged| !staged.is_waiting() && !staged.holds_back())
            && (self.kept.is_none() || !self.is_stuck())
    }

    fn is_written(&self) -> bool {
        self.out_done == self.out.len()
            && self.queue.is_empty()
            && self.frames.as_ref().is_none_or(|frames| frames.is_settled())
    }

    fn has_waiting(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.is_waiting())
    }

    /// More was given than can be kept: whoever waits for the rest to be sent is told so.
    fn is_stuck(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.too_long && !kept.aborted)
    }

    /// Bytes of memory that wait for the socket, or to be made into what does.
    pub fn pending(&self) -> usize {
        self.out.len() - self.out_done + self.queued + self.staged.as_ref().map_or(0, |staged| staged.held())
    }

    /// An interim answer (RFC 9110 section 15.2): `fields` are encoded lines. Not for HTTP/1.0 clients.
    pub fn informational(&mut self, status: u16, fields: &[u8]) {
        if self.started {
            return;
        }
        if self.frames.is_some() {
            return self.inform_by_frame(status, fields);
        }
        if self.version == Version::Http11 {
            let mut bytes = Vec::with_capacity(64 + fields.len());
            encode::status_line(&mut bytes, true, status, None);
            bytes.extend_from_slice(fields);
            bytes.extend_from_slice(b"\r\n");
            self.append(&bytes);
        }
    }

    /// Takes the head of an application's answer.
    pub fn start(&mut self, mut head: ResponseHead) {
        if let Some(mut filter) = self.filter.take() {
            match filter.head(&mut head) {
                Verdict::Send if head.expects_trailers => self.filter = Some(filter),
                Verdict::Send => {}
                Verdict::Refuse => return self.refuse(head),
                verdict => {
                    self.kept = Some(Box::new(Kept { with_body: verdict == Verdict::Keep, ..Kept::default() }));
                }
            }
        }
        self.begin(head);
    }

    /// Lets nothing of the answer out.
    pub fn refuse(&mut self, head: ResponseHead) {
        self.started = true;
        self.framing = Framing::None;
        self.head = head;
        self.abort();
    }

    /// Encodes the head. Framing follows from its length, the version and the request's method. The order of fields is
    /// nginx's.
    pub fn begin(&mut self, mut head: ResponseHead) {
        debug_assert!(!self.started);
        self.started = true;
        if self.refuses(&head) {
            head = ResponseHead::new(501);
        }
        if let Some(kept) = &mut self.kept {
            self.framing = Framing::Close;
            kept.head = head;
            return;
        }
        let status = head.status;
        let without_body = self.bodyless || status == 204 || status == 304 || status < 200;
        if head.close {
            self.keep_alive = false;
        }
        if let Some(rate) = head.rate {
            self.limit_rate(rate, 0);
        }
        // Given back below: counting it would cost two writes to memory that is shared.
        let own_settings = self.settings.take();
        let settings = own_settings.as_deref();
        if let Some(settings) = settings {
            settings.secure_headers.apply(&mut head, settings.headers.fixed(), self.secure);
        }
        let may_chunk = settings.is_none_or(|settings| settings.chunked_transfer_encoding);
        let may_chunk = may_chunk && self.version == Version::Http11 && self.frames.is_none();
        if !head.stages.is_empty() || head.coder.is_some() {
            let mut stages = std::mem::take(&mut head.stages);
            let length = head.length;
            stages.extend(head.coder.take());
            if !stages.iter().all(|stage| stage.keeps_length()) {
                head.length = None;
            }
            if !without_body {
                self.stage(stages, length);
            }
        }
        if head.expects_trailers && may_chunk && !without_body {
            head.length = None;
        }
        self.framing = match head.length {
            _ if without_body => Framing::None,
            Some(length) => Framing::Length(length),
            None if may_chunk => Framing::Chunked,
            None if self.frames.is_some() => Framing::Close,
            None => {
                self.keep_alive = false;
                Framing::Close
            }
        };
        if self.frames.is_some() {
            self.settings = own_settings;
            self.begin_frames(&head);
            self.head = head;
            return;
        }
        let mut own = Vec::new();
        let fits = self.queue.is_empty();
        let out = if fits { &mut self.out } else { &mut own };
        let before = out.len();
        clock::common_head(out, &head, settings.map(Common::from).unwrap_or_default());
        if !head.content_type.is_empty() {
            encode::field(out, b"Content-Type", &head.content_type);
        }
        if let Some(length) = head.length.filter(|_| status != 204 && status >= 200) {
            out.extend_from_slice(b"Content-Length: ");
            encode::number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if !head.last_modified.is_empty() {
            encode::field(out, b"Last-Modified", &head.last_modified);
        }
        if !head.location.is_empty() {
            encode::field(out, b"Location", &head.location);
        }
        if self.framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !self.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.version == Version::Http10 || settings.is_some_and(|settings| settings.keep_alive_field) {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
            if let Some(seconds @ 1..) = settings.map(|settings| settings.keepalive_header) {
                out.extend_from_slice(b"Keep-Alive: timeout=");
                encode::number(out, seconds);
                out.extend_from_slice(b"\r\n");
            }
        }
        if head.vary {
            out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        }
        out.extend_from_slice(&head.fields);
        if let Some(lines) = settings.and_then(|settings| settings.headers.fixed()) {
            out.extend_from_slice(lines);
        }
        out.extend_from_slice(&head.last_fields);
        out.extend_from_slice(b"\r\n");
        self.head_bytes = (out.len() - before) as u64;
        self.settings = own_settings;
        if !fits {
            self.append(&own);
        }
        self.head = head;
    }

    /// Begins an answer whose body goes out as it comes, without a head (HTTP/0.9).
    pub fn begin_without_head(&mut self, head: ResponseHead) {
        self.started = true;
        self.framing = Framing::Close;
        self.keep_alive = false;
        self.head = head;
    }

    /// Encodes the head of a 101: from here on the connection speaks another protocol, whose bytes go through `raw`.
    pub fn switch_protocols(&mut self, head: ResponseHead) {
        self.started = true;
        self.framing = Framing::Close;
        if self.frames.is_some() {
            return self.open_tunnel(head);
        }
        let common = self.settings.as_deref().map(Common::from).unwrap_or_default();
        clock::common_head(&mut self.out, &head, common);
        self.out.extend_from_slice(b"Connection: upgrade\r\n");
        self.out.extend_from_slice(&head.fields);
        self.out.extend_from_slice(b"\r\n");
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
        if self.kept.is_some() {
            return self.keep_chunk(Chunk::Bytes(bytes.to_vec()));
        }
        if self.staged.is_some() {
            return self.stage_chunk(Chunk::Bytes(bytes.to_vec()));
        }
        self.put_bytes(bytes);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
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
        if self.kept.is_some() {
            return self.keep_chunk(chunk);
        }
        if self.staged.is_some() {
            return self.stage_chunk(chunk);
        }
        self.put(chunk);
    }

    fn put(&mut self, chunk: Chunk) {
        if let Some(bytes) = chunk.memory().filter(|bytes| bytes.len() <= COPY) {
            return self.put_bytes(bytes);
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

    fn keep_chunk(&mut self, chunk: Chunk) {
        if let Some(kept) = &mut self.kept
            && kept.with_body
            && !kept.only_head
            && !kept.too_long
        {
            kept.size += chunk.memory().map_or(0, <[u8]>::len);
            if kept.size > MOST_KEPT {
                kept.too_long = true;
                kept.body = Vec::new();
                self.charge.set(0);
                return;
            }
            self.charge.set(kept.size);
            match (kept.body.last_mut(), chunk.memory()) {
                (Some(Chunk::Bytes(last)), Some(bytes)) if last.len() < COPY => last.extend_from_slice(bytes),
                _ => kept.body.push(chunk),
            }
        }
    }

    /// Adds trailer fields, encoded lines (RFC 9112 section 7.1.2). Where the body is not chunked they are dropped.
    pub fn trailer(&mut self, fields: &[u8]) {
        if self.framing == Framing::Chunked || self.frames.is_some() && self.framing != Framing::None {
            self.trailers.extend_from_slice(fields);
        }
    }

    /// The body is complete.
    pub fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        if self.kept.is_some() {
            return;
        }
        if self.staged.is_none() || self.end_staged() {
            self.close();
        }
    }

    /// Tells the end of the body.
    fn close(&mut self) {
        if let Some(mut filter) = self.filter.take() {
            let trailers = filter.trailers(&self.head, self.body_bytes);
            self.trailer(&trailers);
        }
        match self.framing {
            // What was cut short has no end.
            _ if self.fault == Some(Fault::TooShort) => {}
            Framing::Chunked if self.trailers.is_empty() => {
                self.framing_bytes += encode::LAST_CHUNK.len() as u64;
                self.append(encode::LAST_CHUNK);
            }
            Framing::Chunked => {
                let trailers = std::mem::take(&mut self.trailers);
                self.framing_bytes += trailers.len() as u64 + 5;
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
        if let Some(frames) = &mut self.frames {
            if self.fault == Some(Fault::TooShort) { frames.abort() } else { frames.close() }
        }
    }

    /// The answer cannot be completed: the client must notice, so the connection ends without the last chunk.
    pub fn abort(&mut self) {
        self.ended = true;
        self.keep_alive = false;
        self.staged = None;
        if let Some(kept) = &mut self.kept {
            kept.aborted = true;
        } else if let Some(frames) = &mut self.frames {
            frames.abort();
        }
    }

    /// Whether a Content-Length was given and all of it is here.
    pub fn is_satisfied(&self) -> bool {
        matches!(self.framing, Framing::Length(0) | Framing::None)
            || self.staged.as_ref().is_some_and(|staged| staged.is_satisfied())
    }

    /// How many of `len` further bytes the framing lets through.
    fn allow(&mut self, len: u64) -> u64 {
        let allowed = match &mut self.framing {
            Framing::None => 0,
            _ if self.is_cut => 0,
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
        if self.framing != Framing::Chunked {
            return;
        }
        if self.queue.is_empty() {
            let before = self.out.len();
            encode::chunk_head(&mut self.out, len as usize);
            self.framing_bytes += (self.out.len() - before) as u64;
        } else {
            let mut head = Vec::with_capacity(18);
            encode::chunk_head(&mut head, len as usize);
            self.framing_bytes += head.len() as u64;
            self.append(&head);
        }
    }

    fn chunk_end(&mut self) {
        if self.framing == Framing::Chunked {
            self.framing_bytes += 2;
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

    /// Drops what is queued: the connection is dead. It does not count as sent.
    pub fn clear_queue(&mut self) {
        let queued: u64 = self.queue.iter().map(Chunk::len).sum();
        let current = self.frames.as_mut().map_or(0, |frames| frames.clear());
        let unsent = queued - self.front_done + (self.out.len() - self.out_done) as u64 + current;
        self.body_bytes = self.body_bytes.saturating_sub(unsent);
        self.out.clear();
        self.out_done = 0;
        self.queue.clear();
        self.front_done = 0;
        self.queued = 0;
        self.corked = false;
        self.held = false;
        self.staged = None;
        self.charge.set(0);
        if let Some(kept) = &mut self.kept {
            kept.aborted = true;
        }
    }

    /// The same, before the sender is put away: big buffers are given back.
    pub fn clear(&mut self) {
        self.clear_queue();
        if self.out.capacity() > 64 * 1024 {
            self.out = Vec::with_capacity(1024);
        }
        self.queue.shrink_to(8);
        self.clear_head();
        self.filter = None;
        self.kept = None;
        self.rate = None;
        self.frames = None;
        self.passed = None;
    }

    /// A new head, with the memory of the one before.
    pub fn recycled_head(&mut self, status: u16) -> ResponseHead {
        self.clear_head();
        let mut head = std::mem::take(&mut self.head);
        head.status = status;
        head
    }

    /// One without a status is empty already.
    fn clear_head(&mut self) {
        if self.head.status != 0 {
            self.head.clear();
        }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
