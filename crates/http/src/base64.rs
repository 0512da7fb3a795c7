//! Base64 (RFC 4648 sections 4 and 5) as nginx reads it: no padding asked for, stray bits of the last digit ignored.

/// The digits for 62 and 63.
pub const STANDARD: [u8; 2] = *b"+/";
/// Those of base64url.
pub const URL: [u8; 2] = *b"-_";

/// The bytes that digits without their padding stand for; `None`: one of them is no digit.
pub fn decode(digits: &[u8], [plus, slash]: [u8; 2]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            _ if digit == plus => 62,
            _ if digit == slash => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// The digits of bytes, with their padding.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let value = (word >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit <= three.len() { char::from(DIGITS[value]) } else { '=' });
        }
    }
    out
}

/// The digits before the padding, if there is one.
pub fn unpadded(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(b'=', text).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_digits() {
        assert_eq!(decode(b"YWxpY2U6c2VjcmV0", STANDARD), Some(b"alice:secret".to_vec()));
        assert_eq!(decode(unpadded(b"YTo="), STANDARD), Some(b"a:".to_vec()));
        assert_eq!(decode(b"-_-_", URL), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(decode(b"-_-_", STANDARD), None);
        assert_eq!(decode(b"*", STANDARD), None);
        assert_eq!(decode(b"", STANDARD), Some(Vec::new()));
    }
}
