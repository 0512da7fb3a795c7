//! A table of names of hosts: exact ones, `*.suffix`, `.suffix` and `prefix.*`.
//!
//! Server names, `map` with `hostnames` and `valid_referers` share it. The order of a search is nginx's: exact, then the
//! longest suffix, then the longest prefix. Keys are in lower case; whoever searches brings theirs in lower case.

use std::collections::HashMap;

/// Why a name was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A star where none may be, two dots in a row, or a NUL.
    Invalid,
    /// The same name is there; it stays.
    Conflict,
}

/// Names and their values.
pub struct Wildcards<V> {
    values: Vec<V>,
    /// Name to index in `values`. `.suffix` stands here, too, without its dot.
    exact: HashMap<Box<[u8]>, usize>,
    /// What follows `*.` or the first dot.
    suffixes: Side,
    /// What stands before `.*`.
    prefixes: Side,
}

/// One kind of wildcards.
#[derive(Default)]
struct Side {
    names: HashMap<Box<[u8]>, usize>,
    /// Length of the longest one: longer parts of a name need no search, so a name of thousands of dots costs little.
    longest: usize,
}

impl Side {
    fn insert(&mut self, name: &[u8], value: usize) {
        self.longest = self.longest.max(name.len());
        self.names.insert(name.into(), value);
    }

    fn get(&self, name: &[u8]) -> Option<usize> {
        if name.len() > self.longest { None } else { self.names.get(name).copied() }
    }
}

impl<V> Default for Wildcards<V> {
    fn default() -> Wildcards<V> {
        Wildcards { values: Vec::new(), exact: HashMap::new(), suffixes: Side::default(), prefixes: Side::default() }
    }
}

/// What a name means as a wildcard.
enum Shape<'k> {
    Exact(&'k [u8]),
    /// `*.suffix`
    Suffix(&'k [u8]),
    /// `.suffix`
    Both(&'k [u8]),
    /// `prefix.*`
    Prefix(&'k [u8]),
}

fn shape(name: &[u8]) -> Option<Shape<'_>> {
    let stars = name.iter().filter(|byte| **byte == b'*').count();
    if stars > 1 || name.contains(&0) || name.windows(2).any(|pair| pair == b"..") {
        return None;
    }
    match name {
        [b'.', suffix @ ..] if !suffix.is_empty() => Some(Shape::Both(suffix)),
        [b'*', b'.', suffix @ ..] if !suffix.is_empty() => Some(Shape::Suffix(suffix)),
        [prefix @ .., b'.', b'*'] if !prefix.is_empty() => Some(Shape::Prefix(prefix)),
        _ if stars > 0 => None,
        name => Some(Shape::Exact(name)),
    }
}

impl<V> Wildcards<V> {
    /// Adds a name, in any case, with or without wildcards.
    pub fn add(&mut self, name: &[u8], value: V) -> Result<(), Refused> {
        let name = name.to_ascii_lowercase();
        let shape = shape(&name).ok_or(Refused::Invalid)?;
        let taken = match shape {
            Shape::Exact(name) => self.exact.contains_key(name),
            Shape::Suffix(name) => self.suffixes.names.contains_key(name),
            Shape::Both(name) => self.exact.contains_key(name) || self.suffixes.names.contains_key(name),
            Shape::Prefix(name) => self.prefixes.names.contains_key(name),
        };
        if taken {
            return Err(Refused::Conflict);
        }
        let index = self.values.len();
        self.values.push(value);
        if let Shape::Exact(name) | Shape::Both(name) = shape {
            self.exact.insert(name.into(), index);
        }
        match shape {
            Shape::Suffix(name) | Shape::Both(name) => self.suffixes.insert(name, index),
            Shape::Prefix(name) => self.prefixes.insert(name, index),
            Shape::Exact(_) => {}
        }
        Ok(())
    }

    /// Adds a text in which stars and dots mean nothing.
    pub fn add_exact(&mut self, name: &[u8], value: V) -> Result<(), Refused> {
        let name = name.to_ascii_lowercase();
        if self.exact.contains_key(&name[..]) {
            return Err(Refused::Conflict);
        }
        self.exact.insert(name.into(), self.values.len());
        self.values.push(value);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of the best match for `name`, which is in lower case.
    pub fn find(&self, name: &[u8]) -> Option<&V> {
        self.index(name).map(|index| &self.values[index])
    }

    fn index(&self, name: &[u8]) -> Option<usize> {
        if let Some(index) = self.exact.get(name) {
            return Some(*index);
        }
        let dots = || name.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
        if self.suffixes.longest > 0
            && let Some(index) = dots().find_map(|at| self.suffixes.get(&name[at + 1..]))
        {
            return Some(index);
        }
        if self.prefixes.longest > 0 {
            return dots().rev().find_map(|at| self.prefixes.get(&name[..at]));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(names: &[&'static str]) -> Wildcards<&'static str> {
        let mut table = Wildcards::default();
        for name in names {
            table.add(name.as_bytes(), *name).unwrap();
        }
        table
    }

    #[test]
    fn the_order_of_a_search() {
        let table = table(&[
            "example.com",
            "*.example.com",
            "*.a.example.com",
            ".example.org",
            "www.example.*",
            "www.*",
            "",
            "*.com",
        ]);
        for (name, expected) in [
            ("example.com", Some("example.com")),
            ("x.example.com", Some("*.example.com")),
            ("x.y.example.com", Some("*.example.com")),
            ("a.example.com", Some("*.example.com")),
            ("x.a.example.com", Some("*.a.example.com")),
            (".example.com", Some("*.example.com")),
            ("example.org", Some(".example.org")),
            ("x.example.org", Some(".example.org")),
            ("notexample.org", None),
            ("www.example.com", Some("*.example.com")),
            ("www.example.net", Some("www.example.*")),
            ("www.example.net.uk", Some("www.example.*")),
            ("www.other.net", Some("www.*")),
            ("www", None),
            ("other.com", Some("*.com")),
            ("com", None),
            ("", Some("")),
            ("x", None),
        ] {
            assert_eq!(table.find(name.as_bytes()).copied(), expected, "{name}");
        }
    }

    #[test]
    fn names_that_are_refused() {
        for name in ["*", "*x", "x*", "x*y", "*.*", "a.*.b", "*.a.*", "a..b", "*..a", "*.", "**.a", "a\0b", "*a.b"] {
            assert_eq!(Wildcards::default().add(name.as_bytes(), ()), Err(Refused::Invalid), "{name:?}");
        }
        for (first, second) in [
            ("a", "A"),
            ("*.a", "*.A"),
            ("*.a", ".a"),
            (".a", "*.a"),
            (".a", "a"),
            ("a", ".a"),
            ("a.*", "A.*"),
            ("", ""),
        ] {
            let mut table = Wildcards::default();
            table.add(first.as_bytes(), 1).unwrap();
            assert_eq!(table.add(second.as_bytes(), 2), Err(Refused::Conflict), "{first} {second}");
        }
        for (first, second) in [("a", "*.a"), ("*.a", "a"), ("a.*", "a"), ("a.*", ".a"), ("a", "")] {
            let mut table = Wildcards::default();
            table.add(first.as_bytes(), 1).unwrap();
            assert_eq!(table.add(second.as_bytes(), 2), Ok(()), "{first} {second}");
        }
    }

    #[test]
    fn a_text_is_taken_as_it_is() {
        let mut table = Wildcards::default();
        for text in ["*.a", "..", "*", ".b"] {
            table.add_exact(text.as_bytes(), text).unwrap();
        }
        assert_eq!(table.add_exact(b"*.A", "again"), Err(Refused::Conflict));
        assert_eq!(table.find(b"*.a").copied(), Some("*.a"));
        assert_eq!(table.find(b"x.a"), None);
        assert_eq!(table.find(b"b"), None);
    }

    #[test]
    fn a_name_of_many_dots_costs_little() {
        let table = table(&["*.example.com", "www.example.*"]);
        let name = b"a.".repeat(16_000);
        let begun = std::time::Instant::now();
        assert_eq!(table.find(&name), None);
        assert!(begun.elapsed().as_millis() < 500, "{:?}", begun.elapsed());
    }

    /// What the rules say, name by name.
    fn plain<'n>(names: &[&'n str], host: &str) -> Option<&'n str> {
        let fits = |name: &&&str| match shape(name.as_bytes()) {
            Some(Shape::Exact(exact)) => exact == host.as_bytes(),
            Some(Shape::Suffix(_)) => host.ends_with(&name[1..]),
            Some(Shape::Both(bare)) => bare == host.as_bytes() || host.ends_with(**name),
            Some(Shape::Prefix(_)) => host.starts_with(&name[..name.len() - 1]),
            None => false,
        };
        let rank = |name: &&&str| match shape(name.as_bytes()) {
            Some(Shape::Exact(_)) => (3, 0),
            Some(Shape::Both(bare)) if bare == host.as_bytes() => (3, 0),
            Some(Shape::Suffix(bare) | Shape::Both(bare)) => (2, bare.len()),
            Some(Shape::Prefix(bare)) => (1, bare.len()),
            None => (0, 0),
        };
        names.iter().filter(fits).max_by_key(rank).copied()
    }

    proptest! {
        #[test]
        fn it_finds_what_the_rules_say(
            names in prop::collection::vec("(\\*\\.|\\.)?[ab](\\.[ab]){0,3}(\\.\\*)?", 0..12),
            host in "[ab](\\.[ab]){0,4}",
        ) {
            let mut table = Wildcards::default();
            let mut taken = Vec::new();
            for name in &names {
                if table.add(name.as_bytes(), name.as_str()).is_ok() {
                    taken.push(name.as_str());
                }
            }
            prop_assert_eq!(table.find(host.as_bytes()).copied(), plain(&taken, &host));
        }
    }
}
