//! The head of the request that a server gets, as nginx makes it: the path as the client sent it, the client's fields but
//! for those of its connection, and those of `grpc_set_header`.

use wire::h1::{Known, encode};

use crate::handlers::proxy::Target;
use crate::handlers::proxy::request::Body;
use crate::variables::Scope;

/// Fields of clients that end here, in lower case: what servers get of that is said below.
const LEFT_OUT: [&str; 9] = [
    "host",
    "content-length",
    "te",
    "connection",
    "transfer-encoding",
    "keep-alive",
    "expect",
    "upgrade",
    "proxy-connection",
];

/// Writes the head with the blank line that ends it, as that of HTTP/1.1.
pub fn head(scope: &mut Scope<'_>, target: &Target, body: Body, out: &mut Vec<u8>) {
    let settings = scope.settings().grpc.clone();
    let is_set = |name: &[u8]| settings.headers.iter().any(|(own, _)| name.eq_ignore_ascii_case(own.as_bytes()));
    out.extend_from_slice(scope.request.method());
    out.push(b' ');
    out.extend_from_slice(&target.uri);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !is_set(b"host") {
        encode::field(out, b"Host", &target.host);
    }
    if let Body::Length(length) = body
        && !is_set(b"content-length")
    {
        encode::field(out, b"Content-Length", length.to_string().as_bytes());
    }
    // Whether trailer fields are understood: a server of gRPC asks for that.
    let trailers = scope.request.field("te").is_some_and(|te| te.eq_ignore_ascii_case(b"trailers"));
    if trailers && !is_set(b"te") {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    for (name, template) in settings.headers.iter() {
        let value = template.value(scope);
        if !value.is_empty() && encode::is_field_value(&value) {
            encode::field(out, name.as_bytes(), &value);
        }
    }
    let request = &*scope.request;
    for field in &request.head.fields {
        let name = field.name.of(&request.buf);
        let ends_here = LEFT_OUT.iter().any(|left| name.eq_ignore_ascii_case(left.as_bytes()));
        if !ends_here && !is_set(name) && field.known != Known::Connection {
            encode::field(out, name, field.value.of(&request.buf));
        }
    }
    out.extend_from_slice(b"\r\n");
}
