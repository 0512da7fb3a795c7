//! Requests for an evented application: it is begun as soon as the head is here, and body and answer go on beside
//! each other while it runs. Once the answer is complete the connection goes on; the application may still be busy.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Outcome, refuse, report_fault};
use crate::app::duplex::State;
use crate::app::inbox::Item;
use crate::app::jobs::Busy;
use crate::app::{Duplex, Evented, Scope};
use crate::config::Settings;
use crate::engine::Engine;
use crate::exchange::Request;
use crate::transport::receive::{self, Pump};
use crate::transport::sender::Sender;
use crate::transport::{Conn, batch};

/// How many bytes of a next request are taken while an answer is not complete. Reading is how the end of the client
/// is noticed.
const AHEAD: usize = 256;

/// Has a request answered by an application.
pub async fn serve(
    conn: &mut Conn,
    mut request: Box<Request>,
    sender: &mut Sender,
    app: &Arc<dyn Evented>,
    settings: &Settings,
) -> Outcome {
    let body = if receive::body_is_here(&request) {
        receive::buffer(conn, &mut request, sender, settings).await.map(|()| None)
    } else {
        Pump::new(&mut request, settings)
    };
    let pump = match body {
        Ok(pump) => pump,
        Err(failure) => {
            let status = refuse(conn, &request, sender, failure);
            return Outcome { request, unread: true, status };
        }
    };
    let engine = conn.engine.clone();
    let expecting = pump.is_some() && request.head.expect_continue;
    let duplex = Duplex::new(engine.clone(), request.route.location, std::mem::take(sender), expecting);
    let mut lent = engine.is_fronted();
    if lent {
        let spare = std::mem::replace(&mut request, Box::new(Request::new(0, conn.local.clone())));
        engine.inbox.push(Item::Begin { app: app.clone(), request: spare, scope: Scope::Http(duplex.clone()) });
    } else {
        begin(&engine, app, &mut request, Scope::Http(duplex.clone()));
    }
    let mut relay = Relay { pump, ahead: Vec::new(), settings, armed: false, lent };
    if lent || !relay.is_over(&mut duplex.lock()) {
        // The application may take its time; a limit that is over would wake the task at every tick.
        conn.arm(0);
        poll_fn(|cx| relay.poll(cx, conn, &duplex)).await;
    }
    let Relay { mut pump, ahead, .. } = relay;
    {
        let mut state = duplex.lock();
        state.detached = true;
        *sender = std::mem::take(&mut state.sender);
        if let Some(back) = state.link.request.take() {
            request = back;
            lent = false;
        }
        if !sender.ended || state.broken {
            sender.abort();
        }
        duplex.tell_application(&mut state, true);
    }
    let mut unread = lent;
    let mut status = None;
    if let Some(pump) = &mut pump {
        pump.stream.abandon();
        if let Some(failure) = pump.failure.take()
            && !sender.started
        {
            status = refuse(conn, &request, sender, failure);
        }
        if sender.keep_alive && !pump.is_complete() {
            // The answer first: a client may wait for it before it sends on.
            let sent = conn.flush(sender, settings.send_timeout).await.is_ok();
            sender.keep_alive = sent && pump.discard(conn, settings.client_body_timeout).await;
        }
        unread |= !pump.is_complete();
        pump.restore(&mut request);
        if unread {
            sender.keep_alive = false;
        }
    }
    request.buf.extend_from_slice(&ahead);
    if engine.batches() && !sender.is_flushed() && !engine.is_fronted() {
        batch::end(&conn.stream, sender).await;
    }
    report_fault(&engine, &request, sender);
    Outcome { request, unread, status }
}

/// Begins an application on this thread, which is its loop's.
pub fn begin(engine: &Engine, app: &Arc<dyn Evented>, request: &mut Request, scope: Scope) {
    let started = Instant::now();
    let _busy = Busy::new(engine.slot(), 0);
    // The bridge catches what it calls; this is for the bridge itself.
    if catch_unwind(AssertUnwindSafe(|| app.begin(request, scope.clone()))).is_err() {
        scope.abandon();
    }
    engine.observe(started.elapsed());
}

/// What moves while the application runs.
struct Relay<'a> {
    pump: Option<Pump>,
    /// Read beyond this request.
    ahead: Vec<u8>,
    settings: &'a Settings,
    armed: bool,
    /// The request is with the loop's thread.
    lent: bool,
}

impl Relay<'_> {
    /// Whether the connection need not wait for the application any more.
    fn is_over(&self, state: &mut State) -> bool {
        (state.sender.ended || state.link.done || state.broken) && !(self.lent && state.link.request.is_none())
    }

    fn poll(&mut self, cx: &mut Context<'_>, conn: &mut Conn, duplex: &Duplex) -> Poll<()> {
        conn.watch.register(cx);
        let mut guard = duplex.lock();
        let state = &mut *guard;
        let mut moved = false;
        if let Some(pump) = self.pump.as_mut().filter(|pump| !pump.done) {
            let _ = pump.poll(cx, conn, &mut state.sender, self.settings.client_body_timeout);
            if pump.failure.is_some() {
                state.closed = true;
                state.broken = true;
            }
            moved = pump.stream.is_readable();
        }
        if conn.engine.is_stopping() {
            state.closed = true;
            state.broken = true;
        }
        self.write(cx, conn, state);
        if self.pump.as_ref().is_none_or(|pump| pump.done) {
            self.watch_client(cx, conn, state);
        } else if !state.broken && conn.stream.is_lost(cx) {
            state.closed = true;
            state.broken = true;
            state.sender.clear_queue();
        }
        duplex.tell_application(state, moved);
        if self.is_over(state) {
            return Poll::Ready(());
        }
        state.link.wait(cx.waker());
        Poll::Pending
    }

    /// Writes what there is.
    fn write(&mut self, cx: &mut Context<'_>, conn: &mut Conn, state: &mut State) {
        if state.broken || state.sender.is_flushed() {
            return;
        }
        let mut progress = false;
        let failed = match state.sender.poll_flush(cx, &mut conn.stream, &mut progress) {
            Poll::Ready(Ok(())) => {
                if std::mem::take(&mut self.armed) {
                    conn.arm(0);
                }
                false
            }
            Poll::Ready(Err(_)) => true,
            Poll::Pending if progress || !self.armed => {
                self.armed = true;
                conn.arm(self.settings.send_timeout);
                false
            }
            Poll::Pending => conn.expired(),
        };
        if failed {
            state.closed = true;
            state.broken = true;
            state.sender.clear_queue();
        }
    }

    /// Notices that the client has gone.
    fn watch_client(&mut self, cx: &mut Context<'_>, conn: &mut Conn, state: &mut State) {
        if state.closed || !self.ahead.is_empty() {
            return;
        }
        self.ahead.reserve_exact(AHEAD);
        match conn.stream.poll_read(cx, &mut self.ahead, AHEAD) {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => state.closed = true,
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => {
                state.closed = true;
                state.broken = true;
            }
        }
    }
}
