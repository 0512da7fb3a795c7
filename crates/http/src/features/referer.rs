//! `valid_referers`: whether a request comes from a page that may send it.

mod directives;

use std::sync::Arc;

pub use directives::{ROWS, Settings, invalid};

use crate::config::names::ServerName;
use crate::config::wildcard::{Refused, Wildcards};
use crate::regex::Regex;

/// Longest host of a referer that is looked at, in bytes.
const LONGEST_HOST: usize = 256;
/// A referer shorter than this has no host.
const SHORTEST: usize = "http://i.ru".len();

/// The referers that are valid.
#[derive(Default)]
pub struct Referers {
    none: bool,
    blocked: bool,
    /// Hosts, each with the beginning of the path, or with `None` for all paths.
    hosts: Wildcards<Option<Box<[u8]>>>,
    /// Regular expressions of `server_name`, for the host.
    host_regexes: Vec<Arc<Regex>>,
    /// Those of the directive, for what follows the scheme.
    regexes: Vec<Regex>,
}

impl Referers {
    /// Builds it from all arguments of the directives of one block. `names` are those of the server, for `server_names`;
    /// a server without has the name `""`.
    pub fn build<'a>(arguments: impl IntoIterator<Item = &'a str>, names: &[ServerName]) -> Result<Referers, String> {
        let mut built = Referers::default();
        let mut server_names = false;
        for argument in arguments {
            match argument {
                "" => return Err("invalid referer \"\"".to_owned()),
                "none" => built.none = true,
                "blocked" => built.blocked = true,
                "server_names" => server_names = true,
                "~" => return Err("empty regex in \"~\"".to_owned()),
                _ => {
                    if let Some(pattern) = argument.strip_prefix('~') {
                        built.regexes.push(Regex::new(pattern, true)?);
                        continue;
                    }
                    let (host, path) = argument.split_at(argument.find('/').unwrap_or(argument.len()));
                    built.add(host, Some(path).filter(|path| !path.is_empty()))?;
                }
            }
        }
        if server_names {
            for name in names {
                match name.regex() {
                    Some(regex) => built.host_regexes.push(Arc::clone(regex)),
                    None => built.add(name.text(), None)?,
                }
            }
        }
        if (built.none || built.blocked) && built.hosts.is_empty() {
            return Err(
                "the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" directive without \
                        any valid referer"
                    .to_owned(),
            );
        }
        Ok(built)
    }

    fn add(&mut self, host: &str, path: Option<&str>) -> Result<(), String> {
        let path = path.map(|path| path.as_bytes().into());
        self.hosts.add(host.as_bytes(), path).map_err(|refused| match refused {
            Refused::Invalid => format!("invalid hostname or wildcard \"{host}\""),
            Refused::Conflict => format!("conflicting parameter \"{}\"", host.to_ascii_lowercase()),
        })
    }

    /// Whether a request with this `Referer` is invalid.
    pub fn invalid(&self, referer: Option<&[u8]>) -> bool {
        !self.valid(referer)
    }

    fn valid(&self, referer: Option<&[u8]>) -> bool {
        if self.hosts.is_empty() && self.host_regexes.is_empty() && self.regexes.is_empty() {
            return true;
        }
        let Some(referer) = referer else { return self.none };
        let Some(rest) = without_scheme(referer) else { return self.blocked };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b':')).unwrap_or(rest.len());
        if end > LONGEST_HOST {
            return false;
        }
        let mut host = [0; LONGEST_HOST];
        let host = &mut host[..end];
        host.copy_from_slice(&rest[..end]);
        host.make_ascii_lowercase();
        if let Some(path) = self.hosts.find(host) {
            let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            return path.as_ref().is_none_or(|path| rest[slash..].starts_with(path));
        }
        self.host_regexes.iter().any(|regex| regex.is_match(host))
            || self.regexes.iter().any(|regex| regex.is_match(rest))
    }
}

fn without_scheme(referer: &[u8]) -> Option<&[u8]> {
    let scheme = |scheme: &str| {
        let (start, rest) = referer.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    };
    if referer.len() < SHORTEST { None } else { scheme("http://").or_else(|| scheme("https://")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(arguments: &str, names: &[&str]) -> Result<Referers, String> {
        let names: Vec<_> = names.iter().map(|name| ServerName::parse(name, "").unwrap()).collect();
        Referers::build(arguments.split_whitespace().map(|word| if word == "\"\"" { "" } else { word }), &names)
    }

    #[test]
    fn which_are_valid() {
        let arguments = "example.com *.example.org www.example.* .a.net/path/ ~\\.google\\. ~^reg\\.ex/Sub";
        let referers = build(arguments, &[]).unwrap();
        for (referer, valid) in [
            ("http://example.com/", true),
            ("HTTPS://EXAMPLE.com", true),
            ("http://example.com:8080/x", true),
            ("http://example.comx/", false),
            ("http://x.example.org/", true),
            ("http://example.org/", false),
            ("http://www.example.net", true),
            ("http://a.net/path/x", true),
            ("http://b.a.net:1/path/", true),
            ("http://a.net/PATH/", false),
            ("http://a.net/path", false),
            ("http://a.net", false),
            ("http://www.GOOGLE.com/", true),
            ("http://evil.com/.google.", true),
            ("http://reg.ex/sub", true),
            ("https://reg.ex/sub", true),
            ("http://evil.com/?http://example.com", false),
            ("http://i.r", false),
            ("example.com", false),
            ("ftp://example.com/", false),
            ("", false),
            ("http://:80/abcdefg", false),
        ] {
            assert_eq!(referers.invalid(Some(referer.as_bytes())), !valid, "{referer}");
        }
        assert!(referers.invalid(None));
        let long = |length: usize| format!("http://{}.google.", "a".repeat(length - 8));
        assert!(!referers.invalid(Some(long(256).as_bytes())));
        assert!(referers.invalid(Some(long(257).as_bytes())));
    }

    #[test]
    fn none_and_blocked() {
        for (arguments, missing, stripped, other) in [
            ("a.b", false, false, false),
            ("none a.b", true, false, false),
            ("blocked a.b", false, true, false),
            ("none blocked a.b", true, true, false),
        ] {
            let referers = build(arguments, &[]).unwrap();
            assert_eq!(!referers.invalid(None), missing, "{arguments}");
            for referer in ["XXXXXXXXXXXXXXXXXXX", "http:/a.b/xxxxxxxx", "", "http://a.b"] {
                assert_eq!(!referers.invalid(Some(referer.as_bytes())), stripped, "{arguments}: {referer}");
            }
            assert_eq!(!referers.invalid(Some(b"http://c.d/xxxxxxxxx")), other, "{arguments}");
        }
        assert!(!Referers::default().invalid(None));
    }

    #[test]
    fn the_names_of_the_server() {
        let referers = build("server_names x.y server_names", &["Site.com", "*.site.net", "~^re[0-9]$", ""]).unwrap();
        for (referer, valid) in [
            ("http://site.com/a", true),
            ("http://x.y/abcdef", true),
            ("http://b.site.net/", true),
            ("http://RE1/abcdef", true),
            ("http://re1:80/abcdef", true),
            ("http://re12/abcdef", false),
            ("http:///abcdefghi", true),
        ] {
            assert_eq!(referers.invalid(Some(referer.as_bytes())), !valid, "{referer}");
        }
    }

    #[test]
    fn mistakes() {
        let without = "the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" directive without any \
                       valid referer";
        for (arguments, message) in [
            ("none", without),
            ("blocked ~x", without),
            ("\"\"", "invalid referer \"\""),
            ("x*y", "invalid hostname or wildcard \"x*y\""),
            ("a/b A/c", "conflicting parameter \"a\""),
            ("server_names a.b", "conflicting parameter \"a.b\""),
            ("~", "empty regex in \"~\""),
            ("~(", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ] {
            assert_eq!(build(arguments, &["a.b"]).err().as_deref(), Some(message), "{arguments}");
        }
    }
}
