//! Which server of a group gets a request: nginx's methods, choice for choice, so that clients and caches that were
//! pinned to a server stay with it.
//!
//! All of it is computation over `Peer`s and their `State`s; time and chance come from the caller. A `Choice` is one
//! request's search: what it has tried, and where a hash has got to.

mod consistent;
mod hash;
mod ip_hash;
mod least_conn;
mod random;
mod round_robin;

use std::net::IpAddr;

pub use consistent::Ring;
pub use random::Ranges;

use super::peer::{Peer, State};

/// How often a hash is taken on before round robin decides.
const MOST_TRIES: u32 = 20;

/// A method, with what it has prepared for its group.
pub enum Method {
    RoundRobin,
    LeastConn,
    IpHash,
    Hash,
    Consistent(Ring),
    Random(Ranges),
    /// Of two that chance chooses, the one with fewer connections.
    RandomTwo(Ranges),
}

/// The servers of a group that a method chooses among: the primary ones, or the backups.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    pub peers: &'a [Peer],
    /// As many.
    pub states: &'a [State],
}

impl Group<'_> {
    /// Whether there is one server only, whose failures do not count.
    pub fn is_single(&self) -> bool {
        self.peers.len() == 1
    }

    fn total_weight(&self) -> u64 {
        self.peers.iter().map(|peer| u64::from(peer.weight)).sum()
    }

    /// Whether a request that has not tried it may go there.
    fn is_free(&self, index: usize, tried: &Tried, now: u64) -> bool {
        !tried.has(index) && self.states[index].is_usable(&self.peers[index], now)
    }

    /// The server whose share of the weights holds `at` (< total weight).
    fn at_weight(&self, mut at: u64) -> usize {
        for (index, peer) in self.peers.iter().enumerate() {
            match at.checked_sub(u64::from(peer.weight)) {
                None => return index,
                Some(rest) => at = rest,
            }
        }
        self.peers.len().saturating_sub(1)
    }
}

/// Which servers a request has been sent to already.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    first: u64,
    more: Vec<u64>,
}

impl Tried {
    pub fn has(&self, index: usize) -> bool {
        let word = if index < 64 { Some(&self.first) } else { self.more.get(index / 64 - 1) };
        word.is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    pub fn add(&mut self, index: usize) {
        if index < 64 {
            self.first |= 1 << index;
            return;
        }
        let at = index / 64 - 1;
        if self.more.len() <= at {
            self.more.resize(at + 1, 0);
        }
        self.more[at] |= 1 << (index % 64);
    }
}

/// One request's search for a server.
pub struct Choice {
    pub tried: Tried,
    /// Where the hash is, and how often it was taken on.
    hash: u64,
    rehash: u32,
    tries: u32,
}

/// What a method may go by.
pub struct Seen<'a> {
    /// The value of the `hash` key.
    pub key: &'a [u8],
    pub client: Option<IpAddr>,
    /// In seconds.
    pub now: u64,
    /// A new random number at each call.
    pub random: &'a mut dyn FnMut() -> u64,
}

impl Choice {
    pub fn new(method: &Method, seen: &Seen<'_>) -> Choice {
        let hash = match method {
            Method::IpHash => ip_hash::SEED,
            Method::Consistent(ring) => ring.find(seen.key),
            _ => 0,
        };
        Choice { tried: Tried::default(), hash, rehash: 0, tries: 0 }
    }

    /// The next server for the request, which from now on counts as having it; `None`: none of the group can be asked.
    pub fn next(&mut self, method: &Method, group: Group<'_>, seen: &mut Seen<'_>) -> Option<usize> {
        let index = self.find(method, group, seen)?;
        self.tried.add(index);
        group.states[index].take(&group.peers[index], seen.now);
        Some(index)
    }

    fn find(&mut self, method: &Method, group: Group<'_>, seen: &mut Seen<'_>) -> Option<usize> {
        if group.is_single() {
            // Its failures are not looked at, nor whether it was tried: there is no other.
            let (peer, state) = (&group.peers[0], &group.states[0]);
            let full = peer.max_conns > 0 && state.conns() >= peer.max_conns;
            return (!peer.down && !full).then_some(0);
        }
        if group.peers.is_empty() {
            return None;
        }
        let found = match method {
            Method::RoundRobin => None,
            Method::LeastConn => return least_conn::find(group, &self.tried, seen.now),
            Method::IpHash => ip_hash::find(self, group, seen),
            Method::Hash => hash::find(self, group, seen),
            Method::Consistent(ring) => consistent::find(self, ring, group, seen),
            Method::Random(ranges) => random::find(self, ranges, group, seen),
            Method::RandomTwo(ranges) => random::find_two(self, ranges, group, seen),
        };
        found.or_else(|| round_robin::find(group, &self.tried, seen.now))
    }
}

#[cfg(test)]
mod tests;
