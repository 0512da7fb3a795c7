//! The start, up to the first fork of a worker: log, privileges, addresses, background, pid file, preload. What fails
//! here ends the program with code 1, and is told on the terminal even when the log is a file.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use http::sys::time::monotonic_ms;
use nix::poll::{PollFd, PollFlags, poll};

use super::listeners::Inherited;
use super::pool::{Limits, Pool};
use super::{Listener, Master, Pidfile, WorkerContext, listeners, own};
use crate::error_log::ErrorLog;
use crate::error_log::Level;
use crate::host::Host;
use crate::settings::{Bind, Exit, Settings, apply_environment};
use crate::sys::privileges::Identity;
use crate::sys::process::{self, Background};
use crate::sys::signals::{Signal, SignalQueue};
use crate::sys::{self, reason};
use crate::wording::{Event, Wording};

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
    let wording = settings.wording;
    let log = open_log(&settings).map_err(|what| {
        to_terminal(&settings, &what, None);
        1
    })?;
    let fail = |what: &str, hint: Option<&str>| {
        let severity = if wording == Wording::Nginx { Level::Emerg } else { Level::Error };
        log.log(severity, format_args!("{what}"));
        if let Some(hint) = hint {
            log.log(severity, format_args!("hint: {hint}"));
        }
        if log.file().is_some() {
            to_terminal(&settings, what, hint);
        }
        1
    };
    wording.tell(&log, Event::Starting);
    warn(&log, &settings);
    let identity = Identity::of(&settings);
    if let Some(obstacle) = identity.obstacle(&settings) {
        return Err(fail(&obstacle, Some("start the server as root, or leave the option out")));
    }
    own(&log, &identity, settings.wording);
    prepare_logs(&settings, &identity).map_err(|why| fail(&why, None))?;
    if let Some(path) = settings.pidfile.as_ref().filter(|_| wording == Wording::Gunicorn) {
        Pidfile::check(path).map_err(|why| fail(&why, Some("end that process first, or remove the file")))?;
    }
    let signals = SignalQueue::install(SIGNALS)
        .map_err(|error| fail(&format!("cannot receive signals: {}", reason(&error)), None))?;

    let env = |name: &str| std::env::var(name).ok();
    let old_master = env("NGINX").filter(|_| wording == Wording::Nginx).map(|_| nix::unistd::getppid().as_raw());
    // Gunicorn's face serves on what it is given, nginx's where the configuration says.
    let (inherited, mut passed) = match wording {
        Wording::Gunicorn => (listeners::from_systemd(&env), Inherited::default()),
        Wording::Nginx => (None, Inherited::find(&env)),
    };
    for name in ["LISTEN_FDS", "LISTEN_PID", "NGINX"] {
        // Programs that the application starts must not take them for theirs.
        if env(name).is_some() && (inherited.is_some() || wording == Wording::Nginx) {
            sys::set_variable(name, None);
        }
    }
    let mut listeners = Vec::new();
    for bind in inherited.as_ref().unwrap_or(&settings.bind) {
        let opened = match passed.take(bind) {
            Some(taken) => taken.map_err(|error| Some(listeners::refused(bind, &error, &settings))),
            None => open(bind, &settings, &log, &signals),
        };
        match opened {
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

    let background = match settings.daemon && old_master.is_none() {
        false => None,
        true => Some(
            go_to_background(&settings, host, &log)
                .map_err(|error| undo(fail(&format!("cannot go to the background: {}", reason(&error)), None)))?,
        ),
    };
    let pidfile = match create_pidfile(&settings) {
        Ok(pidfile) => pidfile,
        Err(why) => return Err(undo(fail(&why, None))),
    };
    let command = process::command_line().unwrap_or_default();
    match &settings.nginx {
        Some(setup) => {
            let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
            setup.name_process(&format!("master process {}", words.join(" ")));
        }
        None => process::set_name(settings.proc_name.as_deref().unwrap_or("daemun: master")),
    }
    let zones = settings.nginx.as_ref().map_or(Ok(()), |setup| setup.config.zones.map(None));
    let prepared = zones.and_then(|()| preload(&settings, host, &log)).and_then(|()| {
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

    let mut pool = Pool::new(Limits::of(&settings), slots);
    pool.wording = wording;
    let class = settings.worker_class();
    let master = Master {
        settings,
        host,
        reread,
        work,
        log: Arc::new(log),
        wording,
        identity,
        listeners,
        inherited,
        pidfile,
        background,
        command,
        new_binary: None,
        old_master,
        announced: false,
        signals: Some(signals),
        slots,
        pool,
        words: BTreeMap::new(),
        pending: None,
        reload_again: false,
        certificates_due: 0,
        age: 0,
        pid: std::process::id() as i32,
    };
    master.log_listeners();
    master.tell(Event::Workers { class });
    Ok(master)
}

/// Opens the error log, or all of them.
pub(super) fn open_log(settings: &Settings) -> Result<ErrorLog, String> {
    if let Some(setup) = &settings.nginx {
        return setup.open_error_log();
    }
    let path = &settings.errorlog;
    ErrorLog::open(path, settings.loglevel).map_err(|error| {
        format!("cannot open the error log `{path}` ({}): {}", settings.place("errorlog"), reason(&error))
    })
}

/// Tells what the user should know about the settings.
pub(super) fn warn(log: &ErrorLog, settings: &Settings) {
    for warning in settings.warnings.iter().chain(crate::face::warnings(settings)) {
        log.log(Level::Warning, format_args!("{warning}"));
    }
}

/// Writes the pid file, if there is to be one.
pub(super) fn create_pidfile(settings: &Settings) -> Result<Option<Pidfile>, String> {
    let Some(path) = &settings.pidfile else { return Ok(None) };
    match settings.wording {
        Wording::Gunicorn => Pidfile::create(path).map(Some),
        Wording::Nginx => Pidfile::take(path)
            .map(Some)
            .map_err(|error| format!("open() \"{}\" failed ({})", path.display(), sys::with_code(&error))),
    }
}

/// Makes sure that the workers can open the log files and have room for temporary ones, whoever they run as.
pub(super) fn prepare_logs(settings: &Settings, identity: &Identity) -> Result<(), String> {
    let (user, group) = identity.owner();
    if let Some(setup) = &settings.nginx {
        for directory in setup.config.temporary_directories() {
            prepare_directory(&directory, user)
                .map_err(|error| format!("mkdir() \"{}\" failed ({})", directory.display(), sys::with_code(&error)))?;
        }
        // As nginx: the group stays.
        return setup.log_files().iter().try_for_each(|path| {
            prepare_log(path, user, None)
                .map_err(|error| format!("open() \"{}\" failed ({})", path.display(), sys::with_code(&error)))
        });
    }
    let Some(path) = settings.accesslog.as_deref().filter(|path| *path != "-") else { return Ok(()) };
    prepare_log(Path::new(path), user, group).map_err(|error| {
        format!("cannot open the access log `{path}` ({}): {}", settings.place("accesslog"), reason(&error))
    })
}

/// Makes a directory for the workers' temporary files, if there is none.
fn prepare_directory(path: &Path, user: Option<u32>) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) if user.is_some() => std::os::unix::fs::chown(path, user, None),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn prepare_log(path: &Path, user: Option<u32>, group: Option<u32>) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    // A pipe or a device stays whose it is.
    if (user, group) == (None, None) || !file.metadata()?.is_file() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, user, group)
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
        let pause = match (listeners::open(bind, settings), settings.wording) {
            (Ok(listener), _) => return Ok(listener),
            (Err(refused), Wording::Gunicorn) if refused.in_use && attempt < ATTEMPTS => {
                log.error(format_args!("Connection in use: {bind}"));
                log.info(format_args!("Retrying in 1 second ({attempt} of {}).", ATTEMPTS - 1));
                1000
            }
            (Err(refused), Wording::Nginx) if refused.in_use => {
                log.log(Level::Emerg, format_args!("{}", refused.what));
                if log.file().is_some() {
                    to_terminal(settings, &refused.what, None);
                }
                log.log(Level::Notice, format_args!("try again to bind() after 500ms"));
                500
            }
            (Err(refused), _) => return Err(Some(refused)),
        };
        if settings.wording == Wording::Nginx && attempt == ATTEMPTS {
            return Err(Some(listeners::Refused { in_use: true, what: "still could not bind()".into(), hint: None }));
        }
        attempt += 1;
        let end = monotonic_ms() + pause;
        loop {
            let now = monotonic_ms();
            if now >= end {
                break;
            }
            let _ = poll(&mut [PollFd::new(signals.fd(), PollFlags::POLLIN)], (end - now) as u16);
            if signals
                .drain()
                .iter()
                .any(|came| matches!(came.signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT))
            {
                return Err(None);
            }
        }
    }
}

fn go_to_background(settings: &Settings, host: &dyn Host, log: &ErrorLog) -> std::io::Result<Background> {
    let background = Background::enter(host, &|code| {
        if settings.wording == Wording::Nginx {
            return;
        }
        let log = match settings.errorlog.as_str() {
            "-" => "without `--daemon`, standard error shows why".to_string(),
            path => format!("the error log `{path}` says why"),
        };
        to_terminal(settings, &format!("the server did not start (exit code {code})"), Some(&log));
    })?;
    // nginx keeps standard error, and lets it go to the log.
    let nginx = settings.wording == Wording::Nginx;
    let keep = settings.enable_stdio_inheritance;
    process::leave_terminal(keep, keep || nginx)?;
    if nginx && let Some(file) = log.file() {
        process::redirect_errors(file)?;
    }
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
fn to_terminal(settings: &Settings, what: &str, hint: Option<&str>) {
    if let Some(setup) = &settings.nginx {
        return setup.program.say("emerg", what);
    }
    let exit = Exit::new(1, what, hint.map(String::from));
    let _ = writeln!(std::io::stderr(), "{}", exit.message);
}
