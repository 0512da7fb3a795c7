//! The directives about gRPC that other protocols do not have.

use std::sync::Arc;

use conf::Diagnostic;
use wire::h1::encode;

use super::target::scheme;
use crate::config::Handler;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::handlers::proxy::family::Family;
use crate::handlers::proxy::{Pass, To};
use crate::upstream::policy::{Buffering, Policy};
use crate::variables::Template;

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    /// `grpc_connect_timeout` and its kin.
    pub policy: Arc<Policy>,
    /// Fields that servers get in place of the client's, in their order.
    pub headers: Arc<[(Box<str>, Template)]>,
}

impl Default for Settings {
    fn default() -> Settings {
        let policy =
            Policy { buffering: Buffering::Off, request_buffering: false, pass_trailers: true, ..Policy::default() };
        Settings { policy: Arc::new(policy), headers: Arc::default() }
    }
}

/// The table, by name.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row::new("grpc_pass", LI, (1, 1), "[grpcs://]ADDRESS", "",
        "Passes requests on to a server that speaks gRPC: `HOST:PORT`, `unix:PATH` or an `upstream`, `grpc://` before it or `grpcs://` for TLS.",
        Set(pass)),
    Row::new("grpc_set_header", HSL, (2, 2), "FIELD VALUE", "Content-Length $content_length",
        "A field that servers get in place of the client's; with an empty VALUE they do not get it. A block that has none has those of the \
         block around it.",
        Set(set_header)).repeats(),
];

fn pass(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let url: Box<str> = s.text(0).into();
    let (secure, to) = if url.contains('$') {
        (false, To::Dynamic(s.template(0)?))
    } else {
        let (secure, address) = scheme(&url);
        let is_unix = address.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:"));
        if !is_unix && address.contains('/') {
            return Err(s.wrong(format!("invalid host in upstream \"{address}\"")));
        }
        let index = s.make.upstreams.refer(address, 0, s.it);
        let (host, port) = if is_unix { ("localhost", "") } else { (address, port(address)) };
        (secure, To::Group { index, host: host.into(), port: port.into(), uri: None })
    };
    let number = s.make.passes.len() as u32;
    let at = s.it.name.at.clone();
    s.make.passes.push(Pass { family: Family::Grpc, secure, to, url, location: "".into(), at });
    s.handler(Handler::Proxy(number))
}

/// The port of an address that is no path; empty for none.
pub fn port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => port,
        _ => "",
    }
}

fn set_header(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = s.text(0).to_owned();
    if !encode::is_token(name.as_bytes()) {
        return Err(s.wrong(format!("\"{name}\" is not the name of a field")));
    }
    let value = s.template(1)?;
    let first = s.first;
    let grpc = Arc::make_mut(&mut s.settings().grpc);
    let before = if first { &[][..] } else { &grpc.headers[..] };
    grpc.headers = before.iter().cloned().chain([(name.into(), value)]).collect();
    Ok(())
}
