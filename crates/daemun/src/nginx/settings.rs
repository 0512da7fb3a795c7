//! From nginx's configuration to the settings that the master and the workers run with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conf::{Diagnostic, Directive};
use http::config::listen::{Address, Listen};
use http::config::main::{Main, WorkerProcesses};
use nix::unistd::{Group, User};

use super::Setup;
use crate::error_log::Level;
use crate::settings::{Bind, Listening, Settings};
use crate::sys::cpus;
use crate::wording::Wording;

/// Whom workers run as when root starts the program and nobody says, as in nginx.
const NOBODY: &str = "nobody";

/// Makes the settings. `None`: they could not be made, and `problems` says why.
pub fn make(
    setup: Arc<Setup>,
    tree: &[Directive],
    listens: Vec<Listen>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Settings> {
    let main = &setup.main;
    let mut settings = match Settings::plain() {
        Ok(settings) => settings,
        Err(exit) => {
            problems.push(Diagnostic::new(conf::At::Default, exit.message));
            return None;
        }
    };
    settings.wording = Wording::Nginx;
    settings.workers = match main.worker_processes {
        _ if !main.master_process => 1,
        WorkerProcesses::Count(count) => count,
        WorkerProcesses::Auto => cpus::usable(),
    };
    settings.worker_connections = main.worker_connections as usize;
    settings.daemon = main.daemon;
    settings.enable_stdio_inheritance = false;
    settings.graceful_timeout = main.worker_shutdown_timeout.map_or(Settings::FOREVER, Duration::from_millis);
    settings.pidfile = main.pid.as_ref().map(|pid| setup.layout.path(pid)).or_else(|| setup.layout.pid.clone());
    settings.umask = 0;
    if let Some(directory) = &main.working_directory {
        settings.chdir = PathBuf::from(directory);
    }
    (settings.errorlog, settings.loglevel) = error_log(&setup);
    (settings.user, settings.group) = account(tree, main, problems);
    settings.initgroups = true;
    settings.bind = binds(listens, settings.workers);

    let apps = &setup.apps;
    settings.timeout = apps.iter().map(|app| app.timeout).filter(|limit| !limit.is_zero()).min().unwrap_or_default();
    settings.max_requests = apps.iter().map(|app| app.max_requests).filter(|most| *most > 0).min().unwrap_or(0);
    settings.threads = apps.iter().filter_map(|app| app.threads).max().unwrap_or(1);
    settings.nginx = Some(setup);
    Some(settings)
}

/// The first error log that is a file (`-`: there is none), and the least level of the first of all.
fn error_log(setup: &Setup) -> (String, Level) {
    let file = setup.error_files().into_iter().next();
    (file.map_or_else(|| "-".into(), |file| file.display().to_string()), setup.level())
}

/// Looks for the user that a configuration names which cannot be used: all its problems are told at once.
pub fn check_account(tree: &[Directive], problems: &mut Vec<Diagnostic>) {
    let Some(user) = tree.iter().find(|directive| directive.name.text == "user") else { return };
    let word = |index: usize| user.args.get(index).map(|word: &conf::Word| word.text.clone());
    let Some(name) = word(0) else { return };
    let main = Main { user: Some((name, word(1))), ..Main::default() };
    account(tree, &main, problems);
}

/// User and group by their numbers.
fn account(tree: &[Directive], main: &Main, problems: &mut Vec<Diagnostic>) -> (Option<u32>, Option<u32>) {
    let directive = tree.iter().find(|directive| directive.name.text == "user");
    let mut problem = |message: String, warn: bool| {
        let diagnostic = match directive {
            Some(directive) => Diagnostic::of(directive, message),
            None => Diagnostic::new(conf::At::Default, message),
        };
        problems.push(if warn { diagnostic.warn() } else { diagnostic });
    };
    if !nix::unistd::geteuid().is_root() {
        if main.user.is_some() {
            let message = "the \"user\" directive makes sense only if the master process runs with super-user \
                           privileges, ignored";
            problem(message.into(), true);
        }
        return (None, None);
    }
    let (name, group) = match &main.user {
        Some((name, group)) => (name.as_str(), group.as_deref()),
        None => (NOBODY, None),
    };
    let Some(user) = User::from_name(name).ok().flatten() else {
        problem(format!("getpwnam(\"{name}\") failed"), false);
        return (None, None);
    };
    let group = match group {
        // nginx takes the group of the user's name; where there is none, the user's own does.
        None => Group::from_name(name).ok().flatten().map_or(user.gid, |group| group.gid),
        Some(group) => match Group::from_name(group).ok().flatten() {
            Some(group) => group.gid,
            None => {
                problem(format!("getgrnam(\"{group}\") failed"), false);
                return (None, None);
            }
        },
    };
    (Some(user.uid.as_raw()), Some(group.as_raw()))
}

/// The sockets to open: with `reuseport` one for each worker. As in nginx, an address needs no socket of its own where
/// one for all addresses has its port, unless it asks for one.
fn binds(listens: Vec<Listen>, workers: usize) -> Vec<Bind> {
    let everywhere: Vec<SocketAddr> = listens
        .iter()
        .filter_map(|listen| match listen.address {
            Address::Inet(address) if address.ip().is_unspecified() => Some(address),
            _ => None,
        })
        .collect();
    let covered = |listen: &Listen| match listen.address {
        Address::Inet(address) if !address.ip().is_unspecified() && !listen.options.bind => everywhere
            .iter()
            .any(|wildcard| wildcard.is_ipv4() == address.is_ipv4() && wildcard.port() == address.port()),
        _ => false,
    };
    let mut binds = Vec::new();
    for listen in listens.into_iter().filter(|listen| !listen.options.quic && !covered(listen)) {
        let reuseport = listen.options.reuseport && matches!(listen.address, Address::Inet(_));
        let listen = Arc::new(listen);
        if reuseport {
            let shards = (0..workers).map(|shard| Listening { listen: listen.clone(), shard: Some(shard) });
            binds.extend(shards.map(Bind::Listen));
        } else {
            binds.push(Bind::Listen(Listening { listen, shard: None }));
        }
    }
    binds
}

/// Whether workers keep a variable of the environment unasked. nginx keeps `TZ` alone; here also what the interpreter
/// and its libraries need to be found, and the user's language and directories.
pub fn keeps(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "TZ",
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TMPDIR",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
    ];
    const BEGINNINGS: &[&str] = &["LC_", "PYTHON", "LD_", "SSL_CERT_", "MALLOC_"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        let words: Vec<conf::Word> = text.split(' ').map(|word| conf::Word::new(word, conf::At::Default)).collect();
        let parsed = http::config::listen::parse(&words).unwrap();
        let address = parsed.addresses[0].clone();
        Listen { text: address.to_string(), address, options: parsed.options, at: conf::At::Default }
    }

    #[test]
    fn sockets_are_opened_as_nginx_opens_them() {
        for (listens, opened) in [
            (vec!["80", "127.0.0.1:80", "127.0.0.1:81"], "0.0.0.0:80 127.0.0.1:81"),
            (vec!["127.0.0.1:80", "[::]:80"], "127.0.0.1:80 [::]:80"),
            (vec!["80", "127.0.0.1:80 bind"], "0.0.0.0:80 127.0.0.1:80"),
            (vec!["80 reuseport", "unix:/a reuseport"], "0.0.0.0:80 0.0.0.0:80 unix:/a"),
        ] {
            let binds = binds(listens.iter().map(|text| listen(text)).collect(), 2);
            let texts: Vec<String> = binds.iter().map(ToString::to_string).collect();
            assert_eq!(texts.join(" "), opened);
        }
    }

    #[test]
    fn workers_keep_what_python_needs() {
        for (name, kept) in [("TZ", true), ("PYTHONPATH", true), ("LC_ALL", true), ("SECRET", false), ("NGINX", false)]
        {
            assert_eq!(keeps(name), kept, "{name}");
        }
    }
}
