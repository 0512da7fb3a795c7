//! One address in a list: `for=` of RFC 7239 section 6, and what stands in X-Forwarded-For.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address and port of a node of RFC 7239: `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]`, `[2001:db8::1]:4711`. The
/// port is 0 if it is not told, or hidden (`_name`). `None`: it is `unknown`, hidden, or nothing that can be read.
pub fn node(text: &[u8]) -> Option<(IpAddr, u16)> {
    let text = std::str::from_utf8(text).ok()?;
    let (ip, rest) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, rest) = rest.split_once(']')?;
            (IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?), rest)
        }
        None => {
            let (ip, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (IpAddr::V4(ip.parse::<Ipv4Addr>().ok()?), rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => 0,
        Some(port) => self::port(port)?,
        None => return None,
    };
    Some((ip.to_canonical(), port))
}

/// An item of X-Forwarded-For: a node, also in quotes, or an IPv6 address without brackets.
pub fn loose(text: &[u8]) -> Option<(IpAddr, u16)> {
    let text = match text {
        [b'"', quoted @ .., b'"'] => quoted,
        _ => text,
    };
    node(text).or_else(|| {
        let ip: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
        Some((ip.to_canonical(), 0))
    })
}

fn port(text: &str) -> Option<u16> {
    if let Some(name) = text.strip_prefix('_') {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        return (!name.is_empty() && name.bytes().all(good)).then_some(0);
    }
    ((1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        for (text, strict, lenient) in [
            ("192.0.2.1", Some(("192.0.2.1", 0)), None),
            ("192.0.2.1:4711", Some(("192.0.2.1", 4711)), None),
            ("192.0.2.1:_hidden", Some(("192.0.2.1", 0)), None),
            ("[2001:db8::1]", Some(("2001:db8::1", 0)), None),
            ("[2001:db8::1]:4711", Some(("2001:db8::1", 4711)), None),
            ("[::ffff:192.0.2.1]:1", Some(("192.0.2.1", 1)), None),
            ("2001:db8::1", None, Some(("2001:db8::1", 0))),
            ("::ffff:192.0.2.1", None, Some(("192.0.2.1", 0))),
            ("\"192.0.2.1\"", None, Some(("192.0.2.1", 0))),
            ("\"[2001:db8::1]:4711\"", None, Some(("2001:db8::1", 4711))),
            // Everything else is nobody.
            ("", None, None),
            ("\"", None, None),
            ("\"\"", None, None),
            ("unknown", None, None),
            ("_hidden", None, None),
            ("localhost", None, None),
            ("192.0.2", None, None),
            ("192.0.2.01", None, None),
            ("192.0.2.256", None, None),
            ("0xC0000201", None, None),
            ("3221225985", None, None),
            (" 192.0.2.1", None, None),
            ("192.0.2.1 ", None, None),
            ("192.0.2.1:", None, None),
            ("192.0.2.1:65536", None, None),
            ("192.0.2.1:+1", None, None),
            ("192.0.2.1:000001", None, None),
            ("192.0.2.1:_", None, None),
            ("192.0.2.1:_a b", None, None),
            ("192.0.2.1:1:1", None, None),
            ("[192.0.2.1]", None, None),
            ("[2001:db8::1", None, None),
            ("[2001:db8::1]4711", None, None),
            ("[2001:db8::1]:", None, None),
            ("[fe80::1%eth0]", None, None),
            ("[]", None, None),
            ("\u{661}92.0.2.1", None, None),
        ] {
            let expected = |pair: Option<(&str, u16)>| pair.map(|(ip, port)| (ip.parse::<IpAddr>().unwrap(), port));
            assert_eq!(node(text.as_bytes()), expected(strict), "{text}");
            assert_eq!(loose(text.as_bytes()), expected(strict.or(lenient)), "{text}");
        }
        assert_eq!(loose(b"192.0.2.1\xff"), None);
    }
}
