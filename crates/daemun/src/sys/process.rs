//! Processes: forking, signalling, going to the background, names.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;

use nix::sys::prctl;
use nix::unistd::ForkResult;

use crate::host::Host;
use crate::sys::signals::Signal;

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The one that forked; the number is the child's.
    Parent(i32),
    /// The new one.
    Child,
}

/// Gives memory that is free back to the kernel: behind something large that is gone, like a configuration's text.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Forks, with the host's interpreter made ready on both sides.
pub fn fork(host: &dyn Host) -> io::Result<Fork> {
    host.before_fork();
    // SAFETY: the master starts no thread of its own, so no lock of this program is held by a thread that the child
    // lacks. The interpreter and its locks are taken care of by the host's three hooks.
    let result = unsafe { nix::unistd::fork() };
    match result {
        Ok(ForkResult::Child) => {
            host.after_fork_child();
            Ok(Fork::Child)
        }
        Ok(ForkResult::Parent { child }) => {
            host.after_fork_parent();
            Ok(Fork::Parent(child.as_raw()))
        }
        Err(error) => {
            host.after_fork_parent();
            Err(error.into())
        }
    }
}

/// Ends the process at once: nothing that was registered for its end is run.
pub fn exit_now(code: i32) -> ! {
    let _ = io::stdout().flush();
    // SAFETY: never returns, and no destructor is relied upon for soundness.
    unsafe { libc::_exit(code) }
}

/// Sends a signal, a real-time one too.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    assert!(pid > 0, "invariant: only single processes are signalled");
    // SAFETY: takes no memory.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a process of that number exists.
pub fn exists(pid: i32) -> bool {
    pid > 0 && !matches!(kill(pid, 0), Err(error) if error.raw_os_error() == Some(libc::ESRCH))
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// By itself, with this code.
    Code(i32),
    /// By a signal of this number.
    Signal(i32),
}

/// Takes one child that has ended, whoever started it.
pub fn reap() -> Option<(i32, Death)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call. (nix's wrapper loses a child that died of a real-time signal.)
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        return match pid {
            1.. if libc::WIFEXITED(status) => Some((pid, Death::Code(libc::WEXITSTATUS(status)))),
            1.. => Some((pid, Death::Signal(libc::WTERMSIG(status)))),
            0 => None,
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => continue,
            _ => None,
        };
    }
}

/// Gives this process a name; the kernel keeps 15 bytes.
pub fn set_name(name: &str) {
    let mut end = name.len().min(15);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if let Ok(name) = CString::new(&name[..end]) {
        let _ = prctl::set_name(&name);
    }
}

/// Lets this process be told to end when its parent dies, however that dies. Gives whether the parent is still alive.
pub fn end_with_parent(parent: i32) -> bool {
    let _ = prctl::set_pdeathsig(Signal::SIGTERM);
    nix::unistd::getppid().as_raw() == parent
}

/// The way back from the background to the process that was started.
pub struct Background(File);

impl Background {
    /// Goes on in a new process, in a session of its own, which is not the session's leader. The process that was
    /// started waits until the new one tells how its start went, and ends with that, after `failed` if it went wrong.
    pub fn enter(host: &dyn Host, failed: &dyn Fn(u8)) -> io::Result<Background> {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        if let Fork::Parent(_) = fork(host)? {
            drop(write);
            let mut code = [1];
            let _ = File::from(read).read(&mut code);
            if code[0] != 0 {
                failed(code[0]);
            }
            exit_now(code[0].into());
        }
        drop(read);
        nix::unistd::setsid()?;
        if let Fork::Parent(_) = fork(host)? {
            exit_now(0);
        }
        Ok(Background(write.into()))
    }

    /// Tells the waiting process how the start went.
    pub fn tell(mut self, code: i32) {
        let _ = self.0.write_all(&[code as u8]);
    }
}

/// The words that this process was started with, the interpreter of a script among them.
pub fn command_line() -> io::Result<Vec<OsString>> {
    let bytes = std::fs::read("/proc/self/cmdline")?;
    let words = bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let mut words: Vec<OsString> = words.collect();
    // The last word ends with a zero, too.
    words.pop();
    if words.is_empty() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(words) }
}

/// Lets what is written to standard error go where `file` goes.
pub fn redirect_errors(file: &File) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(file)?)
}

/// Lets standard input be empty, and output and errors go nowhere unless they are to be kept.
pub fn leave_terminal(keep_output: bool, keep_errors: bool) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    if !keep_output {
        nix::unistd::dup2_stdout(&null)?;
    }
    if !keep_errors {
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}
