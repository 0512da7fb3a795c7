//! What becomes of a server's answer: passed on with its body, another one in its place, or another protocol.

use std::sync::Arc;

use wire::h1::Method;

use super::answer::{self, Accel, Mapped};
use super::ask;
use super::family::Family;
use super::ranges::{self, Part};
use super::relay::{End, Manner, Relay};
use super::serve::Run;
use super::server::{Answer, outgoing};
use super::tunnel::{Ended, Tunnel};
use super::upload::Upload;
use crate::exchange::ResponseHead;
use crate::features::headers;
use crate::handlers::{Content, accel, answer as answers};
use crate::log::Level;
use crate::transport::rate::Rate;
use crate::upstream::exchange::Exchange;
use crate::upstream::policy::Buffering;
use crate::upstream::pool::Key;
use crate::upstream::{Chosen, Group, Search};
use crate::variables::Scope;

impl Run<'_> {
    /// Passes the answer on.
    pub(super) async fn answer(
        &mut self,
        group: &Arc<Group>,
        search: &Search,
        chosen: Chosen,
        answer: Answer,
    ) -> Option<Content> {
        let Answer { mut exchange, key, headless } = answer;
        if headless {
            let mut head = self.sender.recycled_head(9);
            head.close = true;
            self.sender.begin_without_head(head);
            return self.relay(group, chosen, exchange, None, true, None).await;
        }
        if exchange.answer().status == 101 {
            // Boxed: it is rare, and large.
            return Box::pin(self.tunnel(group, search, chosen, exchange)).await;
        }
        let method = match (self.pass.family, &self.settings.proxy.method) {
            (Family::Proxy, Some(_)) => sent_method(self),
            _ => self.request.current_method(),
        };
        exchange.begin_body(method);
        let recycled = self.sender.recycled_head(exchange.answer().status);
        let raw = std::mem::take(&mut self.asked().head);
        let Mapped { mut head, accel } = {
            let Self { engine, request, pass, .. } = self;
            let log = engine.log_of(request);
            let mut scope = Scope::new(&engine.config, request, log);
            answer::head(&mut scope, pass, exchange.answer(), &raw, recycled)
        };
        self.asked().head = raw;
        if let Some(cookie) = group.answered(&mut self.scope(), search, &chosen.member) {
            let _ = head.add(b"Set-Cookie", &cookie);
        }
        // Who asks for a tunnel gets one or an error (RFC 8441 section 5).
        let no_tunnel = self.request.tunnel && (200..300).contains(&head.status);
        let instead = if no_tunnel { Some(Content::Status(501)) } else { self.instead(&head, &accel) };
        if let Some(content) = instead {
            self.finish(group, chosen, exchange, None, 0);
            return Some(content);
        }
        head.rate = accel.rate;
        if self.policy.pass_trailers && exchange.may_have_trailers() {
            head.expects_trailers = true;
        }
        // What comes by HTTP/2 may have its end in its head, which is how gRPC tells of errors.
        let complete = matches!(*exchange, Exchange::Http2(_)) && exchange.is_complete();
        if complete && method != Method::Head && !matches!(head.status, 204 | 304) {
            head.length = Some(0);
        }
        let mut part = Part::Whole;
        let said = accel.buffering.filter(|_| self.pass.family != Family::Grpc);
        let buffering = said.unwrap_or(match self.policy.buffering {
            Buffering::On => true,
            Buffering::Off => false,
            Buffering::Auto => !head.content_type.starts_with(b"text/event-stream"),
        });
        {
            let Self { engine, request, sender, policy, .. } = self;
            let log = engine.log_of(request);
            let mut scope = Scope::new(&engine.config, request, log);

            answers::pass_on(&mut scope, sender, head, accel.charset.as_deref(), |scope, head| {
                if policy.force_ranges {
                    part = ranges::part(scope, head);
                }
                part != Part::Unsatisfiable
            });
        }
        let part = match part {
            Part::Whole => None,
            Part::Bytes(skip, len) => Some((skip, len)),
            Part::Unsatisfiable => {
                self.finish(group, chosen, exchange, None, 0);
                return Some(Content::Status(416));
            }
        };
        if self.sender.ended {
            // The configuration does not let it out.
            self.finish(group, chosen, exchange, None, 0);
            return None;
        }
        if complete {
            self.sender.end();
            self.finish(group, chosen, exchange, key, 0);
            return None;
        }
        self.relay(group, chosen, exchange, key, buffering, part).await
    }

    /// What is answered in place of the server's answer, if anything is.
    pub(super) fn instead(&mut self, head: &ResponseHead, accel: &Accel) -> Option<Content> {
        if self.policy.intercept_errors
            && head.status >= 300
            && self.settings.error_pages.iter().any(|page| page.status == head.status)
        {
            if head.status == 401 {
                let kept = head.fields_of(&["www-authenticate"]);
                self.request
                    .route
                    .kept
                    .extend(kept.into_iter().map(|(_, value)| (Box::from(answers::CHALLENGE), value)));
            }
            return Some(Content::Status(head.status));
        }
        let to = accel.redirect.as_ref()?;
        Some(accel::redirect(&mut self.request, head, to))
    }

    pub(super) async fn relay(
        &mut self,
        group: &Arc<Group>,
        chosen: Chosen,
        mut exchange: Box<Exchange>,
        key: Option<Key>,
        buffering: bool,
        part: Option<(u64, u64)>,
    ) -> Option<Content> {
        let (policy, settings) = (self.policy.clone(), self.settings.clone());
        let memory = policy.memory().saturating_add(policy.buffer_size);
        let rate = match policy.limit_rate.clone() {
            None => None,
            Some(template) => {
                let text = template.value(&mut self.scope());
                Rate::new(std::str::from_utf8(&text).ok().and_then(conf::offset).unwrap_or(0), 0)
            }
        };
        let manner = Manner {
            buffering,
            memory,
            piece: policy.buffer_size.max(16 * 1024),
            most_in_file: policy.max_temp_file_size,
            settings: &settings,
            policy: &policy,
            read_timeout: policy.read_timeout,
            send_timeout: self.settings.send_timeout,
            ignore_abort: policy.ignore_client_abort,
        };
        self.asked().doing = "reading upstream";
        let mut relay = Relay::new(&manner, rate);
        relay.part = part;
        if !exchange.is_sent() {
            let rest = outgoing(&self.request, self.body, self.own.as_deref(), self.pump.as_ref());
            let pump = self.pump.as_mut();
            let (client, server) = (self.settings.client_body_timeout, policy.send_timeout);
            relay.upload = rest.ok().map(|rest| Upload::new(rest, pump, client, server));
        }
        let end = relay.run(self.conn, self.sender, &mut exchange).await;
        let length = relay.length;
        match &end {
            End::Complete => {
                let trailers = exchange.take_trailers();
                if policy.pass_trailers {
                    self.sender.trailer(&super::trailer_lines(&trailers));
                }
                self.asked().trailers = trailers;
                if exchange.has_excess() && self.request.current_method() != Method::Head {
                    self.log(
                        Level::Warning,
                        match exchange.answer().length {
                            None => "upstream sent data after final chunk",
                            Some(_) => "upstream sent more data than specified in \"Content-Length\" header",
                        },
                    );
                }
                self.sender.end();
            }
            End::Gone | End::Slow => {
                if let Some((level, message)) = end.tell() {
                    self.log_while(level, &message, "sending to client");
                }
                self.sender.broken = true;
                self.sender.clear_queue();
                self.sender.abort();
            }
            _ => {
                if let Some((level, message)) = end.tell() {
                    self.log(level, &message);
                }
                self.sender.abort();
            }
        }
        let key = if matches!(end, End::Complete) { key } else { None };
        self.finish(group, chosen, exchange, key, length);
        None
    }

    /// The server is free again; its connection is kept if it can be.
    pub(super) fn finish(
        &mut self,
        group: &Arc<Group>,
        chosen: Chosen,
        exchange: Box<Exchange>,
        key: Option<Key>,
        length: u64,
    ) {
        let (sent, received) = (exchange.sent(), exchange.received());
        let asked = self.asked();
        // As nginx counts: what came, with what frames chunks.
        let length = match &*exchange {
            Exchange::Http1(own) if own.answer.chunked => received.saturating_sub(asked.head.len() as u64),
            _ => length,
        };
        if let Some(attempt) = asked.current() {
            (attempt.sent, attempt.received, attempt.length) = (sent, received, length);
            attempt.ended = Some(attempt.age());
        }
        let times = self.times();
        group.ended(&mut self.scope(), &chosen.member);
        chosen.release(false, times);
        let keeps = self.target.keepalive && !self.engine.is_draining();
        if let Some(key) = key.filter(|_| keeps)
            && let Some(line) = exchange.into_line()
        {
            self.pool(group).put(key, line, &group.spec.keepalive);
        }
    }

    /// The two connections speak another protocol from now on.
    pub(super) async fn tunnel(
        &mut self,
        group: &Arc<Group>,
        search: &Search,
        chosen: Chosen,
        exchange: Box<Exchange>,
    ) -> Option<Content> {
        let raw = std::mem::take(&mut self.asked().head);
        let recycled = self.sender.recycled_head(101);
        let mut head = {
            let Self { engine, request, pass, .. } = self;
            let log = engine.log_of(request);
            let mut scope = Scope::new(&engine.config, request, log);
            let mut head = answer::head(&mut scope, pass, exchange.answer(), &raw, recycled).head;
            head.length = None;
            headers::apply(&mut scope, &mut head);
            if let Some(fixed) = scope.settings().headers.fixed() {
                head.fields.extend_from_slice(fixed);
            }
            head
        };
        self.asked().head = raw;
        if let Some(cookie) = group.answered(&mut self.scope(), search, &chosen.member) {
            let _ = head.add(b"Set-Cookie", &cookie);
        }
        let (received, sent) = (exchange.received(), exchange.sent());
        let Some((link, early)) = exchange.into_parts() else { return Some(Content::Status(502)) };
        self.sender.keep_alive = false;
        self.sender.switch_protocols(head);
        if !early.is_empty() {
            self.sender.raw(|out| out.extend_from_slice(&early));
        }
        let consumed = self.request.consumed.min(self.request.buf.len());
        let up = self.request.buf.split_off(consumed);
        self.asked().doing = "proxying upgraded connection";
        let mut tunnel = Tunnel::new(link, up);
        let ended = tunnel.run(self.conn, self.sender, self.policy.read_timeout).await;
        match ended {
            Ended::TooLong => self.log(Level::Info, ask::LATE),
            Ended::Client => self.log(Level::Info, "client prematurely closed connection"),
            Ended::Server => match &tunnel.failure {
                Some(error) => self.log(Level::Error, &ask::failed("recv()", error)),
                None => self.log(Level::Error, "upstream prematurely closed connection"),
            },
            Ended::Complete | Ended::Stopping => {}
        }
        if let Some(attempt) = self.asked().current() {
            attempt.received = received + tunnel.received;
            attempt.sent = sent + tunnel.sent;
            attempt.length = tunnel.received;
            attempt.ended = Some(attempt.age());
        }
        let times = self.times();
        group.ended(&mut self.scope(), &chosen.member);
        chosen.release(false, times);
        if ended == Ended::Complete {
            self.sender.end()
        } else {
            self.sender.abort()
        }
        None
    }
}

/// The method that the server got, where the configuration says one.
fn sent_method(run: &mut Run<'_>) -> Method {
    let Some(template) = run.settings.proxy.method.clone() else { return run.request.current_method() };
    match &*template.value(&mut run.scope()) {
        b"HEAD" => Method::Head,
        _ => Method::Get,
    }
}
