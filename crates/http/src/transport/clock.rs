//! The time as a server needs it: the Date field (RFC 9110 section 6.6.1), made once a second, and the part of an
//! answer's head that is the same for every answer of that second.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use wire::h1::encode;

use crate::config::Settings;
use crate::exchange::ResponseHead;
use crate::sys;

/// What every answer's head says of its own accord.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Common<'a> {
    /// What a Server field says, where the head has none; empty: there is none.
    pub server: &'a str,
    /// A Date field, where the head has none.
    pub date: bool,
}

impl Default for Common<'_> {
    fn default() -> Self {
        Common { server: crate::identity::name(), date: true }
    }
}

impl From<&Settings> for Common<'static> {
    fn from(settings: &Settings) -> Self {
        let server = if settings.server_header { crate::identity::server(settings.server_tokens) } else { "" };
        Common { server, date: settings.date_header }
    }
}

/// When a cookie ends: `Sun, 22-Nov-26 15:59:26 GMT`; a year after 2037 has four digits, as some readers take two for the last century.
pub fn cookie_time(seconds: u64) -> String {
    let date = wire::date::format(seconds);
    let text = String::from_utf8_lossy(&date);
    let year = &text[12..16];
    let year = if year > "2037" { year } else { &year[2..] };
    format!("{}-{}-{year}{}", &text[..7], &text[8..11], &text[16..])
}

struct Cached {
    second: i64,
    date: [u8; 29],
    /// `HTTP/1.1 200 OK` and what is common, made for `server` and `with_date`.
    ok: Vec<u8>,
    server: String,
    with_date: bool,
}

impl Cached {
    const fn empty() -> Cached {
        Cached { second: -1, date: [0; 29], ok: Vec::new(), server: String::new(), with_date: true }
    }

    fn is_for(&self, common: Common) -> bool {
        self.with_date == common.date && self.server == common.server
    }

    /// Makes it anew for another second or another configuration.
    fn refresh(&mut self, now: i64, common: Common) {
        self.second = now;
        self.date = wire::date::format(now.max(0) as u64);
        self.with_date = common.date;
        self.server.clear();
        self.server.push_str(common.server);
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
        let server = if head.has_server { "" } else { common.server };
        fields(out, Common { server, date: common.date && !head.has_date }, &cached.date);
    });
}

fn fields(out: &mut Vec<u8>, common: Common, date: &[u8]) {
    if !common.server.is_empty() {
        encode::field(out, b"Server", common.server.as_bytes());
    }
    if common.date {
        encode::field(out, b"Date", date);
    }
}

/// The Date field's value now.
pub fn date() -> [u8; 29] {
    CACHED.with_borrow_mut(|cached| {
        let now = sys::time::coarse_seconds();
        if now != cached.second {
            let (server, date) = (std::mem::take(&mut cached.server), cached.with_date);
            cached.refresh(now, Common { server: &server, date });
        }
        cached.date
    })
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
        for _ in 0..2 {
            assert_eq!(written(&ok, Common::default()), "HTTP/1.1 200 OK | Server | Date");
            assert_eq!(written(&ok, Common { server: "", date: false }), "HTTP/1.1 200 OK");
        }
        assert_eq!(written(&ResponseHead::new(404), Common::default()), "HTTP/1.1 404 Not Found | Server | Date");
        let own = ResponseHead { has_server: true, ..ResponseHead::new(200) };
        assert_eq!(written(&own, Common::default()), "HTTP/1.1 200 OK | Date");
    }
}
