//! Texts made from the table: `--help`, `--print-config`, and the reference page of the settings.

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
         `application` if not given.\n\n  -h, --help\n        show this help\n  -v, --version\n        show the version\n"
    );
    for section in table::SECTIONS {
        let mut rows = section.rows.iter().filter(|row| !row.flags.is_empty()).peekable();
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
            };
        }
    }
    out
}

/// `-b ADDRESS, --bind ADDRESS`
fn options(row: &Row) -> String {
    let value = if row.meta.is_empty() { String::new() } else { format!(" {}", row.meta) };
    let short = row.short.map(|short| format!("-{short}"));
    let all = short.iter().map(String::as_str).chain(row.flags.iter().copied());
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
         Every setting can stand in the configuration file (`gunicorn.conf.py`) under its name; most are options of\n\
         the command line, too. A later source wins over an earlier one: defaults, environment (`PORT`,\n\
         `WEB_CONCURRENCY`, `SENDFILE`), configuration file, `GUNICORN_CMD_ARGS`, command line.\n",
    );
    for section in table::SECTIONS {
        let _ = write!(out, "\n## {}\n", section.title);
        for row in section.rows {
            let _ = write!(out, "\n### `{}`\n\n", row.name);
            if row.flags.is_empty() {
                out.push_str("Configuration file only. ");
            } else {
                let _ = write!(out, "`{}`. ", options(row).replace(", ", "`, `"));
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
            }
        }
    }
    out
}

/// What values a setting takes, in words.
fn takes(row: &Row) -> String {
    match row.kind {
        Kind::Switch if row.flags.is_empty() => "`True` or `False`".into(),
        Kind::Switch => "no value; in the configuration file `True` or `False`".into(),
        Kind::Off => "no value, and says no; in the configuration file `True` or `False`".into(),
        Kind::Int(low, i64::MAX) => format!("a whole number from {low}"),
        Kind::Int(low, high) => format!("a whole number from {low} to {high}"),
        Kind::Mode => "a number, octal if it begins with 0".into(),
        Kind::Text => "text".into(),
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
            for flag in row.flags {
                let shown = help.matches(&format!("{flag} {}", row.meta)).count()
                    + if row.meta.is_empty() { help.matches(&format!("{flag}\n")).count() } else { 0 };
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
