//! Texts made from the tables: the reference page of directives and variables, and what `help` prints of one.

use std::fmt::Write as _;

use super::known;
use super::row::{Action, Row};
use super::table;
use crate::variables;

/// `docs/reference/directives.md`
pub fn markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    let own = table::CHAPTERS.iter().filter(|(title, _)| *title != table::LATER);
    let mut rest: Vec<&Row> =
        own.clone().flat_map(|(_, rows)| rows.iter()).filter(|row| until_then(row).is_some()).collect();
    rest.extend(super::later::ROWS);
    let titles = own.clone().map(|(title, _)| *title).chain(["Variables", table::LATER, "Known and refused"]);
    for title in titles {
        let _ = writeln!(out, "- [{title}](#{})", anchor(title));
    }
    for (title, rows) in own {
        let _ = writeln!(out, "\n## {title}");
        for row in rows.iter().filter(|row| until_then(row).is_none()) {
            chapter_entry(&mut out, row);
        }
    }
    out.push_str("\n## Variables\n\n");
    out.push_str(VARIABLES);
    for (name, doc) in variables::documentation() {
        let _ = writeln!(out, "- `${name}`: {doc}");
    }
    let _ = write!(out, "\n## {}\n\n{WARNED}", table::LATER);
    for row in rest {
        let _ = write!(out, "- `{}` ({}): {}", written(row), row.contexts, row.doc);
        let _ = match until_then(row) {
            Some(what) => writeln!(out, " Until then: {what}."),
            None => writeln!(out),
        };
    }
    out.push_str("\n## Known and refused\n\n");
    out.push_str(REFUSED);
    for (name, hint) in known::KNOWN {
        let _ = writeln!(out, "- `{name}`: {hint}");
    }
    out
}

/// What `help` prints of a directive (all its meanings) or of a `$variable`; `None`: there is no such thing.
pub fn help(name: &str) -> Option<String> {
    if let Some(variable) = name.strip_prefix('$') {
        let (shown, doc) = variables::documentation().into_iter().find(|(known, _)| names(known, variable))?;
        return Some(format!("${shown}\n    {doc}\n"));
    }
    let rows = table::find(name);
    if rows.is_empty() {
        return known::hint(name).map(|hint| format!("{name}\n    nginx has it, this does not: {hint}\n"));
    }
    let entries: Vec<String> = rows.iter().map(|row| help_entry(row)).collect();
    Some(entries.join("\n"))
}

/// The directive, or without its `$` the variable, whose name is nearest to one that there is no help for.
pub fn suggest(name: &str) -> Option<&'static str> {
    match name.strip_prefix('$') {
        Some(variable) => conf::nearest(variable, variables::names()),
        None => conf::nearest(name, table::names()),
    }
}

const INTRODUCTION: &str = "# Directives\n\n\
    Made from the tables in `crates/http/src/`; `make docs` writes it anew.\n\n\
    A configuration is written in nginx's language: directives that end with `;`, and blocks of them in `{ }`. What is \
    not set in a block is as in the block around it. A directive stands once in a block unless it says otherwise here. \
    `daemun help DIRECTIVE` prints an entry.\n\n\
    Sizes are in bytes, or have `k`, `m` or `g` behind them. Times are in seconds, or have `ms`, `s`, `m`, `h`, `d`, `w`, \
    `M` (30 days) or `y` behind them, and may be sums: `1h 30m`.\n\n";

const VARIABLES: &str = "Arguments that say so, and all that are text, may have these in them. `${name}` is the same as \
    `$name`. `$1` to `$9` are what a regular expression captured last; `set`, `map`, `geo`, `split_clients` and named \
    captures make more. NAME stands for any name.\n\n";

const WARNED: &str = "These are accepted, with the contexts and the numbers of arguments that nginx has for them, and \
    `-t` warns of those that mean something. Those that are `without effect` are only checked.\n\n";

const REFUSED: &str = "These are directives of nginx, or of modules that are common beside it. A configuration with one \
    of them is refused; the message says what to use.\n\n";

/// What an unsupported directive means until it works.
fn until_then(row: &Row) -> Option<&'static str> {
    match row.action {
        Action::Later(what) | Action::LaterBlock(what) => Some(what),
        _ => None,
    }
}

/// `NAME ARGUMENTS;`
fn written(row: &Row) -> String {
    let space = if row.syntax.is_empty() { "" } else { " " };
    let end = if row.syntax.ends_with('}') { "" } else { ";" };
    format!("{}{space}{}{end}", row.name, row.syntax)
}

fn chapter_entry(out: &mut String, row: &Row) {
    let _ = write!(out, "\n### `{}`", row.name);
    if table::find(row.name).len() > 1 {
        let _ = write!(out, " ({})", row.contexts);
    }
    let _ = write!(out, "\n\n```nginx\n{}\n```\n\n{}\n\n", written(row), row.doc);
    if !row.default.is_empty() {
        let _ = write!(out, "Default: `{}`. ", row.default);
    }
    let _ = write!(out, "Context: {}.", row.contexts);
    out.push_str(if row.repeats { " May stand several times.\n" } else { "\n" });
}

fn help_entry(row: &Row) -> String {
    let mut out = format!("{}\n    {}\n", written(row), row.doc);
    let _ = writeln!(out, "    context: {}", row.contexts);
    if !row.default.is_empty() {
        let _ = writeln!(out, "    default: {}", row.default);
    }
    if row.repeats {
        out.push_str("    may stand several times\n");
    }
    if let Some(what) = until_then(row) {
        let _ = writeln!(out, "    not supported yet: {what}");
    }
    out
}

/// Whether a documented name is a variable's: the same, or of its family, as `http_NAME` is of `http_host`.
fn names(documented: &str, variable: &str) -> bool {
    match documented.strip_suffix("NAME") {
        Some(prefix) => variable.len() > prefix.len() && variable.starts_with(prefix),
        None => documented == variable,
    }
}

/// A heading's anchor, as Markdown's readers make them.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_stands_once_for_each_meaning() {
        let page = markdown();
        for name in table::names() {
            let heading = format!("### `{name}`");
            let item = [format!("- `{name} "), format!("- `{name};")];
            let stands = page.lines().filter(|line| {
                line.strip_prefix(&*heading).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
                    || item.iter().any(|item| line.starts_with(&**item))
            });
            assert_eq!(stands.count(), table::find(name).len(), "{name}");
        }
    }

    #[test]
    fn every_link_of_the_contents_leads_somewhere() {
        let page = markdown();
        let headings: Vec<String> = page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
        let links: Vec<&str> = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert_eq!(links, headings);
    }

    #[test]
    fn help_of_directives() {
        let root = help("root").expect("a directive");
        assert!(root.starts_with("root DIRECTORY;\n"), "{root}");
        assert!(root.contains("context: http, server, location, if in location\n"), "{root}");
        assert!(root.contains("default: html\n"), "{root}");
        assert_eq!(help("error_log").expect("a directive").matches("error_log FILE").count(), 2);
        let later = help("fastcgi_pass").expect("a directive");
        assert!(later.contains("not supported yet: requests here are answered 502\n"), "{later}");
        assert!(help("lua_code_cache").expect("a known one").contains("there is no Lua in here"));
        assert_eq!(help("no_such_thing"), None);
    }

    #[test]
    fn help_of_variables() {
        assert!(help("$uri").expect("a variable").starts_with("$uri\n    the URI"));
        assert!(help("$http_x_token").expect("one of a family").starts_with("$http_NAME\n"));
        assert_eq!(help("$no_such_thing"), None);
        assert_eq!(help("$http_"), None);
    }

    #[test]
    fn what_is_nearest_is_suggested() {
        assert_eq!(suggest("server_nmae"), Some("server_name"));
        assert_eq!(suggest("$request_ui"), Some("request_uri"));
        assert_eq!(suggest("$"), None);
    }
}
