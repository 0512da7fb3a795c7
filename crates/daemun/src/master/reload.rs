//! HUP: new settings are read, addresses opened, workers booted; only when those are ready does anything change for
//! the ones that run.

use std::sync::Arc;

use http::sys::time::monotonic_ms;

use super::pool::Limits;
use super::start::{create_pidfile, open_log, prepare_logs, warn};
use super::{Listener, Master, Pidfile, listeners, own};
use crate::error_log::ErrorLog;
use crate::error_log::Level;
use crate::settings::{Exit, Settings};
use crate::sys::privileges::Identity;
use crate::wording::{Event, Wording};

/// What a reload will put in place.
pub(super) struct Pending {
    pub generation: u64,
    pub settings: Settings,
    pub listeners: Vec<Listener>,
    pub log: Arc<ErrorLog>,
}

impl Master<'_> {
    /// Begins a reload.
    pub(super) fn reload(&mut self) {
        self.tell(Event::Reloading);
        self.reopen_logs();
        match self.prepare_reload() {
            Ok((settings, listeners, log)) => {
                warn(&log, &settings);
                self.tell(Event::Renewing);
                if self.settings.preload {
                    log.warning(format_args!("the application was preloaded: a reload keeps its code"));
                }
                let generation = self.pool.begin_reload(monotonic_ms(), Limits::of(&settings));
                self.pending = Some(Pending { generation, settings, listeners, log });
            }
            Err(why) => {
                match self.wording {
                    Wording::Gunicorn => self.log.log_lines(crate::error_log::Level::Error, &why),
                    Wording::Nginx => why.lines().for_each(|line| self.say(Level::Emerg, line.trim())),
                }
                self.say(Level::Error, "reload failed; the running workers stay");
            }
        }
    }

    /// Everything of a reload that can fail without a worker. Nothing that is in use changes.
    fn prepare_reload(&self) -> Result<(Settings, Vec<Listener>, Arc<ErrorLog>), String> {
        let settings =
            self.reread_settings().map_err(|exit| exit.message.trim_start_matches("daemun: ").to_string())?;
        let identity = Identity::of(&settings);
        if let Some(obstacle) = identity.obstacle(&settings) {
            return Err(obstacle);
        }
        if settings.workers * 2 > self.slots.len() {
            let place = settings.place("workers");
            let most = self.slots.len() / 2;
            return Err(format!("{place}: for more than {most} workers the server must be started anew"));
        }
        let new = settings.pidfile.as_deref().filter(|path| Some(*path) != self.pidfile_path().as_deref());
        if let Some(path) = new.filter(|_| self.wording == Wording::Gunicorn) {
            Pidfile::check(path)?;
        }
        let targets = |settings: &Settings| settings.nginx.as_ref().map(|setup| setup.error_logs());
        let same = settings.errorlog == self.settings.errorlog && targets(&settings) == targets(&self.settings);
        let log = if same {
            Arc::clone(&self.log)
        } else {
            let log = open_log(&settings)?;
            own(&log, &identity, settings.wording);
            Arc::new(log)
        };
        prepare_logs(&settings, &identity)?;
        let binds = self.inherited.as_ref().unwrap_or(&settings.bind);
        let listeners = listeners::reopen(binds, &self.listeners, &settings).map_err(|refused| match refused.hint {
            Some(hint) => format!("{}\nhint: {hint}", refused.what),
            None => refused.what,
        })?;
        if let Some(setup) = &settings.nginx {
            // The memory of zones that stay the same goes on.
            let previous = self.settings.nginx.as_ref().map(|setup| &setup.config.zones);
            setup.config.zones.map(previous)?;
        }
        Ok((settings, listeners, log))
    }

    /// Reads the settings where the program was started, which a preloaded application may have left.
    fn reread_settings(&self) -> Result<Settings, Exit> {
        let here = std::env::current_dir();
        let _ = std::env::set_current_dir(&self.settings.start_dir);
        let settings = (self.reread)();
        if let Ok(here) = here {
            let _ = std::env::set_current_dir(here);
        }
        settings
    }

    /// The new workers are ready: their settings are the settings from now on.
    pub(super) fn commit(&mut self) {
        let Some(new) = self.pending.take() else { return };
        let kept = |old: &Listener| new.listeners.iter().any(|listener| listener.bind == old.bind);
        self.listeners.iter().filter(|old| !kept(old)).for_each(Listener::unlink);
        let moved = new.listeners.len() != self.listeners.len() || !self.listeners.iter().all(kept);
        self.listeners = new.listeners;
        self.log = new.log;
        if self.wording == Wording::Gunicorn {
            self.log.set_level(new.settings.loglevel);
        }
        self.identity = Identity::of(&new.settings);
        self.settings = new.settings;
        if self.settings.pidfile != self.pidfile_path() {
            if let Some(old) = self.pidfile.take() {
                old.remove();
            }
            match create_pidfile(&self.settings) {
                Ok(pidfile) => self.pidfile = pidfile,
                Err(why) => self.say(Level::Error, &why),
            }
        }
        if moved {
            self.log_listeners();
        }
        self.tell(Event::Reloaded);
    }
}
