//! What a worker process does, from the fork to its end.
//!
//! Its main thread is the application's thread. *Inline* it also drives the runtime; once the engine asks for a front,
//! a second thread drives that same runtime and the main thread serves the job queue.

mod control;

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::app::App;
use http::config::Config;
use http::conn::{self, accept};
use http::engine::{self, Engine, Parts};
use http::exchange::Local;
use http::log::{AccessLog, Format};
use http::slots::{MAX_THREADS, State};

use crate::error_log::{ErrorLog, Level};
use crate::face;
use crate::host::{AppOptions, Host, LoadError};
use crate::master::{Address, Listener, READY, WorkerContext};
use crate::settings::{Front, Settings};
use crate::sys::signals::{self, Signal, SignalQueue};
use control::{Control, Why};

/// Runs a worker to its end; gives its exit code.
pub fn run(context: WorkerContext, host: &'static dyn Host) -> i32 {
    let log = context.log.clone();
    match start(context, host) {
        Ok(code) => code,
        Err(error) => {
            log.log_lines(Level::Error, &error.message);
            error.code
        }
    }
}

/// What a worker exits with when it cannot start, as Gunicorn's.
const BOOT_FAILED: i32 = 3;

fn failed(what: &str, error: impl std::fmt::Display) -> LoadError {
    LoadError { code: BOOT_FAILED, message: format!("cannot {what}: {error}") }
}

fn start(context: WorkerContext, host: &'static dyn Host) -> Result<i32, LoadError> {
    let WorkerContext { settings, listeners, slots, slot, ready, log, master_pid, .. } = context;
    let queue = SignalQueue::install(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1])
        .map_err(|error| failed("receive signals", error))?;
    use std::os::fd::AsRawFd;
    host.worker_started(log.fd().as_raw_fd());

    let config = face::configuration(&settings).map_err(|message| LoadError { code: BOOT_FAILED, message })?;
    let access = config.access_log.as_ref().map(|spec| {
        let format = Format::parse(&spec.format).map_err(|why| failed("use the access log's format", why))?;
        AccessLog::open(&spec.path, format).map_err(|error| failed(&format!("open access log {}", spec.path), error))
    });
    let access = access.transpose()?;
    let threads = settings.threads.clamp(1, MAX_THREADS);
    let options = AppOptions {
        multithread: threads > 1,
        multiprocess: settings.workers > 1,
        sendfile: settings.sendfile,
        logged: access.as_ref().map(AccessLog::environ).unwrap_or_default(),
        errors: (settings.errorlog != "-").then(|| log.fd().as_raw_fd()),
    };
    let (apps, broken) = load(&config, &settings, &options, host, &log)?;

    let front = match settings.front {
        _ if threads > 1 || !settings.request_buffering => engine::Front::Thread,
        Front::Auto => engine::Front::Auto,
        Front::Inline => engine::Front::Inline,
        Front::Thread => engine::Front::Thread,
    };
    let runtime = Arc::new(http::runtime::build().map_err(|error| failed("start the runtime", error))?);
    let engine = Engine::new(Parts {
        config: Arc::new(config),
        apps: apps.clone(),
        slots,
        index: slot,
        log: log.clone(),
        access,
        front,
        max_requests: jittered(&settings),
        told_to_drain: signals::terminating(),
    });
    let mut control = {
        let _inside = runtime.enter();
        let listeners = listeners.into_iter().map(listen).collect::<io::Result<Vec<_>>>();
        conn::start(&engine, listeners.map_err(|error| failed("listen", error))?);
        Control::new(engine.clone(), queue, &settings, master_pid).map_err(|error| failed("receive signals", error))?
    };
    if settings.reload {
        let (log, pid) = (log.clone(), std::process::id() as i32);
        let changed = move |path: &str| {
            log.info(format_args!("Worker reloading: {path} modified"));
            let _ = crate::sys::process::kill(pid, Signal::SIGTERM as i32);
        };
        host.watch(&settings, broken, Box::new(changed));
    }
    engine.slot().threads.store(threads as u32, Relaxed);
    engine.slot().set_state(State::Ready);
    let mut master = File::from(ready);
    if master.write_all(&[READY]).is_err() {
        return Ok(0); // the master is gone
    }
    control.tell_when_draining(master);

    for app in &apps {
        app.enter_thread();
    }
    let why = if engine.is_fronted() { Why::Front } else { runtime.block_on(control.run(true)) };
    let code = match why {
        Why::Ended => 0,
        Why::Front => {
            http::transport::batch::release();
            serve_jobs(&engine, &runtime, control, &apps, threads, host)
        }
    };
    for app in &apps {
        app.leave_thread();
    }
    if let Some(access) = &engine.access {
        access.flush();
    }
    host.worker_ending();
    Ok(code)
}

/// The application, or with `--reload` one that tells why it cannot be loaded (`true`).
fn load(
    config: &Config,
    settings: &Settings,
    options: &AppOptions,
    host: &dyn Host,
    log: &ErrorLog,
) -> Result<(Vec<Arc<dyn App>>, bool), LoadError> {
    let mut apps = Vec::new();
    let mut broken = false;
    for spec in &config.apps {
        apps.push(match host.load(spec, settings, options) {
            Err(error) if settings.reload => {
                broken = true;
                log.log_lines(Level::Error, &error.message);
                host.explain(&error, options)?
            }
            other => other?,
        });
    }
    Ok((apps, broken))
}

/// Fronted: another thread drives the runtime, this one and `threads - 1` more call the application.
fn serve_jobs(
    engine: &Arc<Engine>,
    runtime: &Arc<tokio::runtime::Runtime>,
    mut control: Control,
    apps: &[Arc<dyn App>],
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
    let others: Vec<_> = (1..threads)
        .filter_map(|thread| {
            let (engine, apps) = (engine.clone(), apps.to_vec());
            let body = move || {
                host.as_thread(&mut || {
                    apps.iter().for_each(|app| app.enter_thread());
                    engine.jobs.run(thread);
                    apps.iter().for_each(|app| app.leave_thread());
                });
            };
            std::thread::Builder::new().name(format!("python-{thread}")).spawn(body).ok()
        })
        .collect();
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

/// A listener for the runtime, and what the environ says of it.
fn listen(listener: Listener) -> io::Result<(accept::Listener, Arc<Local>)> {
    let Listener { socket, address, .. } = listener;
    socket.set_nonblocking(true)?;
    Ok(match address {
        Address::Tcp(address) => {
            let local = Local { name: address.ip().to_string(), port: address.port().to_string() };
            (accept::Listener::Tcp(tokio::net::TcpListener::from_std(socket.into())?), Arc::new(local))
        }
        Address::Unix(path) => {
            let local = Local { name: path.display().to_string(), port: String::new() };
            (accept::Listener::Unix(tokio::net::UnixListener::from_std(socket.into())?), Arc::new(local))
        }
    })
}

/// `max_requests` with its jitter, different in every worker.
fn jittered(settings: &Settings) -> u64 {
    if settings.max_requests == 0 || settings.max_requests_jitter == 0 {
        return settings.max_requests;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = u64::from(now.subsec_nanos()) ^ u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    settings.max_requests + (mixed >> 16) % (settings.max_requests_jitter + 1)
}
