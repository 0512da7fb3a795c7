//! Requests for an application: the body is brought in, the application called, its answer sent.

use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::app::channel::Event;
use crate::app::jobs::{self, Busy};
use crate::app::{App, Channel, Inline, Job, Output, Severity};
use crate::config::Settings;
use crate::exchange::Request;
use crate::handlers::errors;
use crate::log::ErrorLog;
use crate::log::error::Level;
use crate::transport::receive::{self, Failure, Pump};
use crate::transport::sender::{Fault, Sender};
use crate::transport::{Conn, batch};

/// What is left when an application has answered.
pub struct Outcome {
    pub request: Box<Request>,
    /// Some of the request's body may not be read.
    pub unread: bool,
}

/// Has a request answered by an application.
pub async fn serve(
    conn: &mut Conn,
    mut request: Box<Request>,
    sender: &mut Sender,
    app: &Arc<dyn App>,
    settings: &Settings,
) -> Outcome {
    let mut pump = None;
    if settings.request_buffering || receive::body_is_here(&request) {
        if let Err(failure) = receive::buffer(conn, &mut request, sender, settings).await {
            refuse(conn, sender, failure);
            return Outcome { request, unread: true };
        }
    } else {
        pump = match Pump::new(&mut request, settings) {
            Ok(pump) => pump,
            Err(failure) => {
                refuse(conn, sender, failure);
                return Outcome { request, unread: true };
            }
        };
    }
    let engine = conn.engine.clone();
    let mut unread = false;
    if !engine.is_fronted() && pump.is_none() {
        if let Some(channel) = call_inline(conn, &mut request, sender, app, settings) {
            relay(conn, sender, &channel, &mut None, settings).await;
        } else if engine.batches() && !sender.is_flushed() {
            batch::end(conn.stream.as_raw_fd(), sender).await;
        }
    } else {
        let channel = Channel::new(settings.temporary());
        let spare = std::mem::replace(&mut request, Box::new(Request::new(0, conn.local.clone())));
        engine.jobs.push(Job { app: app.clone(), request: spare, channel: channel.clone() });
        if let Some(back) = relay(conn, sender, &channel, &mut pump, settings).await {
            request = back;
        }
        if let Some(pump) = &pump {
            pump.stream.abandon();
            unread = !pump.is_complete();
            if unread {
                sender.keep_alive = false;
            }
            pump.restore(&mut request);
        }
    }
    match sender.fault.take() {
        Some(Fault::TooLong) => engine.log.error(format_args!(
            "{}: the application sent more than its Content-Length; the rest was dropped",
            about(&request)
        )),
        Some(Fault::TooShort) => engine.log.error(format_args!(
            "{}: the application sent less than its Content-Length; the connection is closed",
            about(&request)
        )),
        None => {}
    }
    Outcome { request, unread }
}

/// The request in a line of the error log.
fn about(request: &Request) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    format!("{} {}", text(request.method()), text(request.target()))
}

/// Calls the application on this thread. `Some`: its answer goes on through that channel.
fn call_inline(
    conn: &mut Conn,
    request: &mut Request,
    sender: &mut Sender,
    app: &Arc<dyn App>,
    settings: &Settings,
) -> Option<Arc<Channel>> {
    let engine = &conn.engine;
    let mut lines = Vec::new();
    let started = Instant::now();
    let rest = {
        let _busy = Busy::new(engine.slot(), 0);
        let draining = || engine.is_draining();
        let mut out = Output::inline(Inline {
            sender,
            socket: conn.stream.as_raw_fd(),
            log: &mut lines,
            may_suspend: engine.may_suspend(),
            draining: &draining,
            send_timeout: settings.send_timeout,
            called: started,
        });
        match catch_unwind(AssertUnwindSafe(|| app.call(request, &mut out))) {
            Ok(rest) => rest,
            Err(_) => {
                jobs::panicked(&mut out);
                None
            }
        }
    };
    for (severity, line) in lines {
        log(&engine.log, severity, &line);
    }
    engine.observe(started.elapsed());
    let rest = rest?;
    let channel = Channel::new(settings.temporary());
    jobs::suspend(rest, channel.clone());
    engine.move_to_front();
    Some(channel)
}

/// Sends an answer that arrives through a channel, and feeds the request's body the other way. Ends when the
/// application is done; the request comes back unless the thread that had it has lost it.
async fn relay(
    conn: &mut Conn,
    sender: &mut Sender,
    channel: &Channel,
    pump: &mut Option<Pump>,
    settings: &Settings,
) -> Option<Box<Request>> {
    let engine = conn.engine.clone();
    let mut events = Vec::new();
    let mut dead = false;
    loop {
        let mut wait = Wait { channel, settings, armed: false };
        poll_fn(|cx| wait.poll(cx, conn, sender, pump, &mut events, &mut dead)).await;
        for event in events.drain(..) {
            match event {
                Event::Informational(status, fields) => sender.informational(status, &fields),
                Event::Head(head) => {
                    if engine.is_draining() {
                        sender.keep_alive = false;
                    }
                    sender.start(head);
                }
                Event::Body(chunk) => sender.push(chunk),
                Event::Log(severity, line) => log(&engine.log, severity, &line),
                Event::End => sender.end(),
                Event::Abort => sender.abort(),
            }
        }
        if dead {
            sender.clear_queue();
        }
        if let Some(request) = channel.finished() {
            if dead {
                sender.keep_alive = false;
            }
            return request;
        }
    }
}

/// What `relay` waits for: events, while it writes what there is and feeds the body.
struct Wait<'a> {
    channel: &'a Channel,
    settings: &'a Settings,
    armed: bool,
}

impl Wait<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        sender: &mut Sender,
        pump: &mut Option<Pump>,
        events: &mut Vec<Event>,
        dead: &mut bool,
    ) -> Poll<()> {
        conn.watch.register(cx);
        if let Some(pump) = pump.as_mut().filter(|pump| !pump.done) {
            let _ = pump.poll(cx, conn, sender, self.settings.client_body_timeout);
        }
        if !*dead && !sender.is_flushed() {
            let mut progress = false;
            let polled = sender.poll_flush(cx, &mut conn.stream, &mut progress);
            let failed = match polled {
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(_)) => true,
                Poll::Pending if progress || !self.armed => {
                    self.armed = true;
                    conn.arm(self.settings.send_timeout);
                    false
                }
                Poll::Pending => conn.expired(),
            };
            if failed {
                *dead = true;
                sender.clear_queue();
                self.channel.set_gone();
            } else if progress {
                self.channel.set_buffered(sender.pending());
            }
        }
        self.channel.poll_take(cx, events)
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

fn log(log: &ErrorLog, severity: Severity, lines: &str) {
    let level = match severity {
        Severity::Debug => Level::Debug,
        Severity::Info => Level::Info,
        Severity::Warning => Level::Warning,
        Severity::Error => Level::Error,
    };
    log.log_lines(level, lines);
}
