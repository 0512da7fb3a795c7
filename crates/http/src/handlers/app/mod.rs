//! Requests for an application.
//!
//! `blocking` serves one that is called (WSGI), `evented` one that an event loop drives (ASGI), `websocket`
//! the latter's WebSockets.

mod blocking;
pub mod evented;
mod websocket;

use crate::app::App;
use crate::config::Settings;
use crate::engine::Engine;
use crate::exchange::Request;
use crate::handlers::errors;
use crate::transport::Conn;
use crate::transport::receive::Failure;
use crate::transport::sender::{Fault, Sender};

/// What is left when an application has answered.
pub struct Outcome {
    pub request: Box<Request>,
    /// Some of the request's body may not be read.
    pub unread: bool,
}

/// Has a request answered by an application.
pub async fn serve(
    conn: &mut Conn,
    request: Box<Request>,
    sender: &mut Sender,
    app: &App,
    settings: &Settings,
) -> Outcome {
    match app {
        App::Blocking(app) => blocking::serve(conn, request, sender, app, settings).await,
        App::Evented(app) if settings.websocket.enabled && websocket::is_handshake(&request) => {
            // Boxed: a WebSocket's needs must not make every request's future larger.
            Box::pin(websocket::serve(conn, request, sender, app, settings)).await
        }
        App::Evented(app) => evented::serve(conn, request, sender, app, settings).await,
    }
}

/// Answers for a body that could not be read.
fn refuse(conn: &Conn, sender: &mut Sender, failure: Failure) {
    sender.keep_alive = false;
    match failure {
        Failure::Gone => sender.abort(),
        Failure::Refused(status, why) => {
            let line = format!("Invalid request from ip={}: {why}", conn.client());
            if status >= 500 {
                conn.engine.log.error(format_args!("{line}"))
            } else {
                conn.engine.log.warning(format_args!("{line}"))
            }
            errors::page(sender, status, &[]);
        }
    }
}

/// Logs where an application did not keep to its Content-Length.
fn report_fault(engine: &Engine, request: &Request, sender: &mut Sender) {
    match sender.fault.take() {
        Some(Fault::TooLong) => engine.log.error(format_args!(
            "{}: the application sent more than its Content-Length; the rest was dropped",
            about(request)
        )),
        Some(Fault::TooShort) => engine.log.error(format_args!(
            "{}: the application sent less than its Content-Length; the connection is closed",
            about(request)
        )),
        None => {}
    }
}

/// The request in a line of the error log.
fn about(request: &Request) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    format!("{} {}", text(request.method()), text(request.target()))
}
