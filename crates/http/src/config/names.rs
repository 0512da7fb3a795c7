//! Names of servers: which of the servers of an address a request is for.
//!
//! The order is nginx's: the exact name, the longest `*.suffix`, the longest `prefix.*`, the first regular expression.
//! It knows nothing of servers: a name has a value, and that is found.

use std::sync::Arc;

use super::wildcard::{Refused, Wildcards};
use crate::regex::{Captures, Regex};

/// A name as `server_name` gives it.
#[derive(Clone, Debug)]
pub struct ServerName {
    text: Box<str>,
    regex: Option<Arc<Regex>>,
}

impl ServerName {
    /// Reads one argument of `server_name`. `hostname` stands for `$hostname`.
    pub fn parse(text: &str, hostname: &str) -> Result<ServerName, String> {
        let bytes = text.as_bytes();
        if matches!(bytes, [b'*'] | [b'*', _] | [b'.']) || (bytes.first() == Some(&b'*') && bytes[1] != b'.') {
            return Err(format!("server name \"{text}\" is invalid"));
        }
        if let Some(pattern) = text.strip_prefix('~') {
            if pattern.is_empty() {
                return Err(format!("empty regex in server name \"{text}\""));
            }
            // The host is in lower case: a pattern with capitals could never match it.
            let regex = Regex::new(pattern, pattern.bytes().any(|byte| byte.is_ascii_uppercase()))?;
            return Ok(ServerName { text: pattern.into(), regex: Some(Arc::new(regex)) });
        }
        let text = if text.eq_ignore_ascii_case("$hostname") { hostname } else { text };
        Ok(ServerName { text: text.to_ascii_lowercase().into(), regex: None })
    }

    /// The name in lower case; the pattern of a regular expression.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn regex(&self) -> Option<&Arc<Regex>> {
        self.regex.as_ref()
    }

    /// A warning for a name that looks like a mistake.
    pub fn suspicious(&self) -> Option<String> {
        self.text.contains('/').then(|| format!("server name \"{}\" has suspicious symbols", self.text))
    }
}

/// The names of the servers of one address.
pub struct Names<T> {
    plain: Wildcards<T>,
    regexes: Vec<(Arc<Regex>, T)>,
}

/// A name that fits.
#[derive(Clone, Copy, Debug)]
pub struct Found<'n, T> {
    pub value: T,
    /// The regular expression that it was: its named groups are variables.
    pub regex: Option<&'n Regex>,
}

impl<T: Copy> Names<T> {
    /// Builds it from names in the order of the file; `address` is for the messages. Gives warnings for names that are
    /// there twice, of which the first counts.
    pub fn build<'a>(
        names: impl IntoIterator<Item = (&'a ServerName, T)>,
        address: &str,
    ) -> Result<(Names<T>, Vec<String>), String> {
        let mut warnings = Vec::new();
        let mut built = Names { plain: Wildcards::default(), regexes: Vec::new() };
        for (name, value) in names {
            if let Some(regex) = &name.regex {
                built.regexes.push((Arc::clone(regex), value));
                continue;
            }
            let text = &name.text;
            match built.plain.add(text.as_bytes(), value) {
                Ok(()) => {}
                Err(Refused::Invalid) => {
                    return Err(format!("invalid server name or wildcard \"{text}\" on {address}"));
                }
                Err(Refused::Conflict) => {
                    warnings.push(format!("conflicting server name \"{text}\" on {address}, ignored"));
                }
            }
        }
        Ok((built, warnings))
    }

    /// The name that fits `host`, which is as `normalise_host` makes it, or empty if the request names none. `captures`
    /// are of the regular expression, if it was one. One that fails does not fit.
    pub fn find(&self, host: &[u8], captures: &mut Captures) -> Option<Found<'_, T>> {
        if let Some(value) = self.plain.find(host) {
            return Some(Found { value: *value, regex: None });
        }
        if host.is_empty() {
            return None;
        }
        let (regex, value) = self.regexes.iter().find(|(regex, _)| regex.find(host, captures))?;
        Some(Found { value: *value, regex: Some(regex) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(names: &[&str]) -> Result<(Names<usize>, Vec<String>), String> {
        let names: Vec<ServerName> = names.iter().map(|name| ServerName::parse(name, "Box").unwrap()).collect();
        Names::build(names.iter().zip(0..), "0.0.0.0:80")
    }

    #[test]
    fn which_name_fits() {
        let names = [
            "example.com",
            "*.Example.com",
            ".example.org",
            "mail.*",
            r"~^(?<sub>\w+)\.regex\.net$",
            r"~^X\.regex\.net$",
            "~.",
            "",
            "$HOSTNAME",
        ];
        let (built, warnings) = build(&names).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let mut captures = Captures::default();
        for (host, expected) in [
            ("example.com", 0),
            ("www.example.com", 1),
            ("example.org", 2),
            ("a.b.example.org", 2),
            ("mail.example.com", 1),
            ("mail.example.net", 3),
            ("x.regex.net", 4),
            ("elsewhere", 6),
            ("", 7),
            ("box", 8),
        ] {
            let found = built.find(host.as_bytes(), &mut captures).unwrap();
            assert_eq!(found.value, expected, "{host}");
            assert_eq!(found.regex.is_some(), matches!(expected, 4 | 6), "{host}");
        }
        let found = built.find(b"shop.regex.net", &mut captures).unwrap();
        assert_eq!(found.regex.unwrap().names(), [("sub".into(), 1)]);
        assert_eq!(captures.get(1), Some(&b"shop"[..]));
    }

    #[test]
    fn capitals_in_a_pattern_make_it_caseless() {
        let (built, _) = build(&["~^WWW"]).unwrap();
        assert!(built.find(b"www.a", &mut Captures::default()).is_some());
        assert!(built.find(b"ww.a", &mut Captures::default()).is_none());
    }

    #[test]
    fn no_host_fits_only_the_empty_name() {
        let (built, _) = build(&["~^", ".*", "a"]).unwrap();
        assert!(built.find(b"", &mut Captures::default()).is_none());
        assert!(built.find(b"x", &mut Captures::default()).is_some());
    }

    #[test]
    fn names_that_are_invalid() {
        for (name, message) in [
            ("*", "server name \"*\" is invalid"),
            ("*x", "server name \"*x\" is invalid"),
            ("*.", "server name \"*.\" is invalid"),
            ("*x.y", "server name \"*x.y\" is invalid"),
            (".", "server name \".\" is invalid"),
            ("~", "empty regex in server name \"~\""),
            ("~(", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ] {
            assert_eq!(ServerName::parse(name, "").unwrap_err(), message);
        }
        for name in ["x*y", "a..b", "*.a.*", "a*.b"] {
            let message = format!("invalid server name or wildcard \"{name}\" on 0.0.0.0:80");
            assert_eq!(build(&[name]).err(), Some(message));
        }
        let name = ServerName::parse("a/b", "").unwrap();
        assert_eq!(name.suspicious().unwrap(), "server name \"a/b\" has suspicious symbols");
        assert_eq!(ServerName::parse("a.b", "").unwrap().suspicious(), None);
    }

    #[test]
    fn the_first_of_two_counts() {
        let (built, warnings) = build(&["a", "A", ".b", "*.b", "b", "c", "~a", "~a"]).unwrap();
        let told = |name: &str| format!("conflicting server name \"{name}\" on 0.0.0.0:80, ignored");
        assert_eq!(warnings, [told("a"), told("*.b"), told("b")]);
        let mut captures = Captures::default();
        for (host, expected) in [("a", 0), ("b", 2), ("x.b", 2), ("c", 5), ("aa", 6)] {
            assert_eq!(built.find(host.as_bytes(), &mut captures).unwrap().value, expected);
        }
    }

    #[test]
    fn a_thousand_servers_are_built_at_once() {
        let texts = (0..1000).flat_map(|n| {
            ["site{}.com", "www.site{}.com", "*.site{}.com", "site{}.*", ".alias{}.org"]
                .map(|t| t.replace("{}", &n.to_string()))
        });
        let names: Vec<ServerName> = texts.map(|text| ServerName::parse(&text, "").unwrap()).collect();
        let begun = std::time::Instant::now();
        let (built, warnings) = Names::build(names.iter().zip(0usize..), "").unwrap();
        assert!(begun.elapsed().as_millis() < 500, "{:?}", begun.elapsed());
        assert!(warnings.is_empty());
        let mut captures = Captures::default();
        for (host, index) in [("site7.com", 35), ("x.site7.com", 37), ("site999.net", 4998), ("alias0.org", 4)] {
            assert_eq!(built.find(host.as_bytes(), &mut captures).unwrap().value, index);
        }
    }
}
