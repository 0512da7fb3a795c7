//! From the fields of a request to what they claim.

use core::net::IpAddr;

use super::element::{Element, elements};
use super::node::{loose, node};
use super::schemes::is_secure;
use super::{Contradiction, Schemes, Trusted};
use crate::h1::is_host;
use crate::h1::scan::trim;

/// What the fields say of the client.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claims {
    /// Its address and port; the port is 0 if it is not told.
    pub client: Option<(IpAddr, u16)>,
    /// Whether it came over TLS.
    pub secure: Option<bool>,
    /// The host it asked for, with the characters of `host[:port]`. A proxy that does not set X-Forwarded-Host passes on
    /// what the client sent there: use it only where the operator says so.
    pub host: Option<Vec<u8>>,
}

/// Which fields are read. A proxy sets one family and usually passes on what the client sent in the other: whoever reads
/// the one that the proxy does not set believes the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Families {
    /// X-Forwarded-For, -Host and those of [`Schemes`], as Gunicorn and Uvicorn do.
    #[default]
    XForwarded,
    /// Forwarded only.
    Forwarded,
    /// Forwarded, or where it is missing or malformed the others.
    ForwardedFirst,
    /// X-Forwarded-For and its relatives, or where none of them is there Forwarded.
    XForwardedFirst,
}

/// Collects those fields of a request that matter. Only for requests of a peer that is trusted.
///
/// Lists grow to the right, and a value belongs to the hop at the same place, counted from the right: what the client
/// made up can only be further left. Where a list of schemes or hosts does not reach as far as the client's place in
/// X-Forwarded-For, its first value counts: all of it was written by trusted proxies.
pub struct Reader<'a> {
    schemes: &'a Schemes,
    families: Families,
    /// In the order of the request.
    seen: Vec<(Kind, &'a [u8])>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Forwarded,
    For,
    Host,
    /// Which rule of the schemes.
    Scheme(usize),
}

impl<'a> Reader<'a> {
    pub fn new(schemes: &'a Schemes, families: Families) -> Reader<'a> {
        Reader { schemes, families, seen: Vec::new() }
    }

    /// Takes note of a field, if it is one of those. Names in any case.
    pub fn add(&mut self, name: &[u8], value: &'a [u8]) {
        let kind = match (name.len(), name.first()) {
            (9, Some(b'f' | b'F')) if name.eq_ignore_ascii_case(b"forwarded") => Kind::Forwarded,
            (15, Some(b'x' | b'X')) if name.eq_ignore_ascii_case(b"x-forwarded-for") => Kind::For,
            (16, Some(b'x' | b'X')) if name.eq_ignore_ascii_case(b"x-forwarded-host") => Kind::Host,
            _ => match self.schemes.rules.iter().position(|rule| rule.name.eq_ignore_ascii_case(name)) {
                Some(rule) => Kind::Scheme(rule),
                None => return,
            },
        };
        self.seen.push((kind, value));
    }

    /// What the fields say.
    pub fn claims(&self, trusted: &Trusted) -> Result<Claims, Contradiction> {
        if self.seen.is_empty() {
            return Ok(Claims::default());
        }
        let forwarded = match self.families {
            Families::XForwarded => None,
            Families::Forwarded => Some(self.forwarded(trusted).unwrap_or_default()),
            Families::ForwardedFirst => self.forwarded(trusted),
            Families::XForwardedFirst if self.seen.iter().all(|(kind, _)| *kind == Kind::Forwarded) => {
                self.forwarded(trusted)
            }
            Families::XForwardedFirst => None,
        };
        match forwarded {
            Some(claims) => Ok(claims),
            None => self.x_forwarded(trusted),
        }
    }

    /// What Forwarded says; `None` if it is missing or malformed.
    fn forwarded(&self, trusted: &Trusted) -> Option<Claims> {
        let mut list: Vec<Element> = Vec::new();
        for (_, value) in self.seen.iter().filter(|(kind, _)| *kind == Kind::Forwarded) {
            elements(value, &mut list)?;
        }
        list.reverse();
        let (passed, client) = walk(list.iter().map(|element| node(element.client.as_deref()?)), trusted);
        // Only what the hop itself is said to have used: what is right of it is between proxies.
        let hop = list.into_iter().nth(passed)?;
        Some(Claims {
            client,
            secure: hop.proto.and_then(|scheme| is_secure(&scheme)),
            host: hop.host.filter(|host| is_host(host)).map(|host| host.into_owned()),
        })
    }

    fn x_forwarded(&self, trusted: &Trusted) -> Result<Claims, Contradiction> {
        let (passed, client) = walk(self.items(Kind::For).map(loose), trusted);
        let mut secure = None;
        for (at, rule) in self.schemes.rules.iter().enumerate() {
            let kind = Kind::Scheme(at);
            let list = self.pick(kind, passed).filter(|_| rule.list);
            let single = self.values(kind).filter(|_| !rule.list);
            for claim in single.chain(list).filter_map(|value| rule.claim(value)) {
                if secure.is_some_and(|secure| secure != claim) {
                    return Err(Contradiction);
                }
                secure = Some(claim);
            }
        }
        let host = self.pick(Kind::Host, passed).filter(|host| is_host(host));
        Ok(Claims { client, secure, host: host.map(<[u8]>::to_vec) })
    }

    /// The item of a list that belongs to the hop `passed` places from the right, or the first if there are not so many.
    fn pick(&self, kind: Kind, passed: usize) -> Option<&'a [u8]> {
        self.items(kind).take(passed + 1).last()
    }

    /// The items of a list, from the right.
    fn items(&self, kind: Kind) -> impl Iterator<Item = &'a [u8]> {
        let items = self.values(kind).flat_map(|value| value.rsplit(|&b| b == b','));
        items.map(trim).filter(|item| !item.is_empty())
    }

    /// The values of the fields of one kind, the last first.
    fn values(&self, kind: Kind) -> impl Iterator<Item = &'a [u8]> {
        self.seen.iter().rev().filter(move |(found, _)| *found == kind).map(|(_, value)| *value)
    }
}

/// Walks from the right past the trusted addresses: how many were passed, and the first that is not trusted. If all are,
/// it is the leftmost. One that cannot be read ends the walk without an address.
fn walk(nodes: impl Iterator<Item = Option<(IpAddr, u16)>>, trusted: &Trusted) -> (usize, Option<(IpAddr, u16)>) {
    let (mut passed, mut client) = (0, None);
    for (at, node) in nodes.enumerate() {
        (passed, client) = (at, node);
        if !node.is_some_and(|(ip, _)| trusted.address(ip)) {
            break;
        }
    }
    (passed, client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The claims of a head, as `client secure host`, `-` for what is not known; fields stand behind one another as
    /// `name: value | name: value`.
    fn claims(families: Families, trusted: &str, fields: &str) -> String {
        let (schemes, trusted) = (Schemes::default(), Trusted::parse(trusted).unwrap());
        let mut reader = Reader::new(&schemes, families);
        for (name, value) in fields.split(" | ").filter_map(|field| field.split_once(": ")) {
            reader.add(name.as_bytes(), value.as_bytes());
        }
        let Ok(claims) = reader.claims(&trusted) else { return "contradiction".to_owned() };
        let client = claims.client.map_or("-".to_owned(), |(ip, port)| match port {
            0 => ip.to_string(),
            port => format!("{ip} port {port}"),
        });
        let secure = claims.secure.map_or("-", |secure| if secure { "tls" } else { "plain" });
        format!("{client} {secure} {}", claims.host.map_or("-".to_owned(), |host| String::from_utf8(host).unwrap()))
    }

    #[test]
    fn x_forwarded() {
        const PROXIES: &str = "127.0.0.1, 10.0.0.0/8";
        for (trusted, fields, expected) in [
            (PROXIES, "Host: a | Accept: b", "- - -"),
            (PROXIES, "X-Forwarded-For: 192.0.2.1", "192.0.2.1 - -"),
            (PROXIES, "x-forwarded-for: 192.0.2.1:4711", "192.0.2.1 port 4711 - -"),
            (PROXIES, "X-FORWARDED-FOR: \"[2001:db8::1]:4711\"", "2001:db8::1 port 4711 - -"),
            (PROXIES, "X-Forwarded-For: 2001:db8::1", "2001:db8::1 - -"),
            // From the right, past the trusted.
            (PROXIES, "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1 - -"),
            (PROXIES, "X-Forwarded-For: 6.6.6.6,192.0.2.1 | X-Forwarded-For: 10.0.0.2", "192.0.2.1 - -"),
            (PROXIES, "X-Forwarded-For: 10.0.0.9, 192.0.2.1", "192.0.2.1 - -"),
            (PROXIES, "X-Forwarded-For: ::ffff:192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1 - -"),
            // All trusted: the leftmost.
            (PROXIES, "X-Forwarded-For: 10.0.0.9, 10.0.0.2", "10.0.0.9 - -"),
            ("*", "X-Forwarded-For: 192.0.2.1, 10.0.0.2", "192.0.2.1 - -"),
            // What cannot be read ends the walk.
            (PROXIES, "X-Forwarded-For: unknown", "- - -"),
            (PROXIES, "X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.2", "- - -"),
            (PROXIES, "X-Forwarded-For: 192.0.2.1, _hidden", "- - -"),
            (PROXIES, "X-Forwarded-For: garbage, 192.0.2.1", "192.0.2.1 - -"),
            ("*", "X-Forwarded-For: garbage, 192.0.2.1", "- - -"),
            (PROXIES, "X-Forwarded-For: ", "- - -"),
            (PROXIES, "X-Forwarded-For: , 192.0.2.1 ,, 10.0.0.2,", "192.0.2.1 - -"),
            // Schemes.
            (PROXIES, "X-Forwarded-Proto: https", "- tls -"),
            (PROXIES, "X-Forwarded-Proto: HTTPS", "- tls -"),
            (PROXIES, "X-Forwarded-Proto: wss", "- tls -"),
            (PROXIES, "X-Forwarded-Proto: http", "- plain -"),
            (PROXIES, "X-Forwarded-Proto: ws", "- plain -"),
            (PROXIES, "X-Forwarded-Proto: gopher", "- - -"),
            (PROXIES, "X-Forwarded-Ssl: on", "- tls -"),
            (PROXIES, "X-Forwarded-Ssl: off", "- plain -"),
            (PROXIES, "X-Forwarded-Protocol: ssl", "- tls -"),
            (PROXIES, "X-Forwarded-Protocol: http", "- plain -"),
            (PROXIES, "X-Forwarded-Proto: https | X-Forwarded-Ssl: on | X-Forwarded-Protocol: ssl", "- tls -"),
            (PROXIES, "X-Forwarded-Proto: http | X-Forwarded-Ssl: on", "contradiction"),
            (PROXIES, "X-Forwarded-Ssl: on | X-Forwarded-Ssl: off", "contradiction"),
            (PROXIES, "X-Forwarded-Protocol: ssl | X-Forwarded-Proto: http", "contradiction"),
            (PROXIES, "X-Forwarded-Proto: gopher | X-Forwarded-Ssl: on", "- tls -"),
            // The scheme belongs to the client's hop.
            (PROXIES, "X-Forwarded-For: 192.0.2.1, 10.0.0.2 | X-Forwarded-Proto: https, http", "192.0.2.1 tls -"),
            (PROXIES, "X-Forwarded-For: 6.6.6.6, 192.0.2.1 | X-Forwarded-Proto: https, http", "192.0.2.1 plain -"),
            (PROXIES, "X-Forwarded-For: 192.0.2.1, 10.0.0.3, 10.0.0.2 | X-Forwarded-Proto: https", "192.0.2.1 tls -"),
            (
                PROXIES,
                "X-Forwarded-For: 192.0.2.1, 10.0.0.3, 10.0.0.2 | X-Forwarded-Proto: https, http",
                "192.0.2.1 tls -",
            ),
            // What the client put to the left of it does not count.
            (PROXIES, "X-Forwarded-For: 192.0.2.1 | X-Forwarded-Proto: https, http", "192.0.2.1 plain -"),
            (PROXIES, "X-Forwarded-Proto: https, http", "- plain -"),
            // Hosts.
            (PROXIES, "X-Forwarded-Host: a.example:8080", "- - a.example:8080"),
            (PROXIES, "X-Forwarded-Host: [::1]:80", "- - [::1]:80"),
            (PROXIES, "X-Forwarded-Host: a b", "- - -"),
            (PROXIES, "X-Forwarded-Host: a/b", "- - -"),
            (PROXIES, "X-Forwarded-For: 192.0.2.1 | X-Forwarded-Host: evil, a.example", "192.0.2.1 - a.example"),
            // Not read in this family, and names that are not these.
            (PROXIES, "Forwarded: for=192.0.2.1;proto=https", "- - -"),
            (PROXIES, "X_Forwarded_For: 192.0.2.1 | X-Forwarded-Fox: 192.0.2.1 | Xforwarded-For: 1.1.1.1", "- - -"),
        ] {
            assert_eq!(claims(Families::XForwarded, trusted, fields), expected, "{fields}");
        }
    }

    #[test]
    fn forwarded() {
        const PROXIES: &str = "127.0.0.1, 10.0.0.0/8";
        for (trusted, fields, expected) in [
            (PROXIES, "Forwarded: for=192.0.2.60;proto=https;by=10.0.0.1;host=a.example", "192.0.2.60 tls a.example"),
            (PROXIES, "Forwarded: for=\"[2001:db8::1]:4711\"", "2001:db8::1 port 4711 - -"),
            (PROXIES, "Forwarded: for=\"192.0.2.1:_x\"", "192.0.2.1 - -"),
            (PROXIES, "Forwarded: for=6.6.6.6, for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", "192.0.2.1 tls -"),
            (PROXIES, "Forwarded: for=192.0.2.1;proto=https | Forwarded: for=10.0.0.2", "192.0.2.1 tls -"),
            (PROXIES, "Forwarded: for=10.0.0.3;host=a, for=10.0.0.2;host=b", "10.0.0.3 - a"),
            (PROXIES, "Forwarded: for=unknown;proto=https", "- tls -"),
            (PROXIES, "Forwarded: for=192.0.2.1, for=_hidden;host=b, for=10.0.0.2;host=c", "- - b"),
            (PROXIES, "Forwarded: proto=https", "- tls -"),
            (PROXIES, "Forwarded: proto=gopher;host=\"a b\"", "- - -"),
            // An IPv6 address needs its brackets here.
            (PROXIES, "Forwarded: for=\"2001:db8::1\"", "- - -"),
            // It wins as a whole, contradictions of the others included.
            (
                PROXIES,
                "Forwarded: for=192.0.2.1 | X-Forwarded-For: 192.0.2.2 | X-Forwarded-Proto: https",
                "192.0.2.1 - -",
            ),
            (PROXIES, "Forwarded: for=192.0.2.1 | X-Forwarded-Proto: https | X-Forwarded-Ssl: off", "192.0.2.1 - -"),
            // Malformed, it is not there.
            (PROXIES, "Forwarded: for=192.0.2.1; x | X-Forwarded-For: 192.0.2.2", "192.0.2.2 - -"),
            (PROXIES, "Forwarded: for=192.0.2.1 | Forwarded: ! | X-Forwarded-For: 192.0.2.2", "192.0.2.2 - -"),
            (PROXIES, "Forwarded: , | X-Forwarded-For: 192.0.2.2", "192.0.2.2 - -"),
            (PROXIES, "X-Forwarded-Ssl: on", "- tls -"),
        ] {
            assert_eq!(claims(Families::ForwardedFirst, trusted, fields), expected, "{fields}");
            let alone = claims(Families::Forwarded, trusted, fields);
            assert!(alone == expected || (alone == "- - -" && fields.contains("X-")), "{fields}: {alone}");
        }
    }

    #[test]
    fn other_rules() {
        let read = |rules: &[(&str, &str)], fields: &[(&str, &str)]| {
            let schemes = Schemes::new(rules.iter().copied());
            let mut reader = Reader::new(&schemes, Families::default());
            for (name, value) in fields {
                reader.add(name.as_bytes(), value.as_bytes());
            }
            reader.claims(&Trusted::default()).map(|claims| claims.secure)
        };
        let rules = [("FRONT-END-HTTPS", "on")];
        assert_eq!(read(&rules, &[("Front-End-Https", "on")]), Ok(Some(true)));
        assert_eq!(read(&rules, &[("Front-End-Https", "no")]), Ok(Some(false)));
        // What is not in the rules is not read.
        assert_eq!(read(&rules, &[("X-Forwarded-Proto", "https")]), Ok(None));
        assert_eq!(read(&[], &[("X-Forwarded-Ssl", "on")]), Ok(None));
        assert_eq!(read(&[("X-Forwarded-Proto", "tls")], &[("X-Forwarded-Proto", "TLS")]), Ok(Some(true)));
    }

    proptest! {
        #[test]
        fn what_the_client_sent_changes_nothing(spoofed in "[ -~]{0,40}", proto in "[ -~]{0,20}", host in "[ -~]{0,20}") {
            // A proxy that appends to what came, and one that replaces it.
            let client = spoofed.replace('"', "");
            for sent in [format!("{client}, 192.0.2.1"), "192.0.2.1".to_owned()] {
                let fields = [
                    ("x-forwarded-for", sent),
                    ("x-forwarded-proto", format!("{proto}, http")),
                    ("x-forwarded-host", format!("{host}, a.example")),
                    ("forwarded", client.clone()),
                ];
                let schemes = Schemes::default();
                let mut reader = Reader::new(&schemes, Families::XForwarded);
                for (name, value) in &fields {
                    reader.add(name.as_bytes(), value.as_bytes());
                }
                let claims = reader.claims(&Trusted::parse("10.0.0.0/8").unwrap()).unwrap();
                prop_assert_eq!(claims.client, Some(("192.0.2.1".parse().unwrap(), 0)));
                prop_assert_eq!(claims.secure, Some(false));
                prop_assert_eq!(claims.host.as_deref(), Some(&b"a.example"[..]));
            }
        }

        #[test]
        fn anything_can_be_read(
            fields in prop::collection::vec(
                (
                    prop_oneof![
                        Just("forwarded"), Just("x-forwarded-for"), Just("x-forwarded-proto"), Just("x-forwarded-host"),
                        Just("x-forwarded-ssl"),
                    ],
                    prop_oneof!["(for=|proto=|host=|[\"\\\\;,=:\\[\\] _a1.]|10\\.0\\.0\\.1|https|on){0,12}", "\\PC{0,20}"],
                ),
                0..5,
            ),
        ) {
            let schemes = Schemes::default();
            for families in [Families::XForwarded, Families::Forwarded, Families::ForwardedFirst] {
                for trusted in ["", "10.0.0.1", "*"] {
                    let mut reader = Reader::new(&schemes, families);
                    for (name, value) in &fields {
                        reader.add(name.as_bytes(), value.as_bytes());
                    }
                    let Ok(claims) = reader.claims(&Trusted::parse(trusted).unwrap()) else { continue };
                    prop_assert!(claims.host.is_none_or(|host| is_host(&host)));
                }
            }
        }
    }
}
