//! What is known of the servers that a request was passed on to: what `$upstream_*` variables and the error log tell.

use std::sync::Arc;
use std::time::Instant;

use wire::h1::Field;

/// The servers that were asked, in their order, and the answer of the last one.
#[derive(Clone, Default)]
pub struct Asked {
    /// `$proxy_host`
    pub host: Vec<u8>,
    /// `$proxy_port`
    pub port: Vec<u8>,
    /// What URLs of log lines begin with: `http://`.
    pub scheme: &'static str,
    /// The request target that servers get.
    pub uri: Vec<u8>,
    /// Each server that was asked, once for each time.
    pub attempts: Vec<Attempt>,
    /// The next attempt is the first one after an internal redirect.
    pub redirected: bool,
    /// What is being done, for the error log: `connecting to upstream`.
    pub doing: &'static str,
    /// The head of the last answer, and where its fields are.
    pub head: Vec<u8>,
    pub fields: Vec<Field>,
    /// Trailer fields of the last answer.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// How long the request waited for a server that may be asked, in ms.
    pub queued: Option<u64>,
}

/// A server that was asked.
#[derive(Clone)]
pub struct Attempt {
    /// Its address, as `$upstream_addr` has it; the group's name where none of its servers could be asked.
    pub address: Arc<str>,
    /// As its `server` line names it.
    pub server: Arc<str>,
    /// The status of the answer; 0 while there is none.
    pub status: u16,
    pub started: Instant,
    /// After how many ms the connection was there, the head of the answer, all of the answer.
    pub connected: Option<u64>,
    pub headed: Option<u64>,
    pub ended: Option<u64>,
    /// Bytes of the answer's body.
    pub length: u64,
    /// Bytes that came from the server, and went to it.
    pub received: u64,
    pub sent: u64,
    /// It is the first one after an internal redirect.
    pub redirected: bool,
}

impl Asked {
    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        let Asked { host, port, scheme, uri, attempts, redirected, doing, head, fields, trailers, queued } = self;
        for text in [host, port, uri, head] {
            text.clear();
        }
        (*scheme, *doing, *redirected, *queued) = ("", "", false, None);
        attempts.clear();
        fields.clear();
        trailers.clear();
    }

    /// The URL that is being asked for, as the error log has it.
    pub fn url(&self) -> Vec<u8> {
        let address = self.attempts.last().map_or(&b""[..], |attempt| attempt.address.as_bytes());
        let separator = if address.starts_with(b"unix:") { &b":"[..] } else { b"" };
        [self.scheme.as_bytes(), address, separator, &self.uri].concat()
    }

    /// Notes that a server is asked from now on.
    pub fn begin(&mut self, address: Arc<str>, server: Arc<str>) {
        self.head.clear();
        self.fields.clear();
        self.trailers.clear();
        self.attempts.push(Attempt {
            address,
            server,
            status: 0,
            started: Instant::now(),
            connected: None,
            headed: None,
            ended: None,
            length: 0,
            received: 0,
            sent: 0,
            redirected: std::mem::take(&mut self.redirected),
        });
    }

    /// The server that is being asked.
    pub fn current(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut()
    }
}

impl Attempt {
    /// Milliseconds since it began.
    pub fn age(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}
