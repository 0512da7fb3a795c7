//! The table of a `map`: from a text to a value.
//!
//! The order of a search is nginx's: exact texts in any case, with `hostnames` the longest `*.suffix`, then the longest
//! `prefix.*`, then regular expressions in the order of the file, then `default`.

use crate::config::wildcard::{Refused, Wildcards};
use crate::regex::{Captures, Matched, Regex};

/// Keys up to this length are put into lower case without an allocation.
const SHORT: usize = 128;

/// Sources with their values.
pub struct MapTable<V> {
    hostnames: bool,
    plain: Wildcards<V>,
    regexes: Vec<(Regex, V)>,
    default: Option<V>,
}

impl<V> Default for MapTable<V> {
    fn default() -> MapTable<V> {
        MapTable { hostnames: false, plain: Wildcards::default(), regexes: Vec::new(), default: None }
    }
}

impl<V> MapTable<V> {
    /// From here on sources may be names of hosts with wildcards.
    pub fn hostnames(&mut self) {
        self.hostnames = true;
    }

    /// Adds a source as it is written: `default`, `~regex`, `~*regex`, a text, or one behind a `\` that is taken as it
    /// is. `include`, `hostnames` and `volatile` are directives, not sources: the caller has taken them out.
    pub fn add(&mut self, source: &str, value: V) -> Result<(), String> {
        if source == "default" {
            if self.default.is_some() {
                return Err("duplicate default map parameter".to_owned());
            }
            self.default = Some(value);
            return Ok(());
        }
        if let Some(pattern) = source.strip_prefix('~') {
            let caseless = pattern.strip_prefix('*');
            let regex = Regex::new(caseless.unwrap_or(pattern), caseless.is_some())?;
            self.regexes.push((regex, value));
            return Ok(());
        }
        let text = source.strip_prefix('\\').unwrap_or(source);
        let added = if self.hostnames {
            self.plain.add(text.as_bytes(), value)
        } else {
            self.plain.add_exact(text.as_bytes(), value)
        };
        added.map_err(|refused| match refused {
            Refused::Invalid => format!("invalid hostname or wildcard \"{text}\""),
            Refused::Conflict => format!("conflicting parameter \"{}\"", text.to_ascii_lowercase()),
        })
    }

    /// Its regular expressions.
    pub fn regexes(&self) -> impl Iterator<Item = &Regex> {
        self.regexes.iter().map(|(regex, _)| regex)
    }

    /// The value for `key`. `None` if nothing fits and there is no default: the variable is empty. A regular expression
    /// that fails ends the search: the default counts.
    pub fn find(&self, key: &[u8], captures: &mut Captures) -> Option<&V> {
        let key = if self.hostnames { key.strip_suffix(b".").unwrap_or(key) } else { key };
        self.plain(key).or_else(|| self.regex(key, captures)).or(self.default.as_ref())
    }

    fn plain(&self, key: &[u8]) -> Option<&V> {
        if !key.iter().any(u8::is_ascii_uppercase) {
            return self.plain.find(key);
        }
        let mut short = [0; SHORT];
        match short.get_mut(..key.len()) {
            Some(lower) => {
                lower.copy_from_slice(key);
                lower.make_ascii_lowercase();
                self.plain.find(lower)
            }
            None => self.plain.find(&key.to_ascii_lowercase()),
        }
    }

    fn regex(&self, key: &[u8], captures: &mut Captures) -> Option<&V> {
        if key.is_empty() {
            return None;
        }
        for (regex, value) in &self.regexes {
            match regex.matched(key, captures) {
                Matched::Yes => return Some(value),
                Matched::No => {}
                Matched::Failed(_) => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(hostnames: bool, sources: &[&'static str]) -> Result<MapTable<&'static str>, String> {
        let mut table = MapTable::default();
        if hostnames {
            table.hostnames();
        }
        sources.iter().try_for_each(|source| table.add(source, *source))?;
        Ok(table)
    }

    fn check(table: &MapTable<&'static str>, cases: &[(&str, Option<&str>)]) {
        for (key, expected) in cases {
            let found = table.find(key.as_bytes(), &mut Captures::default());
            assert_eq!(found.copied(), *expected, "{key}");
        }
    }

    #[test]
    fn texts_and_regexes() {
        let sources = ["Abc", "~^a", "~*^B(.)", r"\default", r"\~x", r"\\y", "*.z", "", "~^.b$", "~^"];
        check(
            &table(false, &sources).unwrap(),
            &[
                ("abc", Some("Abc")),
                ("ABC", Some("Abc")),
                ("abcd", Some("~^a")),
                ("ABCD", Some("~^")),
                ("bx", Some("~*^B(.)")),
                ("default", Some(r"\default")),
                ("~X", Some(r"\~x")),
                (r"\y", Some(r"\\y")),
                ("*.Z", Some("*.z")),
                ("y.z", Some("~^")),
                ("xb", Some("~^.b$")),
                ("", Some("")),
                ("abc.", Some("~^a")),
            ],
        );
    }

    #[test]
    fn an_empty_key_fits_only_an_empty_source() {
        check(&table(false, &["~^", "~*^"]).unwrap(), &[("", None), ("x", Some("~^"))]);
        check(&table(true, &["~^", "default", ".a"]).unwrap(), &[("", Some("default")), (".", Some("default"))]);
        check(&table(false, &["a"]).unwrap(), &[("b", None)]);
    }

    #[test]
    fn names_of_hosts() {
        let sources = ["default", "example.com", "*.example.com", ".example.org", "mail.*", "~^x"];
        check(
            &table(true, &sources).unwrap(),
            &[
                ("EXAMPLE.com.", Some("example.com")),
                ("a.b.example.com", Some("*.example.com")),
                ("example.org", Some(".example.org")),
                ("A.example.org", Some(".example.org")),
                ("mail.example.org", Some(".example.org")),
                ("mail.net", Some("mail.*")),
                ("x", Some("~^x")),
                ("X", Some("default")),
            ],
        );
        let long = "A".repeat(300) + ".EXAMPLE.com";
        check(&table(true, &sources).unwrap(), &[(&long, Some("*.example.com"))]);
    }

    #[test]
    fn groups_are_kept() {
        let table = table(false, &["~^(?<first>.)-(.)", "exact"]).unwrap();
        let mut captures = Captures::default();
        assert!(table.find(b"a-b", &mut captures).is_some());
        assert!(table.find(b"exact", &mut captures).is_some());
        assert_eq!((captures.named("first"), captures.get(2)), (Some(&b"a"[..]), Some(&b"b"[..])));
    }

    #[test]
    fn a_regex_that_fails_gives_the_default() {
        let table = table(false, &["~^(a+)+$", "~!", "default"]).unwrap();
        check(&table, &[("aaa", Some("~^(a+)+$")), ("a!", Some("~!")), (&("a".repeat(100) + "!"), Some("default"))]);
    }

    #[test]
    fn mistakes() {
        for (hostnames, sources, message) in [
            (false, &["a", "A"][..], "conflicting parameter \"a\""),
            (false, &["", r"\"], "conflicting parameter \"\""),
            (true, &["*.a", ".A"], "conflicting parameter \".a\""),
            (true, &["*a"], "invalid hostname or wildcard \"*a\""),
            (true, &["a..b"], "invalid hostname or wildcard \"a..b\""),
            (false, &["default", "default"], "duplicate default map parameter"),
            (false, &["~("], "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ] {
            assert_eq!(table(hostnames, sources).err().as_deref(), Some(message), "{sources:?}");
        }
    }
}
