//! One server: a connection to it, kept or new, and what it says until the head of its answer is here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::ask::{self, Doing, Heard, Limits, Waited};
use super::failure::{Failure, Stop};
use super::family::{Family, Made};
use super::request::Body;
use super::serve::Run;
use super::target::Whom;
use crate::exchange::{FileSlice, Peer, Request, RequestBody};
use crate::log::Level;
use crate::transport::receive::Pump;
use crate::transport::tls::client::Alpn;
use crate::upstream::connect::{Via, connect};
use crate::upstream::exchange::{Exchange, NoHead, Outgoing};
use crate::upstream::h2;
use crate::upstream::policy::directives::local_address;
use crate::upstream::pool::{Key, Line, Link, Pool};
use crate::upstream::tls::{Client, Face};
use crate::upstream::{Address, Chosen, Group};

/// A server's answer, whose head is here.
pub struct Answer {
    pub(super) exchange: Box<Exchange>,
    pub(super) key: Option<Key>,
    /// It was no HTTP: all that came is the body.
    pub(super) headless: bool,
}

impl Run<'_> {
    /// Asks one server. `begun`: it has got something; `cached`: the connection was there already.
    pub(super) async fn one(
        &mut self,
        group: &Arc<Group>,
        chosen: &Chosen,
        head: &Made,
        begun: &mut bool,
        cached: &mut bool,
    ) -> Result<Answer, Stop> {
        let via = self.via();
        let tls = self.tls()?;
        let secure = tls.as_ref().map(|(client, face)| (Arc::as_ptr(client) as usize, face.identity().into()));
        let location = group.spec.keepalive.local.then_some(self.request.route.location);
        let key = Key { address: chosen.member.address.clone(), via, tls: secure, http2: head.http2, location };
        let says = self.says_who();
        let kept = if says { None } else { self.pool(group).take(&key) };
        let line = match kept {
            Some(line) => {
                *cached = true;
                line
            }
            // Boxed: the usual request finds a connection that was kept.
            None => Box::pin(self.make_line(&key, tls)).await?,
        };
        if let Some(attempt) = self.asked().current() {
            attempt.connected = Some(if *cached { 0 } else { attempt.age() });
        }
        *begun = true;
        let mut exchange = Box::new(Exchange::new(line, &head.text, self.target.secure));
        let heard = self.hear(&mut exchange, head, *cached).await;
        if matches!(heard, Err(Stop::Failed(Failure::Refused))) {
            *begun = !exchange.give_back(self.pump.as_ref().map(|pump| &*pump.stream));
        }
        heard.map(|headless| Answer { exchange, key: Some(key), headless })
    }

    /// A new connection.
    async fn make_line(&mut self, key: &Key, tls: Option<(Arc<Client>, Face)>) -> Result<Line, Stop> {
        let mut link = self.connect(key).await?;
        if self.says_who() {
            self.say_who(&mut link).await?;
        }
        let link = match tls {
            None => link,
            Some((client, face)) => self.secure(link, &client, &face, key.http2).await?,
        };
        if key.http2 { self.begin_http2(link).await } else { Ok(Line::Http1(link)) }
    }

    /// Whether a header of the PROXY protocol comes first.
    fn says_who(&self) -> bool {
        self.settings.proxy.protocol && self.pass.family == Family::Proxy
    }

    /// Sends it.
    async fn say_who(&mut self, link: &mut Link) -> Result<(), Stop> {
        let (address, port) = self.request.local_end();
        let server = address.parse::<IpAddr>().ok().zip(port.parse::<u16>().ok()).map(SocketAddr::from);
        let client = match self.request.peer {
            Peer::Inet(client) => Some(client),
            Peer::Unix => None,
        };
        let header = wire::proxy_protocol::v1(client.zip(server));
        let policy = &self.policy;
        let writing = async {
            let mut done = 0;
            while done < header.len() {
                done += std::future::poll_fn(|cx| link.stream.poll_write(cx, &header[done..])).await?;
            }
            Ok::<(), std::io::Error>(())
        };
        match ask::within(self.conn, policy.send_timeout, policy.ignore_client_abort, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                self.log_while(Level::Error, &ask::failed("send()", &error), Doing::Sending.text());
                Err(Failure::Error.into())
            }
            Err(waited) => Err(waited.into()),
        }
    }

    /// Begins HTTP/2 on a new connection.
    pub(super) async fn begin_http2(&mut self, link: Link) -> Result<Line, Stop> {
        let policy = &self.policy;
        let beginning = h2::Link::begin(link.stream, policy.memory(), policy.buffer_size);
        match ask::within(self.conn, policy.send_timeout, policy.ignore_client_abort, beginning).await {
            Ok(Ok(link)) => Ok(Line::Http2(link)),
            Ok(Err(error)) => {
                self.log_while(Level::Error, &ask::failed("writev()", &error), Doing::Sending.text());
                Err(Failure::Error.into())
            }
            Err(Waited::TooLong) => Err(Failure::Timeout.into()),
            Err(Waited::Gone) => Err(Stop::Gone),
        }
    }

    /// Where connections to the group's servers wait.
    pub(super) fn pool<'g>(&'g self, group: &'g Group) -> &'g Pool {
        match self.target.whom {
            Whom::Group(_) => &group.pool,
            // Such a group is gone after the request.
            _ => &self.engine.links,
        }
    }

    /// How connections leave: found once, or with `bind_dynamic` each time.
    pub(super) fn via(&mut self) -> Via {
        let keepalive = self.policy.socket_keepalive;
        let Some(bind) = self.policy.bind.clone() else { return Via { keepalive, ..Via::default() } };
        if let Some(via) = self.via.filter(|_| !self.policy.bind_dynamic) {
            return via;
        }
        let text = bind.address.value(&mut self.scope());
        let address = match text.as_slice() {
            b"" => None,
            text => {
                let address = local_address(text);
                if address.is_none() {
                    let message = format!("invalid local address \"{}\"", String::from_utf8_lossy(text));
                    self.log_while(Level::Error, &message, "connecting to upstream");
                }
                address
            }
        };
        let via = Via { bind: address, transparent: bind.transparent, keepalive };
        self.via = Some(via);
        via
    }

    pub(super) async fn connect(&mut self, key: &Key) -> Result<Link, Stop> {
        self.asked().doing = "connecting to upstream";
        let connecting = connect(&key.address, &key.via);
        let connected =
            ask::within(self.conn, self.policy.connect_timeout, self.policy.ignore_client_abort, connecting).await;
        match connected {
            Ok(Ok(stream)) => Ok(Link::new(stream)),
            Ok(Err(error)) => {
                let call = match &key.address {
                    Address::Inet(_) => "connect()".to_owned(),
                    unix @ Address::Unix(_) => format!("connect() to {unix}"),
                };
                let usual = matches!(error.raw_os_error(), Some(libc::ECONNREFUSED | libc::EAGAIN | libc::ECONNRESET))
                    || matches!(key.address, Address::Inet(_));
                let level = if usual { Level::Error } else { Level::Critical };
                self.log(level, &ask::failed(&call, &error));
                Err(Failure::Error.into())
            }
            Err(Waited::TooLong) => Err(Failure::Timeout.into()),
            Err(Waited::Gone) => Err(Stop::Gone),
        }
    }

    /// What TLS to the server is made with, and the name that its certificate must have.
    pub(super) fn tls(&mut self) -> Result<Option<(Arc<Client>, Face)>, Stop> {
        if !self.target.secure {
            return Ok(None);
        }
        let Some(client) = self.policy.tls.client().cloned() else {
            self.log_while(Level::Alert, "no TLS is prepared for this location", "SSL handshaking to upstream");
            return Err(Failure::Error.into());
        };
        let (policy, host) = (self.policy.clone(), self.target.host.clone());
        match policy.tls.face(&mut self.scope(), &host) {
            Ok(face) => Ok(Some((client, face))),
            Err(why) => {
                self.log_while(Level::Error, &why, "SSL handshaking to upstream");
                Err(Failure::Status(500).into())
            }
        }
    }

    /// Does the handshake on a new connection.
    pub(super) async fn secure(&mut self, link: Link, client: &Client, face: &Face, http2: bool) -> Result<Link, Stop> {
        self.asked().doing = "SSL handshaking to upstream";
        let shaking = client.connect(link.stream, face, if http2 { Alpn::H2 } else { Alpn::None });
        let shaken =
            ask::within(self.conn, self.policy.connect_timeout, self.policy.ignore_client_abort, shaking).await;
        match shaken {
            Ok(Ok(stream)) => Ok(Link { stream, ..link }),
            Ok(Err(failure)) => {
                self.log(Level::Error, &failure.to_string());
                Err(Failure::Error.into())
            }
            Err(Waited::TooLong) => Err(Failure::Timeout.into()),
            Err(Waited::Gone) => Err(Stop::Gone),
        }
    }

    /// Sends the request and waits for the head of an answer, past interim ones. `true`: there is none, only a body;
    /// not on a connection that was used before (`cached`), where it could belong to another request's answer.
    pub(super) async fn hear(&mut self, exchange: &mut Exchange, made: &Made, cached: bool) -> Result<bool, Stop> {
        let limits = Limits {
            send: self.policy.send_timeout,
            read: self.policy.read_timeout,
            body: self.settings.client_body_timeout,
            head: self.policy.buffer_size,
            ignore_abort: self.policy.ignore_client_abort,
        };
        let mut interim = 0;
        loop {
            self.asked().doing = Doing::Sending.text();
            let heard = {
                let outgoing =
                    outgoing(&self.request, self.body, self.own.as_deref(), self.pump.as_ref()).map_err(|error| {
                        self.log(Level::Alert, &ask::failed("dup()", &error));
                        Failure::Error
                    })?;
                ask::ask(self.conn, self.sender, exchange, &outgoing, &mut self.pump, limits).await
            };
            let (sent, received) = (exchange.sent(), exchange.received());
            if let Some(attempt) = self.asked().current() {
                (attempt.sent, attempt.received) = (sent, received);
            }
            match heard {
                Heard::Head => {}
                Heard::Waited(Waited::TooLong, doing) => {
                    self.asked().doing = doing.text();
                    return Err(Failure::Timeout.into());
                }
                Heard::Waited(Waited::Gone, doing) => {
                    self.asked().doing = doing.text();
                    return Err(Stop::Gone);
                }
                Heard::Body(failure) => return Err(Stop::Body(failure)),
                Heard::Broken(NoHead::Fault(wire::h1::answer::Fault::NoStatusLine), doing)
                    if !cached && interim == 0 && self.takes_anything() =>
                {
                    self.log_while(Level::Error, "upstream sent no valid HTTP/1.0 header", doing.text());
                    exchange.headless();
                    if let Some(attempt) = self.asked().current() {
                        attempt.status = 200;
                        attempt.headed = Some(attempt.age());
                    }
                    return Ok(true);
                }
                Heard::Broken(why, doing) => {
                    let (level, message, failure) = ask::judge(&why, doing, exchange.raw());
                    self.asked().doing = doing.text();
                    if failure != Failure::Timeout {
                        self.log(level, &message);
                    }
                    return Err(failure.into());
                }
            }
            let status = exchange.answer().status;
            let switches = status == 101 && exchange.may_switch() && self.may_switch() && knows(exchange, made.accept);
            if (100..200).contains(&status) && !switches {
                let mut head = Vec::new();
                exchange.take_head(&mut head);
                interim += head.len();
                if status == 101 || interim > self.policy.buffer_size {
                    let message = if status == 101 {
                        "upstream sent unexpected status 101"
                    } else {
                        "upstream sent too big header"
                    };
                    self.log_while(Level::Error, message, Doing::Reading.text());
                    return Err(Failure::InvalidHeader.into());
                }
                if status == 103 {
                    Box::pin(self.hint(exchange.answer(), &head)).await;
                }
                continue;
            }
            let asked = self.asked();
            asked.doing = Doing::Reading.text();
            asked.head.clear();
            exchange.take_head(&mut asked.head);
            asked.fields.clone_from(&exchange.answer().fields);
            if let Some(attempt) = asked.current() {
                attempt.status = status;
                attempt.headed = Some(attempt.age());
            }
            return Ok(false);
        }
    }

    /// As nginx does for clients of its own kind: what is no HTTP is passed on as HTTP/0.9.
    pub(super) fn takes_anything(&self) -> bool {
        self.settings.nginx_pages && !self.conn.stream.is_multiplexed() && !self.sender.is_keeping()
    }

    /// Whether the client has asked for another protocol.
    pub(super) fn may_switch(&self) -> bool {
        !self.request.route.subrequest
            && !self.sender.is_keeping()
            && (self.request.tunnel || self.request.field("upgrade").is_some())
    }

    /// Passes an answer of status 103 on, where the configuration lets it.
    pub(super) async fn hint(&mut self, answer: &wire::h1::answer::Answer, head: &[u8]) {
        if self.sender.started || self.request.route.subrequest || self.sender.is_keeping() {
            return;
        }
        let Some(lines) = super::early_hints(&mut self.scope(), answer, head) else { return };
        self.sender.informational(103, &lines);
        let _ = self.conn.flush(self.sender, self.settings.send_timeout).await;
    }
}

/// Whether the server has answered the key of a WebSocket that was ours.
fn knows(exchange: &Exchange, accept: Option<[u8; 28]>) -> bool {
    let told = exchange.answer().get(exchange.raw(), "sec-websocket-accept");
    accept.is_none_or(|accept| told == Some(&accept))
}

/// The request's body for a server, as it is now.
pub fn outgoing<'r>(
    request: &'r Request,
    body: Body,
    own: Option<&'r [u8]>,
    pump: Option<&Pump>,
) -> std::io::Result<Outgoing<'r>> {
    if let Some(own) = own {
        return Ok(Outgoing::Memory(own));
    }
    if body == Body::None {
        return Ok(Outgoing::None);
    }
    if let Some(pump) = pump {
        return Ok(Outgoing::Stream(pump.stream.clone(), body == Body::Chunked));
    }
    Ok(match &request.body {
        // An inline one is behind the head already.
        RequestBody::Empty | RequestBody::Stream(_) | RequestBody::Inline(_) => Outgoing::None,
        RequestBody::Memory(bytes) => Outgoing::Memory(bytes),
        RequestBody::File { file, len } => {
            Outgoing::File(FileSlice { file: Arc::new(file.try_clone()?), offset: 0, len: *len })
        }
    })
}
