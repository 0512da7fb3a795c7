//! HTTP/1.1 and HTTP/1.0 (RFC 9112): request heads in, body framing, response heads out.
//!
//! The parser is strict on purpose: wherever two readers of the same bytes could disagree about where a message ends,
//! the message is refused.

pub mod answer;
pub mod chunked;
pub mod encode;
mod head;
mod known;
mod nginx;
mod refusal;
pub(crate) mod scan;
mod target;

pub use chunked::{Chunk, ChunkedDecoder};
pub use head::{Head, parse, parse_http2};
pub use known::Known;
pub use refusal::Refusal;
pub use target::is_host;

/// A part of the buffer that a head was parsed from.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The span of `start..end`. Heads are bounded far below 4 GiB.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start: start as u32, end: end as u32 }
    }

    /// The bytes it stands for; empty where `buf` does not reach that far.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The versions of requests; HTTP/1.2 and up count as 1.1 (RFC 9110 section 2.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    Http10,
    Http11,
    /// Not read from text that a client sent: see `parse_http2`.
    Http2,
}

impl Version {
    /// As it is written in a request line.
    pub fn name(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// The method, where it is one that a server treats differently. Case-sensitive (RFC 9110 section 9.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Connect,
    Trace,
    Other,
}

impl Method {
    /// The method of that name.
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"CONNECT" => Method::Connect,
            b"TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }
}

/// One field line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    pub name: Span,
    /// Without the optional whitespace round it.
    pub value: Span,
    pub known: Known,
}

/// What a head may cost. 0 is "no limit" everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the request line, without its line end.
    pub line: usize,
    /// How many field lines.
    pub fields: usize,
    /// Bytes of one field line, with its line end (as Gunicorn counts).
    pub field_size: usize,
    /// Bytes of the whole head.
    pub head: usize,
    /// Read as nginx reads; then `line` and `field_size` do not count. `None`: by the book.
    pub nginx: Option<AsNginx>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line: 4094, fields: 100, field_size: 8190, head: 64 * 1024, nginx: None }
    }
}

/// How nginx reads a head. It takes more spaces in the request line, any scheme and any 1.x version, passes over what is
/// no field, and knows no Expect but one; methods are of capital letters, `-` and `_`. What could be read in two ways
/// (line ends, folded lines, framing) is refused all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsNginx {
    /// Bytes of the first buffer that lines are put into, one after another.
    pub first: usize,
    /// Bytes of each further one. A line must fit into one.
    pub buffer: usize,
    /// How many further ones there are.
    pub buffers: usize,
    /// Fields whose names have other than letters, digits and `-` stay; otherwise they are left out.
    pub keep_invalid: bool,
    /// `_` is as good as a letter in names.
    pub underscores: bool,
}

impl Default for AsNginx {
    fn default() -> Self {
        AsNginx { first: 1024, buffer: 8192, buffers: 4, keep_invalid: false, underscores: false }
    }
}

/// How the body of a message is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// The forms of a request target (RFC 9112 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Origin,
    Absolute,
    Authority,
    Asterisk,
}
