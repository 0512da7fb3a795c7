//! nginx's face: its command line, its configuration file, its words.
//!
//! `flags` reads the command line, `layout` says where files are, `read` reads the configuration, `settings` makes of it
//! what the master and the workers run with. `test` is `-t`, `order` is `-s`, `version` what `-v`, `-V` and `-h` print,
//! `logs` opens the error
//! logs, `help` is `daemun help`, `format` is `daemun fmt`, `explain` is `daemun explain` with `inherited`.

mod explain;
mod flags;
mod format;
mod help;
mod inherited;
mod layout;
mod logs;
mod order;
mod read;
mod settings;
mod test;
mod version;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf::{Diagnostic, Directive, Severity};
use http::config::Config;
use http::config::listen::Listen;
use http::config::main::Main;

pub use explain::run as explain;
pub use flags::Flags;
pub use format::run as format;
pub use help::run as help;
pub use layout::Layout;
pub use settings::keeps;

use crate::host::{AppSpec, Host};
use crate::settings::{Exit, Settings};
use crate::sys::{process, title};
use crate::{master, worker};
use read::Source;

/// The version of nginx whose language and behaviour this is.
pub const COMPATIBLE: &str = http::identity::NGINX_VERSION;

/// What the program calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Daemun,
    /// It was called through a link of that name.
    Nginx,
}

impl Program {
    /// By the first word of a command line.
    pub fn of(args: &[OsString]) -> Program {
        let name = args.first().and_then(|name| Path::new(name).file_name());
        if name.is_some_and(|name| name == "nginx") { Program::Nginx } else { Program::Daemun }
    }

    pub fn name(self) -> &'static str {
        match self {
            Program::Daemun => "daemun",
            Program::Nginx => "nginx",
        }
    }

    /// `nginx: [emerg] what`
    pub fn say(self, level: &str, what: &str) {
        self.print(&format!("{}: [{level}] {what}", self.name()));
    }

    /// `nginx: what`
    pub fn say_plain(self, what: &str) {
        self.print(&format!("{}: {what}", self.name()));
    }

    /// Tells of what is wrong with a configuration.
    pub fn diagnose(self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            self.say(diagnostic.severity.name(), &words(diagnostic));
        }
    }

    fn print(self, line: &str) {
        // There is nowhere to tell of a failure.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// A diagnostic in nginx's words, with the hint in a line of its own.
fn words(diagnostic: &Diagnostic) -> String {
    let hint = diagnostic.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("{}{hint}", diagnostic.nginx())
}

/// What was read, for the master and the workers.
#[derive(Debug)]
pub struct Setup {
    pub program: Program,
    pub layout: Layout,
    pub config: Arc<Config>,
    pub main: Main,
    pub apps: Vec<AppSpec>,
    /// As [`Parts::logs`].
    pub logs: Vec<PathBuf>,
}

impl Setup {
    /// Names a process in the lists of processes, as nginx does: `nginx: worker process`.
    pub fn name_process(&self, what: &str) {
        let name = self.program.name();
        process::set_name(name);
        title::set(&format!("{name}: {what}"));
    }
}

/// What the process itself needs to know of a configuration.
pub struct Parts {
    pub config: Arc<Config>,
    pub main: Main,
    /// One for each address.
    pub listens: Vec<Listen>,
    pub apps: Vec<AppSpec>,
    /// The files of all access logs whose names have no variables: the master makes them for the workers.
    pub logs: Vec<PathBuf>,
    pub warnings: Vec<Diagnostic>,
}

/// A configuration as it was read.
pub struct Loaded {
    /// Its files, in the order in which they were read.
    pub sources: Vec<Source>,
    /// What is wrong with it; without errors there are settings.
    pub diagnostics: Vec<Diagnostic>,
    pub settings: Option<Settings>,
}

/// Reads the configuration that a command line names.
pub fn load(program: Program, flags: &Flags, layout: &Layout) -> Loaded {
    let mut read = read::read(layout, flags);
    let mut diagnostics = std::mem::take(&mut read.errors);
    let mut parts = None;
    match crate::face::parts(&read.tree, layout) {
        Ok(made) => parts = Some(made),
        Err(problems) => {
            diagnostics.extend(problems);
            settings::check_account(&read.tree, &mut diagnostics);
        }
    }
    if let Some(parts) = &mut parts {
        diagnostics.append(&mut parts.warnings);
    }
    unquoted(&mut diagnostics);
    if let Some(problem) = no_events(&read.tree).filter(|_| !has_errors(&diagnostics)) {
        diagnostics.push(problem);
    }
    let settings = parts.and_then(|parts| {
        let Parts { config, main, listens, apps, logs, .. } = parts;
        let setup = Setup { program, layout: layout.clone(), config, main, apps, logs };
        settings::make(Arc::new(setup), &read.tree, listens, &mut diagnostics)
    });
    let failed = has_errors(&diagnostics);
    Loaded { sources: read.sources, diagnostics, settings: settings.filter(|_| !failed) }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Emerg)
}

/// A brace of a regular expression without quotes opens a block that nothing closes: the end of the file, where that
/// shows, is not where the mistake is.
fn unquoted(diagnostics: &mut Vec<Diagnostic>) {
    let brace = |one: &Diagnostic| one.message.starts_with("unknown directive") && one.message.contains('}');
    if diagnostics.iter().any(brace) {
        diagnostics.retain(|one| !one.message.starts_with("unexpected end of file"));
    }
}

/// nginx wants an `events` block, be it empty.
fn no_events(tree: &[Directive]) -> Option<Diagnostic> {
    let has = |name: &str| tree.iter().any(|directive| directive.name.text == name);
    let problem =
        || Diagnostic::new(conf::At::Default, "no \"events\" section in configuration").hint("add `events { }`");
    (!has("events")).then(problem)
}

/// Runs the program with nginx's command line; `args` does not begin with the program's name. Gives the exit code.
pub fn run(program: Program, args: &[OsString], host: &'static dyn Host) -> i32 {
    http::identity::set(program == Program::Nginx);
    let flags = match Flags::parse(args) {
        Ok(flags) => flags,
        Err(why) => {
            program.say_plain(&why);
            return 1;
        }
    };
    let here = std::env::current_dir().unwrap_or_default();
    let layout = Layout::new(&flags, &here, program == Program::Nginx);
    if flags.version {
        let text = match flags.help {
            true => version::help(program, &layout),
            false => version::version(program, flags.configure, &layout),
        };
        let _ = std::io::stderr().write_all(text.as_bytes());
        return 0;
    }
    let loaded = load(program, &flags, &layout);
    let quiet = flags.test && flags.quiet;
    let shown: Vec<Diagnostic> = match quiet {
        true => loaded.diagnostics.iter().filter(|one| one.severity == Severity::Emerg).cloned().collect(),
        false => loaded.diagnostics.clone(),
    };
    program.diagnose(&shown);
    if flags.test {
        return test::run(program, &flags, &layout, loaded, host);
    }
    let Loaded { settings, sources, diagnostics } = loaded;
    let Some(settings) = settings else { return 1 };
    drop((sources, diagnostics));
    process::give_memory_back();
    if let Some(order) = flags.signal {
        return match order::send(order, settings.pidfile.as_deref()) {
            Ok(()) => 0,
            Err((level, why)) => {
                program.say(level, &why);
                1
            }
        };
    }
    let reread = || {
        let loaded = load(program, &flags, &layout);
        let settings = loaded.settings.ok_or_else(|| {
            let lines: Vec<String> = loaded.diagnostics.iter().map(words).collect();
            Exit { code: 1, message: lines.join("\n") }
        })?;
        process::give_memory_back();
        prepare(&settings, host).map_err(|message| Exit { code: 1, message })?;
        Ok(settings)
    };
    if let Err(why) = prepare(&settings, host) {
        program.say("emerg", &why);
        return 1;
    }
    master::run(settings, host, &reread, &|context| worker::run(context, host))
}

/// Without applications, the interpreter has nothing to do.
fn prepare(settings: &Settings, host: &dyn Host) -> Result<(), String> {
    match &settings.nginx {
        Some(setup) if setup.apps.is_empty() => Ok(()),
        _ => host.prepare(),
    }
}
