//! `set_real_ip_from` and its kin: the client's address as a trusted proxy tells it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use conf::Diagnostic;
use wire::cidr::{self, Cidr};
use wire::h1::encode;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::{Peer, Request};

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    trusted: Arc<Trusted>,
    source: Source,
    recursive: bool,
}

/// Who is believed.
#[derive(Clone, Default)]
struct Trusted {
    networks: Vec<Cidr>,
    /// Those who come through a Unix socket.
    unix: bool,
}

/// Where the address stands.
#[derive(Clone, Default)]
enum Source {
    /// The field X-Real-IP.
    #[default]
    RealIp,
    /// All fields X-Forwarded-For.
    ForwardedFor,
    /// The header of the PROXY protocol.
    ProxyProtocol,
    /// The first field of this lower-case name.
    Field(Arc<str>),
}

impl Settings {
    /// Nobody is believed.
    fn is_off(&self) -> bool {
        self.trusted.networks.is_empty() && !self.trusted.unix
    }
}

impl Trusted {
    fn has(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => self.unix,
            Peer::Inet(address) => {
                let address = address.ip().to_canonical();
                self.networks.iter().any(|network| network.contains(address))
            }
        }
    }

    /// The address that a list in `values` tells of the client behind `peer`: the last one, or with `recursive` the
    /// last that is not trusted itself. What stands before a text that is no address is not looked at.
    fn client(&self, peer: Peer, values: &[&[u8]], recursive: bool) -> Option<SocketAddr> {
        let mut found = None;
        let mut at = peer;
        for value in values.iter().rev() {
            let mut rest = Some(*value);
            while let Some(list) = rest {
                if !self.has(at) {
                    return found;
                }
                let (text, before) = last(list);
                let Some(address) = address(text) else { return found };
                found = Some(address);
                if !recursive {
                    return found;
                }
                at = Peer::Inet(address);
                rest = before;
            }
        }
        found
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "real_ip_header",
        HSL,
        (1, 1),
        "FIELD | X-Real-IP | X-Forwarded-For | proxy_protocol",
        "X-Real-IP",
        "Where the client's address stands, if one of `set_real_ip_from` sends it.",
        Set(|s| {
            let name = s.text(0).to_ascii_lowercase();
            let source = match name.as_str() {
                "x-real-ip" => Source::RealIp,
                "x-forwarded-for" => Source::ForwardedFor,
                "proxy_protocol" => Source::ProxyProtocol,
                name if encode::is_token(name.as_bytes()) => Source::Field(name.into()),
                _ => return Err(s.wrong(format!("\"{name}\" is not the name of a field"))),
            };
            s.settings().realip.source = source;
            Ok(())
        }),
    ),
    Row::new(
        "real_ip_recursive",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether of a list of addresses the last one counts that is not in `set_real_ip_from`, instead of the last.",
        Set(|s| s.set_flag(|x| &mut x.realip.recursive)),
    ),
    Row::new(
        "set_real_ip_from",
        HSL,
        (1, 1),
        "ADDRESS | CIDR | HOST | unix:",
        "",
        "A proxy that is believed what it says of the client's address, see `real_ip_header`. A host is looked up once, at the start.",
        Set(trust),
    )
    .repeats(),
];

fn trust(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let text = s.text(0).to_owned();
    let mut trusted = if s.first { Trusted::default() } else { (*s.block.settings.realip.trusted).clone() };
    if text == "unix:" {
        trusted.unix = true;
    } else if let Ok((network, low)) = Cidr::parse(&text) {
        if low {
            let warning = s.wrong(format!("low address bits of {text} are meaningless"));
            s.make.warn(warning);
        }
        trusted.networks.push(network);
    } else {
        let found = (text.as_str(), 0).to_socket_addrs();
        let found = found.map_err(|_| s.wrong(format!("host not found in set_real_ip_from \"{text}\"")))?;
        for address in found {
            let address = address.ip().to_canonical();
            let whole = if address.is_ipv4() { 32 } else { 128 };
            trusted.networks.extend(Cidr::new(address, whole).map(|(network, _)| network));
        }
    }
    s.settings().realip.trusted = Arc::new(trusted);
    Ok(())
}

/// Takes a trusted proxy's word for the client's address, once in a request.
pub fn apply(settings: &Settings, request: &mut Request) {
    if settings.is_off() || request.connected.is_some() {
        return;
    }
    let (trusted, peer) = (&settings.trusted, request.peer);
    let one = |name: &str| {
        let value = request.field(name)?;
        trusted.client(peer, &[value], settings.recursive)
    };
    let found = match &settings.source {
        Source::RealIp => one("x-real-ip"),
        Source::Field(name) => one(name),
        Source::ForwardedFor => trusted.client(peer, &request.field_values("x-forwarded-for"), settings.recursive),
        Source::ProxyProtocol => request.carrier.proxied.map(|proxied| proxied.client).filter(|_| trusted.has(peer)),
    };
    let Some(address) = found else { return };
    request.note("realip", None, || format!("{peer} is trusted: the client is {}", address.ip()));
    request.connected = Some(peer);
    request.peer = Peer::Inet(address);
}

/// The last element of a list with commas and spaces between, and what stands before it. As in nginx, a separator at
/// the very beginning is none.
fn last(list: &[u8]) -> (&[u8], Option<&[u8]>) {
    let is_separator = |byte: &u8| matches!(byte, b' ' | b',');
    let from = usize::from(!list.is_empty());
    let end = list[from..].iter().rposition(|byte| !is_separator(byte)).map_or(from, |at| from + at + 1);
    match list[from..end].iter().rposition(is_separator) {
        Some(at) => (&list[from + at + 1..end], Some(&list[..from + at])),
        None => (&list[..end], None),
    }
}

/// Reads an address, with or without a port (then it is 0); IPv6 with a port is in brackets.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let number = if after.is_empty() { 0 } else { port(after.strip_prefix(':')?)? };
        return Some((inside.parse::<Ipv6Addr>().ok()?, number).into());
    }
    if let Some(v4) = cidr::ipv4(text) {
        return Some((IpAddr::V4(v4), 0).into());
    }
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return Some((IpAddr::V6(v6), 0).into());
    }
    let (host, number) = text.rsplit_once(':')?;
    Some((IpAddr::V4(cidr::ipv4(host)?), port(number)?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("1.2.3.4", Some("1.2.3.4:0")),
            ("1.2.3.4:80", Some("1.2.3.4:80")),
            ("::1", Some("[::1]:0")),
            ("[::1]", Some("[::1]:0")),
            ("[::1]:80", Some("[::1]:80")),
            ("1.2.3.4:0", None),
            ("1.2.3.4:+1", None),
            ("1.2.3.4:", None),
            ("1.2.3.4:65536", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[1.2.3.4]", None),
            ("nobody", None),
            ("unix:", None),
            ("", None),
        ] {
            assert_eq!(address(text.as_bytes()), expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_last_one_that_is_not_trusted() {
        let trusted = Trusted {
            networks: ["10.0.0.0/8", "fd00::/8"].map(|text| Cidr::parse(text).unwrap().0).to_vec(),
            unix: false,
        };
        let table: &[(&str, &[&str], Option<&str>, Option<&str>)] = &[
            ("10.0.0.1", &["1.1.1.1"], Some("1.1.1.1"), Some("1.1.1.1")),
            ("9.0.0.1", &["1.1.1.1"], None, None),
            ("::ffff:10.0.0.1", &["1.1.1.1"], Some("1.1.1.1"), Some("1.1.1.1")),
            ("10.0.0.1", &["1.1.1.1, 10.0.0.2"], Some("10.0.0.2"), Some("1.1.1.1")),
            ("10.0.0.1", &["2.2.2.2, 1.1.1.1 ,,10.0.0.2 , "], Some("10.0.0.2"), Some("1.1.1.1")),
            ("10.0.0.1", &["1.1.1.1", "10.0.0.2"], Some("10.0.0.2"), Some("1.1.1.1")),
            ("10.0.0.1", &["x, 10.0.0.2"], Some("10.0.0.2"), Some("10.0.0.2")),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.2"), Some("10.0.0.3")),
            ("fd00::1", &["2001::1, fd00::2"], Some("fd00::2"), Some("2001::1")),
            ("10.0.0.1", &["1.1.1.1, x"], None, None),
            ("10.0.0.1", &[",1.1.1.1"], None, None),
            ("10.0.0.1", &[", 1.1.1.1"], Some("1.1.1.1"), Some("1.1.1.1")),
            ("10.0.0.1", &[""], None, None),
            ("10.0.0.1", &[","], None, None),
            ("10.0.0.1", &[], None, None),
        ];
        for (peer, values, one, recursive) in table {
            let peer = Peer::Inet((peer.parse::<IpAddr>().unwrap(), 1).into());
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let told = |deep| trusted.client(peer, &values, deep).map(|address| address.ip().to_string());
            assert_eq!(told(false).as_deref(), *one, "{values:?}");
            assert_eq!(told(true).as_deref(), *recursive, "{values:?}");
        }
        assert_eq!(trusted.client(Peer::Unix, &[b"1.1.1.1"], false), None);
    }
}
