//! Texts with variables in them: `/srv/$host/${arg_v}.html`, compiled at load.

use std::fmt;

use conf::At;

use super::{Registry, Scope, Variable};

/// A compiled text. A text without variables costs a copy.
#[derive(Clone, Debug, Default)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<[u8]>),
    Variable(Variable),
}

impl Template {
    /// A text that has no variables, whatever is in it.
    pub fn fixed(text: impl Into<Vec<u8>>) -> Template {
        let text: Vec<u8> = text.into();
        let parts = if text.is_empty() { vec![] } else { vec![Part::Text(text.into())] };
        Template { parts: parts.into() }
    }

    /// Compiles a text; the error is nginx's.
    pub fn compile(text: &str, at: &At, registry: &mut Registry) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            literal.extend_from_slice(&rest.as_bytes()[..dollar]);
            rest = &rest[dollar + 1..];
            let (name, after) = match rest.strip_prefix('{') {
                Some(braced) => {
                    let Some((name, after)) = braced.split_once('}') else {
                        return Err(format!("the closing bracket in \"{braced}\" variable is missing"));
                    };
                    (name, after)
                }
                None => {
                    let digit = rest.starts_with(|c: char| ('1'..='9').contains(&c));
                    let end = if digit { 1 } else { rest.find(|c| !is_name(c)).unwrap_or(rest.len()) };
                    rest.split_at(end)
                }
            };
            if name.is_empty() || !name.chars().all(is_name) {
                return Err("invalid variable name".to_owned());
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Variable(Variable::of(name, at, registry)));
            rest = after;
        }
        literal.extend_from_slice(rest.as_bytes());
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Template { parts: parts.into() })
    }

    /// The text, where it has no variables.
    pub fn as_fixed(&self) -> Option<&[u8]> {
        match &self.parts[..] {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// How many bytes at its start are the same for every request.
    pub fn fixed_start(&self) -> usize {
        match self.parts.first() {
            Some(Part::Text(text)) => text.len().saturating_sub(1),
            _ => 0,
        }
    }

    /// Appends the value.
    pub fn write(&self, scope: &mut Scope<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(variable) => {
                    variable.write(scope, out);
                }
            }
        }
    }

    /// Appends the value with captures escaped as they stand in a query string: what the client sent escaped stays so.
    pub fn write_escaping_captures(&self, scope: &mut Scope<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(capture @ Variable::Capture(_)) => {
                    let mut value = Vec::new();
                    capture.write(scope, &mut value);
                    wire::uri::escape(&value, wire::uri::Escape::Query, out);
                }
                Part::Variable(variable) => {
                    variable.write(scope, out);
                }
            }
        }
    }

    /// Appends the value, for those to whom a variable's value is not like the text around it: `value` is shown where
    /// in `out` each one begins, and whether there is one.
    pub fn each(&self, scope: &mut Scope<'_>, out: &mut Vec<u8>, mut value: impl FnMut(&mut Vec<u8>, usize, bool)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(variable) => {
                    let start = out.len();
                    let found = variable.write(scope, out);
                    value(out, start, found);
                }
            }
        }
    }

    /// The value.
    pub fn value(&self, scope: &mut Scope<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(scope, &mut out);
        out
    }

    /// Whether it is there and not `0`: what conditions (`access_log if=`, `proxy_no_cache`) mean by true.
    pub fn is_true(&self, scope: &mut Scope<'_>) -> bool {
        let mut value = std::mem::take(&mut scope.request.route.scratch);
        value.clear();
        self.write(scope, &mut value);
        let is_true = !value.is_empty() && value != b"0";
        scope.request.route.scratch = value;
        is_true
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// For `explain` and messages: what was written, about.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&String::from_utf8_lossy(text))?,
                Part::Variable(Variable::Fixed(row)) => write!(f, "${}", row.name)?,
                Part::Variable(Variable::Member(family, name)) => write!(f, "${}{name}", family.prefix)?,
                Part::Variable(Variable::Own(id)) => write!(f, "$({})", id.index())?,
                Part::Variable(Variable::Capture(number)) => write!(f, "${number}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> Result<String, String> {
        let mut registry = Registry::default();
        Template::compile(text, &At::Default, &mut registry).map(|template| template.to_string())
    }

    #[test]
    fn texts_are_compiled() {
        for (text, parts) in [
            ("", ""),
            ("plain", "plain"),
            ("$uri", "$uri"),
            ("a${uri}b", "a$urib"),
            ("$1x", "$1x"),
            ("$arg_A-b", "$arg_a-b"),
            ("$URI", "$uri"),
            ("$http_User_Agent", "$http_user_agent"),
            ("$own$Own", "$(0)$(0)"),
        ] {
            assert_eq!(compile(text).as_deref(), Ok(parts), "{text}");
        }
        for (text, error) in [
            ("a$", "invalid variable name"),
            ("$-", "invalid variable name"),
            ("${}", "invalid variable name"),
            ("${uri", "the closing bracket in \"uri\" variable is missing"),
        ] {
            assert_eq!(compile(text), Err(error.to_owned()), "{text}");
        }
        assert_eq!(Template::fixed("$x").as_fixed(), Some(&b"$x"[..]));
    }
}
