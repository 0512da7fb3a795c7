//! `mirror`: other locations get a copy of a request, too. They work on it beside it: the client does not wait for them,
//! and what they answer is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use wire::h1::Framing;

use super::route::From;
use super::{Begin, log, travel};
use crate::config::Settings;
use crate::engine::Engine;
use crate::exchange::route::Route;
use crate::exchange::{Request, RequestBody};
use crate::features::limit_conn::Held;
use crate::log::Level;
use crate::transport::Conn;
use crate::transport::io::Stream;
use crate::transport::receive::{self, Failure};
use crate::transport::sender::Sender;

/// Whether copies of a request are to be made.
pub fn is_due(request: &Request, settings: &Settings) -> bool {
    settings.mirror.is_on() && !request.route.subrequest
}

/// Has copies of a request answered beside it. Its body is read first, where they get it.
pub async fn send(
    engine: &Arc<Engine>,
    conn: &mut Conn,
    request: &mut Request,
    sender: &mut Sender,
    settings: &Arc<Settings>,
) -> Result<(), Failure> {
    let with_body = settings.mirror.request_body && request.head.framing != Framing::None && !request.tunnel;
    if with_body {
        receive::buffer(conn, request, sender, settings).await?;
        request.head.framing = Framing::None;
        request.head.expect_continue = false;
    }
    for uri in settings.mirror.uris.iter() {
        let copied = copy(request, uri.as_bytes(), settings.mirror.request_body);
        match copied.and_then(|copy| begin(engine, conn, copy)) {
            Ok(()) => {}
            Err(error) => {
                let log = engine.log_of(request);
                request.log(
                    Level::Alert,
                    &engine.config,
                    log,
                    format_args!("the request could not be mirrored: {error}"),
                );
            }
        }
    }
    Ok(())
}

/// The request for a location of that path: as the client sent it, but for where it goes.
fn copy(request: &Request, path: &[u8], with_body: bool) -> std::io::Result<Box<Request>> {
    let mut copy = request.copy_head();
    let main = &request.route;
    copy.route = Route {
        server: main.server,
        location: main.location,
        args: request.query().map(<[u8]>::to_vec),
        internal: true,
        get: main.get,
        subrequest: true,
        limit_req: main.limit_req,
        limit_conn: main.limit_conn,
        id: main.id,
        values: main.values.clone(),
        ..Route::default()
    };
    copy.set_path(path.to_vec());
    copy.head.framing = Framing::None;
    copy.head.expect_continue = false;
    copy.body = match &request.body {
        _ if !with_body => RequestBody::Empty,
        RequestBody::Empty | RequestBody::Stream(_) => RequestBody::Empty,
        RequestBody::Inline(span) => RequestBody::Memory(span.of(&request.buf).to_vec()),
        RequestBody::Memory(bytes) => RequestBody::Memory(bytes.clone()),
        RequestBody::File { file, len } => RequestBody::File { file: file.try_clone()?, len: *len },
    };
    if let RequestBody::Memory(bytes) = &copy.body {
        copy.charge.set(bytes.len());
    }
    Ok(copy)
}

/// Counts as a connection: a worker does not end before it is done.
struct Counted(Arc<Engine>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.slot().connections.fetch_sub(1, Relaxed);
        self.0.connection_ended();
    }
}

/// Has a copy answered by a task of its own, unless there are too many.
fn begin(engine: &Arc<Engine>, conn: &Conn, request: Box<Request>) -> std::io::Result<()> {
    if engine.is_full() {
        return Err(std::io::Error::other("worker_connections are not enough"));
    }
    // Nobody is at the other end, so nobody goes.
    let (near, far) = Stream::pair()?;
    let conn = conn.of_stream(near);
    engine.slot().connections.fetch_add(1, Relaxed);
    let counted = Counted(engine.clone());
    crate::runtime::spawn(run(engine.clone(), conn, request, counted, far));
    Ok(())
}

// A boxed future of a named type: `travel` leads here, and from here to `travel`.
fn run(
    engine: Arc<Engine>,
    mut conn: Conn,
    request: Box<Request>,
    counted: Counted,
    far: Stream,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let mut sender = Sender::new();
        sender.reset(&request, true, &engine.config.location(request.route.location).settings);
        sender.keep_head();
        let mut held = Held::default();
        let (mut request, _) =
            travel(&engine, &mut conn, request, &mut sender, Begin::Way(From::Server), &mut held).await;
        if let Some(kept) = sender.take_kept() {
            sender.head = kept.head;
        }
        if engine.config.location(request.route.location).settings.log_subrequest {
            log(&conn, &mut request, &sender);
        }
        drop((counted, far));
    })
}
