//! Connections: `accept` takes them from the listeners, `h1` speaks HTTP/1 on one, after what `proxied` reads of a proxy.
//! `start` sets a worker's going.

pub mod accept;
pub mod h1;
mod proxied;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::transport::registry::TICK;
use accept::{Listener, Locals};

/// Starts accepting and keeping time. Inside the runtime.
pub fn start(engine: &Arc<Engine>, listeners: Vec<(Listener, Locals)>) {
    for (listener, locals) in listeners {
        engine.add_acceptor(tokio::spawn(accept::run(engine.clone(), listener, locals)).abort_handle());
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
