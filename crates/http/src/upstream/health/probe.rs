//! One probe: a request to a server, and whether its answer is good.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use wire::h1::{Field, Method, parse};

use super::matching::{Match, Part};
use super::{Check, Member, grpc};
use crate::engine::Engine;
use crate::exchange::{Asked, Local, Request};
use crate::handlers::proxy::ask::{Doing, failed, judge};
use crate::handlers::proxy::family::Made;
use crate::handlers::proxy::request::Body;
use crate::handlers::proxy::target::{Target, Whom};
use crate::transport::io::Stream;
use crate::transport::tls::client::Alpn;
use crate::upstream::connect::{Via, connect};
use crate::upstream::exchange::{Data, Exchange, Outgoing};
use crate::upstream::policy::Policy;
use crate::upstream::pool::{Line, Link};
use crate::upstream::{Address, h2};
use crate::variables::Scope;

/// So much of a body is looked at, in bytes.
const MOST_BODY: usize = 256 * 1024;
/// Interim answers that are skipped.
const INTERIM: usize = 8;

/// Why an answer is not good: what was being done, and the error where there was one.
pub struct Bad {
    pub doing: &'static str,
    pub error: Option<String>,
}

impl Bad {
    fn io(doing: &'static str, call: &str, error: &io::Error) -> Bad {
        Bad { doing, error: Some(failed(call, error)) }
    }

    fn other(doing: &'static str, error: &str) -> Bad {
        Bad { doing, error: Some(error.to_owned()) }
    }
}

impl From<Part> for Bad {
    fn from(part: Part) -> Bad {
        Bad { doing: part.checking(), error: None }
    }
}

/// A connection that is kept from one probe to the next.
pub struct Kept {
    line: Line,
    since: Instant,
}

/// Asks a server. What was looked at last, if all is good. `kept`: the connection of the probe before, and of this one.
pub async fn probe(
    engine: &Engine,
    check: &Check,
    member: &Member,
    kept: &mut Option<Kept>,
) -> Result<&'static str, Bad> {
    let policy = check.family.policy(&engine.config.location(check.location).settings).clone();
    let mut request = request(engine, check);
    let made = head(engine, check, &mut request);
    let young = |kept: &Kept| (kept.since.elapsed().as_millis() as u64) < check.keepalive_time;
    let (line, since) = match kept.take().filter(young) {
        Some(kept) => (kept.line, kept.since),
        None => (reach(engine, check, member, &policy, &mut request, made.http2).await?, Instant::now()),
    };
    let mut exchange = Exchange::new(line, &made.text, check.secure);
    let sent = poll_fn(|cx| exchange.poll_send(cx, &Outgoing::None, &mut false));
    let doing = Doing::Sending.text();
    limited(policy.send_timeout, doing, sent).await?.map_err(|error| Bad::io(doing, "writev()", &error))?;
    // The whole answer has the time that nginx gives to one read of it: answers to probes are short.
    let reading = read(engine, check, &mut request, &mut exchange, policy.buffer_size);
    let looked_at = limited(policy.read_timeout, "reading response from upstream", reading).await??;
    if check.keepalive_time > 0 {
        *kept = exchange.into_line().map(|line| Kept { line, since });
    }
    Ok(looked_at)
}

/// Waits so many ms at most.
async fn limited<T>(ms: u64, doing: &'static str, what: impl Future<Output = T>) -> Result<T, Bad> {
    let late = |_| Bad::other(doing, "upstream timed out (110: Connection timed out)");
    timeout(Duration::from_millis(ms), what).await.map_err(late)
}

/// A new connection.
async fn reach(
    engine: &Engine,
    check: &Check,
    member: &Member,
    policy: &Policy,
    request: &mut Request,
    http2: bool,
) -> Result<Line, Bad> {
    let doing = "connecting to upstream";
    let via = Via { keepalive: policy.socket_keepalive, ..Via::default() };
    let address = address(member, check.port);
    let connected = limited(policy.connect_timeout, doing, connect(&address, &via)).await?;
    let mut stream = connected.map_err(|error| Bad::io(doing, "connect()", &error))?;
    if check.secure {
        stream = secure(engine, check, policy, request, stream, http2).await?;
    }
    if !http2 {
        return Ok(Line::Http1(Link::new(stream)));
    }
    let doing = Doing::Sending.text();
    let beginning = h2::Link::begin(stream, policy.memory(), policy.buffer_size);
    let begun = limited(policy.send_timeout, doing, beginning).await?;
    begun.map(Line::Http2).map_err(|error| Bad::io(doing, "writev()", &error))
}

/// Does the handshake.
async fn secure(
    engine: &Engine,
    check: &Check,
    policy: &Policy,
    request: &mut Request,
    stream: Stream,
    http2: bool,
) -> Result<Stream, Bad> {
    let doing = "SSL handshaking to upstream";
    let Some(client) = policy.tls.client() else {
        return Err(Bad::other(doing, "no TLS is prepared for this location"));
    };
    let face = {
        let scope = &mut Scope::new(&engine.config, request, engine.log_at(check.location));
        policy.tls.face(scope, check.host.as_bytes()).map_err(|why| Bad::other(doing, &why))?
    };
    let shaking = client.connect(stream, &face, if http2 { Alpn::H2 } else { Alpn::None });
    let shaken = limited(policy.connect_timeout, doing, shaking).await?;
    shaken.map_err(|failure| Bad::other(doing, &failure.to_string()))
}

/// Reads an answer and looks at it.
async fn read(
    engine: &Engine,
    check: &Check,
    request: &mut Request,
    exchange: &mut Exchange,
    most: usize,
) -> Result<&'static str, Bad> {
    let doing = Doing::Reading.text();
    let mut head = Vec::new();
    for _ in 0..INTERIM {
        if let Err(why) = poll_fn(|cx| exchange.poll_head(cx, most)).await {
            let (_, error, _) = judge(&why, Doing::Reading, exchange.raw());
            return Err(Bad::other(doing, &error));
        }
        head.clear();
        exchange.take_head(&mut head);
        if exchange.answer().status >= 200 {
            break;
        }
    }
    let status = exchange.answer().status;
    let fields = exchange.answer().fields.clone();
    if let Some(expected) = check.grpc.as_ref().map(|grpc| grpc.status) {
        let message = body(exchange).await?;
        let trailers = exchange.take_trailers();
        let code = values(&fields, &head, "grpc-status").into_iter().chain(
            trailers.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"grpc-status")).map(|(_, value)| value),
        );
        return grpc::judge(status, code.last().as_deref(), &message, expected).map_err(Bad::from);
    }
    let Some(matching) = &check.matching else {
        if !(200..400).contains(&status) {
            return Err(Part::Status.into());
        }
        if check.keepalive_time > 0 {
            body(exchange).await?;
        }
        return Ok(Part::Status.checking());
    };
    matching.head(status, |name| values(&fields, &head, name))?;
    let mut looked_at = Part::Status;
    if matching.needs_body() || check.keepalive_time > 0 {
        let body = body(exchange).await?;
        matching.body(&body)?;
        if matching.needs_body() {
            looked_at = Part::Body;
        }
    }
    if let Some(asked) = &mut request.route.asked {
        (asked.head, asked.fields) = (head, fields);
        if let Some(attempt) = asked.current() {
            attempt.status = status;
        }
    }
    variables(engine, check, matching, request)?;
    Ok(looked_at.checking())
}

/// The values of a field, by its lower-case name.
fn values(fields: &[Field], head: &[u8], name: &str) -> Vec<Vec<u8>> {
    let own = fields.iter().filter(|field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes()));
    own.map(|field| field.value.of(head).to_vec()).collect()
}

fn variables(engine: &Engine, check: &Check, matching: &Match, request: &mut Request) -> Result<(), Part> {
    matching.variables(&mut Scope::new(&engine.config, request, engine.log_at(check.location)))
}

/// The body, as far as somebody looks at it.
async fn body(exchange: &mut Exchange) -> Result<Vec<u8>, Bad> {
    let doing = "reading response from upstream";
    let mut body = Vec::new();
    exchange.begin_body(Method::Get);
    while body.len() < MOST_BODY {
        match poll_fn(|cx| exchange.poll_data(cx, MOST_BODY)).await {
            Ok(Data::End) => break,
            Ok(Data::Bytes) => {
                let bytes = exchange.data();
                let taken = bytes.len();
                body.extend_from_slice(&bytes[..taken.min(MOST_BODY - body.len())]);
                exchange.consume(taken);
            }
            Err(error) => return Err(Bad::io(doing, "recv()", &error)),
        }
    }
    Ok(body)
}

/// Where a server is asked.
fn address(member: &Member, port: Option<u16>) -> Address {
    match (&member.address, port) {
        (Address::Inet(address), Some(port)) => {
            let mut address = *address;
            address.set_port(port);
            Address::Inet(address)
        }
        (address, _) => address.clone(),
    }
}

/// A request that nobody has made, for the variables in fields that servers get.
fn request(engine: &Engine, check: &Check) -> Request {
    let local = Local { name: String::new(), port: String::new(), listen: 0, wildcard: false };
    let mut request = Request::new(0, Arc::new(local));
    request.buf = match &check.grpc {
        None => format!("GET {} HTTP/1.0\r\n\r\n", check.uri).into_bytes(),
        Some(_) => grpc::HEAD.to_vec(),
    };
    let server = engine.config.location(check.location).server;
    let limits = &engine.config.server(server).settings.limits;
    if let Ok(Some(len)) = parse(&request.buf, limits, &mut request.head) {
        request.consumed = len;
    }
    request.path = check.uri.split('?').next().unwrap_or_default().as_bytes().to_vec();
    request.route.server = server;
    request.route.location = check.location;
    request
}

/// What is sent.
fn head(engine: &Engine, check: &Check, request: &mut Request) -> Made {
    let target = Target {
        secure: check.secure,
        whom: Whom::Group(check.group),
        host: check.host.as_bytes().to_vec(),
        port: check.host_port.as_bytes().to_vec(),
        uri: check.uri.as_bytes().to_vec(),
        keepalive: check.keepalive_time > 0,
        url_start: Vec::new(),
    };
    let mut asked = Asked { host: target.host.clone(), port: target.port.clone(), ..Asked::default() };
    asked.uri.clone_from(&target.uri);
    asked.begin(Arc::from(""), Arc::from(""));
    request.route.asked = Some(Box::new(asked));
    let message = check.grpc.as_ref().map(|grpc| grpc::message(&grpc.service)).unwrap_or_default();
    let body = if check.grpc.is_some() { Body::Length(message.len() as u64) } else { Body::None };
    let mut scope = Scope::new(&engine.config, request, engine.log_at(check.location));
    let mut made = check.family.head(&mut scope, &target, body);
    made.text.extend_from_slice(&message);
    made
}
