//! The settings as a whole: from a command line to values ready to run.

use std::ffi::OsString;

use super::*;
use crate::host::SettingValue as Value;

/// A command line with its surroundings.
#[derive(Default)]
pub(super) struct Line {
    pub args: &'static str,
    pub env: &'static [(&'static str, &'static str)],
    pub file: Vec<(&'static str, Value)>,
    pub face: Option<Face>,
}

impl Line {
    fn read(&self) -> Result<Action, Exit> {
        let args: Vec<OsString> = shlex::split(self.args).unwrap().into_iter().map(OsString::from).collect();
        let env = |name: &str| self.env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string());
        let file = |_: &str| Ok(self.file.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect());
        from_command_line(self.face.unwrap_or(Face::Daemun), &args, &env, &file)
    }

    #[track_caller]
    pub fn settings(&self) -> Settings {
        match self.read() {
            Ok(Action::Run(settings)) => settings,
            Ok(_) => panic!("it does not run"),
            Err(exit) => panic!("{}", exit.message),
        }
    }

    #[track_caller]
    pub fn refused(&self) -> (i32, String) {
        match self.read() {
            Ok(_) => panic!("it is accepted"),
            Err(exit) => (exit.code, exit.message),
        }
    }
}

pub(super) fn line(args: &'static str) -> Line {
    Line { args, ..Line::default() }
}

/// The line reads a configuration file with these contents (its name only has to exist).
pub(super) fn file(contents: &[(&'static str, Value)]) -> Line {
    Line { args: "-c Cargo.toml app", file: contents.to_vec(), ..Line::default() }
}

pub(super) fn str(text: &str) -> Value {
    Value::Str(text.into())
}

#[track_caller]
pub(super) fn refused(args: &'static str, code: i32, message: &str) {
    assert_eq!(line(args).refused(), (code, message.to_string()), "{args}");
}

#[test]
fn a_bare_line_has_gunicorns_defaults() {
    let settings = line("shop.wsgi").settings();
    assert_eq!(settings.app, "shop.wsgi");
    assert_eq!(settings.bind, [Bind::Tcp { host: "127.0.0.1".into(), port: 8000 }]);
    assert_eq!((settings.workers, settings.threads, settings.worker_class()), (1, 1, "sync"));
    assert_eq!(settings.timeout, Duration::from_secs(30));
    assert_eq!(settings.keepalive, Duration::from_secs(2));
    assert_eq!((settings.limit_request_line, settings.limit_request_fields), (4094, 100));
    assert_eq!((settings.accesslog, settings.errorlog.as_str()), (None, "-"));
    assert_eq!((settings.user, settings.group, settings.umask), (None, None, 0));
    assert!(settings.sendfile && settings.request_buffering && !settings.preload);
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(settings.chdir, std::env::current_dir().unwrap());
}

#[test]
fn a_later_source_wins() {
    let env: &[_] = &[("WEB_CONCURRENCY", "2"), ("PORT", "81"), ("SENDFILE", "no")];
    let mut line = Line { args: "app", env, ..Line::default() };
    let settings = line.settings();
    assert_eq!((settings.workers, settings.bind[0].to_string()), (2, "0.0.0.0:81".into()));
    assert_eq!((settings.sendfile, settings.place("workers").as_str()), (false, "`$WEB_CONCURRENCY`"));

    line.args = "-c Cargo.toml app";
    line.file = vec![("workers", Value::Int(3)), ("threads", Value::Int(9)), ("helper", str("x"))];
    let settings = line.settings();
    assert_eq!((settings.workers, settings.threads, settings.worker_class()), (3, 9, "gthread"));
    assert_eq!(settings.place("workers"), "`workers` in Cargo.toml");

    line.env = &[("WEB_CONCURRENCY", "2"), ("GUNICORN_CMD_ARGS", "--workers 4 --name 'a b'")];
    let settings = line.settings();
    assert_eq!((settings.workers, settings.proc_name.as_deref()), (4, Some("a b")));
    assert_eq!(settings.place("workers"), "`--workers` in $GUNICORN_CMD_ARGS");

    line.args = "-c Cargo.toml app -w 5";
    let settings = line.settings();
    assert_eq!((settings.workers, settings.threads, settings.place("workers").as_str()), (5, 9, "`--workers`"));
}

#[test]
fn the_application_may_stand_in_the_file() {
    let mut line = file(&[("wsgi_app", str("shop.wsgi"))]);
    line.args = "-c Cargo.toml";
    assert_eq!(line.settings().app, "shop.wsgi");
    line.args = "-c Cargo.toml other";
    assert_eq!(line.settings().app, "other");
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    refused(
        "",
        1,
        "daemun: no application module specified\n\
         usage: daemun [options] MODULE[:CALLABLE | :factory('arg')]\n\
         hint: name the module that holds the application, as in `daemun shop.wsgi` or `daemun main:app`",
    );
    refused("app -w x", 1, "daemun: `--workers`: must be a whole number, not `x`");
    refused("app -w 0", 1, "daemun: `--workers`: must be at least 1, not 0");
    refused("app -b a:b", 1, "daemun: `--bind`: `b` is not a port number (0 to 65535)");
    refused("app -b :1 -b 0.0.0.0:1 -b :1", 1, "daemun: `--bind`: `0.0.0.0:1` stands twice");
    refused("app --chdir /nowhere", 1, "daemun: `--chdir`: cannot use directory `/nowhere`: no such file or directory");
    refused("app --chdir Cargo.toml", 1, "daemun: `--chdir`: `Cargo.toml` is not a directory");
    refused("app -u nobody-here", 1, "daemun: `--user`: there is no user `nobody-here`");
    refused("app -g -1", 1, "daemun: `--group`: `-1` is not the number of a group");
    refused("app -e A", 1, "daemun: `--env`: `A` is not of the form NAME=VALUE");
    refused("app --reload-extra-file nothing", 1, "daemun: `--reload-extra-file`: there is no file `nothing`");
    refused(
        "app --static /s=nowhere",
        1,
        "daemun: `--static`: cannot read directory `nowhere`: no such file or directory\n\
         hint: create it first; Django's `collectstatic` does",
    );
    refused(
        "app --static s=src",
        1,
        "daemun: `--static`: `s` is not the path of a URL: it must begin with `/`\n\
         hint: write the path of a URL and a directory, as in `/static/=assets`",
    );
    refused(
        "-c nowhere.py app",
        1,
        "daemun: cannot read the configuration file `nowhere.py`: no such file or directory",
    );
    let port = Line { args: "app", env: &[("PORT", "http")], ..Line::default() };
    assert_eq!(port.refused(), (1, "daemun: `$PORT`: `http` is not a port number (0 to 65535)".into()));
    let quote = Line { args: "app", env: &[("GUNICORN_CMD_ARGS", "'")], ..Line::default() };
    assert_eq!(quote.refused(), (2, "daemun: $GUNICORN_CMD_ARGS: a quote is not closed".into()));
}

#[test]
fn worker_classes_without_a_counterpart_say_what_to_use() {
    for class in ["sync", "gthread", "gunicorn.workers.sync.SyncWorker", "gunicorn.workers.gthread.ThreadWorker"] {
        assert!(file(&[("worker_class", str(class))]).read().is_ok(), "{class}");
    }
    refused(
        "app -k gevent",
        1,
        "daemun: `--worker-class`: the worker class `gevent` is not supported\n\
         hint: use `gthread` and `--threads N` for N requests at a time in each worker",
    );
    refused(
        "app -k shop.workers.OurUvicornWorker",
        1,
        "daemun: `--worker-class`: the worker class `shop.workers.OurUvicornWorker` is not supported\n\
         hint: use `asgi`; what a class of one's own sets are options here, as `--lifespan` and `--asgi-loop`",
    );
    refused(
        "app -k x",
        1,
        "daemun: `--worker-class`: there is no worker class `x`\nhint: use `sync`, `gthread` or `asgi`",
    );
}

#[test]
fn what_is_to_come_is_an_error_on_the_command_line() {
    refused("app --syslog-x", 2, "daemun: unknown option `--syslog-x`\nhint: `daemun --help` lists all options");
    refused("app --log-syslog", 2, "daemun: `--log-syslog` is not supported yet");
    refused("app --proxy-protocol", 2, "daemun: `--proxy-protocol` is not supported yet");
    assert!(line("app --http2-cleartext off").read().is_ok(), "a default changes nothing");
}

#[test]
fn in_the_file_what_is_to_come_is_a_warning_unless_security_hangs_on_it() {
    let settings = file(&[
        ("post_fork", Value::Callable("post_fork".into())),
        ("syslog", Value::Bool(true)),
        ("forwarded_allow_ips", str("127.0.0.1,::1")),
        ("spew", Value::Bool(true)),
        ("worker", Value::Int(2)),
        ("multiprocessing", Value::Other("module".into())),
    ])
    .settings();
    assert_eq!(
        settings.warnings,
        [
            "`post_fork` in Cargo.toml is ignored: hooks are not supported yet",
            "`syslog` in Cargo.toml is ignored: this is not supported yet",
            "`spew` in Cargo.toml has no effect: line tracing does not exist here",
            "`worker` in Cargo.toml is no setting and is ignored: did you mean `workers`?",
        ]
    );
    for (name, value) in [("proxy_allow_ips", str("*")), ("uwsgi_allow_ips", str("*"))] {
        let (code, message) = file(&[(name, value)]).refused();
        assert_eq!(code, 1);
        assert!(message.starts_with(&format!("daemun: `{name}` in Cargo.toml is not supported yet")), "{message}");
    }
}

#[test]
fn paths_begin_at_the_directory_of_the_settings() {
    let settings = line(
        "app --chdir /usr -p run.pid --error-logfile e.log --access-logfile - -b unix:s --static /l=lib \
                         --pythonpath lib,/x",
    )
    .settings();
    assert_eq!(settings.chdir, PathBuf::from("/usr"));
    assert_eq!(settings.pidfile, Some(PathBuf::from("/usr/run.pid")));
    assert_eq!((settings.errorlog.as_str(), settings.accesslog.as_deref()), ("/usr/e.log", Some("-")));
    assert_eq!(settings.bind[0].to_string(), "unix:/usr/s");
    assert_eq!(settings.static_files, [StaticFiles { url: "/l/".into(), directory: "/usr/lib".into() }]);
    assert_eq!(settings.pythonpath, [PathBuf::from("/usr/lib"), "/x".into()]);
}

#[test]
fn values_of_several_kinds_become_ready() {
    let settings = line(
        "app -u root -g 0 -m 022 -t 0 --access-logformat json --front thread --request-buffering off -e A=b=c \
         --limit-request-line 9000 --limit-request-fields 0 --no-sendfile -D",
    )
    .settings();
    assert_eq!((settings.user, settings.group, settings.umask), (Some(0), Some(0), 0o22));
    assert_eq!((settings.timeout, settings.front), (Duration::ZERO, Front::Thread));
    assert_eq!(settings.access_log_format, AccessLogFormat::Json);
    assert!(!settings.request_buffering && !settings.sendfile && settings.daemon);
    assert_eq!(settings.raw_env, [("A".to_string(), "b=c".to_string())]);
    assert_eq!((settings.limit_request_line, settings.limit_request_fields), (8190, 32_768));
    assert_eq!(settings.warnings.len(), 2, "the line's limit, and the daemon without a log");
}

#[test]
fn what_only_prints_does_not_need_an_application() {
    assert!(matches!(line("--version").read(), Ok(Action::Print(text)) if text.starts_with("daemun ")));
    assert!(matches!(line("-h -w x").read(), Ok(Action::Print(text)) if text.starts_with("usage: daemun [options]")));
    let Ok(Action::PrintConfig(settings)) = line("app --print-config -w 3").read() else { panic!() };
    let printed = settings.print_config();
    for line in ["workers                            = 3", "wsgi_app                           = app"] {
        assert!(printed.lines().any(|printed| printed == line), "{printed}");
    }
    assert!(matches!(line("app --check-config").read(), Ok(Action::CheckConfig(_))));
}

#[test]
fn an_error_in_the_file_is_shown_whole() {
    let args: Vec<OsString> = ["-c", "Cargo.toml", "app"].map(OsString::from).to_vec();
    let exit =
        from_command_line(Face::Daemun, &args, &|_| None, &|_| Err("Traceback:\n  NameError\n".into())).err().unwrap();
    let message = "daemun: cannot load the configuration file `Cargo.toml`\nTraceback:\n  NameError";
    assert_eq!((exit.code, exit.message.as_str()), (1, message));
}
