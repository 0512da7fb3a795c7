//! Connections: `accept` takes them from the listeners, `h1` speaks HTTP/1 on one, `h2` HTTP/2, after what `proxied` reads of
//! a proxy and the handshake that `secure` does; `ocsp` asks whether certificates are still good.
//! `start` sets a worker's going.

pub mod accept;
pub mod h1;
pub mod h2;
mod ocsp;
mod proxied;
mod secure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::transport::registry::TICK;
use crate::upstream::{health, resolve};
use accept::{Listener, Locals};

/// Starts accepting and keeping time. Inside the runtime.
pub fn start(engine: &Arc<Engine>, listeners: Vec<(Listener, Locals)>) {
    for (listener, locals) in listeners {
        engine.add_acceptor(tokio::spawn(accept::run(engine.clone(), listener, locals)).abort_handle());
    }
    health::start(engine);
    resolve::refresh::start(engine);
    resolve::refresh::start(engine);
    tokio::spawn(keep_time(engine.clone()));
}

/// After so many ticks files of certificates are looked at.
const REFRESH: u32 = 8;

/// The worker's clock.
async fn keep_time(engine: Arc<Engine>) {
    let mut before = Instant::now();
    let mut ticks = 0u32;
    ocsp::renew(&engine);
    loop {
        tokio::time::sleep(Duration::from_millis(TICK)).await;
        let now = Instant::now();
        engine.tick(now.duration_since(before).as_millis() as u64);
        before = now;
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(REFRESH) {
            let _ = crate::tls::prepare::refresh(&engine.config, &engine.log);
            ocsp::renew(&engine);
        }
    }
}
