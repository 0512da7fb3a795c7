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
