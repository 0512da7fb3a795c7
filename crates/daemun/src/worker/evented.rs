//! Workers whose application an event loop drives: the loop waits with a reactor that is the server. Applications that
//! are called can be there, too: threads of their own call them, and the server has one of its own.

use std::sync::Arc;

use http::app::Evented;
use http::runtime::Reactor;

use super::control::Why;
use super::{Worker, blocking};
use crate::host::Host;

/// Has the application start, serves to the end; gives the exit code. The error is for the log.
/// `joining`: further ones, which share the loop; `threads`: how many call the other applications.
pub fn run(
    worker: Worker,
    app: &Arc<dyn Evented>,
    joining: &[Arc<dyn Evented>],
    threads: usize,
    host: &'static dyn Host,
) -> Result<i32, String> {
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
    joining.iter().try_for_each(|other| other.join())?;
    // The loop's thread is the first in the slot.
    let callers = blocking::call_on_threads(&engine, 1, threads, host);
    let all = 1 + callers.len();
    if !engine.is_draining() && !super::begin_to_serve(&engine, &runtime, listeners, all, &master) {
        return Ok(0);
    }
    app.run();
    engine.jobs.close();
    for caller in callers {
        let _ = caller.join();
    }
    engine.inbox.loop_ended();
    Ok(0)
}
