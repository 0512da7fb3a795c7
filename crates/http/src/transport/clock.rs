//! The time as a server needs it: the Date field (RFC 9110 section 6.6.1), made once a second, and the part of an
//! answer's head that is the same for every answer of that second.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use wire::h1::encode;

use crate::exchange::ResponseHead;
use crate::sys;

/// What the Server field says.
pub const SERVER: &str = "daemun";

struct Cached {
    second: i64,
    date: [u8; 29],
    /// `HTTP/1.1 200 OK`, Server and Date lines.
    ok: Vec<u8>,
}

thread_local! {
    static CACHED: RefCell<Cached> = const { RefCell::new(Cached { second: -1, date: [0; 29], ok: Vec::new() }) };
}

/// Writes the status line, and Server and Date where the head has none of its own.
pub fn common_head(out: &mut Vec<u8>, head: &ResponseHead) {
    CACHED.with_borrow_mut(|cached| {
        let now = sys::time::coarse_seconds();
        if now != cached.second {
            cached.second = now;
            cached.date = wire::date::format(now.max(0) as u64);
            cached.ok.clear();
            encode::status_line(&mut cached.ok, true, 200, None);
            encode::field(&mut cached.ok, b"Server", SERVER.as_bytes());
            encode::field(&mut cached.ok, b"Date", &cached.date);
        }
        if head.status == 200 && head.reason.is_none() && !head.has_date && !head.has_server {
            out.extend_from_slice(&cached.ok);
            return;
        }
        encode::status_line(out, true, head.status, head.reason.as_deref());
        if !head.has_server {
            encode::field(out, b"Server", SERVER.as_bytes());
        }
        if !head.has_date {
            encode::field(out, b"Date", &cached.date);
        }
    });
}

/// Seconds and microseconds since 1970.
pub fn wall() -> (i64, u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_secs() as i64, now.subsec_micros())
}
