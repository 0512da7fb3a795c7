//! The start, up to the first fork of a worker: log, privileges, addresses, background, pid file, preload. What fails
//! here ends the program with code 1, and is told on the terminal even when the log is a file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use http::sys::time::monotonic_ms;
use nix::poll::{PollFd, PollFlags, poll};

use super::pool::{Limits, Pool};
use super::{Listener, Master, Pidfile, WorkerContext, listeners, own};
use crate::error_log::ErrorLog;
use crate::host::Host;
use crate::settings::{Bind, Exit, Settings, apply_environment};
use crate::sys::privileges::Identity;
use crate::sys::process::{self, Background};
use crate::sys::signals::{Signal, SignalQueue};
use crate::sys::{self, reason};

const SIGNALS: &[Signal] = &[
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCHLD,
];

/// An address in use is tried so often, a second apart: its last user may be about to end.
const ATTEMPTS: u32 = 5;

/// Makes a master that is ready to serve, or gives the exit code.
pub(super) fn start<'a>(
    settings: Settings,
    host: &'static dyn Host,
    reread: &'a dyn Fn() -> Result<Settings, Exit>,
    work: &'a dyn Fn(WorkerContext) -> i32,
) -> Result<Master<'a>, i32> {
    let log = ErrorLog::open(&settings.errorlog, settings.loglevel).map_err(|error| {
        let place = settings.place("errorlog");
        to_terminal(&format!("cannot open the error log `{}` ({place}): {}", settings.errorlog, reason(&error)), None);
        1
    })?;
    let fail = |what: &str, hint: Option<&str>| {
        log.error(format_args!("{what}"));
        if let Some(hint) = hint {
            log.error(format_args!("hint: {hint}"));
        }
        if log.file().is_some() {
            to_terminal(what, hint);
        }
        1
    };
    log.info(format_args!("Starting daemun {}", env!("CARGO_PKG_VERSION")));
    warn(&log, &settings);
    let identity = Identity::of(&settings);
    if let Some(obstacle) = identity.obstacle(&settings) {
        return Err(fail(&obstacle, Some("start the server as root, or leave the option out")));
    }
    own(&log, &identity);
    prepare_access_log(&settings, &identity).map_err(|why| fail(&why, None))?;
    if let Some(path) = &settings.pidfile {
        Pidfile::check(path).map_err(|why| fail(&why, Some("end that process first, or remove the file")))?;
    }
    let signals = SignalQueue::install(SIGNALS)
        .map_err(|error| fail(&format!("cannot receive signals: {}", reason(&error)), None))?;

    let inherited = listeners::from_systemd(&|name| std::env::var(name).ok());
    if inherited.is_some() {
        // Programs that the application starts must not take them for theirs.
        sys::set_variable("LISTEN_FDS", None);
        sys::set_variable("LISTEN_PID", None);
    }
    let mut listeners = Vec::new();
    for bind in inherited.as_ref().unwrap_or(&settings.bind) {
        match open(bind, &settings, &log, &signals) {
            Ok(listener) => listeners.push(listener),
            Err(refused) => {
                listeners.iter().for_each(Listener::unlink);
                return Err(refused.map_or(0, |refused| fail(&refused.what, refused.hint)));
            }
        }
    }
    let undo = |code| {
        listeners.iter().for_each(Listener::unlink);
        code
    };

    let background = match settings.daemon {
        false => None,
        true => Some(
            go_to_background(&settings, host)
                .map_err(|error| undo(fail(&format!("cannot go to the background: {}", reason(&error)), None)))?,
        ),
    };
    let pidfile = match settings.pidfile.as_deref().map(Pidfile::create).transpose() {
        Ok(pidfile) => pidfile,
        Err(why) => return Err(undo(fail(&why, None))),
    };
    process::set_name(settings.proc_name.as_deref().unwrap_or("daemun: master"));
    let prepared = preload(&settings, host, &log).and_then(|()| {
        sys::shared_slots(slots_for(settings.workers))
            .map_err(|error| format!("cannot share memory with the workers: {}", reason(&error)))
    });
    let slots = match prepared {
        Ok(slots) => slots,
        Err(why) => {
            let code = undo(fail(&why, None));
            if let Some(pidfile) = pidfile {
                pidfile.remove();
            }
            return Err(code);
        }
    };

    let pool = Pool::new(Limits::of(&settings), slots);
    let worker_class = settings.worker_class();
    let master = Master {
        settings,
        host,
        reread,
        work,
        log: Arc::new(log),
        identity,
        listeners,
        inherited,
        pidfile,
        background,
        announced: false,
        signals: Some(signals),
        slots,
        pool,
        words: BTreeMap::new(),
        pending: None,
        reload_again: false,
        age: 0,
        pid: std::process::id() as i32,
    };
    master.log_listeners();
    master.log.info(format_args!("Using worker: {worker_class}"));
    Ok(master)
}

/// Tells what the user should know about the settings.
pub(super) fn warn(log: &ErrorLog, settings: &Settings) {
    for warning in &settings.warnings {
        log.warning(format_args!("{warning}"));
    }
}

/// Makes sure that the workers can open the access log, whoever they run as.
pub(super) fn prepare_access_log(settings: &Settings, identity: &Identity) -> Result<(), String> {
    let Some(path) = settings.accesslog.as_deref().filter(|path| *path != "-") else { return Ok(()) };
    let (user, group) = identity.owner();
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|file| match (user, group) {
            (None, None) => Ok(()),
            // A pipe or a device stays whose it is.
            _ if !file.metadata()?.is_file() => Ok(()),
            _ => std::os::unix::fs::fchown(file, user, group),
        })
        .map_err(|error| {
            format!("cannot open the access log `{path}` ({}): {}", settings.place("accesslog"), reason(&error))
        })
}

/// How many rows there are for so many workers: room for a reload with more of them, and for those that take their
/// time to end.
fn slots_for(workers: usize) -> usize {
    (workers * 4).max(256)
}

/// Opens an address. When it stays in use, or something else is wrong, gives that; when the user has had enough of
/// waiting, nothing.
fn open(
    bind: &Bind,
    settings: &Settings,
    log: &ErrorLog,
    signals: &SignalQueue,
) -> Result<Listener, Option<listeners::Refused>> {
    let mut attempt = 1;
    loop {
        match listeners::open(bind, settings) {
            Ok(listener) => return Ok(listener),
            Err(refused) if refused.in_use && attempt < ATTEMPTS => {
                log.error(format_args!("Connection in use: {bind}"));
                log.info(format_args!("Retrying in 1 second ({attempt} of {}).", ATTEMPTS - 1));
            }
            Err(refused) => return Err(Some(refused)),
        }
        attempt += 1;
        let end = monotonic_ms() + 1000;
        loop {
            let now = monotonic_ms();
            if now >= end {
                break;
            }
            let _ = poll(&mut [PollFd::new(signals.fd(), PollFlags::POLLIN)], (end - now) as u16);
            if signals.drain().iter().any(|came| matches!(came, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) {
                return Err(None);
            }
        }
    }
}

fn go_to_background(settings: &Settings, host: &dyn Host) -> std::io::Result<Background> {
    let background = Background::enter(host, &|code| {
        let log = match settings.errorlog.as_str() {
            "-" => "without `--daemon`, standard error shows why".to_string(),
            path => format!("the error log `{path}` says why"),
        };
        to_terminal(&format!("the server did not start (exit code {code})"), Some(&log));
    })?;
    process::leave_terminal(settings.enable_stdio_inheritance)?;
    Ok(background)
}

/// Loads the application before any fork, if the settings say so.
fn preload(settings: &Settings, host: &dyn Host, log: &ErrorLog) -> Result<(), String> {
    if !settings.preload {
        return Ok(());
    }
    // For good: the workers are forked from what the application has made of its surroundings.
    let _applied = apply_environment(settings).map_err(|exit| exit.message)?;
    host.preload(settings).map_err(|error| {
        log.log_lines(crate::error_log::Level::Error, &error.message);
        "the application could not be loaded (`--preload`)".to_string()
    })
}

/// Tells what failed on standard error.
fn to_terminal(what: &str, hint: Option<&str>) {
    let exit = Exit::new(1, what, hint.map(String::from));
    let _ = writeln!(std::io::stderr(), "{}", exit.message);
}
