//! What is answered to a request for a representation that exists: a pure decision.

use wire::conditional::{Conditions, Outcome, Since, Validators, evaluate, if_range};
use wire::range::Ranges;

use super::open::Representation;

/// The fields of a request that the answer depends on.
#[derive(Clone, Copy, Default, Debug)]
pub struct Asked<'r> {
    /// GET; otherwise HEAD.
    pub is_get: bool,
    pub accept_encoding: Option<&'r [u8]>,
    pub conditions: Conditions<'r>,
    pub if_range: Option<&'r [u8]>,
    pub range: Option<&'r [u8]>,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// 200.
    Whole,
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
    /// 206 with one part: start and end (exclusive).
    Part(u64, u64),
    /// 206 with several.
    Parts(Vec<(u64, u64)>),
}

pub fn plan(asked: &Asked<'_>, it: &Representation) -> Plan {
    decide(asked, &Validators { etag: Some(&it.etag), modified: Some(it.modified) }, it.len)
}

/// Preconditions first, then the range (RFC 9110 sections 13.2.2 and 14.2: only for GET).
fn decide(asked: &Asked<'_>, ours: &Validators<'_>, len: u64) -> Plan {
    match evaluate(true, &asked.conditions, ours, Since::Before) {
        Outcome::NotModified => return Plan::NotModified,
        Outcome::PreconditionFailed => return Plan::Failed,
        Outcome::Proceed => {}
    }
    let Some(range) = asked.range.filter(|_| asked.is_get) else { return Plan::Whole };
    if asked.if_range.is_some_and(|value| !if_range(value, ours)) {
        return Plan::Whole;
    }
    match Ranges::parse(range, len) {
        Ranges::Whole => Plan::Whole,
        Ranges::Unsatisfiable => Plan::Unsatisfiable,
        Ranges::Satisfiable(ranges) => match ranges[..] {
            [(first, end)] => Plan::Part(first, end),
            _ => Plan::Parts(ranges),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Validators<'_> = Validators { etag: Some(b"\"a\""), modified: Some(784_111_777) };
    const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn get(range: &'static str) -> Asked<'static> {
        Asked { is_get: true, range: Some(range.as_bytes()), ..Asked::default() }
    }

    #[test]
    fn ranges_count_for_get_only() {
        assert_eq!(decide(&get("bytes=1-2"), &OURS, 10), Plan::Part(1, 3));
        assert_eq!(decide(&get("bytes=1-2,4-4"), &OURS, 10), Plan::Parts(vec![(1, 3), (4, 5)]));
        assert_eq!(decide(&get("bytes=10-"), &OURS, 10), Plan::Unsatisfiable);
        assert_eq!(decide(&get("lines=1-2"), &OURS, 10), Plan::Whole);
        assert_eq!(decide(&Asked { is_get: false, ..get("bytes=1-2") }, &OURS, 10), Plan::Whole);
    }

    #[test]
    fn if_range_guards_the_range() {
        for (value, plan) in [(&b"\"a\""[..], Plan::Part(0, 1)), (DATE, Plan::Part(0, 1)), (b"\"b\"", Plan::Whole)] {
            assert_eq!(decide(&Asked { if_range: Some(value), ..get("bytes=0-0") }, &OURS, 10), plan);
        }
    }

    #[test]
    fn preconditions_come_before_ranges() {
        let unchanged = Conditions { if_none_match: Some(b"\"a\""), ..Conditions::default() };
        assert_eq!(decide(&Asked { conditions: unchanged, ..get("bytes=0-0") }, &OURS, 10), Plan::NotModified);
        let other = Conditions { if_match: Some(b"\"b\""), ..Conditions::default() };
        assert_eq!(decide(&Asked { conditions: other, ..get("bytes=10-") }, &OURS, 10), Plan::Failed);
    }
}
