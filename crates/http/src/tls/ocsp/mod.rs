//! Whether a certificate is still good, by the word of its issuer's responder (OCSP, RFC 6960): for certificates of our own
//! the word is sent along (`staple`), for those of clients it decides (`clients`). `message` is what is asked and
//! answered, `chain` who may vouch; the asking itself is `conn/ocsp.rs`.

pub mod chain;
pub mod clients;
pub mod message;
pub mod staple;

use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{GeneralName, X509Certificate};

/// Where a responder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    /// Without brackets.
    pub host: Box<str>,
    pub port: u16,
    /// Begins with a slash.
    pub path: Box<str>,
}

impl Responder {
    /// Reads a URL; the error says what is wrong with it, as nginx does, and with which part.
    pub fn parse(url: &str) -> Result<Responder, (&'static str, String)> {
        let rest = match url.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("http://") => &url[7..],
            _ => return Err(("invalid URL prefix", url.to_owned())),
        };
        let wrong = |why| Err((why, rest.to_owned()));
        if rest.bytes().any(|byte| byte <= b' ' || byte >= 0x7f) {
            return wrong("invalid host");
        }
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => match inner.split_once(']') {
                Some((host, after)) => (host, after.strip_prefix(':')),
                None => return wrong("invalid host"),
            },
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return wrong("no host");
        }
        let port = match port.map(str::parse) {
            None => 80,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return wrong("invalid port"),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Responder { host: host.into(), port, path: path.into() })
    }

    /// The one that a certificate names; `None`: it names none.
    pub fn of(certificate: &X509Certificate<'_>) -> Option<String> {
        /// id-ad-ocsp
        const OCSP: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1];
        let mut places = certificate.extensions().iter().filter_map(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => Some(access),
            _ => None,
        });
        places.next()?.accessdescs.iter().find_map(|one| match one.access_location {
            GeneralName::URI(url) if one.access_method.as_bytes() == OCSP => Some(url.to_owned()),
            _ => None,
        })
    }

    /// A question as a request of HTTP (RFC 6960 appendix A.1).
    pub fn request(&self, question: &[u8]) -> Vec<u8> {
        let mut out = format!("GET {}", self.path).into_bytes();
        if !self.path.ends_with('/') {
            out.push(b'/');
        }
        for byte in crate::base64::encode(question).bytes() {
            match byte {
                b'+' => out.extend_from_slice(b"%2B"),
                b'/' => out.extend_from_slice(b"%2F"),
                b'=' => out.extend_from_slice(b"%3D"),
                other => out.push(other),
            }
        }
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        let port = if self.port == 80 { String::new() } else { format!(":{}", self.port) };
        out.extend_from_slice(format!(" HTTP/1.0\r\nHost: {host}{port}\r\n\r\n").as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_by_nginx() {
        for (url, came) in [
            ("http://a.example", Ok(("a.example", 80, "/"))),
            ("HTTP://a.example:8080/x/y", Ok(("a.example", 8080, "/x/y"))),
            ("http://[::1]:81/", Ok(("::1", 81, "/"))),
            ("http://[::1]", Ok(("::1", 80, "/"))),
            ("http://a?b", Ok(("a", 80, "/?b"))),
            ("https://a", Err("invalid URL prefix")),
            ("http:/", Err("invalid URL prefix")),
            ("http://", Err("no host")),
            ("http:///x", Err("no host")),
            ("http://a:0", Err("invalid port")),
            ("http://a:x/", Err("invalid port")),
            ("http://[::1/", Err("invalid host")),
            ("http://a\r\nb/", Err("invalid host")),
        ] {
            let read = Responder::parse(url);
            let read = read.as_ref().map(|it| (&*it.host, it.port, &*it.path)).map_err(|(why, _)| *why);
            assert_eq!(read, came, "{url}");
        }
    }

    #[test]
    fn questions_are_part_of_the_path() {
        let responder = Responder { host: "a".into(), port: 80, path: "/x".into() };
        assert_eq!(
            responder.request(&[0xfb, 0xff, 0xfe, 1]),
            b"GET /x/%2B%2F%2F%2BAQ%3D%3D HTTP/1.0\r\nHost: a\r\n\r\n"
        );
        let other = Responder { host: "::1".into(), port: 81, path: "/".into() };
        assert_eq!(other.request(b"abc"), b"GET /YWJj HTTP/1.0\r\nHost: [::1]:81\r\n\r\n");
    }
}
