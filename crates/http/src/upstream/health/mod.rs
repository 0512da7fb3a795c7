//! Servers that are asked how they are without a client's request (`health_check`).
//!
//! What is found out stands in the state of the servers, in memory that all workers share, and so does who asks: the
//! worker with the lease of a server. It renews it about once a second; a worker that has ended or hangs does not, and
//! another one takes over.

pub mod directives;
pub mod grpc;
pub mod matching;
mod probe;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::peer::{Health, Member, Now};
use crate::engine::Engine;
use crate::handlers::proxy::family::Family;
use crate::sys;
use crate::zone::Zone;
use crate::zone::values::Values;
use grpc::Grpc;
use matching::Match;

/// Checks of one group.
const MOST: u32 = 63;

/// A `health_check`.
#[derive(Clone)]
pub struct Check {
    /// Into `Config::upstreams`.
    pub group: u32,
    /// Where it stands: limits of time and fields of the request are the location's.
    pub location: u32,
    /// Which directives hold for the request.
    pub family: Family,
    /// By TLS.
    pub secure: bool,
    /// `$proxy_host` and `$proxy_port`
    pub host: Box<str>,
    pub host_port: Box<str>,
    /// From the end of a probe to the next one, in ms.
    pub interval: u64,
    /// So much more at most, by chance, in ms.
    pub jitter: u64,
    /// Failures in a row after which a server is bad.
    pub fails: u32,
    /// Good answers in a row after which it is good again.
    pub passes: u32,
    pub uri: Box<str>,
    /// No requests before the first good answer.
    pub mandatory: bool,
    /// What was known before a reload still holds.
    pub persistent: bool,
    /// Where it is kept meanwhile, if some check of the group is `persistent`.
    pub kept: Option<Arc<Zone>>,
    /// The name of the group.
    pub upstream: Box<str>,
    /// Asked as gRPC asks.
    pub grpc: Option<Grpc>,
    /// `None`: every 2xx and 3xx is good.
    pub matching: Option<Arc<Match>>,
    /// In place of the server's own.
    pub port: Option<u16>,
    /// How long a connection is used for probes, in ms; 0 = for one.
    pub keepalive_time: u64,
    /// Which check of its group it is. < MOST
    pub bit: u32,
    /// What differs from configuration to configuration.
    pub tag: u64,
}

impl Default for Check {
    fn default() -> Check {
        Check {
            group: 0,
            location: 0,
            family: Family::Proxy,
            secure: false,
            host: Box::default(),
            host_port: Box::default(),
            interval: 5000,
            jitter: 0,
            fails: 1,
            passes: 1,
            uri: "/".into(),
            mandatory: false,
            persistent: false,
            kept: None,
            upstream: Box::default(),
            grpc: None,
            matching: None,
            port: None,
            keepalive_time: 0,
            bit: 0,
            tag: 0,
        }
    }
}

/// What the notes in a server's state are.
#[derive(Clone, Copy)]
enum Note {
    /// Who asks, and until when.
    Lease,
    /// The checks, by `bit`, that find it bad.
    Bad,
    /// The checks that have an opinion.
    Known,
    /// The configuration that all this is of.
    Tag,
}

/// Begins anew with a server that was asked under another configuration, or never. For each worker, before it may get
/// requests.
pub fn begin(member: &Member, checks: &[Arc<Check>]) {
    let Some(tag) = checks.first().map(|check| check.tag) else { return };
    let state = &member.state;
    let note = |note: Note| state.note(note as usize);
    let before = note(Note::Tag).load(Relaxed);
    if before == tag || note(Note::Tag).compare_exchange(before, tag, Relaxed, Relaxed).is_err() {
        return;
    }
    let all = checks.iter().fold(0, |all, check| all | 1u64 << check.bit);
    let mandatory = checks.iter().any(|check| check.mandatory);
    let (health, bad, known) = match checks.first().and_then(|check| check.kept(member)) {
        Some(true) => (Health::Good, 0, all),
        Some(false) => (Health::Bad, all, all),
        None if mandatory => (Health::Awaited, 0, 0),
        None => (Health::Unknown, 0, 0),
    };
    note(Note::Bad).store(bad, Relaxed);
    note(Note::Known).store(known, Relaxed);
    state.set_health(&member.peer, health, Now::get());
}

/// Notes the opinion of one check.
fn decide(member: &Member, check: &Check, mandatory: u64, good: bool) {
    let bit = 1u64 << check.bit;
    let state = &member.state;
    let known = state.note(Note::Known as usize).fetch_or(bit, Relaxed) | bit;
    let bad = match good {
        true => state.note(Note::Bad as usize).fetch_and(!bit, Relaxed) & !bit,
        false => state.note(Note::Bad as usize).fetch_or(bit, Relaxed) | bit,
    };
    let health = match bad {
        0 if known & mandatory == mandatory => Health::Good,
        0 => return,
        _ => Health::Bad,
    };
    state.set_health(&member.peer, health, Now::get());
    check.keep(member, health == Health::Good);
}

impl Check {
    /// What was known of a server before a reload.
    fn kept(&self, member: &Member) -> Option<bool> {
        let memory = self.kept.as_ref()?.memory()?;
        let key = memory.secret.hash(self.key(member).as_bytes());
        let (text, _) = Values::new(memory.numbers(), memory.secret, 1).get(key)?;
        Some(text == [1])
    }

    /// Notes it for the next one.
    fn keep(&self, member: &Member, good: bool) {
        let Some(memory) = self.kept.as_ref().and_then(|zone| zone.memory()) else { return };
        let key = memory.secret.hash(self.key(member).as_bytes());
        let now = sys::time::coarse_monotonic_ms() / 1000;
        Values::new(memory.numbers(), memory.secret, 1).put(key, &[u8::from(good)], now);
    }

    fn key(&self, member: &Member) -> String {
        format!("{}\0{}", self.upstream, member.name)
    }
}

/// The row of a lease is above, the end below: ms of the group's clock.
const END: u32 = 48;
/// How long a lease is, in ms.
const LEASE: u64 = 4000;

/// Takes or renews the lease of a server, for the worker in this row.
fn lease(member: &Member, row: usize, now: u64) -> bool {
    let lease = member.state.note(Note::Lease as usize);
    let before = lease.load(Relaxed);
    let (holder, end) = (before >> END, before & ((1 << END) - 1));
    let own = row as u64 + 1;
    if holder != own && holder != 0 && end > now {
        return false;
    }
    let after = own << END | (now + LEASE) & ((1 << END) - 1);
    lease.compare_exchange(before, after, Relaxed, Relaxed).is_ok()
}

/// Gives the lease up.
fn release(member: &Member, row: usize) {
    let lease = member.state.note(Note::Lease as usize);
    let before = lease.load(Relaxed);
    if before >> END == row as u64 + 1 {
        let _ = lease.compare_exchange(before, 0, Relaxed, Relaxed);
    }
}

/// The checks of a group.
pub fn of_group(all: &[Arc<Check>], group: usize) -> Vec<Arc<Check>> {
    all.iter().filter(|check| check.group as usize == group).cloned().collect()
}

/// Lets the servers of all groups be asked until the worker drains. Within the runtime.
pub fn start(engine: &Arc<Engine>) {
    for group in 0..engine.upstreams.len() {
        let checks = of_group(&engine.config.checks, group);
        if checks.is_empty() {
            continue;
        }
        engine.upstreams[group].members().iter().for_each(|member| begin(member, &checks));
        let watching = tokio::spawn(watch::watch(engine.clone(), group, checks));
        engine.add_acceptor(watching.abort_handle());
    }
}

#[cfg(test)]
mod tests;
