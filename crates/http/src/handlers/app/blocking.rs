//! Requests for a blocking application: the body is brought in, the application called, its answer sent.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Outcome, refuse, report_fault};
use crate::app::channel::Event;
use crate::app::jobs::{self, Busy};
use crate::app::{Blocking, Channel, Inline, Job, Output};
use crate::config::Settings;
use crate::exchange::Request;
use crate::transport::receive::{self, Pump};
use crate::transport::sender::Sender;
use crate::transport::{Conn, batch};

/// Has a request answered by an application.
pub async fn serve(
    conn: &mut Conn,
    mut request: Box<Request>,
    sender: &mut Sender,
    app: &Arc<dyn Blocking>,
    settings: &Settings,
) -> Outcome {
    let mut pump = None;
    if settings.app.request_buffering || receive::body_is_here(&request) {
        if let Err(failure) = receive::buffer(conn, &mut request, sender, settings).await {
            let status = refuse(conn, &request, sender, failure);
            return Outcome { request, unread: true, status };
        }
    } else {
        pump = match Pump::new(&mut request, settings) {
            Ok(pump) => pump,
            Err(failure) => {
                let status = refuse(conn, &request, sender, failure);
                return Outcome { request, unread: true, status };
            }
        };
    }
    let engine = conn.engine.clone();
    let location = request.route.location;
    let mut unread = false;
    if !engine.is_fronted() && pump.is_none() {
        if let Some(channel) = call_inline(conn, &mut request, sender, app, settings) {
            relay(conn, sender, (&channel, location), &mut None, settings).await;
        } else if engine.batches() && !sender.is_flushed() {
            batch::end(&conn.stream, sender).await;
        }
    } else {
        let channel = Channel::new(settings.temporary());
        let spare = std::mem::replace(&mut request, Box::new(Request::new(0, conn.local.clone())));
        engine.jobs.push(Job { app: app.clone(), request: spare, channel: channel.clone() });
        if let Some(back) = relay(conn, sender, (&channel, location), &mut pump, settings).await {
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
    report_fault(&engine, &request, sender);
    Outcome { request, unread, status: None }
}

/// Calls the application on this thread. `Some`: its answer goes on through that channel.
fn call_inline(
    conn: &mut Conn,
    request: &mut Request,
    sender: &mut Sender,
    app: &Arc<dyn Blocking>,
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
            stream: &mut conn.stream,
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
        engine.log_of(request).log_lines(severity.into(), &line);
    }
    engine.observe(started.elapsed());
    let rest = rest?;
    let channel = Channel::new(settings.temporary());
    jobs::suspend(rest, channel.clone());
    engine.move_to_front();
    Some(channel)
}

/// Sends an answer that arrives through a channel, for a request in that location, and feeds the request's body the
/// other way. Ends when the
/// application is done; the request comes back unless the thread that had it has lost it.
async fn relay(
    conn: &mut Conn,
    sender: &mut Sender,
    (channel, location): (&Channel, u32),
    pump: &mut Option<Pump>,
    settings: &Settings,
) -> Option<Box<Request>> {
    let engine = conn.engine.clone();
    // The application may take its time; a limit that is over would wake the task at every tick.
    conn.arm(0);
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
                Event::Log(severity, line) => engine.log_at(location).log_lines(severity.into(), &line),
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
        if !*dead && conn.stream.is_lost(cx) {
            *dead = true;
            sender.clear_queue();
            self.channel.set_gone();
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
