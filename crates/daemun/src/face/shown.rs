//! `-T` of a command line: the configuration file that it stands for. Saved, it runs by `-c`.

use conf::{At, Directive};
use nix::unistd::{Uid, User, geteuid};

use crate::settings::{Bind, Interface, Settings};

/// The directive that has the password of a key. It is not shown.
pub const PASSWORD: &str = "ssl_certificate_key_password";

/// The file's tree.
pub fn tree(settings: &Settings) -> Vec<Directive> {
    let line = |name: &str, value: String| Directive::new(name, At::Default).arg(value);
    let mut main = vec![line("daemon", if settings.daemon { "on" } else { "off" }.into())];
    let user = settings.user.or_else(|| geteuid().is_root().then_some(0));
    if let Some(user) = user.and_then(|user| User::from_uid(Uid::from_raw(user)).ok().flatten()) {
        main.push(line("user", user.name));
    }
    main.push(line("worker_processes", settings.workers.to_string()));
    main.push(line("worker_shutdown_timeout", format!("{}s", settings.graceful_timeout.as_secs())));
    if let Some(path) = &settings.pidfile {
        main.push(line("pid", path.display().to_string()));
    }
    let errors = if settings.errorlog == "-" { "stderr".into() } else { settings.errorlog.clone() };
    main.push(line("error_log", errors).arg(level(settings)));
    main.extend(super::tree(settings));
    if let Some(http) = main.iter_mut().find(|it| it.name.text == "http") {
        for inner in http.block.iter_mut().flatten() {
            if inner.name.text == "server"
                && let Some(server) = &mut inner.block
            {
                complete(settings, server);
            }
        }
        if let Some(inner) = &mut http.block {
            inner.insert(0, application(settings));
        }
    }
    main
}

fn level(settings: &Settings) -> &'static str {
    use crate::error_log::Level;
    match settings.loglevel {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Notice => "notice",
        Level::Warning => "warn",
        Level::Error => "error",
        _ => "crit",
    }
}

/// Where the server listens; the standard output has a name in a file. What stands for the sockets, and what is secret,
/// goes.
fn complete(settings: &Settings, server: &mut Vec<Directive>) {
    server.retain(|it| !["listen", PASSWORD].contains(&it.name.text.as_str()));
    for it in server.iter_mut().filter(|it| it.name.text == "access_log") {
        if let Some(path) = it.args.first_mut().filter(|path| path.text == "-") {
            path.text = "/dev/stdout".into();
        }
    }
    let listens = settings.bind.iter().filter_map(address).map(|address| {
        let listen = Directive::new("listen", At::Default).arg(address);
        let listen = listen.arg(format!("backlog={}", settings.backlog));
        let listen = if settings.reuse_port { listen.arg("reuseport") } else { listen };
        if settings.tls.is_some() { listen.arg("ssl") } else { listen }
    });
    let listens: Vec<Directive> = listens.collect();
    server.splice(0..0, listens);
}

/// An address as `listen` takes it; `None`: a file cannot say it.
fn address(bind: &Bind) -> Option<String> {
    match bind {
        Bind::Tcp { port: 0, .. } | Bind::Fd(_) => None,
        Bind::Tcp { host, port } if host.is_empty() => Some(port.to_string()),
        Bind::Tcp { host, port } if host.contains(':') => Some(format!("[{host}]:{port}")),
        Bind::Tcp { host, port } => Some(format!("{host}:{port}")),
        Bind::Unix(path) => Some(format!("unix:{}", path.display())),
        Bind::Listen(listening) => Some(listening.listen.text.to_string()),
    }
}

/// The application with what it wants of its process.
fn application(settings: &Settings) -> Directive {
    let line = |name: &str, value: String| Directive::new(name, At::Default).arg(value);
    let mut inner = vec![line("module", settings.app.clone()), line("chdir", settings.chdir.display().to_string())];
    // The one that is named last is looked into first.
    inner.push(line("path", settings.chdir.display().to_string()));
    inner.extend(settings.pythonpath.iter().map(|path| line("path", path.display().to_string())));
    if settings.threads > 1 {
        inner.push(line("threads", settings.threads.to_string()));
    }
    match settings.interface {
        Interface::Auto => {}
        Interface::Wsgi => inner.push(line("interface", "wsgi".into())),
        Interface::Asgi | Interface::Asgi2 | Interface::Asgi3 => inner.push(line("interface", "asgi".into())),
    }
    for (name, value) in &settings.raw_env {
        inner.push(line("env", name.clone()).arg(value));
    }
    if settings.max_requests > 0 {
        inner.push(line("max_requests", settings.max_requests.to_string()));
    }
    if !settings.timeout.is_zero() {
        inner.push(line("timeout", format!("{}s", settings.timeout.as_secs())));
    }
    line("python_app", settings.app.clone()).block(inner)
}
