//! `allow` and `deny`: who may ask, by address.

mod rules;

use std::net::IpAddr;
use std::sync::Arc;

use conf::Diagnostic;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::Peer;
use crate::variables::Scope;
use rules::{Rules, Source};

pub use rules::Verdict;

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    rules: Arc<Rules>,
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "allow",
        HSLX,
        (1, 1),
        "ADDRESS | CIDR | unix: | all",
        "",
        "Lets clients with this address, or of this network, in. `allow` and `deny` are looked at in their order, \
         and the first one that is for a client counts.",
        Set(add),
    )
    .repeats(),
    Row::new(
        "deny",
        HSLX,
        (1, 1),
        "ADDRESS | CIDR | unix: | all",
        "",
        "Keeps clients with this address, or of this network, out: they are answered 403. See `allow`.",
        Set(add),
    )
    .repeats(),
];

fn add(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let (source, warning) = Source::parse(s.text(0)).map_err(|why| s.wrong(why))?;
    if let Some(warning) = warning {
        let warning = s.wrong(warning);
        s.make.warn(warning);
    }
    let allow = s.name() == "allow";
    let other = if allow { "deny" } else { "allow" };
    let first = s.first && !s.block.has(other);
    let rules = &mut s.settings().access.rules;
    if first {
        *rules = Arc::default();
    }
    Arc::make_mut(rules).push(source, allow);
    Ok(())
}

/// What the rules say of the client.
pub fn check(scope: &mut Scope<'_>) -> Verdict {
    let rules = &scope.settings().access.rules;
    if rules.is_empty() {
        return Verdict::Undecided;
    }
    let peer = scope.request.peer;
    let address: Option<IpAddr> = match peer {
        Peer::Inet(address) => Some(address.ip()),
        Peer::Unix => None,
    };
    scope.request.note("access", None, || match rules.find(address) {
        Some((source, true)) => format!("allow {source} lets {peer} in"),
        Some((source, false)) => format!("deny {source} keeps {peer} out: 403"),
        None => format!("no rule is for {peer}: it is let in"),
    });
    rules.check(address)
}
