//! Rows: what Uvicorn has and Gunicorn has not. What both have is one row, with Uvicorn's option beside Gunicorn's.

use super::{Default, Kind, Row};

/// In seconds.
const DAY: i64 = 86_400;

pub(super) const UVICORN: &[Row] = &[
    Row::new(
        "host",
        Kind::Text,
        Default::Text("127.0.0.1"),
        "Listen at this host name or address. Another way to write `--bind HOST:PORT`, which must not stand beside it.",
    )
    .uvicorn("host", &["--host"])
    .meta("HOST")
    .not_in_file(),
    Row::new(
        "port",
        Kind::Int(0, 65_535),
        Default::Int(8000),
        "Listen at this port; 0 lets the system choose one. Goes with `--host`.",
    )
    .uvicorn("port", &["--port"])
    .meta("PORT")
    .not_in_file(),
    Row::new(
        "uds",
        Kind::Text,
        Default::None,
        "Listen at this unix socket. Another way to write `--bind unix:PATH`; its permissions follow from `umask`.",
    )
    .uvicorn("uds", &["--uds"])
    .meta("PATH")
    .not_in_file(),
    Row::new(
        "fd",
        Kind::Int(0, i32::MAX as i64),
        Default::None,
        "Listen at this descriptor, a socket that is open already. Another way to write `--bind fd://N`.",
    )
    .uvicorn("fd", &["--fd"])
    .meta("N")
    .not_in_file(),
    Row::new(
        "app_dir",
        Kind::Text,
        Default::None,
        "Look for the application in this directory first, then in the current one.",
    )
    .uvicorn("app_dir", &["--app-dir"])
    .meta("DIR")
    .not_in_file(),
    Row::new(
        "factory",
        Kind::Switch,
        Default::Bool(false),
        "What is named makes the application: it is called without arguments. `MODULE:NAME()` says the same.",
    )
    .uvicorn("factory", &["--factory"])
    .not_in_file(),
    Row::new(
        "env_file",
        Kind::Text,
        Default::None,
        "Set the variables of this file, `NAME=VALUE` lines, in the application's environment. What the environment \
         has already stays. The file is read as python-dotenv reads it: comments, `export`, quotes and `${NAME}`. Of \
         the server's own variables `WEB_CONCURRENCY`, `FORWARDED_ALLOW_IPS`, `PORT` and `SENDFILE` may stand in it. \
         A relative path begins where the program was started.",
    )
    .uvicorn("env_file", &["--env-file"])
    .meta("FILE")
    .not_in_file(),
    Row::new(
        "access_log",
        Kind::YesNo,
        Default::Bool(false),
        "Log every request to standard output, unless `accesslog` names a file; or do not log requests. As `uvicorn` \
         the program logs them if nobody says anything.",
    )
    .uvicorn("access_log", &["--access-log", "--no-access-log"])
    .not_in_file(),
    Row::new(
        "proxy_headers",
        Kind::YesNo,
        Default::Bool(true),
        "Take the word of the proxies in `forwarded_allow_ips`, or take no proxy's word.",
    )
    .uvicorn("proxy_headers", &["--proxy-headers", "--no-proxy-headers"]),
    Row::new(
        "headers",
        Kind::List,
        Default::List(&[]),
        "Add this field, `NAME:VALUE`, to every answer. The option may stand several times. A Server or Date given here \
         replaces the server's own.",
    )
    .uvicorn("headers", &["--header"])
    .meta("NAME:VALUE")
    .not_in_file(),
    Row::new("server_header", Kind::YesNo, Default::Bool(true), "Whether answers say in a Server field what sent them.")
        .uvicorn("server_header", &["--server-header", "--no-server-header"]),
    Row::new("date_header", Kind::YesNo, Default::Bool(true), "Whether answers have a Date field.")
        .uvicorn("date_header", &["--date-header", "--no-date-header"]),
    Row::new(
        "limit_concurrency",
        Kind::Int(0, u32::MAX as i64),
        Default::Int(0),
        "How many requests of a worker the application may have at a time. More are answered 503. 0 is no limit.",
    )
    .uvicorn("limit_concurrency", &["--limit-concurrency"])
    .meta("INT"),
    Row::new(
        "ws",
        Kind::Choice(&["auto", "websockets", "websockets-sansio", "wsproto", "none"]),
        Default::Text("auto"),
        "Whether WebSockets are served: `none` is no. There is one implementation, Daemun's own; the names of others \
         are accepted with a warning.",
    )
    .uvicorn("ws", &["--ws"])
    .meta("NAME")
    .not_in_file(),
    Row::new(
        "ws_max_queue",
        Kind::Int(1, u32::MAX as i64),
        Default::Int(32),
        "How many messages of a WebSocket may wait for the application. Then the client is read no further.",
    )
    .uvicorn("ws_max_queue", &["--ws-max-queue"])
    .meta("INT"),
    Row::new(
        "ws_ping_interval",
        Kind::Seconds(DAY),
        Default::Float(20.0),
        "How many seconds lie between two pings to a WebSocket's client. 0 is no pings.",
    )
    .uvicorn("ws_ping_interval", &["--ws-ping-interval"])
    .meta("SECONDS"),
    Row::new(
        "ws_ping_timeout",
        Kind::Seconds(DAY),
        Default::Float(20.0),
        "How many seconds a WebSocket's client may take to answer a ping before it is closed. 0 is no limit.",
    )
    .uvicorn("ws_ping_timeout", &["--ws-ping-timeout"])
    .meta("SECONDS"),
    Row::new(
        "ws_per_message_deflate",
        Kind::OnOff,
        Default::Text("on"),
        "Whether WebSocket messages may be compressed.",
    )
    .uvicorn("ws_per_message_deflate", &["--ws-per-message-deflate"])
    .meta("on|off"),
    Row::new(
        "reload_dirs",
        Kind::List,
        Default::List(&[]),
        "With `reload`, watch the files below this directory, beside the modules that are loaded. The option may stand \
         several times. Without it, and with `reload_includes`, the current directory.",
    )
    .uvicorn("reload_dirs", &["--reload-dir"])
    .meta("DIR")
    .not_in_file(),
    Row::new(
        "reload_includes",
        Kind::List,
        Default::List(&[]),
        "Which files of the watched directories count beside `*.py`, as a wildcard. The option may stand several \
         times.",
    )
    .uvicorn("reload_includes", &["--reload-include"])
    .meta("PATTERN")
    .not_in_file(),
    Row::new(
        "reload_excludes",
        Kind::List,
        Default::List(&[]),
        "Which files do not count, as a wildcard or a directory. The option may stand several times. Files whose name \
         begins with `.` or `~` never count.",
    )
    .uvicorn("reload_excludes", &["--reload-exclude"])
    .meta("PATTERN")
    .not_in_file(),
    Row::new(
        "reload_delay",
        Kind::Seconds(DAY),
        Default::Float(0.5),
        "How many seconds lie between two looks for changed files.",
    )
    .uvicorn("reload_delay", &["--reload-delay"])
    .meta("SECONDS")
    .not_in_file(),
    Row::new("http", Kind::Text, Default::Text("auto"), "Which of Uvicorn's HTTP implementations to use.")
        .uvicorn("http", &["--http"])
        .meta("NAME")
        .not_in_file()
        .warn("Daemun has one implementation of HTTP, its own"),
    Row::new(
        "http2",
        Kind::Switch,
        Default::Bool(false),
        "Speak HTTP/2, too, without TLS. Clients must know that in advance; over TLS it is spoken anyway.",
    )
    .uvicorn("http2", &["--http2"])
    .not_in_file(),
    Row::new("use_colors", Kind::YesNo, Default::Bool(false), "Whether the log has colours.")
        .uvicorn("use_colors", &["--use-colors", "--no-use-colors"])
        .not_in_file()
        .warn("the log has no colours"),
    Row::new(
        "timeout_worker_healthcheck",
        Kind::Int(0, DAY),
        Default::Int(5),
        "How many seconds a worker may take to answer the master.",
    )
    .uvicorn("timeout_worker_healthcheck", &["--timeout-worker-healthcheck"])
    .meta("SECONDS")
    .not_in_file()
    .warn("the master sees the workers' state in shared memory; `--timeout` says when one is stuck"),
    Row::new(
        "h11_max_incomplete_event_size",
        Kind::Int(0, i64::MAX),
        Default::None,
        "How long the head of a request may be for Uvicorn's `h11`.",
    )
    .uvicorn("h11_max_incomplete_event_size", &["--h11-max-incomplete-event-size"])
    .meta("INT")
    .not_in_file()
    .warn("`--limit-request-line`, `--limit-request-fields` and `--limit-request-field_size` limit a request's head"),
    Row::new(
        "reset_contextvars",
        Kind::Switch,
        Default::Bool(false),
        "Give each request context variables of its own. Accepted; they always are.",
    )
    .uvicorn("reset_contextvars", &["--reset-contextvars"])
    .not_in_file()
    .silent(),
    Row::new(
        "ssl_keyfile_password",
        Kind::Secret,
        Default::None,
        "The password of the private key. Who may see this machine's processes sees their options: the variable is the \
         better place.",
    )
    .uvicorn("ssl_keyfile_password", &["--ssl-keyfile-password"])
    .meta("PASSWORD")
    .not_in_file(),
];
