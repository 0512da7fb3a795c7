//! From values as typed to values ready to run: what exists is looked up, what is relative becomes absolute, what does
//! not fit together is refused. Every error names where the value stands and what to do.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use nix::unistd::{Group, User};

use super::application::{
    called, has_header, headers, interface, log_config, python_path, reload_dirs, root_path, secure_scheme_headers,
    trusted_proxies, websocket,
};
use super::given::Given;
use super::{
    AccessLogFormat, Bind, EventLoop, Exit, Front, Lifespan, Settings, StaticFiles, USAGE, http2, tls, uvicorn,
};
use crate::error_log::Level;
use crate::host::SettingValue;
use crate::sys::reason;
use crate::wording::Wording;

/// As Gunicorn's: what the limits may be at most.
const MAX_REQUEST_LINE: usize = 8190;
const MAX_REQUEST_FIELDS: usize = 32_768;

/// Resolves all settings. `variables` are those of the file `env_file`.
pub(super) fn resolve(
    mut given: Given,
    app: Option<String>,
    variables: Vec<(String, String)>,
) -> Result<Settings, Exit> {
    let app = app.ok_or_else(|| {
        Exit::new(
            1,
            format!("no application module specified\nusage: {USAGE}"),
            Some("name the module that holds the application, as in `daemun shop.wsgi` or `daemun main:app`".into()),
        )
    })?;
    uvicorn::translate(&mut given)?;
    let start_dir = std::env::current_dir()
        .map_err(|error| Exit::new(1, format!("cannot tell the current directory: {}", reason(&error)), None))?;
    let chdir = directory(&given, "chdir", &start_dir)?.unwrap_or_else(|| start_dir.clone());
    let path = |given: &Given, name| given.optional(name).map(|path| chdir.join(path));
    let log = |target: String| match target.as_str() {
        "-" => target,
        path => chdir.join(path).display().to_string(),
    };
    let interface = interface(&given)?;
    let factory = given.switch("factory");
    let limit_request_line = capped(&mut given, "limit_request_line", MAX_REQUEST_LINE);
    let limit_request_fields = match capped(&mut given, "limit_request_fields", MAX_REQUEST_FIELDS) {
        0 => MAX_REQUEST_FIELDS,
        limit => limit,
    };
    let tls = tls::tls(&mut given, &chdir)?;
    let daemon = given.switch("daemon");
    let errorlog = given.text("errorlog");
    if daemon && errorlog == "-" && !given.switch("enable_stdio_inheritance") {
        given.warnings.push(format!("{} without an error log file: errors will not be seen", given.place("daemon")));
    }
    Ok(Settings {
        app: if factory { called(app) } else { app },
        interface,
        factory,
        root_path: root_path(&given)?,
        lifespan: Lifespan::of(&given.text("asgi_lifespan")),
        event_loop: EventLoop::of(&given.text("asgi_loop")),
        log_config: log_config(&given, &chdir)?,
        limit_concurrency: given.int("limit_concurrency") as u32,
        websocket: websocket(&given),
        server_header: given.switch("server_header") && !has_header(&given, "server"),
        date_header: given.switch("date_header") && !has_header(&given, "date"),
        headers: headers(&given)?,
        forwarded_allow_ips: trusted_proxies(&mut given),
        secure_scheme_headers: secure_scheme_headers(&given)?,
        pythonpath: python_path(&given, &chdir)?,
        raw_env: variables.into_iter().chain(raw_env(&given)?).collect(),
        bind: addresses(&given, &chdir)?,
        backlog: given.int("backlog") as i32,
        reuse_port: given.switch("reuse_port"),
        http2: http2::http2(&mut given, tls.is_some())?,
        tls,
        workers: given.int("workers") as usize,
        threads: given.int("threads") as usize,
        worker_connections: given.int("worker_connections") as usize,
        timeout: seconds(&given, "timeout"),
        graceful_timeout: seconds(&given, "graceful_timeout"),
        keepalive: seconds(&given, "keepalive"),
        max_requests: given.int("max_requests") as u64,
        max_requests_jitter: given.int("max_requests_jitter") as u64,
        preload: given.switch("preload_app"),
        front: match given.text("front").as_str() {
            "inline" => Front::Inline,
            "thread" => Front::Thread,
            _ => Front::Auto,
        },
        limit_request_line,
        limit_request_fields,
        limit_request_field_size: given.int("limit_request_field_size") as usize,
        client_header_timeout: seconds(&given, "client_header_timeout"),
        client_body_timeout: seconds(&given, "client_body_timeout"),
        send_timeout: seconds(&given, "send_timeout"),
        client_max_body_size: size(&given, "client_max_body_size")?,
        worker_memory: size(&given, "worker_memory")?,
        request_buffering: given.text("request_buffering") == "on",
        tmp_upload_dir: directory(&given, "tmp_upload_dir", &chdir)?,
        sendfile: given.value("sendfile") != SettingValue::Bool(false),
        static_files: given
            .list("static_files")
            .iter()
            .map(|text| static_files(text, &chdir).map_err(|(why, hint)| refuse(&given, "static_files", why, hint)))
            .collect::<Result<_, _>>()?,
        reload: given.switch("reload"),
        reload_extra_files: extra_files(&given, &chdir)?,
        reload_dirs: reload_dirs(&given, &chdir)?,
        reload_includes: given.list("reload_includes"),
        reload_excludes: given.list("reload_excludes"),
        reload_delay: Duration::from_secs_f64(given.float("reload_delay")),
        daemon,
        enable_stdio_inheritance: given.switch("enable_stdio_inheritance"),
        pidfile: path(&given, "pidfile"),
        user: user(&given)?,
        group: group(&given)?,
        initgroups: given.switch("initgroups"),
        umask: given.int("umask") as u32,
        proc_name: given.optional("proc_name"),
        accesslog: given.optional("accesslog").map(log),
        access_log_format: match given.text("access_log_format") {
            word if word.eq_ignore_ascii_case("json") => AccessLogFormat::Json,
            format => AccessLogFormat::Atoms(format),
        },
        errorlog: log(if errorlog.is_empty() { "-".into() } else { errorlog }),
        loglevel: match given.text("loglevel").as_str() {
            "trace" => Level::Debug,
            level => level.parse().unwrap_or(Level::Info),
        },
        wording: Wording::Gunicorn,
        nginx: None,
        built: OnceLock::new(),
        warnings: std::mem::take(&mut given.warnings),
        start_dir,
        chdir,
        given,
    })
}

/// An error at a setting's place.
pub(super) fn refuse(given: &Given, name: &str, why: impl std::fmt::Display, hint: Option<&str>) -> Exit {
    Exit::new(1, format!("{}: {why}", given.place(name)), hint.map(String::from))
}

fn seconds(given: &Given, name: &str) -> Duration {
    Duration::from_secs(given.int(name) as u64)
}

fn size(given: &Given, name: &str) -> Result<u64, Exit> {
    let text = given.text(name);
    conf::offset(&text).ok_or_else(|| {
        refuse(
            given,
            name,
            format!("`{text}` is not a size"),
            Some("a number of bytes, or with k, m or g, as in `10m`"),
        )
    })
}

pub(super) fn split_commas(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// A limit that Gunicorn caps silently; here a warning tells of it.
fn capped(given: &mut Given, name: &str, most: usize) -> usize {
    let limit = given.int(name) as usize;
    if limit > most {
        given.warnings.push(format!("{}: {limit} is more than is allowed, {most} is used", given.place(name)));
    }
    limit.min(most)
}

/// An existing directory that can be entered.
pub(super) fn directory(given: &Given, name: &str, base: &Path) -> Result<Option<PathBuf>, Exit> {
    let Some(path) = given.optional(name) else { return Ok(None) };
    let absolute = base.join(&path);
    match std::fs::metadata(&absolute) {
        Ok(found) if found.is_dir() => Ok(Some(absolute)),
        Ok(_) => Err(refuse(given, name, format!("`{path}` is not a directory"), None)),
        Err(error) => Err(refuse(given, name, format!("cannot use directory `{path}`: {}", reason(&error)), None)),
    }
}

fn addresses(given: &Given, base: &Path) -> Result<Vec<Bind>, Exit> {
    let mut all = Vec::new();
    for text in given.list("bind") {
        let bind = Bind::parse(&text).map_err(|why| refuse(given, "bind", why, None))?.below(base);
        let any_port = matches!(bind, Bind::Tcp { port: 0, .. });
        if all.contains(&bind) && !any_port {
            return Err(refuse(given, "bind", format!("`{bind}` stands twice"), None));
        }
        all.push(bind);
    }
    if all.is_empty() {
        return Err(refuse(given, "bind", "there is no address", Some("name one, as in `127.0.0.1:8000`")));
    }
    Ok(all)
}

fn raw_env(given: &Given) -> Result<Vec<(String, String)>, Exit> {
    let read = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(refuse(given, "raw_env", format!("`{text}` is not of the form NAME=VALUE"), None)),
    };
    given.list("raw_env").iter().map(read).collect()
}

/// Reads `URL=DIR`.
fn static_files(text: &str, base: &Path) -> Result<StaticFiles, (String, Option<&'static str>)> {
    let form = Some("write the path of a URL and a directory, as in `/static/=assets`");
    let Some((url, directory)) = text.split_once('=') else {
        return Err((format!("`{text}` is not of the form URL=DIR"), form));
    };
    if !url.starts_with('/') || url.contains(['?', '#']) {
        return Err((format!("`{url}` is not the path of a URL: it must begin with `/`"), form));
    }
    if directory.is_empty() {
        return Err((format!("`{text}` names no directory"), form));
    }
    let absolute = base.join(directory);
    match std::fs::read_dir(&absolute) {
        Ok(_) => Ok(StaticFiles { url: format!("{}/", url.trim_end_matches('/')), directory: absolute }),
        Err(error) => {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => Some("create it first; Django's `collectstatic` does"),
                std::io::ErrorKind::PermissionDenied => Some("the server's user must be able to read it"),
                _ => None,
            };
            Err((format!("cannot read directory `{directory}`: {}", reason(&error)), hint))
        }
    }
}

fn extra_files(given: &Given, base: &Path) -> Result<Vec<PathBuf>, Exit> {
    let check = |text: &String| {
        let path = base.join(text);
        if text.contains(['*', '?', '[']) || path.exists() {
            Ok(path)
        } else {
            Err(refuse(given, "reload_extra_files", format!("there is no file `{text}`"), None))
        }
    };
    given.list("reload_extra_files").iter().map(check).collect()
}

fn user(given: &Given) -> Result<Option<u32>, Exit> {
    let find = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    account(given, "user", &find)
}

fn group(given: &Given) -> Result<Option<u32>, Exit> {
    let find = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    account(given, "group", &find)
}

fn account(given: &Given, kind: &str, find: &dyn Fn(&str) -> Option<u32>) -> Result<Option<u32>, Exit> {
    let number = match given.value(kind) {
        SettingValue::Int(number) => number,
        SettingValue::Str(name) if !name.is_empty() => match name.parse() {
            Ok(number) => number,
            Err(_) => match find(&name) {
                Some(number) => return Ok(Some(number)),
                None => return Err(refuse(given, kind, format!("there is no {kind} `{name}`"), None)),
            },
        },
        _ => return Ok(None),
    };
    match u32::try_from(number) {
        Ok(number) if number != u32::MAX => Ok(Some(number)),
        _ => Err(refuse(given, kind, format!("`{number}` is not the number of a {kind}"), None)),
    }
}
