//! Servers with `resolve`: their names are looked up again and again while the worker runs, each when its addresses hold
//! no longer. When a lookup fails, the addresses that there were stay.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Resolver, Service};
use crate::engine::Engine;
use crate::log::Level;
use crate::upstream::set::Found;
use crate::upstream::spec::Server;
use crate::upstream::{Address, Group, health};

/// The least time between two lookups, whatever the records say, and until the next one after a failure; in seconds.
const LEAST: u64 = 1;
const AFTER_FAILURE: u64 = 10;
/// The most: a server may be another machine's by then.
const MOST: u64 = 24 * 3600;

/// Lets the names of all groups be looked up until the worker drains. Within the runtime.
pub fn start(engine: &Arc<Engine>) {
    for (index, group) in engine.upstreams.iter().enumerate() {
        let Some(resolver) = &group.spec.resolver else { continue };
        let checks: Arc<[_]> = health::of_group(&engine.config.checks, index).into();
        for (server, _) in group.spec.servers.iter().enumerate().filter(|(_, server)| server.resolve) {
            let task = refresh(engine.clone(), group.clone(), server, resolver.clone(), checks.clone());
            engine.add_acceptor(tokio::spawn(task).abort_handle());
        }
    }
}

async fn refresh(
    engine: Arc<Engine>,
    group: Arc<Group>,
    index: usize,
    resolver: Arc<Resolver>,
    checks: Arc<[Arc<health::Check>]>,
) {
    let Some(server) = group.spec.servers.get(index) else { return };
    let mut told = None;
    loop {
        let wait = match look_up(&resolver, server, group.spec.resolver_timeout).await {
            Ok((found, valid)) => {
                told = None;
                group.replace_found(index, found);
                group.members().iter().for_each(|member| health::begin(member, &checks));
                valid.clamp(LEAST, MOST)
            }
            Err(failure) => {
                // The same failure is told once.
                if told.replace(failure.code) != Some(failure.code) {
                    let name = &group.spec.name;
                    engine.log.log(Level::Error, format_args!("{failure} in upstream \"{name}\""));
                }
                AFTER_FAILURE
            }
        };
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
}

async fn look_up(resolver: &Arc<Resolver>, server: &Server, limit: u64) -> Result<(Vec<Found>, u64), Failure> {
    let Some(service) = &server.service else {
        let answered = resolver.addresses(&server.host, limit).await?;
        let found = answered.it.into_iter().map(|ip| Found::from(Address::Inet(SocketAddr::new(ip, server.port))));
        return Ok((found.collect(), answered.valid));
    };
    let answered = resolver.services(service, &server.host, limit).await?;
    Ok((of_services(answered.it, server.backup), answered.valid))
}

/// The addresses of a service: the best priority is what the `server` says, the others are backups. Of a backup, only the
/// best priority counts.
fn of_services(services: Vec<Service>, is_backup: bool) -> Vec<Found> {
    let Some(best) = services.iter().map(|service| service.priority).min() else { return Vec::new() };
    let mut found = Vec::new();
    let mut seen: HashMap<SocketAddr, ()> = HashMap::new();
    for service in services {
        let backup = service.priority != best;
        if backup && is_backup {
            continue;
        }
        for ip in service.addresses {
            let address = SocketAddr::new(ip, service.port);
            if seen.insert(address, ()).is_none() {
                found.push(Found {
                    weight: Some(u32::from(service.weight).max(1)),
                    backup,
                    ..Found::from(Address::Inet(address))
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, port: u16, last: u8) -> Service {
        Service { priority, weight, port, addresses: vec![[10, 0, 0, last].into()] }
    }

    fn words(services: Vec<Service>, is_backup: bool) -> Vec<String> {
        let found = of_services(services, is_backup);
        found.iter().map(|one| format!("{} {:?} {}", one.address, one.weight, one.backup)).collect()
    }

    #[test]
    fn the_best_priority_is_the_server_and_others_are_backups() {
        let all = || vec![service(10, 5, 80, 1), service(10, 0, 81, 1), service(20, 1, 80, 2), service(10, 9, 80, 1)];
        assert_eq!(
            words(all(), false),
            ["10.0.0.1:80 Some(5) false", "10.0.0.1:81 Some(1) false", "10.0.0.2:80 Some(1) true"]
        );
        assert_eq!(words(all(), true), ["10.0.0.1:80 Some(5) false", "10.0.0.1:81 Some(1) false"]);
        assert!(words(Vec::new(), false).is_empty());
    }
}
