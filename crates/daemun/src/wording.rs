//! What the processes say about themselves, in Gunicorn's or in nginx's words: people and tools look for both.

use crate::error_log::{ErrorLog, Level};
use crate::sys::process::Death;
use crate::sys::signals::{self, Signal};

/// Whose words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wording {
    #[default]
    Gunicorn,
    Nginx,
}

/// What happens in the life of the processes.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The program starts.
    Starting,
    /// It listens at these addresses.
    Listening { urls: &'a str, pid: i32 },
    /// It is ready to start workers, which are of this class.
    Workers { class: &'a str },
    /// The master has started a worker.
    Started { pid: i32 },
    /// A worker begins to work.
    Booting { pid: u32 },
    /// The master, or a worker, got a signal; what it does about it.
    Signal { signal: Signal, sender: i32, master: bool, ignored: bool },
    /// The settings are read anew.
    Reloading,
    /// They are read, and new workers are started.
    Renewing,
    /// The new workers serve.
    Reloaded,
    /// Log files are opened anew.
    Reopening,
    /// A worker accepts no more and ends what it has.
    Draining,
    /// A worker's serving is over.
    Ending,
    /// A worker's process ends.
    WorkerExit { pid: u32 },
    /// The master's process ends.
    MasterExit { well: bool, reason: Option<&'a str> },
    /// USR2.
    ChangingBinary,
    /// The new binary's master.
    NewBinary { pid: i32 },
    /// It is gone.
    NewBinaryDied { pid: i32, death: Death },
}

impl Wording {
    /// The lines for an event; none where these words have none for it.
    pub fn lines(self, event: Event) -> Vec<(Level, String)> {
        match self {
            Wording::Gunicorn => gunicorn(event),
            Wording::Nginx => nginx(event),
        }
    }

    /// What a worker's death is called. `asked`: it was told to end; `killed`: and did not.
    pub fn death(self, pid: i32, death: Death, asked: bool, killed: bool) -> Option<(Level, String)> {
        match (self, death) {
            (Wording::Nginx, Death::Code(code)) => {
                Some((Level::Notice, format!("worker process {pid} exited with code {code}")))
            }
            (Wording::Nginx, Death::Signal(signal)) => {
                Some((Level::Alert, format!("worker process {pid} exited on signal {signal}")))
            }
            (Wording::Gunicorn, Death::Code(0)) => None,
            (Wording::Gunicorn, Death::Code(code)) => {
                Some((Level::Error, format!("Worker (pid:{pid}) exited with code {code}.")))
            }
            (Wording::Gunicorn, Death::Signal(_)) if killed => {
                Some((Level::Info, format!("Worker (pid:{pid}) is gone")))
            }
            (Wording::Gunicorn, Death::Signal(signal)) => {
                let name = signals::name(signal);
                let (level, guess) = match Signal::try_from(signal) {
                    Ok(Signal::SIGKILL) => (Level::Error, " Perhaps out of memory?"),
                    Ok(Signal::SIGTERM) => (Level::Info, ""),
                    _ if asked => (Level::Info, ""),
                    _ => (Level::Warning, ""),
                };
                Some((level, format!("Worker (pid:{pid}) was sent {name}!{guess}")))
            }
        }
    }

    /// Tells the log of an event.
    pub fn tell(self, log: &ErrorLog, event: Event) {
        for (level, line) in self.lines(event) {
            log.log(level, format_args!("{line}"));
        }
    }
}

fn gunicorn(event: Event) -> Vec<(Level, String)> {
    let info = |line: String| vec![(Level::Info, line)];
    match event {
        Event::Starting => info(format!("Starting daemun {}", crate::VERSION)),
        Event::Listening { urls, pid } => info(format!("Listening at: {urls} ({pid})")),
        Event::Workers { class } => info(format!("Using worker: {class}")),
        Event::Booting { pid } => info(format!("Booting worker with pid: {pid}")),
        Event::Signal { signal: Signal::SIGCHLD, .. } | Event::Signal { master: false, .. } => Vec::new(),
        Event::Signal { signal, ignored, .. } => {
            let name = signal.as_str().trim_start_matches("SIG").to_ascii_lowercase();
            let mut lines = info(format!("Handling signal: {name}"));
            if ignored {
                lines.push((Level::Warning, "an upgrade is in progress already: USR2 is ignored".into()));
            }
            lines
        }
        Event::Reloading => info("Hang up: Master".into()),
        Event::Reloaded => info("Reload done: the new workers serve, the old ones end".into()),
        Event::WorkerExit { pid } => info(format!("Worker exiting (pid: {pid})")),
        Event::MasterExit { well, reason } => {
            let level = if well { Level::Info } else { Level::Error };
            let mut lines = vec![(level, "Shutting down: Master".to_owned())];
            lines.extend(reason.map(|reason| (level, format!("Reason: {reason}"))));
            lines
        }
        Event::NewBinary { pid } => info(format!("The new program's master has pid: {pid}")),
        Event::NewBinaryDied { pid, .. } => info(format!("The new program's master (pid:{pid}) has ended")),
        Event::Renewing
        | Event::Started { .. }
        | Event::Reopening
        | Event::Draining
        | Event::Ending
        | Event::ChangingBinary => Vec::new(),
    }
}

fn nginx(event: Event) -> Vec<(Level, String)> {
    let notice = |line: String| vec![(Level::Notice, line)];
    match event {
        Event::Starting => notice("using the \"epoll\" event method".into()),
        Event::Workers { .. } => {
            let mut lines =
                notice(format!("daemun/{} (nginx/{} compatible)", crate::VERSION, crate::nginx::COMPATIBLE));
            if let Ok(limits) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
                lines.extend(notice(format!("getrlimit(RLIMIT_NOFILE): {}:{}", limits.0, limits.1)));
            }
            lines.extend(notice("start worker processes".into()));
            lines
        }
        Event::Started { pid } => notice(format!("start worker process {pid}")),
        Event::Signal { signal, sender, master, ignored } => {
            let action = match signal {
                _ if ignored => ", ignoring",
                Signal::SIGQUIT => ", shutting down",
                Signal::SIGTERM | Signal::SIGINT => ", exiting",
                Signal::SIGHUP if master => ", reconfiguring",
                Signal::SIGUSR1 => ", reopening logs",
                Signal::SIGUSR2 if master => ", changing binary",
                Signal::SIGWINCH => ", stop accepting connections",
                _ => "",
            };
            let number = signal as i32;
            let mut lines = notice(format!("signal {number} ({}) received from {sender}{action}", signal.as_str()));
            if ignored {
                let why = "the changing binary signal is ignored: the old or the new program has to end first";
                lines.push((Level::Critical, why.into()));
            }
            lines
        }
        Event::Reloading => notice("reconfiguring".into()),
        Event::Renewing => {
            let mut lines = nginx(Event::Starting);
            lines.extend(notice("start worker processes".into()));
            lines
        }
        Event::Reopening => notice("reopening logs".into()),
        Event::Draining => notice("gracefully shutting down".into()),
        Event::Ending => notice("exiting".into()),
        Event::WorkerExit { .. } => notice("exit".into()),
        Event::MasterExit { well, reason } => {
            let mut lines: Vec<_> = reason.map(|reason| (Level::Alert, reason.to_owned())).into_iter().collect();
            lines.push((if well { Level::Notice } else { Level::Error }, "exit".into()));
            lines
        }
        Event::ChangingBinary => notice("changing binary".into()),
        Event::NewBinary { pid } => notice(format!("start new binary process {pid}")),
        Event::NewBinaryDied { pid, death: Death::Code(code) } => {
            notice(format!("new binary process {pid} exited with code {code}"))
        }
        Event::NewBinaryDied { pid, death: Death::Signal(signal) } => {
            vec![(Level::Alert, format!("new binary process {pid} exited on signal {signal}"))]
        }
        Event::Listening { .. } | Event::Booting { .. } | Event::Reloaded => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_find_nginxs_words() {
        let line = |event| Wording::Nginx.lines(event).into_iter().map(|(_, line)| line).next().unwrap_or_default();
        let signal = |signal, ignored| Event::Signal { signal, sender: 7, master: true, ignored };
        for (event, words) in [
            (Event::Started { pid: 5 }, "start worker process 5"),
            (signal(Signal::SIGHUP, false), "signal 1 (SIGHUP) received from 7, reconfiguring"),
            (signal(Signal::SIGCHLD, false), "signal 17 (SIGCHLD) received from 7"),
            (signal(Signal::SIGUSR2, true), "signal 12 (SIGUSR2) received from 7, ignoring"),
            (Event::Draining, "gracefully shutting down"),
            (Event::WorkerExit { pid: 3 }, "exit"),
        ] {
            assert_eq!(line(event), words);
        }
        let death = |death| Wording::Nginx.death(9, death, false, false);
        assert_eq!(death(Death::Code(0)), Some((Level::Notice, "worker process 9 exited with code 0".into())));
        assert_eq!(death(Death::Signal(11)), Some((Level::Alert, "worker process 9 exited on signal 11".into())));
    }
}
