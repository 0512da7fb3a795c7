//! The access log's format: Gunicorn's atoms (`%(h)s`, `%({user-agent}i)s`), compiled once, or JSON.
//!
//! What a client sent is escaped: quotes as `\"`, control characters and bytes outside ASCII as `\xHH`, so that no
//! request can forge a line or send escape sequences to a terminal.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Escaping;
use crate::base64;
use crate::exchange::{Peer, Request};
use crate::sys;
use crate::transport::sender::Sender;
use crate::variables::{Registry, Scope, Template};

/// nginx's default.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
                        \"$http_referer\" \"$http_user_agent\"";

/// Gunicorn's default.
pub const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// A compiled format.
pub enum Format {
    Text(Vec<Item>),
    /// One object a line, with fixed names.
    Json,
    /// nginx's: a text with variables.
    Template(Template, Escaping),
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Literal(String),
    Atom(Atom),
}

/// What a `%(X)s` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Atom {
    RemoteAddress,
    Dash,
    User,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    /// Body bytes as a number.
    Bytes,
    /// Body bytes, or `-` for none.
    BytesOrDash,
    Referer,
    Agent,
    Seconds,
    Milliseconds,
    Microseconds,
    SecondsDecimal,
    Pid,
    RequestField(String),
    ResponseField(String),
    /// Index into `Request::logged`, and the environ key.
    Environ(usize, String),
}

impl Format {
    /// Compiles `text`; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Format, String> {
        if text == "json" {
            return Ok(Format::Json);
        }
        let mut items = Vec::new();
        let mut literal = String::new();
        let mut environ = 0;
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let inner =
                rest.strip_prefix('(').ok_or_else(|| format!("`%` must be followed by `(` or `%` in `{text}`"))?;
            let end = inner.find(')').ok_or_else(|| format!("`%(` without `)` in `{text}`"))?;
            let (name, after) = (&inner[..end], &inner[end + 1..]);
            let conversion = after.chars().next().filter(char::is_ascii_alphabetic);
            if conversion.is_none() {
                return Err(format!("`%({name})` must be followed by `s` in `{text}`"));
            }
            let atom = Atom::parse(name, &mut environ).ok_or_else(|| format!("unknown atom `%({name})s`"))?;
            if !literal.is_empty() {
                items.push(Item::Literal(std::mem::take(&mut literal)));
            }
            items.push(Item::Atom(atom));
            rest = &after[1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            items.push(Item::Literal(literal));
        }
        Ok(Format::Text(items))
    }

    /// The environ keys that an application handler has to fill `Request::logged` with, in order.
    pub fn environ(&self) -> Vec<String> {
        let Format::Text(items) = self else { return Vec::new() };
        let keys = items.iter().filter_map(|item| match item {
            Item::Atom(Atom::Environ(_, key)) => Some(key.clone()),
            _ => None,
        });
        keys.collect()
    }

    /// The formats that need no `log_format`.
    pub fn predefined() -> HashMap<String, Arc<Format>> {
        let mut formats = HashMap::new();
        let at = conf::At::Default;
        if let Ok(combined) = Template::compile(COMBINED, &at, &mut Registry::default()) {
            formats.insert("combined".to_owned(), Arc::new(Format::Template(combined, Escaping::Default)));
        }
        if let Ok(format) = Format::parse(DEFAULT) {
            formats.insert("gunicorn".to_owned(), Arc::new(format));
        }
        formats.insert("json".to_owned(), Arc::new(Format::Json));
        formats
    }

    /// Appends the line of one exchange, without a line end.
    pub fn write(&self, line: &mut Vec<u8>, scope: &mut Scope<'_>, sender: &Sender) {
        match self {
            Format::Template(template, escaping) => {
                template.each(scope, line, |line, start, found| escaping.finish(line, start, found));
            }
            Format::Json => {
                let took = scope.request.started.elapsed();
                json(line, scope.request, sender, sys::time::coarse_seconds(), took);
            }
            Format::Text(items) => {
                let took = scope.request.started.elapsed();
                for item in items {
                    match item {
                        Item::Literal(text) => line.extend_from_slice(text.as_bytes()),
                        Item::Atom(atom) => atom.write(line, scope.request, sender, took),
                    }
                }
            }
        }
    }
}

impl Atom {
    fn parse(name: &str, environ: &mut usize) -> Option<Atom> {
        if let Some(inner) = name.strip_prefix('{') {
            let (field, kind) = inner.split_once('}')?;
            return match kind {
                "i" => Some(Atom::RequestField(field.to_ascii_lowercase())),
                "o" => Some(Atom::ResponseField(field.to_ascii_lowercase())),
                "e" => {
                    *environ += 1;
                    Some(Atom::Environ(*environ - 1, field.to_owned()))
                }
                _ => None,
            };
        }
        Some(match name {
            "h" => Atom::RemoteAddress,
            "l" => Atom::Dash,
            "u" => Atom::User,
            "t" => Atom::Time,
            "r" => Atom::RequestLine,
            "m" => Atom::Method,
            "U" => Atom::Path,
            "q" => Atom::Query,
            "H" => Atom::Protocol,
            "s" => Atom::Status,
            "B" => Atom::Bytes,
            "b" => Atom::BytesOrDash,
            "f" => Atom::Referer,
            "a" => Atom::Agent,
            "T" => Atom::Seconds,
            "M" => Atom::Milliseconds,
            "D" => Atom::Microseconds,
            "L" => Atom::SecondsDecimal,
            "p" => Atom::Pid,
            _ => return None,
        })
    }

    fn write(&self, line: &mut Vec<u8>, request: &Request, sender: &Sender, took: Duration) {
        match self {
            Atom::RemoteAddress => line.extend_from_slice(remote(request).as_bytes()),
            Atom::Dash => line.push(b'-'),
            Atom::User => escape(line, user(request).as_deref().unwrap_or(b"-")),
            Atom::Time => {
                line.push(b'[');
                line.extend_from_slice(&super::time::now().local);
                line.push(b']');
            }
            Atom::RequestLine => {
                escape(line, or_dash(request.method()));
                line.push(b' ');
                escape(line, or_dash(request.target()));
                line.push(b' ');
                line.extend_from_slice(protocol(request).as_bytes());
            }
            Atom::Method => escape(line, or_dash(request.method())),
            Atom::Path => escape(line, or_dash(request.head.path.of(&request.buf))),
            Atom::Query => escape(line, request.head.query.map_or(&b""[..], |query| query.of(&request.buf))),
            Atom::Protocol => line.extend_from_slice(protocol(request).as_bytes()),
            Atom::Status => number(line, status(sender).into()),
            Atom::Bytes => number(line, sender.body_bytes),
            Atom::BytesOrDash if sender.body_bytes == 0 => line.push(b'-'),
            Atom::BytesOrDash => number(line, sender.body_bytes),
            Atom::Referer => escape(line, request.field("referer").unwrap_or(b"-")),
            Atom::Agent => escape(line, request.field("user-agent").unwrap_or(b"-")),
            Atom::Seconds => number(line, took.as_secs()),
            Atom::Milliseconds => number(line, took.as_millis() as u64),
            Atom::Microseconds => number(line, took.as_micros() as u64),
            Atom::SecondsDecimal => line.extend_from_slice(format!("{:.6}", took.as_secs_f64()).as_bytes()),
            Atom::Pid => line.extend_from_slice(format!("<{}>", std::process::id()).as_bytes()),
            Atom::RequestField(name) => escape(line, request.field(name).unwrap_or(b"-")),
            Atom::ResponseField(name) if name == "content-length" => match sender.head.length {
                Some(length) => number(line, length),
                None => line.push(b'-'),
            },
            Atom::ResponseField(name) => escape(line, sender.head.find(name).unwrap_or(b"-")),
            Atom::Environ(index, _) => match request.logged.get(*index).and_then(Option::as_ref) {
                Some(value) => escape(line, value.as_bytes()),
                None => line.push(b'-'),
            },
        }
    }
}

/// The status, or nginx's 499 where the client was gone before there was one.
fn status(sender: &Sender) -> u16 {
    if sender.head.status == 0 { 499 } else { sender.head.status }
}

fn remote(request: &Request) -> String {
    match request.peer {
        Peer::Inet(address) => address.ip().to_canonical().to_string(),
        Peer::Unix => "-".to_owned(),
    }
}

fn protocol(request: &Request) -> &'static str {
    request.head.version.name()
}

/// A refused head may have no method or target.
fn or_dash(bytes: &[u8]) -> &[u8] {
    if bytes.is_empty() { b"-" } else { bytes }
}

/// The user name of HTTP Basic credentials (RFC 7617).
fn user(request: &Request) -> Option<Vec<u8>> {
    basic_user(request.field("authorization")?)
}

/// The name in a value of Authorization, if its scheme is Basic (RFC 7617).
pub fn basic_user(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, credentials) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64::decode(base64::unpadded(credentials.trim_ascii()), base64::STANDARD)?;
    let colon = decoded.iter().position(|&b| b == b':')?;
    (colon > 0).then(|| decoded[..colon].to_vec())
}

fn number(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Makes bytes from outside safe to stand in a line between quotes.
fn escape(line: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' => line.extend_from_slice(b"\\\""),
            b'\\' => line.extend_from_slice(b"\\\\"),
            b' '..=b'~' => line.push(byte),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                line.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
}

fn json(line: &mut Vec<u8>, request: &Request, sender: &Sender, now: i64, took: Duration) {
    let text = |line: &mut Vec<u8>, name: &str, value: &[u8]| {
        if line.last() != Some(&b'{') {
            line.push(b',');
        }
        line.extend_from_slice(format!("\"{name}\":").as_bytes());
        json_string(line, value);
    };
    line.push(b'{');
    let time = wire::date::Civil::of(now);
    let time = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    );
    text(line, "time", time.as_bytes());
    text(line, "remote_addr", remote(request).as_bytes());
    text(line, "user", user(request).as_deref().unwrap_or(b""));
    text(line, "method", request.method());
    text(line, "path", request.head.path.of(&request.buf));
    text(line, "query", request.head.query.map_or(&b""[..], |query| query.of(&request.buf)));
    text(line, "protocol", protocol(request).as_bytes());
    text(line, "host", request.field("host").unwrap_or(b""));
    text(line, "referer", request.field("referer").unwrap_or(b""));
    text(line, "user_agent", request.field("user-agent").unwrap_or(b""));
    let numbers = format!(
        ",\"status\":{},\"bytes\":{},\"duration_us\":{},\"pid\":{}}}",
        status(sender),
        sender.body_bytes,
        took.as_micros(),
        std::process::id()
    );
    line.extend_from_slice(numbers.as_bytes());
}

/// A JSON string (RFC 8259 section 7); bytes that are not UTF-8 become U+FFFD.
fn json_string(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' => line.extend_from_slice(b"\\\""),
            '\\' => line.extend_from_slice(b"\\\\"),
            c if c < ' ' || c == '\u{7f}' || ('\u{80}'..'\u{a0}').contains(&c) => {
                line.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
            }
            c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_compiles() {
        let Ok(Format::Text(items)) = Format::parse(DEFAULT) else { panic!() };
        assert_eq!(items.first(), Some(&Item::Atom(Atom::RemoteAddress)));
        assert_eq!(items.last(), Some(&Item::Literal("\"".into())));
    }

    #[test]
    fn wrong_formats_are_explained() {
        for (text, what) in
            [("%(zz)s", "unknown atom"), ("%(h", "without"), ("100%", "must be followed"), ("%(h)", "`s`")]
        {
            let error = Format::parse(text).err().unwrap();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn environ_keys_are_numbered() {
        let format = Format::parse("%({A}e)s %({b}i)s %({C}e)s").unwrap();
        assert_eq!(format.environ(), ["A", "C"]);
    }

    #[test]
    fn what_came_from_outside_is_escaped() {
        let mut line = Vec::new();
        escape(&mut line, b"a\"\n\x1b[31m\xff");
        assert_eq!(line, br#"a\"\x0a\x1b[31m\xff"#);
        line.clear();
        json_string(&mut line, b"a\"\n\xff");
        assert_eq!(line, "\"a\\\"\\u000a\u{fffd}\"".as_bytes());
    }

    #[test]
    fn basic_credentials() {
        for (value, user) in [
            ("Basic YWxpY2U6c2VjcmV0", Some("alice")),
            ("basic YTo=", Some("a")),
            ("Basic OmE=", None),
            ("Basic *", None),
            ("Bearer YTo=", None),
        ] {
            assert_eq!(basic_user(value.as_bytes()).as_deref(), user.map(str::as_bytes), "{value}");
        }
    }
}
