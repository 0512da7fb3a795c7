//! One request on a connection to a server, in HTTP/2 (RFC 9113): what `h1` does, over a stream of the crate `h2`. The
//! connection has one request at a time, as in HTTP/1.
//!
//! `link` is the connection, `head` turns heads from text and to it. What the server sends is given room for as it is
//! taken from here, so what waits is bounded; a body of the request goes as far as the server has room.

mod head;
mod link;

pub use link::Link;

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::{Error, Reason, RecvStream, SendStream};
use http_types::Request;
use wire::h1::Method;
use wire::h1::answer::{self, Answer, Fault};

use super::exchange::{Data, NoHead, Outgoing, Said};
use crate::exchange::BodyStream;

/// So much of the request's body is taken at once, in bytes.
const PIECE: usize = 32 * 1024;

/// So much of a body that is still arriving is kept until there is an answer, for another server, in bytes.
const KEPT: u64 = 64 * 1024;

/// How far a request is.
enum Sending {
    /// Its head is to be sent.
    Head(Box<Request<()>>),
    Body,
    /// All of it is with the connection.
    Complete,
    /// No more of it can be sent.
    Broken,
}

pub struct Exchange {
    link: Link,
    sending: Sending,
    /// Why not even the head could be sent.
    failed: Option<NoHead>,
    send: Option<SendStream<Bytes>>,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// What of the request's body came with its head.
    first: Bytes,
    /// Of that body, on its way: there is no room for it yet.
    out: Bytes,
    /// Bytes of that body which were taken, `first` not counted.
    taken: u64,
    /// The same, as long as they may have to be given back; `None`: they are too many, or there is an answer.
    kept: Option<Vec<Bytes>>,
    /// The head of the answer as text.
    text: Vec<u8>,
    pub answer: Answer,
    /// Of the answer's body: the frame that is being taken, its length when it came, what of it was offered.
    piece: Bytes,
    frame: usize,
    ready: usize,
    /// Bytes of the body so far.
    length: u64,
    complete: bool,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes on the connection before this request.
    sent_before: u64,
    received_before: u64,
}

impl Exchange {
    /// `head`: the request's as text, and perhaps its body behind it. `secure`: it goes by TLS.
    pub fn new(link: Link, head: &[u8], secure: bool) -> Exchange {
        let (sending, failed, first) = match head::request(head, secure) {
            Ok((request, rest)) => (Sending::Head(Box::new(request)), None, Bytes::copy_from_slice(rest)),
            Err(why) => (Sending::Broken, Some(NoHead::Rejected(why.to_owned())), Bytes::new()),
        };
        let (sent_before, received_before) = (link.sent(), link.received());
        Exchange {
            link,
            sending,
            failed,
            send: None,
            response: None,
            body: None,
            first,
            out: Bytes::new(),
            taken: 0,
            kept: Some(Vec::new()),
            text: Vec::new(),
            answer: Answer::new(),
            piece: Bytes::new(),
            frame: 0,
            ready: 0,
            length: 0,
            complete: false,
            trailers: Vec::new(),
            sent_before,
            received_before,
        }
    }

    pub fn sent(&self) -> u64 {
        self.link.sent() - self.sent_before
    }

    pub fn received(&self) -> u64 {
        self.link.received() - self.received_before
    }

    pub fn is_sent(&self) -> bool {
        matches!(self.sending, Sending::Complete | Sending::Broken)
    }

    /// Gives back what was taken of a body that is still arriving; `false`: it is not here any more.
    pub fn give_back(&mut self, body: &BodyStream) -> bool {
        let Some(kept) = self.kept.take() else { return false };
        for piece in kept.iter().rev() {
            body.give_back(piece);
        }
        true
    }

    /// Sends what there is of the request and the server has room for. What goes wrong is told by those who read.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        body: &Outgoing<'_>,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        if let Sending::Head(_) = &self.sending {
            ready!(self.poll_begin(cx, body));
            *progress = true;
        }
        while let Sending::Body = self.sending {
            if self.out.is_empty() {
                match self.next(body)? {
                    Some(bytes) => self.out = bytes,
                    // Whoever brings the body wakes this task.
                    None => return Poll::Pending,
                }
            }
            let Some(send) = &mut self.send else { break };
            let room = match self.out.len() {
                0 => 0,
                want => match ready!(poll_room(send, cx, want)) {
                    Some(room) => room,
                    None => {
                        self.sending = Sending::Broken;
                        break;
                    }
                },
            };
            let piece = self.out.split_to(room.min(self.out.len()));
            let end = self.out.is_empty() && (piece.is_empty() || self.first.is_empty() && self.is_all(body));
            let Some(send) = &mut self.send else { break };
            *progress = true;
            match send.send_data(piece, end) {
                Ok(()) if end => self.sending = Sending::Complete,
                Ok(()) => {}
                Err(_) => self.sending = Sending::Broken,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the head.
    fn poll_begin(&mut self, cx: &mut Context<'_>, body: &Outgoing<'_>) -> Poll<()> {
        if let Err(error) = ready!(self.link.poll_ready(cx)) {
            self.failed = Some(unsent(error));
            self.sending = Sending::Broken;
            return Poll::Ready(());
        }
        let end = self.first.is_empty() && self.is_all(body);
        let Sending::Head(request) = std::mem::replace(&mut self.sending, Sending::Broken) else {
            return Poll::Ready(());
        };
        match self.link.request(*request, end) {
            Ok((response, send)) => {
                self.response = Some(response);
                self.send = Some(send);
                self.sending = if end { Sending::Complete } else { Sending::Body };
            }
            Err(error) => self.failed = Some(unsent(error)),
        }
        Poll::Ready(())
    }

    /// Whether nothing of the body is left, as far as that is known.
    fn is_all(&self, body: &Outgoing<'_>) -> bool {
        match body {
            Outgoing::None => true,
            Outgoing::Memory(bytes) => self.taken >= bytes.len() as u64,
            Outgoing::File(slice) => self.taken >= slice.len,
            Outgoing::Stream(stream, _) => stream.is_exhausted(),
        }
    }

    /// The next piece of the body; empty: it has ended. `None`: more is to come.
    fn next(&mut self, body: &Outgoing<'_>) -> io::Result<Option<Bytes>> {
        if !self.first.is_empty() {
            return Ok(Some(std::mem::take(&mut self.first)));
        }
        let bytes = match body {
            Outgoing::None => Bytes::new(),
            Outgoing::Memory(bytes) => {
                let rest = &bytes[usize::try_from(self.taken).unwrap_or(usize::MAX).min(bytes.len())..];
                Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)])
            }
            Outgoing::File(slice) if self.taken < slice.len => {
                let mut piece = Vec::new();
                slice.read_at(self.taken, PIECE, &mut piece)?;
                if piece.is_empty() {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                piece.into()
            }
            Outgoing::File(_) => Bytes::new(),
            Outgoing::Stream(stream, _) => {
                let bytes: Bytes = match stream.try_read(PIECE) {
                    None => return Ok(None),
                    Some(Err(_)) => return Err(ErrorKind::ConnectionAborted.into()),
                    Some(Ok(bytes)) => bytes.into(),
                };
                self.keep(&bytes);
                bytes
            }
        };
        self.taken += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Remembers what was taken, if that is not too much.
    fn keep(&mut self, bytes: &Bytes) {
        if self.taken + bytes.len() as u64 > KEPT {
            self.kept = None;
        }
        if let Some(kept) = self.kept.as_mut().filter(|_| !bytes.is_empty()) {
            kept.push(bytes.clone());
        }
    }

    pub fn poll_head(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<(), NoHead>> {
        if let Some(why) = self.failed.take() {
            return Poll::Ready(Err(why));
        }
        // What cannot be sent yet wakes the task when it can.
        let Some(response) = &mut self.response else { return Poll::Pending };
        let interim = match response.poll_informational(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(interim) => interim,
        };
        let parts = match interim {
            Some(Ok(head)) => head.into_parts().0,
            Some(Err(error)) => return Poll::Ready(Err(no_head(error))),
            None => match ready!(Pin::new(response).poll(cx)) {
                Ok(head) => {
                    let (parts, body) = head.into_parts();
                    self.kept = None;
                    self.response = None;
                    self.body = Some(body);
                    parts
                }
                Err(error) => return Poll::Ready(Err(no_head(error))),
            },
        };
        self.text.clear();
        head::answer(&parts, &mut self.text);
        self.answer.reset();
        Poll::Ready(match answer::parse(&self.text, most, &mut self.answer) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(NoHead::Fault(Fault::TooLarge)),
            Err(fault) => Err(NoHead::Fault(fault)),
        })
    }

    pub fn take_head(&mut self, head: &mut Vec<u8>) {
        head.append(&mut self.text);
    }

    pub fn raw(&self) -> &[u8] {
        &self.text
    }

    pub fn begin_body(&mut self, _: Method) {
        // Which answers have none is known to the crate.
        self.complete = self.body.as_ref().is_none_or(RecvStream::is_end_stream);
    }

    /// Whether all of the answer has come.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn poll_data(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Data>> {
        loop {
            if !self.piece.is_empty() {
                self.ready = self.piece.len().min(most.max(1));
                return Poll::Ready(Ok(Data::Bytes));
            }
            if self.complete {
                return Poll::Ready(Ok(Data::End));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())) };
            // Once the request is complete there is nothing to let go of: then the answer would be broken off.
            let whole = self.answer.length.is_none_or(|length| length == self.length)
                && !matches!(self.sending, Sending::Complete);
            match ready!(body.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    self.length += bytes.len() as u64;
                    self.frame = bytes.len();
                    self.piece = bytes;
                }
                // It has said all and wants no more of the request (RFC 9113 section 8.1).
                Some(Err(error)) if is_let_go(&error, whole) => self.complete = true,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => match ready!(body.poll_trailers(cx)) {
                    Ok(fields) => {
                        let fields = fields.iter().flatten();
                        self.trailers =
                            fields.map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())).collect();
                        self.complete = true;
                    }
                    Err(error) if is_let_go(&error, whole) => self.complete = true,
                    Err(error) => return Poll::Ready(Err(broken(error))),
                },
            }
        }
    }

    pub fn data(&self) -> &[u8] {
        &self.piece[..self.ready]
    }

    pub fn consume(&mut self, bytes: usize) {
        self.piece.advance(bytes);
        self.ready -= bytes;
        if self.piece.is_empty() {
            self.piece = Bytes::new();
            if let Some(body) = &mut self.body {
                let _ = body.flow_control().release_capacity(std::mem::take(&mut self.frame));
            }
        }
    }

    pub fn take_trailers(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.trailers)
    }

    pub fn into_link(self) -> Option<Link> {
        let Exchange { mut link, sending, send, response, body, complete, .. } = self;
        drop((send, response, body));
        link.requests += 1;
        (complete && matches!(sending, Sending::Complete)).then_some(link)
    }
}

/// Whether an error says only that the request need not be completed. `whole`: nothing of the answer is missing, as far
/// as its length is known.
fn is_let_go(error: &Error, whole: bool) -> bool {
    whole && error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}

/// How many bytes may be sent now, at most `want`; waits until there is one. `None`: none, ever.
fn poll_room(send: &mut SendStream<Bytes>, cx: &mut Context<'_>, want: usize) -> Poll<Option<usize>> {
    send.reserve_capacity(want);
    let mut room = send.capacity();
    while room == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(more)) => room = more,
            Some(Err(_)) | None => return Poll::Ready(None),
        }
    }
    Poll::Ready(Some(room))
}

/// Why a request could not even be begun: the server knows nothing of it.
fn unsent(error: Error) -> NoHead {
    match no_head(error) {
        NoHead::Rejected(why) => NoHead::Refused(why),
        other => other,
    }
}

fn no_head(error: Error) -> NoHead {
    if error.is_io() {
        return match error.into_io() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => NoHead::Socket(error),
            _ => NoHead::Closed(false),
        };
    }
    let refused = error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    let why = told(&error);
    if refused { NoHead::Refused(why) } else { NoHead::Rejected(why) }
}

/// The same while a body is read.
fn broken(error: Error) -> io::Error {
    if !error.is_io() {
        return io::Error::other(Said(told(&error)));
    }
    match error.into_io() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => error,
        _ => ErrorKind::UnexpectedEof.into(),
    }
}

/// In nginx's words, where it has some.
fn told(error: &Error) -> String {
    match error.reason() {
        Some(reason) if error.is_remote() && error.is_go_away() => {
            format!("upstream sent goaway with error {}", u32::from(reason))
        }
        Some(reason) if error.is_remote() => format!("upstream rejected request with error {}", u32::from(reason)),
        _ => format!("upstream sent invalid HTTP/2: {error}"),
    }
}
