//! Rows: workers, process names, the control socket.

use super::{Default, Kind, Row};

const CONTROL_SOCKET: &str = "there is no control socket yet";

/// A hundred years in seconds: what a time may be at most.
const AGES: i64 = 3_153_600_000;

pub(super) const WORKER_PROCESSES: &[Row] = &[
    Row::new(
        "workers",
        Kind::Int(1, 4096),
        Default::Int(1),
        "How many worker processes serve. The environment's `WEB_CONCURRENCY` is the default, else 1.",
    )
    .flags(&["--workers"])
    .uvicorn("workers", &[])
    .short('w')
    .meta("INT"),
    Row::new(
        "worker_class",
        Kind::Text,
        Default::Text("sync"),
        "What kind of worker to run: `sync`, `gthread` or `asgi`. The first two are the same here; `--threads` decides \
         how many requests of a worker run in Python at a time. `asgi`, Uvicorn's worker classes and Gunicorn's \
         `gunicorn.workers.gasgi.ASGIWorker` say that the application speaks ASGI, as `interface` does.",
    )
    .flags(&["--worker-class"])
    .short('k')
    .meta("STRING"),
    Row::new(
        "threads",
        Kind::Int(1, http::slots::MAX_THREADS as i64),
        Default::Int(1),
        "How many Python threads a worker calls the application in.",
    )
    .flags(&["--threads"])
    .meta("INT"),
    Row::new(
        "worker_connections",
        Kind::Int(1, i64::MAX),
        Default::Int(1000),
        "Most connections at a time in one worker. A worker that has them all accepts no more until one ends.",
    )
    .flags(&["--worker-connections"])
    .meta("INT"),
    Row::new(
        "max_requests",
        Kind::Int(0, i64::MAX),
        Default::Int(0),
        "Replace a worker after so many requests. 0 is never. Under Uvicorn, a server with one worker ends then; here \
         that one is replaced, too.",
    )
    .flags(&["--max-requests"])
    .uvicorn("limit_max_requests", &["--limit-max-requests"])
    .meta("INT"),
    Row::new(
        "max_requests_jitter",
        Kind::Int(0, i64::MAX),
        Default::Int(0),
        "Add a random number up to this to `max_requests`, for each worker its own. So they are not all replaced at \
         once.",
    )
    .flags(&["--max-requests-jitter"])
    .uvicorn("limit_max_requests_jitter", &["--limit-max-requests-jitter"])
    .meta("INT"),
    Row::new(
        "timeout",
        Kind::Int(0, AGES),
        Default::Int(30),
        "Replace a worker whose Python threads have all been in one call for so many seconds. The traceback of every \
         thread is logged first, and other requests of the worker may end in peace. 0 is never.",
    )
    .flags(&["--timeout"])
    .short('t')
    .meta("INT"),
    Row::new(
        "graceful_timeout",
        Kind::Int(0, AGES),
        Default::Int(30),
        "How many seconds a worker has to finish its requests once it is told to end. Uvicorn waits for ever if nobody \
         says anything; as `uvicorn` the program keeps Gunicorn's 30.",
    )
    .flags(&["--graceful-timeout"])
    .uvicorn("timeout_graceful_shutdown", &["--timeout-graceful-shutdown"])
    .meta("INT"),
    Row::new(
        "keepalive",
        Kind::Int(0, AGES),
        Default::Int(2),
        "How many seconds an idle connection is kept for its next request. As `uvicorn` the program keeps it 5 if \
         nobody says anything.",
    )
    .flags(&["--keep-alive"])
    .uvicorn("timeout_keep_alive", &["--timeout-keep-alive"])
    .meta("INT"),
    Row::new(
        "asgi_loop",
        Kind::Choice(&["auto", "asyncio", "uvloop"]),
        Default::Text("auto"),
        "The event loop of ASGI applications. `auto` is asyncio's own, which is the faster one here; uvloop must be \
         installed.",
    )
    .flags(&["--asgi-loop"])
    .uvicorn("loop", &["--loop"])
    .meta("LOOP"),
    Row::new(
        "asgi_lifespan",
        Kind::Choice(&["auto", "on", "off"]),
        Default::Text("auto"),
        "Whether ASGI applications get lifespan events. `auto` goes on without them when the application does not take \
         them; with `on` it is then an error.",
    )
    .flags(&["--asgi-lifespan"])
    .uvicorn("lifespan", &["--lifespan"])
    .meta("MODE"),
    Row::new(
        "asgi_disconnect_grace_period",
        Kind::Int(0, AGES),
        Default::Int(3),
        "How many seconds an ASGI application may go on after its client has left.",
    )
    .flags(&["--asgi-disconnect-grace-period"])
    .meta("INT")
    .warn("an application is never cancelled because its client left: it is told so by `http.disconnect`"),
    Row::new(
        "websocket_max_message_size",
        Kind::Int(0, i64::MAX),
        Default::Int(16_777_216),
        "Longest WebSocket message in bytes. A client that sends a longer one is closed with code 1009. 0 is no limit.",
    )
    .flags(&["--websocket-max-message-size"])
    .uvicorn("ws_max_size", &["--ws-max-size"])
    .meta("INT"),
    Row::new(
        "http_parser",
        Kind::Text,
        Default::Text("auto"),
        "Which of Gunicorn's parsers to use. Accepted; Daemun has one.",
    )
    .flags(&["--http-parser"])
    .meta("STRING")
    .silent(),
];

pub(super) const PROCESS_NAMING: &[Row] = &[
    Row::new(
        "proc_name",
        Kind::Text,
        Default::None,
        "The name that process lists show. The kernel keeps the first 15 bytes of it.",
    )
    .flags(&["--name"])
    .short('n')
    .meta("STRING"),
    Row::new("default_proc_name", Kind::Text, Default::Text("gunicorn"), "Internal to Gunicorn. Accepted.").silent(),
];

pub(super) const CONTROL: &[Row] = &[
    Row::new("control_socket", Kind::Text, Default::None, "The socket that `gunicornc` talks to.")
        .flags(&["--control-socket"])
        .meta("PATH")
        .warn(CONTROL_SOCKET),
    Row::new("control_socket_mode", Kind::Mode, Default::Int(0o600), "The permissions of the control socket.")
        .flags(&["--control-socket-mode"])
        .meta("INT")
        .warn(CONTROL_SOCKET),
    Row::new("control_socket_disable", Kind::Switch, Default::Bool(false), "Have no control socket.")
        .flags(&["--no-control-socket"])
        .silent(),
];
