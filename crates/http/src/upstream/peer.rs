//! One server of a group: what the configuration says of it, where it listens, and how it is doing.
//!
//! The state is atomics only, in memory of the worker's own or in memory that all workers share (`zone`): a worker that
//! is killed leaves nothing locked, and the connections that it had are taken back. Two workers that choose at the same
//! instant may see each other's steps half done, which makes the weights a little uneven and nothing else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::spec::Address;
use crate::sys;
use crate::zone::Memory;
use crate::zone::records::{RECORD, Records, SUMS, Share};

/// What the configuration says of a server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As the `server` directive names it: `backend.example.com:8080`. Consistent hashing counts on it.
    pub server: Arc<str>,
    /// >= 1
    pub weight: u32,
    /// Most connections at a time; 0 = no limit.
    pub max_conns: u32,
    /// So many failures within `fail_timeout` make it unavailable for as long; 0 = never.
    pub max_fails: u32,
    /// In seconds.
    pub fail_timeout: u64,
    /// In what time its weight comes back once it can be asked again, in ms; 0 = at once.
    pub slow_start: u64,
    /// Not to be asked at all.
    pub down: bool,
    /// Only for the requests of those that are bound to it.
    pub drain: bool,
}

impl Peer {
    /// With nginx's defaults.
    pub fn new(server: &str) -> Peer {
        Peer {
            server: server.into(),
            weight: 1,
            max_conns: 0,
            max_fails: 1,
            fail_timeout: 10,
            slow_start: 0,
            down: false,
            drain: false,
        }
    }
}

/// A moment of the group's clock, which is the same in all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// In ms.
    pub ms: u64,
}

impl Now {
    pub fn get() -> Now {
        Now { ms: sys::time::coarse_monotonic_ms() }
    }

    pub fn of_seconds(seconds: u64) -> Now {
        Now { ms: seconds * 1000 }
    }

    pub fn seconds(self) -> u64 {
        self.ms / 1000
    }
}

/// One address of a server.
#[derive(Debug)]
pub struct Member {
    pub peer: Peer,
    pub address: Address,
    /// The address as text.
    pub name: Arc<str>,
    /// Which `server` of the group it belongs to.
    pub server: usize,
    /// What clients are bound to it by; empty where none are.
    pub route: Box<str>,
    pub state: State,
}

/// What is found out by asking a server, without a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Health {
    /// It is not asked, or was not yet and may get requests.
    Unknown,
    Good,
    Bad,
    /// It gets no requests before it has been asked.
    Awaited,
}

/// How long a server took, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Until the head of the answer was there.
    pub header: Option<u64>,
    /// Until its end.
    pub total: Option<u64>,
}

/// What the numbers of a state are. All zero is what a server begins with.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Word {
    /// Requests that it has now.
    Conns = SUMS[0],
    /// When those began, added up, in ms.
    Begun = SUMS[1],
    /// Signed.
    CurrentWeight,
    /// What failures have taken from its weight.
    Loss,
    Fails,
    /// When it failed last, in seconds.
    Accessed,
    /// When it failed last or was tried again, in seconds.
    Checked,
    /// Moving averages, in µs; 0 = unknown.
    HeaderTime,
    TotalTime,
    /// When its weight began to come back, in ms; 0 = it is not coming back.
    SlowStart,
    /// A [`Health`].
    Health,
    /// For who asks for the health.
    Notes,
}

/// Numbers that who asks for the health may keep.
const NOTES: usize = RECORD - Word::Notes as usize;

/// How a server is doing.
pub struct State(Place);

enum Place {
    Own(Box<[AtomicU64; RECORD]>),
    Shared { memory: Arc<Memory>, share: Share },
}

impl Default for State {
    fn default() -> State {
        State(Place::Own(Box::new([const { AtomicU64::new(0) }; RECORD])))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} requests, {} failures)", self.conns(), self.fails())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Place::Shared { memory, share } = &self.0 {
            Records::new(memory.numbers()).close(*share);
        }
    }
}

impl State {
    /// In memory that workers share, of the server that `key` is for; the worker is the one in this row. `None`: there
    /// is no room.
    pub fn shared(memory: &Arc<Memory>, key: &[u8], row: usize) -> Option<State> {
        let share = Records::new(memory.numbers()).open(memory.secret.hash(key), row)?;
        Some(State(Place::Shared { memory: memory.clone(), share }))
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        match &self.0 {
            Place::Own(numbers) => &numbers[index],
            Place::Shared { memory, share } => &memory.numbers()[share.record + index],
        }
    }

    fn get(&self, word: Word) -> u64 {
        self.at(word as usize).load(Relaxed)
    }

    fn set(&self, word: Word, value: u64) {
        self.at(word as usize).store(value, Relaxed);
    }

    /// Requests that it has now.
    pub fn conns(&self) -> u64 {
        self.get(Word::Conns)
    }

    /// Failures that count.
    pub fn fails(&self) -> u32 {
        u32::try_from(self.get(Word::Fails)).unwrap_or(u32::MAX)
    }

    /// A number (< 4) that who asks for the health keeps; 0 in the beginning.
    pub fn note(&self, index: usize) -> &AtomicU64 {
        self.at(Word::Notes as usize + index.min(NOTES - 1))
    }

    pub fn health(&self) -> Health {
        match self.get(Word::Health) {
            0 => Health::Unknown,
            1 => Health::Good,
            2 => Health::Bad,
            _ => Health::Awaited,
        }
    }

    /// Says what was found out. A server that becomes good again begins slowly, if it is to.
    pub fn set_health(&self, peer: &Peer, health: Health, now: Now) {
        let before = self.health();
        self.set(Word::Health, health as u64);
        if before == Health::Bad && health == Health::Good {
            self.come_back(peer, now);
        }
    }

    fn come_back(&self, peer: &Peer, now: Now) {
        if peer.slow_start > 0 {
            self.set(Word::SlowStart, now.ms.max(1));
        }
    }

    /// Whether it may get a request.
    pub fn is_usable(&self, peer: &Peer, now: Now) -> bool {
        self.is_there(peer) && !self.is_failing(peer, now)
    }

    /// The same, whatever failures there were.
    pub fn is_there(&self, peer: &Peer) -> bool {
        let full = peer.max_conns > 0 && self.conns() >= u64::from(peer.max_conns);
        !peer.down && !full && matches!(self.health(), Health::Unknown | Health::Good)
    }

    /// Whether it has failed so often that it is left in peace.
    pub fn is_failing(&self, peer: &Peer, now: Now) -> bool {
        peer.max_fails > 0
            && self.fails() >= peer.max_fails
            && now.seconds().saturating_sub(self.get(Word::Checked)) <= peer.fail_timeout
    }

    /// Its weight in `unit`s while it comes back.
    pub fn weight(&self, peer: &Peer, unit: u64, now: Now) -> u64 {
        let weight = u64::from(peer.weight) * unit;
        let since = self.get(Word::SlowStart);
        if peer.slow_start == 0 || since == 0 {
            return weight;
        }
        let elapsed = now.ms.saturating_sub(since);
        if elapsed >= peer.slow_start {
            self.set(Word::SlowStart, 0);
            return weight;
        }
        (u128::from(weight) * u128::from(elapsed) / u128::from(peer.slow_start)).max(1) as u64
    }

    /// A step of smooth weighted round robin: it gains its weight. The new current weight and what it gained.
    pub(super) fn gain(&self, peer: &Peer, unit: u64, now: Now) -> (i64, i64) {
        let loss = self.get(Word::Loss);
        let gained = self.weight(peer, unit, now).saturating_sub(loss) as i64;
        let current = self.at(Word::CurrentWeight as usize).fetch_add(gained as u64, Relaxed) as i64 + gained;
        if loss > 0 {
            self.set(Word::Loss, loss.saturating_sub(unit));
        }
        (current, gained)
    }

    /// The end of the step for the one that was chosen: it pays what all have gained.
    pub(super) fn pay(&self, total: i64) {
        self.at(Word::CurrentWeight as usize).fetch_sub(total as u64, Relaxed);
    }

    /// It gets a request.
    pub(super) fn take(&self, peer: &Peer, now: Now) {
        match &self.0 {
            Place::Own(numbers) => {
                numbers[Word::Conns as usize].fetch_add(1, Relaxed);
                numbers[Word::Begun as usize].fetch_add(now.ms, Relaxed);
            }
            Place::Shared { memory, share } => {
                let records = Records::new(memory.numbers());
                records.add(*share, 0, 1);
                records.add(*share, 1, now.ms);
            }
        }
        if now.seconds().saturating_sub(self.get(Word::Checked)) > peer.fail_timeout {
            self.set(Word::Checked, now.seconds());
        }
    }

    /// A request that began at `begun` is not there any more.
    fn give_back(&self, begun: Now) {
        match &self.0 {
            Place::Own(numbers) => {
                for (word, by) in [(Word::Conns, 1), (Word::Begun, begun.ms)] {
                    let less = |number: u64| Some(number.saturating_sub(by));
                    let _ = numbers[word as usize].fetch_update(Relaxed, Relaxed, less);
                }
            }
            Place::Shared { memory, share } => {
                let records = Records::new(memory.numbers());
                records.take(*share, 0, 1);
                records.take(*share, 1, begun.ms);
            }
        }
    }

    /// Its request, which began at `begun`, is over. `failed`: as `proxy_next_upstream` counts. `single`: it is the only
    /// one, which is never left in peace. `true`: with this failure it becomes unavailable.
    pub fn release(&self, peer: &Peer, failed: bool, single: bool, unit: u64, begun: Now, now: Now) -> bool {
        self.give_back(begun);
        if single {
            self.set(Word::Fails, 0);
            return false;
        }
        if !failed {
            if self.get(Word::Accessed) < self.get(Word::Checked) {
                if peer.max_fails > 0 && self.fails() >= peer.max_fails {
                    self.come_back(peer, now);
                }
                self.set(Word::Fails, 0);
            }
            return false;
        }
        let fails = self.at(Word::Fails as usize).fetch_add(1, Relaxed) + 1;
        self.set(Word::Accessed, now.seconds());
        self.set(Word::Checked, now.seconds());
        if peer.max_fails == 0 {
            return false;
        }
        let less = u64::from(peer.weight / peer.max_fails) * unit;
        let most = u64::from(peer.weight) * unit;
        self.set(Word::Loss, (self.get(Word::Loss) + less).min(most));
        fails >= u64::from(peer.max_fails)
    }

    /// An answer took so long.
    pub fn took(&self, times: Times) {
        for (word, time) in [(Word::HeaderTime, times.header), (Word::TotalTime, times.total)] {
            let Some(time) = time else { continue };
            let (time, before) = (time.saturating_mul(1000), self.get(word));
            let average = if before == 0 { time } else { before - before / 8 + time / 8 };
            self.set(word, average.max(1));
        }
    }

    /// The average time of an answer, in µs; 0 = unknown. `whole`: to its end. `inflight`: what is in progress counts, if
    /// it takes longer already.
    pub fn average(&self, whole: bool, inflight: bool, now: Now) -> u64 {
        let average = self.get(if whole { Word::TotalTime } else { Word::HeaderTime });
        let conns = self.conns();
        if !inflight || conns == 0 {
            return average;
        }
        let age = conns.saturating_mul(now.ms).saturating_sub(self.get(Word::Begun)) / conns;
        average.max(age.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now::of_seconds(seconds)
    }

    fn release(state: &State, peer: &Peer, failed: bool, single: bool, now: u64) -> bool {
        state.release(peer, failed, single, 1, at(0), at(now))
    }

    #[test]
    fn a_peer_that_failed_is_tried_once_after_its_time() {
        let (peer, state) = (Peer::new("a"), State::default());
        let usable = |now| state.is_usable(&peer, at(now));
        state.take(&peer, at(100));
        assert!(release(&state, &peer, true, false, 100));
        assert!(!usable(105) && !usable(110));
        assert!(usable(111));
        state.take(&peer, at(111));
        assert!(!usable(112), "one trial in a window");
        assert!(!release(&state, &peer, false, false, 112));
        assert!(usable(112) && state.fails() == 0 && state.conns() == 0);
    }

    #[test]
    fn an_answer_to_an_older_request_does_not_excuse_a_newer_failure() {
        let (peer, state) = (Peer::new("a"), State::default());
        state.take(&peer, at(100));
        state.take(&peer, at(100));
        release(&state, &peer, true, false, 101);
        release(&state, &peer, false, false, 102);
        assert!(!state.is_usable(&peer, at(103)));
    }

    #[test]
    fn the_only_server_is_never_left_in_peace() {
        let (peer, state) = (Peer::new("a"), State::default());
        for now in 0..5 {
            state.take(&peer, at(now));
            assert!(!release(&state, &peer, true, true, now));
            assert!(state.is_usable(&peer, at(now)));
        }
    }

    #[test]
    fn max_conns_holds() {
        let peer = Peer { max_conns: 2, ..Peer::new("a") };
        let state = State::default();
        state.take(&peer, at(0));
        assert!(state.is_usable(&peer, at(0)));
        state.take(&peer, at(0));
        assert!(!state.is_usable(&peer, at(0)));
    }

    #[test]
    fn a_server_that_comes_back_begins_slowly() {
        let peer = Peer { weight: 4, slow_start: 10_000, ..Peer::new("a") };
        let state = State::default();
        assert_eq!(state.weight(&peer, 100, at(50)), 400);
        state.set_health(&peer, Health::Bad, at(50));
        assert!(!state.is_usable(&peer, at(50)));
        state.set_health(&peer, Health::Good, at(60));
        let weights = [60, 61, 65, 70, 71].map(|now| state.weight(&peer, 100, at(now)));
        assert_eq!(weights, [1, 40, 200, 400, 400]);
        // After failures, too.
        state.take(&peer, at(100));
        release(&state, &peer, true, false, 100);
        state.take(&peer, at(120));
        release(&state, &peer, false, false, 121);
        assert_eq!(state.weight(&peer, 100, at(126)), 200);
    }

    #[test]
    fn times_are_averaged() {
        let state = State::default();
        let peer = Peer::new("a");
        assert_eq!(state.average(false, false, at(0)), 0);
        state.took(Times { header: Some(8), total: None });
        assert_eq!((state.average(false, false, at(0)), state.average(true, false, at(0))), (8000, 0));
        state.took(Times { header: Some(16), total: Some(20) });
        assert_eq!((state.average(false, false, at(0)), state.average(true, false, at(0))), (9000, 20_000));
        state.take(&peer, at(10));
        state.take(&peer, at(11));
        assert_eq!(state.average(false, true, Now { ms: 12_000 }), 1_500_000);
        assert_eq!(state.average(false, false, Now { ms: 12_000 }), 9000);
    }

    #[test]
    fn workers_share_what_they_know() {
        let memory = Arc::new(Memory::new(32768).unwrap());
        Records::new(memory.numbers()).lay_out(8);
        let peer = Peer { max_conns: 3, ..Peer::new("a") };
        let [one, two] = [0, 1].map(|row| State::shared(&memory, b"a", row).unwrap());
        one.take(&peer, at(5));
        two.take(&peer, at(5));
        two.take(&peer, at(5));
        assert!(one.conns() == 3 && !one.is_usable(&peer, at(5)));
        Records::new(memory.numbers()).clear(1);
        assert!(one.conns() == 1 && one.is_usable(&peer, at(5)));
        std::mem::forget(two);
        assert!(one.release(&peer, true, false, 1, at(5), at(6)));
        let three = State::shared(&memory, b"a", 1).unwrap();
        assert!(three.is_failing(&peer, at(7)) && three.conns() == 0);
    }
}
