//! The configuration, ready to run: typed, resolved once at load, nothing looked up by name at request time.
//!
//! `table` declares every directive, `build` walks the tree through it, `settings` is what a block can set.

pub mod build;
pub mod settings;
pub mod table;

use std::sync::Arc;

pub use settings::{Settings, WebSocket};

use crate::features::forwarded::Forwarded;
use crate::handlers::files::Files;

/// A server, ready to run.
pub struct Config {
    pub settings: Arc<Settings>,
    pub forwarded: Option<Forwarded>,
    /// Longest prefix first.
    pub locations: Vec<Location>,
    /// Specifications of the applications, in the order of `Handler::App`.
    pub apps: Vec<String>,
    pub access_log: Option<AccessLogSpec>,
}

/// Where the access log goes and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSpec {
    pub path: String,
    pub format: String,
}

pub struct Location {
    /// The decoded path prefix.
    pub prefix: Vec<u8>,
    pub handler: Handler,
}

/// What answers in a location. A closed set.
pub enum Handler {
    /// Index into `Engine::apps`.
    App(usize),
    Files(Box<Files>),
}
