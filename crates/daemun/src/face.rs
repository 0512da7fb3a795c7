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
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();

    let mut server = vec![
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
