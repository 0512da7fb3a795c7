//! Heads of HTTP/2 as text and back (RFC 9113 section 8.3): requests are made as those of HTTP/1.1, and answers held to the
//! rules that hold for all of them.

use http_types::header::{HeaderName, HeaderValue};
use http_types::response;
use http_types::uri::{Authority, PathAndQuery, Scheme};
use http_types::{HeaderMap, Method, Request, Uri};
use wire::h1::encode;

/// Fields that are about a connection (RFC 9113 section 8.2.2), in lower case.
const OF_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"];

/// Makes a request of its text; the second is what follows the head.
pub fn request(text: &[u8], secure: bool) -> Result<(Request<()>, &[u8]), &'static str> {
    let end = memchr::memmem::find(text, b"\r\n\r\n").ok_or("the request has no end")?;
    let (head, rest) = (&text[..end], &text[end + 4..]);
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().unwrap_or_default();
    let (method, line) = split(line, b' ').ok_or("the request has no target")?;
    let target = memchr::memrchr(b' ', line).map_or(line, |at| &line[..at]);
    let mut host = None;
    // A field that must not go away is not taken for one of the connection.
    let named: Vec<&[u8]> = lines
        .clone()
        .filter_map(|line| split(line, b':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
        .flat_map(|(_, value)| value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
        .filter(|name| !name.eq_ignore_ascii_case(b"te"))
        .collect();
    let mut fields = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| split(line, b':')) {
        let value = value.trim_ascii();
        let Ok(name) = HeaderName::from_bytes(name) else { continue };
        let Ok(value_of) = HeaderValue::from_bytes(value) else { continue };
        match name.as_str() {
            "host" if host.is_none() => host = Some(value),
            name if OF_CONNECTION.contains(&name) => {}
            name if named.iter().any(|named| named.eq_ignore_ascii_case(name.as_bytes())) => {}
            "te" if !value.eq_ignore_ascii_case(b"trailers") => {}
            _ => {
                fields.append(name, value_of);
            }
        }
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).map_err(|_| "invalid method")?;
    let path = path(target).ok_or("invalid target")?;
    let mut uri = Uri::builder().path_and_query(path);
    match host.map(Authority::try_from) {
        Some(Ok(authority)) => {
            let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
            uri = uri.scheme(scheme).authority(authority);
        }
        // One that the crate does not take goes as it is.
        Some(Err(_)) => {
            if let Some(Ok(host)) = host.map(HeaderValue::from_bytes) {
                fields.insert(http_types::header::HOST, host);
            }
        }
        None => {}
    }
    *request.uri_mut() = uri.build().map_err(|_| "invalid target")?;
    *request.headers_mut() = fields;
    Ok((request, rest))
}

/// What is before and after the first `byte`.
fn split(line: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, line)?;
    Some((&line[..at], &line[at + 1..]))
}

/// The target; what may not stand there as it is, is escaped.
fn path(target: &[u8]) -> Option<PathAndQuery> {
    if !target.contains(&b'#')
        && let Ok(path) = PathAndQuery::try_from(target)
    {
        return Some(path);
    }
    let mut escaped = Vec::with_capacity(target.len() + 16);
    for &byte in target {
        match byte {
            b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0..=32 | 127.. => {
                escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            _ => escaped.push(byte),
        }
    }
    PathAndQuery::try_from(escaped).ok()
}

/// Appends the text of an answer's head.
pub fn answer(head: &response::Parts, out: &mut Vec<u8>) {
    encode::status_line(out, true, head.status.as_u16(), None);
    for (name, value) in &head.headers {
        encode::field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_request() {
        let text =
            b"POST /a?b=1 HTTP/1.1\r\nHost: x.example:81\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
                     Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nX-A: b\r\nx-a: c\r\n\r\nbody";
        let (request, rest) = request(text, true).unwrap();
        assert_eq!((request.method(), rest), (&Method::POST, &b"body"[..]));
        assert_eq!(request.uri().to_string(), "https://x.example:81/a?b=1");
        let mut fields: Vec<_> = request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        fields.sort();
        assert_eq!(fields, [("te", &b"trailers"[..]), ("x-a", b"b"), ("x-a", b"c")]);
    }

    #[test]
    fn what_a_uri_may_not_have_is_escaped() {
        let of = |target: &str| request(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes(), false).unwrap().0;
        assert_eq!(of("/a#b<c").uri().path(), "/a%23b%3Cc");
        assert_eq!(of("*").uri().path(), "*");
        assert_eq!(of("/%41").uri().path(), "/%41");
    }

    #[test]
    fn a_host_that_is_no_authority_goes_as_a_field() {
        let (request, _) = request(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", false).unwrap();
        assert_eq!((request.uri().authority(), request.headers()["host"].as_bytes()), (None, &b"a b"[..]));
    }

    #[test]
    fn an_answer_becomes_text() {
        let head = http_types::Response::builder().status(404).header("x-a", "b").body(()).unwrap();
        let mut out = Vec::new();
        answer(&head.into_parts().0, &mut out);
        assert_eq!(out, b"HTTP/1.1 404 Not Found\r\nx-a: b\r\n\r\n");
    }
}
