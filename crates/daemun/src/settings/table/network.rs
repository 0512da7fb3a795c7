//! Rows: sockets, limits, TLS, HTTP/2.

use super::{Default, Kind, Row};

pub(super) const SERVER_SOCKET: &[Row] = &[
    Row::new(
        "bind",
        Kind::List,
        Default::List(&["127.0.0.1:8000"]),
        "Listen here: `HOST`, `HOST:PORT`, `:PORT`, `[IPV6]:PORT`, `unix:PATH` or `fd://N`. The option may stand \
         several times. Without it, `0.0.0.0:$PORT` if the environment has `PORT`. Sockets that systemd passes \
         (`LISTEN_FDS`) are used in its place.",
    )
    .flags(&["--bind"])
    .short('b')
    .meta("ADDRESS"),
    Row::new(
        "backlog",
        Kind::Int(0, i32::MAX as i64),
        Default::Int(2048),
        "How many connections may wait to be accepted. The kernel caps it at `net.core.somaxconn`.",
    )
    .flags(&["--backlog"])
    .uvicorn("backlog", &[])
    .meta("INT"),
];

pub(super) const SECURITY: &[Row] = &[
    Row::new(
        "limit_request_line",
        Kind::Int(0, i64::MAX),
        Default::Int(4094),
        "Longest request line in bytes, at most 8190. 0 is no limit. A longer one is answered 414.",
    )
    .flags(&["--limit-request-line"])
    .meta("INT"),
    Row::new(
        "limit_request_fields",
        Kind::Int(0, i64::MAX),
        Default::Int(100),
        "Most header fields in a request, at most 32768. 0 means that most. More are answered 431.",
    )
    .flags(&["--limit-request-fields"])
    .meta("INT"),
    Row::new(
        "limit_request_field_size",
        Kind::Int(0, i64::MAX),
        Default::Int(8190),
        "Longest header field in bytes. 0 is no limit. A longer one is answered 431.",
    )
    .flags(&["--limit-request-field_size"])
    .meta("INT"),
];

pub(super) const SSL: &[Row] = &[
    Row::new("keyfile", Kind::Text, Default::None, "The private key, in PEM.")
        .flags(&["--keyfile"])
        .uvicorn("ssl_keyfile", &["--ssl-keyfile"])
        .meta("FILE")
        .refuse(),
    Row::new("certfile", Kind::Text, Default::None, "The certificate chain, in PEM.")
        .flags(&["--certfile"])
        .uvicorn("ssl_certfile", &["--ssl-certfile"])
        .meta("FILE")
        .refuse(),
    Row::new("ssl_version", Kind::Text, Default::None, "The version of TLS. Gunicorn ignores it, too.")
        .flags(&["--ssl-version"])
        .uvicorn("ssl_version", &[])
        .meta("VERSION")
        .warn("it is deprecated, and Gunicorn ignores it, too"),
    Row::new(
        "cert_reqs",
        Kind::Int(0, 2),
        Default::Int(0),
        "Ask clients for a certificate. 0 is no, 1 optional, 2 required.",
    )
    .flags(&["--cert-reqs"])
    .uvicorn("ssl_cert_reqs", &["--ssl-cert-reqs"])
    .meta("INT")
    .refuse(),
    Row::new("ca_certs", Kind::Text, Default::None, "Authorities that clients' certificates must come from, in PEM.")
        .flags(&["--ca-certs"])
        .uvicorn("ssl_ca_certs", &["--ssl-ca-certs"])
        .meta("FILE")
        .refuse(),
    Row::new(
        "suppress_ragged_eofs",
        Kind::Switch,
        Default::Bool(true),
        "A detail of Python's `ssl` module. Accepted; it means nothing here.",
    )
    .flags(&["--suppress-ragged-eofs"])
    .silent(),
    Row::new(
        "do_handshake_on_connect",
        Kind::Switch,
        Default::Bool(false),
        "A detail of Python's `ssl` module. Accepted; it means nothing here.",
    )
    .flags(&["--do-handshake-on-connect"])
    .silent(),
    Row::new("ciphers", Kind::Text, Default::None, "Cipher suites, in OpenSSL's way of writing.")
        .flags(&["--ciphers"])
        .uvicorn("ssl_ciphers", &["--ssl-ciphers"])
        .meta("CIPHERS")
        .refuse(),
];

pub(super) const HTTP2: &[Row] = &[
    Row::new(
        "http_protocols",
        Kind::Commas,
        Default::Text("h1"),
        "Versions of HTTP to speak, with commas between them, the preferred first.",
    )
    .flags(&["--http-protocols"])
    .meta("STRING")
    .later(),
    Row::new("http2_cleartext", Kind::Text, Default::Text("off"), "HTTP/2 without TLS.")
        .flags(&["--http2-cleartext"])
        .meta("STRING")
        .later(),
    Row::new(
        "http2_max_concurrent_streams",
        Kind::Int(1, u32::MAX as i64),
        Default::Int(100),
        "Most streams at a time in one HTTP/2 connection.",
    )
    .flags(&["--http2-max-concurrent-streams"])
    .meta("INT")
    .later(),
    Row::new(
        "http2_initial_window_size",
        Kind::Int(0, i32::MAX as i64),
        Default::Int(65_535),
        "Window of a new HTTP/2 stream in bytes.",
    )
    .flags(&["--http2-initial-window-size"])
    .meta("INT")
    .later(),
    Row::new(
        "http2_max_frame_size",
        Kind::Int(16_384, 16_777_215),
        Default::Int(16_384),
        "Longest HTTP/2 frame in bytes.",
    )
    .flags(&["--http2-max-frame-size"])
    .meta("INT")
    .later(),
    Row::new(
        "http2_max_header_list_size",
        Kind::Int(0, i64::MAX),
        Default::Int(65_536),
        "Most bytes of header fields in an HTTP/2 request.",
    )
    .flags(&["--http2-max-header-list-size"])
    .meta("INT")
    .later(),
];
