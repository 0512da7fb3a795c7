//! What the contexts `main` and `events` say: settings of the process, plain data. Paths are as typed; the process
//! resolves them against its prefix.

use std::path::{Path, PathBuf};

/// Settings of the process; the defaults are nginx's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// `defaults modern;`
    pub modern: bool,
    /// Go to the background.
    pub daemon: bool,
    /// `false`: one process, without workers.
    pub master_process: bool,
    pub pid: Option<String>,
    /// The workers' user, and the group if it is named.
    pub user: Option<(String, Option<String>)>,
    pub worker_processes: WorkerProcesses,
    /// Most connections of a worker.
    pub worker_connections: u32,
    /// Most memory for bodies and answers in progress of a worker, in bytes; 0 = no limit.
    pub worker_memory: u64,
    pub worker_rlimit_nofile: Option<u64>,
    /// In bytes.
    pub worker_rlimit_core: Option<u64>,
    /// How long workers may take to end, in milliseconds; `None` is as long as they want.
    pub worker_shutdown_timeout: Option<u64>,
    /// As nice(1) counts: negative is more urgent.
    pub worker_priority: i32,
    pub worker_cpu_affinity: Affinity,
    pub working_directory: Option<String>,
    /// Variables that workers keep, or with a value, get.
    pub env: Vec<(String, Option<String>)>,
    /// In their order; none: the default one.
    pub error_logs: Vec<ErrorTarget>,
    /// Without effect: accepting needs no lock here.
    pub lock_file: Option<String>,
}

impl Default for Main {
    fn default() -> Main {
        Main {
            modern: false,
            daemon: true,
            master_process: true,
            pid: None,
            user: None,
            worker_processes: WorkerProcesses::Count(1),
            worker_connections: 512,
            worker_memory: 0,
            worker_rlimit_nofile: None,
            worker_rlimit_core: None,
            worker_shutdown_timeout: None,
            worker_priority: 0,
            worker_cpu_affinity: Affinity::None,
            working_directory: None,
            env: Vec::new(),
            error_logs: Vec::new(),
            lock_file: None,
        }
    }
}

/// How many workers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerProcesses {
    Count(usize),
    /// As many as the process has processors.
    Auto,
}

/// Which processors the workers run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Wherever the kernel wants.
    #[default]
    None,
    /// Each on one of its own; with a mask, on one of those.
    Auto(Option<CpuMask>),
    /// The first worker on the first mask, and so on; the last mask goes for all that are left.
    Masks(Vec<CpuMask>),
}

/// A set of processors: bit n of word m is processor 64 m + n.
pub type CpuMask = Vec<u64>;

/// Where an error log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorTarget {
    /// `FILE`, `stderr`, `syslog:...`, as typed, the level not among them.
    pub words: Vec<String>,
    /// As typed: `debug` to `emerg`.
    pub level: Option<String>,
}

impl ErrorTarget {
    /// The file, if it is one; relative paths are below `prefix`.
    pub fn file(&self, prefix: &Path) -> Option<PathBuf> {
        let name = self.words.first()?;
        (name != "stderr" && !name.starts_with("syslog:")).then(|| prefix.join(name))
    }
}
