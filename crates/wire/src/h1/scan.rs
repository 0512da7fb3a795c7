//! Byte classes and the search for the end of a line.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the first control character at or after `from` is: below 0x20 but HTAB, or DEL. What a line ends with is one
/// of them, so a single pass finds the end and checks all before it. Eight bytes a step.
pub fn control(buf: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let Some(chunk) = buf.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
            let rest = buf.get(at..)?;
            return rest.iter().position(|&b| is_control(b)).map(|i| at + i);
        };
        let word = u64::from_le_bytes(*chunk);
        let del = word ^ (ONES * 0x7f);
        // The lowest marked byte is exact in either test: a borrow only reaches bytes above a true hit.
        let hits = ((word.wrapping_sub(ONES * 0x20) & !word) | (del.wrapping_sub(ONES) & !del)) & HIGH;
        if hits == 0 {
            at += 8;
            continue;
        }
        at += (hits.trailing_zeros() / 8) as usize;
        if buf[at] != b'\t' {
            return Some(at);
        }
        at += 1;
    }
}

/// A control character other than HTAB.
pub const fn is_control(b: u8) -> bool {
    (b < 0x20 && b != b'\t') || b == 0x7f
}

/// `tchar` of RFC 9110 section 5.6.2.
pub static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = matches!(b as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z');
        b += 1;
    }
    table
};

/// How many bytes at the start of `bytes` are token characters.
pub fn token_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|&b| !TOKEN[b as usize]).unwrap_or(bytes.len())
}

/// A decimal number: digits only, no sign, no overflow.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &b| {
        let digit = b.wrapping_sub(b'0');
        (digit < 10).then(|| n.checked_mul(10)?.checked_add(u64::from(digit)))?
    })
}

/// The items of a comma-separated list, trimmed; empty ones are skipped (RFC 9110 section 5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|item| !item.is_empty())
}

/// Without the spaces and tabs at both ends.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_finds_each_byte_at_each_offset() {
        for offset in 0..20 {
            for byte in 0..=255u8 {
                let mut text = vec![b'a'; 24];
                text[1] = b'\t';
                text[2] = 0xff;
                text[offset] = byte;
                let expected = if is_control(byte) { Some(offset) } else { None };
                assert_eq!(control(&text, 0), expected, "byte {byte:#x} at {offset}");
                assert_eq!(control(&text[..=offset], 0), expected, "byte {byte:#x} at the end, {offset}");
            }
        }
    }

    #[test]
    fn decimal_takes_digits_only() {
        for (text, value) in [("0", Some(0)), ("18446744073709551615", Some(u64::MAX)), ("007", Some(7))] {
            assert_eq!(decimal(text.as_bytes()), value);
        }
        for text in ["", "+1", "-1", " 1", "1 ", "0x1", "1_0", "18446744073709551616", "\u{661}"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn list_skips_empty_items() {
        let items: Vec<_> = list(b" , a,\tb ,, c").collect();
        assert_eq!(items, [b"a", b"b", b"c"]);
    }
}
