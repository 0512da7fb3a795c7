//! Signals as a queue that a poll loop reads: the handler does nothing but write the signal's number to a pipe.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use nix::fcntl::OFlag;
pub use nix::sys::signal::Signal;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, sigaction};

/// Where the handler writes; -1 while no queue is installed.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// SIGTERM has come: set by the handler itself, for code that runs before the queue is read again.
static TERMINATING: AtomicBool = AtomicBool::new(false);

/// Whether SIGTERM has come.
pub fn terminating() -> &'static AtomicBool {
    &TERMINATING
}

/// The signals that have come, in their order. There is one queue in a process.
pub struct SignalQueue {
    read: OwnedFd,
    /// Owned so that the number in [`PIPE`] stays valid.
    _write: OwnedFd,
    installed: Vec<Signal>,
}

impl SignalQueue {
    /// Lets these signals come to the queue.
    pub fn install(signals: &[Signal]) -> io::Result<SignalQueue> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        PIPE.store(write.as_raw_fd(), Relaxed);
        for &signal in signals {
            set(signal, SigHandler::Handler(enqueue))?;
        }
        Ok(SignalQueue { read, _write: write, installed: signals.to_vec() })
    }

    /// Readable when a signal has come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Takes the signals that have come.
    pub fn drain(&self) -> Vec<Signal> {
        let mut signals = Vec::new();
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = nix::unistd::read(&self.read, &mut bytes) {
            signals.extend(bytes[..count].iter().filter_map(|&number| Signal::try_from(i32::from(number)).ok()));
        }
        signals
    }

    /// Gives up the queue in a forked child. Those signals that ask a server to end, end the child; the others do
    /// nothing, until the child installs handlers of its own. They are not ignored, because that would be inherited
    /// by the programs that an application starts.
    pub fn leave_in_child(self) {
        PIPE.store(-1, Relaxed);
        TERMINATING.store(false, Relaxed);
        for &signal in &self.installed {
            let handler = match signal {
                Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGCHLD => SigHandler::SigDfl,
                _ => SigHandler::Handler(do_nothing),
            };
            let _ = set(signal, handler);
        }
    }
}

/// Lets a signal have its default effect.
pub fn set_default(signal: Signal) {
    let _ = set(signal, SigHandler::SigDfl);
}

/// Ignores a signal.
pub fn ignore(signal: Signal) {
    let _ = set(signal, SigHandler::SigIgn);
}

/// While this lives, signals wait. Kept over a fork, so that none reaches the child before it is ready for it.
pub struct Blocked(SigSet);

impl Blocked {
    /// Lets all signals wait.
    pub fn all() -> io::Result<Blocked> {
        Ok(Blocked(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

/// The name of a signal's number, as `SIGKILL`.
pub fn name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_string(),
        Err(_) => format!("signal {number}"),
    }
}

fn set(signal: Signal, handler: SigHandler) -> io::Result<()> {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: both handlers do only what is allowed in a handler: an atomic load, write(2), and restoring errno.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

extern "C" fn enqueue(number: libc::c_int) {
    if number == libc::SIGTERM {
        TERMINATING.store(true, Relaxed);
    }
    let byte = number as u8;
    // SAFETY: errno's address is valid for the thread's life, write(2) is async-signal-safe and reads one byte that
    // lives. A full pipe or one that is gone gives an error: there, nothing can be done.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(PIPE.load(Relaxed), (&raw const byte).cast(), 1);
        *errno = saved;
    }
}

extern "C" fn do_nothing(_: libc::c_int) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_queued_in_order() {
        let queue = SignalQueue::install(&[Signal::SIGUSR1, Signal::SIGWINCH]).unwrap();
        let raise = |signal| nix::sys::signal::raise(signal).unwrap();
        {
            let _blocked = Blocked::all().unwrap();
            raise(Signal::SIGWINCH);
            assert_eq!(queue.drain(), []);
        }
        raise(Signal::SIGUSR1);
        assert_eq!(queue.drain(), [Signal::SIGWINCH, Signal::SIGUSR1]);
        assert_eq!(queue.drain(), []);
        queue.leave_in_child();
        raise(Signal::SIGUSR1);
        set_default(Signal::SIGWINCH);
    }

    #[test]
    fn signals_have_names() {
        assert_eq!((name(9), name(40)), ("SIGKILL".into(), "signal 40".into()));
    }
}
