//! Work that would hold up a worker's runtime: a few threads of its own do it, and what waits for them is counted.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sys;

/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(30);

type Work = Box<dyn FnOnce() + Send>;

/// Threads that begin when there is work for them. They leave the processor to others.
pub struct Pool {
    name: &'static str,
    most_threads: usize,
    most_waiting: usize,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

impl Pool {
    /// At most so many threads, and so much work that waits for one.
    pub const fn new(name: &'static str, most_threads: usize, most_waiting: usize) -> Pool {
        let state = State { waiting: VecDeque::new(), threads: 0, idle: 0 };
        Pool { name, most_threads, most_waiting, state: Mutex::new(state), work: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has something done; `false`: too much is waiting already, and it is not.
    pub fn run(&'static self, work: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.state();
        if state.waiting.len() >= self.most_waiting {
            return false;
        }
        state.waiting.push_back(Box::new(work));
        if state.idle >= state.waiting.len() {
            self.work.notify_one();
        } else if state.threads < self.most_threads {
            let begun = std::thread::Builder::new().name(self.name.to_owned()).spawn(|| self.serve());
            if begun.is_ok() {
                state.threads += 1;
            } else if state.threads == 0 {
                state.waiting.pop_back();
                return false;
            }
        }
        true
    }

    /// A thread's life.
    fn serve(&self) {
        sys::process::yield_to_others();
        let mut state = self.state();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                // Whoever waits for it notices that it has no result.
                let _ = catch_unwind(AssertUnwindSafe(work));
                state = self.state();
                continue;
            }
            state.idle += 1;
            let (back, timeout) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if timeout.timed_out() && state.waiting.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn work_is_done_beside_and_what_is_too_much_is_refused() {
        static POOL: Pool = Pool::new("test", 2, 3);
        let (say, heard) = channel();
        let (go, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let gate: &'static Mutex<_> = Box::leak(Box::new(gate));
        let held = |say: std::sync::mpsc::Sender<&'static str>| {
            move || {
                say.send("begun").unwrap();
                gate.lock().unwrap().recv().unwrap();
                say.send("done").unwrap();
            }
        };
        for _ in 0..2 {
            assert!(POOL.run(held(say.clone())));
        }
        for _ in 0..2 {
            assert_eq!(heard.recv().unwrap(), "begun");
        }
        // Both threads are busy.
        for _ in 0..3 {
            assert!(POOL.run(|| panic!("it ends with itself")));
        }
        assert!(!POOL.run(|| ()));
        for _ in 0..2 {
            go.send(()).unwrap();
            assert_eq!(heard.recv().unwrap(), "done");
        }
        loop {
            let last = say.clone();
            if POOL.run(move || last.send("last").unwrap()) {
                break;
            }
        }
        assert_eq!(heard.recv().unwrap(), "last");
    }
}
