//! The head of the request that a server gets (RFC 9112 sections 3 and 5).
//!
//! Fields that end at this server are left out (RFC 9110 section 7.6.1); how the body is framed is said by what is known
//! of it, never by what a client or a variable says. So nobody can have a server see another request than is meant.

use wire::h1::{Known, encode};

use super::directives::{HttpVersion, Settings};
use super::target::Target;
use crate::exchange::Request;
use crate::variables::{Scope, Template};

/// How the body of a request to a server is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    None,
    /// In bytes.
    Length(u64),
    Chunked,
}

/// Writes the head with the blank line that ends it. For HTTP/2 it is the same text as for HTTP/1.1.
pub fn head(scope: &mut Scope<'_>, target: &Target, body: Body, out: &mut Vec<u8>) {
    let settings = scope.config.location(scope.request.route.location).settings.proxy.clone();
    method(scope, settings.method.as_deref(), out);
    out.push(b' ');
    out.extend_from_slice(&target.uri);
    let old = settings.http_version == HttpVersion::Http10;
    out.extend_from_slice(if old { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
    let said = own_fields(scope, &settings, body, out);
    if !settings.sets(b"host") {
        encode::field(out, b"Host", &target.host);
    }
    let upgrade = settings.upgrade && !old && !said.upgrade && !said.connection && asks_for_upgrade(scope.request);
    if upgrade {
        encode::field(out, b"Upgrade", scope.request.field("upgrade").unwrap_or_default());
        encode::field(out, b"Connection", b"upgrade");
    } else if !said.connection && (old || !target.keepalive) {
        encode::field(out, b"Connection", b"close");
    }
    if !said.length {
        framing(body, out);
    }
    if settings.policy.pass_request_headers {
        clients_fields(scope.request, &settings, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The method: what the configuration says, if that is one, else the client's.
fn method(scope: &mut Scope<'_>, template: Option<&Template>, out: &mut Vec<u8>) {
    if let Some(template) = template {
        let start = out.len();
        template.write(scope, out);
        if encode::is_token(&out[start..]) {
            return;
        }
        out.truncate(start);
    }
    out.extend_from_slice(scope.request.method());
}

/// Which of the fields that always have a value the configuration has.
#[derive(Clone, Copy, Default)]
struct Said {
    connection: bool,
    upgrade: bool,
    /// It says where Content-Length stands.
    length: bool,
}

/// The fields that the configuration says, those that have a value.
fn own_fields(scope: &mut Scope<'_>, settings: &Settings, body: Body, out: &mut Vec<u8>) -> Said {
    let mut said = Said::default();
    for (name, template) in settings.headers.iter() {
        let name = name.as_bytes();
        let start = out.len();
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        let value = out.len();
        template.write(scope, out);
        clean(&mut out[value..]);
        let known = Known::of(name);
        if matches!(known, Known::ContentLength | Known::TransferEncoding) {
            let (empty, zero) = (out.len() == value, &out[value..] == b"0");
            out.truncate(start);
            if known == Known::ContentLength {
                match body {
                    Body::Length(0) | Body::None if empty => {}
                    Body::None if zero => encode::field(out, b"Content-Length", b"0"),
                    _ => framing(body, out),
                }
                said.length = true;
            }
            continue;
        }
        said.connection |= known == Known::Connection;
        said.upgrade |= known == Known::Upgrade;
        if out.len() == value {
            out.truncate(start);
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }
    said
}

/// Puts spaces where a value has what would end its line: variables may have any bytes.
pub fn clean(value: &mut [u8]) {
    for byte in value {
        if matches!(byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
}

fn framing(body: Body, out: &mut Vec<u8>) {
    match body {
        Body::None => {}
        Body::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            encode::number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Body::Chunked => encode::field(out, b"Transfer-Encoding", b"chunked"),
    }
}

/// The client's fields, but for those that end here, and those that the configuration says.
fn clients_fields(request: &Request, settings: &Settings, out: &mut Vec<u8>) {
    for field in &request.head.fields {
        let ends_here = matches!(
            field.known,
            Known::Host
                | Known::Connection
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::Te
                | Known::KeepAlive
                | Known::Expect
                | Known::Upgrade
                | Known::ProxyConnection
        );
        let name = field.name.of(&request.buf);
        if !ends_here && !settings.sets(name) {
            encode::field(out, name, field.value.of(&request.buf));
        }
    }
}

/// Whether the client asks for another protocol (RFC 9110 section 7.8).
fn asks_for_upgrade(request: &Request) -> bool {
    let tokens = request.field_values("connection");
    let mut tokens = tokens.iter().flat_map(|value| value.split(|&byte| byte == b','));
    request.field("upgrade").is_some_and(|protocol| !protocol.is_empty())
        && tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Whether the text of a request tells the server to close the connection behind its answer (RFC 9112 section 9.3).
pub fn says_close(head: &[u8]) -> bool {
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end());
    let old = lines.next().is_some_and(|line| line.ends_with(b"HTTP/1.0"));
    let (mut close, mut keep) = (false, false);
    for line in lines.take_while(|line| !line.is_empty()) {
        if line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case(b"connection:")) {
            for option in line[11..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                close |= option.eq_ignore_ascii_case(b"close");
                keep |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    close || (old && !keep)
}
