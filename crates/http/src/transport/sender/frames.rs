//! The other way of framing: an answer on a stream of HTTP/2 (RFC 9113 section 8.1). Its head is kept as status and
//! fields, its body goes out in pieces for which the client has room, and the last of them says that it is the last.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http_types::header::{self, HeaderName, HeaderValue};
use http_types::{HeaderMap, Response, StatusCode};
use wire::h1::encode;

use super::{Framing, Sender};
use crate::exchange::{Chunk, FileSlice, Foreign, ResponseHead};
use crate::sys;
use crate::transport::clock::{self, Common};
use crate::transport::multiplexed::Multiplexed;

/// Bytes of a frame's head.
const FRAME: u64 = 9;
/// From so many unsent bytes on, what nobody can wait for goes to a file.
const SPILLED: usize = 256 * 1024;

/// What an answer on a stream has beside what every answer has.
#[derive(Default)]
pub struct Frames {
    /// Interim answers to be sent.
    interim: Vec<Response<()>>,
    /// The head, until it is sent.
    head: Option<Response<()>>,
    /// A piece of the queue of which some is sent.
    current: Bytes,
    /// The body is complete in the queue.
    closed: bool,
    /// The client is told that the answer is complete.
    done: bool,
    /// It will never be.
    aborted: bool,
    /// The request asks for a tunnel (RFC 8441): a status of 2xx would open one.
    tunnel: bool,
    /// What does not fit in memory, and up to where it is used.
    spill: Option<(Arc<File>, u64)>,
}

impl Frames {
    /// Begins another answer.
    pub(super) fn begin(&mut self) {
        *self = Frames { tunnel: self.tunnel, ..Frames::default() };
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn abort(&mut self) {
        self.aborted = true;
    }

    /// Nothing is left to be sent but what is queued.
    pub(super) fn is_settled(&self) -> bool {
        self.head.is_none()
            && self.interim.is_empty()
            && self.current.is_empty()
            && (!self.closed || self.done || self.aborted)
    }

    /// Drops what is left, and tells how much that is.
    pub(super) fn clear(&mut self) -> u64 {
        self.aborted |= !self.done;
        self.head = None;
        self.interim.clear();
        std::mem::take(&mut self.current).len() as u64
    }
}

/// What keeps the bytes of a piece alive.
struct Owned(Box<dyn Foreign>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Names and values on the way into a head: the values share one piece of memory.
struct Fields {
    values: Vec<u8>,
    places: Vec<(HeaderName, usize)>,
}

impl Fields {
    fn with_capacity(fields: usize, bytes: usize) -> Fields {
        Fields { values: Vec::with_capacity(bytes), places: Vec::with_capacity(fields) }
    }

    fn put(&mut self, name: HeaderName, value: &[u8]) {
        self.values.extend_from_slice(value);
        self.places.push((name, self.values.len()));
    }

    /// Encoded lines, without those that are about a connection (RFC 9113 section 8.2.2).
    fn lines(&mut self, lines: &[u8]) {
        for line in lines.split(|&byte| byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let Ok(name) = HeaderName::from_bytes(&line[..colon]) else { continue };
            let of_connection = matches!(
                name.as_str(),
                "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
            );
            if !of_connection {
                self.put(name, line[colon + 1..].trim_ascii());
            }
        }
    }

    /// The bytes that they have as text.
    fn size(&self) -> u64 {
        let names: usize = self.places.iter().map(|(name, _)| name.as_str().len() + 4).sum();
        (names + self.values.len()) as u64
    }

    /// Adds them to `map`.
    fn finish(self, mut map: HeaderMap) -> HeaderMap {
        let values = Bytes::from(self.values);
        map.reserve(self.places.len());
        let mut start = 0;
        for (name, end) in self.places {
            if let Ok(value) = HeaderValue::from_maybe_shared(values.slice(start..end)) {
                map.append(name, value);
            }
            start = end;
        }
        map
    }
}

thread_local! {
    /// The Date field of this second.
    static DATE: RefCell<([u8; 29], Option<HeaderValue>)> = const { RefCell::new(([0; 29], None)) };
}

fn date() -> HeaderValue {
    DATE.with_borrow_mut(|(known, value)| {
        let now = clock::date();
        match value {
            Some(value) if *known == now => value.clone(),
            _ => {
                *known = now;
                // Letters, digits, spaces, a comma and colons.
                let made = HeaderValue::from_bytes(&now).unwrap_or_else(|_| HeaderValue::from_static(""));
                value.insert(made).clone()
            }
        }
    })
}

fn response(status: u16, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = fields;
    response
}

impl Sender {
    /// The answer goes over a stream of HTTP/2. `tunnel`: the request is an extended CONNECT.
    pub fn use_frames(&mut self, tunnel: bool) {
        self.frames = Some(Box::new(Frames { tunnel, ..Frames::default() }));
    }

    /// Whether the client was told that the answer is complete.
    pub fn is_told_complete(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.done)
    }

    /// Whether a head must not leave: it would open a tunnel to something that is none.
    pub(super) fn refuses(&self, head: &ResponseHead) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.tunnel) && (200..300).contains(&head.status)
    }

    /// The head of an answer; its framing is decided.
    pub(super) fn begin_frames(&mut self, head: &ResponseHead) {
        let fixed = self.settings.as_ref().and_then(|settings| settings.headers.fixed()).unwrap_or_default();
        let bytes = 64 + head.content_type.len() + head.fields.len() + head.last_fields.len() + fixed.len();
        let mut fields = Fields::with_capacity(8, bytes);
        let common = self.settings.as_deref().map(Common::from).unwrap_or_default();
        let mut map = HeaderMap::with_capacity(12);
        if !head.has_server && !common.server.is_empty() {
            map.append(header::SERVER, HeaderValue::from_static(common.server));
        }
        if !head.has_date && common.date {
            map.append(header::DATE, date());
        }
        if !head.content_type.is_empty() {
            fields.put(header::CONTENT_TYPE, &head.content_type);
        }
        if let Some(length) = head.length.filter(|_| head.status != 204 && head.status >= 200) {
            encode::number(&mut fields.values, length);
            fields.put(header::CONTENT_LENGTH, b"");
        }
        if !head.last_modified.is_empty() {
            fields.put(header::LAST_MODIFIED, &head.last_modified);
        }
        if !head.location.is_empty() {
            fields.put(header::LOCATION, &head.location);
        }
        if head.vary {
            fields.put(header::VARY, b"Accept-Encoding");
        }
        fields.lines(&head.fields);
        fields.lines(fixed);
        fields.lines(&head.last_fields);
        let known: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        self.head_bytes = FRAME + fields.size() + known as u64;
        if let Some(frames) = &mut self.frames {
            frames.head = Some(response(head.status, fields.finish(map)));
        }
    }

    /// The head that opens a tunnel (RFC 8441 section 5): bytes in DATA frames follow.
    pub(super) fn open_tunnel(&mut self, mut head: ResponseHead) {
        head.status = 200;
        head.remove("sec-websocket-accept");
        self.begin_frames(&head);
        self.head = head;
    }

    pub(super) fn inform_by_frame(&mut self, status: u16, lines: &[u8]) {
        let mut fields = Fields::with_capacity(4, lines.len());
        fields.lines(lines);
        if let Some(frames) = &mut self.frames {
            frames.interim.push(response(status, fields.finish(HeaderMap::new())));
        }
    }

    /// Sends what there is and the client has room for: how many bytes of the body, or `None` if nothing is left.
    /// `most`: of them.
    pub(super) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Multiplexed,
        most: u64,
    ) -> Poll<io::Result<Option<usize>>> {
        let front = self.front();
        let Some(frames) = &mut self.frames else { return Poll::Ready(Ok(None)) };
        for head in frames.interim.drain(..) {
            stream.inform(head)?;
        }
        let last = frames.closed && !frames.aborted && self.trailers.is_empty();
        if let Some(head) = frames.head.take() {
            frames.done = self.framing == Framing::None || last && front == 0;
            stream.start(head, frames.done)?;
            return Poll::Ready(Ok(Some(0)));
        }
        if front == 0 {
            if !frames.closed || frames.done || frames.aborted {
                return Poll::Ready(Ok(None));
            }
            frames.done = true;
            if last {
                self.head_bytes += FRAME;
                stream.data(Bytes::new(), true)?;
            } else {
                let lines = std::mem::take(&mut self.trailers);
                let mut fields = Fields::with_capacity(4, lines.len());
                fields.lines(&lines);
                self.head_bytes += FRAME + fields.size();
                stream.trailers(fields.finish(HeaderMap::new()))?;
            }
            return Poll::Ready(Ok(Some(0)));
        }
        let chunk = self.settings.as_ref().map_or(usize::MAX, |settings| settings.http2_chunk_size);
        let want = usize::try_from(front.min(most)).unwrap_or(usize::MAX).min(chunk);
        let room = ready!(stream.poll_room(cx, want))?;
        let piece = self.frame_piece(room)?;
        let len = piece.len();
        let last = last && self.front() == 0;
        self.head_bytes += FRAME;
        stream.data(piece, last)?;
        if let Some(frames) = &mut self.frames {
            frames.done = last;
        }
        Poll::Ready(Ok(Some(len)))
    }

    /// Bytes that are to be sent next and lie together; 0: there are none.
    fn front(&self) -> u64 {
        match &self.frames {
            Some(frames) if !frames.current.is_empty() => frames.current.len() as u64,
            _ if self.out_done < self.out.len() => (self.out.len() - self.out_done) as u64,
            _ => self.queue.front().map_or(0, |chunk| chunk.len() - self.front_done),
        }
    }

    /// The next bytes of the body: at least one, at most `most`. There are some.
    fn frame_piece(&mut self, most: usize) -> io::Result<Bytes> {
        let Some(frames) = &mut self.frames else { return Ok(Bytes::new()) };
        if frames.current.is_empty() {
            if self.out_done < self.out.len() {
                let len = most.min(self.out.len() - self.out_done);
                let piece = Bytes::copy_from_slice(&self.out[self.out_done..self.out_done + len]);
                self.advance(len);
                return Ok(piece);
            }
            if let Some(Chunk::File(slice)) = self.queue.front() {
                let mut piece = Vec::new();
                slice.read_at(self.front_done, most, &mut piece)?;
                self.advance(piece.len());
                return Ok(piece.into());
            }
            frames.current = match self.queue.pop_front() {
                Some(Chunk::Bytes(bytes)) => bytes.into(),
                Some(Chunk::Static(bytes)) => Bytes::from_static(bytes),
                Some(Chunk::Shared(bytes)) => Bytes::from_owner(bytes),
                Some(Chunk::Foreign(bytes)) => Bytes::from_owner(Owned(bytes)),
                Some(Chunk::File(_)) | None => Bytes::new(),
            };
            frames.current.advance(usize::try_from(self.front_done).unwrap_or(usize::MAX).min(frames.current.len()));
            self.front_done = 0;
        }
        let piece = frames.current.split_to(most.min(frames.current.len()));
        self.queued = self.queued.saturating_sub(piece.len());
        Ok(piece)
    }

    /// Sends what the client has room for at once. What is too much to be kept, and nobody can wait for, goes to a
    /// temporary file.
    pub(super) fn try_frames(&mut self, stream: &mut Multiplexed) -> io::Result<()> {
        let cx = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(sent) = self.poll_frames(cx, stream, u64::MAX) {
            if sent?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Moves what waits in memory to an unlinked file, if it is much. An error leaves the answer incomplete.
    pub fn spill(&mut self) -> io::Result<()> {
        if self.pending() < SPILLED {
            return Ok(());
        }
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let (file, mut end) = match frames.spill.take() {
            Some(spill) => spill,
            None => {
                let directory = self.settings.as_ref().map_or_else(std::env::temp_dir, |settings| settings.temporary());
                (Arc::new(sys::temporary_file(&directory)?), 0)
            }
        };
        let mut kept = VecDeque::new();
        let current = std::mem::take(&mut frames.current);
        let mut put = |bytes: &[u8], kept: &mut VecDeque<Chunk>| -> io::Result<()> {
            if bytes.is_empty() {
                return Ok(());
            }
            file.write_all_at(bytes, end)?;
            let len = bytes.len() as u64;
            match kept.back_mut() {
                Some(Chunk::File(last)) if Arc::ptr_eq(&last.file, &file) && last.offset + last.len == end => {
                    last.len += len;
                }
                _ => kept.push_back(Chunk::File(FileSlice { file: file.clone(), offset: end, len })),
            }
            end += len;
            Ok(())
        };
        put(&current, &mut kept)?;
        put(&self.out[self.out_done..], &mut kept)?;
        self.out.clear();
        self.out_done = 0;
        for chunk in self.queue.drain(..) {
            let skip = std::mem::take(&mut self.front_done);
            match chunk {
                Chunk::File(part) => {
                    let (offset, len) = (part.offset + skip, part.len - skip);
                    kept.push_back(Chunk::File(FileSlice { offset, len, ..part }));
                }
                other => put(&other.memory().unwrap_or_default()[skip as usize..], &mut kept)?,
            }
        }
        frames.spill = Some((file, end));
        self.queue = kept;
        self.queued = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        let mut sender = Sender::new();
        sender.reset_without_request(&Arc::default());
        sender.use_frames(false);
        sender
    }

    fn head(sender: &Sender) -> Option<&Response<()>> {
        sender.frames.as_ref().and_then(|frames| frames.head.as_ref())
    }

    #[test]
    fn a_head_has_no_fields_of_the_connection() {
        let mut sender = sender();
        let mut answer = ResponseHead { length: Some(3), ..ResponseHead::new(201) };
        for name in ["Connection", "Keep-Alive", "Transfer-Encoding", "X-Own", "Set-Cookie", "Set-Cookie"] {
            encode::field(&mut answer.fields, name.as_bytes(), b"value");
        }
        sender.begin(answer);
        let head = head(&sender).unwrap();
        let names: Vec<&str> = head.headers().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            (head.status().as_u16(), &names[2..]),
            (201, &["content-length", "x-own", "set-cookie", "set-cookie"][..])
        );
        assert_eq!((sender.framing, sender.keep_alive), (Framing::Length(3), false));
    }

    #[test]
    fn nothing_but_a_tunnel_answers_with_success_where_one_is_asked_for() {
        let mut sender = sender();
        sender.use_frames(true);
        sender.begin(ResponseHead::new(200));
        assert_eq!(head(&sender).unwrap().status().as_u16(), 501);
        let mut other = super::tests::sender();
        other.use_frames(true);
        other.switch_protocols(ResponseHead::new(101));
        assert_eq!(head(&other).unwrap().status().as_u16(), 200);
    }

    #[test]
    fn what_is_too_much_for_memory_waits_in_a_file_in_its_order() {
        let mut sender = sender();
        sender.begin(ResponseHead::new(200));
        sender.copy(b"first ");
        for _ in 0..3 {
            sender.push(Chunk::Bytes(vec![b'x'; SPILLED / 2]));
        }
        sender.copy(b" last");
        sender.spill().unwrap();
        assert_eq!((sender.pending(), sender.queue.len()), (0, 1));
        let Some(Chunk::File(slice)) = sender.queue.front() else { panic!("it is in memory") };
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < slice.len {
            slice.read_at(bytes.len() as u64, usize::MAX, &mut bytes).unwrap();
        }
        assert!(bytes.starts_with(b"first xx") && bytes.ends_with(b"xx last"));
        assert_eq!(bytes.len(), SPILLED / 2 * 3 + 11);
    }
}
