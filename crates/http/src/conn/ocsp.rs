//! Asking OCSP responders, by HTTP/1.0 (RFC 6960 appendix A): for the certificates that servers show, in the background;
//! for those of clients, after the handshake, before the first request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::h1::Method;
use wire::h1::answer::{self, Answer, BodyEnd};

use super::proxied;
use crate::config::Settings;
use crate::engine::Engine;
use crate::exchange::TlsInfo;
use crate::log::{Context, Level};
use crate::sys::time::coarse_seconds;
use crate::tls::certificates::system;
use crate::tls::ocsp::Responder;
use crate::tls::ocsp::clients::{Clients, Question};
use crate::tls::ocsp::message::{LARGEST, Status};
use crate::tls::ocsp::staple::Staple;
use crate::tls::verify::BY_OCSP;
use crate::transport::Conn;

/// For finding, connecting and hearing one responder.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest head of an answer, in bytes.
const HEAD: usize = 8 * 1024;
/// Addresses of a responder that are tried.
const ADDRESSES: usize = 4;

/// Begins to ask for the certificates that servers show, where that is due.
pub fn renew(engine: &Arc<Engine>) {
    let now = coarse_seconds();
    let mut seen: Vec<*const crate::tls::Server> = Vec::new();
    for server in &engine.config.servers {
        let Some(tls) = &server.tls else { continue };
        if !tls.settings().stapling || seen.contains(&Arc::as_ptr(tls)) {
            continue;
        }
        seen.push(Arc::as_ptr(tls));
        let settings = &engine.config.location(server.location).settings;
        for staple in &tls.current().staples {
            if staple.begin(now) {
                tokio::spawn(one(engine.clone(), settings.clone(), staple.clone()));
            }
        }
    }
}

/// Asks for one certificate.
async fn one(engine: Arc<Engine>, settings: Arc<Settings>, staple: Arc<Staple>) {
    let responder = &staple.responder;
    let tell = |peer: Option<SocketAddr>, why: &str| {
        let peer = peer.map_or_else(String::new, |peer| format!(", peer: {peer}"));
        let shown = &staple.shown;
        engine.log.error(format_args!(
            "{why} while requesting certificate status, responder: {}{peer}, certificate: \"{shown}\"",
            responder.host
        ));
    };
    let question = staple.question();
    let heard = ask(responder, &question, &settings, true, &tell).await;
    let (peer, answer) = heard.map_or((None, None), |(peer, answer)| (Some(peer), Some(answer)));
    if let Err(why) = staple.end(answer, coarse_seconds()) {
        tell(peer, &why);
    }
}

/// Finds out what responders say of a client's certificates, which are in order otherwise; what is wrong is noted.
pub async fn check(conn: &Conn, clients: &Clients, info: &mut TlsInfo) {
    let mut why = None;
    for question in clients.questions(&info.client_chain) {
        why = match status(conn, clients, &question).await {
            Some(Status::Good) => continue,
            Some(Status::Revoked) => Some("certificate revoked"),
            Some(Status::Unknown) => Some("certificate status unknown"),
            None => Some("certificate status request failed"),
        };
        break;
    }
    if let Some(why) = why {
        info.verify_error = BY_OCSP;
        info.client_verify = format!("FAILED:{why}").into();
    }
}

/// `None`: it could not be found out.
async fn status(conn: &Conn, clients: &Clients, question: &Question) -> Option<Status> {
    if let Some(status) = clients.remembered(question, coarse_seconds()) {
        return Some(status);
    }
    let Some(responder) = &question.responder else {
        proxied::tell(conn, Level::Error, "no OCSP responder URL in certificate", "SSL handshaking");
        return None;
    };
    let tell = |peer: Option<SocketAddr>, why: &str| {
        let peer = peer.map_or_else(String::new, |peer| format!(", peer: {peer}"));
        let context = Context { connection: Some(conn.serial), ..Context::default() };
        let doing = "while requesting certificate status, responder:";
        let log = conn.engine.log_of_listener(conn.local.listen);
        log.request(Level::Error, &context, format_args!("{why} {doing} {}{peer}", responder.host));
    };
    let settings = conn.engine.config.first_settings(conn.local.listen).1.clone();
    let encoded = question.id.question();
    let (peer, answer) = ask(responder, &encoded, &settings, !question.is_foreign, &tell).await?;
    let now = coarse_seconds();
    match clients.read(question, &answer, now) {
        Ok(told) => {
            clients.remember(question, told, now);
            Some(told.status)
        }
        Err(why) => {
            tell(Some(peer), &why);
            None
        }
    }
}

/// Asks a responder at each of its addresses until one answers; what goes wrong is told. `system`: without a `resolver`
/// the system is asked for the addresses.
async fn ask(
    responder: &Responder,
    question: &[u8],
    settings: &Settings,
    system: bool,
    tell: &(impl Fn(Option<SocketAddr>, &str) + Sync),
) -> Option<(SocketAddr, Vec<u8>)> {
    let request = responder.request(question);
    let found = timeout(LIMIT, find(responder, settings, system)).await;
    let addresses = match found.unwrap_or_else(|_| Err("OCSP responder timed out".to_owned())) {
        Ok(addresses) => addresses,
        Err(why) => {
            tell(None, &why);
            return None;
        }
    };
    for address in addresses.into_iter().take(ADDRESSES) {
        match timeout(LIMIT, talk(address, &request)).await {
            Ok(Ok(answer)) => return Some((address, answer)),
            Ok(Err(why)) => tell(Some(address), &why),
            Err(_) => tell(Some(address), "OCSP responder timed out"),
        }
    }
    None
}

async fn find(responder: &Responder, settings: &Settings, system: bool) -> Result<Vec<SocketAddr>, String> {
    let host = &*responder.host;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, responder.port)]);
    }
    if let Some(resolver) = &settings.resolver {
        let found = resolver.lookup(host, settings.resolver_timeout).await.map_err(|failure| failure.to_string())?;
        return Ok(found.into_iter().map(|address| SocketAddr::new(address, responder.port)).collect());
    }
    if !system {
        return Err(format!("no resolver defined to resolve {host}"));
    }
    match tokio::net::lookup_host((host, responder.port)).await {
        Ok(found) => Ok(found.collect()),
        Err(_) => Err(format!("host not found in OCSP responder \"{host}\"")),
    }
}

/// One request and its answer's body.
async fn talk(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |call: &str, error: &std::io::Error| format!("{call} failed ({})", system(error));
    let mut stream = TcpStream::connect(address).await.map_err(|error| failed("connect()", &error))?;
    stream.write_all(request).await.map_err(|error| failed("send()", &error))?;
    let mut buf: Vec<u8> = Vec::with_capacity(4096);
    let mut head = Answer::new();
    let mut body: Option<(usize, Option<usize>)> = None;
    loop {
        let read = stream.read_buf(&mut buf).await.map_err(|error| failed("recv()", &error))?;
        if body.is_none() {
            let parsed = answer::parse(&buf, HEAD, &mut head);
            if let Some(start) = parsed.map_err(|_| "OCSP responder sent invalid response".to_owned())? {
                body = Some((start, ending(&head, &buf)?));
            }
        }
        match body {
            Some((start, Some(len))) if buf.len() - start >= len => return Ok(buf[start..start + len].to_vec()),
            Some((start, None)) if read == 0 => return Ok(buf.split_off(start)),
            _ if read == 0 => return Err("OCSP responder prematurely closed connection".to_owned()),
            _ if buf.len() > HEAD + LARGEST => return Err("OCSP responder sent too big response".to_owned()),
            _ => {}
        }
    }
}

/// How long the body is that follows a head; `None`: it ends with the connection.
fn ending(head: &Answer, buf: &[u8]) -> Result<Option<usize>, String> {
    let kind = head.get(buf, "Content-Type").unwrap_or_default();
    if !kind.eq_ignore_ascii_case(b"application/ocsp-response") {
        let kind = String::from_utf8_lossy(kind);
        return Err(format!("OCSP responder sent invalid \"Content-Type\" header: \"{kind}\""));
    }
    match head.body_end(Method::Get) {
        BodyEnd::Length(len) => match usize::try_from(len) {
            Ok(len) if len <= LARGEST => Ok(Some(len)),
            _ => Err("OCSP responder sent too big response".to_owned()),
        },
        BodyEnd::Close => Ok(None),
        BodyEnd::None | BodyEnd::Chunked => Err("OCSP responder sent invalid response".to_owned()),
    }
}
