//! The key and its answer in the opening handshake (RFC 6455 sections 4.2.1 and 4.2.2).

/// What is appended to the key before it is hashed.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of Sec-WebSocket-Accept that answers a Sec-WebSocket-Key.
pub fn accept(key: &[u8]) -> [u8; 28] {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(GUID);
    // 20 bytes are six groups of three and one of two, whose last digit is the padding.
    base64(&hash.digest().bytes())
}

/// The key that 16 random bytes, and no more, make.
pub fn key(random: &[u8]) -> [u8; 24] {
    base64(random)
}

/// The digits of so many bytes as fill the text.
fn base64<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [b'='; N];
    for (bytes, digits) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let group = bytes.iter().fold(0u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - bytes.len()));
        for (place, digit) in digits.iter_mut().take(bytes.len() + 1).enumerate() {
            *digit = DIGITS[(group >> (18 - 6 * place)) as usize & 63];
        }
    }
    text
}

/// Whether `key` is 16 bytes in base64, as Sec-WebSocket-Key has to be. The bits of the last digit that stand for
/// nothing may have any value.
pub fn is_key(key: &[u8]) -> bool {
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_digit))
}

fn is_digit(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting() {
        // The example of RFC 6455 section 1.3, and two that were computed elsewhere.
        for (key, expected) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
            ("", "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w="),
        ] {
            assert_eq!(accept(key.as_bytes()), expected.as_bytes(), "{key}");
        }
    }

    #[test]
    fn a_key_is_made_of_bytes() {
        assert_eq!(&key(b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert!(is_key(&key(&[255; 16])));
    }

    #[test]
    fn keys() {
        for (key, good) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("AAAAAAAAAAAAAAAAAAAAA+==", true),
            ("/+AAAAAAAAAAAAAAAAAAA/==", true),
            ("", false),
            ("==", false),
            ("dGhlIHNhbXBsZSBub25jZQ", false),
            ("dGhlIHNhbXBsZSBub25jZQ=", false),
            ("dGhlIHNhbXBsZSBub25jZQ===", false),
            ("dGhlIHNhbXBsZSBub25jZQQ=", false),
            ("dGhlIHNhbXBsZSBub25jZ===", false),
            ("dGhlIHNhbXBsZSBub25j Q==", false),
            ("dGhlIHNhbXBsZSBub25j-_==", false),
            (" dGhlIHNhbXBsZSBub25jQ==", false),
        ] {
            assert_eq!(is_key(key.as_bytes()), good, "{key}");
        }
    }
}
