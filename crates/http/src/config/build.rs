//! From the tree to the configuration: each block in two passes, its own directives first, then its inner blocks from
//! a copy of what it has set. So a child overrides, and what it does not set it has from its parent; there are no
//! merge functions. All problems are found, not only the first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf::{Diagnostic, Directive};

use super::context::Context;
use super::hints;
use super::keyed::Keyed;
use super::known;
use super::locations::Spec;
use super::main::Main;
use super::row::{Action, Row};
use super::server::Listens;
use super::settings::{ServerSettings, Settings};
use super::table;
use super::{AppSpec, Config, Location, Server};
use crate::features::rewrite::{self, Script};
use crate::log;
use crate::upstream::{Upstreams, health};
use crate::variables::{Registry, Template};
use crate::zone::Zones;

/// Where relative paths begin.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Of the installation: `root`, logs.
    pub prefix: PathBuf,
    /// Of the configuration file.
    pub conf: PathBuf,
    /// Where requests are logged if the configuration does not say.
    pub access_log: Option<String>,
}

/// A block under construction.
pub struct Block {
    pub context: Context,
    pub settings: Arc<Settings>,
    pub server: Arc<ServerSettings>,
    /// What stays with this block.
    pub own: Own,
    /// Nothing in it or around it changes the way of a request, see `table::is_plain`.
    plain: bool,
    /// Directives that it has, for duplicates.
    seen: Vec<&'static str>,
}

/// What a block has that its inner blocks do not inherit.
#[derive(Default)]
pub struct Own {
    pub location: super::location::Content,
    pub server: super::server::Content,
    pub script: Script,
    pub upstream: crate::upstream::directives::Draft,
    /// Of a `match` block.
    pub rules: Vec<health::matching::Rule>,
}

/// What is made beside the blocks.
pub struct Maker {
    pub place: Place,
    pub main: Main,
    pub registry: Registry,
    pub apps: Vec<AppSpec>,
    /// `python_app` blocks by name: index into `apps`.
    pub named_apps: HashMap<String, usize>,
    pub formats: HashMap<String, Arc<log::Format>>,
    /// Those that `log_format` made.
    pub named_formats: Vec<String>,
    pub logs: Vec<log::Target>,
    /// Charsets as they were first written.
    pub charsets: Vec<Arc<str>>,
    /// `charset_map` blocks.
    pub charset_maps: Vec<crate::stage::charset::Map>,
    /// Memory that workers share, and those parts of it that have a key.
    pub zones: Zones,
    pub keyed: Vec<Arc<Keyed>>,
    /// Groups of servers.
    pub upstreams: Upstreams,
    /// `match` blocks.
    pub matches: Vec<Arc<health::matching::Match>>,
    /// `health_check`s, each with its location.
    pub checks: Vec<(u32, health::directives::Written)>,
    pub problems: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    pub servers: Vec<Server>,
    pub locations: Vec<Location>,
    /// What `proxy_pass` directives say, in the order of `Handler::Proxy`.
    pub passes: Vec<crate::handlers::proxy::Pass>,
    pub listens: Listens,
    /// Checks that need the whole configuration.
    pub after: Vec<Box<dyn FnOnce(&mut Maker)>>,
    later: Vec<&'static str>,
}

/// What a row's setter has to work with.
pub struct Setter<'a> {
    pub it: &'a Directive,
    /// It is the first of its name in this block: a list begins anew.
    pub first: bool,
    pub block: &'a mut Block,
    pub make: &'a mut Maker,
}

/// What is built, or why not.
pub struct Built {
    pub config: Config,
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Builds the configuration from its tree.
    pub fn build(tree: &[Directive], place: &Place) -> Result<Built, Vec<Diagnostic>> {
        let mut make = Maker::new(place);
        make.main.modern =
            tree.iter().any(|it| it.name.text == "defaults" && it.args.iter().any(|a| a.text == "modern"));
        make.registry.learn(tree);
        let mut settings = if make.main.modern { Settings::modern() } else { Settings::default() };
        settings.root = crate::handlers::files::Root::default_of(&place.prefix);
        if let Some(path) = &place.access_log
            && let Some(format) = make.formats.get("combined").cloned()
        {
            make.logs.push(log::Target { unused: true, ..log::Target::file(path) });
            settings.access_logs = Arc::new(vec![log::access::Place::new(0, format)]);
        }
        let server = if make.main.modern { ServerSettings::modern() } else { ServerSettings::default() };
        let main = Block::new(Context::Main, &Arc::new(settings), &Arc::new(server));
        make.main_block(tree, main);
        for check in std::mem::take(&mut make.after) {
            check(&mut make);
        }
        // Names of servers may have groups that are variables.
        let listens = std::mem::take(&mut make.listens).finish(&mut make);
        crate::tls::prepare::prepare(&mut make, &listens);
        crate::upstream::policy::directives::check(&mut make);
        crate::upstream::tls::prepare(&mut make);
        let (upstreams, wrong) = std::mem::take(&mut make.upstreams).finish();
        make.problems.extend(wrong);
        let checks = health::directives::finish(&mut make, &upstreams);
        let unknown = make.registry.problems();
        make.problems.extend(unknown);
        make.use_logs();
        make.measure_zones(tree);
        if !make.problems.is_empty() {
            let mut problems = make.problems;
            problems.splice(0..0, make.warnings);
            return Err(problems);
        }
        let config = Config {
            main: make.main,
            listens,
            servers: make.servers,
            locations: make.locations,
            passes: make.passes,
            apps: make.apps,
            variables: make.registry,
            logs: make.logs,
            charset_maps: make.charset_maps,
            zones: make.zones,
            upstreams,
            checks,
        };
        Ok(Built { config, warnings: make.warnings })
    }
}

impl Block {
    fn new(context: Context, settings: &Arc<Settings>, server: &Arc<ServerSettings>) -> Block {
        Block {
            context,
            settings: settings.clone(),
            server: server.clone(),
            own: Own::default(),
            plain: true,
            seen: Vec::new(),
        }
    }

    /// An inner block, with what this one has set.
    pub fn child(&self, context: Context) -> Block {
        let mut child = Block::new(context, &self.settings, &self.server);
        child.plain = self.plain;
        child.own.location.internal = self.own.location.internal;
        if child.settings.headers.ends_here() {
            Arc::make_mut(&mut child.settings).headers.enter();
        }
        child
    }

    pub fn has(&self, name: &str) -> bool {
        self.seen.contains(&name)
    }
}

impl Maker {
    fn new(place: &Place) -> Maker {
        Maker {
            place: place.clone(),
            main: Main::default(),
            registry: Registry::default(),
            apps: Vec::new(),
            named_apps: HashMap::new(),
            formats: log::Format::predefined(),
            named_formats: Vec::new(),
            logs: Vec::new(),
            charsets: Vec::new(),
            charset_maps: Vec::new(),
            zones: Zones::default(),
            keyed: Vec::new(),
            upstreams: Upstreams::default(),
            matches: Vec::new(),
            checks: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            servers: Vec::new(),
            locations: Vec::new(),
            passes: Vec::new(),
            listens: Listens::default(),
            after: Vec::new(),
            later: Vec::new(),
        }
    }

    /// The log that no directive names is one only if a location has it.
    fn use_logs(&mut self) {
        for place in self.locations.iter().flat_map(|location| location.settings.access_logs.iter()) {
            self.logs[place.target].unused = false;
        }
    }

    /// A zone that is used must have been declared.
    fn measure_zones(&mut self, tree: &[Directive]) {
        let Some(first) = tree.first() else { return };
        for zone in self.zones.without_size() {
            let problem = Diagnostic::of(first, format!("zero size shared memory zone \"{}\"", zone.name));
            self.problems.push(problem.hint("no directive declares it, as `limit_req_zone` does"));
        }
    }

    /// A directive that is wrong; `None` lets nothing happen.
    fn problem(&mut self, it: &Directive, message: String, hint: Option<String>) {
        let mut problem = Diagnostic::of(it, message);
        problem.hint = hint;
        self.problems.push(hints::missing_end(problem, it));
    }

    /// The row of a directive, if it may stand here and has the right number of arguments.
    fn row(&mut self, it: &Directive, context: Context) -> Option<&'static Row> {
        let name = it.name.text.as_str();
        let rows = table::find(name);
        if rows.is_empty() {
            if let Some(hint) = known::hint(name) {
                self.problem(
                    it,
                    format!("unknown directive \"{name}\""),
                    Some(format!("nginx has it, this does not yet: {hint}")),
                );
                return None;
            }
            self.problem(it, format!("unknown directive \"{name}\""), hints::unknown(name));
            return None;
        }
        let Some(row) = rows.iter().find(|row| row.contexts.has(context)) else {
            let places: Vec<String> = rows.iter().map(|row| row.contexts.to_string()).collect();
            let hint = format!("it may stand in: {}", places.join(", "));
            self.problem(it, format!("\"{name}\" directive is not allowed here"), Some(hint));
            return None;
        };
        let syntax = || Some(format!("syntax: {} {}", row.name, row.syntax));
        if it.block.is_some() && !row.has_block() {
            self.problem(it, format!("directive \"{name}\" is not terminated by \";\""), syntax());
            return None;
        }
        if it.block.is_none() && row.has_block() {
            self.problem(it, format!("directive \"{name}\" has no opening \"{{\""), syntax());
            return None;
        }
        if !(row.arguments.0..=row.arguments.1).contains(&it.args.len()) {
            self.problem(it, format!("invalid number of arguments in \"{name}\" directive"), syntax());
            return None;
        }
        Some(row)
    }

    /// Own directives of a block; gives its inner blocks.
    fn own<'a>(&mut self, directives: &'a [Directive], block: &mut Block) -> Vec<Inner<'a>> {
        let mut inner = Vec::new();
        for it in directives {
            let Some(row) = self.row(it, block.context) else { continue };
            let first = !block.has(row.name);
            if !first && !row.repeats {
                self.problem(it, format!("\"{}\" directive is duplicate", row.name), None);
                continue;
            }
            if first {
                block.plain &= table::is_plain(row.name);
                block.seen.push(row.name);
            }
            let done = match row.action {
                Action::Set(set) => set(&mut Setter { it, first, block, make: self }),
                Action::Table(set) => match it.block.iter().flatten().find(|line| line.block.is_some()) {
                    Some(line) => Err(Diagnostic::of(line, "unexpected \"{\"")),
                    None => set(&mut Setter { it, first, block, make: self }),
                },
                Action::Open(context) => {
                    let mut slot = None;
                    let mut done = Ok(());
                    if matches!(context, Context::ServerIf | Context::LocationIf) {
                        match rewrite::open_if(&mut Setter { it, first, block, make: self }) {
                            Ok(index) => slot = Some(index),
                            Err(problem) => done = Err(problem),
                        }
                    }
                    inner.push(Inner { it, context, slot });
                    done
                }
                Action::Tuning(check) => check(it),
                Action::Later(what) | Action::LaterBlock(what) => {
                    if !self.later.contains(&row.name) && !super::later::is_default(row, it) {
                        self.later.push(row.name);
                        let message = format!("\"{}\" is not supported yet: {what}", row.name);
                        self.warnings.push(Diagnostic::of(it, message).warn());
                    }
                    super::later::note(&mut Setter { it, first, block, make: self });
                    super::later::check(row, it)
                }
            };
            if let Err(problem) = done {
                self.problems.push(hints::missing_end(problem, it));
            }
        }
        inner
    }

    fn main_block(&mut self, tree: &[Directive], mut main: Block) {
        let inner = self.own(tree, &mut main);
        for Inner { it, context, .. } in inner {
            let mut block = main.child(context);
            let contents = it.block.as_deref().unwrap_or_default();
            let inner = self.own(contents, &mut block);
            if context == Context::Http {
                let of = |context| inner.iter().filter(move |inner| inner.context == context);
                for Inner { it, .. } in of(Context::Match) {
                    let mut rules = block.child(Context::Match);
                    let _ = self.own(it.block.as_deref().unwrap_or_default(), &mut rules);
                    health::matching::close(self, it, &mut rules);
                }
                for Inner { it, .. } in of(Context::Upstream) {
                    let mut block = block.child(Context::Upstream);
                    let _ = self.own(it.block.as_deref().unwrap_or_default(), &mut block);
                    crate::upstream::directives::close(self, it, &block.settings, block.own.upstream);
                }
                for Inner { it, .. } in of(Context::Server) {
                    self.server(it, &block);
                }
            }
        }
    }

    fn server(&mut self, it: &Directive, parent: &Block) {
        let mut block = parent.child(Context::Server);
        let inner = self.own(it.block.as_deref().unwrap_or_default(), &mut block);
        let index = self.servers.len() as u32;
        super::server::open(self, it, &mut block);
        let own = self.add_location(it, "", &mut block, index);
        let mut level = super::location::Entries::default();
        for Inner { it, context, slot } in inner {
            match context {
                Context::Location => self.location(it, &block, &mut level, None, index),
                Context::ServerIf => {
                    let mut inner = block.child(context);
                    let _ = self.own(it.block.as_deref().unwrap_or_default(), &mut inner);
                    let location = self.add_location(it, "", &mut inner, index);
                    let script = std::mem::take(&mut self.locations[location as usize].script);
                    self.locations[own as usize].script.fill(slot, script, None);
                }
                _ => {}
            }
        }
        super::server::close(self, it, block, own, level);
    }

    /// A location with what is in it, added to `level`.
    fn location(
        &mut self,
        it: &Directive,
        parent: &Block,
        level: &mut super::location::Entries,
        outer: Option<&Spec>,
        server: u32,
    ) {
        let spec = match super::location::spec(it, outer) {
            Ok(spec) => spec,
            Err(problem) => return self.problems.push(problem),
        };
        let name = super::location::written(&spec);
        let mut block = parent.child(Context::Location);
        block.own.location.spec = Some(spec.clone());
        let inner = self.own(it.block.as_deref().unwrap_or_default(), &mut block);
        let index = self.add_location(it, &name, &mut block, server);
        super::location::predicate(self, it, &spec, index);
        let mut nested = super::location::Entries::default();
        for Inner { it, context, slot } in inner {
            match context {
                Context::Location => self.location(it, &block, &mut nested, Some(&spec), server),
                Context::LocationIf | Context::LimitExcept => {
                    let mut inner = block.child(context);
                    inner.own.location = block.own.location.to_inherit();
                    let _ = self.own(it.block.as_deref().unwrap_or_default(), &mut inner);
                    let inside = self.add_location(it, &name, &mut inner, server);
                    if context == Context::LocationIf {
                        let script = self.locations[inside as usize].script.clone();
                        self.locations[index as usize].script.fill(slot, script, Some(inside));
                    } else {
                        super::location::limit_except(self, it, index, inside);
                    }
                }
                _ => {}
            }
        }
        level.add(self, it, spec, index, nested);
    }

    /// Adds what a block says of requests that are in it.
    fn add_location(&mut self, it: &Directive, name: &str, block: &mut Block, server: u32) -> u32 {
        let content = std::mem::take(&mut block.own.location);
        let kept = content.to_inherit();
        let index = self.locations.len() as u32;
        self.checks.extend(content.checks.into_iter().map(|check| (index, check)));
        let location = Location {
            name: name.into(),
            server,
            settings: block.settings.clone(),
            script: std::mem::take(&mut block.own.script),
            handler: content.handler,
            internal: content.internal,
            try_files: content.try_files,
            limit_except: None,
            plain: block.plain,
            predicate: None,
            at: it.name.at.clone(),
        };
        block.own.location = kept;
        self.locations.push(location);
        index
    }

    /// A path that counts from the installation.
    pub fn path(&self, text: &str) -> PathBuf {
        self.place.prefix.join(text)
    }

    pub fn warn(&mut self, warning: Diagnostic) {
        self.warnings.push(warning.warn());
    }
}

/// A block within a block.
struct Inner<'a> {
    it: &'a Directive,
    context: Context,
    /// Of an `if`: its place in the script around it.
    slot: Option<usize>,
}

impl Setter<'_> {
    /// The settings of the block, to be changed.
    pub fn settings(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.block.settings)
    }

    pub fn server(&mut self) -> &mut ServerSettings {
        Arc::make_mut(&mut self.block.server)
    }

    pub fn name(&self) -> &str {
        &self.it.name.text
    }

    /// The text of an argument; empty if there is none.
    pub fn text(&self, index: usize) -> &str {
        self.it.args.get(index).map_or("", |word| &word.text)
    }

    pub fn count(&self) -> usize {
        self.it.args.len()
    }

    /// A problem with the directive as a whole, or with one of its arguments.
    pub fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::of(self.it, message)
    }

    /// nginx's `"x" directive invalid value`.
    pub fn invalid(&self) -> Diagnostic {
        self.wrong(format!("\"{}\" directive invalid value", self.name()))
    }

    pub fn flag(&self) -> Result<bool, Diagnostic> {
        super::arguments::flag(self.it, 0)
    }

    pub fn size(&self, index: usize) -> Result<u64, Diagnostic> {
        conf::size(self.text(index)).ok_or_else(|| self.invalid())
    }

    /// A time in milliseconds.
    pub fn ms(&self, index: usize) -> Result<u64, Diagnostic> {
        conf::time_ms(self.text(index)).ok_or_else(|| self.invalid())
    }

    /// The size of a file or of a part of it.
    pub fn offset(&self, index: usize) -> Result<u64, Diagnostic> {
        conf::offset(self.text(index)).ok_or_else(|| self.invalid())
    }

    /// A time in whole seconds.
    pub fn seconds(&self, index: usize) -> Result<u64, Diagnostic> {
        conf::time_s(self.text(index)).ok_or_else(|| self.invalid())
    }

    pub fn number(&self, index: usize) -> Result<u64, Diagnostic> {
        super::arguments::number(self.it, index)
    }

    /// One of several words.
    pub fn one_of<T: Copy>(&self, index: usize, words: &[(&str, T)]) -> Result<T, Diagnostic> {
        let text = self.text(index);
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(self.wrong(format!("invalid value \"{text}\"")).hint(format!("one of: {}", all.join(", "))))
            }
        }
    }

    /// A compiled text.
    pub fn template(&mut self, index: usize) -> Result<Template, Diagnostic> {
        let text = self.it.args.get(index).map_or("", |word| word.text.as_str());
        self.compile(text)
    }

    pub fn compile(&mut self, text: &str) -> Result<Template, Diagnostic> {
        Template::compile(text, &self.it.name.at, &mut self.make.registry).map_err(|why| self.wrong(why))
    }

    pub fn path(&self, index: usize) -> PathBuf {
        self.make.path(self.text(index))
    }

    /// Names what answers in the location.
    pub fn handler(&mut self, handler: super::Handler) -> Result<(), Diagnostic> {
        let name = table::find(self.name()).first().map_or("", |row| row.name);
        let own = &mut self.block.own.location;
        if let Some(other) = own.handled_by.replace(name) {
            return Err(self.wrong(format!("\"{name}\" directive is duplicate, \"{other}\" answers here already")));
        }
        own.handler = handler;
        Ok(())
    }

    /// Sets a flag of the settings.
    pub fn set_flag(&mut self, place: impl Fn(&mut Settings) -> &mut bool) -> Result<(), Diagnostic> {
        *place(self.settings()) = self.flag()?;
        Ok(())
    }

    /// Sets a time in ms.
    pub fn set_ms(&mut self, place: impl Fn(&mut Settings) -> &mut u64) -> Result<(), Diagnostic> {
        *place(self.settings()) = self.ms(0)?;
        Ok(())
    }

    /// Sets a size in bytes.
    pub fn set_size(&mut self, place: impl Fn(&mut Settings) -> &mut u64) -> Result<(), Diagnostic> {
        *place(self.settings()) = self.size(0)?;
        Ok(())
    }
}

/// Whether a path is one that the process may find on its own: not relative, not standard output.
pub fn is_absolute(path: &str) -> bool {
    Path::new(path).is_absolute()
}
