//! `limit_req`: how fast requests of a key may come. Those above the rate wait, those above the burst are refused. What
//! is counted is in a zone that all workers share.

pub mod bucket;
mod directives;

use std::sync::Arc;

pub use directives::ROWS;

use crate::config::keyed::{Keyed, Limits};
use crate::log::Level;
use crate::variables::Scope;
use crate::zone::cells::Cells;
use crate::zone::hash::Hash;
use bucket::State;

/// Longer keys are not counted, in bytes.
const LONGEST_KEY: usize = 65_535;

/// What holds in a block.
pub type Settings = Limits<Limit>;

/// One `limit_req`.
#[derive(Clone)]
pub struct Limit {
    zone: Arc<Keyed>,
    /// So much above the rate is let in, in thousandths of a request.
    burst: u64,
    /// So much does not wait.
    free: u64,
}

impl Settings {
    /// Its limits in words, for `explain`.
    pub fn told(&self) -> Vec<String> {
        self.each(|limit| {
            let (key, name, rate) = (limit.zone.text(), limit.zone.name(), limit.zone.rate());
            let (rate, unit) = match rate % bucket::ONE {
                0 => (rate / bucket::ONE, "second"),
                _ => ((rate * 60 + bucket::ONE / 2) / bucket::ONE, "minute"),
            };
            let (burst, status) = (limit.burst / bucket::ONE, self.status);
            format!("{rate} a {unit} for each {key}, {burst} more at once, else {status} (zone {name})")
        })
    }
}

/// What was decided of a request: `$limit_req_status`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Status {
    #[default]
    None,
    Passed,
    Delayed,
    Rejected,
    DelayedDryRun,
    RejectedDryRun,
}

impl Status {
    /// The variable's value; empty for none.
    pub fn name(self) -> &'static str {
        match self {
            Status::None => "",
            Status::Passed => "PASSED",
            Status::Delayed => "DELAYED",
            Status::Rejected => "REJECTED",
            Status::DelayedDryRun => "DELAYED_DRY_RUN",
            Status::RejectedDryRun => "REJECTED_DRY_RUN",
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Pass,
    /// After so many milliseconds.
    Wait(u64),
    /// It is answered with this status; and might be let in after so many seconds.
    Refuse(u16, u64),
}

/// Counts a request, once, and decides. `now`: ms of a clock that all workers share.
pub fn check(scope: &mut Scope<'_>, now: u64) -> Verdict {
    let settings = &scope.settings().limit_req;
    if scope.request.route.limit_req != Status::None {
        return Verdict::Pass;
    }
    // As in nginx, all but the last are only looked at first, and counted when none of them refuses.
    let mut seen: Vec<(&Limit, &Arc<crate::zone::Memory>, Hash)> = Vec::new();
    let mut longest = (0, 0, None);
    let mut counted = false;
    for (index, limit) in settings.limits.iter().enumerate() {
        let Some((memory, hash)) = limit.zone.entry(scope, LONGEST_KEY) else { continue };
        counted = true;
        let last = index + 1 == settings.limits.len();
        let excess = look(limit, Cells::new(memory.numbers()), hash, now, last.then_some(limit.burst));
        if excess > limit.burst {
            return refuse(scope, limit, excess);
        }
        if last {
            longest = (bucket::delay(excess, limit.free, limit.zone.rate()), excess, Some(limit));
        } else {
            seen.push((limit, memory, hash));
        }
    }
    if !counted {
        return Verdict::Pass;
    }
    for (limit, memory, hash) in seen {
        let excess = look(limit, Cells::new(memory.numbers()), hash, now, Some(u64::MAX));
        let delay = bucket::delay(excess, limit.free, limit.zone.rate());
        if delay > longest.0 {
            longest = (delay, excess, Some(limit));
        }
    }
    match longest {
        (delay @ 1.., excess, Some(limit)) => wait(scope, limit, excess, delay),
        _ => {
            scope.request.route.limit_req = Status::Passed;
            Verdict::Pass
        }
    }
}

/// The excess with one request more. It is counted if it is not above `count`.
fn look(limit: &Limit, cells: Cells<'_>, hash: Hash, now: u64, count: Option<u64>) -> u64 {
    let rate = limit.zone.rate();
    let mut told = 0;
    if count.is_none() {
        return bucket::add(State::of(cells.get(hash)), rate, now).0;
    }
    let rank = |cell| State::rank(cell, rate, now);
    cells.update(hash, rank, |cell| {
        let (excess, next) = bucket::add(State::of(cell), rate, now);
        told = excess;
        count.is_some_and(|most| excess <= most).then(|| next.cell())
    });
    told
}

fn wait(scope: &mut Scope<'_>, limit: &Limit, excess: u64, delay: u64) -> Verdict {
    let settings = &scope.settings().limit_req;
    // One level below that of refusals.
    let level = match settings.level {
        Level::Error => Level::Warning,
        Level::Warning => Level::Notice,
        _ => Level::Info,
    };
    tell(scope, level, "delaying request", excess, ",", limit);
    if settings.dry_run {
        scope.request.route.limit_req = Status::DelayedDryRun;
        return Verdict::Pass;
    }
    scope.request.route.limit_req = Status::Delayed;
    Verdict::Wait(delay)
}

fn refuse(scope: &mut Scope<'_>, limit: &Limit, excess: u64) -> Verdict {
    let settings = &scope.settings().limit_req;
    tell(scope, settings.level, "limiting requests", excess, "", limit);
    if settings.dry_run {
        scope.request.route.limit_req = Status::RejectedDryRun;
        return Verdict::Pass;
    }
    scope.request.route.limit_req = Status::Rejected;
    Verdict::Refuse(settings.status, bucket::retry_after(excess, limit.burst, limit.zone.rate()))
}

fn tell(scope: &Scope<'_>, level: Level, what: &str, excess: u64, comma: &str, limit: &Limit) {
    let dry_run = if scope.settings().limit_req.dry_run { ", dry run" } else { "" };
    let (whole, rest, name) = (excess / 1000, excess % 1000, limit.zone.name());
    let message = format_args!("{what}{dry_run}, excess: {whole}.{rest:03}{comma} by zone \"{name}\"");
    scope.request.log(level, scope.config, scope.log, message);
}
