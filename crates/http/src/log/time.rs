//! Times as logs write them, local time, made once per second and thread. Nothing here allocates.

use std::cell::Cell;

use crate::sys;

/// One second's texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Texts {
    /// `21/Nov/2026:15:42:33 +0000`: `$time_local`.
    pub local: [u8; 26],
    /// `2026-11-21T15:42:33+00:00`: `$time_iso8601`.
    pub iso8601: [u8; 25],
    /// `2026/11/21 15:42:33`: the error log's.
    pub error: [u8; 19],
    /// `Nov 21 15:42:33`: syslog's (RFC 3164 section 4.1.2).
    pub syslog: [u8; 15],
}

/// What a thread made last.
#[derive(Clone, Copy)]
struct Made {
    /// The second, since 1970.
    second: i64,
    /// Local time's offset in minutes. It changes only at quarters of an hour, so it is asked for once in each.
    offset: i32,
    texts: Texts,
}

thread_local! {
    static LAST: Cell<Option<Made>> = const { Cell::new(None) };
}

/// The texts of a second since 1970.
pub fn texts(second: i64) -> Texts {
    let last = LAST.get();
    if let Some(made) = last
        && made.second == second
    {
        return made.texts;
    }
    let offset = match last {
        Some(made) if made.second.div_euclid(900) == second.div_euclid(900) => made.offset,
        _ => sys::time::local_offset_minutes(second),
    };
    let texts = Texts::of(second, offset);
    LAST.set(Some(Made { second, offset, texts }));
    texts
}

/// The texts of this second. The clock is the cheap one: at most a kernel tick old.
pub fn now() -> Texts {
    texts(sys::time::coarse_seconds())
}

impl Texts {
    fn of(second: i64, offset_minutes: i32) -> Texts {
        let local = wire::date::common_log(second.max(0) as u64, offset_minutes);
        let month = wire::date::Civil::of(second.max(0) + i64::from(offset_minutes) * 60).month;
        let month = [b'0' + month / 10, b'0' + month % 10];
        let (day, name, year, time) = (&local[..2], &local[3..6], &local[7..11], &local[12..20]);

        let mut iso8601 = *b"yyyy-mm-ddThh:mm:ss+hh:mm";
        iso8601[..4].copy_from_slice(year);
        iso8601[5..7].copy_from_slice(&month);
        iso8601[8..10].copy_from_slice(day);
        iso8601[11..19].copy_from_slice(time);
        iso8601[19..22].copy_from_slice(&local[21..24]);
        iso8601[23..].copy_from_slice(&local[24..]);

        let mut error = *b"yyyy/mm/dd hh:mm:ss";
        error[..4].copy_from_slice(year);
        error[5..7].copy_from_slice(&month);
        error[8..10].copy_from_slice(day);
        error[11..].copy_from_slice(time);

        let mut syslog = *b"Mmm dd hh:mm:ss";
        syslog[..3].copy_from_slice(name);
        syslog[4..6].copy_from_slice(day);
        if syslog[4] == b'0' {
            syslog[4] = b' ';
        }
        syslog[7..].copy_from_slice(time);
        Texts { local, iso8601, error, syslog }
    }
}

/// `1763739753.123` of milliseconds since 1970: `$msec`, and times taken (`$request_time`).
pub fn seconds_and_ms(out: &mut Vec<u8>, ms: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1000).as_bytes());
    fraction(out, ms);
}

/// `2026-11-21T15:42:33.123+00:00` of milliseconds since 1970.
pub fn iso8601_ms(out: &mut Vec<u8>, unix_ms: u64) {
    let text = texts((unix_ms / 1000) as i64).iso8601;
    out.extend_from_slice(&text[..19]);
    fraction(out, unix_ms);
    out.extend_from_slice(&text[19..]);
}

fn fraction(out: &mut Vec<u8>, ms: u64) {
    let digit = |of: u64| b'0' + (ms / of % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_texts() {
        let texts = Texts::of(1_795_275_753, 0);
        assert_eq!(&texts.local, b"21/Nov/2026:15:42:33 +0000");
        assert_eq!(&texts.iso8601, b"2026-11-21T15:42:33+00:00");
        assert_eq!(&texts.error, b"2026/11/21 15:42:33");
        assert_eq!(&texts.syslog, b"Nov 21 15:42:33");
    }

    #[test]
    fn local_time_has_its_own_day() {
        let texts = Texts::of(951_782_400, -210);
        assert_eq!(&texts.local, b"28/Feb/2000:20:30:00 -0330");
        assert_eq!(&texts.iso8601, b"2000-02-28T20:30:00-03:30");
        assert_eq!(&texts.error, b"2000/02/28 20:30:00");
        let texts = Texts::of(951_782_400 + 86_400, 330);
        assert_eq!(&texts.iso8601, b"2000-03-01T05:30:00+05:30");
        assert_eq!(&texts.syslog, b"Mar  1 05:30:00");
    }

    #[test]
    fn a_second_is_made_once_and_the_next_one_is_new() {
        let first = texts(1_795_275_753);
        assert_eq!(texts(1_795_275_753), first);
        assert_ne!(texts(1_795_275_754), first);
        assert_eq!(texts(1_795_275_753), first);
    }

    #[test]
    fn milliseconds_have_three_digits() {
        let mut out = Vec::new();
        seconds_and_ms(&mut out, 1_763_739_753_007);
        out.push(b' ');
        seconds_and_ms(&mut out, 42);
        out.push(b' ');
        iso8601_ms(&mut out, 1_763_739_753_120);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("1763739753.007 0.042 2025-11-21T"), "{text}");
        assert_eq!(text.len(), "1763739753.007 0.042 2025-11-21T15:42:33.120+00:00".len());
    }
}
