//! `proxy_redirect`: servers name places by their own URLs, in Location and Refresh; clients need this server's. The rules
//! are of the same kind for domains and paths of cookies.

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::Handler;
use crate::config::Pattern;
use crate::config::build::Setter;
use crate::variables::{Scope, Template};

/// What becomes of Location and Refresh.
#[derive(Clone, Default)]
pub enum Redirect {
    /// Nothing was said: the first `proxy_pass` in this block or one in it decides.
    #[default]
    Unsaid,
    Off,
    /// What the URL of a `proxy_pass` implies. As in nginx, inner locations inherit it.
    Implied(Arc<[Rule]>),
    Rules(Arc<[Rule]>),
}

/// One text becomes another.
#[derive(Clone)]
pub struct Rule {
    from: From,
    to: Template,
}

#[derive(Clone)]
enum From {
    /// The beginning of a value; of a domain, all of it.
    Text(Template),
    /// A regular expression: all of the value is replaced.
    Pattern(Pattern),
}

impl Rule {
    /// Of two texts that have no variables.
    pub fn fixed(from: &str, to: &str) -> Rule {
        Rule { from: From::Text(Template::fixed(from)), to: Template::fixed(to) }
    }

    /// Of the first two arguments of a directive: `TEXT`, `~REGEX`, `~*REGEX`. `domain`: a regular expression has no
    /// regard to case whatever it begins with, and a dot at the beginning of a text does not count.
    pub fn compile(s: &mut Setter<'_>, domain: bool) -> Result<Rule, Diagnostic> {
        let text = s.text(0).to_owned();
        let from = match text.strip_prefix('~') {
            Some(pattern) if domain => From::Pattern(Pattern::compile(pattern, true, s)?),
            Some(pattern) => match pattern.strip_prefix('*') {
                Some(pattern) => From::Pattern(Pattern::compile(pattern, true, s)?),
                None => From::Pattern(Pattern::compile(pattern, false, s)?),
            },
            None if domain => From::Text(s.compile(text.strip_prefix('.').unwrap_or(&text))?),
            None => From::Text(s.compile(&text)?),
        };
        Ok(Rule { from, to: s.template(1)? })
    }

    /// What a value becomes; `None`: the rule is not for it.
    fn apply(&self, scope: &mut Scope<'_>, value: &[u8], domain: bool) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match &self.from {
            From::Pattern(pattern) => {
                if !pattern.find(value, &mut scope.request.route) {
                    return None;
                }
                self.to.write(scope, &mut out);
            }
            From::Text(text) if domain => {
                if !text.value(scope).eq_ignore_ascii_case(value) {
                    return None;
                }
                self.to.write(scope, &mut out);
            }
            From::Text(text) => {
                let text = text.value(scope);
                let rest = value.strip_prefix(text.as_slice())?;
                self.to.write(scope, &mut out);
                out.extend_from_slice(rest);
            }
        }
        Some(out)
    }
}

/// What the first rule makes of a value that is for it; `None`: there is no such rule.
pub fn apply(rules: &[Rule], scope: &mut Scope<'_>, value: &[u8]) -> Option<Vec<u8>> {
    rules.iter().find_map(|rule| rule.apply(scope, value, false))
}

/// The same for the domain of a cookie, of which a dot at the beginning stays. A regular expression sees it.
pub fn apply_to_domain(rules: &[Rule], scope: &mut Scope<'_>, value: &[u8]) -> Option<Vec<u8>> {
    let dot = usize::from(value.starts_with(b"."));
    rules.iter().find_map(|rule| match rule.from {
        From::Pattern(_) => rule.apply(scope, value, true),
        From::Text(_) => Some([&value[..dot], &rule.apply(scope, &value[dot..], true)?].concat()),
    })
}

impl Redirect {
    /// The rules that hold.
    pub fn rules(&self) -> &[Rule] {
        match self {
            Redirect::Unsaid | Redirect::Off => &[],
            Redirect::Implied(rules) | Redirect::Rules(rules) => rules,
        }
    }

    /// What one more `proxy_redirect` makes of what holds in the block.
    pub fn directive(s: &mut Setter<'_>) -> Result<Redirect, Diagnostic> {
        let before = if s.first { Redirect::Unsaid } else { s.block.settings.proxy.redirect.clone() };
        let duplicate = |s: &Setter<'_>| Err(s.wrong("\"proxy_redirect\" directive is duplicate"));
        if matches!(before, Redirect::Off) {
            return duplicate(s);
        }
        let rule = match (s.count(), s.text(0)) {
            (1, "off") if s.first => return Ok(Redirect::Off),
            (1, "off") => return duplicate(s),
            (1, "default") => implied(s)?,
            (1, other) => return Err(s.wrong(format!("invalid parameter \"{other}\""))),
            _ => Rule::compile(s, false)?,
        };
        Ok(Redirect::Rules(before.rules().iter().cloned().chain([rule]).collect()))
    }
}

/// `proxy_redirect default`: what the `proxy_pass` of the block implies.
fn implied(s: &Setter<'_>) -> Result<Rule, Diagnostic> {
    let own = &s.block.own.location;
    let pass = match own.handler {
        Handler::Proxy(number) if own.handled_by == Some("proxy_pass") => s.make.passes.get(number as usize),
        _ => None,
    };
    let Some(pass) = pass else {
        return Err(s.wrong("\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive"));
    };
    pass.redirect().ok_or_else(|| {
        s.wrong("\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables")
    })
}
