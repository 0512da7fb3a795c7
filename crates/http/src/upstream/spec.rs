//! A group of servers as the configuration says it is: an `upstream` block, or the host of a `proxy_pass` that no block
//! has the name of.
//!
//! `Upstreams` is the registry while a configuration is built: who refers to a group gets its number at once, and what
//! the number stands for is found when all blocks have been read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use conf::{At, Diagnostic, Directive};

use super::balance::Load;
use super::peer::Peer;
use super::queue;
use super::resolve::{self, Resolver};
use super::sticky::Sticky;
use crate::variables::Template;
use crate::zone::Zone;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Inet(SocketAddr),
    Unix(Arc<Path>),
}

/// As `$upstream_addr` has it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A `server` of a group.
#[derive(Clone, Debug)]
pub struct Server {
    /// Holds for each of its addresses.
    pub peer: Peer,
    /// Name or address of the host, or the path.
    pub host: Box<str>,
    pub port: u16,
    /// Those that were found when the configuration was read.
    pub addresses: Vec<Address>,
    /// The weight was given.
    pub has_weight: bool,
    /// Tried only when no other can be.
    pub backup: bool,
    /// Its name is looked up again and again.
    pub resolve: bool,
    /// The service whose SRV records tell its addresses.
    pub service: Option<Box<str>>,
    /// What clients are bound to it by; empty: by its address.
    pub route: Box<str>,
    pub at: At,
}

/// How servers are chosen.
#[derive(Clone, Debug, Default)]
pub enum Balance {
    #[default]
    RoundRobin,
    Least(Load),
    IpHash,
    Hash {
        key: Template,
        consistent: bool,
    },
    /// Of two, if the load is given, that with less of it.
    Random(Option<Load>),
}

/// What is kept of connections that have nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Most idle connections of a worker; 0 = none are kept.
    pub most: usize,
    /// Most requests of one connection.
    pub requests: u32,
    /// How old it may be when it gets another request, in ms.
    pub time: u64,
    /// How long it may be idle, in ms.
    pub timeout: u64,
    /// It carries only requests of the location that it was made for.
    pub local: bool,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive { most: 32, requests: 1000, time: 3_600_000, timeout: 60_000, local: true }
    }
}

/// A group as configured.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Box<str>,
    pub servers: Vec<Server>,
    pub balance: Balance,
    pub keepalive: Keepalive,
    /// Where workers share what they know of the servers.
    pub zone: Option<Arc<Zone>>,
    pub sticky: Option<Arc<Sticky>>,
    pub queue: Option<queue::Spec>,
    /// Who knows the addresses of servers that are looked up again, and how long that may take, in ms.
    pub resolver: Option<Arc<Resolver>>,
    pub resolver_timeout: u64,
    /// No `upstream` block, but the host of a URL, with this port.
    pub implicit: Option<u16>,
    pub at: At,
}

impl Upstream {
    /// A group of that name without servers.
    pub fn new(name: &str, at: &At) -> Upstream {
        Upstream {
            name: name.into(),
            servers: Vec::new(),
            balance: Balance::default(),
            keepalive: Keepalive::default(),
            zone: None,
            sticky: None,
            queue: None,
            resolver: None,
            resolver_timeout: resolve::TIMEOUT,
            implicit: None,
            at: at.clone(),
        }
    }

    /// The group that the host of a URL stands for.
    pub fn of_addresses(name: &str, addresses: Vec<Address>, at: &At) -> Upstream {
        let (host, port) = match Written::parse(name) {
            Ok(Written::Host { host, port }) => (host, port),
            _ => (name.into(), None),
        };
        let server = Server { addresses, port: port.unwrap_or(0), ..Server::new(Peer::new(name), &host, at) };
        Upstream { servers: vec![server], implicit: Some(port.unwrap_or(0)), ..Upstream::new(name, at) }
    }

    /// Whether a URL with this host, whatever case, and this port means the group.
    pub fn is_named(&self, host: &[u8], port: Option<u16>, default_port: u16) -> bool {
        match (self.implicit, port) {
            (None, None) => self.name.as_bytes().eq_ignore_ascii_case(host),
            (None, Some(_)) => false,
            (Some(own), port) => {
                let name = self.servers.first().map_or(&[][..], |server| server.host.as_bytes());
                own == port.unwrap_or(default_port) && name.eq_ignore_ascii_case(host)
            }
        }
    }

    /// Its servers in words, for `explain`.
    pub fn told(&self) -> String {
        let method = match &self.balance {
            Balance::RoundRobin => "in turn",
            Balance::Least(Load::Conns) => "least_conn",
            Balance::Least(Load::Time { .. }) => "least_time",
            Balance::IpHash => "ip_hash",
            Balance::Hash { consistent: false, .. } => "hash",
            Balance::Hash { consistent: true, .. } => "hash consistent",
            Balance::Random(_) => "random",
        };
        let one = |server: &Server| {
            let words = [("backup", server.backup), ("down", server.peer.down), ("drain", server.peer.drain)];
            let mut text = server.peer.server.to_string();
            for (word, _) in words.into_iter().filter(|(_, holds)| *holds) {
                text += &format!(" {word}");
            }
            text
        };
        let servers: Vec<String> = self.servers.iter().map(one).collect();
        format!("{} ({method}): {}", self.name, servers.join(", "))
    }

    /// How many addresses there are, or may be.
    pub fn room(&self) -> usize {
        let room = |server: &Server| if server.resolve { 16 } else { server.addresses.len() };
        self.servers.iter().map(room).sum()
    }
}

impl Server {
    /// Without addresses.
    pub fn new(peer: Peer, host: &str, at: &At) -> Server {
        Server {
            peer,
            host: host.into(),
            port: 0,
            addresses: Vec::new(),
            has_weight: false,
            backup: false,
            resolve: false,
            service: None,
            route: "".into(),
            at: at.clone(),
        }
    }
}

/// An address as it is written: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Name or address of a host, without brackets.
    Host {
        host: Box<str>,
        port: Option<u16>,
    },
    Unix(Box<str>),
}

impl Written {
    /// The error is nginx's, to be followed by ` in upstream "TEXT"`.
    pub fn parse(text: &str) -> Result<Written, &'static str> {
        if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:")) {
            let path = &text[5..];
            // As much as a socket address can hold.
            return match path.len() {
                0 => Err("no path in the unix domain socket"),
                108.. => Err("too long path in the unix domain socket"),
                _ => Ok(Written::Unix(path.into())),
            };
        }
        if text.contains('/') {
            return Err("invalid host");
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or("invalid host")?;
                let port = match after.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if after.is_empty() => None,
                    None => return Err("invalid host"),
                };
                (host, port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            None => None,
            Some(port) => {
                Some(conf::number(port).filter(|port| (1..=65535).contains(port)).ok_or("invalid port")? as u16)
            }
        };
        if host.is_empty() {
            return Err("no host");
        }
        if text.starts_with('[') && host.parse::<Ipv6Addr>().is_err() {
            return Err("invalid IPv6 address");
        }
        Ok(Written::Host { host: host.into(), port })
    }

    /// Its addresses, which are asked for where they are not written there. The error is nginx's.
    pub fn look_up(&self, default_port: u16) -> Result<Vec<Address>, &'static str> {
        match self {
            Written::Unix(path) => Ok(vec![Address::Unix(Path::new(&**path).into())]),
            Written::Host { host, port } => match port.unwrap_or(default_port) {
                0 => Err("no port"),
                port => look_up(host, port),
            },
        }
    }
}

/// The address that is written there, if it is one.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.parse::<Ipv4Addr>().map(IpAddr::V4).or_else(|_| host.parse::<Ipv6Addr>().map(IpAddr::V6)).ok()
}

/// IPv4 addresses first.
fn look_up(host: &str, port: u16) -> Result<Vec<Address>, &'static str> {
    if let Some(ip) = literal(host) {
        return Ok(vec![Address::Inet(SocketAddr::new(ip, port))]);
    }
    let mut found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(|_| "host not found")?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let mut addresses: Vec<Address> = Vec::new();
    for address in found.into_iter().map(Address::Inet) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("host not found") } else { Ok(addresses) }
}

/// The groups of a configuration that is being built.
#[derive(Default)]
pub struct Upstreams {
    all: Vec<Entry>,
    problems: Vec<Diagnostic>,
}

/// What stands for a number.
enum Entry {
    Block(Arc<Upstream>),
    /// Referred to, and no block has its name.
    Named {
        text: Box<str>,
        host: Box<str>,
        port: Option<u16>,
        default_port: u16,
        it: Diagnostic,
    },
}

impl Upstreams {
    /// The number of the group that an address is or names: a block, which may still come, or the host itself.
    pub fn refer(&mut self, text: &str, default_port: u16, it: &Directive) -> u32 {
        let (host, port) = match Written::parse(text) {
            Ok(Written::Host { host, port }) => (host, port),
            Ok(Written::Unix(_)) => (text.into(), None),
            Err(why) => {
                self.problems.push(Diagnostic::of(it, format!("{why} in upstream \"{text}\"")));
                (text.into(), None)
            }
        };
        let same = |entry: &Entry| match entry {
            Entry::Block(block) => block.name.eq_ignore_ascii_case(&host),
            Entry::Named { host: other, port: its, default_port: its_default, .. } => {
                other.eq_ignore_ascii_case(&host) && its.unwrap_or(*its_default) == port.unwrap_or(default_port)
            }
        };
        if let Some(index) = self.all.iter().position(same) {
            if let (Entry::Block(block), Some(port)) = (&self.all[index], port) {
                let message = format!("upstream \"{}\" may not have port {port}", block.name);
                self.problems.push(Diagnostic::of(it, message));
            }
            return index as u32;
        }
        let it = Diagnostic::of(it, "");
        self.all.push(Entry::Named { text: text.into(), host, port, default_port, it });
        self.all.len() as u32 - 1
    }

    /// Whether there is a block of that name.
    pub fn has_block(&self, name: &str) -> bool {
        let same = |entry: &Entry| matches!(entry, Entry::Block(block) if block.name.eq_ignore_ascii_case(name));
        self.all.iter().any(same)
    }

    /// An `upstream` block has been read. All are, before there are references.
    pub fn add(&mut self, block: Upstream) {
        self.all.push(Entry::Block(Arc::new(block)));
    }

    /// All groups, in the order of their numbers, and what is wrong with them.
    pub fn finish(self) -> (Vec<Arc<Upstream>>, Vec<Diagnostic>) {
        let Upstreams { all, mut problems } = self;
        let known_bad = !problems.is_empty();
        let groups = all.into_iter().map(|entry| match entry {
            Entry::Block(block) => block,
            Entry::Named { text, port, default_port, it, .. } => {
                let addresses = Written::parse(&text).and_then(|written| written.look_up(default_port));
                let addresses = addresses.unwrap_or_else(|why| {
                    if !known_bad {
                        problems.push(Diagnostic { message: format!("{why} in upstream \"{text}\""), ..it.clone() });
                    }
                    Vec::new()
                });
                let implicit = Some(port.unwrap_or(default_port));
                Arc::new(Upstream { implicit, ..Upstream::of_addresses(&text, addresses, &it.at) })
            }
        });
        let groups = groups.collect();
        (groups, problems)
    }
}
