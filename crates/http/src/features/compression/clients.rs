//! Who gets compressed answers: what the `gzip_*` directives say of clients and of proxies on the way to them. It holds
//! for all codings, and for compressed files as for what is compressed on the fly.

use std::sync::Arc;

use conf::Diagnostic;
use wire::date;
use wire::h1::Version;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{MANY, Row};
use crate::exchange::{Request, ResponseHead};
use crate::regex::Regex;
use crate::sys;

/// What holds in a block.
#[derive(Clone)]
pub struct Clients {
    /// Answers of which there are several say `Vary: Accept-Encoding`.
    pub vary: bool,
    /// The oldest protocol.
    oldest: Version,
    proxied: Proxied,
    /// User-Agents that get nothing compressed.
    disabled: Arc<[Regex]>,
    /// Internet Explorer 4 to 6 neither.
    not_msie6: bool,
}

/// `gzip_proxied`: of requests that came by a proxy, which ones are answered compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proxied {
    /// None.
    Off,
    /// All.
    Any,
    Some(Cases),
}

/// What makes an answer to a proxy one that the proxy will not keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Cases {
    expired: bool,
    no_cache: bool,
    no_store: bool,
    private: bool,
    no_last_modified: bool,
    no_etag: bool,
    auth: bool,
}

impl Default for Clients {
    fn default() -> Self {
        Clients {
            vary: false,
            oldest: Version::Http11,
            proxied: Proxied::Off,
            disabled: Arc::new([]),
            not_msie6: false,
        }
    }
}

impl Clients {
    /// `defaults modern;`: with Vary, proxies know what to do.
    pub fn modern() -> Clients {
        Clients { vary: true, oldest: Version::Http10, proxied: Proxied::Any, ..Clients::default() }
    }

    /// Whether the client of this request may get a compressed answer, as far as it is not about codings; of the answer
    /// `head` is known. `dated`: it is an application's that says when it was changed; of a file's nginx does not know.
    pub fn fit(&self, request: &Request, head: &ResponseHead, dated: bool) -> bool {
        if self.oldest == Version::Http11 && request.head.version == Version::Http10 {
            return false;
        }
        if !self.proxied.fits(request, head, dated) {
            return false;
        }
        if !self.not_msie6 && self.disabled.is_empty() {
            return true;
        }
        let agent = request.field("user-agent").unwrap_or_default();
        !(self.not_msie6 && is_msie6(agent) || self.disabled.iter().any(|regex| regex.is_match(agent)))
    }
}

impl Proxied {
    fn fits(self, request: &Request, head: &ResponseHead, dated: bool) -> bool {
        if self == Proxied::Any || request.field("via").is_none() {
            return true;
        }
        let Proxied::Some(cases) = self else { return false };
        if cases.auth && request.field("authorization").is_some() {
            return true;
        }
        if let Some(expires) = head.find("expires") {
            let now = head.find("date").map_or(Some(sys::time::coarse_seconds()), date::parse);
            let expired = date::parse(expires).is_some_and(|expires| now.is_some_and(|now| expires < now));
            return cases.expired && expired;
        }
        let mut control = Vec::new();
        if head.join("cache-control", &mut control) {
            let says = |word: &str| {
                control.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
            };
            return cases.no_cache && says("no-cache")
                || cases.no_store && says("no-store")
                || cases.private && says("private");
        }
        // As nginx: an answer that says nothing of caching is compressed unless these forbid it.
        !(cases.no_last_modified && dated || cases.no_etag && head.find("etag").is_some())
    }
}

/// Internet Explorer 4, 5, and 6 without its second service pack.
fn is_msie6(agent: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(agent, b"MSIE ") else { return false };
    if memchr::memmem::find(agent, b"Opera").is_some() {
        return false;
    }
    match &agent[at + 5..] {
        [b'4' | b'5', b'.', ..] => true,
        [b'6', b'.', rest @ ..] => memchr::memmem::find(rest, b"SV1").is_none(),
        _ => false,
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "gzip_disable",
        HSL,
        (1, MANY),
        "REGEX ...",
        "",
        "User-Agents whose answers are left as they are; `msie6` is Internet Explorer 4 to 6.",
        Set(disable),
    )
    .repeats(),
    Row::new(
        "gzip_http_version",
        HSL,
        (1, 1),
        "1.0 | 1.1",
        "1.1",
        "The oldest protocol that compressed answers are for.",
        Set(|s| {
            let oldest = s.one_of(0, &[("1.0", Version::Http10), ("1.1", Version::Http11)])?;
            s.settings().compression.clients.oldest = oldest;
            Ok(())
        }),
    ),
    Row::new(
        "gzip_proxied",
        HSL,
        (1, MANY),
        "off | expired | no-cache | no-store | private | no_last_modified | no_etag | auth | any ...",
        "off",
        "Which answers to requests with a Via field may be compressed: none, all, or those with such fields; `auth` are requests with \
         Authorization.",
        Set(proxied),
    )
    .repeats(),
    Row::new(
        "gzip_vary",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether answers that may be compressed have `Vary: Accept-Encoding`.",
        Set(|s| s.set_flag(|x| &mut x.compression.clients.vary)),
    ),
];

fn disable(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let mut regexes = Vec::new();
    let mut msie6 = !s.first && s.block.settings.compression.clients.not_msie6;
    if !s.first {
        regexes.extend(s.block.settings.compression.clients.disabled.iter().map(|regex| regex.pattern().to_owned()));
    }
    for word in &s.it.args {
        match word.text.as_str() {
            "msie6" => msie6 = true,
            // A word that nginx knows and that did something on Solaris.
            "degradation" => {}
            pattern => regexes.push(pattern.to_owned()),
        }
    }
    let regexes: Result<Vec<Regex>, String> = regexes.iter().map(|pattern| Regex::new(pattern, true)).collect();
    let regexes = regexes.map_err(|why| s.wrong(why))?;
    let clients = &mut s.settings().compression.clients;
    clients.disabled = regexes.into();
    clients.not_msie6 = msie6;
    Ok(())
}

fn proxied(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let before = s.block.settings.compression.clients.proxied;
    let mut value = if s.first { Proxied::Some(Cases::default()) } else { before };
    for word in &s.it.args {
        let mut cases = if let Proxied::Some(cases) = value { cases } else { Cases::default() };
        let case = match word.text.as_str() {
            "off" => {
                value = Proxied::Off;
                continue;
            }
            "any" => {
                if value != Proxied::Off {
                    value = Proxied::Any;
                }
                continue;
            }
            "expired" => &mut cases.expired,
            "no-cache" => &mut cases.no_cache,
            "no-store" => &mut cases.no_store,
            "private" => &mut cases.private,
            "no_last_modified" => &mut cases.no_last_modified,
            "no_etag" => &mut cases.no_etag,
            "auth" => &mut cases.auth,
            word => return Err(s.wrong(format!("invalid value \"{word}\""))),
        };
        *case = true;
        // `off` stands above `any`, and both above single cases.
        if let Proxied::Some(_) = value {
            value = Proxied::Some(cases);
        }
    }
    s.settings().compression.clients.proxied = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(200);
        for (name, value) in fields {
            head.put(name, value.as_bytes());
        }
        head
    }

    fn request(fields: &str) -> Request {
        let mut request = Request::new(
            0,
            Arc::new(crate::exchange::Local { name: String::new(), port: String::new(), listen: 0, wildcard: false }),
        );
        request.buf = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        wire::h1::parse(&request.buf, &wire::h1::Limits::default(), &mut request.head).unwrap();
        request
    }

    #[test]
    fn answers_to_proxies() {
        let with = |set: fn(&mut Cases)| {
            let mut cases = Cases::default();
            set(&mut cases);
            Proxied::Some(cases)
        };
        let via = request("Via: 1.1 a\r\n");
        let (plain, past) = (head(&[]), head(&[("Expires", "Thu, 01 Jan 1970 00:00:01 GMT")]));
        let future = head(&[("Expires", "Thu, 31 Dec 2037 23:55:55 GMT")]);
        let private = head(&[("Cache-Control", "max-age=0, Private")]);
        assert!(Proxied::Off.fits(&request(""), &plain, false) && Proxied::Any.fits(&via, &plain, false));
        assert!(!Proxied::Off.fits(&via, &plain, false));
        let expired = with(|cases| cases.expired = true);
        assert!(
            expired.fits(&via, &past, false)
                && !expired.fits(&via, &future, false)
                && !expired.fits(&via, &private, false)
        );
        assert!(expired.fits(&via, &plain, false));
        assert!(with(|cases| cases.private = true).fits(&via, &private, false));
        assert!(!with(|cases| cases.no_store = true).fits(&via, &private, false));
        assert!(!with(|cases| cases.no_etag = true).fits(&via, &head(&[("ETag", "\"a\"")]), false));
        let dated = with(|cases| cases.no_last_modified = true);
        assert!(dated.fits(&via, &plain, false) && !dated.fits(&via, &plain, true));
        assert!(with(|cases| cases.auth = true).fits(&request("Via: a\r\nAuthorization: b\r\n"), &future, false));
    }

    #[test]
    fn old_browsers() {
        for (agent, expected) in [
            ("Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)", true),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", true),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", false),
            ("Mozilla/4.0 (compatible; MSIE 7.0)", false),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1) Opera 7.0", false),
            ("curl/8", false),
        ] {
            assert_eq!(is_msie6(agent.as_bytes()), expected, "{agent}");
        }
    }
}
