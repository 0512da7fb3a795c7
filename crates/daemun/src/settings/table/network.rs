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
    Row::new(
        "keyfile",
        Kind::Text,
        Default::None,
        "The certificate's private key, in PEM. Without it, the file of `certfile` has the key, too.",
    )
    .flags(&["--keyfile"])
    .uvicorn("ssl_keyfile", &["--ssl-keyfile"])
    .meta("FILE"),
    Row::new(
        "certfile",
        Kind::Text,
        Default::None,
        "Serve HTTPS with this certificate and its chain, in PEM. HTTP/2 is spoken, too, unless `http_protocols` leaves \
         it out. The file is read as the user that starts the server. `daemun cert dev` makes a certificate for \
         development.",
    )
    .flags(&["--certfile"])
    .uvicorn("ssl_certfile", &["--ssl-certfile"])
    .meta("FILE"),
    Row::new("ssl_version", Kind::Text, Default::None, "The version of TLS. Gunicorn ignores it, too.")
        .flags(&["--ssl-version"])
        .uvicorn("ssl_version", &[])
        .meta("VERSION")
        .warn("it is deprecated, and Gunicorn ignores it, too"),
    Row::new(
        "cert_reqs",
        Kind::Int(0, 2),
        Default::Int(0),
        "Ask clients for a certificate: 0 is no, 1 optional, 2 required. It must come from one of the authorities in \
         `ca_certs`. Where Python's `ssl` ends the handshake of a client whose certificate fails or is missing, its \
         requests are answered 400 here, as nginx answers them; the application does not see them. The application \
         finds the certificate in the environ (`SSL_CLIENT_CERT`, `SSL_CLIENT_S_DN`, ...) or in the scope's extension \
         `tls`.",
    )
    .flags(&["--cert-reqs"])
    .uvicorn("ssl_cert_reqs", &["--ssl-cert-reqs"])
    .meta("INT"),
    Row::new("ca_certs", Kind::Text, Default::None, "Authorities that clients' certificates must come from, in PEM.")
        .flags(&["--ca-certs"])
        .uvicorn("ssl_ca_certs", &["--ssl-ca-certs"])
        .meta("FILE"),
    Row::new(
        "suppress_ragged_eofs",
        Kind::Switch,
        Default::Bool(true),
        "Whether a client that leaves without TLS's goodbye is an error in Python's `ssl` module.",
    )
    .flags(&["--suppress-ragged-eofs"])
    .warn("no client is asked for a goodbye here, and a request that is cut off is never taken for a whole one"),
    Row::new(
        "do_handshake_on_connect",
        Kind::Switch,
        Default::Bool(false),
        "When Python's `ssl` module makes the handshake: with the connection, or before the first byte is read.",
    )
    .flags(&["--do-handshake-on-connect"])
    .warn("a handshake holds up no other client here"),
    Row::new(
        "ciphers",
        Kind::Text,
        Default::None,
        "Cipher suites of TLS 1.2, in OpenSSL's way of writing. Those of TLS 1.3 are always there.",
    )
    .flags(&["--ciphers"])
    .uvicorn("ssl_ciphers", &["--ssl-ciphers"])
    .meta("CIPHERS"),
];

pub(super) const HTTP2: &[Row] = &[
    Row::new(
        "http_protocols",
        Kind::Commas,
        Default::Text("h2,h1"),
        "Versions of HTTP to speak over TLS, with commas between them: `h1`, or `h2,h1`. Gunicorn's default is `h1`.",
    )
    .flags(&["--http-protocols"])
    .meta("STRING"),
    Row::new(
        "http2_cleartext",
        Kind::Text,
        Default::Text("off"),
        "Whether clients may speak HTTP/2 without TLS: `off`, or `prior-knowledge`, where they begin with it at once.",
    )
    .flags(&["--http2-cleartext"])
    .meta("STRING"),
    Row::new(
        "http2_max_concurrent_streams",
        Kind::Int(1, u32::MAX as i64),
        Default::Int(100),
        "Most streams at a time in one HTTP/2 connection.",
    )
    .flags(&["--http2-max-concurrent-streams"])
    .meta("INT"),
    Row::new(
        "http2_initial_window_size",
        Kind::Int(0, i32::MAX as i64),
        Default::Int(65_535),
        "Window of a new HTTP/2 stream in bytes.",
    )
    .flags(&["--http2-initial-window-size"])
    .meta("INT"),
    Row::new(
        "http2_max_frame_size",
        Kind::Int(16_384, 16_777_215),
        Default::Int(16_384),
        "Longest HTTP/2 frame in bytes.",
    )
    .flags(&["--http2-max-frame-size"])
    .meta("INT"),
    Row::new(
        "http2_max_header_list_size",
        Kind::Int(0, i64::MAX),
        Default::Int(65_536),
        "Most bytes of header fields in an HTTP/2 request.",
    )
    .flags(&["--http2-max-header-list-size"])
    .meta("INT"),
];
