//! A request: its bytes, the index of its head, its body, and who sent it.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use wire::h1::{Form, Head, Method, Span};
use wire::uri::{self, Slashes};

use super::route::{Carrier, Route};
use super::{BodyStream, TlsInfo};
use crate::transport::FromProxy;
use crate::transport::memory::Charge;

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
    /// Index of the listener in the configuration.
    pub listen: usize,
    /// It is at all addresses: a connection's own is to be asked for.
    pub wildcard: bool,
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

/// A step of a request's way, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The directive or the thing that it is about.
    pub what: &'static str,
    pub text: String,
    /// Where the block is.
    pub at: Option<conf::At>,
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
    /// The client came over TLS, here or to a trusted proxy.
    pub secure: bool,
    /// The connection's own TLS.
    pub tls: Option<Arc<TlsInfo>>,
    /// The host it asked for, where a proxy's word stands in for the Host field.
    pub host: Option<Vec<u8>>,
    pub local: Arc<Local>,
    /// When the first byte was read.
    pub started: Instant,
    /// Whom the connection is with, where `peer` is somebody whom that one speaks for.
    pub connected: Option<Peer>,
    /// The host asked for: lower case, without port; see `config::host`.
    pub host_name: Vec<u8>,
    /// The port that the client named beside the host.
    pub host_port: Option<u16>,
    /// Its way through the configuration.
    pub route: Route,
    pub carrier: Carrier,
    /// What the proxy in front of the connection said, if it speaks the PROXY protocol.
    pub proxied: Option<Arc<FromProxy>>,
    /// It was here before the answer to the one before was.
    pub pipelined: bool,
    /// A CONNECT that names a protocol (RFC 8441): a WebSocket, and nothing else may answer with success.
    pub tunnel: bool,
    /// It came before the handshake's end (RFC 8470), so that somebody else may have sent it again.
    pub early: bool,
    /// Memory for the name of a file; its contents are nobody's.
    pub file_name: Vec<u8>,
    /// What is noted on the way, for `explain`.
    pub trace: Option<Vec<Note>>,
    /// Values of the environ keys that the access log asks for, filled by the application handler.
    pub logged: Vec<Option<String>>,
    /// Memory of its body.
    pub charge: Charge,
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
            tls: None,
            host: None,
            local,
            started: Instant::now(),
            connected: None,
            host_name: Vec::new(),
            host_port: None,
            route: Route::default(),
            carrier: Carrier::default(),
            proxied: None,
            pipelined: false,
            tunnel: false,
            early: false,
            file_name: Vec::new(),
            trace: None,
            logged: Vec::new(),
            charge: Charge::default(),
        }
    }

    /// What is left of it for those who only look: without body, for another owner.
    pub fn copy_head(&self) -> Box<Request> {
        let mut copy = Request::new(0, self.local.clone());
        copy.buf = self.buf[..self.head.len.min(self.buf.len())].to_vec();
        copy.head = self.head.clone();
        copy.consumed = copy.buf.len();
        copy.path.clone_from(&self.path);
        copy.peer = self.peer;
        copy.secure = self.secure;
        copy.tls.clone_from(&self.tls);
        copy.host.clone_from(&self.host);
        copy.started = self.started;
        copy.connected = self.connected;
        copy.host_name.clone_from(&self.host_name);
        copy.host_port = self.host_port;
        copy.route = self.route.clone();
        copy.carrier = self.carrier;
        copy.proxied.clone_from(&self.proxied);
        Box::new(copy)
    }

    /// The method: as sent, or GET where an error page is fetched.
    pub fn method(&self) -> &[u8] {
        if self.route.get { b"GET" } else { self.head.method_text.of(&self.buf) }
    }

    /// The method of the request that a client has made, of which this one may be a part.
    pub fn main_method(&self) -> &[u8] {
        self.route.main_method.as_deref().unwrap_or_else(|| self.method())
    }

    /// `method`, where it is a usual one.
    pub fn current_method(&self) -> Method {
        if self.route.get { Method::Get } else { self.head.method }
    }

    /// The query string as it is now.
    pub fn query(&self) -> Option<&[u8]> {
        match &self.route.args {
            Some(args) => Some(args),
            None => self.head.query.map(|query| query.of(&self.buf)),
        }
    }

    /// An argument of the query string, undecoded.
    pub fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.query()?.split(|&byte| byte == b'&').find_map(|part| {
            let (own, value) = part.split_at_checked(name.len())?;
            own.eq_ignore_ascii_case(name).then_some(value)?.strip_prefix(b"=")
        })
    }

    /// A cookie.
    pub fn cookie(&self, name: &[u8]) -> Option<&[u8]> {
        self.field_values("cookie").into_iter().find_map(|value| {
            value.split(|&byte| byte == b';').find_map(|part| {
                let (own, value) = part.trim_ascii_start().split_at_checked(name.len())?;
                own.eq_ignore_ascii_case(name)
                    .then_some(value)?
                    .trim_ascii_start()
                    .strip_prefix(b"=")
                    .map(<[u8]>::trim_ascii)
            })
        })
    }

    /// The values of all fields of that lower-case name.
    pub fn field_values(&self, name: &str) -> Vec<&[u8]> {
        let fields =
            self.head.fields.iter().filter(|field| field.name.of(&self.buf).eq_ignore_ascii_case(name.as_bytes()));
        fields.map(|field| field.value.of(&self.buf)).collect()
    }

    /// The request line.
    pub fn line(&self) -> &[u8] {
        let target = self.head.target.start as usize;
        let before = self.buf.get(..target).unwrap_or_default();
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let rest = self.buf.get(start..).unwrap_or_default();
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        &rest[..end]
    }

    /// The target as `$request_uri` has it: path and query as sent.
    pub fn target_uri(&self) -> &[u8] {
        match self.head.form {
            Form::Absolute => {
                let target = self.target();
                let after = memchr::memmem::find(target, b"://").map_or(0, |at| at + 3);
                let path = memchr::memchr2(b'/', b'?', &target[after..]).map(|at| after + at);
                path.map_or(b"/", |path| &target[path..])
            }
            _ => self.target(),
        }
    }

    /// The host that was asked for, in lower case and without port; empty for none.
    pub fn server_host(&self) -> &[u8] {
        &self.host_name
    }

    /// The port that the client named beside the host; empty for none.
    pub fn port(&self) -> String {
        self.host_port.map(|port| port.to_string()).unwrap_or_default()
    }

    /// The other end of the connection, whoever it speaks for.
    pub fn connected_peer(&self) -> Peer {
        self.connected.unwrap_or(self.peer)
    }

    /// Bytes of the request so far: head and body.
    pub fn received(&self) -> u64 {
        self.head.len as u64 + self.body_len().unwrap_or(0)
    }

    /// Our end of the connection: address and port.
    pub fn local_end(&self) -> (String, String) {
        if self.local.wildcard
            && let Some(address) = crate::sys::local_address(self.carrier.socket)
        {
            return (address.ip().to_string(), address.port().to_string());
        }
        (self.local.name.clone(), self.local.port.clone())
    }

    /// Fills `path` from the request line; `false`: it leaves the root, or is not well-formed.
    pub fn normalise(&mut self, slashes: Slashes) -> bool {
        self.path.clear();
        if self.head.form == Form::Asterisk {
            self.path.push(b'/');
            return true;
        }
        let raw = self.head.path.of(&self.buf);
        uri::decode_path(if raw.is_empty() { b"/" } else { raw }, slashes, &mut self.path).is_ok()
    }

    /// Gives it another path.
    pub fn set_path(&mut self, path: Vec<u8>) {
        self.path = path;
        self.route.rewritten = true;
    }

    /// Whether the client sent its path with escapes, or a plus.
    pub fn is_quoted(&self) -> bool {
        self.head.path.of(&self.buf).iter().any(|&byte| matches!(byte, b'%' | b'+'))
    }

    /// Notes something for `explain`: what kind of thing it is, which block it is about. Costs nothing otherwise.
    pub fn note(&mut self, what: &'static str, block: Option<&conf::At>, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(Note { what, text: text(), at: block.cloned() });
        }
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
