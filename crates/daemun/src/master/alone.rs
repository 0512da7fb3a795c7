//! `master_process off`: one process does it all. There is nobody to replace it, and no reload.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::slots::State;

use super::{Listener, Master, WorkerContext, spawn};
use crate::error_log::Level;
use crate::sys::process;
use crate::wording::Event;

/// The exit code when the process could not become what was asked for.
const FAILED: i32 = 2;

impl Master<'_> {
    /// Serves to the end; gives the exit code.
    pub(super) fn serve_alone(mut self) -> i32 {
        let kept: Vec<Listener> = self.listeners.iter().filter_map(|listener| listener.again().ok()).collect();
        if let Some(signals) = self.signals.take() {
            signals.leave_in_child();
        }
        let (_words, ready) = match nix::unistd::pipe() {
            Ok(pipe) => pipe,
            Err(error) => {
                self.say(Level::Emerg, &format!("pipe() failed ({})", error.desc()));
                return self.end(FAILED);
            }
        };
        self.slots[0].set_state(State::Booting);
        if let Some(background) = self.background.take() {
            background.tell(0);
        }
        let context = WorkerContext {
            settings: self.settings.clone(),
            listeners: std::mem::take(&mut self.listeners),
            slots: self.slots,
            slot: 0,
            ready,
            log: Arc::clone(&self.log),
            seat: 0,
            age: 1,
            master_pid: 0,
            first: true,
        };
        let work = self.work;
        // As in nginx, the user stays who it is.
        let code = match spawn::prepare(&context, &crate::sys::privileges::Identity::same()) {
            Ok(()) => catch_unwind(AssertUnwindSafe(|| work(context))).unwrap_or(FAILED),
            Err(why) => {
                self.say(Level::Emerg, &why);
                FAILED
            }
        };
        kept.iter().for_each(Listener::unlink);
        if let Some(pidfile) = self.pidfile.take() {
            pidfile.remove();
        }
        self.tell(Event::WorkerExit { pid: std::process::id() });
        process::exit_now(code)
    }
}
