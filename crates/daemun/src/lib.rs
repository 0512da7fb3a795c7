//! The process: command line, master, workers, listeners, reload.
//!
//! `settings` reads what was asked for, `face` turns it into a configuration tree, `master` keeps the processes,
//! `worker` is what one of them does, `host` is the interpreter as seen from here, `sys` the syscalls.

pub mod error_log;
pub mod face;
pub mod host;
pub mod master;
pub mod settings;
pub mod sys;
pub mod worker;

use std::ffi::OsString;
use std::io::Write;

use host::{AppOptions, Host};
use settings::{Action, Exit, Face, Settings, apply_environment};

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the program: `args[0]` is the name it was called by. Gives the exit code.
pub fn run(args: Vec<OsString>, host: &'static dyn Host) -> i32 {
    let (face, arguments) = Face::of(&args);
    let made = match arguments.first().and_then(|first| first.to_str()) {
        Some("--settings-reference") => Some(settings::reference_markdown()),
        Some("--settings-keywords") => Some(settings::keywords_python()),
        _ => None,
    };
    if let Some(text) = made {
        print(&text);
        return 0;
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
        Action::Run(settings) => {
            configuration(&settings)?;
            let reread = || match read()? {
                Action::Run(settings) => configuration(&settings).map(|_| settings),
                _ => Err(Exit::new(1, "the settings no longer ask for a server", None)),
            };
            Ok(master::run(settings, host, &reread, &|context| worker::run(context, host)))
        }
    }
}

/// The configuration that the settings make; its problems are the start's problems.
fn configuration(settings: &Settings) -> Result<http::config::Config, Exit> {
    face::configuration(settings).map_err(|problems| Exit::new(1, problems, None))
}

/// `--check-config`: everything that starting would find, the application included.
fn check(settings: &Settings, host: &'static dyn Host) -> Result<i32, Exit> {
    configuration(settings)?;
    let _applied = apply_environment(settings)?;
    match host.load(&settings.app, settings, &AppOptions::default()) {
        Ok(_) => Ok(0),
        Err(error) => Err(Exit { code: 1, message: error.message }),
    }
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that closes early (`| head`) is no error.
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}
