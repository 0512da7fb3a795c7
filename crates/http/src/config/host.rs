//! The name of the host that a request is for, as names of servers are compared with it (RFC 3986, section 3.2).
//!
//! As nginx does it since 1.29.4; before, it took nearly any byte for a part of a name, and anything for a port.

/// Not a host: the request is answered with 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadHost;

/// Puts the host of `raw` (`Host` or the authority of a request line) into `out`, which is cleared: in lower case,
/// without port and without the dot at its end; the address in brackets stays in brackets. Gives the port.
pub fn normalise_host(raw: &[u8], out: &mut Vec<u8>) -> Result<Option<u16>, BadHost> {
    out.clear();
    let (host, rest) = if raw.first() == Some(&b'[') {
        let end = raw.iter().position(|byte| *byte == b']').ok_or(BadHost)?;
        let inside = &raw[1..end];
        if inside.is_empty() || !inside.iter().all(|byte| is_name(*byte) || *byte == b':') {
            return Err(BadHost);
        }
        raw.split_at(end + 1)
    } else {
        let (host, rest) = raw.split_at(raw.iter().position(|byte| *byte == b':').unwrap_or(raw.len()));
        if !is_registered_name(host) {
            return Err(BadHost);
        }
        (host.strip_suffix(b".").unwrap_or(host), rest)
    };
    if host.is_empty() {
        return Err(BadHost);
    }
    let port = port(rest)?;
    out.extend(host.iter().map(u8::to_ascii_lowercase));
    Ok(port)
}

/// Reads nothing or `:port`; the number may be missing.
fn port(rest: &[u8]) -> Result<Option<u16>, BadHost> {
    let digits = match rest {
        [] | [b':'] => return Ok(None),
        [b':', digits @ ..] => digits,
        _ => return Err(BadHost),
    };
    let number = digits.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(number * 10 + digit).filter(|number| *number <= u32::from(u16::MAX))
    });
    Ok(Some(number.ok_or(BadHost)? as u16))
}

/// Unreserved characters and sub-delimiters, percent escapes, no two dots in a row.
fn is_registered_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
            (b'.', [b'.', ..]) => return false,
            (byte, tail) if is_name(*byte) => tail,
            _ => return false,
        };
    }
    true
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts() {
        for (raw, host, port) in [
            ("example.com", "example.com", None),
            ("Example.COM", "example.com", None),
            ("example.com.", "example.com", None),
            ("example.com:80", "example.com", Some(80)),
            ("example.com.:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("example.com:0", "example.com", Some(0)),
            ("example.com:0000065535", "example.com", Some(65535)),
            ("my_app", "my_app", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]", "[::1]", None),
            ("[::FFFF:1.2.3.4]:443", "[::ffff:1.2.3.4]", Some(443)),
            ("[v1.a:b]", "[v1.a:b]", None),
            (".example.com", ".example.com", None),
            ("a%2Fb", "a%2fb", None),
            ("a!$&'()*+,;=~b", "a!$&'()*+,;=~b", None),
        ] {
            let mut out = b"before".to_vec();
            assert_eq!(normalise_host(raw.as_bytes(), &mut out), Ok(port), "{raw}");
            assert_eq!(out, host.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn what_is_no_host() {
        for raw in [
            "",
            ".",
            ":80",
            ".:80",
            "a..b",
            "..",
            "a b",
            "a/b",
            "a\\b",
            "a@b",
            "a?b",
            "a#b",
            "a\"b",
            "a\0b",
            "a\tb",
            "ü",
            "a%2",
            "a%zz",
            "%",
            "a:b",
            "a:80x",
            "a:65536",
            "a:99999999999999",
            "a:-1",
            "a:+1",
            "a:80:80",
            "a:80 ",
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[::1/]",
            "[a]]",
            "::1",
            "a[",
            "]",
            "[%25]",
            "a\x7f",
            "[ü]",
        ] {
            assert_eq!(normalise_host(raw.as_bytes(), &mut Vec::new()), Err(BadHost), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_when_done_twice(raw in "\\PC{0,12}|[a-cA-C.:%0-9\\[\\]]{0,12}") {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            if normalise_host(raw.as_bytes(), &mut once).is_ok() {
                prop_assert_eq!(normalise_host(&once, &mut twice), Ok(None));
                prop_assert_eq!(once, twice);
            }
        }
    }
}
