//! The process: command line, master, workers, listeners, reload.
//!
//! `settings` reads what was asked for in Gunicorn's or Uvicorn's words, `nginx` in nginx's; `face` turns it into a
//! configuration, `master` keeps the processes, `worker` is what one of them does, `wording` what they say, `host` is
//! the interpreter as seen from here, `sys` the syscalls. `cert` is `daemun cert`.

pub mod cert;
pub mod error_log;
pub mod face;
pub mod host;
pub mod master;
pub mod nginx;
pub mod settings;
pub mod sys;
pub mod wording;
pub mod worker;

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

use host::{AppOptions, AppSpec, Host};
use nginx::Program;
use settings::{Action, Command, Exit, Face, Settings, apply_environment};

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the program: `args[0]` is the name it was called by. Gives the exit code.
pub fn run(args: Vec<OsString>, host: &'static dyn Host) -> i32 {
    let (face, arguments) = Face::of(&args);
    let made = match arguments.first().and_then(|first| first.to_str()) {
        Some("--settings-reference") => Some(settings::reference_markdown()),
        Some("--directives-reference") => Some(http::config::reference::markdown()),
        Some("--settings-keywords") => Some(settings::keywords_python()),
        _ => None,
    };
    if let Some(text) = made {
        print(&text);
        return 0;
    }
    if face == Face::Nginx {
        return nginx::run(Program::of(&args), arguments, host);
    }
    if let Face::Command(command) = face {
        return match command {
            Command::Explain => nginx::explain(arguments),
            Command::Format => nginx::format(arguments),
            Command::Help => nginx::help(arguments),
            Command::Cert => cert::run(arguments),
        };
    }
    match act(face, arguments, host) {
        Ok(code) => code,
        Err(exit) => {
            let _ = writeln!(std::io::stderr(), "{}", exit.message);
            exit.code
        }
    }
}

fn act(face: Face, arguments: &[OsString], host: &'static dyn Host) -> Result<i32, Exit> {
    let (arguments, show_tree) = take_flag(arguments, "-T");
    let arguments = arguments.as_slice();
    let read = || {
        let env = |name: &str| std::env::var(name).ok();
        settings::from_command_line(face, arguments, &env, &|source| host.read_config(source))
    };
    match read()? {
        Action::Print(text) => {
            print(&text);
            Ok(0)
        }
        Action::PrintConfig(settings) => {
            print(&settings.print_config());
            check(&settings, host)
        }
        Action::CheckConfig(settings) => check(&settings, host),
        Action::Run(settings) if show_tree => {
            configuration(&settings)?;
            print(&face::shown::tree(&settings).iter().map(ToString::to_string).collect::<String>());
            if settings.tls.as_ref().is_some_and(|tls| tls.password.is_some()) {
                let note =
                    "the key's password is not printed: write it into a file, and name that by `ssl_password_file`";
                let _ = writeln!(std::io::stderr(), "daemun: {note}");
            }
            Ok(0)
        }
        Action::Run(settings) => {
            configuration(&settings)?;
            host.prepare().map_err(|why| Exit::new(1, why, None))?;
            let reread = || match read()? {
                Action::Run(settings) => configuration(&settings).map(|_| settings),
                _ => Err(Exit::new(1, "the settings no longer ask for a server", None)),
            };
            Ok(master::run(settings, host, &reread, &|context| worker::run(context, host)))
        }
    }
}

/// The configuration that the settings make; its problems are the start's problems.
fn configuration(settings: &Settings) -> Result<Arc<http::config::Config>, Exit> {
    face::configuration(settings).map_err(|problems| Exit::new(1, problems, None))
}

/// `--check-config`: everything that starting would find, the application included.
fn check(settings: &Settings, host: &'static dyn Host) -> Result<i32, Exit> {
    configuration(settings)?;
    let _applied = apply_environment(settings)?;
    match host.load(&AppSpec::of(settings), settings, &AppOptions::default()) {
        Ok(_) => Ok(0),
        Err(error) => Err(Exit { code: 1, message: error.message }),
    }
}

/// The arguments without a flag that takes no value, and whether it was there.
fn take_flag(arguments: &[OsString], flag: &str) -> (Vec<OsString>, bool) {
    let rest: Vec<OsString> = arguments.iter().filter(|argument| *argument != flag).cloned().collect();
    let found = rest.len() < arguments.len();
    (rest, found)
}

pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that closes early (`| head`) is no error.
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}
