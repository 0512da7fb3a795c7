//! What a worker process does, from the fork to its end.
//!
//! Its main thread is the application's thread. *Inline* it also drives the runtime; once the engine asks for a front,
//! a second thread drives that same runtime. `blocking` is how applications that are called get their calls, `evented`
//! how those that an event loop drives get their loop; `control` is the worker's life while it serves.

mod blocking;
mod control;
mod evented;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::app::App;
use http::config::Config;
use http::conn::accept;
use http::engine::{self, Engine, Parts};
use http::exchange::Local;
use http::log::{AccessLog, Format};
use http::slots::{MAX_THREADS, State};

use crate::error_log::{ErrorLog, Level};
use crate::face;
use crate::host::{AppOptions, Host, LoadError};
use crate::master::{Address, Listener, WorkerContext};
use crate::settings::{EventLoop, Front, Settings};
use crate::sys::signals::{self, Signal, SignalQueue};
use control::{Control, Master};

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

    let event_loop = apps.iter().find_map(|app| match app {
        App::Evented(app) => Some(app.clone()),
        App::Blocking(_) => None,
    });
    if event_loop.is_some() && threads > 1 {
        log.warning(format_args!("ASGI applications run on one thread: --threads {threads} means nothing here"));
    }
    let front = match settings.front {
        _ if event_loop.is_none() && (threads > 1 || !settings.request_buffering) => engine::Front::Thread,
        // A loop that waits with means of its own.
        _ if event_loop.is_some() && settings.event_loop == EventLoop::Uvloop => engine::Front::Thread,
        Front::Auto => engine::Front::Auto,
        Front::Inline => engine::Front::Inline,
        Front::Thread => engine::Front::Thread,
    };
    let runtime = Arc::new(http::runtime::build().map_err(|error| failed("start the runtime", error))?);
    let engine = Engine::new(Parts {
        config: Arc::new(config),
        apps,
        slots,
        index: slot,
        log: log.clone(),
        access,
        front,
        max_requests: jittered(&settings),
        told_to_drain: signals::terminating(),
    })
    .map_err(|error| failed("start the engine", error))?;
    let master = Master::new(ready);
    let (control, listeners) = {
        let _inside = runtime.enter();
        let listeners = listeners.into_iter().map(listen).collect::<io::Result<Vec<_>>>();
        let control = Control::new(engine.clone(), queue, &settings, master_pid, master.clone());
        (
            control.map_err(|error| failed("receive signals", error))?,
            listeners.map_err(|error| failed("listen", error))?,
        )
    };
    if settings.reload {
        let (log, pid) = (log.clone(), std::process::id() as i32);
        let changed = move |path: &str| {
            log.info(format_args!("Worker reloading: {path} modified"));
            let _ = crate::sys::process::kill(pid, Signal::SIGTERM as i32);
        };
        host.watch(&settings, broken, Box::new(changed));
    }
    let worker = Worker { engine: engine.clone(), runtime, control, master, listeners };
    let code = match event_loop {
        None => blocking::run(worker, threads, host),
        Some(app) => evented::run(worker, &app).map_err(|message| LoadError { code: BOOT_FAILED, message })?,
    };
    if let Some(access) = &engine.access {
        access.flush();
    }
    host.worker_ending();
    Ok(code)
}

/// A worker that is ready to serve.
struct Worker {
    engine: Arc<Engine>,
    runtime: Arc<http::runtime::Runtime>,
    control: Control,
    master: Master,
    listeners: Vec<(accept::Listener, Arc<Local>)>,
}

/// Accepts from now on, and lets the master know; `false`: the master is gone.
fn begin_to_serve(
    engine: &Arc<Engine>,
    runtime: &http::runtime::Runtime,
    listeners: Vec<(accept::Listener, Arc<Local>)>,
    threads: usize,
    master: &Master,
) -> bool {
    let _inside = runtime.enter();
    http::conn::start(engine, listeners);
    engine.slot().threads.store(threads as u32, Relaxed);
    engine.slot().set_state(State::Ready);
    master.tell_ready()
}

/// The application, or with `--reload` one that tells why it cannot be loaded (`true`).
fn load(
    config: &Config,
    settings: &Settings,
    options: &AppOptions,
    host: &dyn Host,
    log: &ErrorLog,
) -> Result<(Vec<App>, bool), LoadError> {
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
