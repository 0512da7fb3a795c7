//! `health_check`: which servers are asked how they are, how often, and what a good answer is.

use std::sync::Arc;

use conf::{At, Diagnostic};

use super::matching::Match;
use super::{Check, grpc};
use crate::config::Handler;
use crate::config::build::{Maker, Setter};
use crate::config::context::Context;
use crate::config::context::sets::*;
use crate::config::row::Action::{Open, Set};
use crate::config::row::{MANY, Row};
use crate::handlers::proxy::family::Family;
use crate::handlers::proxy::target::To;
use crate::sys;
use crate::upstream::Upstream;
use crate::zone::Use;

/// Memory for what is known of servers over a reload, in bytes: 4096 of them.
const KEPT: u64 = 4096 * 32;

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "health_check",
        L,
        (0, MANY),
        "[interval=TIME] [jitter=TIME] [fails=NUMBER] [passes=NUMBER] [uri=URI] [mandatory [persistent]] [match=NAME] \
         [port=NUMBER] [keepalive_time=TIME] [type=grpc [grpc_service=NAME] [grpc_status=CODE]]",
        "",
        "The servers of the group that the location's `proxy_pass` or `grpc_pass` names are asked how they are: URI (`/`) every \
         `interval` (5s), and up to `jitter` later. A server that fails `fails` times in a row (1) gets no requests \
         until it has passed `passes` times in a row (1). An answer is good if its status is 2xx or 3xx, or if all \
         rules of `match` hold. With `mandatory` a server gets no requests before it has passed, and with `persistent` \
         what was known of it before a reload still holds. `port` is where to ask. With `type=grpc` \
         they are asked as gRPC asks, for a service or the whole server, and answer with CODE (0, and that it is serving). The group needs a `zone`: one \
         worker asks, all know.",
        Set(set),
    )
    .repeats(),
    Row::new(
        "match",
        H,
        (1, 1),
        "NAME { ... }",
        "",
        "What a good answer to a `health_check` looks like: `status`, `header`, `body`, `require`. All must hold.",
        Open(Context::Match),
    )
    .repeats(),
];

/// A `health_check` before the rest of the configuration is known.
pub struct Written {
    check: Check,
    /// The name of its `match`.
    matching: Option<Box<str>>,
    at: At,
}

fn set(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let mut check = Check::default();
    let mut matching = None;
    for word in &s.it.args {
        let invalid = || Diagnostic::new(word.at.clone(), format!("invalid parameter \"{}\"", word.text));
        let time = |text: &str| conf::time_ms(text).filter(|_| !text.is_empty()).ok_or_else(invalid);
        let number = |text: &str| {
            let number = conf::number(text).filter(|number| (1..=u64::from(u32::MAX)).contains(number));
            number.map(|number| number as u32).ok_or_else(invalid)
        };
        match word.text.split_once('=') {
            Some(("interval", value)) => {
                check.interval = time(value).and_then(|ms| (ms > 0).then_some(ms).ok_or_else(invalid))?
            }
            Some(("jitter", value)) => check.jitter = time(value)?,
            Some(("fails", value)) => check.fails = number(value)?,
            Some(("passes", value)) => check.passes = number(value)?,
            Some(("uri", value)) => {
                if !value.starts_with('/') || value.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
                    return Err(invalid());
                }
                check.uri = value.into();
            }
            Some(("match", value)) if !value.is_empty() => matching = Some(value.into()),
            Some(("port", value)) => {
                check.port = Some(number(value).and_then(|port| u16::try_from(port).map_err(|_| invalid()))?);
            }
            Some(("keepalive_time", value)) => check.keepalive_time = time(value)?,
            Some(("type", "grpc")) => {
                check.grpc.get_or_insert_default();
            }
            Some(("grpc_service", value)) if check.grpc.is_some() && value.len() <= grpc::LONGEST => {
                check.grpc.get_or_insert_default().service = value.into();
            }
            Some(("grpc_status", value)) if check.grpc.is_some() => {
                check.grpc.get_or_insert_default().status = value.parse().map_err(|_| invalid())?;
            }
            None if word.text == "mandatory" => check.mandatory = true,
            None if word.text == "persistent" && check.mandatory => check.persistent = true,
            _ => return Err(invalid()),
        }
    }
    if check.grpc.is_some() {
        if matching.is_some() || &*check.uri != "/" {
            return Err(s.wrong("parameter \"type=grpc\" is incompatible with \"uri\" and \"match\""));
        }
        check.uri = grpc::PATH.into();
    }
    s.block.own.location.checks.push(Written { check, matching, at: s.it.name.at.clone() });
    Ok(())
}

/// The checks of a configuration whose groups are complete, for `Config::checks`.
pub fn finish(make: &mut Maker, groups: &[Arc<Upstream>]) -> Vec<Arc<Check>> {
    let written = std::mem::take(&mut make.checks);
    // So that what was found out under another configuration does not count.
    let tag = sys::random::number() | 1;
    let mut all: Vec<Arc<Check>> = Vec::with_capacity(written.len());
    for (location, Written { mut check, matching, at }) in written {
        let wrong = |message: String| Diagnostic::new(at.clone(), message);
        let group = match make.locations[location as usize].handler {
            Handler::Proxy(pass) => match make.passes.get(pass as usize).map(|pass| (pass, &pass.to)) {
                Some((pass, To::Group { index, host, port, .. })) => {
                    (check.family, check.secure) = (pass.family, pass.secure);
                    (check.host, check.host_port) = (host.clone(), port.clone());
                    Some(*index)
                }
                _ => None,
            },
            _ => None,
        };
        if check.grpc.is_some() && check.family != Family::Grpc {
            make.problems.push(wrong("parameter \"type=grpc\" needs \"grpc_pass\" in the same location".into()));
            continue;
        }
        let Some(group) = group else {
            let problem = wrong(
                "\"health_check\" needs \"proxy_pass\" or \"grpc_pass\" to a group of servers in the same location"
                    .into(),
            );
            make.problems.push(problem);
            continue;
        };
        (check.group, check.location, check.tag) = (group, location, tag);
        let (name, shared) = groups
            .get(group as usize)
            .map_or((Box::default(), true), |group| (group.name.clone(), group.zone.is_some()));
        if !shared {
            let hint = "add `zone NAME SIZE;` to the upstream block";
            make.problems.push(wrong(format!("\"health_check\" needs \"zone\" in upstream \"{name}\"")).hint(hint));
        }
        if let Some(name) = matching {
            check.matching = make.matches.iter().find(|one| one.name == name).cloned();
            if check.matching.is_none() {
                make.problems.push(wrong(format!("no match \"{name}\" is defined")));
            }
        }
        check.bit = all.iter().filter(|other| other.group == group).count() as u32;
        if check.bit >= super::MOST {
            make.problems.push(wrong(format!("more than {} \"health_check\" of upstream \"{name}\"", super::MOST)));
        }
        check.upstream = name;
        all.push(Arc::new(check));
    }
    keep(make, &mut all);
    all
}

/// Gives the checks of groups of which one is `persistent` the memory that they need for it.
fn keep(make: &mut Maker, all: &mut [Arc<Check>]) {
    let groups: Vec<u32> = all.iter().filter(|check| check.persistent).map(|check| check.group).collect();
    if groups.is_empty() {
        return;
    }
    // No directive can name it, so nobody else does.
    let Ok(zone) = make.zones.declare("\0health", KEPT, Use::Health) else { return };
    for check in all.iter_mut().filter(|check| groups.contains(&check.group)) {
        Arc::make_mut(check).kept = Some(zone.clone());
    }
}

/// What a check without a `match` is called, and with it.
pub fn name(matching: Option<&Arc<Match>>) -> &str {
    matching.map_or("", |matching| &matching.name)
}
