//! What an application's answer goes through: what the configuration adds to its head, X-Accel-*, `error_page`.

use std::sync::Arc;

use wire::h1::encode;

use crate::config::Settings;
use crate::engine::Engine;
use crate::exchange::{Request, ResponseHead};
use crate::features::headers;
use crate::handlers::{Content, accel, answer};
use crate::transport::sender::{Filter, Verdict};
use crate::variables::{Answer, Scope};

/// The fields by which an application speaks to the server.
const ACCEL: [&str; 5] =
    ["x-accel-redirect", "x-accel-expires", "x-accel-limit-rate", "x-accel-buffering", "x-accel-charset"];

struct Outgoing {
    engine: Arc<Engine>,
    settings: Arc<Settings>,
    /// The request is with the application meanwhile: this is its head.
    request: Box<Request>,
}

/// The filter for answers to this request; `None`: they go out as they are.
pub fn filter(engine: &Arc<Engine>, request: &Request, settings: &Arc<Settings>) -> Option<Box<dyn Filter>> {
    let pages = settings.nginx_pages || !settings.error_pages.is_empty();
    let changes = settings.changes_heads() || settings.changes_bodies();
    let asked = request.route.kept.iter().any(|(name, _)| &**name == answer::CHALLENGE);
    if !settings.app.accel && !pages && !changes && !asked && request.route.status == 0 {
        return None;
    }
    Some(Box::new(Outgoing { engine: engine.clone(), settings: settings.clone(), request: request.copy_head() }))
}

impl Filter for Outgoing {
    fn head(&mut self, head: &mut ResponseHead) -> Verdict {
        let settings = &self.settings;
        let mut charset = None;
        let has_page = settings.error_pages.iter().any(|page| page.status == head.status);
        if head.own_error && (settings.nginx_pages || has_page) {
            return Verdict::Drop;
        }
        if settings.app.accel {
            if head.find("x-accel-redirect").is_some_and(|to| !to.is_empty()) {
                return Verdict::Drop;
            }
            let rate = head.find("x-accel-limit-rate").and_then(|rate| std::str::from_utf8(rate).ok()?.parse().ok());
            head.rate = rate;
            charset = head.find("x-accel-charset").map(<[u8]>::to_vec);
            for name in ACCEL {
                head.remove(name);
            }
        }
        if settings.app.intercept_errors && head.status >= 300 && has_page {
            return Verdict::Drop;
        }
        for (name, value) in self.request.route.kept.iter().filter(|(name, _)| &**name == answer::CHALLENGE) {
            encode::field(&mut head.fields, name.as_bytes(), value);
        }
        let log = self.engine.log_of(&self.request);
        let mut scope = Scope::new(&self.engine.config, &mut self.request, log);
        let verdict = answer::complete(&mut scope, head, charset.as_deref());
        if verdict == Verdict::Keep
            && let Some(assembly) = &mut head.assembly
        {
            assembly.request = Some(self.request.copy_head());
        }
        verdict
    }

    fn trailers(&mut self, head: &ResponseHead, body_bytes: u64) -> Vec<u8> {
        let log = self.engine.log_of(&self.request);
        let mut scope = Scope::new(&self.engine.config, &mut self.request, log);
        let (keep_alive, complete, sent) = (true, true, true);
        scope.answer = Some(Answer { head, body_bytes, bytes: body_bytes, keep_alive, complete, sent, ratio: None });
        headers::trailers(&mut scope, head.status)
    }
}

/// What takes the place of an answer that was not let out.
pub fn instead(request: &mut Request, head: &ResponseHead, settings: &Settings) -> Content {
    if settings.app.accel
        && !head.own_error
        && let Some(to) = head.find("x-accel-redirect").filter(|to| !to.is_empty())
    {
        return accel::redirect(request, head, to);
    }
    Content::Status(head.status)
}
