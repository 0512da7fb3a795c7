//! One request on a connection to a server, in HTTP/1 (RFC 9112): written as the server takes it, and the answer read as
//! far as somebody wants it.

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, ready};

use wire::h1::answer::{self, Answer, BodyEnd};
use wire::h1::{Chunk, ChunkedDecoder, Method, encode};

use super::exchange::{Data, NoHead, Outgoing};
use super::pool::Link;
use crate::transport::buffers;

/// Bytes of trailer fields taken.
const TRAILERS: usize = 8 * 1024;
/// So much of a body that is still arriving is written at once, in bytes.
const PIECE: usize = 64 * 1024;
/// With less room than this a buffer grows, in bytes.
const LEAST: usize = 4096;

pub struct Exchange {
    pub link: Link,
    /// Head of the request, or a piece of its body. 0 <= out_done <= out.len()
    out: Vec<u8>,
    out_done: usize,
    /// Bytes of the body that are written, or in `out`.
    body_done: u64,
    body_ended: bool,
    /// All of the request is on the socket, or no more of it can be.
    is_sent: bool,
    /// Bytes written to the server, and read from it.
    sent: u64,
    received: u64,
    /// Read and not used yet: ahead[at..]; of a body the first `ready` are decoded.
    ahead: Vec<u8>,
    at: usize,
    ready: usize,
    pub answer: Answer,
    incoming: Incoming,
    /// The body of the answer is complete.
    ended: bool,
    /// The server has sent what belongs to no answer, or has not said where its answer ends.
    spoilt: bool,
}

/// How the answer's body is taken off.
enum Incoming {
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
    Close,
}

impl Exchange {
    /// `head`: the request's, encoded.
    pub fn new(link: Link, head: Vec<u8>) -> Exchange {
        Exchange {
            link,
            out: head,
            out_done: 0,
            body_done: 0,
            body_ended: false,
            is_sent: false,
            sent: 0,
            received: 0,
            ahead: Vec::new(),
            at: 0,
            ready: 0,
            answer: Answer::new(),
            incoming: Incoming::Close,
            ended: false,
            spoilt: false,
        }
    }

    /// Bytes written to the server.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes read from it.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// Writes what there is of the request. `progress`: something was written. Ready when all of it is.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        body: &Outgoing<'_>,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        let sent = self.poll_write(cx, body, progress);
        // What TLS had taken before has got further.
        *progress |= self.link.stream.moved();
        self.is_sent = sent.is_ready();
        sent
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, body: &Outgoing<'_>, progress: &mut bool) -> Poll<io::Result<()>> {
        loop {
            if self.out_done < self.out.len() {
                let rest = match body {
                    Outgoing::Memory(bytes) => &bytes[self.body_done as usize..],
                    _ => &[],
                };
                let head = &self.out[self.out_done..];
                let written = if rest.is_empty() {
                    ready!(self.link.stream.poll_write(cx, head))?
                } else {
                    let slices = [IoSlice::new(head), IoSlice::new(rest)];
                    ready!(self.link.stream.poll_write_vectored(cx, &slices))?
                };
                self.wrote(written, progress)?;
                let of_head = written.min(self.out.len() - self.out_done);
                self.out_done += of_head;
                self.body_done += (written - of_head) as u64;
                continue;
            }
            self.out.clear();
            self.out_done = 0;
            match body {
                Outgoing::None => self.body_ended = true,
                Outgoing::Memory(bytes) => {
                    let rest = &bytes[self.body_done as usize..];
                    if !rest.is_empty() {
                        let written = ready!(self.link.stream.poll_write(cx, rest))?;
                        self.wrote(written, progress)?;
                        self.body_done += written as u64;
                        continue;
                    }
                    self.body_ended = true;
                }
                Outgoing::File(slice) => {
                    if self.body_done < slice.len {
                        let written = ready!(self.link.stream.poll_sendfile(cx, slice, self.body_done))?;
                        self.wrote(written, progress)?;
                        self.body_done += written as u64;
                        continue;
                    }
                    self.body_ended = true;
                }
                Outgoing::Stream(..) if self.body_ended => {}
                Outgoing::Stream(stream, chunked) => {
                    // Whoever brings the body wakes this task.
                    match stream.try_read(PIECE) {
                        None => return Poll::Pending,
                        Some(Err(_)) => return Poll::Ready(Err(ErrorKind::ConnectionAborted.into())),
                        Some(Ok(bytes)) if bytes.is_empty() => {
                            self.body_ended = true;
                            if *chunked {
                                self.out.extend_from_slice(encode::LAST_CHUNK);
                            }
                        }
                        Some(Ok(bytes)) => {
                            self.body_done += bytes.len() as u64;
                            if *chunked {
                                encode::chunk_head(&mut self.out, bytes.len());
                                self.out.extend_from_slice(&bytes);
                                self.out.extend_from_slice(b"\r\n");
                            } else {
                                self.out = bytes;
                            }
                        }
                    }
                    continue;
                }
            }
            return self.link.stream.poll_flush(cx);
        }
    }

    fn wrote(&mut self, bytes: usize, progress: &mut bool) -> io::Result<()> {
        if bytes == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.sent += bytes as u64;
        *progress = true;
        Ok(())
    }

    /// Reads until a head of at most `most` bytes is complete, see `answer` and `take_head`.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<(), NoHead>> {
        loop {
            if !self.ahead.is_empty() {
                match answer::parse(&self.ahead[self.at..], most, &mut self.answer) {
                    Ok(Some(_)) => return Poll::Ready(Ok(())),
                    Ok(None) => {}
                    Err(fault) => return Poll::Ready(Err(NoHead::Fault(fault))),
                }
            }
            match ready!(self.poll_fill(cx, usize::MAX)) {
                Ok(0) => return Poll::Ready(Err(NoHead::Closed(!self.ahead.is_empty()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(NoHead::Socket(error))),
            }
        }
    }

    /// Reads more behind what is here, at most `most` bytes. A buffer is held only while there is something in it.
    fn poll_fill(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        if self.at > 0 {
            self.ahead.drain(..self.at);
            self.at = 0;
        }
        if self.ahead.capacity() == 0 {
            self.ahead = buffers::take();
        }
        if self.ahead.capacity() - self.ahead.len() < LEAST {
            self.ahead.reserve(buffers::SIZE);
        }
        let read = self.link.stream.poll_read(cx, &mut self.ahead, most);
        if self.ahead.is_empty() {
            buffers::put(std::mem::take(&mut self.ahead));
        }
        if let Poll::Ready(Ok(bytes)) = read {
            self.received += bytes as u64;
        }
        read
    }

    /// The bytes of the head, which is complete. An interim answer's are taken off, and another one may follow.
    pub fn take_head(&mut self, head: &mut Vec<u8>) {
        head.extend_from_slice(&self.ahead[self.at..self.at + self.answer.len]);
        self.at += self.answer.len;
        if self.at == self.ahead.len() && self.answer.status < 200 && self.answer.status != 101 {
            self.ahead.clear();
            self.at = 0;
        }
    }

    /// What is here of something that is no head.
    pub fn raw(&self) -> &[u8] {
        &self.ahead[self.at..]
    }

    /// There is no head: all that comes is the body.
    pub fn headless(&mut self) {
        self.incoming = Incoming::Close;
    }

    /// The body of the answer follows, for a request of that method.
    pub fn begin_body(&mut self, method: Method) {
        self.incoming = match self.answer.body_end(method) {
            BodyEnd::None => Incoming::Length(0),
            BodyEnd::Length(length) => Incoming::Length(length),
            BodyEnd::Chunked => Incoming::Chunked(Box::new(ChunkedDecoder::new(TRAILERS))),
            BodyEnd::Close => Incoming::Close,
        };
        if matches!(self.incoming, Incoming::Length(0)) {
            self.end();
        }
    }

    /// Whether all of the answer has come.
    pub fn is_complete(&self) -> bool {
        self.ended && self.ready == 0
    }

    /// Waits for a piece of the body, reading at most `most` bytes at once.
    pub fn poll_data(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Data>> {
        loop {
            if self.ready > 0 {
                return Poll::Ready(Ok(Data::Bytes));
            }
            if self.ended {
                return Poll::Ready(Ok(Data::End));
            }
            if self.at < self.ahead.len() && self.decode()? {
                continue;
            }
            match ready!(self.poll_fill(cx, most.max(1))) {
                Ok(0) if matches!(self.incoming, Incoming::Close) => {
                    self.spoilt = true;
                    self.end();
                }
                Ok(0) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Makes bytes of the body of what was read: `ready` of them are at `at` then. `false`: nothing can be made of it.
    fn decode(&mut self) -> io::Result<bool> {
        let here = self.ahead.len() - self.at;
        match &mut self.incoming {
            Incoming::Close => self.ready = here,
            Incoming::Length(left) => {
                self.ready = here.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= self.ready as u64;
                if *left == 0 {
                    self.end();
                }
            }
            Incoming::Chunked(decoder) => {
                // The pieces move together, in place.
                let (mut from, mut to, start) = (self.at, self.at, self.at);
                let mut ended = false;
                loop {
                    match decoder.decode(&self.ahead[from..]) {
                        Err(refusal) => {
                            return Err(io::Error::new(ErrorKind::InvalidData, refusal.reason()));
                        }
                        Ok(Chunk::More { consumed }) => {
                            from += consumed;
                            break;
                        }
                        Ok(Chunk::Data { skip, len }) => {
                            let data = from + skip;
                            if data != to {
                                self.ahead.copy_within(data..data + len, to);
                            }
                            to += len;
                            from = data + len;
                        }
                        Ok(Chunk::End { consumed }) => {
                            from += consumed;
                            ended = true;
                            break;
                        }
                    }
                }
                self.ready = to - start;
                let rest = self.ahead.len() - from;
                self.ahead.copy_within(from.., to);
                self.ahead.truncate(to + rest);
                if ended {
                    self.end();
                }
                if self.ready == 0 && !ended {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn end(&mut self) {
        self.ended = true;
        if self.ahead.len() > self.at + self.ready {
            self.spoilt = true;
        }
    }

    /// The piece that has come.
    pub fn data(&self) -> &[u8] {
        &self.ahead[self.at..self.at + self.ready]
    }

    /// So much of it is done with.
    pub fn consume(&mut self, bytes: usize) {
        self.at += bytes;
        self.ready -= bytes;
        if self.at == self.ahead.len() {
            buffers::put(std::mem::take(&mut self.ahead));
            self.at = 0;
        }
    }

    /// The trailer fields, once the body has ended.
    pub fn take_trailers(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        match &mut self.incoming {
            Incoming::Chunked(decoder) => decoder.take_trailers(),
            _ => Vec::new(),
        }
    }

    /// The server has sent more than it said it would.
    pub fn has_excess(&self) -> bool {
        self.spoilt && !matches!(self.incoming, Incoming::Close)
    }

    /// The connection, if it can carry another request.
    pub fn into_link(mut self) -> Option<Link> {
        let clean = self.ended && !self.spoilt && self.answer.keep_alive && self.body_ended && self.out.is_empty();
        buffers::put(std::mem::take(&mut self.ahead));
        self.link.requests += 1;
        clean.then_some(self.link)
    }

    /// Stream and what was read behind the head: for another protocol.
    pub fn into_parts(mut self) -> (Link, Vec<u8>) {
        let rest = self.ahead.split_off(self.at);
        (self.link, rest)
    }
}
