//! The order of a request that is passed on: where to, its body, one server after another until one answers, its answer
//! on the way to the client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use wire::h1::{Framing, Method};

use super::ask::{self, Waited};
use super::failure::{Failure, Stop};
use super::family::{Family, Made};
use super::request::{self, Body};
use super::target::{Pass, Target, Whom};
use crate::config::Settings;
use crate::engine::Engine;
use crate::exchange::{Asked, Request, RequestBody};
use crate::handlers::{Content, app};
use crate::log::Level;
use crate::transport::Conn;
use crate::transport::receive::{self, Pump};
use crate::transport::sender::Sender;
use crate::upstream::connect::Via;
use crate::upstream::policy::{Next, Policy};
use crate::upstream::{Address, Chosen, Group, Search, Times};
use crate::variables::Scope;

/// By how much a lookup may take longer than its own limit, in ms.
const LATER: u64 = 5000;

/// What is left when a request has been passed on.
pub struct Answered {
    pub request: Box<Request>,
    /// Some of the request's body may not be read.
    pub unread: bool,
    /// What is left to be done; `None`: the answer is with the sender.
    pub content: Option<Content>,
}

/// Passes a request on by the `proxy_pass` of that number.
pub async fn serve(
    engine: &Arc<Engine>,
    conn: &mut Conn,
    mut request: Box<Request>,
    sender: &mut Sender,
    pass: u32,
) -> Answered {
    let settings = engine.config.location(request.route.location).settings.clone();
    let pass = &engine.config.passes[pass as usize];
    let mut target = {
        let log = engine.log_of(&request);
        match pass.family.target(&mut Scope::new(&engine.config, &mut request, log), pass) {
            Ok(target) => target,
            Err(why) => {
                request.error(&engine.config, log, format_args!("{why}"));
                return Answered { request, unread: true, content: Some(Content::Status(500)) };
            }
        }
    };
    target.keepalive &= !(settings.proxy.protocol && pass.family == Family::Proxy);
    let policy = pass.family.policy(&settings).clone();
    let asked = request.route.asked();
    asked.redirected = !asked.attempts.is_empty();
    asked.host.clone_from(&target.host);
    asked.port.clone_from(&target.port);
    asked.scheme = pass.family.scheme(target.secure);
    asked.uri.clone_from(&target.uri);
    let mut pump = None;
    let body = match body(conn, &mut request, sender, &settings, pass.family, &mut pump).await {
        Ok(body) => body,
        Err(failure) => {
            let content = app::refuse(conn, &request, sender, failure).map(Content::Status);
            return Answered { request, unread: true, content };
        }
    };
    let mut run =
        Run { engine, conn, sender, request, settings, policy, pass, target, body, own: None, via: None, pump };
    let content = run.go().await;
    let Run { mut request, sender, pump, conn, settings, .. } = run;
    if let Some(asked) = &mut request.route.asked {
        asked.doing = "";
    }
    let mut unread = false;
    if let Some(mut pump) = pump {
        pump.stream.abandon();
        if sender.keep_alive && !pump.is_complete() {
            let sent = conn.flush(sender, settings.send_timeout).await.is_ok();
            sender.keep_alive = sent && pump.discard(conn, settings.client_body_timeout).await;
        }
        unread = !pump.is_complete();
        pump.restore(&mut request);
        request.body = RequestBody::Empty;
        request.head.framing = Framing::None;
        if unread {
            sender.keep_alive = false;
        }
    }
    Answered { request, unread, content }
}

/// Brings the request's body in, or begins to.
async fn body(
    conn: &mut Conn,
    request: &mut Request,
    sender: &mut Sender,
    settings: &Settings,
    family: Family,
    pump: &mut Option<Pump>,
) -> Result<Body, receive::Failure> {
    let framing = request.head.framing;
    let known = match (&request.body, framing) {
        // It was read for a location that the request was in before.
        (RequestBody::Empty, Framing::None) => Body::None,
        (_, Framing::None) => Body::Length(request.body_len().unwrap_or(0)),
        (_, Framing::Length(length)) => Body::Length(length),
        (_, Framing::Chunked) => Body::Chunked,
    };
    if framing == Framing::None || request.tunnel {
        return Ok(known);
    }
    let streams = family.streams(settings, framing == Framing::Chunked) && !receive::body_is_here(request);
    if streams {
        *pump = Pump::new(request, settings)?;
        return Ok(known);
    }
    receive::buffer(conn, request, sender, settings).await?;
    // It is read, whatever comes after this.
    request.head.framing = Framing::None;
    request.head.expect_continue = false;
    Ok(Body::Length(request.body_len().unwrap_or(0)))
}

/// A request on its way.
pub struct Run<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) conn: &'a mut Conn,
    pub(super) sender: &'a mut Sender,
    pub(super) request: Box<Request>,
    pub(super) settings: Arc<Settings>,
    pub(super) policy: Arc<Policy>,
    pub(super) pass: &'a Pass,
    pub(super) target: Target,
    pub(super) body: Body,
    /// The body that `proxy_set_body` says.
    pub(super) own: Option<Vec<u8>>,
    /// How connections leave, once that is known.
    pub(super) via: Option<Via>,
    pub(super) pump: Option<Pump>,
}

impl Run<'_> {
    pub(super) fn scope(&mut self) -> Scope<'_> {
        let log = self.engine.log_of(&self.request);
        Scope::new(&self.engine.config, &mut self.request, log)
    }

    pub(super) fn asked(&mut self) -> &mut Asked {
        self.request.route.asked()
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        let log = self.engine.log_of(&self.request);
        self.request.log(level, &self.engine.config, log, format_args!("{message}"));
    }

    /// Logs something that happened while that was done.
    pub(super) fn log_while(&mut self, level: Level, message: &str, doing: &'static str) {
        self.asked().doing = doing;
        self.log(level, message);
    }

    pub(super) async fn go(&mut self) -> Option<Content> {
        let group = match self.group().await {
            Ok(group) => group,
            Err(content) => return content,
        };
        let mut search = group.search(&mut self.scope());
        let mut tries = search.tries();
        if self.policy.next_tries > 0 {
            tries = tries.min(self.policy.next_tries as usize);
        }
        let began = Instant::now();
        let mut head = self.head();
        let mut first = true;
        loop {
            let chosen = match group.next(&mut search) {
                None => match Box::pin(self.wait(&group, &mut search)).await {
                    Ok(chosen) => chosen,
                    Err(_) => return self.client_gone(),
                },
                chosen => chosen,
            };
            let Some(chosen) = chosen else {
                let name: Arc<str> = Arc::from(&*group.spec.name);
                self.asked().begin(name.clone(), name);
                self.log_while(Level::Error, "no live upstreams", "connecting to upstream");
                return Some(self.give_up(Failure::NoLive));
            };
            self.asked().begin(chosen.member.name.clone(), chosen.member.peer.server.clone());
            if !std::mem::take(&mut first) && self.policy.request_dynamic {
                head = self.head();
            }
            let (mut begun, mut cached) = (false, false);
            let result = if self.is_allowed() {
                self.one(&group, &chosen, &head, &mut begun, &mut cached).await
            } else {
                Err(Failure::Denied.into())
            };
            let failure = match result {
                Ok(answer) => {
                    let condition = Next::of_status(answer.exchange.answer().status);
                    let is_failure = condition != Next::NOTHING && !answer.headless;
                    if !(is_failure && tries > 1 && self.may_go_on(condition, begun, began)) {
                        return self.answer(&group, &search, chosen, answer).await;
                    }
                    Failure::Status(answer.exchange.answer().status)
                }
                Err(Stop::Failed(failure)) => failure,
                Err(Stop::Gone) => {
                    self.end_attempt();
                    return self.client_gone();
                }
                Err(Stop::Body(failure)) => {
                    self.end_attempt();
                    return app::refuse(self.conn, &self.request, self.sender, failure).map(Content::Status);
                }
            };
            let times = self.times();
            if chosen.release(failure.counts(), times) {
                self.log(Level::Warning, "upstream server temporarily disabled");
            }
            if failure == Failure::Timeout {
                self.log(Level::Error, ask::LATE);
            }
            // That a connection that was kept has ended meanwhile is nobody's fault.
            if !(cached && matches!(failure, Failure::Error | Failure::Refused)) {
                tries = tries.saturating_sub(1);
            }
            if tries == 0 || !self.may_go_on(failure.condition(), begun, began) {
                return Some(self.give_up(failure));
            }
            if let Some(attempt) = self.asked().current() {
                attempt.status = failure.status();
                attempt.ended.get_or_insert(attempt.age());
            }
        }
    }

    /// Waits until a server has time, where the group has a `queue`.
    pub(super) async fn wait(&mut self, group: &Group, search: &mut Search) -> Result<Option<Chosen>, Waited> {
        if group.spec.queue.is_none() {
            return Ok(None);
        }
        ask::within(self.conn, 0, self.policy.ignore_client_abort, group.wait(search)).await
    }

    /// `allow_upstream`: whether the server that was chosen may be asked.
    pub(super) fn is_allowed(&mut self) -> bool {
        if self.policy.allow.is_empty() {
            return true;
        }
        let policy = self.policy.clone();
        let denied = policy.allow.iter().any(|condition| !condition.is_true(&mut self.scope()));
        if denied {
            self.log_while(Level::Error, "upstream is not allowed", "connecting to upstream");
        }
        !denied
    }

    /// Whether another server may be asked after such a failure.
    pub(super) fn may_go_on(&self, condition: Next, begun: bool, began: Instant) -> bool {
        let method = self.request.current_method();
        let repeats = matches!(method, Method::Post | Method::Patch) || self.request.method() == b"LOCK";
        let allowed =
            self.policy.next.has(condition) && (!(begun && repeats) || self.policy.next.has(Next::NON_IDEMPOTENT));
        let in_time = self.policy.next_timeout == 0 || (began.elapsed().as_millis() as u64) < self.policy.next_timeout;
        allowed && in_time && !(begun && self.pump.is_some())
    }

    /// The status of a request that no server answers.
    pub(super) fn give_up(&mut self, failure: Failure) -> Content {
        let status = failure.status();
        if let Some(attempt) = self.asked().current() {
            attempt.status = status;
            attempt.ended.get_or_insert(attempt.age());
        }
        Content::Status(status)
    }

    pub(super) fn client_gone(&mut self) -> Option<Content> {
        let message = "epoll_wait() reported that client prematurely closed connection, so upstream connection is \
                       closed too";
        self.log(Level::Info, message);
        self.end_attempt();
        self.sender.head.status = 499;
        self.sender.broken = true;
        self.sender.abort();
        None
    }

    /// The group of servers that may answer.
    pub(super) async fn group(&mut self) -> Result<Arc<Group>, Option<Content>> {
        match &self.target.whom {
            Whom::Group(index) => Ok(self.engine.upstreams[*index as usize].clone()),
            Whom::Address(address) => {
                let name = String::from_utf8_lossy(&self.target.host).into_owned();
                Ok(Group::of_addresses(&name, vec![address.clone()]))
            }
            Whom::Name { host, port } => {
                let (name, port) = (String::from_utf8_lossy(host).into_owned(), *port);
                let addresses = Box::pin(self.look_up(&name)).await?;
                let addresses = addresses.into_iter().map(|ip| Address::Inet(SocketAddr::new(ip, port)));
                Ok(Group::of_addresses(&name, addresses.collect()))
            }
        }
    }

    /// The addresses of a name that is known only now.
    pub(super) async fn look_up(&mut self, name: &str) -> Result<Vec<IpAddr>, Option<Content>> {
        let Some(resolver) = self.settings.resolver.clone() else {
            self.log(Level::Error, &format!("no resolver defined to resolve {name}"));
            return Err(Some(Content::Status(502)));
        };
        let limit = self.settings.resolver_timeout;
        let lookup = resolver.lookup(name, limit);
        // The lookup ends by itself, a little earlier.
        match ask::within(self.conn, limit.saturating_add(LATER), self.policy.ignore_client_abort, lookup).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(failure)) => {
                self.log(Level::Error, &failure.to_string());
                Err(Some(Content::Status(502)))
            }
            Err(Waited::Gone) => Err(self.client_gone()),
            Err(Waited::TooLong) => Err(Some(Content::Status(502))),
        }
    }

    /// The head of the request for servers.
    pub(super) fn head(&mut self) -> Made {
        let settings = self.settings.clone();
        let proxy = &settings.proxy;
        if let Some(template) = proxy.set_body.as_ref().filter(|_| self.pass.family == Family::Proxy) {
            let value = template.value(&mut self.scope());
            self.body = Body::Length(value.len() as u64);
            self.own = Some(value);
        } else if !self.policy.pass_request_body {
            self.body = Body::None;
        }
        let mut made = {
            let Self { engine, request, target, body, pass, .. } = self;
            let log = engine.log_of(request);
            pass.family.head(&mut Scope::new(&engine.config, request, log), target, *body)
        };
        self.target.keepalive &= !request::says_close(&made.text);
        if let (false, RequestBody::Inline(span)) = (self.own.is_some(), &self.request.body)
            && !matches!(self.body, Body::None)
        {
            // It fits into the same call.
            made.text.extend_from_slice(span.of(&self.request.buf));
        }
        made
    }

    pub(super) fn times(&mut self) -> Times {
        let attempt = self.asked().current();
        attempt.map_or_else(Times::default, |attempt| Times {
            header: attempt.headed,
            total: attempt.ended.or_else(|| Some(attempt.age())),
        })
    }

    /// The end of an attempt that has no answer.
    pub(super) fn end_attempt(&mut self) {
        if let Some(attempt) = self.asked().current() {
            attempt.ended.get_or_insert(attempt.age());
        }
    }
}
