//! Locations: what a request is answered by, and how they are told apart.

use std::collections::HashMap;
use std::sync::Arc;

use conf::{At, Diagnostic, Directive};
use wire::h1::Method;

use super::arguments::text;
use super::build::Maker;
use super::locations::{self, Level, Modifier, Spec};
use super::pattern;
use super::settings::Settings;
use crate::features::rewrite::Script;
use crate::handlers::files::try_files::TryFiles;
use crate::regex::Regex;
use crate::variables::Template;

/// What holds for a request: a `location`, the server around locations, or an `if` or `limit_except` block.
pub struct Location {
    /// As written, with its modifier; empty for a server's own.
    pub name: Box<str>,
    pub server: u32,
    pub settings: Arc<Settings>,
    pub script: Script,
    pub handler: Handler,
    pub internal: bool,
    pub try_files: Option<Arc<TryFiles>>,
    pub limit_except: Option<LimitExcept>,
    /// Nothing in it or around it changes the way of a request, see `table::is_plain`.
    pub plain: bool,
    /// `location $variable`: it is there while this is neither empty nor 0.
    pub predicate: Option<Template>,
    pub at: At,
}

/// What answers in a location. A closed set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Handler {
    /// Indexes and files.
    #[default]
    Files,
    /// Index into `Engine::apps`.
    App(usize),
    EmptyGif,
    StubStatus,
    /// Index into `Config::passes`.
    Proxy(u32),
    /// Something that is not supported yet; the name of its directive.
    Later(&'static str),
}

/// `limit_except`: methods that are free, and what holds for the others.
pub struct LimitExcept {
    methods: Vec<Box<[u8]>>,
    /// The block's location.
    pub location: u32,
}

impl LimitExcept {
    /// Whether the block holds for a method.
    pub fn limits(&self, method: &[u8]) -> bool {
        !self.methods.iter().any(|free| **free == *method)
    }
}

/// What a location has of its own while it is built.
#[derive(Default)]
pub struct Content {
    /// The location itself, or the one around an `if`.
    pub spec: Option<Spec>,
    pub handler: Handler,
    /// The directive that named the handler.
    pub handled_by: Option<&'static str>,
    pub internal: bool,
    pub try_files: Option<Arc<TryFiles>>,
    pub checks: Vec<crate::upstream::health::directives::Written>,
}

impl Content {
    /// What `if` and `limit_except` in a location have of it.
    pub fn inherit(&mut self, outer: &Content) {
        self.handler = outer.handler;
    }

    /// What is left for inner blocks when the location is made.
    pub fn to_inherit(&self) -> Content {
        let Content { spec, handler, internal, .. } = self;
        Content { spec: spec.clone(), handler: *handler, internal: *internal, ..Content::default() }
    }

    /// The bytes that `alias` takes off a path; `None` for a regular expression: the whole path.
    pub fn prefix(&self) -> Option<&str> {
        let spec = self.spec.as_ref()?;
        match spec.modifier {
            Modifier::Regex { .. } | Modifier::Predicate => None,
            _ => Some(&spec.name),
        }
    }
}

/// Reads the arguments of a `location`, which stands in `outer`.
pub fn spec(it: &Directive, outer: Option<&Spec>) -> Result<Spec, Diagnostic> {
    let wrong = |message: String| Diagnostic::of(it, message);
    let spec = Spec::parse(text(it, 0), it.args.get(1).map(|word| word.text.as_str())).map_err(wrong)?;
    if let Some(outer) = outer {
        spec.inside(outer).map_err(wrong)?;
    }
    Ok(spec)
}

/// Compiles what decides whether a location is there.
pub fn predicate(make: &mut Maker, it: &Directive, spec: &Spec, index: u32) {
    if spec.modifier != Modifier::Predicate {
        return;
    }
    match Template::compile(&spec.name, &it.name.at, &mut make.registry) {
        Ok(template) => make.locations[index as usize].predicate = Some(template),
        Err(why) => make.problems.push(Diagnostic::of(it, why)),
    }
}

/// As it is written.
pub fn written(spec: &Spec) -> String {
    match spec.modifier {
        Modifier::Exact => format!("= {}", spec.name),
        Modifier::PrefixNoRegex => format!("^~ {}", spec.name),
        Modifier::Regex { caseless: true } => format!("~* {}", spec.name),
        Modifier::Regex { caseless: false } => format!("~ {}", spec.name),
        Modifier::Prefix | Modifier::Named | Modifier::Predicate => spec.name.clone(),
    }
}

/// The locations of one level while they are collected.
#[derive(Default)]
pub struct Entries {
    list: Vec<locations::Entry<u32>>,
    pub named: HashMap<Box<[u8]>, u32>,
}

impl Entries {
    /// Takes a location in.
    pub fn add(&mut self, make: &mut Maker, it: &Directive, spec: Spec, index: u32, nested: Entries) {
        let wrong = |message: String| Diagnostic::of(it, message);
        let handler = make.locations[index as usize].handler;
        let nested = nested.level(make);
        let kind = match spec.modifier {
            Modifier::Named => {
                if self.named.insert(spec.name.as_bytes().into(), index).is_some() {
                    make.problems.push(wrong(format!("duplicate location \"{}\"", spec.name)));
                }
                return;
            }
            Modifier::Exact => locations::Kind::Exact,
            Modifier::Prefix => locations::Kind::Prefix,
            Modifier::PrefixNoRegex => locations::Kind::PrefixNoRegex,
            Modifier::Predicate => locations::Kind::Predicate,
            Modifier::Regex { caseless } => match Regex::new(&spec.name, caseless) {
                Ok(regex) => {
                    pattern::announce(&regex, &it.name.at, &mut make.registry);
                    locations::Kind::Regex(regex)
                }
                Err(why) => return make.problems.push(wrong(why)),
            },
        };
        let auto_redirect = matches!(handler, Handler::Proxy(_) | Handler::Later(_));
        self.list.push(locations::Entry { kind, name: spec.name.into_bytes(), value: index, auto_redirect, nested });
    }

    /// The finished level.
    pub fn level(self, make: &mut Maker) -> Level<u32> {
        match Level::build(self.list) {
            Ok(level) => level,
            Err(duplicate) => {
                let location = &make.locations[duplicate.second as usize];
                let name = location.name.rsplit(' ').next().unwrap_or_default();
                let message = format!("duplicate location \"{name}\"");
                let first = &make.locations[duplicate.first as usize].at;
                let problem =
                    Diagnostic::new(location.at.clone(), message).hint(format!("the first one is at {first}"));
                make.problems.push(problem);
                Level::default()
            }
        }
    }
}

/// Notes a `limit_except` of a location; what holds in it is at `inside`.
pub fn limit_except(make: &mut Maker, it: &Directive, location: u32, inside: u32) {
    const METHODS: [&str; 14] = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "MKCOL",
        "COPY",
        "MOVE",
        "OPTIONS",
        "PROPFIND",
        "PROPPATCH",
        "LOCK",
        "UNLOCK",
        "PATCH",
    ];
    let mut methods: Vec<Box<[u8]>> = Vec::new();
    for word in &it.args {
        if !METHODS.iter().any(|known| known.eq_ignore_ascii_case(&word.text)) {
            let message = format!("invalid method \"{}\"", word.text);
            make.problems.push(Diagnostic::of(it, message));
            continue;
        }
        methods.push(word.text.to_ascii_uppercase().into_bytes().into());
    }
    if methods.iter().any(|method| **method == *b"GET") {
        methods.push(b"HEAD"[..].into());
    }
    make.locations[location as usize].limit_except = Some(LimitExcept { methods, location: inside });
}

/// Whether a method only reads, as nginx's modules for files count: GET, HEAD and POST.
pub fn is_plain(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Post)
}
