//! Networks of IP addresses, as configuration files write them: `10.0.0.0/8`, `fd00::/8`, or one address.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network; one address is a network of all its bits. Bits behind the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cidr {
    v4: bool,
    /// From the top bit down: an IPv4 address has the upper 32.
    bits: u128,
    prefix: u8,
}

/// What is wrong with a text that should be a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// What stands before the slash is no address.
    Address,
    /// What stands behind the slash is no number of bits that such an address has.
    Prefix,
}

impl Cidr {
    /// The network around `address`, and whether the address has bits set behind the prefix, which are dropped. `None`
    /// if an address has fewer bits than `prefix`.
    pub fn new(address: IpAddr, prefix: u8) -> Option<(Cidr, bool)> {
        let (v4, bits) = top_down(address);
        if prefix > if v4 { 32 } else { 128 } {
            return None;
        }
        let network = bits & mask(prefix);
        Some((Cidr { v4, bits: network, prefix }, network != bits))
    }

    /// Reads `address` or `address/bits`. Numbers of an IPv4 address may have zeros in front, which are decimal. Gives
    /// also whether bits behind the prefix were set: nginx warns of that.
    pub fn parse(text: &str) -> Result<(Cidr, bool), Wrong> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address = match ipv4(address) {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(address.parse::<Ipv6Addr>().map_err(|_| Wrong::Address)?),
        };
        let prefix = match prefix {
            None if address.is_ipv4() => 32,
            None => 128,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| Wrong::Prefix)?
            }
            Some(_) => return Err(Wrong::Prefix),
        };
        Cidr::new(address, prefix).ok_or(Wrong::Prefix)
    }

    /// Whether `address` is in it. An IPv4 address in IPv6 clothes is an IPv6 address here.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (v4, bits) = top_down(address);
        self.v4 == v4 && bits & mask(self.prefix) == self.bits
    }

    pub fn is_ipv4(&self) -> bool {
        self.v4
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        if self.v4 { Ipv4Addr::from((self.bits >> 96) as u32).into() } else { Ipv6Addr::from(self.bits).into() }
    }

    /// Number of bits that are given.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

/// Reads four numbers up to 255, in decimal, with zeros in front or not.
pub fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    if parts.next().is_some() { None } else { Some(octets.into()) }
}

/// Whether it is IPv4, and its bits from the top down.
fn top_down(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (true, u128::from(u32::from(v4)) << 96),
        IpAddr::V6(v6) => (false, v6.into()),
    }
}

/// The first `prefix` bits set.
fn mask(prefix: u8) -> u128 {
    !u128::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks() {
        for (text, address, prefix, low) in [
            ("10.0.0.0/8", "10.0.0.0", 8, false),
            ("10.1.2.3/8", "10.0.0.0", 8, true),
            ("10.1.2.3", "10.1.2.3", 32, false),
            ("010.001.002.003/032", "10.1.2.3", 32, false),
            ("0.0.0.0/0", "0.0.0.0", 0, false),
            ("1.2.3.4/0", "0.0.0.0", 0, true),
            ("255.255.255.255", "255.255.255.255", 32, false),
            ("::/0", "::", 0, false),
            ("fe80::1/10", "fe80::", 10, true),
            ("::1", "::1", 128, false),
            ("::ffff:10.0.0.0/104", "::ffff:10.0.0.0", 104, false),
        ] {
            let (network, told) = Cidr::parse(text).unwrap();
            assert_eq!((network.address(), network.prefix(), told), (address.parse().unwrap(), prefix, low), "{text}");
            assert_eq!(network.is_ipv4(), !text.contains(':'));
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "/8",
            "a",
            "10",
            "10.0.0",
            "1.2.3.4.5",
            "1..2.3",
            "256.0.0.1",
            "1.2.3.+4",
            ":::",
            "fe80::1%lo",
            "[::1]",
            "1.2.3.4 ",
        ] {
            assert_eq!(Cidr::parse(text), Err(Wrong::Address), "{text}");
        }
        for text in
            ["10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/255.0.0.0", "::/129", "::/999", "::/-1", "::/8/8"]
        {
            assert_eq!(Cidr::parse(text), Err(Wrong::Prefix), "{text}");
        }
    }

    #[test]
    fn who_is_inside() {
        for (network, yes, no) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255"][..],
                &["11.0.0.0", "9.255.255.255", "::ffff:10.0.0.1", "a00::"][..],
            ),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::"]),
            ("::/0", &["::", "::ffff:10.0.0.1"], &["0.0.0.0"]),
            ("1.2.3.4", &["1.2.3.4"], &["1.2.3.5"]),
            ("fe80::/10", &["fe80::1", "febf::1"], &["fec0::"]),
        ] {
            let (parsed, _) = Cidr::parse(network).unwrap();
            for (list, expected) in [(yes, true), (no, false)] {
                for address in list {
                    assert_eq!(parsed.contains(address.parse().unwrap()), expected, "{network} {address}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_contains_what_begins_with_its_bits(network: u32, prefix in 0u8..=32, address: u32) {
            let (cidr, low) = Cidr::new(IpAddr::V4(network.into()), prefix).unwrap();
            let shift = 32 - u32::from(prefix);
            prop_assert_eq!(cidr.contains(IpAddr::V4(address.into())), u64::from(network) >> shift == u64::from(address) >> shift);
            prop_assert_eq!(low, u64::from(network) >> shift << shift != u64::from(network));
            let text = format!("{}/{}", cidr.address(), cidr.prefix());
            prop_assert_eq!(Cidr::parse(&text), Ok((cidr, false)));
        }
    }
}
