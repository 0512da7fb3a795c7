//! The directives.

use std::sync::Arc;

use conf::Diagnostic;

use super::Limit;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::keyed;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::zone::Use;

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "limit_conn",
        HSL,
        (2, 2),
        "ZONE NUMBER",
        "",
        "How many requests of a key may be in progress at a time, in all workers together. A request counts from when \
         its head is read until its end, a WebSocket as long as it lives; an idle connection does not count.",
        Set(limit),
    )
    .repeats(),
    Row::new(
        "limit_conn_dry_run",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether requests beyond the limit are only counted and logged.",
        Set(|s| s.set_flag(|x| &mut x.limit_conn.dry_run)),
    ),
    Row::new(
        "limit_conn_log_level",
        HSL,
        (1, 1),
        "info | notice | warn | error",
        "error",
        "The level that refused requests are logged with.",
        Set(|s| {
            s.settings().limit_conn.level = s.one_of(0, &keyed::LEVELS)?;
            Ok(())
        }),
    ),
    Row::new(
        "limit_conn_status",
        HSL,
        (1, 1),
        "CODE",
        "503",
        "The status that refused requests are answered with.",
        Set(|s| {
            s.settings().limit_conn.status = keyed::status(s)?;
            Ok(())
        }),
    ),
    Row::new(
        "limit_conn_zone",
        H,
        (2, 2),
        "KEY zone=NAME:SIZE",
        "",
        "What requests in progress are counted by. An empty KEY is not counted. All workers share the zone; it takes 16 \
         bytes for each key and worker that has some (1m: about 40000 of them), and where there is no room for one \
         more key, its requests are refused.",
        Set(zone),
    )
    .repeats(),
];

fn zone(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let word = s.text(1).to_owned();
    if !word.starts_with("zone=") {
        return Err(s.wrong(format!("invalid parameter \"{word}\"")));
    }
    let named = keyed::name_and_size(s, &word)?;
    keyed::declare(s, Some(named), None, Use::Connections)
}

fn limit(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = s.text(0).to_owned();
    let zone = keyed::find(s.make, &name, 0, Use::Connections).map_err(|why| s.wrong(why))?;
    let limits = if s.first { Arc::default() } else { s.block.settings.limit_conn.limits.clone() };
    if limits.iter().any(|limit| Arc::ptr_eq(&limit.zone, &zone)) {
        return Err(s.wrong("\"limit_conn\" directive is duplicate"));
    }
    let text = s.text(1);
    let most = conf::number(text).filter(|number| *number > 0);
    let most = most.ok_or_else(|| s.wrong(format!("invalid number of connections \"{text}\"")))?;
    if most > 65_535 {
        return Err(s.wrong("connection limit must be less 65536"));
    }
    let limits = limits.iter().cloned().chain([Limit { zone, most }]).collect();
    s.settings().limit_conn.limits = Arc::new(limits);
    Ok(())
}
