//! Which proxies are believed: addresses, networks, everyone.

use core::net::IpAddr;

use crate::cidr::Cidr;

/// The proxies that are believed, from a text like that of Gunicorn's and Uvicorn's `--forwarded-allow-ips`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trusted {
    all: bool,
    unix: bool,
    networks: Vec<Cidr>,
    literals: Vec<String>,
}

impl Trusted {
    /// Reads a comma-separated list of addresses, networks (`10.0.0.0/8`), `*` for everyone and `unix:` for those who
    /// come through a Unix socket. Other words, such as names of hosts, are kept but match nobody: no name is looked up.
    /// An error says which entry is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Trusted, String> {
        let mut trusted = Trusted::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                trusted.all = true;
            } else if entry == "unix" || entry.starts_with("unix:") {
                trusted.unix = true;
            } else if let Some(network) = network(entry)? {
                trusted.networks.push(network);
            } else {
                trusted.literals.push(entry.to_owned());
            }
        }
        Ok(trusted)
    }

    /// Whether the peer at `ip` is trusted. An IPv4 address in IPv6 clothes is the IPv4 address.
    pub fn address(&self, ip: IpAddr) -> bool {
        if self.all {
            return true;
        }
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Whether peers that come through a Unix socket are trusted.
    pub fn unix(&self) -> bool {
        self.all || self.unix
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        !self.all && !self.unix && self.networks.is_empty()
    }

    /// The words that match nobody, so that someone can be told.
    pub fn literals(&self) -> &[String] {
        &self.literals
    }
}

/// Reads a network. `None` if `entry` does not even look like an address.
fn network(entry: &str) -> Result<Option<Cidr>, String> {
    let (address, prefix) = match entry.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (entry, None),
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        let is_network = prefix.is_some_and(|bits| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit()));
        return if is_network || resembles_address(address) {
            Err(format!("`{entry}` is no IP address or network: write one like 10.0.0.1, 10.0.0.0/8 or fd00::/8"))
        } else {
            Ok(None)
        };
    };
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let digits = prefix.filter(|prefix| !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit()));
    let mut len = match (prefix, digits.and_then(|digits| digits.parse::<u8>().ok())) {
        (None, _) => width,
        (Some(_), Some(len)) if len <= width => len,
        _ => return Err(format!("`{entry}`: what follows the slash is a number of bits, 0 to {width}")),
    };
    let canonical = ip.to_canonical();
    if canonical.is_ipv4() && width == 128 {
        len = len
            .checked_sub(96)
            .ok_or_else(|| format!("`{entry}` is neither an IPv4 nor an IPv6 network: write it as one of them"))?;
    }
    match Cidr::new(canonical, len) {
        Some((network, false)) => Ok(Some(network)),
        Some((network, true)) => Err(format!(
            "`{entry}` has bits set behind the first {len}: write {}/{len} for the network, or {address} for the one \
             address",
            network.address()
        )),
        None => Err(format!("`{entry}`: what follows the slash is a number of bits, 0 to {width}")),
    }
}

/// Whether someone who wrote this meant an address: only digits and dots, or an IPv6 address's characters.
fn resembles_address(text: &str) -> bool {
    let v4 = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let v6 = text.matches(':').count() > 1 || text.starts_with('[');
    v4 || v6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_trusted() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("", &[], &["127.0.0.1", "::1", "0.0.0.0", "::"]),
            (" , ,", &[], &["127.0.0.1"]),
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1", "::7f00:1"]),
            ("127.0.0.1, ::1", &["127.0.0.1", "::1"], &["::2"]),
            ("::ffff:10.0.0.1", &["10.0.0.1", "::ffff:10.0.0.1"], &["10.0.0.2"]),
            (
                "10.0.0.0/8,192.168.1.0/24",
                &["10.255.0.1", "192.168.1.255"],
                &["11.0.0.1", "192.168.2.0", "9.255.255.255"],
            ),
            ("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2"]),
            ("0.0.0.0/0", &["1.2.3.4", "::ffff:1.2.3.4", "255.255.255.255"], &["::1", "2001:db8::1"]),
            ("::/0", &["::1", "2001:db8::1"], &["1.2.3.4", "::ffff:1.2.3.4"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.0"]),
            ("2001:db8::/32", &["2001:db8:1::1"], &["2001:db9::1", "32.1.13.184"]),
            ("fe80::/10", &["fe80::1", "febf::1"], &["fec0::1"]),
            ("*", &["1.2.3.4", "::1"], &[]),
            ("unix:", &[], &["127.0.0.1"]),
            ("proxy.internal, 10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]),
        ];
        for (text, yes, no) in table {
            let trusted = Trusted::parse(text).unwrap();
            for (list, expected) in [(yes, true), (no, false)] {
                for ip in *list {
                    assert_eq!(trusted.address(ip.parse().unwrap()), expected, "{text}: {ip}");
                }
            }
        }
    }

    #[test]
    fn unix_sockets_and_nobody() {
        for (text, unix, empty) in [
            ("", false, true),
            ("*", true, false),
            ("unix:", true, false),
            ("unix", true, false),
            ("127.0.0.1,unix:", true, false),
            ("unix:/run/proxy.sock", true, false),
            ("127.0.0.1", false, false),
            ("proxy.internal", false, true),
            ("/run/proxy.sock", false, true),
        ] {
            let trusted = Trusted::parse(text).unwrap();
            assert_eq!((trusted.unix(), trusted.is_empty()), (unix, empty), "{text}");
        }
        let trusted = Trusted::parse("proxy.internal, ::1, /run/proxy.sock").unwrap();
        assert_eq!(trusted.literals(), ["proxy.internal", "/run/proxy.sock"]);
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, entry, advice) in [
            ("127.0.0.1, 10.0.0.1/8", "`10.0.0.1/8`", "write 10.0.0.0/8 for the network"),
            ("2001:db8::1/32", "`2001:db8::1/32`", "write 2001:db8::/32 for the network"),
            ("::ffff:10.0.0.1/104", "`::ffff:10.0.0.1/104`", "write 10.0.0.0/8"),
            ("10.0.0.0/33", "`10.0.0.0/33`", "0 to 32"),
            ("::/129", "`::/129`", "0 to 128"),
            ("10.0.0.0/", "`10.0.0.0/`", "number of bits"),
            ("10.0.0.0/+8", "`10.0.0.0/+8`", "number of bits"),
            ("10.0.0.0/255.0.0.0", "`10.0.0.0/255.0.0.0`", "number of bits"),
            ("10.0.0", "`10.0.0`", "write one like"),
            ("256.0.0.1", "`256.0.0.1`", "write one like"),
            ("10.0.0/8", "`10.0.0/8`", "write one like"),
            ("fe80::1%eth0", "`fe80::1%eth0`", "write one like"),
            ("[::1]", "`[::1]`", "write one like"),
            ("::ffff:0.0.0.0/90", "`::ffff:0.0.0.0/90`", "neither"),
        ] {
            let message = Trusted::parse(text).unwrap_err();
            assert!(message.contains(entry) && message.contains(advice), "{text}: {message}");
        }
    }
}
