//! Directives of nginx that this does not have yet: TLS, newer protocols, proxying, authentication,
//! limits. A configuration may have them, with nginx's contexts and numbers of arguments; a warning says what they mean
//! until they work.

mod families;
mod others;
mod tls;

use conf::{Diagnostic, Directive};

use super::Handler;
use super::arguments::{check, text};
use super::build::Setter;
use super::row::Row;
use crate::variables::registry::Source;

/// The table: families of names, then TLS and protocols, then the others.
pub const ROWS: &[Row] = &joined::<{ count(PARTS) }>(PARTS);

const PARTS: &[&[Row]] = &[
    families::PROXY,
    families::PROXY_KEPT,
    families::FASTCGI,
    families::FASTCGI_COMMON,
    families::FASTCGI_ANSWERS,
    families::FASTCGI_BUFFERED,
    families::FASTCGI_KEPT,
    families::UWSGI,
    families::UWSGI_COMMON,
    families::UWSGI_ANSWERS,
    families::UWSGI_BUFFERED,
    families::UWSGI_KEPT,
    crate::upstream::tls::UWSGI,
    families::SCGI,
    families::SCGI_COMMON,
    families::SCGI_ANSWERS,
    families::SCGI_BUFFERED,
    families::SCGI_KEPT,
    families::MEMCACHED,
    families::MEMCACHED_COMMON,
    families::TUNNEL,
    families::TUNNEL_COMMON,
    tls::PROTOCOLS,
    tls::ACME,
    others::REST,
];

const fn count(parts: &[&[Row]]) -> usize {
    let (mut part, mut all) = (0, 0);
    while part < parts.len() {
        all += parts[part].len();
        part += 1;
    }
    all
}

const fn joined<const N: usize>(parts: &[&[Row]]) -> [Row; N] {
    let mut rows = [parts[0][0]; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            rows[at] = parts[part][index];
            (at, index) = (at + 1, index + 1);
        }
        part += 1;
    }
    rows
}

/// Rows, one a line: `"NAME" CONTEXTS (LEAST, MOST) "SYNTAX" "DEFAULT" "DOCUMENTATION" => ACTION(ARGUMENT), repeats;`
/// Names begin with the prefix.
macro_rules! rows {
    ($prefix:literal $($name:literal $contexts:ident ($least:expr, $most:expr) $syntax:literal $default:literal $doc:literal
        => $action:ident($what:expr) $(, $repeats:ident)?;)*) => {
        &[$(Row::new(concat!($prefix, $name), $contexts, ($least, $most), $syntax, $default, $doc, Action::$action($what))
            $(.$repeats())?),*]
    };
}
use rows;

/// Directives whose work is to answer.
const HANDLERS: [&str; 5] = ["fastcgi_pass", "memcached_pass", "scgi_pass", "tunnel_pass", "uwsgi_pass"];

/// Whether a directive says only what holds anyway, like `slice 0`: no warning is due.
pub fn is_default(row: &Row, it: &Directive) -> bool {
    let mut words = row.default.split(' ');
    it.args.iter().all(|word| words.next() == Some(&word.text)) && words.next().is_none()
}

/// Checks an argument whose kind the syntax tells.
pub fn check(row: &Row, it: &Directive) -> Result<(), Diagnostic> {
    if it.args.iter().any(|word| word.text.contains('$')) {
        return Ok(());
    }
    match row.syntax {
        "on | off" => check::flag(it),
        "NUMBER" => check::number(it),
        "SIZE" => check::offset(it),
        "TIME" => check::time(it).or_else(|problem| conf::time_s(text(it, 0)).map(drop).ok_or(problem)),
        "NUMBER SIZE" => check::buffers(it),
        _ => Ok(()),
    }
}

/// What a directive of this table means for the block it stands in: what should have answered is known by name, so that
/// it can be told.
pub fn note(s: &mut Setter<'_>) {
    let (name, value) = (s.name(), text(s.it, 0));
    if let Some(handler) = HANDLERS.into_iter().find(|handler| *handler == name) {
        let own = &mut s.block.own.location;
        own.handler = Handler::Later(handler);
        own.handled_by = Some(handler);
    } else if name == "json_set" {
        match value.strip_prefix('$') {
            Some(variable) if !variable.is_empty() => {
                s.make.registry.define(variable, Source::Assigned, &s.it.name.at);
            }
            _ => s.make.problems.push(Diagnostic::of(s.it, format!("invalid variable name \"{value}\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Built, Config, Place};
    use super::*;

    fn build(http: &str) -> Built {
        let tree = conf::parse_alone("test", &format!("http {{ {http} }}")).unwrap_or_else(|p| panic!("{p:?}"));
        Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn warnings(http: &str) -> Vec<String> {
        build(http).warnings.into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn there_is_no_short_way_past_protection() {
        let only = |http: &str| build(http).config.servers[0].only.is_some();
        assert!(only("server { location / { python_pass app; } }"));
        assert!(!only("auth_basic x; auth_basic_user_file f; server { location / { python_pass app; } }"));
        assert!(!only("server { deny all; location / { python_pass app; } }"));
        assert!(!only("server { location / { python_pass app; limit_except GET { deny all; } } }"));
        assert!(!only("set_real_ip_from 1.1.1.1; server { location / { python_pass app; } }"));
        assert!(!only("server { location / { python_pass app; userid on; } }"));
        assert!(!only("server { location / { python_pass app; if ($uri) { return 403; } } }"));
        assert!(!only("server { return 404; location / { python_pass app; } }"));
        assert!(only("server { add_header A b; client_max_body_size 1; location / { python_pass app; expires 1h; } }"));
    }

    #[test]
    fn handlers_are_known_by_name() {
        let config = build("server { location / { uwsgi_pass a; if ($uri) { fastcgi_pass a; } } }").config;
        let handlers: Vec<_> = config.locations.iter().map(|location| location.handler).collect();
        assert!(handlers.contains(&Handler::Later("uwsgi_pass")), "{handlers:?}");
        assert!(handlers.contains(&Handler::Later("fastcgi_pass")), "{handlers:?}");
        assert_eq!(handlers[0], Handler::Files);
    }

    #[test]
    fn one_warning_for_a_name_and_none_for_what_holds_anyway() {
        let found = warnings("post_action /a; server { post_action /b; }");
        assert_eq!(found, ["\"post_action\" is not supported yet: nothing is called"]);
        assert!(warnings("slice 0; fastcgi_buffers 4 8k; server { }").is_empty());
    }

    #[test]
    fn values_are_checked() {
        for (http, why) in [
            (
                "fastcgi_keep_conn perhaps;",
                "invalid value \"perhaps\" in \"fastcgi_keep_conn\" directive, it must be \"on\" or \"off\"",
            ),
            ("uwsgi_read_timeout 1x;", "\"uwsgi_read_timeout\" directive invalid value"),
            ("uwsgi_buffers 0 8k;", "\"uwsgi_buffers\" directive invalid value"),
        ] {
            let tree = conf::parse_alone("test", &format!("http {{ {http} }}")).unwrap_or_else(|p| panic!("{p:?}"));
            let problems = Config::build(&tree, &Place::default()).err().unwrap_or_default();
            assert!(problems.iter().any(|problem| problem.message == why), "{http}: {problems:?}");
        }
    }

    #[test]
    fn names_stand_in_one_family() {
        let mut seen = std::collections::HashSet::new();
        for row in ROWS {
            assert!(seen.insert((row.name, row.contexts.to_string())), "{}", row.name);
        }
        assert_eq!(ROWS.len(), count(PARTS));
    }
}
