//! What is answered to a request for a representation that exists: a pure decision.

use wire::conditional::{Conditions, Outcome, Since, Validators, evaluate, evaluate_all, if_range};
use wire::h1::{Known, Method};
use wire::range::Ranges;

use crate::config::Settings;
use crate::config::settings::IfModifiedSince;
use crate::exchange::{Request, ResponseHead};

/// The fields of a request that the answer depends on.
#[derive(Clone, Copy, Default, Debug)]
pub struct Asked<'r> {
    /// A range may be asked for: with GET, RFC 9110 section 14.2 says; nginx takes HEAD, too.
    pub may_range: bool,
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

impl<'r> Asked<'r> {
    /// The fields of a request.
    pub fn of(request: &'r Request, settings: &Settings) -> Asked<'r> {
        let may_range = settings.nginx_pages || request.current_method() == Method::Get;
        let mut asked = Asked { may_range, ..Asked::default() };
        for field in &request.head.fields {
            let place = match field.known {
                Known::IfMatch => &mut asked.conditions.if_match,
                Known::IfNoneMatch => &mut asked.conditions.if_none_match,
                Known::IfModifiedSince => &mut asked.conditions.if_modified_since,
                Known::IfUnmodifiedSince => &mut asked.conditions.if_unmodified_since,
                Known::IfRange => &mut asked.if_range,
                Known::Range => &mut asked.range,
                _ => continue,
            };
            if place.is_none() {
                *place = Some(field.value.of(&request.buf));
            }
        }
        asked
    }
}

/// What the rules of preconditions and ranges are.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// nginx's, else RFC 9110's.
    nginx: bool,
    since: Since,
    /// `max_ranges`
    most: Option<u32>,
}

impl Rules {
    fn of(settings: &Settings) -> Rules {
        let since = match settings.if_modified_since {
            IfModifiedSince::Off => Since::Off,
            IfModifiedSince::Exact => Since::Exact,
            IfModifiedSince::Before => Since::Before,
        };
        Rules { nginx: settings.nginx_pages, since, most: settings.max_ranges }
    }

    fn evaluate(self, conditions: &Conditions<'_>, ours: &Validators<'_>) -> Outcome {
        if self.nginx {
            evaluate_all(conditions, ours, self.since)
        } else {
            evaluate(true, conditions, ours, self.since)
        }
    }
}

/// What the preconditions of a request come to for an answer that is no file: of its head count Last-Modified and ETag.
pub fn outcome(request: &Request, head: &ResponseHead, settings: &Settings) -> Outcome {
    let asked = Asked::of(request, settings);
    let ours = Validators { etag: head.find("etag"), modified: wire::date::parse(&head.last_modified) };
    Rules::of(settings).evaluate(&asked.conditions, &ours)
}

/// What becomes of an answer without preconditions: only of its range.
pub fn range(request: &Request, head: &ResponseHead, len: u64, settings: &Settings) -> Plan {
    let asked = Asked { conditions: Conditions::default(), ..Asked::of(request, settings) };
    let ours = Validators { etag: head.find("etag"), modified: wire::date::parse(&head.last_modified) };
    decide(&asked, &ours, len, Rules::of(settings))
}

/// The answer for a file with this tag (empty: none), time of modification and length.
pub fn plan(asked: &Asked<'_>, etag: &[u8], modified: i64, len: u64, settings: &Settings) -> Plan {
    let etag = (!etag.is_empty()).then_some(etag);
    decide(asked, &Validators { etag, modified: Some(modified) }, len, Rules::of(settings))
}

/// Preconditions first, then the range (RFC 9110 section 13.2.2).
fn decide(asked: &Asked<'_>, ours: &Validators<'_>, len: u64, rules: Rules) -> Plan {
    match rules.evaluate(&asked.conditions, ours) {
        Outcome::NotModified => return Plan::NotModified,
        Outcome::PreconditionFailed => return Plan::Failed,
        Outcome::Proceed => {}
    }
    let Some(range) = asked.range.filter(|_| asked.may_range && rules.most != Some(0)) else { return Plan::Whole };
    if asked.if_range.is_some_and(|value| !if_range(value, ours)) {
        return Plan::Whole;
    }
    match Ranges::parse(range, len) {
        Ranges::Whole => Plan::Whole,
        Ranges::Unsatisfiable => Plan::Unsatisfiable,
        Ranges::Satisfiable(ranges) if !is_worth(&ranges, len, rules.most) => Plan::Whole,
        Ranges::Satisfiable(ranges) => match ranges[..] {
            [(first, end)] => Plan::Part(first, end),
            _ => Plan::Parts(ranges),
        },
    }
}

/// Whether so many ranges are sent as parts: what stands round each must not make more of the answer than the whole is,
/// or no more than a little.
fn is_worth(ranges: &[(u64, u64)], len: u64, most: Option<u32>) -> bool {
    /// What a part costs beside its bytes.
    const EACH: u64 = 256;
    /// So many bytes are no matter.
    const LITTLE: u64 = 4096;
    if let Some(most) = most {
        return ranges.len() <= most as usize;
    }
    let bytes: u64 = ranges.iter().map(|(first, end)| end - first).sum();
    bytes + EACH * ranges.len() as u64 <= len + LITTLE
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { nginx: false, since: Since::Before, most: None };

    const OURS: Validators<'_> = Validators { etag: Some(b"\"a\""), modified: Some(784_111_777) };
    const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn get(range: &'static str) -> Asked<'static> {
        Asked { may_range: true, range: Some(range.as_bytes()), ..Asked::default() }
    }

    #[test]
    fn ranges_count_for_get_only() {
        assert_eq!(decide(&get("bytes=1-2"), &OURS, 10, RULES), Plan::Part(1, 3));
        assert_eq!(decide(&get("bytes=1-2,4-4"), &OURS, 10, RULES), Plan::Parts(vec![(1, 3), (4, 5)]));
        assert_eq!(decide(&get("bytes=10-"), &OURS, 10, RULES), Plan::Unsatisfiable);
        assert_eq!(decide(&get("lines=1-2"), &OURS, 10, RULES), Plan::Whole);
        assert_eq!(decide(&Asked { may_range: false, ..get("bytes=1-2") }, &OURS, 10, RULES), Plan::Whole);
    }

    #[test]
    fn many_small_parts_are_the_whole() {
        let ranges = vec![(0, 1); 17];
        assert!(is_worth(&ranges[..16], 16, None) && !is_worth(&ranges, 16, None));
        assert!(is_worth(&ranges, 16, Some(17)) && !is_worth(&ranges, 16, Some(16)));
    }

    #[test]
    fn the_rules_differ_for_two_conditions() {
        let both =
            Conditions { if_none_match: Some(b"\"a\""), if_modified_since: Some(b"junk"), ..Conditions::default() };
        let asked = Asked { conditions: both, ..Asked::default() };
        assert_eq!(decide(&asked, &OURS, 10, RULES), Plan::NotModified);
        assert_eq!(decide(&asked, &OURS, 10, Rules { nginx: true, ..RULES }), Plan::Whole);
    }

    #[test]
    fn if_range_guards_the_range() {
        for (value, plan) in [(&b"\"a\""[..], Plan::Part(0, 1)), (DATE, Plan::Part(0, 1)), (b"\"b\"", Plan::Whole)] {
            assert_eq!(decide(&Asked { if_range: Some(value), ..get("bytes=0-0") }, &OURS, 10, RULES), plan);
        }
    }

    #[test]
    fn preconditions_come_before_ranges() {
        let unchanged = Conditions { if_none_match: Some(b"\"a\""), ..Conditions::default() };
        assert_eq!(decide(&Asked { conditions: unchanged, ..get("bytes=0-0") }, &OURS, 10, RULES), Plan::NotModified);
        let other = Conditions { if_match: Some(b"\"b\""), ..Conditions::default() };
        assert_eq!(decide(&Asked { conditions: other, ..get("bytes=10-") }, &OURS, 10, RULES), Plan::Failed);
    }
}
