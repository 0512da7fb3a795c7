//! The rules of `allow` and `deny`: which clients may ask.

use std::fmt;
use std::net::IpAddr;

use wire::cidr::Cidr;

/// Whom a rule is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    All,
    /// `unix:`: those who come through a Unix socket.
    Unix,
    Network(Cidr),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::All => f.write_str("all"),
            Source::Unix => f.write_str("unix:"),
            Source::Network(network) => write!(f, "{}/{}", network.address(), network.prefix()),
        }
    }
}

impl Source {
    /// Reads the argument of `allow` or `deny`. Gives a warning for a network with bits set behind its prefix.
    pub fn parse(text: &str) -> Result<(Source, Option<String>), String> {
        match text {
            "all" => Ok((Source::All, None)),
            "unix:" => Ok((Source::Unix, None)),
            _ => {
                let (network, low) = Cidr::parse(text).map_err(|_| format!("invalid parameter \"{text}\""))?;
                let warning = low.then(|| format!("low address bits of {text} are meaningless"));
                Ok((Source::Network(network), warning))
            }
        }
    }
}

/// What the rules say of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Allowed,
    /// 403
    Denied,
    /// No rule is for this client: it may ask, but `satisfy any` does not count it as let in.
    Undecided,
}

/// Rules in the order of the file; the first that is for a client counts.
#[derive(Clone, Default, Debug)]
pub struct Rules {
    rules: Vec<(Source, bool)>,
    /// Whether a rule is for IPv4 addresses.
    v4: bool,
}

impl Rules {
    pub fn push(&mut self, source: Source, allow: bool) {
        self.v4 |= match source {
            Source::All => true,
            Source::Unix => false,
            Source::Network(network) => network.is_ipv4(),
        };
        self.rules.push((source, allow));
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What they say of the client at `address`; `None` is one that comes through a Unix socket. An IPv4 address in IPv6
    /// clothes is the IPv4 address, unless no rule is for such: then it is held against the rules for IPv6.
    pub fn check(&self, address: Option<IpAddr>) -> Verdict {
        match self.find(address) {
            Some((_, true)) => Verdict::Allowed,
            Some((_, false)) => Verdict::Denied,
            None => Verdict::Undecided,
        }
    }

    /// The rule that counts: whom it is for, and whether it lets in.
    pub fn find(&self, address: Option<IpAddr>) -> Option<(Source, bool)> {
        let address = if self.v4 { address.map(|address| address.to_canonical()) } else { address };
        let fits = |source: &Source| match (source, address) {
            (Source::All, _) => true,
            (Source::Unix, None) => true,
            (Source::Network(network), Some(address)) => network.contains(address),
            _ => false,
        };
        self.rules.iter().find(|(source, _)| fits(source)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules in a few words: `+all -10.0.0.0/8`.
    fn rules(text: &str) -> Rules {
        let mut rules = Rules::default();
        for word in text.split_whitespace() {
            rules.push(Source::parse(&word[1..]).unwrap().0, word.starts_with('+'));
        }
        rules
    }

    #[test]
    fn who_may_ask() {
        use Verdict::{Allowed, Denied, Undecided};
        for (text, cases) in [
            ("", &[("1.2.3.4", Undecided), ("::1", Undecided), ("unix:", Undecided)][..]),
            ("-all", &[("1.2.3.4", Denied), ("::1", Denied), ("unix:", Denied), ("::ffff:1.2.3.4", Denied)]),
            (
                "-192.168.1.1 +192.168.1.0/24 +10.1.1.0/16 +2001:db8::/32 -all",
                &[
                    ("192.168.1.1", Denied),
                    ("192.168.1.2", Allowed),
                    ("10.1.99.1", Allowed),
                    ("10.2.0.0", Denied),
                    ("2001:db8::1", Allowed),
                    ("2001:db9::1", Denied),
                    ("::ffff:192.168.1.2", Allowed),
                    ("unix:", Denied),
                ],
            ),
            (
                "+unix: -10.0.0.0/8",
                &[("unix:", Allowed), ("10.0.0.1", Denied), ("11.0.0.1", Undecided), ("::", Undecided)],
            ),
            ("-unix:", &[("unix:", Denied), ("1.2.3.4", Undecided)]),
            // Without a rule for IPv4, the clothes are what counts.
            ("-::/0", &[("::ffff:1.2.3.4", Denied), ("1.2.3.4", Undecided)]),
            ("-::/0 +1.1.1.1", &[("::ffff:1.2.3.4", Undecided), ("::ffff:1.1.1.1", Allowed), ("::1", Denied)]),
            ("-::ffff:0:0/96 +all", &[("::ffff:1.2.3.4", Allowed)]),
        ] {
            let rules = rules(text);
            assert_eq!(rules.is_empty(), text.is_empty());
            for (address, expected) in cases {
                assert_eq!(rules.check(address.parse().ok()), *expected, "{text}: {address}");
            }
        }
    }

    #[test]
    fn mistakes() {
        for text in ["", "foo", "10.0.0.0/", "10.0.0.0/33", "::/129", "unix:/x", "ALL", "10.0.0", "[::1]"] {
            assert_eq!(Source::parse(text), Err(format!("invalid parameter \"{text}\"")));
        }
        let (source, warning) = Source::parse("10.0.0.1/8").unwrap();
        assert_eq!(warning.unwrap(), "low address bits of 10.0.0.1/8 are meaningless");
        assert_eq!(source, Source::parse("10.0.0.0/8").unwrap().0);
    }
}
