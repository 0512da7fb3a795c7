//! A request that is still being sent while its answer comes already: a stream both ways, or a server that answers early.
//! What goes wrong on the way to the server is no reason to stop: its answer tells what came of it.

use std::task::{Context, Poll};

use crate::transport::Conn;
use crate::transport::receive::{Failure, Pump, Pumped};
use crate::transport::sender::Sender;
use crate::upstream::exchange::{Exchange, Outgoing};

pub struct Upload<'a> {
    pub body: Outgoing<'a>,
    /// What brings it from the client, if it is not here.
    pub pump: Option<&'a mut Pump>,
    /// How long the client, and the server, may make us wait, in ms.
    pub client_timeout: u64,
    pub server_timeout: u64,
    /// When that is over, on the registry's clock.
    client_until: Option<u64>,
    server_until: Option<u64>,
}

impl<'a> Upload<'a> {
    pub fn new(body: Outgoing<'a>, pump: Option<&'a mut Pump>, client_timeout: u64, server_timeout: u64) -> Upload<'a> {
        Upload { body, pump, client_timeout, server_timeout, client_until: None, server_until: None }
    }

    /// Moves what can be moved; `true`: something was. The error: no more can be read of it.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        sender: &mut Sender,
        exchange: &mut Exchange,
    ) -> Result<bool, Failure> {
        if exchange.is_sent() {
            (self.client_until, self.server_until) = (None, None);
            return Ok(false);
        }
        let now = conn.engine.registry.now();
        let mut waits_for_client = false;
        if let Some(pump) = &mut self.pump {
            waits_for_client = pump.pump(cx, conn, sender) == Pumped::Client;
            if waits_for_client && self.client_until.is_some_and(|until| until <= now) {
                pump.expire();
            }
            if let Some(failure) = pump.failure.take() {
                return Err(failure);
            }
        }
        let mut moved = false;
        let sent = exchange.poll_send(cx, &self.body, &mut moved);
        if moved || sent.is_ready() {
            (self.client_until, self.server_until) = (None, None);
        } else if waits_for_client {
            self.client_until.get_or_insert(now + self.client_timeout);
            self.server_until = None;
        } else {
            self.server_until.get_or_insert(now + self.server_timeout);
            self.client_until = None;
        }
        Ok(moved && !matches!(sent, Poll::Ready(Err(_))))
    }

    /// Whether the server has not taken anything for too long.
    pub fn is_late(&self, now: u64) -> bool {
        self.server_until.is_some_and(|until| until <= now)
    }

    /// The first limit of time.
    pub fn until(&self) -> Option<u64> {
        self.client_until.into_iter().chain(self.server_until).min()
    }
}
