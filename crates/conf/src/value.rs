//! The usual units of arguments: sizes and times, as nginx writes them.

/// A size in bytes: digits and at most one of `k`, `m`, `g` in either case.
pub fn size(text: &str) -> Option<u64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number(digits)?.checked_mul(scale)
}

/// A time in milliseconds: numbers with units in falling order (`y M w d h m s ms`), spaces between them allowed; a
/// last number without a unit is seconds. A month is 30 days, a year 365.
pub fn time_ms(text: &str) -> Option<u64> {
    const SECOND: u64 = 1000;
    const DAY: u64 = 24 * 60 * 60 * SECOND;
    const UNITS: [(&str, u64); 8] = [
        ("y", 365 * DAY),
        ("M", 30 * DAY),
        ("w", 7 * DAY),
        ("d", DAY),
        ("h", 60 * 60 * SECOND),
        ("m", 60 * SECOND),
        ("s", SECOND),
        ("ms", 1),
    ];
    let mut total: u64 = 0;
    let mut rest = text;
    let mut units = &UNITS[..];
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let value = number(&rest[..digits])?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = &rest[..letters];
        rest = rest[letters..].trim_start_matches(' ');
        let scale = if unit.is_empty() && rest.is_empty() && units.iter().any(|unit| unit.1 == SECOND) {
            SECOND
        } else {
            let at = units.iter().position(|&(name, _)| name == unit)?;
            let scale = units[at].1;
            units = &units[at + 1..];
            scale
        };
        total = total.checked_add(value.checked_mul(scale)?)?;
    }
    if text.is_empty() { None } else { Some(total) }
}

fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("10", 10), ("4k", 4096), ("1M", 1 << 20), ("2g", 2 << 30)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "k", "-1", "+1", "1kk", "1 k", "1t", "1.5m", "18446744073709551615k", "é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("0", 0),
            ("60", 60_000),
            ("75s", 75_000),
            ("500ms", 500),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1m 30", 90_000),
            ("1d", 86_400_000),
            ("1w 2d", 9 * 86_400_000),
            ("1y", 365 * 86_400_000),
            ("1M", 30 * 86_400_000),
            ("1s 5ms", 1005),
        ] {
            assert_eq!(time_ms(text), Some(ms), "{text}");
        }
        for text in ["", "s", "1x", "-1", "1s1m", "1s 2", "1m1m", "1.5s", "5 s", "1ms 5", "99999999999999999999", "1é"]
        {
            assert_eq!(time_ms(text), None, "{text}");
        }
    }
}
