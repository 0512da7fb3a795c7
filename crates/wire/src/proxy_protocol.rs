//! The PROXY protocol, versions 1 and 2: what a proxy says in front of a connection about the one that it has with its
//! client.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// The longest header of version 2 that is read.
pub const LONGEST: usize = 4096;
/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LINE: &[u8] = b"PROXY ";

/// A header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Client and server of the proxied connection; `None`: the proxy speaks for itself, or does not know.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Where further values are in the input; see `value`.
    pub values: std::ops::Range<usize>,
    /// Bytes of all of it.
    pub len: usize,
}

/// It is none: the connection cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// Reads the header at the start of `buf`. `Ok(None)`: it is not complete yet.
pub fn parse(buf: &[u8]) -> Result<Option<Header>, Broken> {
    if begins(buf, SIGNATURE) { version_2(buf) } else { version_1(buf) }
}

/// Whether `buf` begins with `start`, as far as it goes.
fn begins(buf: &[u8], start: &[u8]) -> bool {
    let len = buf.len().min(start.len());
    buf[..len] == start[..len]
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 1234 80`
fn version_1(buf: &[u8]) -> Result<Option<Header>, Broken> {
    if !begins(buf, LINE) {
        return Err(Broken);
    }
    let visible = &buf[..buf.len().min(LONGEST_LINE)];
    let Some(end) = memchr::memchr(b'\n', visible) else {
        return if buf.len() >= LONGEST_LINE { Err(Broken) } else { Ok(None) };
    };
    let line = visible[..end].strip_suffix(b"\r").ok_or(Broken)?;
    let text = std::str::from_utf8(line.get(LINE.len()..).ok_or(Broken)?).map_err(|_| Broken)?;
    let header = |addresses| Ok(Some(Header { addresses, values: 0..0, len: end + 1 }));
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return header(None);
    }
    let words: Vec<&str> = text.split(' ').collect();
    let &[family, client, server, client_port, server_port] = &words[..] else { return Err(Broken) };
    let ip = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Broken),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Broken),
        _ => Err(Broken),
    };
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(Broken),
    };
    let client = SocketAddr::new(ip(client)?, port(client_port)?);
    header(Some((client, SocketAddr::new(ip(server)?, port(server_port)?))))
}

/// Signature, version and command, family and transport, length, addresses, values.
fn version_2(buf: &[u8]) -> Result<Option<Header>, Broken> {
    let Some(&[version, family, high, low]) = buf.get(SIGNATURE.len()..SIGNATURE.len() + 4) else { return Ok(None) };
    let start = SIGNATURE.len() + 4;
    let end = start + usize::from(u16::from_be_bytes([high, low]));
    if version >> 4 != 2 || version & 15 > 1 || end > LONGEST {
        return Err(Broken);
    }
    let Some(rest) = buf.get(start..end) else { return Ok(None) };
    let unknown = Header { addresses: None, values: end..end, len: end };
    if version & 15 == 0 {
        return Ok(Some(unknown));
    }
    let (client, server, taken) = match family {
        0x11 => {
            let (addresses, _) = rest.split_first_chunk::<12>().ok_or(Broken)?;
            let ip = |at: usize| {
                let bytes = addresses[at..].first_chunk::<4>().copied().unwrap_or_default();
                IpAddr::from(bytes)
            };
            (ip(0), ip(4), 12)
        }
        0x21 => {
            let (addresses, _) = rest.split_first_chunk::<36>().ok_or(Broken)?;
            let ip = |at: usize| {
                let bytes = addresses[at..].first_chunk::<16>().copied().unwrap_or_default();
                IpAddr::from(bytes)
            };
            (ip(0), ip(16), 36)
        }
        // Another family, or not a stream: of no use here.
        _ => return Ok(Some(unknown)),
    };
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let addresses = (SocketAddr::new(client, port(taken - 4)), SocketAddr::new(server, port(taken - 2)));
    Ok(Some(Header { addresses: Some(addresses), values: start + taken..end, len: end }))
}

/// Finds the value of a type among `values`.
pub fn value(values: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = values;
    while let [kind, high, low, after @ ..] = rest {
        let (own, next) = after.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if *kind == wanted {
            return Some(own);
        }
        rest = next;
    }
    None
}

/// The type of the value with what is known of a TLS connection, and how many bytes of it stand before its own values.
const SSL: u8 = 0x20;
const SSL_HEAD: usize = 5;

/// Finds a value by its name: `alpn`, `authority`, `crc32c`, `unique_id`, `ssl`, `netns`, `ssl_version`, `ssl_cn`,
/// `ssl_cipher`, `ssl_sig_alg`, `ssl_key_alg`, `ssl_verify` (a number, in decimal), or `0x01` for a type.
pub fn named(values: &[u8], name: &str) -> Option<Vec<u8>> {
    let plain = |kind: u8| value(values, kind).map(<[u8]>::to_vec);
    let of_ssl = |kind: u8| value(value(values, SSL)?.get(SSL_HEAD..)?, kind).map(<[u8]>::to_vec);
    match name {
        "alpn" => plain(0x01),
        "authority" => plain(0x02),
        "crc32c" => plain(0x03),
        "unique_id" => plain(0x05),
        "ssl" => plain(SSL),
        "netns" => plain(0x30),
        "ssl_version" => of_ssl(0x21),
        "ssl_cn" => of_ssl(0x22),
        "ssl_cipher" => of_ssl(0x23),
        "ssl_sig_alg" => of_ssl(0x24),
        "ssl_key_alg" => of_ssl(0x25),
        "ssl_verify" => {
            let verify = value(values, SSL)?.get(1..SSL_HEAD)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*verify).to_string().into_bytes())
        }
        other => match other.strip_prefix("ssl_0x") {
            Some(digits) => of_ssl(u8::from_str_radix(digits, 16).ok()?),
            None => plain(u8::from_str_radix(other.strip_prefix("0x")?, 16).ok()?),
        },
    }
}

/// A header of version 1, for a client and the address that it came to; `None`: nothing is known of them.
pub fn v1(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let text = match ends {
        Some((SocketAddr::V4(client), SocketAddr::V4(server))) => {
            format!("PROXY TCP4 {} {} {} {}\r\n", client.ip(), server.ip(), client.port(), server.port())
        }
        Some((SocketAddr::V6(client), SocketAddr::V6(server))) => {
            format!("PROXY TCP6 {} {} {} {}\r\n", client.ip(), server.ip(), client.port(), server.port())
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    };
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    const ADDRESSES: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 4, 210, 0, 80];

    #[test]
    fn version_1_is_read() {
        for (line, client) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1234 80\r\n", Some("192.0.2.1:1234")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\n", Some("[2001:db8::1]:1234")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN a b c\r\n", None),
        ] {
            let header = parse(format!("{line}GET").as_bytes()).unwrap().unwrap();
            assert_eq!(header.len, line.len());
            assert_eq!(header.addresses.map(|(client, _)| client.to_string()).as_deref(), client);
            assert_eq!(parse(&line.as_bytes()[..line.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn what_is_broken() {
        let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(100));
        for line in [
            "GET / HTTP/1.1\r\n",
            "proxy UNKNOWN\r\n",
            "PROXY \r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY UNKNOWN\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1234 80\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1234\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1234 80 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 80\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 80\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
            &long,
        ] {
            assert_eq!(parse(line.as_bytes()), Err(Broken), "{line}");
        }
        for bytes in
            [v2(0x31, 0x11, ADDRESSES), v2(0x22, 0x11, ADDRESSES), v2(0x21, 0x11, &[0; 11]), v2(0x21, 0x21, &[0; 35])]
        {
            assert_eq!(parse(&bytes), Err(Broken), "{bytes:?}");
        }
        assert_eq!(parse(&v2(0x21, 0x11, &[0; 5000])), Err(Broken));
    }

    #[test]
    fn version_2_is_read() {
        let bytes = v2(0x21, 0x11, ADDRESSES);
        let header = parse(&bytes).unwrap().unwrap();
        let text = header.addresses.map(|(client, server)| format!("{client} {server}"));
        assert_eq!(text.as_deref(), Some("192.0.2.1:1234 198.51.100.1:80"));
        assert_eq!((header.len, header.values.len()), (bytes.len(), 0));
        let six = [&[0x20; 16][..], &[0x21; 16], &[0, 1, 0, 2]].concat();
        let header = parse(&v2(0x21, 0x21, &six)).unwrap().unwrap();
        assert_eq!(header.addresses.map(|(client, server)| (client.port(), server.port())), Some((1, 2)));
        for (command, family) in [(0x20, 0x11), (0x21, 0x00), (0x21, 0x12), (0x21, 0x31)] {
            let header = parse(&v2(command, family, ADDRESSES)).unwrap().unwrap();
            assert_eq!((header.addresses, header.len), (None, 28));
        }
    }

    #[test]
    fn values_are_found() {
        let ssl = [&[1, 0, 0, 0, 7][..], &[0x21, 0, 7], b"TLSv1.3", &[0x22, 0, 1], b"a"].concat();
        let all = [&[1, 0, 2][..], b"h2", &[SSL, 0, ssl.len() as u8], &ssl, &[0xe0, 0, 1], b"x", &[5, 9]].concat();
        let bytes = v2(0x21, 0x11, &[ADDRESSES, &all].concat());
        let header = parse(&bytes).unwrap().unwrap();
        let values = &bytes[header.values];
        for (name, expected) in [
            ("alpn", Some("h2")),
            ("0x01", Some("h2")),
            ("0xe0", Some("x")),
            ("ssl_version", Some("TLSv1.3")),
            ("ssl_0x22", Some("a")),
            ("ssl_cn", Some("a")),
            ("ssl_verify", Some("7")),
            ("ssl_cipher", None),
            ("unique_id", None),
            ("0x", None),
            ("else", None),
        ] {
            assert_eq!(named(values, name).as_deref(), expected.map(str::as_bytes), "{name}");
        }
    }

    proptest! {
        #[test]
        fn cut_anywhere_it_gives_the_same(
            start in 0usize..3, rest in prop::collection::vec(any::<u8>(), 0..60), text in "[TCPUNKOW46 .:0-9a\r\n]{0,40}",
        ) {
            let bytes = match start {
                0 => [SIGNATURE, &rest].concat(),
                1 => v2(0x21, 0x11, &rest),
                _ => [LINE, text.as_bytes()].concat(),
            };
            let whole = parse(&bytes);
            for end in 0..=bytes.len() {
                let cut = parse(&bytes[..end]);
                prop_assert!(cut == Ok(None) || cut == whole, "{:?} {:?}", cut, whole);
            }
            if let Ok(Some(header)) = whole {
                prop_assert!(header.values.end <= header.len && header.len <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let ends = ("1.2.3.4:5".parse().unwrap(), "6.7.8.9:80".parse().unwrap());
        assert_eq!(v1(Some(ends)), b"PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
        let ends = ("[::1]:5".parse().unwrap(), "[::2]:80".parse().unwrap());
        assert_eq!(v1(Some(ends)), b"PROXY TCP6 ::1 ::2 5 80\r\n");
        assert_eq!(v1(None), b"PROXY UNKNOWN\r\n");
    }
}
