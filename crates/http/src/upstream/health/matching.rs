//! `match`: what an answer to a probe must look like. All rules of a block must hold.

use std::sync::Arc;

use conf::{Diagnostic, Directive};

use crate::config::arguments::text;
use crate::config::build::{Block, Maker, Setter};
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{MANY, Row};
use crate::regex::Regex;
use crate::variables::{Scope, Template};

/// A `match` block.
#[derive(Default)]
pub struct Match {
    pub name: Box<str>,
    pub rules: Vec<Rule>,
}

/// One line of it.
pub enum Rule {
    /// One of these ranges, both ends included; `true`: none of them.
    Status(bool, Vec<(u16, u16)>),
    Header(Box<str>, Test),
    Body(Arc<Regex>, bool),
    /// None of these is empty or `0`.
    Require(Vec<Template>),
}

/// What a field must be.
pub enum Test {
    Present,
    Absent,
    /// `true`: it must not be.
    Is(Box<[u8]>, bool),
    Matches(Arc<Regex>, bool),
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "body",
        MATCH,
        (2, 2),
        "~ | !~ REGEX",
        "",
        "The body must match a regular expression, or must not. Its first 256 KB are looked at.",
        Set(body),
    )
    .repeats(),
    Row::new(
        "header",
        MATCH,
        (1, 3),
        "NAME [= | != | ~ | !~ VALUE] | ! NAME",
        "",
        "The answer must have a field, must not have it (`! NAME`), or the field must have a value, not have it, match \
         a regular expression, or not match it.",
        Set(header),
    )
    .repeats(),
    Row::new(
        "require",
        MATCH,
        (1, MANY),
        "$VARIABLE ...",
        "",
        "No variable may be empty or `0` when the answer is there.",
        Set(require),
    )
    .repeats(),
    Row::new(
        "status",
        MATCH,
        (1, MANY),
        "[!] CODE | CODE-CODE ...",
        "",
        "The status must be one of these, or with `!` none of them.",
        Set(status),
    )
    .repeats(),
];

fn add(s: &mut Setter<'_>, rule: Rule) -> Result<(), Diagnostic> {
    s.block.own.rules.push(rule);
    Ok(())
}

fn regex(s: &Setter<'_>, index: usize) -> Result<Arc<Regex>, Diagnostic> {
    Regex::new(s.text(index), false).map(Arc::new).map_err(|why| s.wrong(why))
}

fn status(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let not = s.text(0) == "!";
    let words = &s.it.args[usize::from(not)..];
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code) && text.len() == 3);
    let mut ranges = Vec::with_capacity(words.len());
    for word in words {
        let (low, high) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
        match (code(low), code(high)) {
            (Some(low), Some(high)) if low <= high => ranges.push((low, high)),
            _ => return Err(s.wrong(format!("invalid status \"{}\"", word.text)).hint("`200`, or a range: `200-399`")),
        }
    }
    if ranges.is_empty() {
        return Err(s.wrong("invalid number of arguments in \"status\" directive"));
    }
    add(s, Rule::Status(not, ranges))
}

fn header(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let (name, test) = match (s.count(), s.text(0), s.text(1)) {
        (1, name, _) if name != "!" => (name, Test::Present),
        (2, "!", name) => (name, Test::Absent),
        (3, name, "=") => (name, Test::Is(s.text(2).as_bytes().into(), false)),
        (3, name, "!=") => (name, Test::Is(s.text(2).as_bytes().into(), true)),
        (3, name, "~") => (name, Test::Matches(regex(s, 2)?, false)),
        (3, name, "!~") => (name, Test::Matches(regex(s, 2)?, true)),
        (3, _, sign) => return Err(s.wrong(format!("invalid condition \"{sign}\"")).hint("one of: =, !=, ~, !~")),
        _ => return Err(s.wrong("invalid number of arguments in \"header\" directive")),
    };
    let rule = Rule::Header(name.to_ascii_lowercase().into(), test);
    add(s, rule)
}

fn body(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let not = match s.text(0) {
        "~" => false,
        "!~" => true,
        sign => return Err(s.wrong(format!("invalid condition \"{sign}\"")).hint("one of: ~, !~")),
    };
    let rule = Rule::Body(regex(s, 1)?, not);
    add(s, rule)
}

fn require(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let templates = (0..s.count()).map(|index| s.template(index)).collect::<Result<_, _>>()?;
    add(s, Rule::Require(templates))
}

/// A block has been read.
pub fn close(make: &mut Maker, it: &Directive, block: &mut Block) {
    let name = text(it, 0);
    if make.matches.iter().any(|other| &*other.name == name) {
        make.problems.push(Diagnostic::of(it, format!("duplicate match \"{name}\"")));
        return;
    }
    let rules = std::mem::take(&mut block.own.rules);
    make.matches.push(Arc::new(Match { name: name.into(), rules }));
}

/// Which part of an answer is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Status,
    Header,
    Body,
    Variables,
    GrpcStatus,
}

/// As nginx has it in its log.
impl Part {
    pub fn checking(self) -> &'static str {
        match self {
            Part::Status => "checking status code",
            Part::Header => "checking headers",
            Part::Body => "checking body",
            Part::Variables => "checking variables",
            Part::GrpcStatus => "checking grpc status code",
        }
    }
}

impl Match {
    pub fn needs_body(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule, Rule::Body(..)))
    }

    /// Whether a head is as it should be; what is wrong otherwise. `values` gives those of a field by its lower-case name.
    pub fn head(&self, status: u16, values: impl Fn(&str) -> Vec<Vec<u8>>) -> Result<(), Part> {
        for rule in &self.rules {
            match rule {
                Rule::Status(not, ranges) => {
                    if ranges.iter().any(|(low, high)| (*low..=*high).contains(&status)) == *not {
                        return Err(Part::Status);
                    }
                }
                Rule::Header(name, test) => {
                    let values = values(name);
                    let holds = match test {
                        Test::Present => !values.is_empty(),
                        Test::Absent => values.is_empty(),
                        Test::Is(value, false) => values.iter().any(|other| **other == **value),
                        Test::Is(value, true) => !values.iter().any(|other| **other == **value),
                        Test::Matches(regex, false) => values.iter().any(|value| regex.is_match(value)),
                        Test::Matches(regex, true) => !values.iter().any(|value| regex.is_match(value)),
                    };
                    if !holds {
                        return Err(Part::Header);
                    }
                }
                Rule::Body(..) | Rule::Require(_) => {}
            }
        }
        Ok(())
    }

    pub fn body(&self, body: &[u8]) -> Result<(), Part> {
        let holds = |rule: &Rule| match rule {
            Rule::Body(regex, not) => regex.is_match(body) != *not,
            _ => true,
        };
        if self.rules.iter().all(holds) { Ok(()) } else { Err(Part::Body) }
    }

    pub fn variables(&self, scope: &mut Scope<'_>) -> Result<(), Part> {
        let mut value = Vec::new();
        for rule in &self.rules {
            let Rule::Require(templates) = rule else { continue };
            for template in templates {
                value.clear();
                template.write(scope, &mut value);
                if value.is_empty() || value == b"0" {
                    return Err(Part::Variables);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Place};

    /// A `match` block that a location uses.
    fn build(rules: &str) -> Result<Arc<Match>, String> {
        let text = format!(
            "http {{ match m {{ {rules} }} upstream u {{ zone z 64k; server 127.0.0.1:1; }} \
             server {{ listen 1; location / {{ proxy_pass http://u; health_check match=m; }} }} }}"
        );
        let tree = conf::parse_alone("test", &text).map_err(|problems| format!("{problems:?}"))?;
        match Config::build(&tree, &Place::default()) {
            Ok(built) => Ok(built.config.checks[0].matching.clone().unwrap()),
            Err(problems) => Err(problems[0].message.clone()),
        }
    }

    fn head(rules: &str, status: u16, fields: &[(&str, &str)]) -> Result<(), Part> {
        build(rules).unwrap().head(status, |name| {
            let own = fields.iter().filter(|(other, _)| *other == name);
            own.map(|(_, value)| value.as_bytes().to_vec()).collect()
        })
    }

    #[test]
    fn statuses() {
        for (rule, good, bad) in [
            ("status 200;", &[200][..], &[201, 404][..]),
            ("status ! 500;", &[200, 404], &[500]),
            ("status 200 204;", &[200, 204], &[203, 205]),
            ("status ! 301 302;", &[200, 300, 303], &[301, 302]),
            ("status 200-399;", &[200, 399], &[199, 400]),
            ("status ! 400-599;", &[200], &[400, 599]),
            ("status 301-303 307;", &[301, 303, 307], &[304, 308]),
        ] {
            good.iter().for_each(|status| assert_eq!(head(rule, *status, &[]), Ok(()), "{rule} {status}"));
            bad.iter().for_each(|status| assert_eq!(head(rule, *status, &[]), Err(Part::Status), "{rule} {status}"));
        }
    }

    #[test]
    fn fields() {
        let html = [("content-type", "text/html"), ("connection", "close"), ("x", "a"), ("x", "b")];
        for (rule, holds) in [
            ("header Content-Type = text/html;", true),
            ("header Content-Type = text;", false),
            ("header Content-Type != text/html;", false),
            ("header Content-Type != text;", true),
            ("header Connection ~ lo;", true),
            ("header Connection !~ close;", false),
            ("header Host;", false),
            ("header connection;", true),
            ("header ! X-Accel-Redirect;", true),
            ("header ! Connection;", false),
            ("header X = b;", true),
            ("header X != b;", false),
        ] {
            assert_eq!(head(rule, 200, &html).is_ok(), holds, "{rule}");
        }
    }

    #[test]
    fn bodies() {
        let all = build(r#"body ~ "Welcome to \w+!"; body !~ error;"#).unwrap();
        assert!(all.needs_body());
        assert_eq!(all.body(b"<h1>Welcome to us!</h1>"), Ok(()));
        assert_eq!(all.body(b"Welcome to us! error"), Err(Part::Body));
        assert_eq!(all.body(b""), Err(Part::Body));
    }

    #[test]
    fn what_is_wrong() {
        for (rules, why) in [
            ("status 2000;", "invalid status \"2000\""),
            ("status 300-200;", "invalid status \"300-200\""),
            ("status !;", "invalid number of arguments in \"status\" directive"),
            ("header a > b;", "invalid condition \">\""),
            ("header a b;", "invalid number of arguments in \"header\" directive"),
            ("body = a;", "invalid condition \"=\""),
            ("root /;", "\"root\" directive is not allowed here"),
        ] {
            assert_eq!(build(rules).err().as_deref(), Some(why), "{rules}");
        }
        assert!(build("body ~ (;").err().unwrap().contains("missing"), "{:?}", build("body ~ (;").err());
    }
}
