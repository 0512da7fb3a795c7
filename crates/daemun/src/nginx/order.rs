//! `-s`: a signal to the master whose number the pid file holds.

use std::path::Path;

use super::flags::Order;
use crate::sys::process;
use crate::sys::signals::Signal;
use crate::sys::with_code;

/// Sends it. The error has nginx's level and words.
pub fn send(order: Order, pidfile: Option<&Path>) -> Result<(), (&'static str, String)> {
    let Some(path) = pidfile else {
        return Err(("error", "the configuration has no \"pid\": there is nobody to find".into()));
    };
    let path = path.display();
    let text = std::fs::read_to_string(path.to_string())
        .map_err(|error| ("error", format!("open() \"{path}\" failed ({})", with_code(&error))))?;
    let text = text.trim_end_matches(['\n', '\r', ' ']);
    let pid = text.parse::<i32>().ok().filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| ("error", format!("invalid PID number \"{text}\" in \"{path}\"")))?;
    let signal = match order {
        Order::Stop => Signal::SIGTERM,
        Order::Quit => Signal::SIGQUIT,
        Order::Reload => Signal::SIGHUP,
        Order::Reopen => Signal::SIGUSR1,
    };
    let number = signal as i32;
    process::kill(pid, number)
        .map_err(|error| ("alert", format!("kill({pid}, {number}) failed ({})", with_code(&error))))
}
