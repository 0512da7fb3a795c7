//! The order of a request, top to bottom: server, location, limits, handler, log.
//!
//! Every request goes through `exchange`, and every end of one, good or bad, comes out at its last lines.

use crate::config::{Handler, Location};
use crate::exchange::Request;
use crate::handlers::{self, errors};
use crate::transport::Conn;
use crate::transport::receive::body_is_here;
use crate::transport::sender::Sender;
use wire::h1::{Form, Framing, Method};

/// Has one request answered. The request comes back with the answer sent; `true`: some of its body may not be read.
pub async fn exchange(conn: &mut Conn, mut request: Box<Request>, sender: &mut Sender) -> (Box<Request>, bool) {
    let engine = conn.engine.clone();
    let settings = &engine.config.settings;
    let last = settings.keepalive_requests != 0 && conn.requests >= settings.keepalive_requests;
    let keep_alive = request.head.keep_alive && !last && settings.keepalive_timeout > 0 && !engine.is_draining();
    sender.reset(&request, keep_alive);

    let unread;
    match locate(&engine.config.locations, &mut request) {
        Err(status) => {
            unread = !body_is_here(&request);
            skip_body(&mut request, sender);
            errors::page(sender, status, &[]);
        }
        Ok(location) => match &location.handler {
            Handler::App(app) => {
                let app = engine.apps[*app].clone();
                let outcome = handlers::app::serve(conn, request, sender, &app, settings).await;
                request = outcome.request;
                unread = outcome.unread;
            }
            Handler::Files(files) => {
                unread = !body_is_here(&request);
                skip_body(&mut request, sender);
                handlers::files::serve(files, &request, sender);
            }
        },
    }
    if !sender.is_flushed() && conn.flush(sender, settings.send_timeout).await.is_err() {
        sender.keep_alive = false;
        sender.clear_queue();
    }
    if let Some(access) = &engine.access {
        access.write(&request, sender);
    }
    (request, unread)
}

/// The location of a request, or the status to refuse it with. Fills `request.path` where locations are told apart.
fn locate<'a>(locations: &'a [Location], request: &mut Request) -> Result<&'a Location, u16> {
    if request.head.method == Method::Connect {
        return Err(405);
    }
    if let [only] = locations
        && only.prefix == b"/"
        && matches!(only.handler, Handler::App(_))
    {
        return Ok(only);
    }
    let mut path = std::mem::take(&mut request.path);
    path.clear();
    if request.head.form == Form::Asterisk {
        path.extend_from_slice(b"/");
    } else {
        let raw = request.head.path.of(&request.buf);
        let raw: &[u8] = if raw.is_empty() { b"/" } else { raw };
        wire::uri::decode_path(raw, wire::uri::Slashes::Merge, &mut path).map_err(|_| 400u16)?;
    }
    request.path = path;
    // Longest prefix first, see `Config`.
    locations.iter().find(|location| request.path.starts_with(&location.prefix)).ok_or(404)
}

/// For answers that do not look at the body: what is here of it is stepped over, and if more is to come the
/// connection ends with this answer.
fn skip_body(request: &mut Request, sender: &mut Sender) {
    if !body_is_here(request) {
        sender.keep_alive = false;
    } else if let Framing::Length(len) = request.head.framing {
        request.consumed = request.head.len + len as usize;
    }
}

/// Logs what was refused before it was a request.
pub fn log_refused(conn: &Conn, request: &Request, sender: &Sender) {
    if let Some(access) = &conn.engine.access {
        access.write(request, sender);
    }
}
