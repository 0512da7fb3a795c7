//! Workers whose application is called: inline in the connections' tasks, or from a queue of jobs.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::app::{App, Blocking};
use http::engine::Engine;
use http::slots::MAX_THREADS;

use super::Worker;
use super::control::{Control, Why};
use crate::host::Host;

/// Serves to the end; gives the exit code.
pub fn run(worker: Worker, threads: usize, host: &'static dyn Host) -> i32 {
    let Worker { engine, runtime, mut control, master, listeners } = worker;
    if !super::begin_to_serve(&engine, &runtime, listeners, threads, &master) {
        return 0;
    }
    let apps = called(&engine);
    for app in &apps {
        app.enter_thread();
    }
    let why = if engine.is_fronted() { Why::Front } else { runtime.block_on(control.run(true)) };
    let code = match why {
        Why::Ended => 0,
        Why::Front => {
            http::transport::batch::release();
            serve_jobs(&engine, &runtime, control, threads, host)
        }
    };
    for app in &apps {
        app.leave_thread();
    }
    code
}

/// Fronted: another thread drives the runtime, this one and `threads - 1` more call the application.
fn serve_jobs(
    engine: &Arc<Engine>,
    runtime: &Arc<http::runtime::Runtime>,
    mut control: Control,
    threads: usize,
    host: &'static dyn Host,
) -> i32 {
    let front = {
        let (runtime, engine) = (runtime.clone(), engine.clone());
        std::thread::Builder::new().name("front".into()).spawn(move || {
            let cut = runtime.block_on(control.run(false));
            engine.jobs.close();
            (control, cut)
        })
    };
    let front = match front {
        Ok(front) => front,
        Err(error) => {
            engine.log.error(format_args!("cannot start a thread: {error}"));
            return 1;
        }
    };
    let others = call_on_threads(engine, 1, threads - 1, host);
    if others.len() + 1 < threads {
        engine.log.error(format_args!("could start only {} of {threads} threads", others.len() + 1));
        engine.slot().threads.store(others.len() as u32 + 1, Relaxed);
    }
    engine.jobs.run(0);
    for thread in others {
        let _ = thread.join();
    }
    match front.join() {
        Ok(_) => 0,
        Err(_) => 1,
    }
}

/// The applications that are called.
fn called(engine: &Engine) -> Vec<Arc<dyn Blocking>> {
    let blocking = |app: &App| match app {
        App::Blocking(app) => Some(app.clone()),
        App::Evented(_) => None,
    };
    engine.apps.iter().filter_map(blocking).collect()
}

/// Starts threads that call applications until the queue of jobs is closed; `first` is the first one's number in the
/// worker's slot. Gives those that could be started.
pub fn call_on_threads(
    engine: &Arc<Engine>,
    first: usize,
    count: usize,
    host: &'static dyn Host,
) -> Vec<std::thread::JoinHandle<()>> {
    let start = |thread: usize| {
        let engine = engine.clone();
        let body = move || {
            let apps = called(&engine);
            host.as_thread(&mut || {
                apps.iter().for_each(|app| app.enter_thread());
                engine.jobs.run(thread);
                apps.iter().for_each(|app| app.leave_thread());
            });
        };
        std::thread::Builder::new().name(format!("python-{thread}")).spawn(body).ok()
    };
    (first..(first + count).min(MAX_THREADS)).filter_map(start).collect()
}
