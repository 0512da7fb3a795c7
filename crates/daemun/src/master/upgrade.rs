//! USR2, as nginx: the program is started anew beside the running one, with the listening sockets, so that both serve.
//! The old master's pid file gets `.oldbin` at the end of its name. Then the user ends one of the two.

use std::path::PathBuf;
use std::process::Command;

use super::{Listener, Master, Pidfile};
use crate::error_log::Level;
use crate::sys::process::Death;
use crate::sys::with_code;
use crate::wording::Event;

/// What is added to the name of the old master's pid file.
const OLD: &str = ".oldbin";

impl Master<'_> {
    /// Whether there are two masters, of which this is one.
    pub(super) fn is_upgrading(&self) -> bool {
        self.new_binary.is_some() || self.has_old_master()
    }

    /// Whether the master that has started this one still runs.
    fn has_old_master(&self) -> bool {
        self.old_master.is_some_and(|old| nix::unistd::getppid().as_raw() == old)
    }

    /// Starts the new program.
    pub(super) fn change_binary(&mut self) {
        self.tell(Event::ChangingBinary);
        if let Some(pidfile) = &mut self.pidfile {
            let old = PathBuf::from(format!("{}{OLD}", pidfile.path().display()));
            if let Err(error) = pidfile.rename(old) {
                let what = format!("rename() of \"{}\" failed ({})", pidfile.path().display(), with_code(&error));
                return self.say(Level::Alert, &what);
            }
        }
        match self.start_binary() {
            Ok(pid) => {
                self.new_binary = Some(pid);
                self.tell(Event::NewBinary { pid });
            }
            Err(error) => {
                self.say(Level::Alert, &format!("cannot start the new program ({})", with_code(&error)));
                self.take_pidfile_back();
            }
        }
    }

    fn start_binary(&self) -> std::io::Result<i32> {
        use std::os::fd::AsRawFd as _;
        let (program, arguments) = self.command.split_first().ok_or(std::io::ErrorKind::NotFound)?;
        let numbers: String =
            self.listeners.iter().map(|listener| format!("{};", listener.socket.as_raw_fd())).collect();
        let inherit = |on: bool| self.listeners.iter().try_for_each(|listener| listener.socket.set_cloexec(!on));
        inherit(true)?;
        let started =
            Command::new(program).args(arguments).env("NGINX", numbers).current_dir(&self.settings.start_dir).spawn();
        inherit(false)?;
        // It is waited for as all other children are.
        Ok(started?.id() as i32)
    }

    /// The new program has ended; this one goes on as before, with workers if it had sent them home.
    pub(super) fn binary_ended(&mut self, pid: i32, death: Death) {
        self.tell(Event::NewBinaryDied { pid, death });
        self.new_binary = None;
        self.take_pidfile_back();
        self.pool.come_back();
    }

    fn take_pidfile_back(&mut self) {
        let Some(pidfile) = &mut self.pidfile else { return };
        let path = pidfile.path().display().to_string();
        if let Some(path) = path.strip_suffix(OLD)
            && let Err(error) = pidfile.rename(path.into())
        {
            self.say(Level::Alert, &format!("rename() to \"{path}\" failed ({})", with_code(&error)));
        }
    }

    /// Takes the files of unix sockets away, unless the other master listens there.
    pub(super) fn unlink(&self, listeners: &[Listener]) {
        if !self.is_upgrading() {
            listeners.iter().for_each(Listener::unlink);
        }
    }

    /// Where the pid file would be if there were no upgrade.
    pub(super) fn pidfile_path(&self) -> Option<PathBuf> {
        let path = self.pidfile.as_ref().map(Pidfile::path)?;
        Some(match self.new_binary {
            Some(_) => path.display().to_string().trim_end_matches(OLD).into(),
            None => path.into(),
        })
    }
}
