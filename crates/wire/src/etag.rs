//! Entity tags (RFC 9110 section 8.8.3): one tag, and lists of them.

use crate::h1::scan::trim;

/// An entity tag, borrowed from where it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ETag<'t> {
    pub weak: bool,
    /// Without the quotes.
    pub opaque: &'t [u8],
}

impl<'t> ETag<'t> {
    /// Reads exactly one tag.
    pub fn parse(text: &'t [u8]) -> Option<ETag<'t>> {
        let (tag, rest) = ETag::first(text)?;
        rest.is_empty().then_some(tag)
    }

    /// Reads the tag that `text` begins with, and gives what follows.
    fn first(text: &'t [u8]) -> Option<(ETag<'t>, &'t [u8])> {
        let (weak, quoted) = match text {
            [b'W', b'/', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let [b'"', inside @ ..] = quoted else { return None };
        let close = inside.iter().position(|&b| b == b'"')?;
        let opaque = &inside[..close];
        let clean = opaque.iter().all(|&b| b > 0x20 && b != 0x7f);
        clean.then_some((ETag { weak, opaque }, &inside[close + 1..]))
    }

    /// Equal and both strong.
    pub fn strong_eq(self, other: ETag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Equal, whether weak or strong.
    pub fn weak_eq(self, other: ETag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// Whether a list of tags has one that `test` accepts. What follows a malformed member is not read.
pub fn any(list: &[u8], test: impl Fn(ETag<'_>) -> bool) -> bool {
    let mut rest = trim(list);
    while !rest.is_empty() {
        if let [b',', after @ ..] = rest {
            rest = trim(after);
            continue;
        }
        let Some((tag, after)) = ETag::first(rest) else { return false };
        rest = trim(after);
        if !matches!(rest, [] | [b',', ..]) {
            return false;
        }
        if test(tag) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert_eq!(ETag::parse(b"\"a-b\""), Some(ETag { weak: false, opaque: b"a-b" }));
        assert_eq!(ETag::parse(b"W/\"\""), Some(ETag { weak: true, opaque: b"" }));
        for bad in ["", "a", "\"a", "a\"", "w/\"a\"", "\"a\"b", "\"a b\"", "W/a", "\"\u{7f}\""] {
            assert_eq!(ETag::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn lists() {
        let has = |list: &str| any(list.as_bytes(), |tag| tag.opaque == b"x");
        for list in ["\"x\"", "\"a\", \"x\"", " W/\"x\" , \"b\"", ",,\"x\"", "\"a,b\",\"x\""] {
            assert!(has(list), "{list}");
        }
        for list in ["", "x", "\"a\"", "\"a\" \"x\"", "a, \"x\"", "\"x"] {
            assert!(!has(list), "{list}");
        }
    }
}
