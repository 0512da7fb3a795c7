//! The master: one thread and one loop, which waits for signals, for words of the workers, and for time to pass.
//!
//! What is to be done is decided in [`pool`], which touches no process; what is done is here and in the files beside:
//! [`start`] up to the first fork, [`spawn`] the fork, [`reload`] HUP, [`upgrade`] USR2, [`options`] and
//! [`surroundings`] what nginx's configuration asks of sockets and workers. The master never starts a thread or a runtime
//! and never calls the application (but for `--preload`), so nothing that a worker or an application does ends it.

mod alone;
mod backoff;
mod context;
mod listeners;
mod notify;
mod options;
mod pidfile;
mod pool;
mod reload;
mod spawn;
mod start;
mod surroundings;
mod upgrade;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use http::slots::Slot;
use http::sys::time::monotonic_ms;
use http::zone::Zones;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use context::{Address, DRAINING, Listener, READY, WorkerContext};

use crate::error_log::ErrorLog;
use crate::error_log::Level;
use crate::host::Host;
use crate::settings::{Bind, Exit, Settings};
use crate::sys::privileges::Identity;
use crate::sys::process::{self, Background};
use crate::sys::reason;
use crate::sys::signals::{Received, Signal, SignalQueue};
use crate::wording::{Event, Wording};
use pidfile::Pidfile;
use pool::{Action, Pool};

/// Runs the master until it is told to end. Gives the exit code. `reread` reads the settings anew for a reload; `work`
/// is what a worker does, and gives its exit code.
pub fn run(
    settings: Settings,
    host: &'static dyn Host,
    reread: &dyn Fn() -> Result<Settings, Exit>,
    work: &dyn Fn(WorkerContext) -> i32,
) -> i32 {
    match start::start(settings, host, reread, work) {
        Ok(master) if master.settings.nginx.as_ref().is_some_and(|setup| !setup.main.master_process) => {
            master.serve_alone()
        }
        Ok(master) => master.serve(),
        Err(code) => code,
    }
}

/// Opens the addresses of settings and closes them again; gives what is wrong with them. One in use is no problem: it
/// may be the running server's.
pub fn probe(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let mut opened = Vec::new();
    for bind in &settings.bind {
        match listeners::open(bind, settings) {
            Ok(listener) => opened.push(listener),
            Err(refused) if refused.in_use => {}
            Err(refused) => problems.push(refused.what),
        }
    }
    opened.iter().for_each(Listener::unlink);
    problems
}

/// How often the master looks at files of certificates, in ms.
const CERTIFICATES: u64 = 1000;

struct Master<'a> {
    settings: Settings,
    host: &'static dyn Host,
    reread: &'a dyn Fn() -> Result<Settings, Exit>,
    work: &'a dyn Fn(WorkerContext) -> i32,
    log: Arc<ErrorLog>,
    wording: Wording,
    /// Whom the workers run as.
    identity: Identity,
    listeners: Vec<Listener>,
    /// Sockets that systemd passed: they stand in for the settings' addresses.
    inherited: Option<Vec<Bind>>,
    pidfile: Option<Pidfile>,
    /// Who waits for the start, when this runs in the background.
    background: Option<Background>,
    /// The words that this process was started with.
    command: Vec<std::ffi::OsString>,
    /// The master of the new program, after USR2.
    new_binary: Option<i32>,
    /// The master whose new program this is.
    old_master: Option<i32>,
    /// The service manager knows that this serves.
    announced: bool,
    /// `None` only in a worker, which has given it up.
    signals: Option<SignalQueue>,
    slots: &'static [Slot],
    pool: Pool,
    /// Where each worker writes; gone once it has closed it.
    words: BTreeMap<i32, File>,
    /// The settings of a reload in progress.
    pending: Option<reload::Pending>,
    /// HUP came during a reload.
    reload_again: bool,
    /// When files of certificates are looked at again, in ms.
    certificates_due: u64,
    /// Workers started so far.
    age: u64,
    pid: i32,
}

impl Master<'_> {
    fn serve(mut self) -> i32 {
        loop {
            http::tls::tickets::advance();
            self.pool.tick(monotonic_ms());
            self.refresh_certificates();
            if let Some(code) = self.perform() {
                return self.end(code);
            }
            if self.reload_again && !self.pool.is_reloading() && !self.pool.is_stopping() {
                self.reload_again = false;
                self.reload();
                continue;
            }
            self.wait();
            self.hear_workers();
            for received in self.signals.as_ref().map(SignalQueue::drain).unwrap_or_default() {
                self.on_signal(received);
            }
            while let Some((pid, death)) = process::reap() {
                self.words.remove(&pid);
                if self.new_binary == Some(pid) {
                    self.binary_ended(pid, death);
                    continue;
                }
                if let Some(row) = self.pool.slot_of(pid) {
                    self.zones().into_iter().for_each(|zones| zones.worker_ended(row));
                }
                self.pool.on_death(monotonic_ms(), pid, death);
            }
        }
    }

    /// Where workers run as somebody else, they may not be able to read keys that have changed: new ones are started.
    fn refresh_certificates(&mut self) {
        let now = monotonic_ms();
        let busy = self.pool.is_reloading() || self.pool.is_stopping();
        if self.identity.owner() == (None, None) || busy || now < self.certificates_due {
            return;
        }
        self.certificates_due = now + CERTIFICATES;
        let Ok(config) = crate::face::configuration(&self.settings) else { return };
        if http::tls::prepare::refresh(&config, &self.log) {
            self.reload();
        }
    }

    /// Does what the pool has decided. Gives the exit code when that is to end.
    fn perform(&mut self) -> Option<i32> {
        loop {
            let actions = self.pool.take_actions();
            if actions.is_empty() {
                return None;
            }
            for action in actions {
                match action {
                    Action::Log(level, message) => {
                        self.log.log(level, format_args!("{message}"));
                    }
                    Action::Spawn { seat, generation } => self.spawn(seat, generation),
                    Action::Kill { pid, signal } => {
                        // One that is gone already is about to be reaped.
                        let _ = process::kill(pid, signal);
                    }
                    Action::Commit => self.commit(),
                    Action::Abandon => self.pending = None,
                    Action::CloseListeners => self.close_listeners(),
                    Action::Exit(code) => return Some(code),
                }
            }
        }
    }

    /// Sleeps until something happens or the pool wants to be asked again.
    fn wait(&self) {
        let Some(signals) = &self.signals else { return };
        let first = PollFd::new(signals.fd(), PollFlags::POLLIN);
        let words = self.words.values().map(|word| PollFd::new(word.as_fd(), PollFlags::POLLIN));
        let mut all: Vec<PollFd> = std::iter::once(first).chain(words).collect();
        let longest = self.pool.idle_time(monotonic_ms());
        // An interrupted call is as good as a signal that came.
        let _ = poll(&mut all, PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO));
    }

    /// Reads what the workers have written: that they serve, or that they want to be replaced.
    fn hear_workers(&mut self) {
        let now = monotonic_ms();
        let mut ready = false;
        let pool = &mut self.pool;
        self.words.retain(|&pid, word| {
            let mut bytes = [0; 16];
            match word.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    for byte in &bytes[..count] {
                        match *byte {
                            READY => {
                                ready = true;
                                pool.on_ready(now, pid);
                            }
                            DRAINING => pool.on_draining(now, pid),
                            _ => {}
                        }
                    }
                }
                Err(_) => {}
            }
            true
        });
        if ready {
            self.serving();
        }
    }

    /// A worker serves: whoever waits for the start is told, once.
    fn serving(&mut self) {
        if let Some(background) = self.background.take() {
            background.tell(0);
        }
        if !std::mem::replace(&mut self.announced, true) {
            notify::tell("READY=1\nSTATUS=serving");
        }
    }

    fn on_signal(&mut self, Received { signal, sender }: Received) {
        let now = monotonic_ms();
        let nginx = self.wording == Wording::Nginx;
        let ignored = nginx && signal == Signal::SIGUSR2 && self.is_upgrading();
        self.tell(Event::Signal { signal, sender, master: true, ignored });
        match signal {
            // nginx's meaning of the two is the other way round.
            Signal::SIGTERM => self.pool.stop(now, nginx, 0),
            Signal::SIGQUIT => self.pool.stop(now, !nginx, 0),
            Signal::SIGINT => self.pool.stop(now, true, 0),
            Signal::SIGUSR1 => {
                self.tell(Event::Reopening);
                self.reopen_logs();
                self.pool.reopen_logs();
            }
            _ if self.pool.is_stopping() => {}
            // The way back from an upgrade: the old program goes on with what it has.
            Signal::SIGHUP if self.new_binary.is_some() => self.pool.come_back(),
            Signal::SIGHUP if self.pool.is_reloading() => self.reload_again = true,
            Signal::SIGHUP => self.reload(),
            Signal::SIGTTIN => self.pool.more(),
            Signal::SIGTTOU => self.pool.fewer(now),
            Signal::SIGUSR2 if ignored => {}
            Signal::SIGUSR2 if nginx => self.change_binary(),
            Signal::SIGUSR2 => self.log.warning(format_args!("binary upgrade is not supported yet: USR2 is ignored")),
            Signal::SIGWINCH if self.settings.daemon || self.old_master.is_some() => {
                if !nginx {
                    self.log.info(format_args!("graceful stop of workers"));
                }
                self.pool.send_home(now);
            }
            _ => {}
        }
    }

    /// The log's file under its name, after it was moved away; the workers do the same after this.
    fn reopen_logs(&self) {
        if let Err(error) = self.log.reopen() {
            self.say(Level::Error, &format!("cannot reopen the error log, the old file stays: {}", reason(&error)));
        }
        own(&self.log, &self.identity, self.wording);
        if let Err(why) = start::prepare_logs(&self.settings, &self.identity) {
            self.say(Level::Error, &why);
        }
    }

    /// The memory that workers share: of the settings in force, and of those of a reload in progress.
    fn zones(&self) -> Vec<&Zones> {
        let settings = [Some(&self.settings), self.pending.as_ref().map(|pending| &pending.settings)];
        settings.into_iter().flatten().filter_map(|settings| Some(&settings.nginx.as_ref()?.config.zones)).collect()
    }

    /// Tells the log what happens.
    fn tell(&self, event: Event) {
        self.wording.tell(&self.log, event);
    }

    fn say(&self, severity: Level, line: &str) {
        self.log.log(severity, format_args!("{line}"));
    }

    /// From now on nobody is accepted, and a successor can take the addresses.
    fn close_listeners(&mut self) {
        notify::tell("STOPPING=1");
        let new = self.pending.take().into_iter().flat_map(|new| new.listeners);
        let all: Vec<Listener> = self.listeners.drain(..).chain(new).collect();
        self.unlink(&all);
    }

    fn end(mut self, code: i32) -> i32 {
        self.tell(Event::MasterExit { well: code == 0, reason: self.pool.reason });
        if let Some(pidfile) = self.pidfile.take() {
            pidfile.remove();
        }
        if let Some(background) = self.background.take() {
            background.tell(code);
        }
        code
    }

    fn log_listeners(&self) {
        let all: Vec<String> = self.listeners.iter().map(|it| it.url(self.settings.tls.is_some())).collect();
        self.tell(Event::Listening { urls: &all.join(","), pid: self.pid });
    }
}

/// Gives the log's file to the workers' user, so that they can reopen it. (nginx's logs: [`start::prepare_logs`].)
fn own(log: &ErrorLog, identity: &Identity, wording: Wording) {
    if wording == Wording::Nginx {
        return;
    }
    if let (Some(file), (user, group)) = (log.file(), identity.owner())
        && (user.is_some() || group.is_some())
        && let Err(error) = std::os::unix::fs::fchown(file, user, group)
    {
        log.warning(format_args!("cannot give the error log to the workers' user: {}", reason(&error)));
    }
}
