//! `-t` and `-T`: everything that a start would find, without serving.

use std::fs::OpenOptions;
use std::io::Write as _;

use super::{Flags, Layout, Loaded, Program};
use crate::host::{AppOptions, Host};
use crate::master;
use crate::settings::{Settings, apply_environment};
use crate::sys::with_code;

/// Tests a configuration whose diagnostics have been told. Gives the exit code.
pub fn run(program: Program, flags: &Flags, layout: &Layout, loaded: Loaded, host: &'static dyn Host) -> i32 {
    let file = layout.file.display();
    let say = |what: &str| {
        if !flags.quiet {
            program.say_plain(what);
        }
    };
    let mut well = false;
    if let Some(settings) = &loaded.settings {
        say(&format!("the configuration file {file} syntax is ok"));
        let problems = surroundings(settings, host);
        problems.iter().for_each(|problem| program.say("emerg", problem));
        well = problems.is_empty();
    }
    if !well {
        program.say_plain(&format!("configuration file {file} test failed"));
        return 1;
    }
    say(&format!("configuration file {file} test is successful"));
    if flags.dump {
        let mut out = std::io::stdout().lock();
        for source in &loaded.sources {
            // A reader that closes early (`| head`) is no error.
            let _ = writeln!(out, "# configuration file {}:\n{}", source.name, source.text);
        }
        let _ = out.flush();
    }
    0
}

/// Opens what the configuration names; gives what is wrong.
fn surroundings(settings: &Settings, host: &'static dyn Host) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(setup) = &settings.nginx {
        problems.extend(setup.open_error_log().err());
        let mut seen = Vec::new();
        for targets in setup.config.locations.iter().filter_map(|location| location.settings.error_log.as_ref()) {
            if !seen.contains(&targets) {
                seen.push(targets);
                problems.extend(setup.open(targets).err());
            }
        }
    }
    let logs = settings.nginx.iter().flat_map(|setup| &setup.logs);
    for path in logs.chain(&settings.pidfile) {
        if let Err(error) = OpenOptions::new().append(true).create(true).open(path) {
            problems.push(format!("open() \"{}\" failed ({})", path.display(), with_code(&error)));
        }
    }
    problems.extend(master::probe(settings));
    if !problems.is_empty() {
        return problems;
    }
    let apps = match &settings.nginx {
        Some(setup) => setup.apps.clone(),
        None => return problems,
    };
    if apps.is_empty() {
        return problems;
    }
    let _applied = match apply_environment(settings) {
        Ok(applied) => applied,
        Err(exit) => return vec![exit.message],
    };
    let load = |spec| host.load(spec, settings, &AppOptions::default()).err().map(|error| error.message);
    apps.iter().filter_map(load).collect()
}
