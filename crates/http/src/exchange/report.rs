//! What is told about a request in the error log, with nginx's words round it: `, client: ..., server: ..., request: ...`.

use std::fmt;

use super::{Peer, Request};
use crate::config::Config;
use crate::log::{Context, ErrorLog, Level};

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) => write!(f, "{}", address.ip()),
            Peer::Unix => f.write_str("unix:"),
        }
    }
}

impl Request {
    /// Writes a line about it.
    pub fn log(&self, level: Level, config: &Config, log: &ErrorLog, message: fmt::Arguments<'_>) {
        if !log.enabled(level) {
            return;
        }
        let client = self.peer;
        let server = config.servers.get(self.route.server as usize).map(|server| server.name.as_bytes());
        let asked = self.route.asked.as_deref().filter(|asked| !asked.doing.is_empty());
        let upstream = asked.map(|asked| asked.url()).unwrap_or_default();
        let doing = if self.route.logging { "logging request" } else { asked.map_or("", |asked| asked.doing) };
        let context = Context {
            connection: Some(self.carrier.serial),
            doing,
            client: Some(&client),
            server,
            request: self.line(),
            subrequest: if self.route.subrequest { &self.path } else { b"" },
            upstream: &upstream,
            host: self.field("host"),
            referrer: self.field("referer"),
        };
        log.request(level, &context, message);
    }

    pub fn warn(&self, config: &Config, log: &ErrorLog, message: fmt::Arguments<'_>) {
        self.log(Level::Warning, config, log, message);
    }

    pub fn error(&self, config: &Config, log: &ErrorLog, message: fmt::Arguments<'_>) {
        self.log(Level::Error, config, log, message);
    }

    pub fn crit(&self, config: &Config, log: &ErrorLog, message: fmt::Arguments<'_>) {
        self.log(Level::Critical, config, log, message);
    }

    pub fn alert(&self, config: &Config, log: &ErrorLog, message: fmt::Arguments<'_>) {
        self.log(Level::Alert, config, log, message);
    }
}
