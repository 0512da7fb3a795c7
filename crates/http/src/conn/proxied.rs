//! The header of the PROXY protocol, in front of a connection's first request.

use std::sync::Arc;

use wire::proxy_protocol;

use crate::exchange::Request;
use crate::exchange::route::Proxied;
use crate::log::{Context, Level};
use crate::transport::{Conn, FromProxy, pool};

/// Reads the header that `request.buf` begins with, and takes it out. `false`: the connection is to end.
pub async fn read(conn: &mut Conn, request: &mut Request) -> bool {
    loop {
        match proxy_protocol::parse(&request.buf) {
            Ok(Some(header)) => {
                let addresses = header.addresses.map(|(client, server)| Proxied { client, server });
                let values = request.buf[header.values.clone()].into();
                conn.proxied = Some(Arc::new(FromProxy { addresses, values }));
                request.buf.drain(..header.len);
                return true;
            }
            Ok(None) => {}
            Err(proxy_protocol::Broken) => {
                let text = &request.buf[..request.buf.len().min(proxy_protocol::LONGEST)];
                let text = String::from_utf8_lossy(text).into_owned();
                tell(conn, Level::Error, &format!("broken header: \"{text}\""), "reading PROXY protocol");
                return false;
            }
        }
        if !more(conn, request, "reading PROXY protocol").await {
            return false;
        }
    }
}

/// Reads more before there is a request; the limit of time is armed already. `false`: nothing will come.
pub async fn more(conn: &mut Conn, request: &mut Request, doing: &str) -> bool {
    if request.buf.len() == request.buf.capacity() {
        request.buf.reserve(pool::READ);
    }
    match conn.read(&mut request.buf, usize::MAX).await {
        Ok(read) if read > 0 => true,
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            tell(conn, Level::Info, "client timed out (110: Connection timed out)", doing);
            conn.reset_if_late();
            false
        }
        _ => {
            tell(conn, Level::Info, "client closed connection", doing);
            false
        }
    }
}

/// Tells of a connection that has no request yet. Only in nginx's log: there are no such lines in Gunicorn's.
pub fn tell(conn: &Conn, level: Level, message: &str, doing: &str) {
    let log = conn.engine.log_of_listener(conn.local.listen);
    if !log.is_nginx() || !log.enabled(level) {
        return;
    }
    let server = conn.engine.config.listens[conn.local.listen].listen.text.as_bytes();
    let context = Context {
        connection: Some(conn.serial),
        doing,
        client: Some(&conn.peer),
        server: Some(server),
        ..Context::default()
    };
    log.request(level, &context, format_args!("{message}"));
}
