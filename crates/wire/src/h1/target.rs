//! The request line: method, target and version (RFC 9112 section 3), and the host grammar of RFC 3986 section 3.2.2.

use super::head::Head;
use super::scan::{decimal, token_len};
use super::{Form, Method, Refusal, Span, Version};

/// No registered method is longer than this.
const METHOD_LEN: usize = 32;

/// Reads the request line `buf[start..end]` (no line end in it, no control characters but HTAB) into `head`.
pub(super) fn request_line(buf: &[u8], start: usize, end: usize, head: &mut Head) -> Result<(), Refusal> {
    let line = &buf[..end];
    if line[start..].contains(&b'\t') {
        return Err(Refusal::ControlInLine);
    }
    let method_len = token_len(&line[start..]);
    match line.get(start + method_len) {
        None => return Err(Refusal::RequestLine),
        Some(b' ') if (1..=METHOD_LEN).contains(&method_len) => {}
        Some(_) => return Err(Refusal::Method),
    }
    let target = start + method_len + 1;
    let target_end = target + memchr::memchr(b' ', &line[target..]).ok_or(Refusal::RequestLine)?;
    let version = match &line[target_end + 1..] {
        b"HTTP/2.0" if head.is_http2() => Version::Http2,
        text => version(text)?,
    };

    head.method_text = Span::new(start, start + method_len);
    head.method = Method::of(head.method_text.of(line));
    head.target = Span::new(target, target_end);
    head.version = version;
    split_target(&line[..target_end], target, head, scheme_len)
}

fn version(text: &[u8]) -> Result<Version, Refusal> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            if *major == b'1' {
                Ok(Version::Http11)
            } else {
                Err(Refusal::Version)
            }
        }
        _ => Err(Refusal::VersionSyntax),
    }
}

/// Takes the target `line[start..]` apart. `scheme_len` tells how long its scheme is, with `://`.
pub(super) fn split_target(
    line: &[u8],
    start: usize,
    head: &mut Head,
    scheme_len: fn(&[u8]) -> Option<usize>,
) -> Result<(), Refusal> {
    let target = &line[start..];
    if head.method == Method::Connect {
        head.form = Form::Authority;
        head.authority = head.target;
        let has_port = memchr::memrchr(b':', target).is_some_and(|colon| colon + 1 < target.len());
        return if has_port && is_host(target) { Ok(()) } else { Err(Refusal::Target) };
    }
    match target.first() {
        Some(b'/') => {
            head.form = Form::Origin;
            split_path(line, start, head);
            Ok(())
        }
        Some(b'*') if target.len() == 1 && head.method == Method::Options => {
            head.form = Form::Asterisk;
            head.path = head.target;
            Ok(())
        }
        Some(_) => {
            let scheme = scheme_len(target).ok_or(Refusal::Target)?;
            head.form = Form::Absolute;
            let authority = start + scheme;
            let rest = line[authority..].iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
            let authority_end = rest.map_or(line.len(), |len| authority + len);
            if !is_host(&line[authority..authority_end]) {
                return Err(Refusal::Target);
            }
            head.authority = Span::new(authority, authority_end);
            split_path(line, authority_end, head);
            Ok(())
        }
        None => Err(Refusal::Target),
    }
}

/// Path and query of `line[start..]`. A fragment, which no client should send, is cut off.
fn split_path(line: &[u8], start: usize, head: &mut Head) {
    let end = memchr::memchr(b'#', &line[start..]).map_or(line.len(), |len| start + len);
    match memchr::memchr(b'?', &line[start..end]) {
        Some(len) => {
            head.path = Span::new(start, start + len);
            head.query = Some(Span::new(start + len + 1, end));
        }
        None => head.path = Span::new(start, end),
    }
}

/// Length of `http://` or `https://`, in any case.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(|scheme| scheme.len())
}

/// Whether `text` is `host [":" port]` of RFC 3986 section 3.2, not empty and without user information.
pub fn is_host(text: &[u8]) -> bool {
    let (host_ok, port) = match text {
        [b'[', rest @ ..] => {
            let Some(close) = memchr::memchr(b']', rest) else { return false };
            (is_literal(&rest[..close]), &rest[close + 1..])
        }
        _ => {
            let len = text.iter().position(|&b| b == b':').unwrap_or(text.len());
            (len > 0 && is_name(&text[..len]), &text[len..])
        }
    };
    let port_ok = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => digits.len() <= 5 && decimal(digits).is_some_and(|port| port <= 65535),
        _ => false,
    };
    host_ok && port_ok
}

/// The inside of `[...]`: an IPv6 address, perhaps with a zone, or an address of a future version.
fn is_literal(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphanumeric) | text.starts_with(b":")
        && text.contains(&b':') | text.starts_with(b"v")
        && text.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'%' | b'-' | b'_' | b'~'))
}

/// `reg-name`: letters, digits, `-._~`, sub-delims, and percent escapes.
fn is_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let [b, after @ ..] = rest {
        rest = match b {
            b'%' => match after {
                [a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
                _ => return false,
            },
            b if NAME[*b as usize] => after,
            _ => return false,
        };
    }
    true
}

static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = matches!(b as u8,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        b += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in
            ["a", "example.com", "example.com:80", "a:", "127.0.0.1:8000", "[::1]", "[::1]:443", "a_b-c", "a%20b"]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for good in ["[fe80::1%25eth0]", "[v1.a:b]", "a:65535"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in
            ["", ":80", "a b", "a/b", "a?b", "a#b", "user@a", "a:b", "a:80:80", "a:+80", "a:65536", "a\\b", "a%2"]
        {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        for bad in ["[::1", "[]", "[::1]a", "[::1]:x", "[a]", "\u{e9}.fr", "a\"", "<a>", "a\u{7f}", "a:000080"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    fn parse(line: &str) -> Result<Head, Refusal> {
        let mut head = Head::new();
        request_line(line.as_bytes(), 0, line.len(), &mut head).map(|()| head)
    }

    #[test]
    fn targets() {
        let table: &[(&str, Form, &str, Option<&str>, &str)] = &[
            ("GET / HTTP/1.1", Form::Origin, "/", None, ""),
            ("GET //a?b?c HTTP/1.1", Form::Origin, "//a", Some("b?c"), ""),
            ("GET /a? HTTP/1.1", Form::Origin, "/a", Some(""), ""),
            ("GET /a#b?c HTTP/1.1", Form::Origin, "/a", None, ""),
            ("GET /a?b#c HTTP/1.1", Form::Origin, "/a", Some("b"), ""),
            ("GET http://h:1 HTTP/1.1", Form::Absolute, "", None, "h:1"),
            ("GET HTTPS://h?q HTTP/1.1", Form::Absolute, "", Some("q"), "h"),
            ("GET http://h/p?q HTTP/1.0", Form::Absolute, "/p", Some("q"), "h"),
            ("OPTIONS * HTTP/1.1", Form::Asterisk, "*", None, ""),
            ("CONNECT h:443 HTTP/1.1", Form::Authority, "", None, "h:443"),
            ("GET /\u{e9} HTTP/1.1", Form::Origin, "/\u{e9}", None, ""),
        ];
        for &(line, form, path, query, authority) in table {
            let head = parse(line).unwrap_or_else(|refusal| panic!("{line}: {refusal:?}"));
            let text = |span: Span| std::str::from_utf8(span.of(line.as_bytes())).unwrap();
            assert_eq!((head.form, text(head.path), head.query.map(text)), (form, path, query), "{line}");
            assert_eq!(text(head.authority), authority, "{line}");
        }
    }

    #[test]
    fn refused_lines() {
        let table = [
            ("GET", Refusal::RequestLine),
            ("GET /", Refusal::RequestLine),
            ("", Refusal::RequestLine),
            (" GET / HTTP/1.1", Refusal::Method),
            ("G(T / HTTP/1.1", Refusal::Method),
            ("GET  / HTTP/1.1", Refusal::VersionSyntax),
            ("GET /\tHTTP/1.1", Refusal::ControlInLine),
            ("GET / HTTP/1.1 ", Refusal::VersionSyntax),
            ("GET /a b HTTP/1.1", Refusal::VersionSyntax),
            ("GET / http/1.1", Refusal::VersionSyntax),
            ("GET / HTTP/1.10", Refusal::VersionSyntax),
            ("GET / HTTP/2.0", Refusal::Version),
            ("GET / HTTP/0.9", Refusal::Version),
            ("PRI * HTTP/2.0", Refusal::Version),
            ("GET * HTTP/1.1", Refusal::Target),
            ("GET a HTTP/1.1", Refusal::Target),
            ("GET ftp://h/ HTTP/1.1", Refusal::Target),
            ("GET http:///p HTTP/1.1", Refusal::Target),
            ("GET http://u@h/p HTTP/1.1", Refusal::Target),
            ("CONNECT h HTTP/1.1", Refusal::Target),
            ("CONNECT / HTTP/1.1", Refusal::Target),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1", Refusal::Method),
        ];
        for (line, refusal) in table {
            assert_eq!(parse(line).err(), Some(refusal), "{line:?}");
        }
        assert_eq!(parse("M-SEARCH / HTTP/1.9").unwrap().version, Version::Http11);
    }
}
