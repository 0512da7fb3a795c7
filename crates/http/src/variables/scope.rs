//! What a variable is computed from: the configuration, the request, and the answer as far as there is one.

use std::sync::Arc;

use super::VarId;
use crate::config::{Config, Location, Server, Settings};
use crate::exchange::{Request, ResponseHead};
use crate::log::ErrorLog;
use crate::stage::Ratio;

/// The value of a variable of the configuration's own, kept for the rest of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bytes(Box<[u8]>),
    /// It was asked for, and there is none.
    None,
}

impl Value {
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Value::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                true
            }
            Value::None => false,
        }
    }
}

/// The answer, as far as it is known.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    pub head: &'a ResponseHead,
    /// Bytes of the body that were sent.
    pub body_bytes: u64,
    /// All bytes that were sent.
    pub bytes: u64,
    /// The connection goes on after it.
    pub keep_alive: bool,
    /// It is complete.
    pub complete: bool,
    /// Its head is out.
    pub sent: bool,
    /// By how much it was compressed, once that is known.
    pub ratio: Option<Ratio>,
}

/// Where variables are computed.
pub struct Scope<'a> {
    pub config: &'a Config,
    pub request: &'a mut Request,
    pub answer: Option<Answer<'a>>,
    pub log: &'a ErrorLog,
    /// Of each location; empty: `log` for all.
    logs: &'a [Arc<ErrorLog>],
}

impl<'a> Scope<'a> {
    pub fn new(config: &'a Config, request: &'a mut Request, log: &'a ErrorLog) -> Scope<'a> {
        Scope { config, request, answer: None, log, logs: &[] }
    }

    /// For who goes through locations: each may have its own error log, see `Engine::error_logs`.
    pub fn with_logs(self, logs: &'a [Arc<ErrorLog>]) -> Scope<'a> {
        Scope { logs, ..self }
    }

    /// The request is in this location from now on.
    pub fn enter(&mut self, location: u32) {
        self.request.route.location = location;
        if let Some(log) = self.logs.get(location as usize) {
            self.log = log;
        }
    }

    pub fn server(&self) -> &'a Server {
        self.config.server(self.request.route.server)
    }

    pub fn location(&self) -> &'a Location {
        self.config.location(self.request.route.location)
    }

    pub fn settings(&self) -> &'a Settings {
        &self.location().settings
    }

    /// Computes something while the answer has this head.
    pub fn with_head<R>(&mut self, head: &ResponseHead, compute: impl FnOnce(&mut Scope<'_>) -> R) -> R {
        let keep_alive = self.request.route.keep_alive && !head.close;
        let answer = Answer { head, body_bytes: 0, bytes: 0, keep_alive, complete: false, sent: false, ratio: None };
        let Scope { config, log, logs, .. } = *self;
        let mut inner = Scope { config, request: self.request, answer: Some(answer), log, logs };
        compute(&mut inner)
    }

    /// Gives a variable of the configuration's own a value.
    pub fn assign(&mut self, id: VarId, value: Vec<u8>) {
        self.request.route.assign(id, Value::Bytes(value.into()));
    }

    pub(super) fn uninitialized(&self, name: &str) {
        if self.settings().uninitialized_variable_warn {
            self.request.warn(self.config, self.log, format_args!("using uninitialized \"{name}\" variable"));
        }
    }

    pub(super) fn cycle(&self, name: &str) {
        self.request.error(self.config, self.log, format_args!("cycle while evaluating variable \"{name}\""));
    }
}
