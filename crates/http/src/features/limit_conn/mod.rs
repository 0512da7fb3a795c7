//! `limit_conn`: how many requests of a key may be in progress at a time, over all workers. A request counts from when
//! its head is read until its end, whatever that is; a WebSocket counts as long as it lives.

mod directives;

use std::sync::{Arc, Mutex, PoisonError};

pub use directives::ROWS;

use crate::config::keyed::{Keyed, Limits};
use crate::log::Level;
use crate::variables::Scope;
use crate::zone::Memory;
use crate::zone::hash::Hash;
use crate::zone::holds::{Holds, Refused};

/// Longer keys are not counted, in bytes.
const LONGEST_KEY: usize = 255;

/// What holds in a block.
pub type Settings = Limits<Limit>;

/// One `limit_conn`.
#[derive(Clone)]
pub struct Limit {
    zone: Arc<Keyed>,
    most: u64,
}

impl Settings {
    /// Its limits in words, for `explain`.
    pub fn told(&self) -> Vec<String> {
        self.each(|limit| {
            let (key, name, most, status) = (limit.zone.text(), limit.zone.name(), limit.most, self.status);
            format!("{most} at a time for each {key}, else {status} (zone {name})")
        })
    }
}

/// What was decided of a request: `$limit_conn_status`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Status {
    #[default]
    None,
    Passed,
    Rejected,
    RejectedDryRun,
}

impl Status {
    /// The variable's value; empty for none.
    pub fn name(self) -> &'static str {
        match self {
            Status::None => "",
            Status::Passed => "PASSED",
            Status::Rejected => "REJECTED",
            Status::RejectedDryRun => "REJECTED_DRY_RUN",
        }
    }
}

/// What a request holds until it is dropped.
#[derive(Default)]
// Boxed: few requests hold any, and all have the place for it.
#[allow(clippy::box_collection)]
pub struct Held(Option<Box<Vec<Hold>>>);

struct Hold {
    memory: Arc<Memory>,
    hash: Hash,
    row: usize,
}

/// Entries of a worker are changed by one thread at a time.
static CHANGING: Mutex<()> = Mutex::new(());

impl Held {
    /// Lets go of it.
    pub fn clear(&mut self) {
        let Some(holds) = self.0.take() else { return };
        let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        for hold in *holds {
            Holds::new(hold.memory.numbers()).release(hold.hash, hold.row);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Counts a request of the worker in this row, once; the status that it is refused with, or `None`.
pub fn check(scope: &mut Scope<'_>, row: usize, held: &mut Held) -> Option<u16> {
    let settings = &scope.settings().limit_conn;
    if scope.request.route.limit_conn != Status::None {
        return None;
    }
    for limit in settings.limits.iter() {
        let Some((memory, hash)) = limit.zone.entry(scope, LONGEST_KEY) else { continue };
        scope.request.route.limit_conn = Status::Passed;
        let taken = {
            let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
            Holds::new(memory.numbers()).take(hash, row, limit.most)
        };
        match taken {
            Ok(()) => held.0.get_or_insert_default().push(Hold { memory: memory.clone(), hash, row }),
            Err(why) => {
                held.clear();
                return refuse(scope, limit, why);
            }
        }
    }
    None
}

fn refuse(scope: &mut Scope<'_>, limit: &Limit, why: Refused) -> Option<u16> {
    let settings = &scope.settings().limit_conn;
    let dry_run = if settings.dry_run { ", dry run" } else { "" };
    let name = limit.zone.name();
    match why {
        Refused::Limit => {
            let message = format_args!("limiting connections{dry_run} by zone \"{name}\"");
            scope.request.log(settings.level, scope.config, scope.log, message);
        }
        Refused::Full => {
            let message = format_args!("limiting connections{dry_run}: no memory in limit_conn_zone \"{name}\"");
            scope.request.log(Level::Critical, scope.config, scope.log, message);
        }
    }
    if settings.dry_run {
        scope.request.route.limit_conn = Status::RejectedDryRun;
        return None;
    }
    scope.request.route.limit_conn = Status::Rejected;
    Some(settings.status)
}
