//! Every directive, once: where it may stand, its arguments, its default, what it is for, and what it sets.

use conf::{Diagnostic, Directive};
use wire::h1::encode;

use super::AccessLogSpec;
use super::build::{Block, LocationBuilder};

/// Blocks that a directive may stand in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    Http,
    Server,
    Location,
}

/// One directive.
pub struct Row {
    pub name: &'static str,
    pub contexts: &'static [Context],
    /// Fewest and most arguments.
    pub arguments: (usize, usize),
    /// Its syntax, for the reference.
    pub syntax: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    pub action: Action,
}

/// What a row does.
pub enum Action {
    /// Sets something in the block.
    Set(fn(&mut Block, &Directive) -> Result<(), Diagnostic>),
    /// Opens a block; handled by `build`.
    Open(Context),
    /// Says what answers in a location.
    Content(fn(&mut LocationBuilder, &Directive) -> Result<(), Diagnostic>),
}

use Action::{Content, Open, Set};
use Context::{Http, Location, Server};

const ANY: &[Context] = &[Http, Server, Location];
const TOP: &[Context] = &[Http, Server];

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row {
        name: "access_log",
        contexts: TOP,
        arguments: (1, 2),
        syntax: "access_log FILE [FORMAT] | off",
        default: "off",
        doc: "Writes a line per request to FILE (`-`: standard output). FORMAT has Gunicorn's atoms, or is `json`.",
        action: Set(|block, it| {
            block.access_log = (text(it, 0) != "off").then(|| AccessLogSpec {
                path: text(it, 0).to_owned(),
                format: it.args.get(1).map_or(crate::log::format::DEFAULT, |word| &word.text).to_owned(),
            });
            Ok(())
        }),
    },
    Row {
        name: "add_header",
        contexts: TOP,
        arguments: (3, 3),
        syntax: "add_header NAME VALUE always",
        default: "",
        doc: "Adds a field to every answer, whatever its status. A Server or Date of the answer's own takes its place.",
        action: Set(add_header),
    },
    Row {
        name: "alias",
        contexts: &[Location],
        arguments: (1, 1),
        syntax: "alias DIRECTORY",
        default: "",
        doc: "Serves the files of DIRECTORY: what follows the location's prefix in the path is looked up there.",
        action: Content(|location, it| location.alias(it)),
    },
    Row {
        name: "client_body_buffer_size",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "client_body_buffer_size SIZE",
        default: "16k",
        doc: "Request bodies up to SIZE are kept in memory, larger ones go to a temporary file.",
        action: Set(|block, it| size(it).map(|value| block.settings.client_body_buffer_size = value)),
    },
    Row {
        name: "client_body_temp_path",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "client_body_temp_path DIRECTORY",
        default: "the system's temporary directory",
        doc: "Where bodies that do not fit in memory are kept. The files have no names and are gone when closed.",
        action: Set(|block, it| {
            block.settings.temporary_path = Some(text(it, 0).into());
            Ok(())
        }),
    },
    Row {
        name: "client_body_timeout",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "client_body_timeout TIME",
        default: "60s",
        doc: "How long a client may pause while it sends a body, before it is answered 408.",
        action: Set(|block, it| time(it).map(|value| block.settings.client_body_timeout = value)),
    },
    Row {
        name: "client_header_timeout",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "client_header_timeout TIME",
        default: "60s",
        doc: "How long a client may take to send a request's head, before it is answered 408.",
        action: Set(|block, it| time(it).map(|value| block.settings.client_header_timeout = value)),
    },
    Row {
        name: "client_max_body_size",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "client_max_body_size SIZE",
        default: "1m",
        doc: "The largest request body; more is answered 413. 0 = no limit.",
        action: Set(|block, it| size(it).map(|value| block.settings.client_max_body_size = value)),
    },
    Row {
        name: "date_header",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "date_header on | off",
        default: "on",
        doc: "Whether answers have a Date field.",
        action: Set(|block, it| flag(it).map(|value| block.settings.date_header = value)),
    },
    Row {
        name: "forwarded_allow_ips",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "forwarded_allow_ips ADDRESSES",
        default: "",
        doc: "Proxies whose word is taken for a client's address and scheme: addresses and networks with commas between \
              them, or `*`.",
        action: Set(|block, it| {
            block.settings.forwarded_allow_ips = text(it, 0).to_owned();
            Ok(())
        }),
    },
    Row {
        name: "http",
        contexts: &[],
        arguments: (0, 0),
        syntax: "http { ... }",
        default: "",
        doc: "Everything about HTTP.",
        action: Open(Http),
    },
    Row {
        name: "keepalive_requests",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "keepalive_requests NUMBER",
        default: "1000",
        doc: "How many requests one connection may carry. 0 = no limit.",
        action: Set(|block, it| number(it).map(|value| block.settings.keepalive_requests = value)),
    },
    Row {
        name: "keepalive_timeout",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "keepalive_timeout TIME",
        default: "75s",
        doc: "How long a connection may wait for its next request. 0 closes it after each answer.",
        action: Set(|block, it| time(it).map(|value| block.settings.keepalive_timeout = value)),
    },
    Row {
        name: "limit_concurrency",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "limit_concurrency NUMBER",
        default: "0",
        doc: "How many requests of a worker the application may have at a time; more are answered 503. 0 = no limit.",
        action: Set(|block, it| number(it).map(|value| block.settings.limit_concurrency = value)),
    },
    Row {
        name: "location",
        contexts: &[Server],
        arguments: (1, 1),
        syntax: "location PREFIX { ... }",
        default: "",
        doc: "What answers requests whose decoded path begins with PREFIX; the longest one wins.",
        action: Open(Location),
    },
    Row {
        name: "python_pass",
        contexts: &[Location],
        arguments: (1, 1),
        syntax: "python_pass MODULE[:CALLABLE]",
        default: "",
        doc: "Calls a Python application in the worker itself.",
        action: Content(|location, it| location.python_pass(it)),
    },
    Row {
        name: "request_buffering",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "request_buffering on | off",
        default: "on",
        doc: "Reads a request's body whole before the application is called; off calls at once and streams it.",
        action: Set(|block, it| flag(it).map(|value| block.settings.request_buffering = value)),
    },
    Row {
        name: "request_field_size",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "request_field_size SIZE",
        default: "8190",
        doc: "The longest field line of a request; more is answered 431. 0 = only the whole head is limited.",
        action: Set(|block, it| size(it).map(|value| block.settings.limits.field_size = value as usize)),
    },
    Row {
        name: "request_fields",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "request_fields NUMBER",
        default: "1000",
        doc: "How many fields a request may have; more is answered 431.",
        action: Set(|block, it| number(it).map(|value| block.settings.limits.fields = value as usize)),
    },
    Row {
        name: "request_line_size",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "request_line_size SIZE",
        default: "8190",
        doc: "The longest request line; more is answered 414. 0 = only the whole head is limited.",
        action: Set(|block, it| size(it).map(|value| block.settings.limits.line = value as usize)),
    },
    Row {
        name: "root_path",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "root_path PATH",
        default: "",
        doc: "The path that the application is mounted under, as a proxy before this server has it.",
        action: Set(|block, it| {
            block.settings.root_path = text(it, 0).trim_end_matches('/').to_owned();
            Ok(())
        }),
    },
    Row {
        name: "secure_scheme_header",
        contexts: TOP,
        arguments: (2, 2),
        syntax: "secure_scheme_header NAME VALUE",
        default: "",
        doc: "A field by which a trusted proxy says that its client came by TLS. May stand several times.",
        action: Set(|block, it| {
            block.settings.secure_scheme_headers.push((text(it, 0).to_owned(), text(it, 1).to_owned()));
            Ok(())
        }),
    },
    Row {
        name: "send_timeout",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "send_timeout TIME",
        default: "60s",
        doc: "How long a client may take nothing of its answer before the connection is closed.",
        action: Set(|block, it| time(it).map(|value| block.settings.send_timeout = value)),
    },
    Row {
        name: "sendfile",
        contexts: ANY,
        arguments: (1, 1),
        syntax: "sendfile on | off",
        default: "on",
        doc: "Sends files by sendfile(2).",
        action: Set(|block, it| flag(it).map(|value| block.settings.sendfile = value)),
    },
    Row {
        name: "server",
        contexts: &[Http],
        arguments: (0, 0),
        syntax: "server { ... }",
        default: "",
        doc: "A server.",
        action: Open(Server),
    },
    Row {
        name: "server_header",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "server_header on | off",
        default: "on",
        doc: "Whether answers have a Server field.",
        action: Set(|block, it| flag(it).map(|value| block.settings.server_header = value)),
    },
    Row {
        name: "websocket",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "websocket on | off",
        default: "on",
        doc: "Whether WebSocket handshakes are taken; off leaves them ordinary requests.",
        action: Set(|block, it| flag(it).map(|value| block.settings.websocket.enabled = value)),
    },
    Row {
        name: "websocket_deflate",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "websocket_deflate on | off",
        default: "on",
        doc: "Whether WebSocket messages may be compressed.",
        action: Set(|block, it| flag(it).map(|value| block.settings.websocket.deflate = value)),
    },
    Row {
        name: "websocket_max_queue",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "websocket_max_queue NUMBER",
        default: "32",
        doc: "How many messages of a WebSocket may wait for the application before its client is read no further.",
        action: Set(|block, it| number(it).map(|value| block.settings.websocket.max_queue = value as usize)),
    },
    Row {
        name: "websocket_max_size",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "websocket_max_size SIZE",
        default: "16m",
        doc: "The longest message taken from a WebSocket; a longer one closes it with code 1009. 0 = no limit.",
        action: Set(|block, it| {
            let most = match size(it)? {
                0 => usize::MAX,
                size => usize::try_from(size).unwrap_or(usize::MAX),
            };
            block.settings.websocket.max_size = most;
            Ok(())
        }),
    },
    Row {
        name: "websocket_ping_interval",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "websocket_ping_interval TIME",
        default: "20s",
        doc: "How often a WebSocket's client is pinged. 0 = never.",
        action: Set(|block, it| time(it).map(|value| block.settings.websocket.ping_interval = value)),
    },
    Row {
        name: "websocket_ping_timeout",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "websocket_ping_timeout TIME",
        default: "20s",
        doc: "How long a pong may take before the WebSocket is closed. 0 = no limit.",
        action: Set(|block, it| time(it).map(|value| block.settings.websocket.ping_timeout = value)),
    },
    Row {
        name: "worker_connections",
        contexts: TOP,
        arguments: (1, 1),
        syntax: "worker_connections NUMBER",
        default: "512",
        doc: "How many connections a worker has open at a time; more wait in the listener's queue.",
        action: Set(|block, it| number(it).map(|value| block.settings.worker_connections = value)),
    },
];

/// The row of a name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.binary_search_by(|row| row.name.cmp(name)).ok().map(|index| &ROWS[index])
}

/// Argument `index`, which the row's count promises.
pub fn text(it: &Directive, index: usize) -> &str {
    it.args.get(index).map_or("", |word| &word.text)
}

/// An error at argument `index`.
pub fn wrong(it: &Directive, index: usize, message: String, hint: &str) -> Diagnostic {
    let at = it.args.get(index).unwrap_or(&it.name).at.clone();
    Diagnostic { at, message, hint: (!hint.is_empty()).then(|| hint.to_owned()) }
}

fn add_header(block: &mut Block, it: &Directive) -> Result<(), Diagnostic> {
    let (name, value) = (text(it, 0), text(it, 1));
    if !encode::is_token(name.as_bytes()) {
        return Err(wrong(it, 0, format!("`{name}` is not the name of a header field"), "letters, digits and hyphens"));
    }
    if !encode::is_field_value(value.as_bytes()) {
        return Err(wrong(it, 1, format!("`{name}`: its value has a control character"), ""));
    }
    if ["connection", "content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
        return Err(wrong(it, 0, format!("`{name}` is the server's own business"), "leave it out"));
    }
    if text(it, 2) != "always" {
        return Err(wrong(it, 2, format!("invalid value `{}` in `add_header`", text(it, 2)), "it must be `always`"));
    }
    encode::field(&mut block.settings.headers, name.as_bytes(), value.as_bytes());
    Ok(())
}

fn size(it: &Directive) -> Result<u64, Diagnostic> {
    conf::size(text(it, 0)).ok_or_else(|| {
        wrong(
            it,
            0,
            format!("invalid size `{}` in `{}`", text(it, 0), it.name.text),
            "a number of bytes, or with k, m or g",
        )
    })
}

fn time(it: &Directive) -> Result<u64, Diagnostic> {
    conf::time_ms(text(it, 0)).ok_or_else(|| {
        wrong(it, 0, format!("invalid time `{}` in `{}`", text(it, 0), it.name.text), "for example 30s, 500ms or 1m30s")
    })
}

fn number(it: &Directive) -> Result<u32, Diagnostic> {
    text(it, 0)
        .parse()
        .map_err(|_| wrong(it, 0, format!("invalid number `{}` in `{}`", text(it, 0), it.name.text), "a whole number"))
}

fn flag(it: &Directive) -> Result<bool, Diagnostic> {
    match text(it, 0) {
        "on" => Ok(true),
        "off" => Ok(false),
        other => {
            Err(wrong(it, 0, format!("invalid value `{other}` in `{}`", it.name.text), "it must be `on` or `off`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(directives: impl IntoIterator<Item = Directive>) -> Result<crate::config::Config, String> {
        let new = |name: &str| Directive::new(name, conf::At::Default);
        let tree = new("http").block([new("server").block(directives)]);
        let text = |problems: Vec<Diagnostic>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        crate::config::Config::build(&[tree]).map_err(text)
    }

    fn directive(line: &str) -> Directive {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        words.fold(Directive::new(name, conf::At::Default), |it, word| it.arg(word))
    }

    #[test]
    fn what_answers_and_websockets_are_to_be_like_is_set() {
        let lines = [
            "add_header X-A 1 always",
            "add_header X-B 2 always",
            "server_header off",
            "websocket_max_size 0",
            "websocket_ping_interval 500ms",
            "websocket off",
            "secure_scheme_header X-Forwarded-Proto https",
            "root_path /api/",
        ];
        let settings = built(lines.map(directive)).unwrap().settings;
        assert_eq!(settings.headers, b"X-A: 1\r\nX-B: 2\r\n");
        assert!(!settings.server_header && settings.date_header && !settings.websocket.enabled);
        assert_eq!((settings.websocket.max_size, settings.websocket.ping_interval), (usize::MAX, 500));
        assert_eq!(settings.secure_scheme_headers, [("X-Forwarded-Proto".to_string(), "https".to_string())]);
        assert_eq!(settings.root_path, "/api");
    }

    #[test]
    fn a_field_that_is_none_is_refused() {
        for (line, why) in [
            ("add_header X(Y 1 always", "`X(Y` is not the name of a header field"),
            ("add_header X a\rb always", "`X`: its value has a control character"),
            ("add_header Transfer-Encoding chunked always", "`Transfer-Encoding` is the server's own business"),
            ("add_header X 1 never", "invalid value `never` in `add_header`"),
        ] {
            let problem = built([directive(line)]).err().unwrap();
            assert!(problem.contains(why), "{problem}");
        }
    }

    #[test]
    fn rows_are_sorted_unique_and_documented() {
        for pair in ROWS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} before {}", pair[0].name, pair[1].name);
        }
        for row in ROWS {
            assert!(row.syntax.starts_with(row.name), "{}", row.name);
            assert!(row.doc.ends_with('.'), "{}", row.name);
        }
    }
}
