//! What a worker process does, from the fork to its end.
//!
//! Its main thread is the application's thread. *Inline* it also drives the runtime; once the engine asks for a front,
//! a second thread drives that same runtime. `blocking` is how applications that are called get their calls, `evented`
//! how those that an event loop drives get their loop; `control` is the worker's life while it serves.

mod blocking;
mod control;
mod evented;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::app::App;
use http::config::listen;
use http::config::main::ErrorTarget;
use http::config::{Config, Handler};
use http::conn::accept::{self, Locals};
use http::engine::{self, Engine, Parts};
use http::exchange::Local;
use http::log::AccessLogs;
use http::slots::{MAX_THREADS, State};

use crate::error_log::{ErrorLog, Level};
use crate::face;
use crate::host::{AppOptions, AppSpec, Host, LoadError};
use crate::master::{Address, Listener, WorkerContext};
use crate::settings::{EventLoop, Front, Settings};
use crate::sys::signals::{self, Signal, SignalQueue};
use crate::wording::Event;
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
    let mut handled = vec![Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1];
    if master_pid == 0 {
        handled.push(Signal::SIGHUP);
    }
    let queue = SignalQueue::install(&handled).map_err(|error| failed("receive signals", error))?;

    let config = face::configuration(&settings).map_err(|message| LoadError { code: BOOT_FAILED, message })?;
    let specs = face::apps(&config, &settings);
    // Without an application, nothing is asked of the interpreter.
    if !specs.is_empty() {
        host.worker_started(log.fd().as_raw_fd());
    }
    let prefix = settings.nginx.as_ref().map_or(&settings.chdir, |setup| &setup.layout.prefix);
    let access = AccessLogs::open(&config, prefix.clone()).map_err(|why| failed("open the access log", why))?;
    let error_logs = error_logs(&config, &settings, &log).map_err(|why| failed("open an error log", why))?;
    let threads = settings.threads.clamp(1, MAX_THREADS);
    let options = AppOptions {
        multithread: threads > 1,
        multiprocess: settings.workers > 1,
        sendfile: settings.sendfile,
        logged: access.environ(),
        errors: (settings.errorlog != "-").then(|| log.fd().as_raw_fd()),
    };
    let (apps, broken) = load(&specs, &settings, &options, host, &log)?;

    let mut evented = apps.iter().filter_map(|app| match app {
        App::Evented(app) => Some(app.clone()),
        App::Blocking(_) => None,
    });
    let event_loop = evented.next();
    let joining: Vec<_> = evented.collect();
    let blocking = apps.iter().any(|app| matches!(app, App::Blocking(_)));
    if event_loop.is_some() && !blocking && threads > 1 {
        log.warning(format_args!("ASGI applications run on one thread: --threads {threads} means nothing here"));
    }
    // What waits for a body while it is called cannot be called by whoever brings the body.
    let streams = config
        .locations
        .iter()
        .any(|location| matches!(location.handler, Handler::App(_)) && !location.settings.app.request_buffering);
    let front = match settings.front {
        _ if event_loop.is_none() && (threads > 1 || streams) => engine::Front::Thread,
        // What is called must not hold up the loop.
        _ if event_loop.is_some() && blocking => engine::Front::Thread,
        // A loop that waits with means of its own.
        _ if event_loop.is_some() && settings.event_loop == EventLoop::Uvloop => engine::Front::Thread,
        Front::Auto => engine::Front::Auto,
        Front::Inline => engine::Front::Inline,
        Front::Thread => engine::Front::Thread,
    };
    let runtime = Arc::new(http::runtime::build().map_err(|error| failed("start the runtime", error))?);
    let engine = Engine::new(Parts {
        config,
        apps,
        slots,
        index: slot,
        log: log.clone(),
        error_logs,
        access,
        front,
        max_requests: jittered(&settings),
        told_to_drain: signals::terminating(),
    })
    .map_err(|error| failed("start the engine", error))?;
    let master = Master::new(ready);
    let (control, listeners) = {
        let _inside = runtime.enter();
        let nginx = settings.nginx.is_some();
        let listeners =
            listeners.into_iter().map(|it| listen(it, &engine.config, nginx)).collect::<io::Result<Vec<_>>>();
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
        Some(app) => {
            let threads = if blocking { threads } else { 0 };
            evented::run(worker, &app, &joining, threads, host)
                .map_err(|message| LoadError { code: BOOT_FAILED, message })?
        }
    };
    settings.wording.tell(&log, Event::Ending);
    engine.access.flush();
    if !engine.apps.is_empty() {
        host.worker_ending();
    }
    Ok(code)
}

/// A worker that is ready to serve.
struct Worker {
    engine: Arc<Engine>,
    runtime: Arc<http::runtime::Runtime>,
    control: Control,
    master: Master,
    listeners: Vec<(accept::Listener, Locals)>,
}

/// Accepts from now on, and lets the master know; `false`: the master is gone.
fn begin_to_serve(
    engine: &Arc<Engine>,
    runtime: &http::runtime::Runtime,
    listeners: Vec<(accept::Listener, Locals)>,
    threads: usize,
    master: &Master,
) -> bool {
    let _inside = runtime.enter();
    http::conn::start(engine, listeners);
    engine.slot().threads.store(threads as u32, Relaxed);
    engine.slot().set_state(State::Ready);
    master.tell_ready()
}

/// The applications, or with `--reload` one that tells why it cannot be loaded (`true`).
fn load(
    specs: &[AppSpec],
    settings: &Settings,
    options: &AppOptions,
    host: &dyn Host,
    log: &ErrorLog,
) -> Result<(Vec<App>, bool), LoadError> {
    let mut apps = Vec::new();
    let mut broken = false;
    for spec in specs {
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

/// The error logs of the locations, those that are the same only once; empty: there is one for all.
fn error_logs(config: &Config, settings: &Settings, log: &Arc<ErrorLog>) -> Result<Vec<Arc<ErrorLog>>, String> {
    let Some(setup) = &settings.nginx else { return Ok(Vec::new()) };
    if config.locations.iter().all(|location| location.settings.error_log.is_none()) {
        return Ok(Vec::new());
    }
    let mut made: Vec<(Arc<[ErrorTarget]>, Arc<ErrorLog>)> = Vec::new();
    let mut all = Vec::new();
    for location in &config.locations {
        let Some(targets) = &location.settings.error_log else {
            all.push(log.clone());
            continue;
        };
        let known = made.iter().find(|(known, _)| known == targets).map(|(_, log)| log.clone());
        all.push(match known {
            Some(log) => log,
            None => {
                let log = Arc::new(setup.open(targets)?);
                made.push((targets.clone(), log.clone()));
                log
            }
        });
    }
    Ok(all)
}

/// A listener for the runtime, and what the environ says of it. `nginx`: a connection's own address is told, where the
/// listener has all.
fn listen(listener: Listener, config: &Config, nginx: bool) -> io::Result<(accept::Listener, Locals)> {
    let Listener { socket, address, .. } = listener;
    socket.set_nonblocking(true)?;
    let index = |wanted: &listen::Address| config.listens.iter().position(|one| one.listen.address == *wanted);
    Ok(match address {
        Address::Tcp(address) => {
            let wildcard = nginx && address.ip().is_unspecified();
            let local = |address: SocketAddr, listen: usize, wildcard: bool| {
                Arc::new(Local { name: address.ip().to_string(), port: address.port().to_string(), listen, wildcard })
            };
            let listen = if nginx { index(&listen::Address::Inet(address)).unwrap_or(0) } else { 0 };
            let specific = config.listens[listen].specific.iter().filter(|_| nginx);
            let specific = specific.map(|&(address, listen)| (address, local(address, listen, false))).collect();
            let alone = nginx && config.listens[listen].listen.options.reuseport;
            let locals = Locals { any: local(address, listen, wildcard), specific, alone };
            (accept::Listener::Tcp(tokio::net::TcpListener::from_std(socket.into())?), locals)
        }
        Address::Unix(path) => {
            let listen = if nginx { index(&listen::Address::Unix(path.clone())).unwrap_or(0) } else { 0 };
            let name = if nginx { format!("unix:{}", path.display()) } else { path.display().to_string() };
            let locals = Locals::one(Local { name, port: String::new(), listen, wildcard: false });
            (accept::Listener::Unix(tokio::net::UnixListener::from_std(socket.into())?), locals)
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
