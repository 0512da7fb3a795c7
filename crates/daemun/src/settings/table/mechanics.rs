//! Rows: how the server sits in its machine: directories, users, environment, proxies before it.

use super::{Default, Kind, Row};

const STRICT: &str = "requests are always read strictly, because laxness here lets requests be smuggled";
const LOOPBACK: Default = Default::Text("127.0.0.1,::1");

pub(super) const SERVER_MECHANICS: &[Row] = &[
    Row::new(
        "preload_app",
        Kind::Switch,
        Default::Bool(false),
        "Load the application before the workers are forked. They share its memory and start at once, but a reload \
         keeps its code.",
    )
    .flags(&["--preload"]),
    Row::new(
        "sendfile",
        Kind::Off,
        Default::None,
        "Do not let the kernel copy files to sockets. The environment's `SENDFILE` is the default, else it does.",
    )
    .flags(&["--no-sendfile"]),
    Row::new(
        "reuse_port",
        Kind::Switch,
        Default::Bool(false),
        "Set SO_REUSEPORT, so that several servers can listen at one address.",
    )
    .flags(&["--reuse-port"]),
    Row::new(
        "chdir",
        Kind::Text,
        Default::None,
        "Change to this directory before the application is loaded. All relative paths of other settings begin there.",
    )
    .flags(&["--chdir"])
    .meta("DIR"),
    Row::new("daemon", Kind::Switch, Default::Bool(false), "Go to the background.").flags(&["--daemon"]).short('D'),
    Row::new(
        "raw_env",
        Kind::List,
        Default::List(&[]),
        "Set a variable in the application's environment, as `NAME=VALUE`. The option may stand several times.",
    )
    .flags(&["--env"])
    .short('e')
    .meta("ENV"),
    Row::new("pidfile", Kind::Text, Default::None, "Write the master's process number to this file.")
        .flags(&["--pid"])
        .short('p')
        .meta("FILE"),
    Row::new(
        "worker_tmp_dir",
        Kind::Text,
        Default::None,
        "Where Gunicorn's heartbeat files are. Accepted; the heartbeat is in shared memory here.",
    )
    .flags(&["--worker-tmp-dir"])
    .meta("DIR")
    .silent(),
    Row::new(
        "user",
        Kind::Account,
        Default::None,
        "Run the workers as this user, by name or number. Without `group`, they get the user's own group.",
    )
    .flags(&["--user"])
    .short('u')
    .meta("USER"),
    Row::new("group", Kind::Account, Default::None, "Run the workers with this group, by name or number.")
        .flags(&["--group"])
        .short('g')
        .meta("GROUP"),
    Row::new(
        "umask",
        Kind::Mode,
        Default::Int(0),
        "Permission bits that unix sockets do not get. A number that begins with 0 is octal.",
    )
    .flags(&["--umask"])
    .short('m')
    .meta("INT"),
    Row::new("initgroups", Kind::Switch, Default::Bool(false), "Give the workers all groups of their user.")
        .flags(&["--initgroups"]),
    Row::new(
        "tmp_upload_dir",
        Kind::Text,
        Default::None,
        "Where request bodies go that are too large for memory. Without it, the system's directory for such files.",
    ),
    Row::new(
        "secure_scheme_headers",
        Kind::Dict,
        Default::Dict(&[("X-FORWARDED-PROTOCOL", "ssl"), ("X-FORWARDED-PROTO", "https"), ("X-FORWARDED-SSL", "on")]),
        "Header fields by which a trusted proxy says that its client came by TLS, and the values that say so.",
    ),
    Row::new(
        "forwarded_allow_ips",
        Kind::Commas,
        LOOPBACK,
        "Proxies whose word is taken for where a request came from: addresses and networks with commas between them, \
         or `*` for all. The environment's `FORWARDED_ALLOW_IPS` is the default, else the machine itself. Whoever is \
         trusted can claim any address and scheme: `*` is for servers that only a proxy can reach.",
    )
    .flags(&["--forwarded-allow-ips"])
    .uvicorn("forwarded_allow_ips", &[])
    .meta("ADDRESSES"),
    Row::new(
        "pythonpath",
        Kind::Text,
        Default::None,
        "Directories to put before Python's module path, with commas between them.",
    )
    .flags(&["--pythonpath"])
    .meta("STRING"),
    Row::new("paste", Kind::Text, Default::None, "Load the application from a PasteDeploy file.")
        .flags(&["--paste", "--paster"])
        .meta("STRING")
        .refuse(),
    Row::new(
        "proxy_protocol",
        Kind::Text,
        Default::Text("off"),
        "Expect the PROXY protocol before each connection's first request.",
    )
    .flags(&["--proxy-protocol"])
    .meta("MODE")
    .refuse(),
    Row::new("proxy_allow_ips", Kind::Commas, LOOPBACK, "Peers that may use the PROXY protocol.")
        .flags(&["--proxy-allow-from"])
        .meta("PEERS")
        .refuse(),
    Row::new("protocol", Kind::Text, Default::Text("http"), "The protocol that clients speak: `http` or `uwsgi`.")
        .flags(&["--protocol"])
        .meta("STRING")
        .refuse(),
    Row::new("uwsgi_allow_ips", Kind::Commas, LOOPBACK, "Peers that may speak uwsgi.")
        .flags(&["--uwsgi-allow-from"])
        .meta("PEERS")
        .refuse(),
    Row::new("raw_paste_global_conf", Kind::List, Default::List(&[]), "Variables of the PasteDeploy file.")
        .flags(&["--paste-global"])
        .meta("CONF")
        .refuse(),
    Row::new("permit_obsolete_folding", Kind::Switch, Default::Bool(false), "Accept folded header fields.")
        .flags(&["--permit-obsolete-folding"])
        .warn(STRICT),
    Row::new("strip_header_spaces", Kind::Switch, Default::Bool(false), "Accept spaces before a header's colon.")
        .flags(&["--strip-header-spaces"])
        .warn(STRICT),
    Row::new(
        "permit_unconventional_http_method",
        Kind::Switch,
        Default::Bool(false),
        "Accept method names beyond the usual.",
    )
    .flags(&["--permit-unconventional-http-method"])
    .warn(STRICT),
    Row::new(
        "permit_unconventional_http_version",
        Kind::Switch,
        Default::Bool(false),
        "Accept versions of HTTP/1 beyond 1.0 and 1.1.",
    )
    .flags(&["--permit-unconventional-http-version"])
    .warn(STRICT),
    Row::new("casefold_http_method", Kind::Switch, Default::Bool(false), "Turn method names into capitals.")
        .flags(&["--casefold-http-method"])
        .warn(STRICT),
    Row::new(
        "forwarder_headers",
        Kind::Commas,
        Default::Text("SCRIPT_NAME,PATH_INFO"),
        "Header fields with underscores that a trusted proxy may send.",
    )
    .flags(&["--forwarder-headers"])
    .meta("NAMES")
    .refuse(),
    Row::new(
        "header_map",
        Kind::Choice(&["drop", "refuse", "dangerous"]),
        Default::Text("drop"),
        "What to do with header names that CGI would confuse with others: `drop`, `refuse` or `dangerous`.",
    )
    .flags(&["--header-map"])
    .meta("MODE")
    .refuse(),
    Row::new(
        "root_path",
        Kind::Text,
        Default::Text(""),
        "The path that the application is mounted under, where a proxy before this server takes it off. ASGI's \
         `root_path`.",
    )
    .flags(&["--root-path"])
    .uvicorn("root_path", &[])
    .meta("PATH"),
];
