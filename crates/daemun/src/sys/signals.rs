//! Signals as a queue that a poll loop reads: the handler does nothing but write to a pipe which signal came, and from
//! whom.

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

/// A signal that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub signal: Signal,
    /// The process that sent it; 0 if it was the kernel.
    pub sender: i32,
}

/// What the handler writes: the signal's number, then the sender's in four bytes.
const RECORD: usize = 5;

/// Room for what is read at a time.
pub type Records = [u8; 64 * RECORD];

/// Reads what [`SignalQueue::fd`] gave.
pub fn received(records: &[u8]) -> Vec<Received> {
    let read = |record: &[u8]| {
        let (number, sender) = record.split_first()?;
        let signal = Signal::try_from(i32::from(*number)).ok()?;
        Some(Received { signal, sender: i32::from_ne_bytes(sender.try_into().ok()?) })
    };
    records.chunks_exact(RECORD).filter_map(read).collect()
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
            set(signal, SigHandler::SigAction(enqueue))?;
        }
        Ok(SignalQueue { read, _write: write, installed: signals.to_vec() })
    }

    /// Readable when a signal has come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Takes the signals that have come.
    pub fn drain(&self) -> Vec<Received> {
        let mut signals = Vec::new();
        let mut records: Records = [0; _];
        while let Ok(count @ 1..) = nix::unistd::read(&self.read, &mut records) {
            signals.extend(received(&records[..count]));
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
    let flags = match handler {
        SigHandler::SigAction(_) => SaFlags::SA_RESTART | SaFlags::SA_SIGINFO,
        _ => SaFlags::SA_RESTART,
    };
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: both handlers do only what is allowed in a handler: an atomic load, write(2), and restoring errno.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

extern "C" fn enqueue(number: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if number == libc::SIGTERM {
        TERMINATING.store(true, Relaxed);
    }
    let mut record = [number as u8; RECORD];
    // SAFETY: the handler is installed with SA_SIGINFO, so the kernel gives a valid structure; for signals that another
    // process sends and for SIGCHLD it holds a process, for others the field is zero. errno's address is valid for the
    // thread's life, write(2) is async-signal-safe and reads bytes that live; a pipe takes so few of them whole or not
    // at all. A full pipe or one that is gone gives an error: there, nothing can be done.
    unsafe {
        record[1..].copy_from_slice(&(*info).si_pid().to_ne_bytes());
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(PIPE.load(Relaxed), record.as_ptr().cast(), RECORD);
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
        let sender = std::process::id() as i32;
        let came = |signal| Received { signal, sender };
        assert_eq!(queue.drain(), [came(Signal::SIGWINCH), came(Signal::SIGUSR1)]);
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
