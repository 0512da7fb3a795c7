//! What the configuration says of passing requests on, whatever the protocol: limits of time, when another server is
//! asked, how much of an answer is held, what of it clients see. One value for each family of directives (`proxy_*`,
//! `grpc_*`), with nginx's defaults. `table` has the directives of all families, `directives` what they set.

pub mod directives;
pub(crate) mod table;

use std::path::PathBuf;
use std::sync::Arc;

use crate::variables::Template;

/// The policy of one family, in one block.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long connecting to a server may take, in ms.
    pub connect_timeout: u64,
    /// Between two writes to a server, in ms.
    pub send_timeout: u64,
    /// Between two reads from a server, in ms.
    pub read_timeout: u64,
    /// After which failures the next server is asked.
    pub next: Next,
    /// How many servers are asked; 0 = no limit.
    pub next_tries: u32,
    /// For how long next servers are asked, in ms; 0 = no limit.
    pub next_timeout: u64,
    pub buffering: Buffering,
    /// The buffer for the head of an answer, in bytes.
    pub buffer_size: usize,
    /// Memory for the rest of it: how many buffers, and the bytes of one.
    pub buffers: (usize, usize),
    /// `None`: not said, see `busy_buffers_size`.
    pub busy_buffers: Option<usize>,
    /// How much of an answer may go to a file, in bytes; 0 = nothing.
    pub max_temp_file_size: u64,
    /// `None`: not said, see `temp_file_write_size`.
    pub temp_file_write: Option<usize>,
    /// The directory of such files; `None` = the one of `Settings::temporary`.
    pub temp_path: Option<Arc<PathBuf>>,
    /// The body of a request is read whole before a server is asked.
    pub request_buffering: bool,
    /// A server may finish although the client is gone.
    pub ignore_client_abort: bool,
    /// Answers of status 300 and more are shown by `error_page`, where there is one for them.
    pub intercept_errors: bool,
    /// Fields of answers that clients do not get, in lower case; see `hides`.
    pub hide: Arc<[Box<str>]>,
    /// Those that they do get although they usually do not, in lower case.
    pub pass: Arc<[Box<str>]>,
    /// Fields of answers that are not obeyed.
    pub ignored: Ignored,
    /// Bytes a second that an answer is read with; `None` = no limit.
    pub limit_rate: Option<Arc<Template>>,
    /// Ranges are made of any answer.
    pub force_ranges: bool,
    pub pass_request_headers: bool,
    pub pass_request_body: bool,
    /// The local address of connections to servers; `None` = any.
    pub bind: Option<Arc<Bind>>,
    /// The local address is found anew for each connection.
    pub bind_dynamic: bool,
    /// TCP keep-alive is on for connections to servers.
    pub socket_keepalive: bool,
    /// A server is asked only if none of these is empty or `0`; checked for each one anew.
    pub allow: Arc<[Template]>,
    /// The request is made anew for each server that is asked.
    pub request_dynamic: bool,
    /// Clients get the trailer fields of answers.
    pub pass_trailers: bool,
    /// TLS to servers.
    pub tls: Arc<super::tls::Settings>,
    /// Where a size was said last, for what is wrong with all of them together.
    pub sizes_at: Option<conf::At>,
}

/// The local end of connections to servers.
#[derive(Clone, Debug)]
pub struct Bind {
    /// `ADDRESS` or `ADDRESS:PORT`; empty = any.
    pub address: Template,
    /// It may be an address that is not the machine's own (`IP_TRANSPARENT`).
    pub transparent: bool,
}

/// Whether answers are taken from a server as fast as it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffering {
    On,
    Off,
    /// On, but for answers that are streams of events.
    Auto,
}

/// Failures after which the next server is asked: a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Next(u16);

impl Next {
    pub const ERROR: Next = Next(1);
    pub const TIMEOUT: Next = Next(1 << 1);
    pub const INVALID_HEADER: Next = Next(1 << 2);
    pub const HTTP_500: Next = Next(1 << 3);
    pub const HTTP_502: Next = Next(1 << 4);
    pub const HTTP_503: Next = Next(1 << 5);
    pub const HTTP_504: Next = Next(1 << 6);
    pub const HTTP_403: Next = Next(1 << 7);
    pub const HTTP_404: Next = Next(1 << 8);
    pub const HTTP_429: Next = Next(1 << 9);
    /// Requests may be sent again that are not idempotent.
    pub const NON_IDEMPOTENT: Next = Next(1 << 10);
    /// `allow_upstream` did not let it.
    pub const DENIED: Next = Next(1 << 11);
    /// Only said: what is stale is not asked for.
    pub const UPDATING: Next = Next(1 << 12);
    /// None at all, whatever else is said.
    pub const OFF: Next = Next(1 << 15);
    pub const NOTHING: Next = Next(0);
    pub const DEFAULT: Next = Next(Next::ERROR.0 | Next::TIMEOUT.0);

    /// Whether any of those is among these.
    pub fn has(self, other: Next) -> bool {
        self.0 & Next::OFF.0 == 0 && self.0 & other.0 != 0
    }

    #[must_use]
    pub fn with(self, other: Next) -> Next {
        Next(self.0 | other.0)
    }

    /// What a status of an answer is among these; `NOTHING`: no failure.
    pub fn of_status(status: u16) -> Next {
        match status {
            500 => Next::HTTP_500,
            502 => Next::HTTP_502,
            503 => Next::HTTP_503,
            504 => Next::HTTP_504,
            403 => Next::HTTP_403,
            404 => Next::HTTP_404,
            429 => Next::HTTP_429,
            _ => Next::NOTHING,
        }
    }
}

/// Fields of answers that are not obeyed: a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ignored(u16);

impl Ignored {
    pub const ACCEL_REDIRECT: Ignored = Ignored(1);
    pub const ACCEL_EXPIRES: Ignored = Ignored(1 << 1);
    pub const ACCEL_LIMIT_RATE: Ignored = Ignored(1 << 2);
    pub const ACCEL_BUFFERING: Ignored = Ignored(1 << 3);
    pub const ACCEL_CHARSET: Ignored = Ignored(1 << 4);
    pub const EXPIRES: Ignored = Ignored(1 << 5);
    pub const CACHE_CONTROL: Ignored = Ignored(1 << 6);
    pub const SET_COOKIE: Ignored = Ignored(1 << 7);
    pub const VARY: Ignored = Ignored(1 << 8);

    pub fn has(self, other: Ignored) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub fn with(self, other: Ignored) -> Ignored {
        Ignored(self.0 | other.0)
    }
}

impl Default for Policy {
    fn default() -> Self {
        let page = crate::sys::process::page_size();
        Policy {
            connect_timeout: 60_000,
            send_timeout: 60_000,
            read_timeout: 60_000,
            next: Next::DEFAULT,
            next_tries: 0,
            next_timeout: 0,
            buffering: Buffering::On,
            buffer_size: page,
            buffers: (8, page),
            busy_buffers: None,
            max_temp_file_size: 1 << 30,
            temp_file_write: None,
            temp_path: None,
            request_buffering: true,
            ignore_client_abort: false,
            intercept_errors: false,
            hide: Arc::default(),
            pass: Arc::default(),
            ignored: Ignored::default(),
            limit_rate: None,
            force_ranges: false,
            pass_request_headers: true,
            pass_request_body: true,
            bind: None,
            bind_dynamic: false,
            socket_keepalive: false,
            allow: Arc::default(),
            request_dynamic: false,
            pass_trailers: false,
            tls: Arc::default(),
            sizes_at: None,
        }
    }
}

/// What clients do not get unless the configuration says so: what is this server's own to say, and what is said to it.
const HIDDEN: [&str; 8] = [
    "date",
    "server",
    "x-pad",
    "x-accel-expires",
    "x-accel-redirect",
    "x-accel-limit-rate",
    "x-accel-buffering",
    "x-accel-charset",
];

impl Policy {
    /// Whether clients do not get a field of that name.
    pub fn hides(&self, name: &[u8]) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let hidden = HIDDEN.iter().any(|other| is(other)) || self.hide.iter().any(|other| is(other));
        hidden && !self.pass.iter().any(|other| is(other))
    }

    /// The larger one of the buffers for an answer's head and for parts of its body, in bytes.
    pub fn largest_buffer(&self) -> usize {
        self.buffer_size.max(self.buffers.1)
    }

    /// How much of an answer in memory may be on its way to the client, in bytes.
    pub fn busy_buffers_size(&self) -> usize {
        self.busy_buffers.unwrap_or(2 * self.largest_buffer())
    }

    /// How much is written to a file at once, in bytes.
    pub fn temp_file_write_size(&self) -> usize {
        self.temp_file_write.unwrap_or(2 * self.largest_buffer())
    }

    /// All memory for one answer, in bytes.
    pub fn memory(&self) -> usize {
        self.buffers.0.saturating_mul(self.buffers.1)
    }
}

#[cfg(test)]
mod tests;
