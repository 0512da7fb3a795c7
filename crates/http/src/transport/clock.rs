//! The time as a server needs it: the Date field (RFC 9110 section 6.6.1), made once a second, and the part of an
//! answer's head that is the same for every answer of that second.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use wire::h1::encode;

use crate::config::Settings;
use crate::exchange::ResponseHead;
use crate::sys;

/// What the Server field says.
pub const SERVER: &str = "daemun";

/// What every answer's head says of its own accord.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Common<'a> {
    /// A Server field, where the head has none.
    pub server: bool,
    /// A Date field, where the head has none.
    pub date: bool,
    /// Further encoded lines. A Server or Date of the head's own takes the place of those here.
    pub extra: &'a [u8],
}

impl Default for Common<'_> {
    fn default() -> Self {
        Common { server: true, date: true, extra: b"" }
    }
}

impl<'a> From<&'a Settings> for Common<'a> {
    fn from(settings: &'a Settings) -> Self {
        Common { server: settings.server_header, date: settings.date_header, extra: &settings.headers }
    }
}

struct Cached {
    second: i64,
    date: [u8; 29],
    /// `HTTP/1.1 200 OK` and what is common, made for `server`, `with_date` and `extra`.
    ok: Vec<u8>,
    server: bool,
    with_date: bool,
    extra: Vec<u8>,
}

impl Cached {
    const fn empty() -> Cached {
        Cached { second: -1, date: [0; 29], ok: Vec::new(), server: true, with_date: true, extra: Vec::new() }
    }

    fn is_for(&self, common: Common) -> bool {
        self.server == common.server && self.with_date == common.date && self.extra == common.extra
    }

    /// Makes it anew for another second or another configuration.
    fn refresh(&mut self, now: i64, common: Common) {
        self.second = now;
        self.date = wire::date::format(now.max(0) as u64);
        (self.server, self.with_date) = (common.server, common.date);
        self.extra.clear();
        self.extra.extend_from_slice(common.extra);
        self.ok.clear();
        encode::status_line(&mut self.ok, true, 200, None);
        fields(&mut self.ok, common, &self.date);
    }
}

thread_local! {
    static CACHED: RefCell<Cached> = const { RefCell::new(Cached::empty()) };
}

/// Writes the status line, and what is common to all answers where the head has none of its own.
pub fn common_head(out: &mut Vec<u8>, head: &ResponseHead, common: Common) {
    CACHED.with_borrow_mut(|cached| {
        let now = sys::time::coarse_seconds();
        if now != cached.second || !cached.is_for(common) {
            cached.refresh(now, common);
        }
        if head.status == 200 && head.reason.is_none() && !head.has_date && !head.has_server {
            out.extend_from_slice(&cached.ok);
            return;
        }
        encode::status_line(out, true, head.status, head.reason.as_deref());
        let rest =
            Common { server: common.server && !head.has_server, date: common.date && !head.has_date, extra: b"" };
        fields(out, rest, &cached.date);
        for line in common.extra.split_inclusive(|&byte| byte == b'\n') {
            let has = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            if !(head.has_server && has(b"server:") || head.has_date && has(b"date:")) {
                out.extend_from_slice(line);
            }
        }
    });
}

fn fields(out: &mut Vec<u8>, common: Common, date: &[u8]) {
    if common.server {
        encode::field(out, b"Server", SERVER.as_bytes());
    }
    if common.date {
        encode::field(out, b"Date", date);
    }
    out.extend_from_slice(common.extra);
}

/// Seconds and microseconds since 1970.
pub fn wall() -> (i64, u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_secs() as i64, now.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &ResponseHead, common: Common) -> String {
        let mut out = Vec::new();
        common_head(&mut out, head, common);
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| line.split(": ").next().unwrap_or(line)).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn the_common_fields_follow_the_configuration() {
        let ok = ResponseHead::new(200);
        let extra = Common { extra: b"X-A: 1\r\n", ..Common::default() };
        for _ in 0..2 {
            assert_eq!(written(&ok, Common::default()), "HTTP/1.1 200 OK | Server | Date");
            assert_eq!(written(&ok, extra), "HTTP/1.1 200 OK | Server | Date | X-A");
            assert_eq!(written(&ok, Common { server: false, date: false, ..extra }), "HTTP/1.1 200 OK | X-A");
        }
        assert_eq!(written(&ResponseHead::new(404), extra), "HTTP/1.1 404 Not Found | Server | Date | X-A");
    }

    #[test]
    fn a_field_of_the_head_takes_the_place_of_a_configured_one() {
        let head = ResponseHead { has_server: true, ..ResponseHead::new(200) };
        let common = Common { server: false, date: true, extra: b"X-A: 1\r\nserver: ours\r\n" };
        assert_eq!(written(&head, common), "HTTP/1.1 200 OK | Date | X-A");
        assert_eq!(written(&ResponseHead::new(200), common), "HTTP/1.1 200 OK | Date | X-A | server");
    }
}
