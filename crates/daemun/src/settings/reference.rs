//! Texts made from the table: `--help`, `--print-config`, the reference page of the settings, and the keywords of
//! `daemun.run`.

use std::fmt::Write as _;

use super::table::{self, Kind, Row, Support};
use super::value::python;
use super::{PROGRAM, USAGE};
use crate::host::SettingValue;

/// What `--version` prints.
pub fn version() -> String {
    format!("{PROGRAM} {}\n", env!("CARGO_PKG_VERSION"))
}

/// What `--help` prints.
pub fn help() -> String {
    let mut out = format!(
        "usage: {USAGE}\n\n\
         Serves a Python application over HTTP. MODULE is imported from the current directory; CALLABLE is\n\
         `application` if not given. The options of Gunicorn and of Uvicorn are understood; `daemun uvicorn ...` has\n\
         Uvicorn's defaults, too. `daemun -c nginx.conf` and `daemun nginx ...` are nginx's command line: `daemun -h`.\n\n  \
         --help\n        show this help\n  --version\n        show the version\n"
    );
    for section in table::SECTIONS {
        let mut rows = section.rows.iter().filter(|row| row.has_option()).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = write!(out, "\n{}:\n", section.title);
        for row in rows {
            let _ = writeln!(out, "  {}", options(row));
            let _ = write!(out, "        {}", row.summary());
            match row.default.value() {
                SettingValue::None | SettingValue::Bool(_) => {}
                SettingValue::List(items) if items.is_empty() => {}
                SettingValue::Str(text) if text.is_empty() => {}
                default => {
                    let _ = write!(out, " [{}]", plain(&default));
                }
            }
            let _ = match row.support {
                Support::Full | Support::Silent => writeln!(out),
                Support::Warn(_) => writeln!(out, " (no effect)"),
                Support::Later | Support::Refuse => writeln!(out, " (not supported yet)"),
                Support::Cannot(..) => writeln!(out, " (not supported)"),
            };
        }
    }
    out
}

/// `-b ADDRESS, --bind ADDRESS`
fn options(row: &Row) -> String {
    let value = if row.meta.is_empty() { String::new() } else { format!(" {}", row.meta) };
    let short = row.short.map(|short| format!("-{short}"));
    let all = short.into_iter().chain(row.options().map(String::from));
    all.map(|option| format!("{option}{value}")).collect::<Vec<_>>().join(", ")
}

/// What `--print-config` prints: a line for each setting, in the order of their names.
pub(super) fn print_config(value: &dyn Fn(&Row) -> SettingValue) -> String {
    let mut rows: Vec<&Row> = table::rows().collect();
    rows.sort_by_key(|row| row.name);
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for row in rows {
        let shown = match (row.kind, value(row)) {
            (Kind::Commas, SettingValue::Str(text)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                plain(&SettingValue::List(items.map(|item| SettingValue::Str(item.into())).collect()))
            }
            (Kind::Secret, SettingValue::Str(_)) => "********".to_owned(),
            (_, value) => plain(&value),
        };
        let _ = writeln!(out, "{:width$} = {shown}", row.name);
    }
    out
}

/// A value as Python's `str` writes it.
fn plain(value: &SettingValue) -> String {
    match value {
        SettingValue::Str(text) => text.clone(),
        other => python(other),
    }
}

/// The reference page of all settings, in Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         Made from the table in `crates/daemun/src/settings/table/`; `make docs` writes it anew.\n\n\
         Settings stand in the configuration file (`gunicorn.conf.py`) under their names, unless it says otherwise\n\
         here; most are options of the command line, too. A later source wins over an earlier one: defaults, environment (`PORT`,\n\
         `WEB_CONCURRENCY`, `FORWARDED_ALLOW_IPS`, `SENDFILE`), Uvicorn's variables, configuration file,\n\
         `GUNICORN_CMD_ARGS`, command line.\n\n\
         Options may be cut short while they stay unambiguous; those that only Uvicorn has make no other one ambiguous.\n\n\
         ## Gunicorn's place, or Uvicorn's\n\n\
         The options of both are understood, whatever the program is called. `daemun gunicorn ...` and\n\
         `daemun uvicorn ...`, or a link to the program that is named `gunicorn` or `uvicorn`, say whose place it takes:\n\n\
         - As `uvicorn` it logs requests to standard output and keeps idle connections for 5 seconds if nobody says\n  \
           anything. `gunicorn.conf.py` is read only when `--config` names it, and `GUNICORN_CMD_ARGS`, `PORT` and\n  \
           `SENDFILE` do not count. What stays Gunicorn's: a worker that ends has `graceful_timeout`, 30 seconds, for\n  \
           its requests.\n\
         - As `gunicorn` the variables `UVICORN_...` do not count.\n\n\
         An application that is named like one of them is written with a colon, `uvicorn:app`. The application may also\n\
         stand in `UVICORN_APP`.\n\n\
         ## From Python\n\n\
         `daemun.run(app, port=8000, workers=4)` serves an application, or the one of that name, until the server is told\n\
         to end; SystemExit is raised if it cannot start. It takes the settings by their names or by Uvicorn's, with the\n\
         defaults of `uvicorn`; of the environment only `WEB_CONCURRENCY` and `FORWARDED_ALLOW_IPS` count. It is to be\n\
         called from the main thread, before others are started, because the workers are forked from it; and under\n\
         `if __name__ == \"__main__\":`, because they import the application. With `reload=True` the server runs in an\n\
         interpreter of its own.\n",
    );
    for section in table::SECTIONS {
        let _ = write!(out, "\n## {}\n", section.title);
        for row in section.rows {
            let _ = write!(out, "\n### `{}`\n\n", row.name);
            if row.has_option() {
                let _ = write!(out, "`{}`. ", options(row).replace(", ", "`, `"));
            } else {
                out.push_str("Configuration file only. ");
            }
            if let Some(variable) = row.variable() {
                let _ = write!(out, "Variable: `{variable}`. ");
            }
            if !row.in_file {
                out.push_str("Not in the configuration file. ");
            }
            let _ = write!(out, "Takes {}. Default: `{}`.\n\n{}\n", takes(row), python(&row.default.value()), row.doc);
            match row.support {
                Support::Full | Support::Silent => {}
                Support::Warn(why) => {
                    let _ = write!(out, "\nAccepted without effect, with a warning: {why}.\n");
                }
                Support::Later => out.push_str(
                    "\nNot supported yet: on the command line an error, in the configuration file ignored with a \
                     warning.\n",
                ),
                Support::Refuse => out.push_str("\nNot supported yet: any value but the default is an error.\n"),
                Support::Cannot(why, instead) => {
                    let _ = write!(out, "\nAn error, because {why}. What to do: {instead}.\n");
                }
            }
        }
    }
    out
}

/// The keywords of `daemun.run`, as a module of Python. Not among them: what asks for no server.
pub fn keywords_python() -> String {
    let mut names: Vec<&str> = table::rows()
        .filter(|row| !["wsgi_app", "check_config", "print_config"].contains(&row.name))
        .flat_map(|row| [row.name, row.keyword])
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut out = String::from(
        "\"\"\"What `daemun.run` takes, by Gunicorn's, Uvicorn's and Daemun's names. Made from the table in\n\
         `crates/daemun/src/settings/table/`; `make docs` writes it anew.\"\"\"\n\nKEYWORDS = frozenset(\n    (\n",
    );
    for name in names {
        let _ = writeln!(out, "        \"{name}\",");
    }
    out.push_str("    )\n)\n");
    out
}

/// What values a setting takes, in words.
fn takes(row: &Row) -> String {
    match row.kind {
        Kind::Switch if !row.has_option() => "`True` or `False`".into(),
        Kind::Switch if !row.in_file => "no value".into(),
        Kind::YesNo if row.in_file => {
            "no value, the second option says no; in the configuration file `True` or `False`".into()
        }
        Kind::List if !row.in_file => "text, and may stand several times".into(),
        Kind::Switch => "no value; in the configuration file `True` or `False`".into(),
        Kind::Off => "no value, and says no; in the configuration file `True` or `False`".into(),
        Kind::YesNo => "no value; the second option says no".into(),
        Kind::Seconds(_) => "a number of seconds, with a fraction or without".into(),
        Kind::Int(low, i64::MAX) => format!("a whole number from {low}"),
        Kind::Int(low, high) => format!("a whole number from {low} to {high}"),
        Kind::Mode => "a number, octal if it begins with 0".into(),
        Kind::Text | Kind::Secret => "text".into(),
        Kind::List => "text, and may stand several times; in the configuration file a list".into(),
        Kind::Commas => "text with commas".into(),
        Kind::Choice(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            super::value::alternatives(&words.iter().map(String::as_str).collect::<Vec<_>>())
        }
        Kind::OnOff => "`on` or `off`; in the configuration file also `True` or `False`".into(),
        Kind::Account => "a name or a number".into(),
        Kind::Dict => "a dictionary".into(),
        Kind::Hook => "a function".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_shows_every_option_once() {
        let help = help();
        for row in table::rows() {
            for flag in row.options() {
                let shown = help.matches(&format!("{flag} {}", row.meta)).count()
                    + if row.meta.is_empty() { help.matches(&format!("{flag}\n")).count() } else { 0 }
                    + help.matches(&format!("{flag}, --no-")).count();
                assert!(shown >= 1, "{flag}");
            }
        }
        assert!(help.contains("  -b ADDRESS, --bind ADDRESS\n        Listen here"), "{help}");
    }

    #[test]
    fn the_reference_has_a_chapter_for_every_setting() {
        let page = reference_markdown();
        for row in table::rows() {
            assert_eq!(page.matches(&format!("\n### `{}`\n", row.name)).count(), 1);
        }
    }

    #[test]
    fn the_configuration_is_printed_in_gunicorns_form() {
        let text = print_config(&|row| row.default.value());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.is_sorted(), "{text}");
        for line in [
            "bind                               = ['127.0.0.1:8000']",
            "forwarded_allow_ips                = ['127.0.0.1', '::1']",
            "loglevel                           = info",
            "pidfile                            = None",
            "preload_app                        = False",
        ] {
            assert!(lines.contains(&line), "{line}\n{text}");
        }
    }
}
