//! A request: its bytes, the index of its head, its body, and who sent it.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use wire::h1::{Head, Span};

use super::BodyStream;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Inet(SocketAddr),
    /// A Unix socket: its clients have no address.
    Unix,
}

/// The end of a connection that is ours: what `SERVER_NAME` and its kin are made of.
#[derive(Debug)]
pub struct Local {
    /// Address or path as written to `SERVER_NAME`.
    pub name: String,
    /// The port in decimal; empty for a Unix socket.
    pub port: String,
}

/// A request body, as the handler finds it.
#[derive(Default)]
pub enum RequestBody {
    #[default]
    Empty,
    /// In the request's own buffer, right behind the head.
    Inline(Span),
    Memory(Vec<u8>),
    /// Spilled to an unlinked temporary file, positioned anywhere.
    File {
        file: File,
        len: u64,
    },
    /// Still arriving (`--request-buffering off`).
    Stream(Arc<BodyStream>),
}

/// One request. Its memory is pooled, see `transport::pool`.
pub struct Request {
    /// What was read from the connection: the head, and perhaps a body and the next requests.
    pub buf: Vec<u8>,
    /// Index into `buf`.
    pub head: Head,
    pub body: RequestBody,
    /// How many bytes of `buf` belong to this request. head.len <= consumed <= buf.len()
    pub consumed: usize,
    /// The path decoded and normalised (RFC 3986 section 6.2.2); empty until a location needs it.
    pub path: Vec<u8>,
    /// Trailer fields of a chunked body, in order.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The client: the other end of the connection, or whom a trusted proxy there speaks for.
    pub peer: Peer,
    /// The client came over TLS.
    pub secure: bool,
    /// The host it asked for, where a proxy's word stands in for the Host field.
    pub host: Option<Vec<u8>>,
    pub local: Arc<Local>,
    /// When the first byte was read.
    pub started: Instant,
    /// Values of the environ keys that the access log asks for, filled by the application handler.
    pub logged: Vec<Option<String>>,
}

impl Request {
    /// An empty request with room for `capacity` bytes.
    pub fn new(capacity: usize, local: Arc<Local>) -> Self {
        Request {
            buf: Vec::with_capacity(capacity),
            head: Head::new(),
            body: RequestBody::Empty,
            consumed: 0,
            path: Vec::new(),
            trailers: Vec::new(),
            peer: Peer::Unix,
            secure: false,
            host: None,
            local,
            started: Instant::now(),
            logged: Vec::new(),
        }
    }

    /// The method as sent.
    pub fn method(&self) -> &[u8] {
        self.head.method_text.of(&self.buf)
    }

    /// The request target as sent.
    pub fn target(&self) -> &[u8] {
        self.head.target.of(&self.buf)
    }

    /// The first field of that lower-case name.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.get(&self.buf, name)
    }

    /// Length of the body where it is known: in bytes.
    pub fn body_len(&self) -> Option<u64> {
        match &self.body {
            RequestBody::Empty => Some(0),
            RequestBody::Inline(span) => Some(span.len() as u64),
            RequestBody::Memory(bytes) => Some(bytes.len() as u64),
            RequestBody::File { len, .. } => Some(*len),
            RequestBody::Stream(_) => None,
        }
    }
}
