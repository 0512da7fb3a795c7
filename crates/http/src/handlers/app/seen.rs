//! What an application is told of a request that has been through the configuration.

use std::sync::Arc;

use wire::h1::Form;

use crate::config::{Config, Settings};
use crate::exchange::{Request, Seen};

/// How the application with that index sees a request; `None`: as the client sent it.
pub fn of(config: &Config, request: &Request, settings: &Settings, app: usize) -> Option<Box<Seen>> {
    let server = config.server(request.route.server);
    let as_sent = settings.app.raw_path && !request.route.rewritten;
    let outer = match config.apps.get(app) {
        Some(spec) if !spec.root_path.is_empty() => Arc::from(spec.root_path.as_str()),
        _ => settings.app.root_path.clone(),
    };
    let plain = settings.app.mount.is_empty() && outer.is_empty();
    let name = server.told_name();
    if as_sent && plain && name.is_none() && !settings.nginx_pages {
        return None;
    }
    let mut path = Vec::new();
    match request.head.form {
        _ if !as_sent => path.extend_from_slice(&request.path),
        Form::Asterisk => {}
        _ => wire::uri::percent_decode(request.head.path.of(&request.buf), &mut path),
    }
    if path.is_empty() && request.head.form != Form::Asterisk {
        path.push(b'/');
    }
    let name = name.map(str::to_owned).or_else(|| {
        let host = request.server_host();
        (settings.nginx_pages && !host.is_empty()).then(|| String::from_utf8_lossy(host).into_owned())
    });
    let server = if name.is_some() || request.local.wildcard {
        let (address, port) = request.local_end();
        Some((name.unwrap_or(address), port))
    } else {
        None
    };
    let as_sent = as_sent || !request.route.rewritten && is_spelled(request, &path);
    Some(Box::new(Seen { path, as_sent, outer, mount: settings.app.mount.clone(), server }))
}

/// Whether a decoded path is spelled in the request line, without anything that was resolved in it.
fn is_spelled(request: &Request, path: &[u8]) -> bool {
    let mut sent = Vec::new();
    wire::uri::percent_decode(request.head.path.of(&request.buf), &mut sent);
    sent == path
}
