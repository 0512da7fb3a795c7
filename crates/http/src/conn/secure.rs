//! The begin of a connection to a socket with `ssl`: the header of a proxy, the first byte, the handshake, and then
//! the protocol that the client chose (ALPN, RFC 7301).

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::Poll;

use rustls::server::{Accepted, Acceptor, ServerConfig};

use super::h1::{self, After};
use super::{ocsp, proxied};
use crate::config::Config;
use crate::exchange::route::Route;
use crate::exchange::{Request, TlsInfo};
use crate::features::ssl::place;
use crate::log::Level;
use crate::tls;
use crate::transport::Conn;
use crate::transport::pool::{self, Exchange};
use crate::transport::tls::Failure;
use crate::variables::Scope;

/// The longest ClientHello, in bytes; rustls has the same limit for a message.
const LONGEST_HELLO: usize = 64 * 1024 + 1024;

/// Begins a connection whose first bytes are read: what follows the handshake.
pub async fn begin(mut conn: Conn, mut exchange: Exchange) -> After {
    let settings = conn.engine.config.first_settings(conn.local.listen).0.clone();
    conn.arm(settings.client_header_timeout);
    if std::mem::take(&mut conn.awaits_proxy) && !proxied::read(&mut conn, &mut exchange.request).await {
        return After::Ended;
    }
    let request = &mut exchange.request;
    if request.buf.is_empty() && !proxied::more(&mut conn, request, "waiting for request").await {
        return After::Ended;
    }
    // A handshake record, or the one that SSL 2 began with; all else is taken for HTTP without TLS.
    if request.buf.first().is_none_or(|byte| *byte != 0x16 && byte & 0x80 == 0) {
        if let Some(stream) = conn.stream.tls() {
            stream.stay_plain();
        }
        return h1::busy(conn, exchange).await;
    }
    if !handshake(&mut conn, exchange).await {
        return After::Ended;
    }
    if conn.tls.as_ref().is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2")) {
        return After::Http2(conn, Vec::new());
    }
    conn.arm(settings.client_header_timeout);
    conn.watch.set_idle(true);
    After::Idle(conn)
}

/// Does the handshake; `false`: there is none, and the log says why.
async fn handshake(conn: &mut Conn, mut exchange: Exchange) -> bool {
    let Some(accepted) = hello(conn, &mut exchange).await else { return false };
    let engine = conn.engine.clone();
    let config = &engine.config;
    let mut info = tls::info::hello(&accepted.client_hello());
    drop(accepted);
    let listen = conn.local.listen;
    let default = config.listens[listen].default_server;
    info.server = info.server_name.as_deref().and_then(|name| named(config, listen, name));
    info.by = info.server.unwrap_or(default);
    if config.server(info.by).settings.ssl.reject_handshake {
        refuse(conn, UNRECOGNIZED_NAME);
        fail(conn, "handshake rejected");
        return false;
    }
    // As with nginx, a server without certificates has those of the first one.
    let Some(tls) = config.server(info.by).tls.as_ref().or(config.server(default).tls.as_ref()) else {
        refuse(conn, INTERNAL_ERROR);
        fail(conn, "no certificate is defined in server listening on SSL port");
        return false;
    };
    let loaded = tls.current();
    let mut own =
        loaded.config(config.offers_http2(listen, info.by), tls::ciphers::wants_chacha(&info.ciphers)).clone();
    if tls.is_variable() {
        match variable(conn, &mut exchange.request, tls, &own, &info) {
            Ok(made) => own = made,
            Err(why) => {
                refuse(conn, INTERNAL_ERROR);
                conn.engine.log_of_listener(listen).error(format_args!("{why}"));
                return false;
            }
        }
    }
    let Some(stream) = conn.stream.tls() else { return false };
    if let Err(failure) = stream.start(own, &mut exchange.request.buf) {
        return tell(conn, failure);
    }
    tls::info::note_own(&mut info);
    pool::put(exchange);
    let done = poll_fn(|cx| match conn.stream.tls().map(|stream| stream.poll_handshake(cx)) {
        Some(Poll::Pending) => conn.wait(cx).map_err(Failure::Socket).map_ok(|()| ()),
        Some(other) => other,
        None => Poll::Ready(Err(Failure::Closed)),
    })
    .await;
    if let Err(failure) = done {
        return tell(conn, failure);
    }
    let Some(stream) = conn.stream.tls() else { return false };
    tls::info::finish(&mut info, stream, &loaded);
    stream.forget_hello();
    if let Some(clients) = &loaded.clients
        && info.verify_error == 0
        && !info.client_chain.is_empty()
    {
        ocsp::check(conn, clients, &mut info).await;
    }
    conn.tls = Some(Arc::new(info));
    true
}

/// What a server shows whose certificates have variables in their names.
fn variable(
    conn: &Conn,
    request: &mut Request,
    tls: &tls::Server,
    config: &ServerConfig,
    info: &TlsInfo,
) -> Result<Arc<ServerConfig>, String> {
    let server_name = info.server_name.clone();
    request.tls = Some(Arc::new(TlsInfo { server_name, ..TlsInfo::default() }));
    request.peer = conn.peer;
    request.carrier = conn.carrier();
    request.proxied.clone_from(&conn.proxied);
    request.route.server = info.by;
    request.route.location = conn.engine.config.server(info.by).location;
    let scope = &mut Scope::new(&conn.engine.config, request, conn.engine.log_of_listener(conn.local.listen));
    tls.config_for(config, |source| match &source.template {
        None => source.place.clone(),
        Some(template) => place(&String::from_utf8_lossy(&template.value(scope)), &source.base),
    })
}

/// Alerts (RFC 8446 section 6).
const UNRECOGNIZED_NAME: u8 = 112;
const INTERNAL_ERROR: u8 = 80;

/// Sends a fatal alert in place of an answer to a ClientHello.
fn refuse(conn: &mut Conn, alert: u8) {
    let _ = conn.stream.try_write(&[IoSlice::new(&[21, 3, 3, 0, 2, 2, alert])]);
}

/// Reads a whole ClientHello into `exchange.request.buf`.
async fn hello(conn: &mut Conn, exchange: &mut Exchange) -> Option<Accepted> {
    let request = &mut exchange.request;
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    loop {
        while seen < request.buf.len() {
            match acceptor.read_tls(&mut &request.buf[seen..]) {
                Ok(read) if read > 0 => seen += read,
                _ => {
                    fail(conn, "SSL_do_handshake() failed (SSL: the ClientHello is too long)");
                    return None;
                }
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Some(accepted),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    if alert.write_all(&mut bytes).is_ok() {
                        let _ = conn.stream.try_write(&[IoSlice::new(&bytes)]);
                    }
                    fail(conn, &format!("SSL_do_handshake() failed (SSL: {})", tls::words::of(&error)));
                    return None;
                }
            }
        }
        if request.buf.len() > LONGEST_HELLO {
            fail(conn, "SSL_do_handshake() failed (SSL: the ClientHello is too long)");
            return None;
        }
        if request.buf.len() == request.buf.capacity() {
            request.buf.reserve(pool::READ);
        }
        match conn.read(&mut request.buf, usize::MAX).await {
            Ok(0) => {
                tell(conn, Failure::Closed);
                return None;
            }
            Ok(_) => {}
            Err(error) => {
                tell(conn, Failure::Socket(error));
                return None;
            }
        }
    }
}

/// The server that has the name that a client asks for.
fn named(config: &Config, listen: usize, name: &str) -> Option<u32> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    config.listens[listen].named(name.as_bytes(), &mut Route::default())
}

/// Tells why there is no session; `false`, for who ends then.
fn tell(conn: &mut Conn, failure: Failure) -> bool {
    match failure {
        Failure::Closed => fail(conn, "peer closed connection in SSL handshake"),
        Failure::Socket(error) if error.kind() == ErrorKind::TimedOut => {
            fail(conn, "client timed out (110: Connection timed out)");
            conn.reset_if_late();
        }
        Failure::Socket(error) => {
            let why = tls::certificates::system(&error);
            fail(conn, &format!("SSL_do_handshake() failed ({why})"));
        }
        Failure::Tls(error) => fail(conn, &format!("SSL_do_handshake() failed (SSL: {})", tls::words::of(&error))),
    }
    false
}

fn fail(conn: &Conn, message: &str) {
    proxied::tell(conn, Level::Info, message, "SSL handshaking");
}
