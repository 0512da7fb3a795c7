//! Variables that a configuration makes: by `set`, `map`, `geo`, `split_clients`, or as named captures. Each has a
//! number; a request keeps their values by it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use conf::{At, Diagnostic, Directive};

use super::scope::{Scope, Value};
use crate::features::{geo, map, split_clients};

/// The number of a variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct VarId(u32);

impl VarId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a variable's value comes from.
#[derive(Clone, Default)]
pub enum Source {
    /// Only used so far.
    #[default]
    Unknown,
    /// `set` assigns it.
    Assigned,
    /// Something gives it a value on the way; until then it has none, which is all right.
    Given,
    /// A regular expression captures it.
    Captured,
    Map(Arc<map::Map>),
    Geo(Arc<geo::Variable>),
    Split(Arc<split_clients::Split>),
}

/// All of them. Names are in lower case.
#[derive(Default)]
pub struct Registry {
    numbers: HashMap<Box<str>, VarId>,
    definitions: Vec<Definition>,
    /// Names that look like members of a family, as `http_x` does, and are the configuration's own nevertheless.
    own: HashSet<Box<str>>,
}

struct Definition {
    name: Box<str>,
    source: Source,
    /// Where it was first used.
    at: At,
}

impl Registry {
    /// Notes the names that the directives of a configuration define, before any is used.
    pub fn learn(&mut self, tree: &[Directive]) {
        for it in tree {
            let name = match it.name.text.as_str() {
                "set" | "auth_request_set" => it.args.first(),
                "map" | "geo" | "split_clients" => it.args.last(),
                _ => None,
            };
            if let Some(name) = name.and_then(|word| word.text.strip_prefix('$')) {
                self.own.insert(name.to_ascii_lowercase().into());
            }
            self.learn(it.block.as_deref().unwrap_or_default());
        }
    }

    /// Whether the configuration defines this name, which is in lower case.
    pub fn is_own(&self, name: &str) -> bool {
        self.own.contains(name)
    }

    /// The number of a name that is used at `at`.
    pub fn want(&mut self, name: &str, at: &At) -> VarId {
        let lower = name.to_ascii_lowercase();
        let name = lower.as_str();
        if let Some(id) = self.numbers.get(name) {
            return *id;
        }
        let id = VarId(self.definitions.len() as u32);
        self.numbers.insert(name.into(), id);
        self.definitions.push(Definition { name: name.into(), source: Source::Unknown, at: at.clone() });
        id
    }

    /// Says where the value of a name comes from. A `map` wins over an assignment, as the later definition of two, and a
    /// capture over `set`.
    pub fn define(&mut self, name: &str, source: Source, at: &At) -> VarId {
        let id = self.want(name, at);
        let known = &mut self.definitions[id.index()].source;
        let wins = match &source {
            Source::Assigned => matches!(known, Source::Unknown),
            Source::Given => matches!(known, Source::Unknown | Source::Assigned),
            Source::Captured => matches!(known, Source::Unknown | Source::Assigned | Source::Given),
            _ => true,
        };
        if wins {
            *known = source;
        }
        id
    }

    /// The number of a name, if there is one.
    pub fn find(&self, name: &str) -> Option<VarId> {
        self.numbers.get(name).copied()
    }

    pub fn name(&self, id: VarId) -> &str {
        &self.definitions[id.index()].name
    }

    pub fn source(&self, id: VarId) -> &Source {
        &self.definitions[id.index()].source
    }

    pub fn len(&self) -> usize {
        self.definitions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// Names that nothing defines.
    pub fn problems(&self) -> Vec<Diagnostic> {
        let unknown = self.definitions.iter().filter(|definition| matches!(definition.source, Source::Unknown));
        let unknown = unknown.map(|definition| {
            // nginx finds out when all is read, and names no place.
            let problem = Diagnostic::new(At::Default, format!("unknown \"{}\" variable", definition.name));
            let used = match &definition.at {
                At::Default => String::new(),
                at => format!("it is used at {at}"),
            };
            let own = self.definitions.iter().filter(|other| !matches!(other.source, Source::Unknown));
            let mut known: Vec<&str> = own.map(|other| &*other.name).collect();
            for name in super::names() {
                known.push(name);
            }
            match conf::nearest(&definition.name, known) {
                Some(near) => problem.hint(format!("did you mean ${near}? {used}").trim_end()),
                None if used.is_empty() => problem,
                None => problem.hint(used),
            }
        });
        unknown.collect()
    }
}

/// Appends the value of a variable that need not have one; nothing is told if it has none.
pub fn write_if_set(id: VarId, scope: &mut Scope<'_>, out: &mut Vec<u8>) {
    let assigned = scope.request.route.values.get(id.index()).is_some_and(Option::is_some);
    if assigned || !matches!(scope.config.variables.source(id), Source::Assigned | Source::Unknown) {
        write(id, scope, out);
    }
}

/// How deep maps may lead to maps.
const DEEPEST: u8 = 100;

/// Appends the value of a variable; `false`: it has none.
pub fn write(id: VarId, scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    if let Some(Some(value)) = scope.request.route.values.get(id.index()) {
        return value.write(out);
    }
    let config = scope.config;
    let source = config.variables.source(id);
    if let Source::Captured | Source::Assigned | Source::Given | Source::Unknown = source {
        if let Some(captured) = scope.request.route.captures.named(config.variables.name(id)) {
            out.extend_from_slice(captured);
            return true;
        }
        if let Source::Assigned = source {
            // It is empty from now on, so that this is told once.
            scope.uninitialized(config.variables.name(id));
            scope.request.route.assign(id, Value::Bytes(Box::default()));
            return true;
        }
        return false;
    }
    if scope.request.route.depth >= DEEPEST {
        scope.cycle(config.variables.name(id));
        return false;
    }
    scope.request.route.depth += 1;
    let before = out.len();
    let (found, keep) = match source {
        Source::Map(map) => (map.write(scope, out), !map.volatile),
        Source::Geo(geo) => (geo.write(scope, out), !geo.volatile),
        Source::Split(split) => (split.write(scope, out), true),
        Source::Captured | Source::Assigned | Source::Given | Source::Unknown => (false, false),
    };
    scope.request.route.depth -= 1;
    if keep {
        let value = if found { Value::Bytes(out[before..].into()) } else { Value::None };
        scope.request.route.assign(id, value);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_any_case() {
        let mut registry = Registry::default();
        let id = registry.want("Own", &At::Default);
        assert_eq!(registry.define("oWN", Source::Assigned, &At::Default), id);
        assert_eq!(registry.name(id), "own");
    }

    #[test]
    fn a_capture_wins_over_set() {
        let mut registry = Registry::default();
        for source in [Source::Assigned, Source::Captured, Source::Assigned] {
            registry.define("a", source, &At::Default);
        }
        let id = registry.want("a", &At::Default);
        assert!(matches!(registry.source(id), Source::Captured));
        assert!(registry.problems().is_empty());
    }
}
