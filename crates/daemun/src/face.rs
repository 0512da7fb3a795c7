//! From settings to the engine's configuration. nginx's face brings its tree along; Gunicorn's settings are turned into
//! the tree that a file would give. One path leads on from there.

pub mod shown;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use conf::{At, Diagnostic, Directive};
use http::config::{self, Built, Config, Place};
use http::log::target;

use crate::host::AppSpec;
use crate::nginx::{Layout, Parts};
use crate::settings::{AccessLogFormat, Clients, Interface, Secret, Settings};

/// Bodies up to this many bytes stay in memory.
const BODY_BUFFER: &str = "128k";

/// The engine's configuration; the error has all its problems, a line or more each. It is built once: workers share it
/// with the master.
pub fn configuration(settings: &Settings) -> Result<Arc<Config>, String> {
    if let Some(setup) = &settings.nginx {
        return Ok(setup.config.clone());
    }
    if let Some((built, _)) = settings.built.get() {
        return Ok(built.clone());
    }
    let here = Place { prefix: settings.chdir.clone(), conf: settings.chdir.clone(), access_log: None };
    match Config::build(&tree(settings), &here) {
        Ok(Built { config, warnings }) => {
            let warnings = warnings.iter().map(words).collect();
            Ok(settings.built.get_or_init(|| (Arc::new(config), warnings)).0.clone())
        }
        Err(problems) => Err(problems.iter().map(words).collect::<Vec<_>>().join("\n")),
    }
}

/// A problem with the place where it stands, if it has one.
fn words(problem: &Diagnostic) -> String {
    let text = problem.to_string();
    match problem.at {
        At::Default => text.strip_prefix("default: ").map(str::to_owned).unwrap_or(text),
        _ => text,
    }
}

/// What is to be known about the configuration that a command line stands for.
pub fn warnings(settings: &Settings) -> &[String] {
    settings.built.get().map_or(&[], |(_, warnings)| warnings)
}

/// Where relative paths of a file begin.
fn place(layout: &Layout) -> Place {
    let conf = layout.file.parent().map(PathBuf::from).unwrap_or_default();
    Place {
        prefix: layout.prefix.clone(),
        conf,
        access_log: layout.access_log.as_ref().map(|path| path.display().to_string()),
    }
}

/// What is built of a file's tree.
pub fn built(tree: &[Directive], layout: &Layout) -> Result<Built, Vec<Diagnostic>> {
    Config::build(tree, &place(layout))
}

/// What the process needs to know of a file's tree.
pub fn parts(tree: &[Directive], layout: &Layout) -> Result<Parts, Vec<Diagnostic>> {
    let Built { config, warnings } = built(tree, layout)?;
    let logs = config.logs.iter().filter(|target| !target.has_variables() && !target.unused);
    let logs = logs.filter_map(|target| match &target.place {
        target::Place::File(path) => Some(layout.prefix.join(path)),
        _ => None,
    });
    let mut logs: Vec<PathBuf> = logs.collect();
    let errors = config.locations.iter().filter_map(|location| location.settings.error_log.as_deref()).flatten();
    for path in errors.filter_map(|target| target.file(&layout.prefix)) {
        if !logs.contains(&path) {
            logs.push(path);
        }
    }
    let apps = config.apps.iter().map(|app| app_spec(app, layout)).collect();
    let listens = config.listens.iter().map(|listener| listener.listen.clone()).collect();
    Ok(Parts { main: config.main.clone(), listens, apps, logs, warnings, config: Arc::new(config) })
}

fn app_spec(app: &config::AppSpec, layout: &Layout) -> AppSpec {
    let path = |text: &String| layout.prefix.join(text);
    AppSpec {
        module: app.module.clone(),
        home: app.home.as_ref().map(path),
        chdir: app.chdir.as_ref().map(path),
        path: app.path.iter().map(path).collect(),
        threads: app.threads,
        interface: match app.interface {
            config::Interface::Auto => Interface::Auto,
            config::Interface::Wsgi => Interface::Wsgi,
            config::Interface::Asgi => Interface::Asgi,
        },
        env: app.env.clone(),
        root_path: app.root_path.clone(),
        max_requests: app.max_requests,
        timeout: app.timeout.map_or(Duration::ZERO, Duration::from_millis),
    }
}

/// The applications of a configuration, in its order.
pub fn apps(config: &Config, settings: &Settings) -> Vec<AppSpec> {
    match &settings.nginx {
        Some(setup) => setup.apps.clone(),
        None => config.apps.iter().map(|_| AppSpec::of(settings)).collect(),
    }
}

/// What a command line says about TLS and HTTP/2. The sockets are opened elsewhere: here is one that stands for all.
fn encryption(settings: &Settings) -> Vec<Directive> {
    let at = |setting: &str| At::Flag(settings.place(setting).into());
    let make = |name: &str, setting: &str, value: &str| Directive::new(name, at(setting)).arg(value);
    let mut all = Vec::new();
    if let Some(tls) = &settings.tls {
        let path = |path: &Path| path.display().to_string();
        // Without a file of its own, the key is where the certificate is.
        let key = if tls.key == tls.certificate { "certfile" } else { "keyfile" };
        all.push(make("listen", "certfile", "443").arg("ssl"));
        all.push(make("ssl_certificate", "certfile", &path(&tls.certificate)));
        all.push(make("ssl_certificate_key", key, &path(&tls.key)));
        if let Some(Secret(password)) = &tls.password {
            all.push(make(shown::PASSWORD, "ssl_keyfile_password", password));
        }
        if let Some(authorities) = &tls.authorities {
            all.push(make("ssl_client_certificate", "ca_certs", &path(authorities)));
        }
        if tls.clients != Clients::NotAsked {
            let on = if tls.clients == Clients::Required { "on" } else { "optional" };
            all.push(make("ssl_verify_client", "cert_reqs", on));
            // As Python's `ssl`, which does not count.
            all.push(make("ssl_verify_depth", "cert_reqs", "100"));
        }
        if let Some(ciphers) = &tls.ciphers {
            all.push(make("ssl_ciphers", "ciphers", ciphers));
        }
    }
    let http2 = &settings.http2;
    if http2.tls || http2.cleartext {
        let on = |on: bool| if on { "on" } else { "off" };
        all.push(make("http2", "http_protocols", on(http2.tls)));
        all.push(make("http2_cleartext", "http2_cleartext", on(http2.cleartext)));
        for (name, setting, value) in [
            ("http2_max_concurrent_streams", "http2_max_concurrent_streams", http2.streams),
            ("http2_body_preread_size", "http2_initial_window_size", http2.window),
            ("http2_max_frame_size", "http2_max_frame_size", http2.frame),
            ("http2_max_header_list_size", "http2_max_header_list_size", http2.head),
        ] {
            all.push(make(name, setting, &value.to_string()));
        }
    }
    all
}

/// The tree of a command line.
pub fn tree(settings: &Settings) -> Vec<Directive> {
    let at = |setting: &str| At::Flag(settings.place(setting).into());
    let make = |name: &str, setting: &str, value: String| Directive::new(name, at(setting)).arg(value);
    let ms = |duration: std::time::Duration| format!("{}ms", duration.as_millis());
    let websocket = &settings.websocket;
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();

    let mut http = Vec::new();
    let mut server = vec![
        make("date_header", "date_header", on(settings.date_header)),
        make("server_header", "server_header", on(settings.server_header)),
        make("limit_concurrency", "limit_concurrency", settings.limit_concurrency.to_string()),
        make("root_path", "root_path", settings.root_path.clone()),
        make("forwarded_allow_ips", "forwarded_allow_ips", settings.forwarded_allow_ips.clone()),
        make("websocket", "ws", on(websocket.enabled)),
        make("websocket_deflate", "ws_per_message_deflate", on(websocket.deflate)),
        make("websocket_max_queue", "ws_max_queue", websocket.max_queue.to_string()),
        make("websocket_max_size", "websocket_max_message_size", websocket.max_size.to_string()),
        make("websocket_ping_interval", "ws_ping_interval", format!("{}ms", websocket.ping_interval)),
        make("websocket_ping_timeout", "ws_ping_timeout", format!("{}ms", websocket.ping_timeout)),
        make("client_header_timeout", "client_header_timeout", ms(settings.client_header_timeout)),
        make("client_body_timeout", "client_body_timeout", ms(settings.client_body_timeout)),
        make("send_timeout", "send_timeout", ms(settings.send_timeout)),
        make("client_max_body_size", "client_max_body_size", settings.client_max_body_size.to_string()),
        Directive::new("client_body_buffer_size", At::Default).arg(BODY_BUFFER),
        Directive::new("keepalive_requests", At::Default).arg("0"),
        make("keepalive_timeout", "keepalive", ms(settings.keepalive)),
        make("python_request_buffering", "request_buffering", on(settings.request_buffering)),
        Directive::new("python_accel", At::Default).arg("off"),
        Directive::new("python_raw_path", At::Default).arg("on"),
        make("request_field_size", "limit_request_field_size", settings.limit_request_field_size.to_string()),
        make("max_headers", "limit_request_fields", settings.limit_request_fields.to_string()),
        make("request_line_size", "limit_request_line", settings.limit_request_line.to_string()),
        make("sendfile", "sendfile", on(settings.sendfile)),
    ];
    server.splice(0..0, encryption(settings));
    for (name, value) in &settings.headers {
        server.push(make("add_header", "headers", name.clone()).arg(value).arg("always"));
    }
    for (name, value) in &settings.secure_scheme_headers {
        server.push(make("secure_scheme_header", "secure_scheme_headers", name.clone()).arg(value));
    }
    if let Some(directory) = &settings.tmp_upload_dir {
        server.push(make("client_body_temp_path", "tmp_upload_dir", directory.display().to_string()));
    }
    if let Some(path) = &settings.accesslog {
        let name = match &settings.access_log_format {
            AccessLogFormat::Json => "json",
            AccessLogFormat::Atoms(format) => {
                http.push(make("log_format", "access_log_format", "access".into()).arg("style=gunicorn").arg(format));
                "access"
            }
        };
        server.push(make("access_log", "accesslog", path.clone()).arg(name).arg("buffer=32k").arg("flush=250ms"));
    }
    for files in &settings.static_files {
        let alias = make("alias", "static_files", format!("{}/", files.directory.display()));
        let links = make("disable_symlinks", "static_files", "outside".into());
        let hidden = make("hidden_files", "static_files", "off".into());
        let prefix = make("location", "static_files", "^~".into()).arg(files.url.clone());
        server.push(prefix.block([alias, links, hidden]));
    }
    let app = make("python_pass", "wsgi_app", settings.app.clone());
    server.push(make("location", "wsgi_app", "/".into()).block([app]));
    let plain = |name: &str| Directive::new(name, At::Default);
    http.push(plain("server").block(server));
    vec![
        plain("defaults").arg("modern"),
        plain("events").block([make(
            "worker_connections",
            "worker_connections",
            settings.worker_connections.to_string(),
        )]),
        make("worker_memory", "worker_memory", settings.worker_memory.to_string()),
        plain("http").block(http),
    ]
}
