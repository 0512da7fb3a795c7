//! The task of a worker that asks the servers of one group whose leases it holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::directives::name;
use super::probe::{Bad, Kept, probe};
use super::{Check, Health, Member, begin, decide, lease, release};
use crate::engine::Engine;
use crate::log::Level;
use crate::sys;
use crate::upstream::Group;

/// Leases are renewed after so long at the latest, in ms.
const ROUND: u64 = 1000;
/// Probes of one worker and group at the same time.
const AT_ONCE: usize = 64;

/// What this worker knows of one check of one server.
#[derive(Default)]
struct Course {
    /// When it is asked next, in ms.
    due: u64,
    is_asked: bool,
    /// In a row.
    fails: u32,
    passes: u32,
    kept: Option<Kept>,
}

/// A probe that has ended.
struct Probed {
    member: Arc<Member>,
    check: Arc<Check>,
    result: Result<&'static str, Bad>,
    kept: Option<Kept>,
}

/// Gives the leases up when the task ends.
struct Leases {
    group: Arc<Group>,
    row: usize,
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.group.members().iter().for_each(|member| release(member, self.row));
    }
}

/// Asks for as long as the task lives.
pub async fn watch(engine: Arc<Engine>, group: usize, checks: Vec<Arc<Check>>) {
    let leases = Leases { group: engine.upstreams[group].clone(), row: engine.index() };
    let mandatory = checks.iter().filter(|check| check.mandatory).fold(0, |all, check| all | 1u64 << check.bit);
    let mut courses: HashMap<(Arc<str>, u32), Course> = HashMap::new();
    let mut running: JoinSet<Probed> = JoinSet::new();
    loop {
        let now = sys::time::coarse_monotonic_ms();
        let mut next = now + ROUND;
        let mut own = Vec::new();
        for member in leases.group.members() {
            begin(&member, &checks);
            if !member.peer.down && lease(&member, leases.row, now) {
                own.push(member);
            }
        }
        courses.retain(|(name, _), course| course.is_asked || own.iter().any(|member| member.name == *name));
        for member in &own {
            for check in &checks {
                let course = courses
                    .entry((member.name.clone(), check.bit))
                    .or_insert_with(|| Course { due: now + chance(check.jitter), ..Course::default() });
                if course.is_asked {
                    continue;
                }
                if course.due > now || running.len() >= AT_ONCE {
                    next = next.min(course.due.max(now + 1));
                    continue;
                }
                course.is_asked = true;
                let (engine, member, check) = (engine.clone(), member.clone(), check.clone());
                let mut kept = course.kept.take();
                running.spawn(async move {
                    let result = probe(&engine, &check, &member, &mut kept).await;
                    Probed { member, check, result, kept }
                });
            }
        }
        let wait = Duration::from_millis(next.saturating_sub(now).max(1));
        if running.is_empty() {
            sleep(wait).await;
            continue;
        }
        let Ok(Some(ended)) = timeout(wait, running.join_next()).await else { continue };
        match ended {
            Ok(probed) => note(&engine, &leases.group, &mut courses, probed, mandatory),
            // A probe that has failed in itself says nothing of the server; all are asked again.
            Err(_) => courses.values_mut().for_each(|course| course.is_asked = false),
        }
    }
}

/// A number of ms up to this.
fn chance(most: u64) -> u64 {
    if most == 0 { 0 } else { sys::random::number() % (most + 1) }
}

/// What a probe has found out.
fn note(
    engine: &Engine,
    group: &Group,
    courses: &mut HashMap<(Arc<str>, u32), Course>,
    probed: Probed,
    mandatory: u64,
) {
    let Probed { member, check, result, kept } = probed;
    let Some(course) = courses.get_mut(&(member.name.clone(), check.bit)) else { return };
    let now = sys::time::coarse_monotonic_ms();
    course.is_asked = false;
    course.due = now + check.interval + chance(check.jitter);
    course.kept = kept;
    let log = engine.log_at(check.location);
    let about = format!(
        "health check \"{}\" of peer {} in upstream \"{}\"",
        name(check.matching.as_ref()),
        member.name,
        group.spec.name
    );
    let before = member.state.health();
    let doing = match &result {
        Ok(doing) => {
            course.fails = 0;
            course.passes = course.passes.saturating_add(1);
            if course.passes >= check.passes {
                decide(&member, &check, mandatory, true);
            }
            doing
        }
        Err(bad) => {
            course.passes = 0;
            course.fails = course.fails.saturating_add(1);
            if let Some(error) = &bad.error {
                log.log(Level::Error, format_args!("{error} while {}, {about}", bad.doing));
            }
            if course.fails >= check.fails {
                decide(&member, &check, mandatory, false);
            }
            bad.doing
        }
    };
    let after = member.state.health();
    if before == after {
        return;
    }
    match after {
        Health::Bad => log.log(Level::Warning, format_args!("peer is unhealthy while {doing}, {about}")),
        Health::Good if before != Health::Unknown => {
            log.log(Level::Notice, format_args!("peer is healthy while {doing}, {about}"));
        }
        _ => {}
    }
}
