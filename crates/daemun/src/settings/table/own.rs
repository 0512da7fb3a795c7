//! Rows: Daemun's own settings, the configuration file, and what helps during development.

use super::{Default, Kind, Row};

/// In seconds.
const DAY: i64 = 86_400;

pub(super) const DAEMUN: &[Row] = &[
    Row::new(
        "static_files",
        Kind::List,
        Default::List(&[]),
        "Serve the files below DIR under URL without Python, as in `--static /static/=assets`. The option may stand \
         several times. A request that finds no file there is answered 404; the application does not see it.",
    )
    .flags(&["--static"])
    .meta("URL=DIR"),
    Row::new(
        "front",
        Kind::Choice(&["auto", "inline", "thread"]),
        Default::Text("auto"),
        "Where a worker's I/O runs beside Python. `inline` calls the application right where its request was read, \
         which is fastest while calls are short. `thread` keeps I/O and static files on a thread of their own, which \
         a slow call does not hold up. `auto` begins inline and changes to `thread` once a call was slow.",
    )
    .flags(&["--front"])
    .meta("MODE"),
    Row::new(
        "request_buffering",
        Kind::OnOff,
        Default::Text("on"),
        "Read a request's whole body before the application is called. Then a slow client never holds a Python \
         thread. With `off` the application is called at once and `wsgi.input` waits for the client.",
    )
    .flags(&["--request-buffering"])
    .meta("on|off"),
    Row::new(
        "client_header_timeout",
        Kind::Int(1, DAY),
        Default::Int(60),
        "How many seconds a client may take to send the head of a request. Later it is answered 408.",
    )
    .flags(&["--client-header-timeout"])
    .meta("SECONDS"),
    Row::new(
        "client_body_timeout",
        Kind::Int(1, DAY),
        Default::Int(60),
        "How many seconds a client may pause while it sends a body. Later it is answered 408.",
    )
    .flags(&["--client-body-timeout"])
    .meta("SECONDS"),
    Row::new(
        "worker_memory",
        Kind::Text,
        Default::Text("0"),
        "How much memory a worker may hold for bodies, WebSocket messages and answers in progress. In bytes, or with k, m \
         or g behind the number; beyond it requests are answered 503 until there is less. 0 is no limit. What the \
         application itself holds is not counted.",
    )
    .flags(&["--worker-memory"])
    .meta("SIZE"),
    Row::new(
        "client_max_body_size",
        Kind::Text,
        Default::Text("0"),
        "The largest body of a request, in bytes or with k, m or g behind the number; more is answered 413. 0 is no \
         limit.",
    )
    .flags(&["--client-max-body-size"])
    .meta("SIZE"),
    Row::new(
        "send_timeout",
        Kind::Int(1, DAY),
        Default::Int(60),
        "How many seconds a client may take nothing of its answer before its connection is closed.",
    )
    .flags(&["--send-timeout"])
    .meta("SECONDS"),
    Row::new(
        "interface",
        Kind::Choice(&["auto", "wsgi", "asgi", "asgi3", "asgi2"]),
        Default::Text("auto"),
        "The interface that the application speaks. `auto` finds out; `asgi` leaves only its version to be found out.",
    )
    .flags(&["--interface"])
    .uvicorn("interface", &[])
    .meta("INTERFACE"),
];

pub(super) const CONFIG_FILE: &[Row] = &[
    Row::new(
        "config",
        Kind::Text,
        Default::Text("./gunicorn.conf.py"),
        "Read settings from this file of Python. `PATH`, `file:PATH` or `python:MODULE`; the default is read only if \
         it exists. Names that are no settings are ignored.",
    )
    .flags(&["--config"])
    .short('c')
    .meta("CONFIG"),
    Row::new(
        "wsgi_app",
        Kind::Text,
        Default::None,
        "The application, as `MODULE:CALLABLE`. The command line's argument wins over it.",
    ),
];

pub(super) const DEBUGGING: &[Row] = &[
    Row::new(
        "reload",
        Kind::Switch,
        Default::Bool(false),
        "Restart the workers when the application's code changes. For development only. An import that fails is \
         shown in the browser, and tried again after the next change.",
    )
    .flags(&["--reload"])
    .uvicorn("reload", &[]),
    Row::new(
        "reload_engine",
        Kind::Choice(&["auto", "poll", "inotify"]),
        Default::Text("auto"),
        "How changed code is noticed. Accepted for Gunicorn's sake; Daemun always uses its own way.",
    )
    .flags(&["--reload-engine"])
    .meta("STRING")
    .warn("changes are always noticed in Daemun's own way"),
    Row::new(
        "reload_extra_files",
        Kind::List,
        Default::List(&[]),
        "Restart when one of these files changes, too. Names may hold the wildcards `*`, `?` and `[...]`; the option \
         may stand several times.",
    )
    .flags(&["--reload-extra-file"])
    .meta("FILES"),
    Row::new("spew", Kind::Switch, Default::Bool(false), "Trace every line of Python that runs.")
        .flags(&["--spew"])
        .warn("line tracing does not exist here"),
    Row::new(
        "check_config",
        Kind::Switch,
        Default::Bool(false),
        "Check the settings, load the application, and end. The exit code is 0 when both are good, else 1.",
    )
    .flags(&["--check-config"]),
    Row::new(
        "print_config",
        Kind::Switch,
        Default::Bool(false),
        "Print every setting's value, load the application, and end.",
    )
    .flags(&["--print-config"]),
];
