//! Locations: which block of a server a path belongs to.
//!
//! The rule is nginx's, level by level. `=` ends the search. The longest prefix is kept and the locations inside it are
//! searched first; then, unless that prefix has `^~`, the regular expressions of this level are tried in the order of
//! the file, the first that matches wins, and the regular expressions inside it are tried. A `^~` counts for its own level
//! only. Paths inside a regular expression are never found, as in nginx ([`Spec::never_found`]). It knows nothing of what a location does: it has a value, and that is found.

mod spec;
#[cfg(test)]
mod tests;

pub use spec::{Modifier, Spec};

use crate::regex::{Captures, Matched, Regex};

/// How an entry matches.
#[derive(Debug)]
pub enum Kind {
    /// `=`
    Exact,
    Prefix,
    /// `^~`
    PrefixNoRegex,
    Regex(Regex),
    /// A variable decides; see `find_where`.
    Predicate,
}

/// A location of a level, to build the level from.
pub struct Entry<T> {
    pub kind: Kind,
    /// The path; of a regular expression, its pattern.
    pub name: Vec<u8>,
    pub value: T,
    /// For a name that ends with `/`: the path without it is redirected here, unless it has a location of its own.
    pub auto_redirect: bool,
    /// What stands inside.
    pub nested: Level<T>,
}

/// Two locations that are the same; the names are equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duplicate<T> {
    pub first: T,
    pub second: T,
}

/// The locations of a server, or those inside a location.
pub struct Level<T> {
    /// In the order of their names; none twice.
    nodes: Box<[Node<T>]>,
    /// In the order of the file.
    regexes: Box<[Pattern<T>]>,
    /// In the order of the file.
    predicates: Box<[Place<T>]>,
    /// Whether a node has `auto_redirect`.
    redirects: bool,
    /// Whether there are predicates, here or inside.
    predicated: bool,
}

/// All locations with the same name that are no regular expressions: one with `=`, one without, or both.
struct Node<T> {
    name: Box<[u8]>,
    exact: Option<Place<T>>,
    prefix: Option<Place<T>>,
    no_regex: bool,
    auto_redirect: bool,
    /// The longest name of a prefix with which this name begins.
    parent: Option<usize>,
}

struct Place<T> {
    value: T,
    nested: Level<T>,
}

struct Pattern<T> {
    regex: Regex,
    place: Place<T>,
}

/// What a search finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hit<T> {
    Found(T),
    /// The path lacks the `/` at the end of this location's name: the client is sent there.
    Redirect(T),
    /// No location fits: the server's own settings hold.
    Nothing,
    /// A regular expression reached its limit. The request cannot be answered: what it did not match may have guarded
    /// something.
    Failed(String),
}

/// What a search does, for those who want to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<'t, T> {
    /// A location with `=` is the path.
    Exact(T),
    /// This is the longest prefix of its level; what stands inside is searched next.
    Prefix { value: T, no_regex: bool },
    /// The path lacks the `/` of this location.
    Redirect(T),
    /// A regular expression was tried; if it matched, those inside are tried next.
    Regex { value: T, pattern: &'t str, matched: bool },
    /// A variable was looked at.
    Predicate { value: T, held: bool },
    /// The regular expressions of the level of this prefix are passed over.
    RegexesSkipped(T),
}

impl<T> Default for Level<T> {
    fn default() -> Level<T> {
        Level {
            nodes: Box::default(),
            regexes: Box::default(),
            predicates: Box::default(),
            redirects: false,
            predicated: false,
        }
    }
}

impl<T: Copy> Level<T> {
    /// Builds a level from its locations in the order of the file.
    pub fn build(entries: Vec<Entry<T>>) -> Result<Level<T>, Duplicate<T>> {
        let (mut nodes, mut regexes, mut predicates) = (Vec::new(), Vec::new(), Vec::new());
        let mut predicated = false;
        for Entry { kind, name, value, auto_redirect, nested } in entries {
            predicated |= nested.predicated || matches!(kind, Kind::Predicate);
            let place = Place { value, nested };
            if matches!(kind, Kind::Predicate) {
                predicates.push(place);
                continue;
            }
            if let Kind::Regex(regex) = kind {
                regexes.push(Pattern { regex, place });
                continue;
            }
            let auto_redirect = auto_redirect && name.ends_with(b"/");
            let no_regex = matches!(kind, Kind::PrefixNoRegex);
            let (exact, prefix) = if matches!(kind, Kind::Exact) { (Some(place), None) } else { (None, Some(place)) };
            nodes.push(Node { name: name.into(), exact, prefix, no_regex, auto_redirect, parent: None });
        }
        let nodes = sorted(nodes)?;
        let redirects = nodes.iter().any(|node| node.auto_redirect);
        Ok(Level { nodes, regexes: regexes.into(), predicates: predicates.into(), redirects, predicated })
    }

    /// The location of a level that has only one, a prefix without anything inside; and its name.
    pub fn only(&self) -> Option<(&[u8], T)> {
        match (&self.nodes[..], &self.regexes[..], &self.predicates[..]) {
            ([node], [], []) if node.exact.is_none() => {
                let place = node.prefix.as_ref().filter(|place| place.nested.is_empty())?;
                Some((&node.name, place.value))
            }
            _ => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.regexes.is_empty() && self.predicates.is_empty()
    }

    /// Whether variables have a say in the choice.
    pub fn has_predicates(&self) -> bool {
        self.predicated
    }

    /// The static locations of this level that fit `path`.
    fn statics(&self, path: &[u8]) -> Static<'_, T> {
        let after = self.nodes.partition_point(|node| &*node.name <= path);
        let Some(last) = after.checked_sub(1) else { return self.without_slash(path).unwrap_or(Static::Nothing) };
        let node = &self.nodes[last];
        let same = common(&node.name, path);
        if same == path.len() && same == node.name.len() {
            if let Some(exact) = &node.exact {
                return Static::Exact(exact);
            }
        } else if let Some(redirect) = self.without_slash(path) {
            return redirect;
        }
        // Every name between a prefix of the path and the path begins with that prefix, so it is `node` or above it.
        let mut at = Some(last);
        while let Some(node) = at.map(|at| &self.nodes[at]) {
            if let Some(place) = &node.prefix
                && node.name.len() <= same
            {
                return Static::Prefix(place, node.no_regex);
            }
            at = node.parent;
        }
        Static::Nothing
    }

    /// The location named `path` and `/`, if it wants the client sent there.
    fn without_slash(&self, path: &[u8]) -> Option<Static<'_, T>> {
        if !self.redirects {
            return None;
        }
        let order = |node: &Node<T>| node.name.iter().cmp(path.iter().chain(b"/"));
        let node = &self.nodes[self.nodes.binary_search_by(order).ok()?];
        let place = node.exact.as_ref().or(node.prefix.as_ref())?;
        node.auto_redirect.then_some(Static::Redirect(place))
    }
}

/// Sorts, joins `=` and prefix of the same name, finds each one's parent.
fn sorted<T: Copy>(mut nodes: Vec<Node<T>>) -> Result<Box<[Node<T>]>, Duplicate<T>> {
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    let mut joined: Vec<Node<T>> = Vec::with_capacity(nodes.len());
    let mut above: Vec<usize> = Vec::new();
    for node in nodes {
        match joined.last_mut() {
            Some(last) if last.name == node.name => {
                last.no_regex |= node.no_regex;
                last.auto_redirect |= node.auto_redirect;
                join(&mut last.exact, node.exact)?;
                join(&mut last.prefix, node.prefix)?;
            }
            _ => joined.push(node),
        }
    }
    for at in 0..joined.len() {
        while above.last().is_some_and(|top| !joined[at].name.starts_with(&joined[*top].name)) {
            above.pop();
        }
        joined[at].parent = above.last().copied();
        if joined[at].prefix.is_some() {
            above.push(at);
        }
    }
    Ok(joined.into())
}

fn join<T: Copy>(there: &mut Option<Place<T>>, other: Option<Place<T>>) -> Result<(), Duplicate<T>> {
    match (&there, other) {
        (Some(first), Some(second)) => Err(Duplicate { first: first.value, second: second.value }),
        (None, Some(other)) => {
            *there = Some(other);
            Ok(())
        }
        (_, None) => Ok(()),
    }
}

/// How many bytes at the start of both are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// What the static part of a level gives.
enum Static<'t, T> {
    Exact(&'t Place<T>),
    Redirect(&'t Place<T>),
    /// And whether it has `^~`.
    Prefix(&'t Place<T>, bool),
    Nothing,
}

/// Finds the location of `path`, which is decoded and has no dot segments. `captures` are of the last regular expression
/// that matched. `note` is told each step; give `|_| ()`, and it costs nothing.
pub fn find<'t, T: Copy>(
    level: &'t Level<T>,
    path: &[u8],
    captures: &mut Captures,
    note: &mut impl FnMut(Step<'t, T>),
) -> Hit<T> {
    find_where(level, path, captures, note, &mut |_| false)
}

/// The same; `holds` tells whether the variable of a location is true. It is asked after the regular expressions, in the
/// order of the file, unless one of these, `=` or `^~` has decided.
pub fn find_where<'t, T: Copy>(
    level: &'t Level<T>,
    path: &[u8],
    captures: &mut Captures,
    note: &mut impl FnMut(Step<'t, T>),
    holds: &mut impl FnMut(T) -> bool,
) -> Hit<T> {
    match search(level, path, captures, note, holds) {
        Search::Done(value) | Search::Prefix(value) => Hit::Found(value),
        Search::Redirect(value) => Hit::Redirect(value),
        Search::Nothing => Hit::Nothing,
        Search::Failed(what) => Hit::Failed(what),
    }
}

/// What the search of a level gives to the level outside.
enum Search<T> {
    /// The end: an exact location or a regular expression.
    Done(T),
    /// A prefix; regular expressions outside may still win.
    Prefix(T),
    Redirect(T),
    Nothing,
    Failed(String),
}

fn search<'t, T: Copy>(
    level: &'t Level<T>,
    path: &[u8],
    captures: &mut Captures,
    note: &mut impl FnMut(Step<'t, T>),
    holds: &mut impl FnMut(T) -> bool,
) -> Search<T> {
    let mut kept = Search::Nothing;
    let mut skip = None;
    match level.statics(path) {
        Static::Exact(place) => {
            note(Step::Exact(place.value));
            return Search::Done(place.value);
        }
        Static::Redirect(place) => {
            note(Step::Redirect(place.value));
            return Search::Redirect(place.value);
        }
        Static::Prefix(place, no_regex) => {
            note(Step::Prefix { value: place.value, no_regex });
            skip = no_regex.then_some(place.value);
            kept = match place.nested.is_empty() {
                true => Search::Prefix(place.value),
                false => match search(&place.nested, path, captures, note, holds) {
                    Search::Nothing => Search::Prefix(place.value),
                    Search::Prefix(inner) => Search::Prefix(inner),
                    done => return done,
                },
            };
        }
        Static::Nothing => {}
    }
    if let Some(value) = skip {
        if !level.regexes.is_empty() {
            note(Step::RegexesSkipped(value));
        }
        return kept;
    }
    match search_patterns(level, path, captures, note) {
        Search::Nothing => {}
        done => return done,
    }
    for place in &level.predicates {
        let held = holds(place.value);
        note(Step::Predicate { value: place.value, held });
        if held {
            return match search(&place.nested, path, captures, note, holds) {
                Search::Nothing => Search::Done(place.value),
                Search::Prefix(inner) => Search::Done(inner),
                done => done,
            };
        }
    }
    kept
}

/// Tries the regular expressions of a level, and of the one that matches those inside.
fn search_patterns<'t, T: Copy>(
    level: &'t Level<T>,
    path: &[u8],
    captures: &mut Captures,
    note: &mut impl FnMut(Step<'t, T>),
) -> Search<T> {
    for Pattern { regex, place } in &level.regexes {
        let outcome = regex.matched(path, captures);
        let matched = outcome == Matched::Yes;
        note(Step::Regex { value: place.value, pattern: regex.pattern(), matched });
        match outcome {
            Matched::Yes => {
                return match search_patterns(&place.nested, path, captures, note) {
                    Search::Nothing => Search::Done(place.value),
                    done => done,
                };
            }
            Matched::No => {}
            Matched::Failed(what) => return Search::Failed(what),
        }
    }
    Search::Nothing
}
