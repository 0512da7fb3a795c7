//! What a client may cost. The crate `h2` bounds what one frame, one head and one stream may; this is about what their
//! number may (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-24549 and their kin).

use std::time::Duration;

use crate::config::settings::ServerSettings;
use crate::transport::multiplexed::Shared;

/// The smallest window of a stream: it grows by what is taken of it, so there must be one. In bytes.
pub const LEAST_WINDOW: u32 = 4 * 1024;
/// The window of a connection: so much of its bodies may wait in memory, in bytes.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// So much of an answer may wait for the socket, in bytes.
pub const SEND_BUFFER: usize = 32 * 1024;
/// How many streams that this side broke off are remembered, so that frames that were under way are no error.
pub const RESET_KEPT: usize = 64;
/// And for how long.
pub const RESET_KEPT_FOR: Duration = Duration::from_secs(5);
/// Bytes that a field counts beside its name and value (RFC 9113 section 6.5.2).
const FIELD: usize = 32;
/// So many bytes more than eight times the useful ones may a connection read.
const USELESS: u64 = 256 << 10;
/// So many heads that are malformed or too large may come beyond one in eight of the streams.
const FAULTS: u64 = 4;

/// Largest head, as HTTP/2 counts it.
pub fn head_size(server: &ServerSettings) -> u32 {
    let limits = &server.limits;
    if server.http2.head > 0 {
        return server.http2.head;
    }
    let text = match &limits.nginx {
        Some(nginx) => nginx.first + nginx.buffers * nginx.buffer,
        None if limits.head == 0 => 64 * 1024,
        None => limits.head,
    };
    let fields = if limits.fields == 0 { 1000 } else { limits.fields };
    u32::try_from(text + fields * FIELD).unwrap_or(u32::MAX)
}

/// So long nothing is read of a connection behind so many such heads, from the first on: what they are found out by
/// costs more than to send them.
pub fn rest(faults: u64) -> Duration {
    Duration::from_millis(20 * faults.min(5))
}

/// What one connection may do.
pub struct Limits {
    /// So many streams more than it lets come to an end may it break off.
    resets: u64,
}

impl Limits {
    /// For a connection that may have so many streams at a time.
    pub fn new(streams: u32) -> Limits {
        Limits { resets: u64::from(streams.clamp(100, 1000)) }
    }

    /// Whether a connection that has read so many bytes, and so many heads that were none, does more harm than use.
    pub fn is_exceeded(&self, shared: &Shared, read: u64, faults: u64) -> bool {
        let (completed, reset) = shared.ends();
        reset > self.resets + completed
            || read / 8 > shared.payload() + USELESS
            || faults > FAULTS + (completed + reset) / 8
    }
}
