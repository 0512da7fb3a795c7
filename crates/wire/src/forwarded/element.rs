//! The field Forwarded (RFC 7239 section 4), taken apart.

use std::borrow::Cow;

use crate::h1::scan::{TOKEN, token_len};
use crate::quoted::quoted;

/// What one proxy said. Parameters of other names are read past.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element<'a> {
    pub client: Option<Cow<'a, [u8]>>,
    pub host: Option<Cow<'a, [u8]>>,
    pub proto: Option<Cow<'a, [u8]>>,
    by: Option<Cow<'a, [u8]>>,
}

/// Appends the elements of a field value, from left to right; empty ones are left out. `None` if it is malformed: then
/// nobody can say what belongs to whom. Allowed beyond the RFC, because it is common and means nothing else: spaces
/// around `;`, and colons and brackets without quotes (`for=[2001:db8::1]:80`).
pub fn elements<'a>(mut rest: &'a [u8], out: &mut Vec<Element<'a>>) -> Option<()> {
    let mut element = Element::default();
    let mut pairs = 0;
    loop {
        rest = spaces(rest);
        match rest {
            [b';', behind @ ..] => rest = behind,
            [] | [b',', ..] => {
                let whole = std::mem::take(&mut element);
                if pairs > 0 {
                    out.push(whole);
                }
                pairs = 0;
                match rest {
                    [] => return Some(()),
                    [_, behind @ ..] => rest = behind,
                }
            }
            _ => {
                rest = spaces(pair(rest, &mut element)?);
                pairs += 1;
                if !matches!(rest, [] | [b';' | b',', ..]) {
                    return None;
                }
            }
        }
    }
}

/// Reads `name=value` into `element`; what follows it.
fn pair<'a>(text: &'a [u8], element: &mut Element<'a>) -> Option<&'a [u8]> {
    let (name, rest) = text.split_at(token_len(text));
    let (value, rest) = value(rest.strip_prefix(b"=")?)?;
    let places = [
        (&b"for"[..], &mut element.client),
        (b"host", &mut element.host),
        (b"proto", &mut element.proto),
        (b"by", &mut element.by),
    ];
    let place = places.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    // What is said twice in one element is not said.
    let again = place.is_some_and(|(_, place)| place.replace(value).is_some());
    (!name.is_empty() && !again).then_some(rest)
}

/// The value at the start of `text`, and what follows it.
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    if text.first() == Some(&b'"') {
        return quoted(text);
    }
    let plain = |b: &u8| TOKEN[usize::from(*b)] || matches!(b, b':' | b'[' | b']');
    let (value, rest) = text.split_at(text.iter().position(|b| !plain(b)).unwrap_or(text.len()));
    (!value.is_empty()).then_some((Cow::Borrowed(value), rest))
}

fn spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each element as `for host proto`, `-` for what it lacks.
    fn read(text: &str) -> Option<Vec<String>> {
        let mut list = Vec::new();
        elements(text.as_bytes(), &mut list)?;
        let word = |value: &Option<Cow<[u8]>>| match value {
            Some(value) => String::from_utf8_lossy(value).into_owned(),
            None => "-".to_owned(),
        };
        Some(list.iter().map(|e| [word(&e.client), word(&e.host), word(&e.proto)].join(" ")).collect())
    }

    #[test]
    fn fields() {
        for (text, expected) in [
            ("", &[][..]),
            (" ,, ", &[]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60 - http"]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["[2001:db8:cafe::17]:4711 - -"]),
            ("for=192.0.2.43, for=198.51.100.17", &["192.0.2.43 - -", "198.51.100.17 - -"]),
            ("proto=https;host=\"a.example:80\" , for=_x;ext=\"a,b;c\"", &["- a.example:80 https", "_x - -"]),
            ("for=a; proto=b ;;", &["a - b"]),
            (";for=a", &["a - -"]),
            ("for=[::1]:80", &["[::1]:80 - -"]),
            ("for=\"\\1\\2\"", &["12 - -"]),
            ("for=\"\"", &[" - -"]),
            ("secret=x;a=b;a=c", &["- - -"]),
        ] {
            assert_eq!(
                read(text).as_deref(),
                Some(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        for text in [
            "for",
            "for=",
            "for=a=b",
            "for =a",
            "for= a",
            "=a",
            "for=a b",
            "for=a for=b",
            "for=\"a",
            "for=\"a\\",
            "for=\"a\"b",
            "for=a;for=a",
            "for=a;FOR=b",
            "by=a;by=b",
            "for=a, for",
            "for=a,;=",
            "for=\u{e4}",
            "for={a}",
            "a@b=c",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
