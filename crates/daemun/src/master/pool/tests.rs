//! The pool driven by hand: no processes, and a clock that is a number.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

/// A pool with made-up processes: whoever is spawned gets the next number.
struct World {
    pool: Pool,
    now: u64,
    next: i32,
    log: Vec<String>,
    /// What was sent since it was last looked at.
    sent: Vec<(i32, Signal)>,
    /// Committed, abandoned, listeners closed, exited.
    events: Vec<Action>,
}

const LIMITS: Limits = Limits { workers: 2, timeout: 30_000, graceful: 10_000, development: false };
const TRACEBACK: Signal = Signal::SIGIO; // stands for the real-time signal, which has no name

impl World {
    fn new(limits: Limits) -> World {
        let slots = (0..16).map(|_| Slot::new()).collect::<Vec<_>>().leak();
        let pool = Pool::new(limits, slots);
        let mut world =
            World { pool, now: 1_000_000, next: 100, log: Vec::new(), sent: Vec::new(), events: Vec::new() };
        world.pass(0);
        world
    }

    /// Two workers that run: 100 and 101.
    fn running(limits: Limits) -> World {
        let mut world = World::new(limits);
        world.ready(100);
        world.ready(101);
        world.pass(0);
        world
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.pool.tick(self.now);
        for action in self.pool.take_actions() {
            match action {
                Action::Spawn { seat, generation } => {
                    let slot = self.pool.free_slot().unwrap();
                    self.pool.spawned(self.now, seat, generation, self.next, slot);
                    self.next += 1;
                }
                Action::Kill { pid, signal } if signal == TRACEBACK_SIGNAL => self.sent.push((pid, TRACEBACK)),
                Action::Kill { pid, signal } => self.sent.push((pid, Signal::try_from(signal).unwrap())),
                Action::Log(_, message) => self.log.push(message),
                event => self.events.push(event),
            }
        }
    }

    fn ready(&mut self, pid: i32) {
        self.pool.on_ready(self.now, pid);
        let slot = self.slot(pid);
        slot.threads.store(1, Relaxed);
        slot.set_state(State::Ready);
    }

    fn die(&mut self, pid: i32, death: Death) {
        self.pool.on_death(self.now, pid, death);
        self.pass(0);
    }

    fn slot(&self, pid: i32) -> &'static Slot {
        let worker = self.pool.workers.iter().find(|worker| worker.pid == pid).expect("it lives");
        &self.pool.slots[worker.slot]
    }

    /// The workers that sit.
    fn sitting(&self) -> Vec<i32> {
        self.pool.workers.iter().filter(|worker| worker.sits()).map(|worker| worker.pid).collect()
    }

    fn sent(&mut self) -> Vec<(i32, Signal)> {
        std::mem::take(&mut self.sent)
    }

    fn reload(&mut self, limits: Limits) {
        self.pool.begin_reload(self.now, limits);
        self.pass(0);
    }

    #[track_caller]
    fn logged(&self, part: &str) {
        assert!(self.log.iter().any(|line| line.contains(part)), "{part} is not in {:#?}", self.log);
    }
}

#[test]
fn every_seat_gets_a_worker() {
    let world = World::new(LIMITS);
    assert_eq!(world.sitting(), [100, 101]);
    assert_eq!(world.pool.free_slot(), Some(2));
}

#[test]
fn a_killed_worker_is_replaced_at_once() {
    let mut world = World::running(LIMITS);
    world.pass(5_000);
    world.die(100, Death::Signal(9));
    assert_eq!(world.sitting(), [101, 102]);
    world.logged("Worker (pid:100) was sent SIGKILL! Perhaps out of memory?");
    world.die(101, Death::Code(1));
    world.logged("Worker (pid:101) exited with code 1.");
    assert_eq!(world.sitting(), [102, 103]);
}

#[test]
fn only_the_seat_of_a_worker_that_dies_early_again_and_again_waits() {
    let mut world = World::running(LIMITS);
    world.die(100, Death::Signal(11));
    assert_eq!(world.sitting(), [101, 102], "the first time is free");
    world.ready(102);
    world.die(102, Death::Signal(11));
    assert_eq!(world.sitting(), [101]);
    world.logged("The next worker is started in 0.5 s");
    assert_eq!(world.pool.idle_time(world.now), 500);
    world.pass(499);
    assert_eq!(world.sitting(), [101]);
    world.pass(1);
    assert_eq!(world.sitting(), [101, 103]);
}

#[test]
fn an_application_that_does_not_load_ends_the_first_start() {
    for (code, reason) in [(3, "Worker failed to boot."), (4, "App failed to load.")] {
        let mut world = World::new(LIMITS);
        world.die(100, Death::Code(code));
        assert_eq!(world.sent(), [(101, Signal::SIGQUIT)]);
        world.die(101, Death::Code(code));
        assert_eq!(world.events, [Action::CloseListeners, Action::Exit(code)]);
        assert_eq!(world.pool.reason, Some(reason));
    }
}

#[test]
fn an_application_that_fails_later_never_ends_the_master() {
    let mut world = World::running(LIMITS);
    world.pass(100_000);
    world.die(100, Death::Signal(9));
    let mut waits = Vec::new();
    for pid in 102..110 {
        world.die(pid, Death::Code(3));
        let mut waited = 0;
        while world.next == pid + 1 {
            let idle = world.pool.idle_time(world.now);
            waited += idle;
            world.pass(idle);
        }
        waits.push(waited);
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    assert!(world.events.is_empty());
    assert_eq!(world.sitting(), [101, 110]);
}

#[test]
fn during_development_a_failing_import_does_not_end_the_master() {
    let mut world = World::new(Limits { development: true, workers: 1, ..LIMITS });
    world.die(100, Death::Code(3));
    assert_eq!((world.sitting(), world.events.len()), (vec![], 0));
    world.pass(500);
    world.ready(101);
    for pid in 101..120 {
        world.die(pid, Death::Code(0));
        world.ready(pid + 1);
        assert_eq!(world.sitting(), [pid + 1], "a restart never waits");
    }
}

#[test]
fn a_worker_that_drains_is_replaced_before_it_ends() {
    let mut world = World::running(LIMITS);
    world.slot(100).set_state(State::Draining);
    world.pass(1_000);
    assert_eq!(world.sitting(), [101, 102]);
    world.pool.on_draining(world.now, 101);
    world.pass(0);
    assert_eq!(world.sitting(), [102, 103]);
    assert_eq!(world.sent(), []);
    world.die(100, Death::Code(0));
    world.pass(10_501);
    assert_eq!(world.sent(), [(101, Signal::SIGKILL)], "its time is over");
    world.logged("Worker (pid:101) is killed: its time to end is over; requests in progress: 0");
    world.die(101, Death::Signal(9));
    world.logged("Worker (pid:101) is gone");
}

#[test]
fn a_stuck_worker_is_replaced_and_killed_once_its_other_requests_are_done() {
    let mut world = World::running(LIMITS);
    let slot = world.slot(100);
    slot.threads.store(2, Relaxed);
    slot.requests.store(3, Relaxed);
    slot.calls[0].store(world.now, Relaxed);
    slot.calls[1].store(world.now + 1_000, Relaxed);
    world.pass(30_999);
    assert_eq!(world.sent(), []);
    world.pass(1);
    assert_eq!(world.sent(), [(100, TRACEBACK)]);
    world.logged("WORKER TIMEOUT (pid:100): all its 2 Python threads have been in one call for more than 30 s");
    assert_eq!(world.sitting(), [101, 102]);
    world.pass(200);
    assert_eq!(world.sent(), [(100, Signal::SIGTERM)]);
    world.pass(5_000);
    assert_eq!(world.sent(), [], "another request is in progress");
    slot.requests.store(2, Relaxed);
    world.pass(100);
    assert_eq!(world.sent(), [(100, Signal::SIGKILL)]);
    world.logged("Worker (pid:100) is killed: only its stuck calls were left");
}

#[test]
fn a_call_that_ends_after_all_is_not_cut() {
    let mut world = World::running(LIMITS);
    let slot = world.slot(100);
    slot.requests.store(1, Relaxed);
    slot.calls[0].store(world.now, Relaxed);
    world.pass(30_000);
    slot.calls[0].store(0, Relaxed);
    world.pass(1_000);
    assert_eq!(world.sent(), [(100, TRACEBACK), (100, Signal::SIGTERM)], "it drains");
    world.die(100, Death::Code(0));
    assert_eq!(world.sitting(), [101, 102]);
}

#[test]
fn without_a_timeout_nobody_is_stuck() {
    let mut world = World::running(Limits { timeout: 0, ..LIMITS });
    world.slot(100).calls[0].store(1, Relaxed);
    world.pass(1_000_000_000);
    assert_eq!(world.sent(), []);
}

#[test]
fn a_worker_that_never_boots_is_given_up() {
    let mut world = World::new(LIMITS);
    world.ready(101);
    world.pass(60_000);
    assert_eq!(world.sent(), [(100, TRACEBACK)]);
    world.logged("WORKER TIMEOUT (pid:100): not ready after 60 s");
    world.pass(200);
    assert_eq!(world.sent(), [(100, Signal::SIGKILL)]);
    world.pass(500);
    assert_eq!(world.sitting(), [101, 102]);
}

#[test]
fn a_reload_takes_over_once_all_new_workers_are_ready() {
    let mut world = World::running(LIMITS);
    world.reload(Limits { workers: 3, ..LIMITS });
    assert_eq!(world.sitting(), [100, 101, 102, 103, 104]);
    world.ready(102);
    world.ready(103);
    world.pass(1_000);
    assert_eq!((world.sent(), world.events.len()), (vec![], 0), "the old ones know nothing of it");
    world.die(103, Death::Signal(9));
    world.ready(104);
    world.pass(0);
    assert_eq!(world.events, [], "one that died is replaced first");
    world.ready(105);
    world.pass(0);
    assert_eq!(world.events, [Action::Commit]);
    assert_eq!(world.sent(), [(100, Signal::SIGTERM), (101, Signal::SIGTERM)]);
    world.die(100, Death::Code(0));
    world.die(101, Death::Code(0));
    assert_eq!(world.sitting().len(), 3);
}

#[test]
fn a_reload_that_fails_leaves_the_running_workers_alone() {
    let mut world = World::running(LIMITS);
    world.reload(LIMITS);
    world.ready(102);
    world.die(103, Death::Code(3));
    assert_eq!(world.events, [Action::Abandon]);
    assert_eq!(world.sent(), [(102, Signal::SIGTERM)]);
    world.logged("reload failed; the running workers stay");
    world.die(102, Death::Code(0));
    assert_eq!(world.sitting(), [100, 101]);
    world.die(100, Death::Signal(9));
    assert_eq!(world.sitting(), [101, 104], "and are still looked after");

    world.reload(LIMITS);
    world.pass(60_000);
    assert_eq!(world.events, [Action::Abandon, Action::Abandon], "so does one that takes too long");
}

#[test]
fn the_number_of_workers_can_be_changed() {
    let mut world = World::running(LIMITS);
    world.pool.more();
    world.pass(0);
    assert_eq!(world.sitting(), [100, 101, 102]);
    world.pool.fewer(world.now);
    world.pool.fewer(world.now);
    world.pool.fewer(world.now);
    world.pass(0);
    assert_eq!(world.sent(), [(102, Signal::SIGTERM), (101, Signal::SIGTERM)]);
    assert_eq!(world.sitting(), [100]);
    world.pool.send_home(world.now);
    world.pass(60_000);
    assert_eq!(world.sitting(), [0; 0]);
    world.pool.more();
    world.pass(0);
    assert_eq!(world.sitting().len(), 1);
}

#[test]
fn a_graceful_end_waits_and_then_tells_what_it_cuts() {
    let mut world = World::running(LIMITS);
    world.slot(101).requests.store(7, Relaxed);
    world.pool.stop(world.now, false, 0);
    world.pass(0);
    assert_eq!(world.events, [Action::CloseListeners]);
    assert_eq!(world.sent(), [(100, Signal::SIGTERM), (101, Signal::SIGTERM)]);
    world.die(100, Death::Code(0));
    world.pass(10_499);
    assert_eq!(world.sent(), []);
    world.pass(1);
    assert_eq!(world.sent(), [(101, Signal::SIGKILL)]);
    world.logged("Worker (pid:101) is killed: its time to end is over; requests in progress: 7");
    world.die(101, Death::Signal(9));
    assert_eq!(world.events, [Action::CloseListeners, Action::Exit(0)]);
}

#[test]
fn a_worker_that_boots_does_not_hold_up_the_end() {
    let mut world = World::new(LIMITS);
    world.ready(100);
    world.pool.stop(world.now, false, 0);
    world.pass(2_000);
    world.sent.retain(|(_, signal)| *signal == Signal::SIGKILL);
    assert_eq!(world.sent(), [(101, Signal::SIGKILL)]);
}

#[test]
fn a_second_signal_makes_the_end_quick() {
    let mut world = World::running(LIMITS);
    world.pool.stop(world.now, false, 0);
    world.pool.stop(world.now, true, 0);
    world.pool.stop(world.now, true, 0);
    world.pass(0);
    assert_eq!(world.sent().iter().filter(|(_, signal)| *signal == Signal::SIGQUIT).count(), 2);
    world.pass(2_000);
    assert_eq!(world.sent(), [(100, Signal::SIGKILL), (101, Signal::SIGKILL)]);
    world.pass(5_000);
    assert_eq!(world.events.last(), Some(&Action::Exit(0)), "not even an unkillable worker holds it up");
}

#[test]
fn logs_are_reopened_by_those_that_boot_once_they_can() {
    let mut world = World::new(LIMITS);
    world.ready(100);
    world.pool.reopen_logs();
    world.pass(0);
    assert_eq!(world.sent(), [(100, Signal::SIGUSR1)]);
    world.ready(101);
    world.pass(0);
    assert_eq!(world.sent(), [(101, Signal::SIGUSR1)]);
}

#[test]
fn a_fork_that_fails_is_tried_again() {
    let mut world = World::running(LIMITS);
    world.pool.not_spawned(world.now, 0, 1, "no memory");
    world.die(100, Death::Signal(9));
    assert_eq!(world.sitting(), [101]);
    world.pass(500);
    assert_eq!(world.sitting(), [101, 102]);
    world.logged("cannot start a worker: no memory");
}

#[test]
fn children_that_are_no_workers_are_none_of_its_business() {
    let mut world = World::running(LIMITS);
    world.die(999, Death::Code(3));
    assert_eq!(world.sitting(), [100, 101]);
    assert!(world.events.is_empty());
}
