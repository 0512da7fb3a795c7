//! Requests for an application.
//!
//! `blocking` serves one that is called (WSGI), `evented` one that an event loop drives (ASGI), `websocket`
//! the latter's WebSockets. `seen` is what any of them is told of the request.

mod blocking;
mod directives;
pub mod evented;
pub mod seen;
mod websocket;

pub use directives::{ROWS, Settings};

use crate::app::App;
use crate::config;
use crate::engine::Engine;
use crate::exchange::Request;
use crate::log::Level;
use crate::transport::Conn;
use crate::transport::receive::Failure;
use crate::transport::sender::{Fault, Sender};

/// What is left when an application has answered.
pub struct Outcome {
    pub request: Box<Request>,
    /// Some of the request's body may not be read.
    pub unread: bool,
    /// The request was refused with this status, and not answered yet.
    pub status: Option<u16>,
}

/// Has a request answered by an application.
pub async fn serve(
    conn: &mut Conn,
    request: Box<Request>,
    sender: &mut Sender,
    app: &App,
    settings: &config::Settings,
) -> Outcome {
    match app {
        App::Evented(app) if settings.app.websocket.enabled && websocket::is_handshake(&request) => {
            // Boxed: a WebSocket's needs must not make every request's future larger.
            Box::pin(websocket::serve(conn, request, sender, app, settings)).await
        }
        // Nobody here speaks what it asks for (RFC 9220 section 3).
        _ if request.tunnel => Outcome { request, unread: true, status: Some(501) },
        App::Blocking(app) => blocking::serve(conn, request, sender, app, settings).await,
        App::Evented(app) => evented::serve(conn, request, sender, app, settings).await,
    }
}

/// The status for a body that could not be read; `None`: there is nobody to be told.
pub fn refuse(conn: &Conn, request: &Request, sender: &mut Sender, failure: Failure) -> Option<u16> {
    sender.keep_alive = false;
    let settings = &conn.engine.config.location(request.route.location).settings;
    match failure {
        // As nginx: there is no answer, only a line in each log.
        Failure::Gone | Failure::Refused(408, _) if settings.nginx_pages => {
            let late = matches!(failure, Failure::Refused(..));
            let (status, what) = if late {
                (408, "client timed out (110: Connection timed out)")
            } else {
                (400, "client prematurely closed connection")
            };
            let log = conn.engine.log_of(request);
            let message = format_args!("{what} while reading client request body");
            request.log(Level::Info, &conn.engine.config, log, message);
            sender.head.status = status;
            sender.abort();
            if late && settings.reset_timedout_connection {
                conn.reset();
            }
            None
        }
        Failure::Gone => {
            sender.head.status = 499;
            sender.abort();
            None
        }
        Failure::Refused(status, why) => {
            let engine = &conn.engine;
            let log = engine.log_of(request);
            let level = if status >= 500 || engine.config.location(request.route.location).settings.nginx_pages {
                Level::Error
            } else {
                Level::Warning
            };
            if log.is_nginx() {
                request.log(level, &engine.config, log, format_args!("{why}"));
            } else {
                log.log(level, format_args!("Invalid request from ip={}: {why}", conn.client()));
            }
            Some(status)
        }
    }
}

/// Logs where an application did not keep to its Content-Length.
fn report_fault(engine: &Engine, request: &Request, sender: &mut Sender) {
    let what = match sender.fault.take() {
        Some(Fault::TooLong) => "the application sent more than its Content-Length; the rest was dropped",
        Some(Fault::TooShort) => "the application sent less than its Content-Length; the connection is closed",
        None => return,
    };
    let log = engine.log_of(request);
    if log.is_nginx() {
        request.error(&engine.config, log, format_args!("{what}"));
    } else {
        log.error(format_args!("{}: {what}", about(request)));
    }
}

/// The request in a line of the error log.
fn about(request: &Request) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    format!("{} {}", text(request.method()), text(request.target()))
}
