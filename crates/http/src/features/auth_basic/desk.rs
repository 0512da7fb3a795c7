//! Where passwords are checked that take their time: beside the runtime, so that nobody waits but who asked, and no more
//! at a time than can be borne. What was right is remembered for a while, as a keyed digest; what was wrong is not.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use super::stored::{Stored, Unusable};
use crate::runtime::offload::Pool;
use crate::runtime::oneshot;
use crate::sys;

/// Passwords that are checked at a time, and that wait for it.
const THREADS: usize = 2;
const WAITING: usize = 128;
/// Those of one client among them: guessing must not keep others out.
const OF_ONE: u32 = 32;
/// What was right is remembered at least this long and at most twice as long.
const TURN: Duration = Duration::from_secs(30);
/// So many are remembered in one turn.
const REMEMBERED: usize = 4096;

static POOL: Pool = Pool::new("passwords", THREADS, WAITING);

/// What came of checking a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Right,
    Wrong,
    /// The stored one cannot be used.
    Unusable(Unusable),
    /// Too many wait.
    Busy,
}

/// A user's password, to be held against the stored one.
pub struct Attempt {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
    pub stored: Vec<u8>,
    /// Who tries; `None`: a Unix socket, where it may be anybody.
    pub source: Option<IpAddr>,
}

type Tag = [u8; 32];

/// Of one worker.
struct Desk {
    key: hmac::Key,
    state: Mutex<State>,
}

struct State {
    /// What was found to be right in this turn and in the one before.
    young: HashSet<Tag>,
    old: HashSet<Tag>,
    turned: Instant,
    /// Who waits for what is being checked.
    running: HashMap<Tag, Vec<oneshot::Sender<Outcome>>>,
    /// How many are being checked of each client.
    sources: HashMap<IpAddr, u32>,
}

static DESK: LazyLock<Desk> = LazyLock::new(|| {
    let mut key = [0; 32];
    for part in key.chunks_exact_mut(8) {
        part.copy_from_slice(&sys::random::number().to_ne_bytes());
    }
    let state = State {
        young: HashSet::new(),
        old: HashSet::new(),
        turned: Instant::now(),
        running: HashMap::new(),
        sources: HashMap::new(),
    };
    Desk { key: hmac::Key::new(hmac::HMAC_SHA256, &key), state: Mutex::new(state) }
});

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says nothing of what it is made of to whom the key is unknown.
    fn tag(&self, attempt: &Attempt) -> Tag {
        let mut hmac = hmac::Context::with_key(&self.key);
        for part in [&attempt.user, &attempt.password, &attempt.stored] {
            hmac.update(&(part.len() as u64).to_ne_bytes());
            hmac.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac.sign().as_ref());
        tag
    }

    /// One thread's turn.
    fn check(&self, tag: &Tag, attempt: &Attempt) {
        {
            let mut state = self.state();
            if state.running.get(tag).is_none_or(|all| all.iter().all(oneshot::Sender::is_closed)) {
                // Nobody waits for it any more.
                state.running.remove(tag);
                return state.leave(attempt.source);
            }
        }
        let check = || Stored::parse(&attempt.stored).and_then(|stored| stored.is(&attempt.password));
        let outcome = match catch_unwind(AssertUnwindSafe(check)) {
            Ok(Ok(true)) => Outcome::Right,
            Ok(Ok(false)) => Outcome::Wrong,
            Ok(Err(why)) => Outcome::Unusable(why),
            Err(_) => Outcome::Unusable("checking it failed"),
        };
        let mut state = self.state();
        if outcome == Outcome::Right {
            state.remember(*tag, Instant::now());
        }
        state.leave(attempt.source);
        for one in state.running.remove(tag).unwrap_or_default() {
            let _ = one.send(outcome);
        }
    }
}

impl State {
    fn turn(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.turned);
        if since < TURN && self.young.len() < REMEMBERED {
            return;
        }
        self.old = if since < TURN * 2 { std::mem::take(&mut self.young) } else { HashSet::new() };
        self.young.clear();
        self.turned = now;
    }

    fn remember(&mut self, tag: Tag, now: Instant) {
        self.turn(now);
        self.young.insert(tag);
    }

    fn knows(&mut self, tag: &Tag, now: Instant) -> bool {
        self.turn(now);
        self.young.contains(tag) || self.old.contains(tag)
    }

    /// Takes a place of a client's; `false`: it has all.
    fn enter(&mut self, source: Option<IpAddr>) -> bool {
        let Some(source) = source else { return true };
        let count = self.sources.entry(source).or_default();
        if *count >= OF_ONE {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&mut self, source: Option<IpAddr>) {
        let Some(source) = source else { return };
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

/// Whom an address stands for: of IPv6 one has a whole network.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// Has a password checked.
pub async fn check(mut attempt: Attempt) -> Outcome {
    attempt.source = attempt.source.map(source);
    let desk = &*DESK;
    let tag = desk.tag(&attempt);
    let (say, answer) = oneshot::channel();
    {
        let mut state = desk.state();
        if state.knows(&tag, Instant::now()) {
            return Outcome::Right;
        }
        if let Some(all) = state.running.get_mut(&tag) {
            // A browser asks for many things at once, with the same words.
            all.push(say);
        } else {
            if !state.enter(attempt.source) {
                return Outcome::Busy;
            }
            let source = attempt.source;
            state.running.insert(tag, vec![say]);
            drop(state);
            if !POOL.run(move || desk.check(&tag, &attempt)) {
                let mut state = desk.state();
                state.leave(source);
                state.running.remove(&tag);
                return Outcome::Busy;
            }
        }
    }
    // Gone: there was no place for it after all.
    answer.await.unwrap_or(Outcome::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(now: Instant) -> State {
        State {
            young: HashSet::new(),
            old: HashSet::new(),
            turned: now,
            running: HashMap::new(),
            sources: HashMap::new(),
        }
    }

    #[test]
    fn what_was_right_is_forgotten_after_two_turns() {
        let start = Instant::now();
        let mut state = state(start);
        state.remember([1; 32], start);
        assert!(state.knows(&[1; 32], start) && !state.knows(&[2; 32], start));
        assert!(state.knows(&[1; 32], start + TURN));
        assert!(state.knows(&[1; 32], start + TURN + TURN / 2));
        assert!(!state.knows(&[1; 32], start + TURN * 2));
        state.remember([3; 32], start + TURN * 2);
        assert!(!state.knows(&[3; 32], start + TURN * 5));
    }

    #[test]
    fn not_more_than_so_many_are_remembered() {
        let now = Instant::now();
        let mut state = state(now);
        for number in 0..3 * REMEMBERED as u64 {
            let mut tag = [0; 32];
            tag[..8].copy_from_slice(&number.to_ne_bytes());
            state.remember(tag, now);
            assert!(state.knows(&tag, now));
        }
        assert!(state.young.len() + state.old.len() <= 2 * REMEMBERED);
    }

    #[test]
    fn one_client_has_not_all_places() {
        let mut state = state(Instant::now());
        let [one, other] = ["2001:db8::1", "2001:db8:0:1::1"].map(|text| Some(source(text.parse().unwrap())));
        for _ in 0..OF_ONE {
            assert!(state.enter(one));
        }
        assert!(!state.enter(Some(source("2001:db8::2".parse().unwrap()))));
        assert!(state.enter(other) && state.enter(None));
        state.leave(one);
        assert!(state.enter(one));
        for _ in 0..OF_ONE {
            state.leave(one);
        }
        state.leave(other);
        assert!(state.sources.is_empty());
    }
}
