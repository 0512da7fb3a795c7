//! From settings to servers with TLS, once the whole configuration is read: nginx's checks, and all files.

use std::collections::HashMap;
use std::sync::Arc;

use conf::{At, Diagnostic};

use super::Server;
use crate::config::build::Maker;
use crate::config::{Config, Listener};
use crate::features::ssl::Settings;
use crate::log::ErrorLog;

/// Gives every server that has certificates its TLS.
pub fn prepare(make: &mut Maker, listens: &[Listener]) {
    // Servers that set nothing of their own share what http has set.
    let mut made: HashMap<*const Settings, Option<Arc<Server>>> = HashMap::new();
    for index in 0..make.servers.len() {
        let settings = make.servers[index].settings.ssl.clone();
        if settings.certificates.is_empty() {
            continue;
        }
        let server = made.entry(Arc::as_ptr(&settings)).or_insert_with(|| one(make, &settings)).clone();
        make.servers[index].tls = server;
    }
    for listener in listens.iter().filter(|listener| listener.listen.options.ssl) {
        let settings = |server: &u32| &make.servers[*server as usize].settings.ssl;
        let without = |server: &u32| settings(server).certificates.is_empty();
        let missing = if !without(&listener.default_server) {
            None
        } else if !settings(&listener.default_server).reject_handshake {
            Some(listener.default_server)
        } else {
            // Refusing is no help for the others.
            let bare = |server: &u32| without(server) && !settings(server).reject_handshake;
            listener.servers.iter().copied().find(bare)
        };
        if let Some(server) = missing {
            let message = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive";
            make.problems.push(Diagnostic::new(make.servers[server as usize].at.clone(), message));
        }
    }
}

fn one(make: &mut Maker, settings: &Arc<Settings>) -> Option<Arc<Server>> {
    if let Some(certificate) = settings.certificates.get(settings.keys.len()) {
        let message = format!("no \"ssl_certificate_key\" is defined for certificate \"{}\"", certificate.text);
        make.problems.push(problem(message, &certificate.at));
        return None;
    }
    let at = settings.certificates.first().map(|one| one.at.clone()).unwrap_or_default();
    match Server::new(settings) {
        Ok(server) => {
            for warning in &server.current().warnings {
                make.warn(problem(warning.clone(), &at));
            }
            Some(Arc::new(server))
        }
        Err(message) => {
            make.problems.push(problem(message, &at));
            None
        }
    }
}

/// nginx finds these out when all is read, and names no place; where the certificate stands is told beside it.
fn problem(message: String, at: &At) -> Diagnostic {
    let problem = Diagnostic::new(At::Default, message);
    match at {
        At::Default => problem,
        at => problem.hint(format!("it is for the certificate at {at}")),
    }
}

/// Takes up files that have changed; what is wrong with them is told once, and the old ones stay. `true`: there were
/// some.
pub fn refresh(config: &Config, log: &ErrorLog) -> bool {
    super::tickets::advance();
    let mut any = false;
    let mut seen: Vec<*const Server> = Vec::new();
    for server in config.servers.iter().filter_map(|server| server.tls.as_ref()) {
        if seen.contains(&Arc::as_ptr(server)) {
            continue;
        }
        seen.push(Arc::as_ptr(server));
        let name = || server.settings().certificates.first().map(|one| one.place.shown()).unwrap_or_default();
        match server.refresh() {
            Ok(false) => {}
            Ok(true) => {
                any = true;
                log.info(format_args!("certificate \"{}\" or what belongs to it has changed: loaded", name()));
                for warning in &server.current().warnings {
                    log.warning(format_args!("{warning}"));
                }
            }
            Err(why) => log.error(format_args!("{why}; the old one is used on")),
        }
    }
    any
}
