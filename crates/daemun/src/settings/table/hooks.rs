//! Rows: functions of the configuration file that Gunicorn calls, and its "dirty arbiters".

use super::{Default, Kind, Row};

const DIRTY: &str = "there are no side workers yet";

const fn hook(name: &'static str, doc: &'static str) -> Row {
    Row::new(name, Kind::Hook, Default::None, doc).later()
}

pub(super) const SERVER_HOOKS: &[Row] = &[
    hook("on_starting", "Called in the master before it opens its sockets, with the server."),
    hook("on_reload", "Called in the master at a reload, with the server."),
    hook("when_ready", "Called in the master once its sockets are open, with the server."),
    hook("pre_fork", "Called in the master before each fork, with the server and the worker."),
    hook("post_fork", "Called in a worker after its fork, with the server and the worker."),
    hook("post_worker_init", "Called in a worker once its application is loaded, with the worker."),
    hook("worker_int", "Called in a worker that is told to end quickly, with the worker."),
    hook("worker_abort", "Called in a worker that has run into its timeout, with the worker."),
    hook("pre_exec", "Called in the master before it starts its successor, with the server."),
    hook("pre_request", "Called in a worker before each request, with the worker and the request."),
    hook("post_request", "Called in a worker after each request, with up to four arguments."),
    hook("child_exit", "Called in the master after a worker has ended, with the server and the worker."),
    hook("worker_exit", "Called in a worker that ends, with the server and the worker."),
    hook("nworkers_changed", "Called in the master when the number of workers changes."),
    hook("on_exit", "Called in the master before it ends, with the server."),
    Row::new("ssl_context", Kind::Hook, Default::None, "Makes the TLS context of Python's `ssl` module.").cannot(
        "TLS does not go through Python's `ssl` module here, and without what the hook does, connections might be less \
         secure than they are meant to be",
        "take it out; `certfile`, `keyfile`, `ca_certs`, `cert_reqs` and `ciphers` are settings, and a file of nginx's \
         language has the rest: `daemun -T` prints what the settings make there, `ssl_protocols TLSv1.3;` is a line of it",
    ),
];

pub(super) const DIRTY_ARBITERS: &[Row] = &[
    Row::new("dirty_apps", Kind::List, Default::List(&[]), "Applications of side workers.")
        .flags(&["--dirty-app"])
        .meta("STRING")
        .warn(DIRTY),
    Row::new("dirty_workers", Kind::Int(0, 4096), Default::Int(0), "How many side workers there are.")
        .flags(&["--dirty-workers"])
        .meta("INT")
        .warn(DIRTY),
    Row::new("dirty_timeout", Kind::Int(0, i64::MAX), Default::Int(300), "How long a side worker's task may take.")
        .flags(&["--dirty-timeout"])
        .meta("INT")
        .warn(DIRTY),
    Row::new("dirty_threads", Kind::Int(1, 4096), Default::Int(1), "How many threads a side worker has.")
        .flags(&["--dirty-threads"])
        .meta("INT")
        .warn(DIRTY),
    Row::new(
        "dirty_graceful_timeout",
        Kind::Int(0, i64::MAX),
        Default::Int(30),
        "How long a side worker may take to end.",
    )
    .flags(&["--dirty-graceful-timeout"])
    .meta("INT")
    .warn(DIRTY),
];

pub(super) const DIRTY_ARBITER_HOOKS: &[Row] = &[
    Row::new("on_dirty_starting", Kind::Hook, Default::None, "Called before the side workers start.").warn(DIRTY),
    Row::new("dirty_post_fork", Kind::Hook, Default::None, "Called in a side worker after its fork.").warn(DIRTY),
    Row::new("dirty_worker_init", Kind::Hook, Default::None, "Called in a side worker once it is ready.").warn(DIRTY),
    Row::new("dirty_worker_exit", Kind::Hook, Default::None, "Called in a side worker that ends.").warn(DIRTY),
];
