//! The directives of nginx's gzip and gunzip modules, of ngx_brotli and of the zstd module.

use conf::{Diagnostic, Directive};

use super::{Rule, Settings};
use crate::config::arguments::{check, text};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::{self, Set, Tuning};
use crate::config::row::{MANY, Row};

/// A directive that stands once in http, server and location.
const fn row(
    name: &'static str,
    arguments: (usize, usize),
    syntax: &'static str,
    default: &'static str,
    doc: &'static str,
    action: Action,
) -> Row {
    Row::new(name, HSL, arguments, syntax, default, doc, action)
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "brotli",
        HSLI,
        (1, 1),
        "on | off",
        "off",
        "Whether answers are compressed with Brotli for clients that accept it. Of several codings that a client likes as \
         well, `zstd` comes first, then `brotli`, then `gzip`; what `gzip_proxied` and its like say holds for all.",
        Set(|s| s.set_flag(|x| &mut x.compression.brotli.on)),
    ),
    row("brotli_buffers", (2, 2), "NUMBER SIZE", "16 8k", "Without effect.", Tuning(check::buffers)),
    row(
        "brotli_comp_level",
        (1, 1),
        "LEVEL",
        "4",
        "How hard to compress, from 0 to 11. The default costs less than gzip for the same length; each level from 5 on \
         costs half as much again, and 10 and 11 a second and more for 1 MB.",
        Set(|s| {
            level(s, |x| &mut x.brotli, (0, 11))?;
            if s.block.settings.compression.brotli.level >= 10 {
                let warning = s.wrong("\"brotli_comp_level\" 10 and 11 hold up all other requests for long");
                s.make.warn(warning.hint("compress files in advance for them: see `brotli_static`"));
            }
            Ok(())
        }),
    ),
    row(
        "brotli_min_length",
        (1, 1),
        "LENGTH",
        "20",
        "Shorter answers are not compressed with Brotli, if their length is known.",
        Set(|s| min_length(s, |x| &mut x.brotli)),
    ),
    row(
        "brotli_types",
        (1, MANY),
        "TYPE ... | *",
        "text/html",
        "Media types of answers that are compressed with Brotli, beside text/html.",
        Set(|s| types(s, |x| &mut x.brotli)),
    )
    .repeats(),
    row(
        "brotli_window",
        (1, 1),
        "SIZE",
        "512k",
        "Without effect: a window of up to 256k is used.",
        Tuning(check::size),
    ),
    row(
        "gunzip",
        (1, 1),
        "on | off",
        "off",
        "Whether answers in gzip are uncompressed for clients that do not accept it.",
        Set(|s| s.set_flag(|x| &mut x.compression.gunzip)),
    ),
    row("gunzip_buffers", (2, 2), "NUMBER SIZE", "32 4k", "Without effect.", Tuning(check::buffers)),
    Row::new(
        "gzip",
        HSLI,
        (1, 1),
        "on | off",
        "off",
        "Whether answers of status 200, 403 and 404 are compressed with gzip for clients that accept it. What an \
         application sends bit by bit is passed on as it comes.",
        Set(|s| s.set_flag(|x| &mut x.compression.gzip.on)),
    ),
    row("gzip_buffers", (2, 2), "NUMBER SIZE", "32 4k", "Without effect.", Tuning(check::buffers)),
    row(
        "gzip_comp_level",
        (1, 1),
        "LEVEL",
        "1",
        "How hard to compress, from 1 to 9.",
        Set(|s| level(s, |x| &mut x.gzip, (1, 9))),
    ),
    row("gzip_hash", (1, 1), "SIZE", "128k", "Without effect.", Tuning(hash)),
    row(
        "gzip_min_length",
        (1, 1),
        "LENGTH",
        "20",
        "Shorter answers are not compressed with gzip, if their length is known.",
        Set(|s| min_length(s, |x| &mut x.gzip)),
    ),
    row("gzip_no_buffer", (1, 1), "on | off", "off", "Without effect.", Tuning(check::flag)),
    row(
        "gzip_types",
        (1, MANY),
        "TYPE ... | *",
        "text/html",
        "Media types of answers that are compressed with gzip, beside text/html.",
        Set(|s| types(s, |x| &mut x.gzip)),
    )
    .repeats(),
    row("gzip_window", (1, 1), "SIZE", "32k", "Without effect.", Tuning(window)),
    row("postpone_gzipping", (1, 1), "SIZE", "0", "Without effect.", Tuning(check::size)),
    Row::new(
        "zstd",
        HSLI,
        (1, 1),
        "on | off",
        "off",
        "Whether answers are compressed with Zstandard for clients that accept it, see `brotli`.",
        Set(|s| s.set_flag(|x| &mut x.compression.zstd.on)),
    ),
    row("zstd_buffers", (2, 2), "NUMBER SIZE", "32 4k", "Without effect.", Tuning(check::buffers)),
    row(
        "zstd_comp_level",
        (1, 1),
        "LEVEL",
        "1",
        "How hard to compress, from 1 to 22, or less than 0 for less work. With a level above 9 a short answer takes \
         milliseconds.",
        Set(zstd_level),
    ),
    row(
        "zstd_min_length",
        (1, 1),
        "LENGTH",
        "20",
        "Shorter answers are not compressed with Zstandard, if their length is known.",
        Set(|s| min_length(s, |x| &mut x.zstd)),
    ),
    row(
        "zstd_types",
        (1, MANY),
        "TYPE ... | *",
        "text/html",
        "Media types of answers that are compressed with Zstandard, beside text/html.",
        Set(|s| types(s, |x| &mut x.zstd)),
    )
    .repeats(),
];

fn level(
    s: &mut Setter<'_>,
    rule: fn(&mut Settings) -> &mut Rule,
    (least, most): (u64, u64),
) -> Result<(), Diagnostic> {
    let level = s.number(0)?;
    if !(least..=most).contains(&level) {
        return Err(s.wrong(format!("value must be between {least} and {most}")));
    }
    rule(&mut s.settings().compression).level = level as i32;
    Ok(())
}

fn zstd_level(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let level: Option<i32> = s.text(0).parse().ok();
    let level = level.filter(|level| *level != 0 && (-100..=22).contains(level));
    let Some(level) = level else {
        return Err(s.wrong("value must be between 1 and 22, or between -100 and -1"));
    };
    s.settings().compression.zstd.level = level;
    Ok(())
}

fn min_length(s: &mut Setter<'_>, rule: fn(&mut Settings) -> &mut Rule) -> Result<(), Diagnostic> {
    let length = s.size(0)?;
    rule(&mut s.settings().compression).min_length = length;
    Ok(())
}

fn types(s: &mut Setter<'_>, rule: fn(&mut Settings) -> &mut Rule) -> Result<(), Diagnostic> {
    let mut types = rule(&mut s.settings().compression).types.clone();
    types.set(s)?;
    rule(&mut s.settings().compression).types = types;
    Ok(())
}

/// A power of two in KB, or 512, up to `most` KB.
fn power(it: &Directive, most: u64, all: &str) -> Result<(), Diagnostic> {
    check::size(it)?;
    let size = conf::size(text(it, 0)).unwrap_or_default();
    if size.is_power_of_two() && (512..=most << 10).contains(&size) {
        return Ok(());
    }
    Err(Diagnostic::of(it, format!("\"{}\" directive must be {all}", it.name.text)))
}

fn window(it: &Directive) -> Result<(), Diagnostic> {
    power(it, 32, "512, 1k, 2k, 4k, 8k, 16k, or 32k")
}

fn hash(it: &Directive) -> Result<(), Diagnostic> {
    power(it, 128, "512, 1k, 2k, 4k, 8k, 16k, 32k, 64k, or 128k")
}
