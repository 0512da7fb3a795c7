//! A request's way through a configuration without a connection: what `explain` tells. The phases and handlers are
//! those that answer; what they note on the way is kept, and their answer is not sent. Applications are not called.

use std::net::SocketAddr;
use std::sync::Arc;

use wire::h1::encode;
use wire::h1::parse;

use super::guard;
use super::route::{self, From, Way};
use super::special::{self, Next};
use crate::config::listen::Address;
use crate::config::{Config, Handler, Listener};
use crate::exchange::request::Note;
use crate::exchange::{Local, Peer, Request};
use crate::features::realip;
use crate::handlers::{Content, answer, empty_gif, error_page, files, index, proxy};
use crate::log::ErrorLog;
use crate::transport::sender::Sender;
use crate::variables::Scope;

/// A request, in thought.
pub struct Asked {
    /// It is for `https`.
    pub secure: bool,
    /// The host of its URL, in brackets if it is an IPv6 address.
    pub host: String,
    pub port: u16,
    /// The whole head, as a client would send it.
    pub head: Vec<u8>,
    pub client: SocketAddr,
}

/// What becomes of it.
pub struct Explained {
    pub notes: Vec<Note>,
    /// The block whose settings hold in the end: the server, a location, or a block in it.
    pub block: conf::At,
    /// What answers.
    pub handler: String,
    /// The answer's status, where it is known without asking an application.
    pub status: Option<u16>,
    /// The reason phrase.
    pub reason: String,
    /// Fields of the answer that come from the configuration and from what answers: `Name: value`.
    pub fields: Vec<String>,
}

/// Follows the request; the error says why there is nothing to follow.
pub fn explain(config: &Config, log: &ErrorLog, asked: &Asked) -> Result<Explained, String> {
    let listen = listener(config, asked)?;
    let mut request = request(config, listen, asked)?;
    let mut walk = Walk { sender: Sender::new(), said: String::new(), status: None };
    let entered = route::enter(config, listen, &mut request);
    let server = config.server(request.route.server);
    walk.sender.reset(&request, true, &config.location(server.location).settings);
    let begin = match entered.map_err(|(status, _)| status).and_then(|()| route::normalise(config, &mut request)) {
        Ok(()) => {
            let told = server.forwarded.as_ref().map_or(Ok(()), |forwarded| forwarded.apply(&mut request));
            realip::apply(&config.location(server.location).settings.realip, &mut request);
            if told.is_ok() { Ok(From::Server) } else { Err(Content::Status(400)) }
        }
        Err(status) => Err(Content::Status(status)),
    };
    walk.travel(config, log, &mut request, begin);
    let head = &walk.sender.head;
    let known = walk.sender.started && walk.status.is_none();
    let mut fields = Vec::new();
    if known {
        let named = [
            ("Content-Type", &head.content_type),
            ("Last-Modified", &head.last_modified),
            ("Location", &head.location),
        ];
        fields.extend(
            named
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| format!("{name}: {}", lossy(value))),
        );
        fields.extend(head.length.map(|length| format!("Content-Length: {length}")));
        for lines in [&head.fields[..], walk.fixed(), &head.last_fields] {
            fields.extend(lines.split(|&byte| byte == b'\n').map(lossy).map(|line| line.trim().to_owned()));
        }
        fields.retain(|line| !line.is_empty());
    }
    let status = if known { Some(head.status) } else { walk.status };
    let reason = status.map(|status| error_page::reason(status).unwrap_or_else(|| encode::reason(status)).to_owned());
    Ok(Explained {
        block: config.location(request.route.location).at.clone(),
        notes: request.trace.take().unwrap_or_default(),
        handler: walk.said,
        status,
        reason: reason.unwrap_or_default(),
        fields,
    })
}

/// The listener that a connection for this URL would come to.
fn listener(config: &Config, asked: &Asked) -> Result<usize, String> {
    let host = asked.host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let rank = |listener: &Listener| match listener.listen.address {
        Address::Inet(address) if address.port() == asked.port => {
            let ip = address.ip();
            let place = match host {
                Some(host) if ip == host => 0,
                Some(host) if ip.is_unspecified() && ip.is_ipv4() == std::net::IpAddr::is_ipv4(&host) => 1,
                // A name may be that of any address.
                None if ip.is_unspecified() => 1,
                None => 2,
                Some(_) => return None,
            };
            Some((listener.listen.options.ssl != asked.secure, place))
        }
        _ => None,
    };
    let ranked = config.listens.iter().enumerate().filter_map(|(index, one)| Some((rank(one)?, index)));
    let ((wrong, _), index) = ranked.min().ok_or_else(|| {
        let all: Vec<&str> = config.listens.iter().map(|listener| listener.listen.text.as_str()).collect();
        format!("no server listens at port {} of {}; there is {}", asked.port, asked.host, all.join(", "))
    })?;
    if wrong {
        let (is, not) = if asked.secure { ("http", "https") } else { ("https", "http") };
        return Err(format!("{} is for {is}, not for {not}", config.listens[index].listen.text));
    }
    Ok(index)
}

fn request(config: &Config, listen: usize, asked: &Asked) -> Result<Request, String> {
    let listener = &config.listens[listen];
    let name = match listener.listen.address {
        Address::Inet(address) if !address.ip().is_unspecified() => address.ip().to_string(),
        _ => asked.host.trim_start_matches('[').trim_end_matches(']').to_owned(),
    };
    let local = Arc::new(Local { name, port: asked.port.to_string(), listen, wildcard: false });
    let mut request = Request::new(0, local);
    request.buf = asked.head.clone();
    let limits = &config.first_settings(listen).0.limits;
    match parse(&request.buf, limits, &mut request.head) {
        Ok(Some(len)) => request.consumed = len,
        Ok(None) => return Err("this is no complete request".to_owned()),
        Err(refusal) => return Err(format!("the request is refused with {}: {}", refusal.status(), refusal.reason())),
    }
    request.peer = Peer::Inet(asked.client);
    request.secure = asked.secure;
    request.trace = Some(Vec::new());
    Ok(request)
}

struct Walk {
    /// Where the answer goes; it leads nowhere.
    sender: Sender,
    /// What answers, in words.
    said: String,
    /// The status, where nothing is with the sender.
    status: Option<u16>,
}

impl Walk {
    /// Lines that the sender adds to every head.
    fn fixed(&self) -> &[u8] {
        self.sender.settings().and_then(|settings| settings.headers.fixed()).unwrap_or_default()
    }

    fn travel(&mut self, config: &Config, log: &ErrorLog, request: &mut Request, begin: Result<From, Content>) {
        let mut begin = begin;
        loop {
            let content = match begin {
                Err(content) => content,
                Ok(from) => {
                    let scope = &mut Scope::new(config, request, log);
                    let mut way = route::run(scope, from);
                    if way == Way::Guarded {
                        let settings = scope.settings();
                        for text in settings.limit_req.told() {
                            scope.request.note("limit_req", None, || text);
                        }
                        for text in settings.limit_conn.told() {
                            scope.request.note("limit_conn", None, || text);
                        }
                        scope.request.note("guard", None, || "limits and authentication are not tried here".to_owned());
                        guard::access::tell(scope);
                        way = route::admit(scope).map_or_else(|| route::precontent(scope), Way::Status);
                    }
                    self.sender.use_settings(&config.location(request.route.location).settings, request.secure);
                    let scope = &mut Scope::new(config, request, log);
                    match way {
                        Way::Handler | Way::Guarded => match self.handle(scope) {
                            Some(content) => content,
                            None => return,
                        },
                        Way::Internal(uri) => Content::Internal(uri, None),
                        Way::Status(444) | Way::Text(444, _) => {
                            self.said = "return 444: the connection is closed without an answer".to_owned();
                            self.status = Some(444);
                            return;
                        }
                        Way::Status(status) => Content::Status(status),
                        Way::Redirect(status, location) => {
                            self.said = format!("return {status} {}", lossy(&location));
                            Content::Redirect(status, location)
                        }
                        Way::Text(status, body) => {
                            self.said = format!("return {status} with a text of {} bytes", body.len());
                            answer::text(scope, &mut self.sender, status, None, &body);
                            Content::Done
                        }
                    }
                }
            };
            let scope = &mut Scope::new(config, request, log);
            if let Content::Redirect(status, to) = &content
                && self.said.is_empty()
            {
                self.said = format!("redirect {status} {}", lossy(to));
            }
            begin = match special::next(scope, content) {
                Next::Done => return,
                Next::Way(from) => {
                    self.said.clear();
                    Ok(from)
                }
                Next::Page(status, location) => {
                    if self.said.is_empty() {
                        self.said = format!("the page of status {status}");
                    }
                    answer::page(scope, &mut self.sender, status, location, &[]);
                    return;
                }
            };
        }
    }

    /// What the handler of the location says; `None`: it is not asked.
    fn handle(&mut self, scope: &mut Scope<'_>) -> Option<Content> {
        match scope.location().handler {
            Handler::App(app) => {
                let app = &scope.config.apps[app];
                self.said = format!("python_pass {}", app.module);
                None
            }
            Handler::StubStatus => {
                self.said = "stub_status".to_owned();
                self.status = Some(200);
                None
            }
            Handler::Proxy(pass) => {
                let pass = &scope.config.passes[pass as usize];
                self.said = format!("{} {}", pass.family.directive(), pass.url);
                if let proxy::To::Group { index, .. } = pass.to
                    && let Some(group) = scope.config.upstreams.get(index as usize)
                    && group.implicit.is_none()
                {
                    scope.request.note("upstream", Some(&group.at), || group.told());
                }
                None
            }
            Handler::Later(what) => {
                self.said = format!("{what} (not supported yet)");
                Some(Content::Status(502))
            }
            Handler::EmptyGif => {
                self.said = "empty_gif".to_owned();
                Some(empty_gif::serve(scope, &mut self.sender))
            }
            Handler::Files => {
                let mut path = Vec::new();
                files::path::of(scope, &mut path);
                let path = lossy(&path).into_owned();
                if scope.request.path.ends_with(b"/") {
                    match index::serve(scope, &mut self.sender) {
                        Content::Declined => {}
                        content => {
                            if content == Content::Done {
                                self.said = format!("listing of the directory {path}");
                            }
                            return Some(content);
                        }
                    }
                }
                let content = files::serve(scope, &mut self.sender);
                if content == Content::Done {
                    self.said = format!("file {path}");
                }
                Some(content)
            }
        }
    }
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
