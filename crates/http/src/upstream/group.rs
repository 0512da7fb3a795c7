//! A group of servers at run time, one a worker: which server gets a request, and what comes of it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::balance::{Choice, Seen};
use super::peer::{Member, Now, Times};
use super::pool::Pool;
use super::queue::Queue;
use super::set::{Found, Sets, Shelf};
use super::spec::{Address, Balance, Upstream};
use crate::exchange;
use crate::sys;
use crate::variables::Scope;

pub struct Group {
    pub spec: Arc<Upstream>,
    /// Connections that have nothing to do.
    pub pool: Pool,
    row: usize,
    now: Mutex<Current>,
}

struct Current {
    sets: Arc<Sets>,
    /// The addresses of each server.
    found: Vec<Vec<Found>>,
}

/// One request's search for a server.
pub struct Search {
    sets: Arc<Sets>,
    choice: Choice,
    /// No primary server could be asked.
    in_backup: bool,
    /// None has been asked yet.
    fresh: bool,
    key: Vec<u8>,
    client: Option<IpAddr>,
    /// What the client is bound to its server by, as far as it says.
    bound: Option<Vec<u8>>,
    tries: usize,
}

impl Search {
    /// How many servers there are that may be asked in all, whatever state they are in: more attempts than that make no
    /// sense.
    pub fn tries(&self) -> usize {
        self.tries
    }

    /// What the client is bound to its server by, as far as it says.
    pub fn bound(&self) -> Option<&[u8]> {
        self.bound.as_deref()
    }
}

/// A server that a request is sent to. It counts as a connection of the server until it is released.
pub struct Chosen {
    pub member: Arc<Member>,
    sets: Arc<Sets>,
    begun: Now,
    released: bool,
}

impl Group {
    /// For the worker in this row.
    pub fn new(spec: Arc<Upstream>, row: usize) -> Arc<Group> {
        let queue = spec.queue.map(|spec| Arc::new(Queue::new(spec)));
        let of = |addresses: &Vec<Address>| addresses.iter().cloned().map(Found::from).collect();
        let found: Vec<Vec<Found>> = spec.servers.iter().map(|server| of(&server.addresses)).collect();
        let sets = Arc::new(Sets::new(&spec, &found, None, &Shelf::new(&spec, row), queue));
        Arc::new(Group { spec, pool: Pool::default(), row, now: Mutex::new(Current { sets, found }) })
    }

    /// Of a name that was looked up just now.
    pub fn of_addresses(name: &str, addresses: Vec<Address>) -> Arc<Group> {
        Group::new(Arc::new(Upstream::of_addresses(name, addresses, &conf::At::Default)), 0)
    }

    fn sets(&self) -> Arc<Sets> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).sets.clone()
    }

    /// Its servers at this moment.
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.sets().members().cloned().collect()
    }

    /// There was no room in the zone for some servers.
    pub fn lacks_room(&self) -> bool {
        self.sets().lacks_room
    }

    /// The addresses of a server are these from now on. What is known of those that it had already stays; requests that
    /// are looking for a server go on with those they have begun with.
    pub fn replace(&self, server: usize, addresses: Vec<Address>) {
        self.replace_found(server, addresses.into_iter().map(Found::from).collect());
    }

    /// The same, with what else SRV records tell.
    pub fn replace_found(&self, server: usize, mut new: Vec<Found>) {
        let mut seen = Vec::new();
        new.retain(|found| {
            let is_new = !seen.contains(&found.address);
            seen.push(found.address.clone());
            is_new
        });
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(old) = now.found.get_mut(server) else { return };
        // Those that stay keep their order.
        let place = |found: &Found| old.iter().position(|one| one.address == found.address).unwrap_or(old.len());
        new.sort_by_key(place);
        if *old == new {
            return;
        }
        *old = new;
        let shelf = Shelf::new(&self.spec, self.row);
        let queue = now.sets.queue.clone();
        now.sets = Arc::new(Sets::new(&self.spec, &now.found, Some(&now.sets), &shelf, queue));
        if let Some(queue) = &now.sets.queue {
            queue.wake();
        }
    }

    /// Begins a search for a request.
    pub fn search(self: &Arc<Self>, scope: &mut Scope<'_>) -> Search {
        let client = match scope.request.peer {
            exchange::Peer::Inet(address) => Some(address.ip()),
            exchange::Peer::Unix => None,
        };
        let mut key = Vec::new();
        if let Balance::Hash { key: template, .. } = &self.spec.balance {
            template.write(scope, &mut key);
        }
        let bound = self.spec.sticky.as_ref().and_then(|sticky| sticky.bound(scope));
        self.search_for(key, client, bound)
    }

    fn search_for(&self, key: Vec<u8>, client: Option<IpAddr>, bound: Option<Vec<u8>>) -> Search {
        let sets = self.sets();
        let seen = Seen { key: &key, client, now: Now::get(), random: &mut sys::random::number };
        let choice = Choice::new(&sets.primary.method, &seen);
        let tries = sets.members().filter(|member| !member.peer.down).count();
        Search { choice, in_backup: false, fresh: true, key, client, bound, tries, sets }
    }

    /// The next server to ask; `None`: "no live upstreams".
    pub fn next(&self, search: &mut Search) -> Option<Chosen> {
        if search.fresh && search.sets.queue.as_ref().is_some_and(|queue| !queue.is_empty()) {
            // Others were here before; see `wait`.
            return None;
        }
        find(search, Now::get())
    }

    /// Waits for a server, where `next` had none and the group has a `queue`. `None`: there is none, or it is full, or
    /// it takes too long.
    pub async fn wait(&self, search: &mut Search) -> Option<Chosen> {
        let queue = search.sets.queue.clone().filter(|_| search.fresh)?;
        let attempt = || {
            search.sets = self.sets();
            let choice = self.search_for(search.key.clone(), search.client, None).choice;
            (search.choice, search.in_backup) = (choice, false);
            find(search, Now::get())
        };
        queue.wait(attempt).await
    }

    /// The head of the answer is there, as the answer of `scope`: the value of a Set-Cookie field for the client.
    pub fn answered(&self, scope: &mut Scope<'_>, search: &Search, member: &Member) -> Option<Vec<u8>> {
        self.spec.sticky.as_ref()?.answered(scope, search.bound(), member)
    }

    /// The answer has come to its end.
    pub fn ended(&self, scope: &mut Scope<'_>, member: &Member) {
        if let Some(sticky) = &self.spec.sticky {
            sticky.ended(scope, member);
        }
    }
}

fn find(search: &mut Search, now: Now) -> Option<Chosen> {
    if search.fresh
        && let Some(chosen) = find_bound(search, now)
    {
        search.fresh = false;
        return Some(chosen);
    }
    loop {
        let sets = search.sets.clone();
        let set = sets.set(search.in_backup);
        let mut seen = Seen { key: &search.key, client: search.client, now, random: &mut sys::random::number };
        if let Some(index) = search.choice.next(&set.method, sets.group(search.in_backup), &mut seen) {
            search.fresh = false;
            return Some(Chosen::new(sets.set(search.in_backup).members[index].clone(), &sets, now));
        }
        if search.in_backup || sets.backup.members.is_empty() {
            return None;
        }
        search.in_backup = true;
        search.choice = Choice::new(&sets.backup.method, &seen);
    }
}

/// The server that the client is bound to, if it can be asked.
fn find_bound(search: &mut Search, now: Now) -> Option<Chosen> {
    let bound = search.bound.as_deref()?;
    let sets = search.sets.clone();
    for backup in [false, true] {
        let group = sets.group(backup);
        let mut apart = None;
        let choice = if backup {
            let seen = Seen { key: b"", client: None, now, random: &mut sys::random::number };
            apart.insert(Choice::new(&sets.backup.method, &seen))
        } else {
            &mut search.choice
        };
        for (index, member) in group.members.iter().enumerate() {
            if member.route.as_bytes() == bound && choice.take(group, index, now) {
                return Some(Chosen::new(member.clone(), &sets, now));
            }
        }
    }
    None
}

impl Chosen {
    fn new(member: Arc<Member>, sets: &Arc<Sets>, begun: Now) -> Chosen {
        Chosen { member, sets: sets.clone(), begun, released: false }
    }

    /// The request is over. `failed`: as `proxy_next_upstream` counts. `true`: with this failure the server becomes
    /// unavailable.
    pub fn release(mut self, failed: bool, times: Times) -> bool {
        self.member.state.took(times);
        self.end(failed, Now::get())
    }

    fn end(&mut self, failed: bool, now: Now) -> bool {
        self.released = true;
        let (member, sets) = (&self.member, &self.sets);
        let gone = member.state.release(&member.peer, failed, sets.single, sets.unit, self.begun, now);
        if let Some(queue) = &sets.queue {
            queue.wake();
        }
        gone
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        if !self.released {
            self.end(false, Now::get());
        }
    }
}

#[cfg(test)]
mod tests;
