//! Servers: what they listen at, and their names.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use conf::{At, Diagnostic, Directive};

use super::build::{Block, Maker};
use super::listen::{self, Address, Listen};
use super::location::{Entries, Handler};
use super::locations::Level;
use super::names::{Names, ServerName};
use super::settings::ServerSettings;
use crate::exchange::route::Route;
use crate::features::forwarded::Forwarded;
use crate::regex::Captures;

/// A virtual server.
pub struct Server {
    /// Its first name; empty for none.
    pub name: Box<str>,
    /// It is one that a client could ask for: applications are told it.
    usual_name: bool,
    pub settings: Arc<ServerSettings>,
    /// Whose word is taken for who the client is.
    pub forwarded: Option<Forwarded>,
    /// What holds outside of its locations.
    pub location: u32,
    pub level: Level<u32>,
    pub named: HashMap<Box<[u8]>, u32>,
    /// The location of every request, where there is only `/` with an application and nothing else to decide.
    pub only: Option<u32>,
    /// What handshakes for it are done with.
    pub tls: Option<Arc<crate::tls::Server>>,
    pub at: At,
}

impl Server {
    /// The name that applications are told; `None`: it has none, or one that is no host's.
    pub fn told_name(&self) -> Option<&str> {
        self.usual_name.then_some(&*self.name)
    }
}

/// Whether a name is one that a client could ask for.
fn is_usual(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

/// A socket, and the servers behind it.
pub struct Listener {
    pub listen: Listen,
    pub default_server: u32,
    /// All of them.
    pub servers: Vec<u32>,
    /// `None`: there is only one server.
    names: Option<Names<u32>>,
    /// Listeners with addresses of their own that this one, which has them all, takes connections for.
    pub specific: Vec<(SocketAddr, usize)>,
    /// Its servers do not all read heads with the same limits.
    pub limits_differ: bool,
    /// Another listener's socket takes its connections.
    pub covered: bool,
}

impl Listener {
    /// The server for a host: lower case, without port and last dot.
    pub fn find(&self, host: &[u8], route: &mut Route) -> u32 {
        let Some(names) = &self.names else { return self.default_server };
        names.find(host, &mut route.captures).map_or(self.default_server, |found| found.value)
    }

    /// The server that has this name, if one has.
    pub fn named(&self, name: &[u8], route: &mut Route) -> Option<u32> {
        self.names.as_ref()?.find(name, &mut route.captures).map(|found| found.value)
    }

    /// Whether one of its servers has that name.
    pub fn has(&self, host: &[u8]) -> bool {
        let find = |names: &Names<u32>| names.find(host, &mut Captures::default()).is_some();
        self.names.as_ref().is_some_and(find)
    }

    /// Whether there is a choice.
    pub fn has_names(&self) -> bool {
        self.names.is_some()
    }
}

/// What a server has of its own while it is built.
#[derive(Default)]
pub struct Content {
    pub listens: Vec<(listen::Parsed, At)>,
    pub names: Vec<(ServerName, At)>,
}

/// All listeners while servers are read.
#[derive(Default)]
pub struct Listens {
    list: Vec<Pending>,
    /// Of each server, in their order.
    names: Vec<Vec<(ServerName, At)>>,
}

struct Pending {
    listen: Listen,
    /// Who set options of the socket.
    options_set: bool,
    default_server: Option<u32>,
    servers: Vec<u32>,
}

/// Checks what a server says of itself once all is read.
pub fn open(make: &mut Maker, it: &Directive, block: &mut Block) {
    if block.own.server.listens.is_empty() {
        // As nginx: 80 for root, 8000 for others.
        let port = if crate::sys::is_root() { "80" } else { "8000" };
        let word = conf::Word::new(port, it.name.at.clone());
        if let Ok(parsed) = listen::parse(&[word]) {
            block.own.server.listens.push((parsed, it.name.at.clone()));
        }
    }
    let index = make.servers.len() as u32;
    for (parsed, at) in std::mem::take(&mut block.own.server.listens) {
        if let Err(message) = make.listens.add(&parsed, &at, index) {
            make.problems.push(Diagnostic::new(at, message));
        }
    }
    // The place is taken now: locations refer to it by number.
    make.servers.push(Server {
        name: Box::default(),
        usual_name: false,
        settings: block.server.clone(),
        forwarded: None,
        location: 0,
        level: Level::default(),
        named: HashMap::new(),
        only: None,
        tls: None,
        at: it.name.at.clone(),
    });
    let names = std::mem::take(&mut block.own.server.names);
    if let Some((first, _)) = names.first() {
        let text = first.text();
        let server = &mut make.servers[index as usize];
        server.name =
            if first.regex().is_some() { format!("~{text}").into() } else { text.trim_start_matches('.').into() };
        server.usual_name = is_usual(&server.name);
    }
    make.listens.names.push(names);
}

/// Finishes a server.
pub fn close(make: &mut Maker, it: &Directive, block: Block, location: u32, mut level: Entries) {
    let index = make.locations[location as usize].server as usize;
    let named = std::mem::take(&mut level.named);
    let level = level.level(make);
    let own = &make.locations[location as usize];
    let only = level.only().filter(|(name, only)| {
        let location = &make.locations[*only as usize];
        *name == b"/" && matches!(location.handler, Handler::App(_)) && own.plain && location.plain
    });
    let forwarded = Forwarded::new(&block.server).unwrap_or_else(|message| {
        let own = it.block.iter().flatten().rfind(|directive| directive.name.text == "forwarded_allow_ips");
        make.problems.push(Diagnostic::of(own.unwrap_or(it), message));
        None
    });
    let server = &mut make.servers[index];
    server.forwarded = forwarded;
    server.settings = block.server;
    server.location = location;
    server.named = named;
    server.only = only.map(|(_, only)| only);
    server.level = level;
}

impl Listens {
    /// The names of a server.
    pub fn names_of(&self, server: usize) -> impl Iterator<Item = &ServerName> {
        self.names.get(server).into_iter().flatten().map(|(name, _)| name)
    }

    fn add(&mut self, parsed: &listen::Parsed, at: &At, server: u32) -> Result<(), String> {
        for address in &parsed.addresses {
            let found = self.list.iter_mut().find(|pending| pending.listen.address == *address);
            let Some(pending) = found else {
                let listen = Listen {
                    address: address.clone(),
                    options: parsed.options.clone(),
                    text: address.to_string(),
                    at: at.clone(),
                };
                self.list.push(Pending {
                    listen,
                    options_set: !parsed.set.is_empty(),
                    default_server: parsed.default_server.then_some(server),
                    servers: vec![server],
                });
                continue;
            };
            if pending.servers.last() == Some(&server) {
                return Err(format!("a duplicate listen {address}"));
            }
            if !parsed.set.is_empty() {
                if pending.options_set {
                    return Err(format!("duplicate listen options for {address}"));
                }
                let (ssl, proxy, http2) = {
                    let old = &pending.listen.options;
                    (old.ssl, old.proxy_protocol, old.http2)
                };
                pending.listen.options = parsed.options.clone();
                pending.options_set = true;
                let options = &mut pending.listen.options;
                options.ssl |= ssl;
                options.proxy_protocol |= proxy;
                options.http2 |= http2;
            }
            pending.listen.options.ssl |= parsed.options.ssl;
            pending.listen.options.proxy_protocol |= parsed.options.proxy_protocol;
            pending.listen.options.http2 |= parsed.options.http2;
            if parsed.default_server && pending.default_server.replace(server).is_some() {
                return Err(format!("a duplicate default server for {address}"));
            }
            pending.servers.push(server);
        }
        Ok(())
    }

    /// The finished listeners.
    pub fn finish(self, make: &mut Maker) -> Vec<Listener> {
        let mut all = Vec::new();
        let unnamed = ServerName::parse("", "").ok();
        for pending in self.list {
            let default_server = pending.default_server.or(pending.servers.first().copied()).unwrap_or(0);
            let mut entries = Vec::new();
            for &server in &pending.servers {
                let names = self.names.get(server as usize).map(Vec::as_slice).unwrap_or_default();
                entries.extend(names.iter().map(|(name, _)| (name, server)));
                if names.is_empty() {
                    entries.extend(unnamed.as_ref().map(|name| (name, server)));
                }
            }
            let choice = pending.servers.len() > 1 || entries.iter().any(|(name, _)| name.regex().is_some());
            // As in nginx, nobody looks at names where they decide nothing.
            let names = choice.then(|| Names::build(entries, &pending.listen.text));
            let names = match names {
                None => None,
                Some(Ok((names, warnings))) => {
                    make.warnings.extend(warnings.into_iter().map(|text| Diagnostic::new(At::Default, text).warn()));
                    Some(names)
                }
                Some(Err(why)) => {
                    make.problems.push(Diagnostic::new(pending.listen.at.clone(), why));
                    None
                }
            };
            let limits = |server: u32| make.servers[server as usize].settings.limits;
            let limits_differ = pending.servers.iter().any(|&server| limits(server) != limits(default_server));
            all.push(Listener {
                listen: pending.listen,
                default_server,
                servers: pending.servers,
                names,
                specific: Vec::new(),
                limits_differ,
                covered: false,
            });
        }
        cover(&mut all);
        all
    }
}

/// A listener at all addresses takes the connections of those with one address and the same port.
fn cover(all: &mut [Listener]) {
    for index in 0..all.len() {
        let Address::Inet(address) = all[index].listen.address else { continue };
        if address.ip().is_unspecified() || all[index].listen.options.bind {
            continue;
        }
        let wildcard = all.iter().position(|other| match other.listen.address {
            Address::Inet(all) => {
                all.ip().is_unspecified() && all.port() == address.port() && all.is_ipv4() == address.is_ipv4()
            }
            Address::Unix(_) => false,
        });
        if let Some(wildcard) = wildcard {
            all[wildcard].specific.push((address, index));
            all[index].covered = true;
        }
    }
}

/// The form in which addresses of connections are compared: IPv4 within IPv6 as IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), address.port()),
            None => address,
        },
        IpAddr::V4(_) => address,
    }
}
