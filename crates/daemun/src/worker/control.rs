//! A worker's life while it serves: signals, draining and its limit, the master's death.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::engine::Engine;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::error_log::Level;
use crate::master;
use crate::nginx::Setup;
use crate::settings::Settings;
use crate::sys::process;
use crate::sys::signals::{self, Received, Records, Signal, SignalQueue};
use crate::wording::{Event, Wording};

/// Why `Control::run` returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The worker is done.
    Ended,
    /// Another thread is to drive the runtime.
    Front,
}

/// How long calls in progress are waited for when the worker ends at once.
const LAST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOKS: u32 = 10;
/// How often the parent is looked at.
const PARENT: Duration = Duration::from_secs(1);

pub struct Control {
    engine: Arc<Engine>,
    /// The signal queue's pipe, for its readiness only.
    readable: pipe::Receiver,
    /// Kept: as long as it lives, signals come.
    _signals: SignalQueue,
    graceful_timeout: Duration,
    wording: Wording,
    nginx: Option<Arc<Setup>>,
    /// The master; 0: there is none.
    parent: i32,
    /// The log knows that this worker drains.
    said: bool,
    /// When draining is given up.
    limit: Option<Instant>,
    /// The pipe to the master, until it has been told that this worker drains.
    told: Option<Master>,
}

/// The pipe to the master.
#[derive(Clone)]
pub struct Master(Arc<Mutex<State>>);

struct State {
    pipe: File,
    ready: bool,
}

impl Master {
    pub fn new(pipe: OwnedFd) -> Master {
        Master(Arc::new(Mutex::new(State { pipe: pipe.into(), ready: false })))
    }

    /// The worker serves; `false`: the master is gone.
    pub fn tell_ready(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ready = true;
        state.pipe.write_all(&[master::READY]).is_ok()
    }

    /// The worker drains by itself: it is replaced before it is gone.
    fn tell_draining(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ready {
            let _ = state.pipe.write_all(&[master::DRAINING]);
        }
    }
}

impl Control {
    /// Inside the runtime.
    pub fn new(
        engine: Arc<Engine>,
        signals: SignalQueue,
        settings: &Settings,
        parent: i32,
        master: Master,
    ) -> io::Result<Control> {
        let readable = pipe::Receiver::from_owned_fd(signals.fd().try_clone_to_owned()?)?;
        Ok(Control {
            engine,
            readable,
            _signals: signals,
            graceful_timeout: settings.graceful_timeout,
            wording: settings.wording,
            nginx: settings.nginx.clone(),
            parent,
            said: false,
            limit: None,
            told: Some(master),
        })
    }

    /// Drives the worker's life. `until_front`: returns when the engine wants another thread to drive the runtime.
    pub async fn run(&mut self, until_front: bool) -> Why {
        loop {
            if self.engine.is_draining() && !std::mem::replace(&mut self.said, true) {
                self.wording.tell(&self.engine.log, Event::Draining);
                if let Some(setup) = &self.nginx {
                    setup.name_process("worker process is shutting down");
                }
            }
            if self.engine.is_drained() {
                return Why::Ended;
            }
            if until_front && self.engine.is_fronted() {
                return Why::Front;
            }
            if self.engine.is_draining() && self.limit.is_none() {
                self.limit = Some(Instant::now() + self.graceful_timeout);
                if let Some(master) = self.told.take() {
                    master.tell_draining();
                }
            }
            let wake = Instant::now() + PARENT;
            let wake = self.limit.map_or(wake, |limit| limit.min(wake));
            tokio::select! {
                _ = self.readable.readable() => {
                    if self.handle_signals() {
                        return self.end().await;
                    }
                }
                () = self.engine.changed() => {}
                () = tokio::time::sleep_until(wake) => {
                    if self.parent != 0 && std::os::unix::process::parent_id() as i32 != self.parent {
                        let line = format_args!("Parent changed, shutting down");
                        self.engine.log.log(Level::Info, line);
                        self.engine.drain();
                    }
                    if self.limit.is_some_and(|limit| limit <= Instant::now()) {
                        let slot = self.engine.slot();
                        let line = format!(
                            "{:?} have passed: {} requests on {} connections are cut",
                            self.graceful_timeout,
                            slot.requests.load(Relaxed),
                            slot.connections.load(Relaxed)
                        );
                        self.engine.log.log(Level::Warning, format_args!("{line}"));
                        return self.end().await;
                    }
                }
            }
        }
    }

    /// Acts on what has come; `true`: end now.
    fn handle_signals(&mut self) -> bool {
        let mut records: Records = [0; _];
        // Until the pipe is empty, which makes the runtime wait for the next signal.
        while let Ok(count @ 1..) = self.readable.try_read(&mut records) {
            for received in signals::received(&records[..count]) {
                if self.handle_signal(received) {
                    return true;
                }
            }
        }
        false
    }

    /// Acts on one; `true`: end now.
    fn handle_signal(&self, Received { signal, sender }: Received) -> bool {
        // The master speaks Gunicorn's language with its workers; a user of nginx, nginx's.
        let nginx = self.wording == Wording::Nginx && (self.parent == 0 || sender != self.parent);
        if nginx {
            self.wording.tell(&self.engine.log, Event::Signal { signal, sender, master: false, ignored: false });
        }
        match signal {
            Signal::SIGTERM if !nginx => self.engine.drain(),
            Signal::SIGQUIT if nginx => self.engine.drain(),
            Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT => return true,
            Signal::SIGHUP => {
                let line = format_args!("without a master there is no reload: start the program anew");
                self.engine.log.log(Level::Warning, line);
            }
            Signal::SIGUSR1 => {
                self.wording.tell(&self.engine.log, Event::Reopening);
                self.engine.reopen_logs();
            }
            _ => {}
        }
        false
    }

    /// The end without waiting for anything. If the application's thread is in a call, it cannot be waited for.
    async fn end(&self) -> Why {
        self.engine.stop();
        self.engine.access.flush();
        if self.engine.is_fronted() {
            let calling = || self.engine.slot().thread_calls().iter().any(|call| call.load(Relaxed) != 0);
            // A call whose answer is out may just be about to return.
            for _ in 0..LAST_LOOKS {
                if !calling() {
                    return Why::Ended;
                }
                tokio::time::sleep(LAST_LOOK).await;
            }
            self.wording.tell(&self.engine.log, Event::Ending);
            if self.wording == Wording::Nginx {
                self.wording.tell(&self.engine.log, Event::WorkerExit { pid: std::process::id() });
            }
            process::exit_now(0);
        }
        Why::Ended
    }
}
