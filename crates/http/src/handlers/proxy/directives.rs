//! The directives about passing requests on by HTTP that other protocols do not have.

use std::sync::Arc;

use conf::Diagnostic;
use wire::h1::encode;

use super::cookies::{self, FlagRule};
use super::redirect::{Redirect, Rule};
use super::target;
use crate::config::arguments::check;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::Row;
use crate::config::settings;
use crate::upstream::policy::{self, Policy};
use crate::variables::Template;

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    pub policy: Arc<Policy>,
    pub http_version: HttpVersion,
    /// The method that servers get in place of the client's.
    pub method: Option<Arc<Template>>,
    /// The body that servers get in place of the client's.
    pub set_body: Option<Arc<Template>>,
    /// Fields that servers get in place of the client's, in their order.
    pub headers: Arc<[(Box<str>, Template)]>,
    pub redirect: Redirect,
    /// How domains and paths of cookies change.
    pub cookie_domain: Arc<[Rule]>,
    pub cookie_path: Arc<[Rule]>,
    pub cookie_flags: Arc<[FlagRule]>,
    /// A request for another protocol is passed on as one without more being said.
    pub upgrade: bool,
    /// A header of the PROXY protocol comes first.
    pub protocol: bool,
}

/// The protocol that servers are spoken to with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HttpVersion {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Settings {
    /// `defaults modern;`: streams of events and other protocols need not be told of.
    pub fn modern() -> Settings {
        let policy = Policy { buffering: policy::Buffering::Auto, ..Policy::default() };
        Settings { policy: Arc::new(policy), upgrade: true, ..Settings::default() }
    }

    /// Whether the configuration says what servers get as this field.
    pub fn sets(&self, name: &[u8]) -> bool {
        self.headers.iter().any(|(own, _)| name.eq_ignore_ascii_case(own.as_bytes()))
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("proxy_cookie_domain", HSL, (1, 2), "off | DOMAIN REPLACEMENT", "off",
        "Changes the domain of cookies that servers set: DOMAIN, a text or `~REGEX`, becomes REPLACEMENT. The first that fits counts.",
        Set(|s| {
            let before = s.block.settings.proxy.cookie_domain.clone();
            let rules = cookies::rules(s, &before, true)?;
            proxy(s).cookie_domain = rules;
            Ok(())
        })).repeats(),
    Row::new("proxy_cookie_flags", HSL, (1, 4), "off | COOKIE [secure | nosecure] [httponly | nohttponly] [samesite=strict|lax|none | nosamesite]", "off",
        "Changes flags of the cookies that servers set whose name is COOKIE, a text or `~REGEX`.",
        Set(|s| {
            let before = s.block.settings.proxy.cookie_flags.clone();
            let rules = cookies::flag_rules(s, &before)?;
            proxy(s).cookie_flags = rules;
            Ok(())
        })).repeats(),
    Row::new("proxy_cookie_path", HSL, (1, 2), "off | PATH REPLACEMENT", "off",
        "Changes the path of cookies that servers set: what PATH is of its beginning, or `~REGEX` (`~*` without regard to case) of all of it, becomes REPLACEMENT.",
        Set(|s| {
            let before = s.block.settings.proxy.cookie_path.clone();
            let rules = cookies::rules(s, &before, false)?;
            proxy(s).cookie_path = rules;
            Ok(())
        })).repeats(),
    Row::new("proxy_headers_hash_bucket_size", HSL, (1, 1), "SIZE", "64", "Tables grow by themselves here; without effect.", Tuning(check::number)),
    Row::new("proxy_headers_hash_max_size", HSL, (1, 1), "NUMBER", "512", "Tables grow by themselves here; without effect.", Tuning(check::number)),
    Row::new("proxy_http_version", HSL, (1, 1), "1.0 | 1.1 | 2", "1.1",
        "The protocol that servers are spoken to with. With 1.0, each request has a connection of its own.",
        Set(|s| {
            let version = match s.text(0) {
                "1.0" => HttpVersion::Http10,
                "1.1" => HttpVersion::Http11,
                "2" => HttpVersion::Http2,
                other => return Err(s.wrong(format!("invalid value \"{other}\""))),
            };
            proxy(s).http_version = version;
            Ok(())
        })),
    Row::new("proxy_method", HSL, (1, 1), "METHOD", "", "The method that servers get in place of the client's.",
        Set(|s| {
            let method = s.template(0)?;
            if method.as_fixed().is_some_and(|method| !method.is_empty() && !encode::is_token(method)) {
                return Err(s.wrong(format!("invalid method \"{}\"", s.text(0))));
            }
            proxy(s).method = (method.as_fixed() != Some(b"")).then(|| Arc::new(method));
            Ok(())
        })),
    Row::new("proxy_pass", LIX, (1, 1), "URL", "",
        "Passes requests on to a server, by HTTP: `http://HOST[:PORT][URI]`, `https://...`, or `http://unix:PATH[:URI]`. HOST may be an \
         `upstream`. With a URI, it takes the place of the location's own in the request's path; with variables, a URI is sent as it is.",
        Set(target::pass)),
    Row::new("proxy_pass_trailers", HSL, (1, 1), "on | off", "off", "Whether clients get the trailer fields of answers.",
        Set(|s| policy::directives::pass_trailers(s, |settings| Arc::make_mut(&mut Arc::make_mut(&mut settings.proxy).policy)))),
    Row::new("proxy_protocol", HSL, (1, 1), "on | off", "off",
        "Whether servers are told the addresses of the client and of this server by a header of the PROXY protocol, version 1, before the \
         request (and before TLS). Each request has a connection of its own then.",
        Set(|s| { let on = s.flag()?; proxy(s).protocol = on; Ok(()) })),
    Row::new("proxy_redirect", HSL, (1, 2), "default | off | REDIRECT REPLACEMENT", "default",
        "Changes the fields Location and Refresh of answers: what REDIRECT is of their beginning, or `~REGEX` (`~*` without regard to case) of \
         all of it, becomes REPLACEMENT. `default`: the URL of `proxy_pass` becomes the location's path.",
        Set(|s| {
            let redirect = Redirect::directive(s)?;
            proxy(s).redirect = redirect;
            Ok(())
        })).repeats(),
    Row::new("proxy_send_lowat", HSL, (1, 1), "SIZE", "0", "Without effect.", Tuning(check::size)),
    Row::new("proxy_set_body", HSL, (1, 1), "STRING", "", "The body that servers get in place of the client's.",
        Set(|s| {
            let body = Arc::new(s.template(0)?);
            proxy(s).set_body = Some(body);
            Ok(())
        })),
    Row::new("proxy_set_header", HSL, (2, 2), "FIELD VALUE", "Host $proxy_host",
        "A field that servers get in place of the client's; with an empty VALUE they do not get it. Content-Length and Transfer-Encoding \
         always say how the body is sent. A block that has none has those of the block around it.",
        Set(set_header)).repeats(),
    Row::new("proxy_upgrade", HSL, (1, 1), "auto | off", "off",
        "Whether a request for another protocol (a WebSocket) is passed on as one without `proxy_set_header` lines for Upgrade and Connection; \
         the default is `auto` with `defaults modern;`.",
        Set(|s| { let auto = s.one_of(0, &[("auto", true), ("off", false)])?; proxy(s).upgrade = auto; Ok(()) })),
];

/// The settings of the block, to be changed.
pub fn proxy<'s>(s: &'s mut Setter<'_>) -> &'s mut Settings {
    let settings: &mut settings::Settings = s.settings();
    Arc::make_mut(&mut settings.proxy)
}

fn set_header(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = s.text(0).to_owned();
    if !encode::is_token(name.as_bytes()) {
        return Err(s.wrong(format!("\"{name}\" is not the name of a field")));
    }
    let value = s.template(1)?;
    let before = s.block.settings.proxy.headers.clone();
    let before = if s.first { &[][..] } else { &before[..] };
    proxy(s).headers = before.iter().cloned().chain([(name.into(), value)]).collect();
    Ok(())
}
