//! Gunicorn's face: its settings as the configuration tree that a file would give. One path leads on from there.

use conf::{At, Directive};
use http::config::Config;

use crate::settings::{AccessLogFormat, Settings};

/// Bodies up to this many bytes stay in memory.
const BODY_BUFFER: &str = "128k";

/// The configuration of a command line; the error has all its problems, a line or more each.
pub fn configuration(settings: &Settings) -> Result<Config, String> {
    Config::build(&tree(settings)).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

/// The tree of a command line.
fn tree(settings: &Settings) -> Vec<Directive> {
    let at = |setting: &str| At::Flag(settings.place(setting).into());
    let make = |name: &str, setting: &str, value: String| Directive::new(name, at(setting)).arg(value);
    let ms = |duration: std::time::Duration| format!("{}ms", duration.as_millis());
    let websocket = &settings.websocket;
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();

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
        make("request_buffering", "request_buffering", on(settings.request_buffering)),
        make("request_field_size", "limit_request_field_size", settings.limit_request_field_size.to_string()),
        make("request_fields", "limit_request_fields", settings.limit_request_fields.to_string()),
        make("request_line_size", "limit_request_line", settings.limit_request_line.to_string()),
        make("sendfile", "sendfile", on(settings.sendfile)),
        make("worker_connections", "worker_connections", settings.worker_connections.to_string()),
    ];
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
        let format = match &settings.access_log_format {
            AccessLogFormat::Json => "json",
            AccessLogFormat::Atoms(format) => format,
        };
        server.push(make("access_log", "access_log_format", path.clone()).arg(format));
    }
    for files in &settings.static_files {
        let alias = make("alias", "static_files", files.directory.display().to_string());
        server.push(make("location", "static_files", files.url.clone()).block([alias]));
    }
    let app = make("python_pass", "wsgi_app", settings.app.clone());
    server.push(make("location", "wsgi_app", "/".into()).block([app]));
    vec![Directive::new("http", At::Default).block([Directive::new("server", At::Default).block(server)])]
}
