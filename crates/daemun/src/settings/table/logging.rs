//! Rows: access log, error log, and the other ways out for what happens.

use super::{Default, Kind, Row};

pub(super) const LOGGING: &[Row] = &[
    Row::new(
        "accesslog",
        Kind::Text,
        Default::None,
        "Log every request to this file; `-` is standard output. Without it, there is no access log.",
    )
    .flags(&["--access-logfile"])
    .meta("FILE"),
    Row::new(
        "disable_redirect_access_to_syslog",
        Kind::Switch,
        Default::Bool(false),
        "Do not send the access log to syslog.",
    )
    .flags(&["--disable-redirect-access-to-syslog"])
    .later(),
    Row::new(
        "access_log_format",
        Kind::Text,
        Default::Text(r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#),
        "The form of a line of the access log, from Gunicorn's atoms; or `json` for one JSON object per line. The \
         atoms are h l u t r m U q H s B b f a T M D L p and {name}i {name}o {name}e.",
    )
    .flags(&["--access-logformat"])
    .meta("STRING"),
    Row::new("errorlog", Kind::Text, Default::Text("-"), "Log what happens to this file; `-` is standard error.")
        .flags(&["--error-logfile", "--log-file"])
        .meta("FILE"),
    Row::new(
        "loglevel",
        Kind::Choice(&["trace", "debug", "info", "warning", "error", "critical"]),
        Default::Text("info"),
        "Leave out of the error log what matters less than this. `trace` is the same as `debug`.",
    )
    .flags(&["--log-level"])
    .uvicorn("log_level", &[])
    .meta("LEVEL"),
    Row::new("capture_output", Kind::Switch, Default::Bool(false), "Send standard output and error to the error log.")
        .flags(&["--capture-output"])
        .warn("it is not supported yet: standard output and error stay where they are"),
    Row::new(
        "logger_class",
        Kind::Text,
        Default::Text("gunicorn.glogging.Logger"),
        "The class that logs. Daemun's own logging does not go through Python.",
    )
    .flags(&["--logger-class"])
    .meta("STRING")
    .later(),
    Row::new(
        "logconfig",
        Kind::Text,
        Default::None,
        "Configure Python's `logging` from this file before the application is imported. A name that ends in `.json` \
         or `.yaml` has a dictionary of `logging.config`, any other is in the form of `fileConfig`. Daemun's own log \
         does not go through Python.",
    )
    .flags(&["--log-config"])
    .uvicorn("log_config", &[])
    .meta("FILE"),
    Row::new("logconfig_dict", Kind::Dict, Default::Dict(&[]), "A configuration for Python's logging.").later(),
    Row::new("logconfig_json", Kind::Text, Default::None, "A configuration file for Python's logging, in JSON.")
        .flags(&["--log-config-json"])
        .meta("FILE")
        .later(),
    Row::new("syslog_addr", Kind::Text, Default::Text("udp://localhost:514"), "Where syslog listens.")
        .flags(&["--log-syslog-to"])
        .meta("SYSLOG_ADDR")
        .later(),
    Row::new("syslog", Kind::Switch, Default::Bool(false), "Send the logs to syslog.").flags(&["--log-syslog"]).later(),
    Row::new("syslog_prefix", Kind::Text, Default::None, "What syslog lines begin with.")
        .flags(&["--log-syslog-prefix"])
        .meta("SYSLOG_PREFIX")
        .later(),
    Row::new("syslog_facility", Kind::Text, Default::Text("user"), "The facility of syslog lines.")
        .flags(&["--log-syslog-facility"])
        .meta("SYSLOG_FACILITY")
        .later(),
    Row::new(
        "enable_stdio_inheritance",
        Kind::Switch,
        Default::Bool(false),
        "Keep standard output and error when going to the background.",
    )
    .flags(&["--enable-stdio-inheritance"])
    .short('R'),
    Row::new("statsd_host", Kind::Text, Default::None, "Where statsd listens.")
        .flags(&["--statsd-host"])
        .meta("STATSD_ADDR")
        .later(),
    Row::new("dogstatsd_tags", Kind::Text, Default::Text(""), "Tags that statsd metrics carry.")
        .flags(&["--dogstatsd-tags"])
        .meta("DOGSTATSD_TAGS")
        .later(),
    Row::new("statsd_prefix", Kind::Text, Default::Text(""), "What the names of statsd metrics begin with.")
        .flags(&["--statsd-prefix"])
        .meta("STATSD_PREFIX")
        .later(),
    Row::new(
        "enable_backlog_metric",
        Kind::Switch,
        Default::Bool(false),
        "Tell statsd how many connections wait to be accepted.",
    )
    .flags(&["--enable-backlog-metric"])
    .later(),
];
