//! The directives.

use std::sync::Arc;

use conf::Diagnostic;

use super::{Limit, bucket};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::keyed;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::zone::Use;

/// No rate is higher than this, in requests a second or a minute.
const HIGHEST_RATE: u64 = 1_000_000_000;

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "limit_req",
        HSL,
        (1, 3),
        "zone=NAME [burst=NUMBER] [nodelay | delay=NUMBER]",
        "",
        "How fast requests of a key may come: at the rate of the zone, and NUMBER more at once, which wait until the rate \
         has room for them, but for the first `delay` of them (`nodelay`: none waits). What is above is refused, and \
         told after how many seconds it may come again (Retry-After; nginx does not tell). Of several limits \
         the strictest decides.",
        Set(limit),
    )
    .repeats(),
    Row::new(
        "limit_req_dry_run",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether requests beyond the limit are only counted and logged.",
        Set(|s| s.set_flag(|x| &mut x.limit_req.dry_run)),
    ),
    Row::new(
        "limit_req_log_level",
        HSL,
        (1, 1),
        "info | notice | warn | error",
        "error",
        "The level that refused requests are logged with; those that wait, one level lower.",
        Set(|s| {
            s.settings().limit_req.level = s.one_of(0, &keyed::LEVELS)?;
            Ok(())
        }),
    ),
    Row::new(
        "limit_req_status",
        HSL,
        (1, 1),
        "CODE",
        "503",
        "The status that refused requests are answered with; 429 says best what it is.",
        Set(|s| {
            s.settings().limit_req.status = keyed::status(s)?;
            Ok(())
        }),
    ),
    Row::new(
        "limit_req_zone",
        H,
        (3, 3),
        "KEY zone=NAME:SIZE rate=NUMBER(r/s | r/m)",
        "",
        "What requests are counted by, and how many of each key may come in a second or a minute. An empty KEY is not \
         counted. All workers share the zone; it takes 16 bytes for each key (1m: 65536 of them), and keeps those that \
         are above their rate when there are more.",
        Set(zone),
    )
    .repeats(),
];

fn zone(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let (mut named, mut rate) = (None, 1000);
    for index in 1..s.count() {
        let word = s.text(index).to_owned();
        if word.starts_with("zone=") {
            named = Some(keyed::name_and_size(s, &word)?);
        } else if let Some(text) = word.strip_prefix("rate=") {
            let per = |unit, scale| text.strip_suffix(unit).map(|number| (number, scale));
            let (number, scale) = per("r/s", 1).or_else(|| per("r/m", 60)).unwrap_or((text, 1));
            let number = conf::number(number).filter(|number| *number > 0);
            let number = number.ok_or_else(|| s.wrong(format!("invalid rate \"{word}\"")))?;
            rate = number.min(HIGHEST_RATE) * bucket::ONE / scale;
        } else {
            return Err(s.wrong(format!("invalid parameter \"{word}\"")));
        }
    }
    keyed::declare(s, named, Some(rate), Use::Requests)
}

fn limit(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let (mut zone, mut burst, mut free) = (None, 0, 0);
    for index in 0..s.count() {
        let word = s.text(index).to_owned();
        let count = |text: &str, what: &str| {
            let number = conf::number(text).filter(|number| *number > 0);
            number.ok_or_else(|| s.wrong(format!("invalid {what} value \"{word}\"")))
        };
        if let Some(name) = word.strip_prefix("zone=") {
            zone = Some(keyed::find(s.make, name, 0, Use::Requests).map_err(|why| s.wrong(why))?);
        } else if let Some(text) = word.strip_prefix("burst=") {
            burst = count(text, "burst")?;
        } else if let Some(text) = word.strip_prefix("delay=") {
            free = count(text, "delay")?.saturating_mul(bucket::ONE);
        } else if word == "nodelay" {
            free = u64::MAX;
        } else {
            return Err(s.wrong(format!("invalid parameter \"{word}\"")));
        }
    }
    let Some(zone) = zone else { return Err(s.wrong("\"limit_req\" must have \"zone\" parameter")) };
    let most = bucket::MOST / bucket::ONE - 1;
    if burst > most {
        let warning = s.wrong(format!("burst={burst} is more than can be counted: {most} is taken"));
        s.make.warn(warning);
        burst = most;
    }
    let mut limits = if s.first { Vec::new() } else { (*s.block.settings.limit_req.limits).clone() };
    if limits.iter().any(|limit| Arc::ptr_eq(&limit.zone, &zone)) {
        return Err(s.wrong("\"limit_req\" directive is duplicate"));
    }
    limits.push(Limit { zone, burst: burst * bucket::ONE, free });
    s.settings().limit_req.limits = Arc::new(limits);
    Ok(())
}
