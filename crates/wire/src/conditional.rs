//! Conditional requests (RFC 9110 section 13): pure decisions from the fields and what is known of the content.

use crate::date;
use crate::etag::{self, ETag};

/// The validators of what is about to be served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'v> {
    /// With its quotes.
    pub etag: Option<&'v [u8]>,
    /// Seconds since 1970.
    pub modified: Option<i64>,
}

/// The conditions of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'f> {
    pub if_match: Option<&'f [u8]>,
    pub if_none_match: Option<&'f [u8]>,
    pub if_modified_since: Option<&'f [u8]>,
    pub if_unmodified_since: Option<&'f [u8]>,
}

/// How If-Modified-Since is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Since {
    /// Not modified after that date (RFC 9110 section 13.1.3).
    #[default]
    Before,
    /// Modified exactly then: nginx's `if_modified_since exact`.
    Exact,
    /// The field is ignored.
    Off,
}

/// What the conditions come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Proceed,
    /// Answer 304.
    NotModified,
    /// Answer 412.
    PreconditionFailed,
}

/// Evaluates the conditions in the order of RFC 9110 section 13.2.2. `is_read`: the method is GET or HEAD.
pub fn evaluate(is_read: bool, conditions: &Conditions<'_>, ours: &Validators<'_>, since: Since) -> Outcome {
    let tag = ours.etag.and_then(ETag::parse);
    let passed = match (conditions.if_match, conditions.if_unmodified_since.and_then(date::parse)) {
        (Some(list), _) => is_star(list) || tag.is_some_and(|tag| etag::any(list, |theirs| theirs.strong_eq(tag))),
        (None, Some(date)) => ours.modified.is_none_or(|modified| modified <= date),
        (None, None) => true,
    };
    if !passed {
        return Outcome::PreconditionFailed;
    }
    if let Some(list) = conditions.if_none_match {
        let matched = is_star(list) || tag.is_some_and(|tag| etag::any(list, |theirs| theirs.weak_eq(tag)));
        return match (matched, is_read) {
            (false, _) => Outcome::Proceed,
            (true, true) => Outcome::NotModified,
            (true, false) => Outcome::PreconditionFailed,
        };
    }
    let unchanged = match (conditions.if_modified_since, ours.modified, since) {
        (Some(value), Some(modified), Since::Before) => date::parse(value).is_some_and(|date| modified <= date),
        (Some(value), Some(modified), Since::Exact) => date::parse(value) == Some(modified),
        _ => false,
    };
    if unchanged && is_read { Outcome::NotModified } else { Outcome::Proceed }
}

/// The same as nginx does: all conditions must agree, dates beside tags, and a date that is none is before all others.
pub fn evaluate_all(conditions: &Conditions<'_>, ours: &Validators<'_>, since: Since) -> Outcome {
    let tag = ours.etag.and_then(ETag::parse);
    let is_ours = |list: &[u8], same: fn(ETag<'_>, ETag<'_>) -> bool| {
        list == b"*" || tag.is_some_and(|tag| etag::any(list, |theirs| same(theirs, tag)))
    };
    // Old browsers put `; length=N` behind the date.
    let date = |value: &[u8]| date::parse(value.split(|&byte| byte == b';').next().unwrap_or_default());
    let unmodified = |value: &[u8]| ours.modified.is_some_and(|own| date(value).is_some_and(|date| own <= date));
    if conditions.if_unmodified_since.is_some_and(|value| !unmodified(value))
        || conditions.if_match.is_some_and(|list| !is_ours(list, |theirs, own| theirs.strong_eq(own)))
    {
        return Outcome::PreconditionFailed;
    }
    let unchanged = |value: &[u8]| match (ours.modified, since) {
        (None, _) | (_, Since::Off) => false,
        (Some(own), Since::Exact) => date(value) == Some(own),
        (Some(own), Since::Before) => date(value).is_some_and(|date| own <= date),
    };
    if conditions.if_modified_since.is_none() && conditions.if_none_match.is_none()
        || conditions.if_modified_since.is_some_and(|value| !unchanged(value))
        || conditions.if_none_match.is_some_and(|list| !is_ours(list, |theirs, own| theirs.weak_eq(own)))
    {
        return Outcome::Proceed;
    }
    Outcome::NotModified
}

/// Whether a Range field counts beside this If-Range (RFC 9110 section 13.1.5): the same strong tag, or exactly the
/// same date.
pub fn if_range(value: &[u8], ours: &Validators<'_>) -> bool {
    match (ETag::parse(value), ours.etag.and_then(ETag::parse)) {
        (Some(theirs), Some(tag)) => theirs.strong_eq(tag),
        (Some(_), None) => false,
        (None, _) => ours.modified.is_some() && date::parse(value) == ours.modified,
    }
}

fn is_star(list: &[u8]) -> bool {
    list.trim_ascii() == b"*"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &[u8] = b"Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &[u8] = b"Sun, 06 Nov 1994 08:49:36 GMT";
    const OURS: Validators<'_> = Validators { etag: Some(b"\"a\""), modified: Some(784_111_777) };
    const NONE: Conditions<'_> =
        Conditions { if_match: None, if_none_match: None, if_modified_since: None, if_unmodified_since: None };

    fn read(conditions: Conditions<'_>) -> Outcome {
        evaluate(true, &conditions, &OURS, Since::Before)
    }

    #[test]
    fn each_condition_alone() {
        use Outcome::{NotModified, PreconditionFailed, Proceed};
        assert_eq!(read(NONE), Proceed);
        for (value, expected) in [
            ("*", Proceed),
            ("\"a\"", Proceed),
            ("\"b\", \"a\"", Proceed),
            ("\"b\"", PreconditionFailed),
            ("W/\"a\"", PreconditionFailed),
            ("", PreconditionFailed),
        ] {
            assert_eq!(read(Conditions { if_match: Some(value.as_bytes()), ..NONE }), expected, "{value}");
        }
        for (value, expected) in [
            ("*", NotModified),
            ("\"a\"", NotModified),
            ("W/\"a\"", NotModified),
            ("\"b\"", Proceed),
            ("junk", Proceed),
        ] {
            assert_eq!(read(Conditions { if_none_match: Some(value.as_bytes()), ..NONE }), expected, "{value}");
        }
        for (value, expected) in [(DATE, NotModified), (LATER, NotModified), (EARLIER, Proceed), (b"junk", Proceed)] {
            assert_eq!(read(Conditions { if_modified_since: Some(value), ..NONE }), expected);
        }
        for (value, expected) in [(DATE, Proceed), (LATER, Proceed), (EARLIER, PreconditionFailed), (b"junk", Proceed)]
        {
            assert_eq!(read(Conditions { if_unmodified_since: Some(value), ..NONE }), expected);
        }
    }

    #[test]
    fn tags_stand_above_dates() {
        let both = Conditions { if_none_match: Some(b"\"b\""), if_modified_since: Some(DATE), ..NONE };
        assert_eq!(read(both), Outcome::Proceed);
        let both = Conditions { if_match: Some(b"\"a\""), if_unmodified_since: Some(EARLIER), ..NONE };
        assert_eq!(read(both), Outcome::Proceed);
    }

    #[test]
    fn writes_are_refused_and_never_unmodified() {
        let none_match = Conditions { if_none_match: Some(b"*"), ..NONE };
        assert_eq!(evaluate(false, &none_match, &OURS, Since::Before), Outcome::PreconditionFailed);
        let since = Conditions { if_modified_since: Some(DATE), ..NONE };
        assert_eq!(evaluate(false, &since, &OURS, Since::Before), Outcome::Proceed);
    }

    #[test]
    fn exact_and_off() {
        let later = Conditions { if_modified_since: Some(LATER), ..NONE };
        assert_eq!(evaluate(true, &later, &OURS, Since::Exact), Outcome::Proceed);
        let same = Conditions { if_modified_since: Some(DATE), ..NONE };
        assert_eq!(evaluate(true, &same, &OURS, Since::Exact), Outcome::NotModified);
        assert_eq!(evaluate(true, &same, &OURS, Since::Off), Outcome::Proceed);
    }

    #[test]
    fn all_must_agree() {
        use Outcome::{NotModified, PreconditionFailed, Proceed};
        let ask = |conditions| evaluate_all(&conditions, &OURS, Since::Exact);
        assert_eq!(ask(NONE), Proceed);
        for (tag, since, expected) in [
            (&b"\"a\""[..], DATE, NotModified),
            (b"*", DATE, NotModified),
            (b"\"a\"", LATER, Proceed),
            (b"\"b\"", DATE, Proceed),
            (b"W/\"a\"", b"Sun, 06 Nov 1994 08:49:37 GMT; length=12", NotModified),
        ] {
            let both = Conditions { if_none_match: Some(tag), if_modified_since: Some(since), ..NONE };
            assert_eq!(ask(both), expected);
            let both = Conditions { if_match: Some(tag), if_unmodified_since: Some(since), ..NONE };
            let failed = tag == b"\"b\"" || tag.starts_with(b"W/");
            assert_eq!(ask(both), if failed { PreconditionFailed } else { Proceed });
        }
        assert_eq!(ask(Conditions { if_unmodified_since: Some(b"junk"), ..NONE }), PreconditionFailed);
        let none = Validators::default();
        let star = Conditions { if_none_match: Some(b"*"), ..NONE };
        assert_eq!(evaluate_all(&star, &none, Since::Exact), NotModified);
    }

    #[test]
    fn if_range_is_strong_and_exact() {
        assert!(if_range(b"\"a\"", &OURS) && if_range(DATE, &OURS));
        for value in [&b"\"b\""[..], b"W/\"a\"", LATER, EARLIER, b"junk", b""] {
            assert!(!if_range(value, &OURS));
        }
        assert!(!if_range(b"junk", &Validators::default()));
    }
}
