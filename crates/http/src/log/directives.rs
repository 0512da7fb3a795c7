//! `access_log`, `log_format` and their kin.

use std::sync::Arc;

use conf::Diagnostic;

use super::access::Place;
use super::files::Limits;
use super::target::Target;
use super::{Escaping, Format};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{MANY, Row};

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "access_log",
        HSLIX,
        (1, MANY),
        "off | TARGET [FORMAT [buffer=SIZE] [flush=TIME] [gzip[=LEVEL]] [if=CONDITION]]",
        "logs/access.log combined",
        "Where each request is logged: a file (its path may have variables) or `syslog:server=...`, in a FORMAT \
         that `log_format` names. `buffer` and `flush` write many lines at once, and `if` leaves out requests for \
         which CONDITION is empty or `0`.",
        Set(access_log),
    )
    .repeats(),
    Row::new(
        "log_format",
        H,
        (2, MANY),
        "NAME [escape=default | json | none] [style=nginx | gunicorn | json] TEXT ...",
        "combined \"...\"",
        "Names a format for `access_log`: a TEXT with variables. `escape` says how their values are made safe; \
         `style=gunicorn` takes Gunicorn's atoms, and `style=json` writes each request as an object.",
        Set(log_format),
    )
    .repeats(),
    Row::new(
        "open_log_file_cache",
        HSL,
        (1, 4),
        "off | max=NUMBER [inactive=TIME] [min_uses=NUMBER] [valid=TIME]",
        "off",
        "How many log files whose paths have variables (`max`) stay open, and for how long without use \
         (`inactive`); otherwise such a file is opened for each line.",
        Set(open_cache),
    ),
];

fn access_log(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let words: Vec<String> = s.it.args.iter().map(|word| word.text.clone()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(format) = words.get(1).filter(|_| words[0] != "off")
        && !s.make.formats.contains_key(*format)
    {
        return Err(s.wrong(format!("unknown log format \"{format}\"")));
    }
    let parsed = Target::access(&words).map_err(|(_, why)| s.wrong(why))?;
    let Some(parsed) = parsed else {
        s.settings().access_logs = Arc::default();
        return Ok(());
    };
    let mut target = parsed.target;
    if target.name == "-" {
        target.place = super::target::Place::Stdout;
    }
    let format = s.make.formats[&parsed.format].clone();
    let index = match s.make.logs.iter().position(|known| *known == target) {
        Some(index) => index,
        None => {
            s.make.logs.push(target.clone());
            s.make.logs.len() - 1
        }
    };
    let mut place = Place::new(index, format);
    if let Some(condition) = &parsed.condition {
        place.condition = Some(Arc::new(s.compile(condition)?));
    }
    if target.has_variables() {
        // As nginx does, what does not begin with a slash as it is written is below the prefix.
        let name = if target.name.starts_with('/') {
            target.name.clone()
        } else {
            s.make.path(&target.name).display().to_string()
        };
        place.path = Some(Arc::new(s.compile(&name)?));
    }
    let first = s.first;
    let logs = Arc::make_mut(&mut s.settings().access_logs);
    if first {
        logs.clear();
    }
    logs.push(place);
    Ok(())
}

fn log_format(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = s.text(0).to_owned();
    // As in nginx, a format of our own names may be given anew, `combined` may not.
    let own = matches!(name.as_str(), "json" | "gunicorn") && !s.make.named_formats.contains(&name);
    if s.make.formats.contains_key(&name) && !own {
        return Err(s.wrong(format!("duplicate \"log_format\" name \"{name}\"")));
    }
    let mut escaping = Escaping::Default;
    let mut style = "nginx";
    let mut from = 1;
    while from < s.count() {
        if let Some(word) = s.text(from).strip_prefix("escape=") {
            escaping =
                Escaping::parse(word).ok_or_else(|| s.wrong(format!("unknown log format escaping \"{word}\"")))?;
        } else if let Some(word) = s.text(from).strip_prefix("style=") {
            style = match word {
                "nginx" => "nginx",
                "gunicorn" => "gunicorn",
                "json" => "json",
                other => {
                    return Err(s.wrong(format!("invalid value \"{other}\"")).hint("one of: nginx, gunicorn, json"));
                }
            };
        } else {
            break;
        }
        from += 1;
    }
    let text: String = s.it.args[from.min(s.count())..].iter().map(|word| word.text.as_str()).collect();
    let format = match style {
        "json" => Format::Json,
        "gunicorn" => Format::parse(&text).map_err(|why| s.wrong(format!("access log format: {why}")))?,
        _ => Format::Template(s.compile(&text)?, escaping),
    };
    s.make.named_formats.push(name.clone());
    s.make.formats.insert(name, Arc::new(format));
    Ok(())
}

fn open_cache(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let words: Vec<String> = s.it.args.iter().map(|word| word.text.clone()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    s.settings().log_cache = Limits::parse(&words).map_err(|(_, why)| s.wrong(why))?;
    Ok(())
}
