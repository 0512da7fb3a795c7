//! The configuration, ready to run: typed, resolved once at load, nothing looked up by name at request time.
//!
//! Every directive is a row of a table: `core` (requests, connections, answers), `structure` (blocks, listen,
//! locations), `process` (main and events), `later` (what nginx has and this does not yet), and a table in each file of
//! `features` and `handlers`. `table` finds rows, `build` walks the tree through them, `settings` is what blocks set.

pub mod arguments;
pub mod build;
pub mod context;
mod core;
mod hints;
pub mod host;
pub mod keyed;
pub mod known;
mod later;
pub mod listen;
pub mod location;
pub mod locations;
pub mod main;
pub mod media_types;
pub mod names;
pub mod pattern;
mod process;
pub mod reference;
pub mod row;
pub mod server;
pub mod settings;
mod structure;
pub mod table;
pub mod wildcard;

use std::sync::Arc;

pub use build::{Built, Place};
pub use location::{Handler, Location};
pub use main::Main;
pub use pattern::Pattern;
pub use server::{Listener, Server};
pub use settings::{ServerSettings, Settings, WebSocket};

use crate::log;
use crate::variables::Registry;
use crate::zone::Zones;

/// A server, ready to run.
pub struct Config {
    pub main: Main,
    pub listens: Vec<Listener>,
    pub servers: Vec<Server>,
    pub locations: Vec<Location>,
    /// In the order of `Handler::Proxy`.
    pub passes: Vec<crate::handlers::proxy::Pass>,
    /// In the order of `Handler::App`.
    pub apps: Vec<AppSpec>,
    pub variables: Registry,
    /// Where access logs go, each target once; `log::access::Place` points here.
    pub logs: Vec<log::Target>,
    /// `charset_map` blocks.
    pub charset_maps: Vec<crate::stage::charset::Map>,
    /// Memory that workers share.
    pub zones: Zones,
    /// Groups of servers that requests are passed on to.
    pub upstreams: Vec<Arc<crate::upstream::Upstream>>,
    /// How they are asked how they are.
    pub checks: Vec<Arc<crate::upstream::health::Check>>,
}

impl Config {
    /// Where workers put what does not fit in memory, as the configuration says.
    pub fn temporary_directories(&self) -> std::collections::BTreeSet<std::path::PathBuf> {
        let settings = self.locations.iter().map(|location| &location.settings);
        let paths = settings.flat_map(|settings| {
            let of_answers = [&settings.proxy.policy, &settings.grpc.policy].map(|policy| policy.temp_path.as_deref());
            [settings.temporary_path.as_ref()].into_iter().chain(of_answers).flatten()
        });
        paths.cloned().collect()
    }
}

/// Numbers only: all of it would be too much to read.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Config({} servers, {} locations)", self.servers.len(), self.locations.len())
    }
}

impl Config {
    pub fn server(&self, index: u32) -> &Server {
        &self.servers[index as usize]
    }

    pub fn location(&self, index: u32) -> &Location {
        &self.locations[index as usize]
    }

    /// Why a server was chosen at a listener, in words.
    pub fn why_server(&self, listen: usize, server: u32, host: &[u8]) -> String {
        let listener = &self.listens[listen];
        let name = match &*self.server(server).name {
            "" => "without a name".to_owned(),
            name => format!("\"{name}\""),
        };
        let why = match (listener.has_names(), listener.has(host)) {
            (false, _) => "the only one there",
            (true, true) => "it has the name",
            (true, false) => "the default one, as none has the name",
        };
        format!("{name} at {}: {why}", listener.listen.text)
    }

    /// Whether connections of a listener may begin with HTTP/2, without TLS.
    pub fn has_http2_in_clear(&self, listen: usize) -> bool {
        self.first_settings(listen).0.http2.in_clear() || self.listens[listen].listen.options.http2
    }

    /// Whether HTTP/2 is offered in the TLS handshake to clients that ask for this server.
    pub fn offers_http2(&self, listen: usize, server: u32) -> bool {
        self.server(server).settings.http2.on || self.listens[listen].listen.options.http2
    }

    /// The settings that hold at a listener before a server is chosen.
    pub fn first_settings(&self, listen: usize) -> (&Arc<ServerSettings>, &Arc<Settings>) {
        let server = self.server(self.listens[listen].default_server);
        (&server.settings, &self.location(server.location).settings)
    }
}

/// An application: what `python_pass` and `python_app` say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSpec {
    /// `MODULE[:CALLABLE]`
    pub module: String,
    /// A virtual environment whose packages it gets.
    pub home: Option<String>,
    pub chdir: Option<String>,
    /// Directories before Python's own module path.
    pub path: Vec<String>,
    /// Python threads; `None`: one.
    pub threads: Option<usize>,
    pub interface: Interface,
    pub env: Vec<(String, String)>,
    /// Where it is mounted, without a slash at its end; empty = not said.
    pub root_path: String,
    /// Requests after which a worker ends; 0 = never.
    pub max_requests: u64,
    /// Longest call, in ms; `None`: no limit.
    pub timeout: Option<u64>,
    /// It has a `python_app` block.
    pub is_named: bool,
    pub at: conf::At,
}

impl AppSpec {
    /// A module without anything said about it.
    pub fn of(module: &str) -> AppSpec {
        AppSpec {
            module: module.to_owned(),
            home: None,
            chdir: None,
            path: Vec::new(),
            threads: None,
            interface: Interface::Auto,
            env: Vec::new(),
            root_path: String::new(),
            max_requests: 0,
            timeout: None,
            is_named: false,
            at: conf::At::Default,
        }
    }
}

/// The interface an application speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    #[default]
    Auto,
    Wsgi,
    Asgi,
}
