//! One request on a connection to a server, whichever protocol is spoken on it. A closed set, so an enum.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use wire::h1::Method;
use wire::h1::answer::{self, Answer};

use super::pool::{Line, Link};
use super::{h1, h2};
use crate::exchange::{BodyStream, FileSlice};

/// The body of a request on its way to a server.
pub enum Outgoing<'a> {
    None,
    Memory(&'a [u8]),
    File(FileSlice),
    /// Still arriving; `true`: its length is not known, so HTTP/1 sends it in chunks.
    Stream(Arc<BodyStream>, bool),
}

/// Why there is no head of an answer.
#[derive(Debug)]
pub enum NoHead {
    /// The server closed the connection, or nearly; `true`: there were some bytes of it.
    Closed(bool),
    Socket(io::Error),
    Fault(answer::Fault),
    /// The server has done nothing with the request: it may be sent again. The text is for the log.
    Refused(String),
    /// What came of it is no answer.
    Rejected(String),
}

/// What has come of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Data {
    /// See `data`.
    Bytes,
    End,
}

/// What is wrong with a server, in words that the log gets as they are.
#[derive(Debug)]
pub struct Said(pub String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and both are in a box already")]
pub enum Exchange {
    Http1(h1::Exchange),
    Http2(Box<h2::Exchange>),
}

/// The same for both.
macro_rules! either {
    ($self:ident, $own:ident => $what:expr) => {
        match $self {
            Exchange::Http1($own) => $what,
            Exchange::Http2($own) => $what,
        }
    };
}

impl Exchange {
    /// `head`: the request's as text, and perhaps its body behind it.
    pub fn new(line: Line, head: &[u8], secure: bool) -> Exchange {
        match line {
            Line::Http1(link) => Exchange::Http1(h1::Exchange::new(link, head.to_vec())),
            Line::Http2(link) => Exchange::Http2(Box::new(h2::Exchange::new(link, head, secure))),
        }
    }

    /// Writes what there is of the request. `progress`: something was written. Ready when all of it is.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        body: &Outgoing<'_>,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        either!(self, own => own.poll_send(cx, body, progress))
    }

    /// Whether all of the request is written, or nothing more of it can be.
    pub fn is_sent(&self) -> bool {
        either!(self, own => own.is_sent())
    }

    /// Gives back what was taken of a body that is still arriving, so that the request can be sent again; `false`: it
    /// cannot be.
    pub fn give_back(&mut self, body: Option<&BodyStream>) -> bool {
        match (body, self) {
            (None, _) => true,
            (Some(body), Exchange::Http2(own)) => own.give_back(body),
            (Some(_), Exchange::Http1(_)) => false,
        }
    }

    /// Reads until a head of at most `most` bytes is complete, see `answer` and `take_head`.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<(), NoHead>> {
        either!(self, own => own.poll_head(cx, most))
    }

    /// The head of the answer, once it is here.
    pub fn answer(&self) -> &Answer {
        either!(self, own => &own.answer)
    }

    /// The bytes of the head, which is complete. After an interim answer another one may follow.
    pub fn take_head(&mut self, head: &mut Vec<u8>) {
        either!(self, own => own.take_head(head));
    }

    /// What is here of something that is no head.
    pub fn raw(&self) -> &[u8] {
        either!(self, own => own.raw())
    }

    /// There is no head: all that comes is the body.
    pub fn headless(&mut self) {
        if let Exchange::Http1(own) = self {
            own.headless();
        }
    }

    /// The body of the answer follows, for a request of that method.
    pub fn begin_body(&mut self, method: Method) {
        either!(self, own => own.begin_body(method));
    }

    /// Whether the answer has come to its end with its head.
    pub fn is_complete(&self) -> bool {
        either!(self, own => own.is_complete())
    }

    /// Whether trailer fields may follow the body.
    pub fn may_have_trailers(&self) -> bool {
        match self {
            Exchange::Http1(own) => own.answer.chunked,
            Exchange::Http2(own) => !own.is_complete(),
        }
    }

    /// Waits for a piece of the body, reading at most `most` bytes at once.
    pub fn poll_data(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Data>> {
        either!(self, own => own.poll_data(cx, most))
    }

    /// The piece that has come.
    pub fn data(&self) -> &[u8] {
        either!(self, own => own.data())
    }

    /// So much of it is done with.
    pub fn consume(&mut self, bytes: usize) {
        either!(self, own => own.consume(bytes));
    }

    /// The trailer fields, once the body has ended.
    pub fn take_trailers(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        either!(self, own => own.take_trailers())
    }

    /// The server has sent more than it said it would.
    pub fn has_excess(&self) -> bool {
        match self {
            Exchange::Http1(own) => own.has_excess(),
            Exchange::Http2(_) => false,
        }
    }

    /// Bytes written to the server.
    pub fn sent(&self) -> u64 {
        either!(self, own => own.sent())
    }

    /// Bytes read from it.
    pub fn received(&self) -> u64 {
        either!(self, own => own.received())
    }

    /// The connection, if it can carry another request.
    pub fn into_line(self) -> Option<Line> {
        match self {
            Exchange::Http1(own) => own.into_link().map(Line::Http1),
            Exchange::Http2(own) => own.into_link().map(Line::Http2),
        }
    }

    /// Whether an answer may change the protocol.
    pub fn may_switch(&self) -> bool {
        matches!(self, Exchange::Http1(_))
    }

    /// Stream and what was read behind the head: for another protocol.
    pub fn into_parts(self) -> Option<(Link, Vec<u8>)> {
        match self {
            Exchange::Http1(own) => Some(own.into_parts()),
            Exchange::Http2(_) => None,
        }
    }
}
