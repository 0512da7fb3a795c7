//! `proxy_cookie_*`: what servers say of the cookies that they set (RFC 6265 section 4.1) as it is true here.

use std::sync::Arc;

use conf::Diagnostic;

use super::directives::Settings;
use super::redirect::{Rule, apply, apply_to_domain};
use crate::config::Pattern;
use crate::config::build::Setter;
use crate::variables::{Scope, Template};

/// Flags of cookies of a name.
#[derive(Clone)]
pub struct FlagRule {
    cookie: Cookie,
    /// Each is a flag's name once it is evaluated.
    flags: Arc<[Template]>,
}

#[derive(Clone)]
enum Cookie {
    Name(Template),
    Pattern(Pattern),
}

/// Flags to be set or taken away: a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Flags(u8);

impl Flags {
    const SECURE: Flags = Flags(1);
    const NO_SECURE: Flags = Flags(1 << 1);
    const HTTP_ONLY: Flags = Flags(1 << 2);
    const NO_HTTP_ONLY: Flags = Flags(1 << 3);
    const STRICT: Flags = Flags(1 << 4);
    const LAX: Flags = Flags(1 << 5);
    const NONE: Flags = Flags(1 << 6);
    const NO_SAME_SITE: Flags = Flags(1 << 7);
    /// Values of SameSite, in the order in which nginx looks for them.
    const SAME_SITE: [(Flags, &[u8]); 3] = [(Flags::STRICT, b"Strict"), (Flags::LAX, b"Lax"), (Flags::NONE, b"None")];

    /// The flag of that name; `None`: there is no such flag.
    fn of(name: &[u8]) -> Option<Flags> {
        let words: [(&[u8], Flags); 8] = [
            (b"secure", Flags::SECURE),
            (b"nosecure", Flags::NO_SECURE),
            (b"httponly", Flags::HTTP_ONLY),
            (b"nohttponly", Flags::NO_HTTP_ONLY),
            (b"samesite=strict", Flags::STRICT),
            (b"samesite=lax", Flags::LAX),
            (b"samesite=none", Flags::NONE),
            (b"nosamesite", Flags::NO_SAME_SITE),
        ];
        words.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, flag)| flag)
    }

    fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// Takes a flag out; whether it was there.
    fn take(&mut self, other: Flags) -> bool {
        let had = self.has(other);
        self.0 &= !other.0;
        had
    }
}

/// `proxy_cookie_domain` and `proxy_cookie_path`: the rules of a block with one more.
pub fn rules(s: &mut Setter<'_>, before: &[Rule], domain: bool) -> Result<Arc<[Rule]>, Diagnostic> {
    if is_off(s, before.is_empty())? {
        return Ok(Arc::default());
    }
    let rule = Rule::compile(s, domain)?;
    let before = if s.first { &[] } else { before };
    Ok(before.iter().cloned().chain([rule]).collect())
}

/// `proxy_cookie_flags`: the rules of a block with one more.
pub fn flag_rules(s: &mut Setter<'_>, before: &[FlagRule]) -> Result<Arc<[FlagRule]>, Diagnostic> {
    if is_off(s, before.is_empty())? {
        return Ok(Arc::default());
    }
    let text = s.text(0).to_owned();
    let cookie = match text.strip_prefix('~') {
        Some(pattern) => Cookie::Pattern(Pattern::compile(pattern, true, s)?),
        None => Cookie::Name(s.compile(&text)?),
    };
    let mut flags = Vec::new();
    for index in 1..s.count() {
        flags.push(s.template(index)?);
    }
    let before = if s.first { &[] } else { before };
    Ok(before.iter().cloned().chain([FlagRule { cookie, flags: flags.into() }]).collect())
}

/// Whether the directive says `off`, which stands alone in its block. `nothing`: there are no rules before it.
fn is_off(s: &Setter<'_>, nothing: bool) -> Result<bool, Diagnostic> {
    let off = s.count() == 1 && s.text(0) == "off";
    if s.count() == 1 && !off {
        return Err(s.wrong(format!("invalid parameter \"{}\"", s.text(0))));
    }
    if !s.first && (off || nothing) {
        return Err(s.wrong(format!("\"{}\" directive is duplicate", s.name())));
    }
    Ok(off)
}

/// An attribute of a cookie; the first one is its name and value.
struct Attribute<'c> {
    name: &'c [u8],
    value: Option<std::borrow::Cow<'c, [u8]>>,
}

impl Attribute<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// What the value of a Set-Cookie field becomes; `None`: it stays as it is.
pub fn change(settings: &Settings, scope: &mut Scope<'_>, cookie: &[u8]) -> Option<Vec<u8>> {
    if settings.cookie_domain.is_empty() && settings.cookie_path.is_empty() && settings.cookie_flags.is_empty() {
        return None;
    }
    let mut attributes: Vec<Attribute<'_>> = cookie.split(|&byte| byte == b';').map(attribute).collect();
    let mut changed = false;
    for attribute in attributes.iter_mut().skip(1) {
        let Some(value) = &attribute.value else { continue };
        let new = if attribute.is("domain") {
            apply_to_domain(&settings.cookie_domain, scope, value)
        } else if attribute.is("path") {
            apply(&settings.cookie_path, scope, value)
        } else {
            None
        };
        if let Some(new) = new {
            attribute.value = Some(new.into());
            changed = true;
        }
    }
    let name = attributes.first().map_or(&b""[..], |first| first.name);
    if attributes.first().is_some_and(|first| first.value.is_some())
        && let Some(rule) = settings.cookie_flags.iter().find(|rule| rule.is_for(scope, name))
    {
        let mut flags = Flags::default();
        for flag in rule.flags.iter() {
            flags.0 |= Flags::of(&flag.value(scope)).unwrap_or_default().0;
        }
        put(&mut attributes, flags);
        changed = true;
    }
    changed.then(|| written(&attributes))
}

impl FlagRule {
    fn is_for(&self, scope: &mut Scope<'_>, name: &[u8]) -> bool {
        match &self.cookie {
            Cookie::Name(own) => own.value(scope).eq_ignore_ascii_case(name),
            Cookie::Pattern(pattern) => pattern.find(name, &mut scope.request.route),
        }
    }
}

/// `NAME=VALUE` or `NAME`, with spaces around both.
fn attribute(text: &[u8]) -> Attribute<'_> {
    match text.iter().position(|&byte| byte == b'=') {
        Some(at) => Attribute { name: trim(&text[..at]), value: Some(trim(&text[at + 1..]).into()) },
        None => Attribute { name: trim(text), value: None },
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|&&byte| byte == b' ').count();
    let text = &text[start..];
    &text[..text.len() - text.iter().rev().take_while(|&&byte| byte == b' ').count()]
}

/// Sets flags and takes them away. What is there already stays where it is.
fn put(attributes: &mut Vec<Attribute<'_>>, mut flags: Flags) {
    let mut first = true;
    attributes.retain_mut(|attribute| {
        if std::mem::take(&mut first) {
            return true;
        }
        if attribute.is("secure") {
            return flags.take(Flags::SECURE) || !flags.has(Flags::NO_SECURE);
        }
        if attribute.is("httponly") {
            return flags.take(Flags::HTTP_ONLY) || !flags.has(Flags::NO_HTTP_ONLY);
        }
        if !attribute.is("samesite") {
            return true;
        }
        match Flags::SAME_SITE.into_iter().find(|(flag, _)| flags.take(*flag)) {
            Some((_, value)) => {
                if !attribute.value.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(value)) {
                    *attribute = Attribute { name: b"SameSite", value: Some(value.into()) };
                }
                true
            }
            None => !flags.has(Flags::NO_SAME_SITE),
        }
    });
    if flags.has(Flags::SECURE) {
        attributes.push(Attribute { name: b"Secure", value: None });
    }
    if flags.has(Flags::HTTP_ONLY) {
        attributes.push(Attribute { name: b"HttpOnly", value: None });
    }
    if let Some((_, value)) = Flags::SAME_SITE.into_iter().find(|(flag, _)| flags.has(*flag)) {
        attributes.push(Attribute { name: b"SameSite", value: Some(value.into()) });
    }
}

fn written(attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, attribute) in attributes.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(attribute.name);
        if let Some(value) = &attribute.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out
}

#[cfg(test)]
mod tests;
