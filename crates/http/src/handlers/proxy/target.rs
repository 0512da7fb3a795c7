//! Where a request is passed on to: `proxy_pass`, read and evaluated.

use conf::{At, Diagnostic};
use wire::uri::{Escape, escape};

use super::family::Family;
use super::redirect::{Redirect, Rule};
use crate::config::build::Setter;
use crate::config::context::Context;
use crate::config::locations::Modifier;
use crate::config::{Config, Handler};
use crate::exchange::Request;
use crate::upstream::Address;
use crate::upstream::spec::{Written, literal};
use crate::variables::{Scope, Template};

/// A `proxy_pass`, in `Config::passes`.
#[derive(Debug)]
pub struct Pass {
    pub family: Family,
    /// By TLS. With variables, the scheme is only known when they are.
    pub secure: bool,
    pub to: To,
    /// As written.
    pub url: Box<str>,
    /// What of a path the URI part takes the place of: the location's prefix; empty for none.
    pub location: Box<str>,
    pub at: At,
}

#[derive(Debug)]
pub enum To {
    Group {
        /// Into `Config::upstreams`.
        index: u32,
        /// `$proxy_host`
        host: Box<str>,
        /// `$proxy_port`
        port: Box<str>,
        uri: Option<Box<[u8]>>,
    },
    /// A whole URL.
    Dynamic(Template),
}

impl Pass {
    /// Whether requests may go there by TLS.
    pub fn may_be_secure(&self) -> bool {
        self.secure || matches!(self.to, To::Dynamic(_))
    }

    /// How URLs of the servers become this server's; `None`: they are not known.
    pub fn redirect(&self) -> Option<Rule> {
        match &self.to {
            To::Group { uri: Some(_), .. } => Some(Rule::fixed(&self.url, &self.location)),
            To::Group { uri: None, .. } => Some(Rule::fixed(&format!("{}/", self.url), "/")),
            To::Dynamic(_) => None,
        }
    }
}

/// Where one request goes.
#[derive(Clone, Debug)]
pub struct Target {
    pub secure: bool,
    pub whom: Whom,
    /// `$proxy_host`: as in the URL, with the port unless it is the scheme's.
    pub host: Vec<u8>,
    /// `$proxy_port`
    pub port: Vec<u8>,
    /// The request's target there.
    pub uri: Vec<u8>,
    /// The connection may be kept for other requests, as far as is known before a server is chosen.
    pub keepalive: bool,
    /// The URL before `uri`, for lines in the log: `http://127.0.0.1:8000`.
    pub url_start: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// Into `Config::upstreams`.
    Group(u32),
    /// A name that a resolver is needed for.
    Name { host: Vec<u8>, port: u16 },
    /// An address that was written as one.
    Address(Address),
}

/// A URL in its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Url<'u> {
    secure: bool,
    /// All behind the scheme.
    rest: &'u str,
    /// Host and port, or `unix:` and a path.
    host_port: &'u str,
    /// From the first slash or question mark on; of a unix socket, from behind the colon on. Empty: none.
    uri: &'u str,
}

impl<'u> Url<'u> {
    /// `None`: it begins with neither `http://` nor `https://`.
    fn of(text: &'u str) -> Option<Url<'u>> {
        let scheme = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let (secure, rest) = match () {
            () if scheme("http://") => (false, &text[7..]),
            () if scheme("https://") => (true, &text[8..]),
            () => return None,
        };
        let unix = rest.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:"));
        let (host_port, uri) = if unix {
            let end = rest[5..].find(':').map_or(rest.len(), |at| at + 5);
            (&rest[..end], rest.get(end + 1..).unwrap_or_default())
        } else {
            rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
        };
        Some(Url { secure, rest, host_port, uri })
    }

    /// The port of the scheme.
    fn default_port(self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    /// The address; the error is nginx's.
    fn address(self) -> Result<Written, String> {
        Written::parse(self.host_port).map_err(|why| format!("{why} in upstream \"{}\"", self.rest))
    }

    /// `$proxy_host` and `$proxy_port`.
    fn names(self, address: &Written) -> (String, String) {
        match address {
            Written::Unix(_) => ("localhost".to_owned(), String::new()),
            Written::Host { port: None, .. } => (self.host_port.to_owned(), self.default_port().to_string()),
            Written::Host { port: Some(port), .. } => {
                let (host, text) = self.host_port.rsplit_once(':').unwrap_or((self.host_port, ""));
                let usual = *port == self.default_port();
                (if usual { host } else { self.host_port }.to_owned(), text.to_owned())
            }
        }
    }

    fn scheme(self) -> &'static str {
        if self.secure { "https://" } else { "http://" }
    }
}

/// The directive.
pub fn pass(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let text = s.text(0).to_owned();
    let number = s.make.passes.len() as u32;
    s.handler(Handler::Proxy(number))?;
    let location = place(s);
    let at = s.it.name.at.clone();
    let template = s.template(0)?;
    if template.variables().next().is_some() {
        let location = location.unwrap_or_default().into();
        s.make.passes.push(Pass {
            family: Family::Proxy,
            secure: false,
            to: To::Dynamic(template),
            url: text.into(),
            location,
            at,
        });
        return Ok(());
    }
    let url = Url::of(&text).ok_or_else(|| s.wrong("invalid URL prefix"))?;
    let address = url.address().map_err(|why| s.wrong(why))?;
    if location.is_none() && !url.uri.is_empty() {
        return Err(s.wrong(
            "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, \
             or inside \"if\" statement, or inside \"limit_except\" block",
        ));
    }
    let (host, port) = url.names(&address);
    let index = s.make.upstreams.refer(url.host_port, url.default_port(), s.it);
    let uri = (!url.uri.is_empty()).then(|| {
        let mut uri = url.uri.as_bytes().to_vec();
        tidy(&mut uri);
        uri.into()
    });
    let to = To::Group { index, host: host.into(), port: port.into(), uri };
    let location = location.unwrap_or_default().into();
    let pass = Pass { family: Family::Proxy, secure: url.secure, to, url: text.as_str().into(), location, at };
    if let (Redirect::Unsaid, Some(rule)) = (&s.block.settings.proxy.redirect, pass.redirect()) {
        super::directives::proxy(s).redirect = Redirect::Implied([rule].into());
    }
    s.make.passes.push(pass);
    Ok(())
}

/// The path that a URI part takes the place of; `None`: there is none.
fn place(s: &Setter<'_>) -> Option<String> {
    let spec = s.block.own.location.spec.as_ref().filter(|_| s.block.context == Context::Location)?;
    match spec.modifier {
        Modifier::Regex { .. } | Modifier::Predicate | Modifier::Named => None,
        Modifier::Exact | Modifier::Prefix | Modifier::PrefixNoRegex => Some(spec.name.clone()),
    }
}

/// Where a request goes now. The error is for the log; the client gets 500.
pub fn of(scope: &mut Scope<'_>, pass: &Pass) -> Result<Target, String> {
    match &pass.to {
        To::Group { index, host, port, uri } => {
            let mut target = Vec::new();
            match uri {
                None => unchanged(scope.request, &mut target),
                Some(uri) => replaced(scope.request, uri, pass.location.len(), &mut target),
            }
            if target.is_empty() {
                return Err("zero length URI to proxy".to_owned());
            }
            let scheme = if pass.secure { "https://" } else { "http://" };
            Ok(Target {
                secure: pass.secure,
                whom: Whom::Group(*index),
                host: host.as_bytes().to_vec(),
                port: port.as_bytes().to_vec(),
                uri: target,
                keepalive: keeps(scope.config, *index),
                url_start: format!("{scheme}{host}").into_bytes(),
            })
        }
        To::Dynamic(url) => {
            let text = url.value(scope);
            evaluated(scope, &text)
        }
    }
}

/// Whether the group keeps connections.
fn keeps(config: &Config, index: u32) -> bool {
    config.upstreams.get(index as usize).is_none_or(|group| group.keepalive.most > 0)
}

/// Where a URL leads that is only known now.
fn evaluated(scope: &mut Scope<'_>, text: &[u8]) -> Result<Target, String> {
    let shown = || String::from_utf8_lossy(text);
    // Of a path, not all may be text.
    let start = text.iter().position(|&byte| byte == b':').map_or(0, |at| (at + 3).min(text.len()));
    let end = text[start..].iter().position(|&byte| matches!(byte, b'/' | b'?')).map_or(text.len(), |at| start + at);
    let lossy;
    let (text, raw_uri) = match std::str::from_utf8(text) {
        Ok(text) => (text, None),
        Err(_) => {
            let host =
                std::str::from_utf8(&text[..end]).map_err(|_| format!("invalid host in upstream \"{}\"", shown()))?;
            lossy = format!("{host}/");
            (lossy.as_str(), Some(&text[end..]))
        }
    };
    let url = Url::of(text).filter(|url| !url.rest.is_empty());
    let url = url.ok_or_else(|| format!("invalid URL prefix in \"{}\"", shown()))?;
    let address = url.address()?;
    if url.host_port.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(format!("invalid host in upstream \"{}\"", url.rest));
    }
    let mut uri = Vec::new();
    match raw_uri.unwrap_or(url.uri.as_bytes()) {
        b"" => unchanged(scope.request, &mut uri),
        given => {
            if given.starts_with(b"?") {
                uri.push(b'/');
            }
            uri.extend_from_slice(given);
            tidy(&mut uri);
        }
    }
    let (whom, keepalive) = whom(scope.config, url, &address);
    let (host, port) = url.names(&address);
    Ok(Target {
        secure: url.secure,
        whom,
        url_start: format!("{}{host}", url.scheme()).into_bytes(),
        host: host.into_bytes(),
        port: port.into_bytes(),
        uri,
        keepalive,
    })
}

/// The group of that name if there is one, else the address itself, else a name to be looked up.
fn whom(config: &Config, url: Url<'_>, address: &Written) -> (Whom, bool) {
    let (host, port) = match address {
        Written::Unix(path) => {
            let path = std::path::Path::new(&**path);
            return (Whom::Address(Address::Unix(path.into())), true);
        }
        Written::Host { host, port } => (&**host, *port),
    };
    let wanted = port.unwrap_or(url.default_port());
    if let Some(index) =
        config.upstreams.iter().position(|group| group.is_named(host.as_bytes(), port, url.default_port()))
    {
        return (Whom::Group(index as u32), keeps(config, index as u32));
    }
    match literal(host) {
        Some(ip) => (Whom::Address(Address::Inet((ip, wanted).into())), true),
        None => (Whom::Name { host: host.as_bytes().to_vec(), port: wanted }, true),
    }
}

/// The request's own URI, where nothing takes its place.
pub fn own_uri(scope: &Scope<'_>) -> Vec<u8> {
    let mut uri = Vec::new();
    unchanged(scope.request, &mut uri);
    uri
}

/// The request's own URI: as the client sent it, as long as nothing has changed it.
fn unchanged(request: &Request, out: &mut Vec<u8>) {
    if request.route.rewritten || request.route.args.is_some() {
        return replaced(request, b"", 0, out);
    }
    let sent = request.target_uri();
    if sent.starts_with(b"?") {
        out.push(b'/');
    }
    out.extend_from_slice(sent);
}

/// The request's path with `uri` in place of its first `prefix` bytes, and its arguments. After `rewrite ... break` the
/// path is no longer the location's: it stays whole.
fn replaced(request: &Request, uri: &[u8], prefix: usize, out: &mut Vec<u8>) {
    let stayed = request.route.stayed;
    if !stayed {
        out.extend_from_slice(uri);
    }
    let skipped = if stayed { 0 } else { prefix };
    let rest = request.path.get(skipped..).unwrap_or_default();
    // A path that was sent without escapes is sent so.
    if request.route.internal || request.route.rewritten || request.head.path.of(&request.buf).contains(&b'%') {
        escape(rest, Escape::Path, out);
    } else {
        out.extend_from_slice(rest);
    }
    if let Some(query) = request.query().filter(|query| !query.is_empty()) {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    tidy(out);
}

/// Escapes what would end a request target, or the line it stands in: variables may have any bytes.
fn tidy(uri: &mut Vec<u8>) {
    let ends = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    if !uri.iter().any(ends) {
        return;
    }
    let mut out = Vec::with_capacity(uri.len() + 16);
    for part in uri.chunk_by(|one, other| ends(one) == ends(other)) {
        if part.first().is_some_and(ends) { escape(part, Escape::Path, &mut out) } else { out.extend_from_slice(part) }
    }
    *uri = out;
}
