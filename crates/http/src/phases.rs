//! The order of a request, top to bottom: server, who the client is, location, limits, handler, log.
//!
//! Every request goes through `exchange`, and every end of one, good or bad, comes out at its last lines.

use std::sync::atomic::Ordering::Relaxed;

use crate::config::{Handler, Location};
use crate::engine::Engine;
use crate::exchange::Request;
use crate::handlers::{self, errors};
use crate::transport::Conn;
use crate::transport::receive;
use crate::transport::sender::Sender;
use wire::h1::{Form, Framing, Method};

/// Has one request answered. The request comes back with the answer sent; `true`: some of its body may not be read.
pub async fn exchange(conn: &mut Conn, mut request: Box<Request>, sender: &mut Sender) -> (Box<Request>, bool) {
    let engine = conn.engine.clone();
    let settings = &engine.config.settings;
    let last = settings.keepalive_requests != 0 && conn.requests >= settings.keepalive_requests;
    let keep_alive = request.head.keep_alive && !last && settings.keepalive_timeout > 0 && !engine.is_draining();
    sender.reset(&request, keep_alive, settings);

    if let Some(forwarded) = &engine.config.forwarded
        && let Err(why) = forwarded.apply(&mut request)
    {
        engine.log.warning(format_args!("Invalid request from ip={}: {why}", conn.client()));
        errors::page(sender, 400, &[]);
    }
    let mut unread;
    match locate(&engine.config.locations, &mut request) {
        _ if sender.started => unread = prepare_to_discard(&request, sender),
        Err(status) => {
            unread = prepare_to_discard(&request, sender);
            errors::page(sender, status, &[]);
        }
        Ok(location) => match &location.handler {
            Handler::App(_) if is_over_limit(&engine) => {
                unread = prepare_to_discard(&request, sender);
                errors::page(sender, 503, &[]);
            }
            Handler::App(app) => {
                let app = engine.apps[*app].clone();
                let outcome = handlers::app::serve(conn, request, sender, &app, settings).await;
                request = outcome.request;
                unread = outcome.unread;
            }
            Handler::Files(files) => {
                unread = prepare_to_discard(&request, sender);
                if let Some(error) = handlers::files::serve(files, &request, sender) {
                    let path = String::from_utf8_lossy(&request.path);
                    engine.log.error(format_args!("cannot read the file of {path}: {error}"));
                }
            }
        },
    }
    if !sender.is_flushed() && conn.flush(sender, settings.send_timeout).await.is_err() {
        sender.keep_alive = false;
        sender.clear_queue();
    }
    if unread && sender.keep_alive {
        unread = receive::discard(conn, &mut request, settings).await.is_err();
        sender.keep_alive = !unread;
    }
    log(conn, &request, sender);
    (request, unread)
}

/// Whether the application has as many requests as it may have, not counting this one.
fn is_over_limit(engine: &Engine) -> bool {
    let limit = engine.config.settings.limit_concurrency;
    limit > 0 && engine.slot().requests.load(Relaxed) > limit
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

/// For answers that do not look at the body: whether there is one to be read and thrown away after them. If it is
/// long, or the client waits to be asked for it, the connection ends with the answer instead.
fn prepare_to_discard(request: &Request, sender: &mut Sender) -> bool {
    let long = matches!(request.head.framing, Framing::Length(len) if len > receive::MOST_DISCARDED);
    if long || request.head.expect_continue {
        sender.keep_alive = false;
    }
    request.head.framing != Framing::None
}

/// Notes the end of an exchange, or of what was refused before it was one.
pub fn log(conn: &Conn, request: &Request, sender: &Sender) {
    if let Some(access) = &conn.engine.access {
        access.write(request, sender);
    }
}
