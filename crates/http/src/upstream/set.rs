//! The servers of a group at one moment: those that are chosen among, primary ones and backups, with what the method has
//! prepared for them.

use std::sync::Arc;

use md5::{Digest, Md5};

use super::balance::{self, Method, Ranges, Ring};
use super::peer::{Member, Peer, State};
use super::queue::Queue;
use super::spec::{Address, Balance, Server, Upstream};
use crate::zone::Memory;
use crate::zone::records::Records;

/// What a weight of 1 counts where weights come back little by little.
const FINE: u64 = 100;

/// An address that was found for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: Address,
    /// Of an SRV record: its weight, unless the configuration has one.
    pub weight: Option<u32>,
    /// Of an SRV record: there are others with a better priority.
    pub backup: bool,
    /// Of an SRV record: `HOST:PORT` that it names.
    pub server: Option<Box<str>>,
}

impl From<Address> for Found {
    fn from(address: Address) -> Found {
        Found { address, weight: None, backup: false, server: None }
    }
}

/// Those that are chosen among.
pub struct Set {
    pub method: Method,
    pub members: Vec<Arc<Member>>,
}

/// The servers at one moment.
pub struct Sets {
    pub primary: Set,
    pub backup: Set,
    /// There is one server only, whose failures do not count.
    pub single: bool,
    /// What a weight of 1 counts.
    pub unit: u64,
    /// Where requests wait for a server.
    pub queue: Option<Arc<Queue>>,
    /// There was no room in the zone.
    pub lacks_room: bool,
}

/// Where state is kept.
pub struct Shelf<'a> {
    memory: Option<&'a Arc<Memory>>,
    row: usize,
}

impl<'a> Shelf<'a> {
    /// Of a worker in this row.
    pub fn new(spec: &'a Upstream, row: usize) -> Shelf<'a> {
        let zone = spec.zone.as_ref();
        let memory = zone.and_then(|zone| zone.memory());
        if let (Some(zone), Some(memory)) = (zone, memory) {
            Records::new(memory.numbers()).lay_out(zone.records());
        }
        Shelf { memory, row }
    }

    /// The state of an address; the second: there was no room for it in the zone.
    fn state(&self, spec: &Upstream, server: usize, address: &str) -> (State, bool) {
        let Some(memory) = self.memory else { return (State::default(), false) };
        let key = format!("{}\0{server}\0{address}", spec.name);
        match State::shared(memory, key.as_bytes(), self.row) {
            Some(state) => (state, false),
            None => (State::default(), true),
        }
    }
}

impl Sets {
    /// `found` are the addresses of each server; those that are in `old` already keep their state.
    pub fn new(
        spec: &Upstream,
        found: &[Vec<Found>],
        old: Option<&Sets>,
        shelf: &Shelf<'_>,
        queue: Option<Arc<Queue>>,
    ) -> Sets {
        let (mut primary, mut backup) = (Vec::new(), Vec::new());
        let mut lacks_room = false;
        for (index, (server, found)) in spec.servers.iter().zip(found).enumerate() {
            for one in found {
                let list = if server.backup || one.backup { &mut backup } else { &mut primary };
                list.push(member(spec, index, server, one, old, shelf, &mut lacks_room));
            }
        }
        let single = primary.len() == 1 && backup.is_empty();
        let unit = if spec.servers.iter().any(|server| server.peer.slow_start > 0) { FINE } else { 1 };
        let primary = Set { method: method(&spec.balance, &primary), members: primary };
        // Methods that go by a key or chance have no backups of their own; what DNS says is one has its turn.
        let method = match &spec.balance {
            Balance::Least(load) => Method::Least(*load),
            _ => Method::RoundRobin,
        };
        Sets { primary, backup: Set { method, members: backup }, single, unit, queue, lacks_room }
    }

    pub fn set(&self, backup: bool) -> &Set {
        if backup { &self.backup } else { &self.primary }
    }

    pub fn group(&self, backup: bool) -> balance::Group<'_> {
        balance::Group { members: &self.set(backup).members, single: self.single, unit: self.unit }
    }

    /// All servers.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.primary.members.iter().chain(&self.backup.members)
    }
}

fn member(
    spec: &Upstream,
    index: usize,
    server: &Server,
    found: &Found,
    old: Option<&Sets>,
    shelf: &Shelf<'_>,
    lacks_room: &mut bool,
) -> Arc<Member> {
    let mut peer = server.peer.clone();
    if let Some(weight) = found.weight.filter(|_| !server.has_weight) {
        peer.weight = weight.max(1);
    }
    if let Some(name) = &found.server {
        peer.server = Arc::from(&**name);
    }
    let same = |member: &&Arc<Member>| member.server == index && member.address == found.address;
    let known = old.and_then(|sets| sets.members().find(same));
    if let Some(member) = known.filter(|member| member.peer == peer) {
        return member.clone();
    }
    let name: Arc<str> = found.address.to_string().into();
    let route = match (&spec.sticky, &*server.route) {
        (None, _) => "".into(),
        (Some(_), "") => digest(&name),
        (Some(_), route) => route.into(),
    };
    let (state, full) = shelf.state(spec, index, &name);
    *lacks_room |= full;
    Arc::new(Member { peer, address: found.address.clone(), name, server: index, route, state })
}

fn method(balance: &Balance, members: &[Arc<Member>]) -> Method {
    let peers = || members.iter().map(|member| -> &Peer { &member.peer });
    match balance {
        Balance::RoundRobin => Method::RoundRobin,
        Balance::Least(load) => Method::Least(*load),
        Balance::IpHash => Method::IpHash,
        Balance::Hash { consistent: false, .. } => Method::Hash,
        Balance::Hash { consistent: true, .. } => Method::Consistent(Ring::new(peers())),
        Balance::Random(None) => Method::Random(Ranges::new(peers())),
        Balance::Random(Some(load)) => Method::RandomTwo(Ranges::new(peers()), *load),
    }
}

/// What clients are bound to an address by.
fn digest(name: &str) -> Box<str> {
    Md5::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
