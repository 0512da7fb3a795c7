//! Workers whose application an event loop drives: the loop waits with a reactor that is the server.

use std::sync::Arc;

use http::app::Evented;
use http::runtime::Reactor;

use super::Worker;
use super::control::Why;

/// Has the application start, serves to the end; gives the exit code. The error is for the log.
pub fn run(worker: Worker, app: &Arc<dyn Evented>) -> Result<i32, String> {
    let Worker { engine, runtime, mut control, master, listeners } = worker;
    let life = {
        let engine = engine.clone();
        runtime.spawn(async move {
            let why = control.run(true).await;
            if why == Why::Ended {
                engine.inbox.end();
            }
            (control, why)
        })
    };
    let to_front = {
        let (engine, log) = (engine.clone(), engine.log.clone());
        move |runtime: Arc<http::runtime::Runtime>| {
            let started = std::thread::Builder::new().name("front".into()).spawn(move || {
                runtime.block_on(async {
                    if let Ok((mut control, Why::Front)) = life.await {
                        control.run(false).await;
                    }
                    engine.inbox.end();
                    // What the application sends while it stops still goes out.
                    engine.inbox.loop_has_ended().await;
                });
            });
            if let Err(error) = started {
                // Without it nothing is served; the master starts another worker.
                log.error(format_args!("cannot start a thread: {error}"));
                crate::sys::process::exit_now(1);
            }
        }
    };
    let reactor = Reactor::new(engine.clone(), runtime.clone(), Box::new(to_front))
        .map_err(|error| format!("cannot watch descriptors: {error}"))?;
    app.start(reactor)?;
    if !engine.is_draining() && !super::begin_to_serve(&engine, &runtime, listeners, 1, &master) {
        return Ok(0);
    }
    app.run();
    engine.inbox.loop_ended();
    Ok(0)
}
