//! What the blocks of a configuration set, with nginx's defaults.

use std::path::PathBuf;

use wire::h1::Limits;

#[derive(Clone)]
pub struct Settings {
    /// Limits of a request's head, in bytes and fields.
    pub limits: Limits,
    /// For the whole head, in ms.
    pub client_header_timeout: u64,
    /// Between two reads of a body, in ms.
    pub client_body_timeout: u64,
    /// Between two writes of an answer, in ms.
    pub send_timeout: u64,
    /// Between two requests, in ms; 0 = close after each.
    pub keepalive_timeout: u64,
    /// Requests on one connection; 0 = no limit.
    pub keepalive_requests: u32,
    /// In bytes; 0 = no limit, see `max_body`.
    pub client_max_body_size: u64,
    /// Bodies up to this many bytes stay in memory.
    pub client_body_buffer_size: u64,
    /// Directory for bodies and answers that do not fit in memory; `None` = the system's.
    pub temporary_path: Option<PathBuf>,
    /// Read bodies whole before the application is called.
    pub request_buffering: bool,
    /// Connections of one worker.
    pub worker_connections: u32,
    pub sendfile: bool,
    /// Answers have a Server field.
    pub server_header: bool,
    /// Answers have a Date field.
    pub date_header: bool,
    /// Further fields of every answer: encoded lines, each ended by CRLF.
    pub headers: Vec<u8>,
    /// Requests of one worker that may be in the application's hands at a time; more are answered 503. 0 = no limit.
    pub limit_concurrency: u32,
    pub websocket: WebSocket,
    /// The path that the application is mounted under, without a slash at its end; empty = none.
    pub root_path: String,
    /// Proxies whose word is taken for a client's address and scheme, as typed; empty = none.
    pub forwarded_allow_ips: String,
    /// Names and values of fields by which such a proxy says that its client came by TLS.
    pub secure_scheme_headers: Vec<(String, String)>,
}

/// How WebSockets are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Else a handshake is an ordinary request.
    pub enabled: bool,
    /// The longest message taken from a client, in bytes.
    pub max_size: usize,
    /// Messages that wait for the application; then the client is read no further.
    pub max_queue: usize,
    /// Between two pings, in ms; 0 = none.
    pub ping_interval: u64,
    /// From a ping to its pong, in ms; 0 = no limit.
    pub ping_timeout: u64,
    /// Offer compression (RFC 7692).
    pub deflate: bool,
}

impl Default for WebSocket {
    fn default() -> Self {
        WebSocket {
            enabled: true,
            max_size: 16 << 20,
            max_queue: 32,
            ping_interval: 20_000,
            ping_timeout: 20_000,
            deflate: true,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limits: Limits { line: 8190, fields: 1000, field_size: 8190, head: 64 * 1024 },
            client_header_timeout: 60_000,
            client_body_timeout: 60_000,
            send_timeout: 60_000,
            keepalive_timeout: 75_000,
            keepalive_requests: 1000,
            client_max_body_size: 1 << 20,
            client_body_buffer_size: 16 * 1024,
            temporary_path: None,
            request_buffering: true,
            worker_connections: 512,
            sendfile: true,
            server_header: true,
            date_header: true,
            headers: Vec::new(),
            limit_concurrency: 0,
            websocket: WebSocket::default(),
            root_path: String::new(),
            forwarded_allow_ips: String::new(),
            secure_scheme_headers: Vec::new(),
        }
    }
}

impl Settings {
    /// The largest body taken, in bytes.
    pub fn max_body(&self) -> u64 {
        if self.client_max_body_size == 0 { u64::MAX } else { self.client_max_body_size }
    }

    /// The directory for temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.temporary_path.clone().unwrap_or_else(std::env::temp_dir)
    }
}
