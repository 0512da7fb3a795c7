//! One request of a connection: its head is read and held to the rules, and it is answered as any other.

use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;

use http_types::request::Parts;
use wire::h1::{Framing, Method, Refusal, parse_http2};

use super::head;
use crate::config::Settings;
use crate::config::settings::Lingering;
use crate::exchange::Request;
use crate::phases;
use crate::phases::{refused, route};
use crate::transport::Conn;
use crate::transport::io::Stream;
use crate::transport::multiplexed::Active;
use crate::transport::pool::{self, Exchange};
use crate::transport::receive::Unwanted;
use crate::transport::sender::Sender;

use super::super::h1::own_limits;

/// Answers a request.
pub async fn serve(mut conn: Conn, exchange: Exchange, head: Parts, mut active: Active) {
    let Exchange { mut request, mut sender } = exchange;
    let engine = conn.engine.clone();
    let slot = engine.slot();
    conn.watch.set_idle(false);
    request.peer = conn.peer;
    request.proxied.clone_from(&conn.proxied);
    request.tls.clone_from(&conn.tls);
    request.secure = conn.tls.is_some();
    request.started = Instant::now();
    request.tunnel = head::is_tunnel(&head);
    sender.use_frames(request.tunnel);
    slot.requests.fetch_add(1, Relaxed);
    match read_head(&mut conn, &mut request, head) {
        Ok(()) => {
            active.shared().add_payload(request.head.len as u64);
            request = phases::exchange(&mut conn, request, &mut sender).await.0;
        }
        Err(refusal) => request = refuse(&mut conn, request, &mut sender, refusal).await,
    }
    slot.requests.fetch_sub(1, Relaxed);
    slot.handled.fetch_add(1, Relaxed);
    engine.request_ended();
    if sender.is_told_complete() {
        if let Some(settings) = sender.settings().cloned() {
            discard(&mut conn, &settings).await;
        }
    } else if let Stream::H2(stream) = &mut conn.stream {
        active.reset = stream.is_lost();
        if stream.has_started() && !active.reset {
            // A reset overtakes what waits: what there is of the answer goes first.
            tokio::task::yield_now().await;
        }
        stream.reset();
    }
    drop(conn);
    pool::put(Exchange { request, sender });
}

/// Takes what the client still sends of a body that nobody wanted, within the limits of a lingering close. Broken off at
/// once (RFC 9113 section 8.1 would allow it), some clients lose the answer.
async fn discard(conn: &mut Conn, settings: &Settings) {
    if settings.lingering_close == Lingering::Off {
        return;
    }
    let mut unwanted = Unwanted::new(conn, settings);
    loop {
        let in_time = unwanted.arm(conn);
        let read = poll_fn(|cx| match &mut conn.stream {
            Stream::H2(stream) if stream.has_body() => match stream.poll_discard(cx) {
                Poll::Pending => conn.wait(cx),
                Poll::Ready(read) => Poll::Ready(Ok(read)),
            },
            _ => Poll::Ready(Ok(0)),
        })
        .await;
        match read {
            Ok(read) if read > 0 && in_time && unwanted.add(read as u64) => {}
            _ => return,
        }
    }
}

/// Writes the head as text and reads that.
fn read_head(conn: &mut Conn, request: &mut Request, head: Parts) -> Result<(), Refusal> {
    let engine = conn.engine.clone();
    let (config, listen) = (&engine.config, conn.local.listen);
    head::write(&head, &mut request.buf);
    let websocket = head::is_websocket(&head);
    drop(head);
    let Stream::H2(stream) = &mut conn.stream else { return Err(Refusal::RequestLine) };
    let body = stream.has_body() && !request.tunnel;
    let mut limits = &config.first_settings(listen).0.limits;
    let mut parsed = parse_http2(&request.buf, limits, &mut request.head, body);
    if config.listens[listen].limits_differ && request.head.host.is_some() {
        let own = own_limits(config, listen, request);
        if own != limits {
            limits = own;
            parsed = parse_http2(&request.buf, limits, &mut request.head, body);
        }
    }
    request.consumed = parsed?;
    if request.head.method == Method::Connect {
        return Err(Refusal::Method);
    }
    request.head.upgrade = websocket;
    if request.tunnel {
        stream.use_tunnel();
    } else if request.head.framing == Framing::Chunked {
        stream.use_chunks();
    }
    Ok(())
}

/// Answers what is no good request.
async fn refuse(conn: &mut Conn, mut request: Box<Request>, sender: &mut Sender, refusal: Refusal) -> Box<Request> {
    let engine = conn.engine.clone();
    let config = &engine.config;
    request.carrier = conn.carrier();
    let _ = route::choose(config, conn.local.listen, &mut request);
    let settings = config.location(request.route.location).settings.clone();
    refused::tell(conn, &request, config, engine.log_of(&request), refusal);
    let status = if settings.nginx_pages { refusal.nginx_status() } else { refusal.status() };
    request = phases::refuse(conn, request, sender, status).await;
    let _ = conn.flush(sender, settings.send_timeout).await;
    phases::log(conn, &mut request, sender);
    request
}
