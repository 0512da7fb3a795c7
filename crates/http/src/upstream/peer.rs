//! One server of a group: what the configuration says of it, and how it is doing.
//!
//! The state is atomics only, so that it may stand in memory that all workers share (`zone`): a worker that is killed
//! leaves nothing locked. Two workers that choose at the same instant may see each other's steps half done, which makes
//! the weights a little uneven and nothing else.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What the configuration says of a server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As the `server` directive names it: `backend.example.com:8080`. Consistent hashing counts on it.
    pub server: Box<str>,
    /// >= 1
    pub weight: u32,
    /// Most connections at a time; 0 = no limit.
    pub max_conns: u32,
    /// So many failures within `fail_timeout` make it unavailable for as long; 0 = never.
    pub max_fails: u32,
    /// In seconds.
    pub fail_timeout: u64,
    /// Not to be asked at all.
    pub down: bool,
}

impl Peer {
    /// With nginx's defaults.
    pub fn new(server: &str) -> Peer {
        Peer { server: server.into(), weight: 1, max_conns: 0, max_fails: 1, fail_timeout: 10, down: false }
    }
}

/// How a server is doing. Plain memory: all zero is what it begins with, but for `effective_weight`, see `begin`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct State {
    current_weight: AtomicI64,
    effective_weight: AtomicI64,
    /// Requests that it has now.
    conns: AtomicU32,
    fails: AtomicU32,
    /// When it failed last, in seconds of the group's clock.
    accessed: AtomicU64,
    /// When it failed last or was tried again, in seconds.
    checked: AtomicU64,
}

impl State {
    /// Of a server that nothing is known of yet.
    pub fn begin(&self, peer: &Peer) {
        self.effective_weight.store(i64::from(peer.weight), Relaxed);
    }

    /// Requests that it has now.
    pub fn conns(&self) -> u32 {
        self.conns.load(Relaxed)
    }

    /// Failures that count.
    pub fn fails(&self) -> u32 {
        self.fails.load(Relaxed)
    }

    /// Whether it may get a request at `now`, in seconds.
    pub fn is_usable(&self, peer: &Peer, now: u64) -> bool {
        !peer.down && !self.is_failing(peer, now) && (peer.max_conns == 0 || self.conns() < peer.max_conns)
    }

    /// Whether it has failed so often that it is left in peace.
    pub fn is_failing(&self, peer: &Peer, now: u64) -> bool {
        peer.max_fails > 0
            && self.fails() >= peer.max_fails
            && now.saturating_sub(self.checked.load(Relaxed)) <= peer.fail_timeout
    }

    /// A step of smooth weighted round robin: it gains its weight. The new current weight and what it gained.
    pub(super) fn gain(&self, peer: &Peer) -> (i64, i64) {
        let effective = self.effective_weight.load(Relaxed);
        let current = self.current_weight.load(Relaxed) + effective;
        self.current_weight.store(current, Relaxed);
        if effective < i64::from(peer.weight) {
            self.effective_weight.store(effective + 1, Relaxed);
        }
        (current, effective)
    }

    /// The end of the step for the one that was chosen: it pays what all have gained.
    pub(super) fn pay(&self, total: i64) {
        self.current_weight.fetch_sub(total, Relaxed);
    }

    /// It gets a request.
    pub(super) fn take(&self, peer: &Peer, now: u64) {
        self.conns.fetch_add(1, Relaxed);
        if now.saturating_sub(self.checked.load(Relaxed)) > peer.fail_timeout {
            self.checked.store(now, Relaxed);
        }
    }

    /// Its request is over. `failed`: as `proxy_next_upstream` counts. `single`: it is the only one, which is never
    /// left in peace. `true`: with this failure it becomes unavailable.
    pub fn release(&self, peer: &Peer, failed: bool, single: bool, now: u64) -> bool {
        let _ = self.conns.fetch_update(Relaxed, Relaxed, |conns| conns.checked_sub(1));
        if single {
            self.fails.store(0, Relaxed);
            return false;
        }
        if !failed {
            if self.accessed.load(Relaxed) < self.checked.load(Relaxed) {
                self.fails.store(0, Relaxed);
            }
            return false;
        }
        let fails = self.fails.fetch_add(1, Relaxed) + 1;
        self.accessed.store(now, Relaxed);
        self.checked.store(now, Relaxed);
        if peer.max_fails == 0 {
            return false;
        }
        let less = i64::from(peer.weight) / i64::from(peer.max_fails);
        let effective = self.effective_weight.load(Relaxed) - less;
        self.effective_weight.store(effective.max(0), Relaxed);
        fails >= peer.max_fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_failed_is_tried_once_after_its_time() {
        let (peer, state) = (Peer::new("a"), State::default());
        state.begin(&peer);
        state.take(&peer, 100);
        assert!(state.release(&peer, true, false, 100));
        assert!(!state.is_usable(&peer, 105) && !state.is_usable(&peer, 110));
        assert!(state.is_usable(&peer, 111));
        state.take(&peer, 111);
        assert!(!state.is_usable(&peer, 112), "one trial in a window");
        assert!(!state.release(&peer, false, false, 112));
        assert!(state.is_usable(&peer, 112) && state.fails() == 0 && state.conns() == 0);
    }

    #[test]
    fn an_answer_to_an_older_request_does_not_excuse_a_newer_failure() {
        let (peer, state) = (Peer::new("a"), State::default());
        state.begin(&peer);
        state.take(&peer, 100);
        state.take(&peer, 100);
        state.release(&peer, true, false, 101);
        state.release(&peer, false, false, 102);
        assert!(!state.is_usable(&peer, 103));
    }

    #[test]
    fn the_only_server_is_never_left_in_peace() {
        let (peer, state) = (Peer::new("a"), State::default());
        for now in 0..5 {
            state.take(&peer, now);
            assert!(!state.release(&peer, true, true, now));
            assert!(state.is_usable(&peer, now));
        }
    }

    #[test]
    fn max_conns_holds() {
        let peer = Peer { max_conns: 2, ..Peer::new("a") };
        let state = State::default();
        state.take(&peer, 0);
        assert!(state.is_usable(&peer, 0));
        state.take(&peer, 0);
        assert!(!state.is_usable(&peer, 0));
    }
}
