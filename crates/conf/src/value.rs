//! The usual units of arguments, as nginx reads them: numbers, sizes, offsets, times.
//!
//! All values fit into 63 bits, as in nginx.

const MAX: u64 = i64::MAX as u64;

/// A whole number.
pub fn number(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if all_digits { text.parse().ok().filter(|&value| value <= MAX) } else { None }
}

/// The size of something in memory, in bytes: digits and at most one of `k`, `m` in either case.
pub fn size(text: &str) -> Option<u64> {
    scaled(text, &[(b'k', 10), (b'm', 20)])
}

/// The size of a file or of a part of it, in bytes: as `size`, and with `g`.
pub fn offset(text: &str) -> Option<u64> {
    scaled(text, &[(b'k', 10), (b'm', 20), (b'g', 30)])
}

/// `units`: each letter with the power of two it stands for.
fn scaled(text: &str, units: &[(u8, u32)]) -> Option<u64> {
    let last = text.as_bytes().last()?.to_ascii_lowercase();
    let (digits, shift) = match units.iter().find(|unit| unit.0 == last) {
        Some(unit) => (&text[..text.len() - 1], unit.1),
        None => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift).filter(|&value| value <= MAX)
}

const DAY: u64 = 24 * 60 * 60;
/// In the order in which they have to be written: letters, seconds.
const UNITS: [(&str, u64); 7] =
    [("y", 365 * DAY), ("M", 30 * DAY), ("w", 7 * DAY), ("d", DAY), ("h", 60 * 60), ("m", 60), ("s", 1)];

/// A time in milliseconds: numbers with units in falling order (`w d h m s ms`), spaces behind units allowed. A number
/// without a unit at the end is seconds. Years and months are too long for this.
pub fn time_ms(text: &str) -> Option<u64> {
    time(text, 2, 1000)
}

/// A time in seconds: as `time_ms`, with `y` (365 days) and `M` (30 days) before, and without `ms`.
pub fn time_s(text: &str) -> Option<u64> {
    time(text, 0, 1)
}

/// A time in seconds that may have a `+` or `-` before it, as in `expires -1`.
pub fn signed_time_s(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = i64::try_from(time_s(digits)?).ok()?;
    Some(if negative { -value } else { value })
}

/// `unit`: the first of UNITS that may occur; `second`: what a second is worth, 1000 also allows `ms`.
fn time(text: &str, mut unit: usize, second: u64) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    let mut digits_seen = false;
    let mut add = |value: u64, scale: u64| {
        total = total.checked_add(value.checked_mul(scale)?).filter(|&total| total <= MAX)?;
        Some(total)
    };
    loop {
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits_seen |= len > 0;
        // A unit without a number counts nothing, as long as there is a number somewhere.
        let value = if len == 0 { 0 } else { number(&rest[..len])? };
        rest = &rest[len..];
        if rest.is_empty() {
            // The number at the end, if there is one, is seconds.
            return add(value, second).filter(|_| digits_seen);
        }
        if let Some(after) = rest.strip_prefix("ms") {
            // Nothing shorter exists.
            if second == 1 || unit > UNITS.len() {
                return None;
            }
            unit = UNITS.len() + 1;
            add(value, 1)?;
            rest = after;
        } else if let Some(after) = rest.strip_prefix(' ') {
            // A space in place of a unit: seconds, and no unit may follow.
            if unit >= UNITS.len() {
                return None;
            }
            unit = UNITS.len() + 2;
            add(value, second)?;
            rest = after;
        } else {
            let found = UNITS.iter().position(|&(letter, _)| rest.starts_with(letter)).filter(|&at| at >= unit)?;
            add(value, UNITS[found].1 * second)?;
            unit = found + 1;
            rest = &rest[1..];
        }
        rest = rest.trim_start_matches(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes() {
        for (text, bytes) in [("0", 0), ("10", 10), ("4k", 4096), ("4K", 4096), ("1M", 1 << 20), ("007", 7)] {
            assert_eq!(size(text), Some(bytes), "{text}");
            assert_eq!(offset(text), Some(bytes), "{text}");
        }
        assert_eq!((size("2g"), offset("2g"), offset("1G")), (None, Some(2 << 30), Some(1 << 30)));
        assert_eq!(number("9223372036854775807"), Some(MAX));
        assert_eq!(offset("9007199254740991k"), Some(9_007_199_254_740_991 << 10));
        for text in ["", "k", "-1", "+1", "1kk", "1 k", "1t", "1.5m", "9007199254740992k", "9223372036854775808", "é"]
        {
            assert_eq!(size(text), None, "{text}");
            assert_eq!(offset(text), None, "{text}");
        }
        for text in ["", "-1", "1k", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        const D: u64 = 86_400_000;
        let table = [
            ("0", 0),
            ("60", 60_000),
            ("75s", 75_000),
            ("500ms", 500),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1m 30", 90_000),
            ("1d", D),
            ("1w 2d", 9 * D),
            ("1s 5ms", 1005),
            ("1s2", 3000),
            ("5ms 5", 5005),
            ("1hs", 3_600_000),
            ("5 ", 5000),
            (" 5", 5000),
            ("m5", 5000),
        ];
        for (text, ms) in table {
            assert_eq!(time_ms(text), Some(ms), "{text}");
            assert_eq!(time_s(text), if text.contains("ms") { None } else { Some(ms / 1000) }, "{text}");
        }
        for text in [
            "",
            "s",
            "ms",
            " ",
            "1x",
            "-1",
            "1s1m",
            "1m1m",
            "1.5s",
            "5 s",
            "5 5 5",
            "99999999999999999999",
            "1é",
            "1 ms",
        ] {
            assert_eq!(time_ms(text), None, "{text}");
            assert_eq!(time_s(text), None, "{text}");
        }
        for (text, s) in [("1y", 365 * D / 1000), ("1y 1M", 395 * D / 1000), ("1M1w", 37 * D / 1000)] {
            assert_eq!((time_s(text), time_ms(text)), (Some(s), None), "{text}");
        }
        for text in ["1ms", "1M1y", "300000000000y"] {
            assert_eq!(time_s(text), None, "{text}");
        }
        assert_eq!((time_ms("9223372036854775ms"), time_ms("9223372036854776s")), (Some(9_223_372_036_854_775), None));
    }

    #[test]
    fn signed_times() {
        for (text, s) in [("-1", -1), ("+1h", 3600), ("-1M", -2_592_000), ("0", 0)] {
            assert_eq!(signed_time_s(text), Some(s), "{text}");
        }
        for text in ["", "-", "--1", "+-1", "-1ms"] {
            assert_eq!(signed_time_s(text), None, "{text}");
        }
    }
}
