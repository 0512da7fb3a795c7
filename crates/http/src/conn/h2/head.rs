//! A request of HTTP/2 as text (RFC 9113 section 8.3): so it is held to the limits and rules that hold for all heads.

use http_types::header::{COOKIE, HOST};
use http_types::request::Parts;
use http_types::{HeaderMap, Method};

/// Whether a request opens a tunnel to something that speaks another protocol (RFC 8441).
pub fn is_tunnel(head: &Parts) -> bool {
    head.method == Method::CONNECT && head.extensions.get::<h2::ext::Protocol>().is_some()
}

/// Whether that protocol is WebSocket.
pub fn is_websocket(head: &Parts) -> bool {
    head.extensions.get::<h2::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// Appends the text. A tunnel is written as GET, which is what the handshake of HTTP/1 would be.
pub fn write(head: &Parts, out: &mut Vec<u8>) {
    let tunnel = is_tunnel(head);
    out.extend_from_slice(if tunnel { b"GET" } else { head.method.as_str().as_bytes() });
    out.push(b' ');
    match head.uri.path_and_query() {
        // An ordinary CONNECT has none.
        None => out.extend_from_slice(head.uri.authority().map_or("/", |authority| authority.as_str()).as_bytes()),
        Some(target) => out.extend_from_slice(target.as_str().as_bytes()),
    }
    out.extend_from_slice(b" HTTP/2.0\r\n");
    let authority = head.uri.authority().map(|authority| authority.as_str());
    if let Some(authority) = authority {
        line(out, b"Host", authority.as_bytes());
    }
    fields(&head.headers, authority, out);
    out.extend_from_slice(b"\r\n");
}

fn fields(fields: &HeaderMap, authority: Option<&str>, out: &mut Vec<u8>) {
    let mut cookies = fields.get_all(COOKIE).iter().peekable();
    if cookies.peek().is_some() {
        // They were one field before they were split for the sake of compression (RFC 9113 section 8.2.3).
        out.extend_from_slice(b"cookie: ");
        while let Some(cookie) = cookies.next() {
            out.extend_from_slice(cookie.as_bytes());
            if cookies.peek().is_some() {
                out.extend_from_slice(b"; ");
            }
        }
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in fields {
        let is_same_host =
            name == HOST && authority.is_some_and(|own| value.as_bytes().eq_ignore_ascii_case(own.as_bytes()));
        if name != COOKIE && !is_same_host {
            line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http_types::Request;

    use super::*;

    fn written(request: Request<()>) -> String {
        let mut out = Vec::new();
        write(&request.into_parts().0, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_becomes_text() {
        let request = Request::get("http://a.example:81/x?y=1").header("cookie", "a=1").header("x-a", "b");
        let request = request.header("cookie", "b=2").header("host", "A.example:81").body(()).unwrap();
        let text = "GET /x?y=1 HTTP/2.0\r\nHost: a.example:81\r\ncookie: a=1; b=2\r\nx-a: b\r\n\r\n";
        assert_eq!(written(request), text);
    }

    #[test]
    fn another_host_stays() {
        let request = Request::get("http://a.example/").header("host", "b.example").body(()).unwrap();
        assert_eq!(written(request), "GET / HTTP/2.0\r\nHost: a.example\r\nhost: b.example\r\n\r\n");
    }
}
