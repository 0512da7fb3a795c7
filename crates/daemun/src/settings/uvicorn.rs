//! Where Uvicorn says in other words what Gunicorn says: it is put into Gunicorn's words, so that everything after this
//! knows one of them. Where both speak, the stronger source wins; with equal strength it is an error that names both.

use super::given::Given;
use super::{Bind, Exit};
use crate::host::SettingValue;

/// Puts all of it into Gunicorn's words.
pub(super) fn translate(given: &mut Given) -> Result<(), Exit> {
    listen(given)?;
    access_log(given)?;
    if !given.switch("proxy_headers") {
        given.translate("proxy_headers", "forwarded_allow_ips", SettingValue::Str(String::new()));
    }
    if !["auto", "none"].contains(&given.text("ws").as_str()) {
        let place = given.place("ws");
        given.warnings.push(format!("{place} has no effect: there is one implementation of WebSockets, Daemun's own"));
    }
    if !given.switch("reload") {
        for name in ["reload_dirs", "reload_includes", "reload_excludes", "reload_delay"] {
            if given.strength(name) > 0 {
                let place = given.place(name);
                given.warnings.push(format!("{place} has no effect without `--reload`"));
            }
        }
    }
    Ok(())
}

fn both(given: &Given, one: &str, other: &str, what: &str) -> Exit {
    let (one, other) = (given.place(one), given.place(other));
    Exit::new(1, format!("{one} and {other} both say {what}"), Some("leave one of them out".into()))
}

/// `--host`, `--port`, `--uds` and `--fd` say what `--bind` says. Among themselves, a socket is stronger than a
/// descriptor, and that than a host and a port, as with Uvicorn.
fn listen(given: &mut Given) -> Result<(), Exit> {
    let Some(first) = ["uds", "fd", "host", "port"].into_iter().max_by_key(|name| {
        let socket = matches!(*name, "uds" | "fd") && given.value(name) == SettingValue::None;
        if socket { 0 } else { given.strength(name) * 4 + rank(name) }
    }) else {
        return Ok(());
    };
    let (strength, bind) = (given.strength(first), given.strength("bind"));
    if strength == 0 || strength < bind {
        return Ok(());
    }
    if strength == bind {
        return Err(both(given, "bind", first, "where to listen"));
    }
    for other in ["uds", "fd", "host", "port"] {
        if rank(other) < rank(first) && given.strength(other) == strength && rank(first) > 1 {
            let (place, winner) = (given.place(other), given.place(first));
            given.warnings.push(format!("{place} has no effect: {winner} says where to listen"));
        }
    }
    let text = match first {
        "uds" => format!("unix:{}", given.text("uds")),
        "fd" => format!("fd://{}", given.int("fd")),
        _ => tcp(given)?,
    };
    Bind::parse(&text).map_err(|why| {
        let place = if first == "port" { "host" } else { first };
        Exit::new(1, format!("{}: {why}", given.place(place)), None)
    })?;
    given.translate(first, "bind", SettingValue::List(vec![SettingValue::Str(text)]));
    Ok(())
}

fn rank(name: &str) -> u8 {
    match name {
        "uds" => 3,
        "fd" => 2,
        "port" => 1,
        _ => 0,
    }
}

fn tcp(given: &Given) -> Result<String, Exit> {
    let (host, port) = (given.text("host"), given.int("port"));
    if !host.contains(':') {
        return Ok(format!("{host}:{port}"));
    }
    match host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::Ipv6Addr>() {
        Ok(address) => Ok(format!("[{address}]:{port}")),
        Err(_) => {
            let why = format!("{}: `{host}` is not a host name or an address", given.place("host"));
            Err(Exit::new(1, why, Some("a port is given by `--port`".into())))
        }
    }
}

/// `--access-log` is a log on standard output unless there is another one, `--no-access-log` is none.
fn access_log(given: &mut Given) -> Result<(), Exit> {
    let (strength, file) = (given.strength("access_log"), given.strength("accesslog"));
    let has_file = given.optional("accesslog").is_some();
    match given.switch("access_log") {
        _ if strength == 0 || strength < file => {}
        true if has_file => {}
        true => given.translate("access_log", "accesslog", SettingValue::Str("-".into())),
        false if has_file && strength == file => {
            let (no, to) = (given.place("access_log"), given.place("accesslog"));
            let hint = Some("leave one of them out".to_string());
            return Err(Exit::new(1, format!("{to} asks for an access log, and {no} for none"), hint));
        }
        false => given.translate("access_log", "accesslog", SettingValue::None),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{Line, file, line, refused, str};
    use super::super::{EventLoop, Face, Interface, Lifespan};
    use crate::host::SettingValue as Value;

    fn bound(line: &Line) -> String {
        line.settings().bind[0].to_string()
    }

    fn as_uvicorn(args: &'static str) -> Line {
        Line { args, face: Some(Face::Uvicorn), ..Line::default() }
    }

    #[test]
    fn where_to_listen_has_two_ways_of_writing() {
        for (args, bind) in [
            ("app --host 0.0.0.0", "0.0.0.0:8000"),
            ("app --port 81", "127.0.0.1:81"),
            ("app --host ::1 --port 0", "[::1]:0"),
            ("app --host [::1]", "[::1]:8000"),
            ("app --host LocalHost", "localhost:8000"),
            ("app --uds /run/a.sock", "unix:/run/a.sock"),
            ("app --fd 3", "fd://3"),
        ] {
            assert_eq!(bound(&line(args)), bind, "{args}");
            assert_eq!(line(args).settings().bind.len(), 1, "{args}");
        }
        let settings = line("app --uds a --port 81").settings();
        assert!(settings.bind[0].to_string().ends_with("/a"));
        assert_eq!(settings.warnings, ["`--port` has no effect: `--uds` says where to listen"]);
        assert_eq!(line("app --host h --port 2").settings().place("bind"), "`--port`");
        assert!(line("app --port 81").settings().print_config().contains("= ['127.0.0.1:81']\n"));
    }

    #[test]
    fn two_ways_of_equal_strength_are_an_error_that_names_both() {
        let hint = "hint: leave one of them out";
        for (args, option) in [("app -b :1 --port 81", "--port"), ("app --uds s --bind :1", "--uds")] {
            let message = format!("daemun: `--bind` and `{option}` both say where to listen\n{hint}");
            assert_eq!(line(args).refused(), (1, message));
        }
        refused(
            "app --host 0.0.0.0:80",
            1,
            "daemun: `--host`: `0.0.0.0:80` is not a host name or an address\nhint: a port is given by `--port`",
        );
        refused("app --host a/b", 1, "daemun: `--host`: `a/b:8000`: a host name does not contain '/'");
        refused("app --port http", 1, "daemun: `--port`: must be a whole number, not `http`");
        refused("app --port 65536", 1, "daemun: `--port`: must be at most 65535, not 65536");
        refused(
            "app --access-logfile a --no-access-log",
            1,
            "daemun: `--access-logfile` asks for an access log, and `--no-access-log` for none\n\
             hint: leave one of them out",
        );
    }

    #[test]
    fn the_stronger_source_says_where_to_listen() {
        let env: &[_] = &[("UVICORN_PORT", "82"), ("UVICORN_HOST", "h"), ("PORT", "81")];
        let mut line = Line { args: "app", env, ..Line::default() };
        assert_eq!(bound(&line), "h:82", "Uvicorn's variables are stronger than $PORT");
        assert_eq!(line.settings().place("bind"), "`$UVICORN_PORT`");
        line.args = "app --port 83";
        assert_eq!(bound(&line), "h:83");
        line.args = "app -b :84";
        assert_eq!(bound(&line), "0.0.0.0:84");
        line.args = "-c Cargo.toml app";
        line.file = vec![("bind", str(":85")), ("port", str("not ours")), ("host", Value::Int(1))];
        assert_eq!(bound(&line), "0.0.0.0:85", "and weaker than the file, whose `port` is its own business");
        line.args = "-c Cargo.toml app --uds /s";
        assert_eq!(bound(&line), "unix:/s");
    }

    #[test]
    fn uvicorns_variables_are_checked_like_options_and_name_themselves() {
        let env: &[_] = &[
            ("UVICORN_RELOAD", "1"),
            ("UVICORN_HEADERS", "A:1 B:2"),
            ("UVICORN_RELOAD_DIRS", "src:src/sys"),
            ("UVICORN_WORKERS", "3"),
            ("WEB_CONCURRENCY", "2"),
            ("UVICORN_PROXY_HEADERS", "false"),
            ("UVICORN_LIMIT_MAX_REQUESTS", "7"),
            ("UVICORN_APP", "main:app"),
            ("UVICORN_LOG_LEVEL", ""),
        ];
        let settings = Line { env, ..Line::default() }.settings();
        assert_eq!((settings.app.as_str(), settings.workers, settings.max_requests), ("main:app", 3, 7));
        assert_eq!(settings.headers, [("A".to_string(), "1".to_string()), ("B".into(), "2".into())]);
        assert_eq!((settings.reload, settings.reload_dirs.len()), (true, 2));
        assert_eq!(settings.forwarded_allow_ips, "");
        let wrong = Line { args: "app", env: &[("UVICORN_TIMEOUT_KEEP_ALIVE", "long")], ..Line::default() };
        let message = "daemun: `$UVICORN_TIMEOUT_KEEP_ALIVE`: must be a whole number, not `long`";
        assert_eq!(wrong.refused(), (1, message.to_string()));
        let wrong = Line { args: "app", env: &[("UVICORN_ENV_FILE", "no")], ..Line::default() };
        let message = "daemun: `$UVICORN_ENV_FILE`: cannot read `no`: no such file or directory";
        assert_eq!(wrong.refused(), (1, message.to_string()));
        let gunicorn = Line { args: "app", env, face: Some(Face::Gunicorn), ..Line::default() };
        assert_eq!(gunicorn.settings().workers, 2, "they do not count in Gunicorn's place");
    }

    #[test]
    fn in_uvicorns_place_uvicorns_defaults_hold() {
        let mut line = as_uvicorn("main:app");
        line.env = &[("PORT", "81"), ("GUNICORN_CMD_ARGS", "-w 4"), ("SENDFILE", "no"), ("FORWARDED_ALLOW_IPS", "*")];
        let settings = line.settings();
        assert_eq!(settings.bind[0].to_string(), "127.0.0.1:8000");
        assert_eq!((settings.workers, settings.sendfile), (1, true));
        assert_eq!((settings.keepalive, settings.accesslog.as_deref()), (Duration::from_secs(5), Some("-")));
        assert_eq!(settings.graceful_timeout, Duration::from_secs(30));
        assert_eq!(settings.forwarded_allow_ips, "*");
        assert_eq!(as_uvicorn("app --no-access-log").settings().accesslog, None);
        assert_eq!(as_uvicorn("app --timeout-keep-alive 9").settings().keepalive, Duration::from_secs(9));
        let file = as_uvicorn("app --access-logfile /tmp/a --access-log").settings();
        assert_eq!(file.accesslog.as_deref(), Some("/tmp/a"));
        assert_eq!(line_access("app --access-log").as_deref(), Some("-"));
    }

    fn line_access(args: &'static str) -> Option<String> {
        line(args).settings().accesslog
    }

    #[test]
    fn asgi_is_asked_for_by_the_interface_or_the_worker_class() {
        for (args, interface) in [
            ("app", Interface::Auto),
            ("app --interface asgi", Interface::Asgi),
            ("app --interface asgi2", Interface::Asgi2),
            ("app -k asgi", Interface::Asgi),
            ("app -k uvicorn.workers.UvicornWorker", Interface::Asgi),
            ("app -k uvicorn_worker.UvicornH11Worker --interface asgi3", Interface::Asgi3),
            ("app -k gunicorn.workers.gasgi.ASGIWorker", Interface::Asgi),
            ("app -k gthread --interface wsgi", Interface::Wsgi),
        ] {
            let settings = line(args).settings();
            assert_eq!(settings.interface, interface, "{args}");
            assert_eq!(settings.worker_class() == "asgi", interface.is_asgi(), "{args}");
        }
        refused(
            "app -k asgi --interface wsgi",
            1,
            "daemun: `--worker-class` is for ASGI applications, and `--interface` says that this one speaks WSGI\n\
             hint: leave one of them out",
        );
    }

    #[test]
    fn values_of_uvicorns_kinds_become_ready() {
        let settings = line(
            "main:create --factory --app-dir src --root-path /api/ --lifespan on --loop uvloop --ws none \
             --ws-max-size 5 --ws-max-queue 6 --ws-ping-interval 0.5 --ws-ping-timeout 0 \
             --ws-per-message-deflate false --limit-concurrency 7 --header X-A:1 --header 'server: mine' \
             --no-date-header --limit-max-requests 8 --limit-max-requests-jitter 9 --timeout-graceful-shutdown 10 \
             --log-level trace --log-config Cargo.toml --forwarded-allow-ips 10.0.0.0/8,::1,proxy",
        )
        .settings();
        assert_eq!((settings.app.as_str(), settings.factory), ("main:create()", true));
        assert_eq!(settings.pythonpath, [settings.chdir.clone(), settings.chdir.join("src")]);
        assert_eq!((settings.root_path.as_str(), settings.lifespan), ("/api", Lifespan::On));
        assert_eq!(settings.event_loop, EventLoop::Uvloop);
        let websocket = settings.websocket;
        assert!(!websocket.enabled && !websocket.deflate);
        assert_eq!((websocket.max_size, websocket.max_queue), (5, 6));
        assert_eq!((websocket.ping_interval, websocket.ping_timeout), (500, 0));
        assert_eq!(settings.limit_concurrency, 7);
        assert_eq!(settings.headers[1], ("server".to_string(), "mine".to_string()));
        assert!(!settings.server_header && !settings.date_header);
        assert_eq!((settings.max_requests, settings.max_requests_jitter), (8, 9));
        assert_eq!(settings.graceful_timeout, Duration::from_secs(10));
        assert_eq!(settings.log_config, Some(settings.chdir.join("Cargo.toml")));
        let warning = "`--forwarded-allow-ips`: `proxy` is no address, network or `*`, so it trusts nobody: names are \
                       not looked up";
        assert_eq!(settings.warnings, [warning]);
        assert_eq!(settings.secure_scheme_headers.len(), 3);
    }

    #[test]
    fn what_has_no_effect_warns_and_what_is_wrong_is_refused() {
        let settings =
            line("app --ws wsproto --http h11 --use-colors --reload-dir src --h11-max-incomplete-event-size 9");
        assert_eq!(settings.settings().warnings.len(), 5);
        assert_eq!(line("app --no-use-colors --reset-contextvars --http auto").settings().warnings, [""; 0]);
        refused("app --header x", 1, "daemun: `--header`: `x` is not of the form NAME:VALUE");
        refused("app --root-path api", 1, "daemun: `--root-path`: `api` does not begin with `/`\nhint: as in `/api`");
        refused("app --loop trio", 1, "daemun: `--loop`: must be auto, asyncio or uvloop, not `trio`");
        refused(
            "app --log-config no.ini",
            1,
            "daemun: `--log-config`: cannot read `no.ini`: no such file or directory",
        );
        refused("app --app-dir no", 1, "daemun: `--app-dir`: cannot use directory `no`: no such file or directory");
        refused("app --reload-dir no --reload", 1, "daemun: `--reload-dir`: there is no directory `no`");
        refused("app --env-file no", 1, "daemun: `--env-file`: cannot read `no`: no such file or directory");
    }

    #[test]
    fn a_factory_is_a_call_without_arguments() {
        for (app, made) in
            [("m:f", "m:f()"), ("m", "m:application()"), ("m:", "m:application()"), ("m:f('a')", "m:f('a')")]
        {
            assert_eq!(super::super::application::called(app.into()), made);
        }
    }

    #[test]
    fn a_call_from_python_has_its_own_places() {
        let call = |values: Vec<(&'static str, Value)>| Line {
            args: "app",
            file: values,
            face: Some(Face::Call),
            ..Line::default()
        };
        let settings = call(vec![("port", Value::Int(81)), ("timeout_keep_alive", Value::Int(7))]).settings();
        assert_eq!((settings.bind[0].to_string().as_str(), settings.keepalive.as_secs()), ("127.0.0.1:81", 7));
        let (code, message) = call(vec![("port", str("x"))]).refused();
        assert_eq!((code, message.as_str()), (1, "daemun: `port` of daemun.run(): must be a whole number, not `x`"));
        let (code, message) = call(vec![("prot", Value::Int(1))]).refused();
        assert_eq!(code, 2);
        assert_eq!(message, "daemun: daemun.run() knows no setting `prot`\nhint: did you mean `port`?");
        assert!(file(&[("port", Value::Int(1))]).settings().warnings.is_empty(), "a file may have a name `port`");
    }
}
