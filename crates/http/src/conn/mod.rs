//! Connections: `accept` takes them from the listeners, `h1` speaks HTTP/1 on one. `start` sets a worker's going.

pub mod accept;
pub mod h1;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::exchange::Local;
use crate::transport::registry::TICK;
use accept::Listener;

/// Starts accepting and keeping time. Inside the runtime.
pub fn start(engine: &Arc<Engine>, listeners: Vec<(Listener, Arc<Local>)>) {
    for (listener, local) in listeners {
        engine.add_acceptor(tokio::spawn(accept::run(engine.clone(), listener, local)).abort_handle());
    }
    tokio::spawn(keep_time(engine.clone()));
}

/// The worker's clock.
async fn keep_time(engine: Arc<Engine>) {
    let mut before = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(TICK)).await;
        let now = Instant::now();
        engine.tick(now.duration_since(before).as_millis() as u64);
        before = now;
    }
}
