//! How built-in variables are computed, where it takes more than a line. `false`: there is no value.

use std::io::Write;
use std::net::IpAddr;

use wire::h1::{Framing, Method, Version, encode};

use super::scope::Scope;
use crate::exchange::Peer;
use crate::features::ssi::date;
use crate::{log, sys};

pub(super) fn query(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    scope.request.query().is_some_and(|query| some(out, query))
}

pub(super) fn nothing(_: &mut Scope<'_>, _: &mut Vec<u8>) -> bool {
    false
}

pub(super) fn http2(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    let request = &*scope.request;
    if request.head.version == Version::Http2 {
        out.extend_from_slice(if request.tls.is_some() { b"h2" } else { b"h2c" });
    }
    true
}

pub(super) fn empty(_: &mut Scope<'_>, _: &mut Vec<u8>) -> bool {
    true
}

pub(super) fn proxied_value(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    let values = scope.request.proxied.as_ref().map(|proxied| &*proxied.values).unwrap_or_default();
    wire::proxy_protocol::named(values, name).is_some_and(|value| present(out, &value))
}

pub(super) fn nothing_named(_: &mut Scope<'_>, _: &str, _: &mut Vec<u8>) -> bool {
    false
}

pub(super) fn present(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    out.extend_from_slice(bytes);
    true
}

/// What is empty is not there.
pub(super) fn some(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    out.extend_from_slice(bytes);
    !bytes.is_empty()
}

pub(super) fn number(out: &mut Vec<u8>, value: u64) -> bool {
    encode::number(out, value);
    true
}

pub(super) fn seconds(out: &mut Vec<u8>, duration: std::time::Duration) -> bool {
    log::time::seconds_and_ms(out, duration.as_millis() as u64);
    true
}

pub(super) fn address(peer: Peer, out: &mut Vec<u8>) -> bool {
    match peer {
        Peer::Inet(address) => match address.ip() {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                encode::number(out, a.into());
                for part in [b, c, d] {
                    out.push(b'.');
                    encode::number(out, part.into());
                }
            }
            IpAddr::V6(v6) => {
                let _ = write!(out, "{v6}");
            }
        },
        Peer::Unix => out.extend_from_slice(b"unix:"),
    }
    true
}

pub(super) fn port(peer: Peer, out: &mut Vec<u8>) -> bool {
    if let Peer::Inet(address) = peer
        && address.port() != 0
    {
        encode::number(out, address.port().into());
    }
    true
}

pub(super) fn proxied(
    scope: &Scope<'_>,
    out: &mut Vec<u8>,
    text: fn(crate::exchange::route::Proxied) -> String,
) -> bool {
    match scope.request.carrier.proxied {
        Some(proxied) => present(out, text(proxied).as_bytes()),
        None => false,
    }
}

/// All fields of that name; nginx joins them with `, ` (cookies with `; `).
pub(super) fn field(scope: &Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    let request = &scope.request;
    let mut found = false;
    for field in &request.head.fields {
        let own = field.name.of(&request.buf);
        let same = own.len() == name.len()
            && own.iter().zip(name.bytes()).all(|(a, b)| a.to_ascii_lowercase() == b || (*a == b'-' && b == b'_'));
        if same {
            if std::mem::replace(&mut found, true) {
                out.extend_from_slice(if name == "cookie" { b"; " } else { b", " });
            }
            out.extend_from_slice(field.value.of(&request.buf));
        }
    }
    found
}

pub(super) fn request_field(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    if name == "host"
        && let Some(host) = &scope.request.host
    {
        return present(out, host);
    }
    field(scope, name, out)
}

pub(super) fn sent_field(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    let Some(answer) = scope.answer else { return false };
    let head = answer.head;
    match name {
        "content_type" => some(out, &head.content_type),
        "content_length" => {
            let length = head.length.filter(|_| head.status != 204 && head.status != 304);
            length.is_some_and(|length| number(out, length))
        }
        "last_modified" => head.find("last-modified").is_some_and(|value| some(out, value)),
        "location" => head.find("location").is_some_and(|value| present(out, value)),
        "connection" => present(out, if answer.keep_alive { b"keep-alive" } else { b"close" }),
        "keep_alive" => {
            let seconds = scope.settings().keepalive_header;
            answer.keep_alive && seconds > 0 && present(out, b"timeout=") && number(out, seconds)
        }
        "transfer_encoding" => {
            let body = !matches!(head.status, ..200 | 204 | 304) && scope.request.head.method != Method::Head;
            let may = scope.settings().chunked_transfer_encoding && scope.request.head.version == Version::Http11;
            answer.sent && body && may && head.length.is_none() && present(out, b"chunked")
        }
        name => head.join(&name.replace('_', "-"), out),
    }
}

/// The first argument of that name, undecoded, as nginx has it.
pub(super) fn argument(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    let query = scope.request.query().unwrap_or_default();
    for part in query.split(|&byte| byte == b'&') {
        let same = part.len() > name.len() && part[name.len()] == b'=';
        if same && part[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return present(out, &part[name.len() + 1..]);
        }
    }
    false
}

pub(super) fn cookie(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    match scope.request.cookie(name.as_bytes()) {
        Some(value) => present(out, value),
        None => false,
    }
}

/// Of a chunked body, how much of it was read.
pub(super) fn content_length(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    if field(scope, "content-length", out) {
        return true;
    }
    if scope.request.head.framing != Framing::Chunked {
        return false;
    }
    match scope.request.body_len() {
        // Of a body over HTTP/2 that nobody reads nothing is known.
        Some(0) if scope.request.head.version == Version::Http2 => false,
        Some(0) if scope.request.route.answering == 0 && scope.answer.is_none() => false,
        Some(length) => number(out, length),
        None => false,
    }
}

/// Milliseconds since 1970.
pub(super) fn wall_ms() -> u64 {
    let (seconds, micros) = crate::transport::clock::wall();
    seconds.max(0) as u64 * 1000 + u64::from(micros) / 1000
}

pub(super) fn forwarded_for(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    if field(scope, "x-forwarded-for", out) {
        out.extend_from_slice(b", ");
    }
    address(scope.request.peer, out)
}

pub(super) fn remote_user(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    let Some(value) = scope.request.field("authorization") else { return false };
    match log::format::basic_user(value) {
        Some(user) => some(out, &user),
        None => false,
    }
}

pub(super) fn root(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    crate::handlers::files::path::root(scope, out);
    true
}

pub(super) fn tcp(scope: &Scope<'_>, out: &mut Vec<u8>, which: usize) -> bool {
    match sys::tcp_info(scope.request.carrier.socket) {
        Some(info) => number(out, info[which].into()),
        None => false,
    }
}

pub(super) fn time(out: &mut Vec<u8>, gmt: bool) -> bool {
    let unix = sys::time::coarse_seconds();
    let (offset_minutes, zone) =
        if gmt { (0, "GMT".to_owned()) } else { (sys::time::local_offset_minutes(unix), sys::time::local_zone(unix)) };
    let moment = date::Moment { unix, offset_minutes, zone: &zone };
    date::format(date::DEFAULT_FORMAT, moment).is_some_and(|text| present(out, &text))
}

pub(super) fn uri(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    if scope.request.path.is_empty() {
        scope.request.normalise(scope.server().settings.slashes());
    }
    present(out, &scope.request.path)
}
