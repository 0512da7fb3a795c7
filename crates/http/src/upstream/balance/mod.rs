//! Which server of a group gets a request: nginx's methods, choice for choice, so that clients and caches that were
//! pinned to a server stay with it.
//!
//! All of it is computation over `Peer`s and their `State`s; time and chance come from the caller. A `Choice` is one
//! request's search: what it has tried, and where a hash has got to.

mod consistent;
mod hash;
mod ip_hash;
mod least;
mod random;
mod round_robin;

use std::net::IpAddr;
use std::sync::Arc;

pub use consistent::Ring;
pub use least::Load;
pub use random::Ranges;

use super::peer::{Member, Now, Peer, State};

/// How often a hash is taken on before round robin decides.
const MOST_TRIES: u32 = 20;

/// A method, with what it has prepared for its group.
pub enum Method {
    RoundRobin,
    /// The server with the least load for its weight.
    Least(Load),
    IpHash,
    Hash,
    Consistent(Ring),
    Random(Ranges),
    /// Of two that chance chooses, the one with less load.
    RandomTwo(Ranges, Load),
}

/// The servers of a group that a method chooses among: the primary ones, or the backups.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    pub members: &'a [Arc<Member>],
    /// There is one server only, whose failures do not count.
    pub single: bool,
    /// What a weight of 1 counts: more than 1 where weights change little by little.
    pub unit: u64,
}

impl<'a> Group<'a> {
    fn peer(&self, index: usize) -> &'a Peer {
        &self.members[index].peer
    }

    fn state(&self, index: usize) -> &'a State {
        &self.members[index].state
    }

    fn peers(&self) -> impl Iterator<Item = &'a Peer> {
        self.members.iter().map(|member| &member.peer)
    }

    fn total_weight(&self) -> u64 {
        self.peers().map(|peer| u64::from(peer.weight)).sum()
    }

    /// Whether a request that has not tried it may go there.
    fn is_free(&self, index: usize, tried: &Tried, now: Now) -> bool {
        let peer = self.peer(index);
        !tried.has(index) && !peer.drain && self.state(index).is_usable(peer, now)
    }

    /// The server whose share of the weights holds `at` (< total weight).
    fn at_weight(&self, mut at: u64) -> usize {
        for (index, peer) in self.peers().enumerate() {
            match at.checked_sub(u64::from(peer.weight)) {
                None => return index,
                Some(rest) => at = rest,
            }
        }
        self.members.len().saturating_sub(1)
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
    pub now: Now,
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
        group.state(index).take(group.peer(index), seen.now);
        Some(index)
    }

    /// The same for a server that the client is bound to. `false`: it cannot be asked.
    pub fn take(&mut self, group: Group<'_>, index: usize, now: Now) -> bool {
        let (peer, state) = (group.peer(index), group.state(index));
        let may = if group.single { state.is_there(peer) } else { state.is_usable(peer, now) };
        if !may || self.tried.has(index) {
            return false;
        }
        self.tried.add(index);
        state.take(peer, now);
        true
    }

    fn find(&mut self, method: &Method, group: Group<'_>, seen: &mut Seen<'_>) -> Option<usize> {
        if let ([only], true) = (group.members, group.single) {
            // Its failures are not looked at, nor whether it was tried: there is no other.
            return (!only.peer.drain && only.state.is_there(&only.peer)).then_some(0);
        }
        if group.members.is_empty() {
            return None;
        }
        let found = match method {
            Method::RoundRobin => None,
            Method::Least(load) => return least::find(group, *load, &self.tried, seen.now),
            Method::IpHash => ip_hash::find(self, group, seen),
            Method::Hash => hash::find(self, group, seen),
            Method::Consistent(ring) => consistent::find(self, ring, group, seen),
            Method::Random(ranges) => random::find(self, ranges, group, seen),
            Method::RandomTwo(ranges, load) => random::find_two(self, ranges, *load, group, seen),
        };
        found.or_else(|| round_robin::find(group, &self.tried, seen.now))
    }
}

#[cfg(test)]
mod tests;
