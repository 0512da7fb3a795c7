//! Byte ranges (RFC 9110 section 14), with nginx's rules on what to do with odd ones.

use crate::h1::scan::{decimal, trim};

/// More ranges than this in one request are answered with the whole.
const MAX_RANGES: usize = 64;

/// What a Range field asks of a representation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ranges {
    /// Serve the whole with 200: another unit, an empty representation, too many ranges, or more bytes in all than the whole has.
    Whole,
    /// Answer 416: the syntax is wrong, or nothing asked for exists.
    Unsatisfiable,
    /// Start and end (exclusive) of each range, as asked for: in that order, overlapping if so.
    Satisfiable(Vec<(u64, u64)>),
}

impl Ranges {
    /// Reads the value of a Range field, for a representation of `len` bytes.
    pub fn parse(value: &[u8], len: u64) -> Ranges {
        let Some(specs) = value.get(6..).filter(|_| value[..6].eq_ignore_ascii_case(b"bytes=")) else {
            return Ranges::Whole;
        };
        if len == 0 || specs.is_empty() {
            return Ranges::Whole;
        }
        let mut ranges = Vec::new();
        let mut total: u64 = 0;
        for (count, spec) in specs.split(|&b| b == b',').enumerate() {
            if count == MAX_RANGES {
                return Ranges::Whole;
            }
            match one(trim(spec), len) {
                Err(Malformed) => return Ranges::Unsatisfiable,
                Ok(None) => {}
                Ok(Some((start, end))) => {
                    total = total.saturating_add(end - start);
                    ranges.push((start, end));
                }
            }
        }
        if ranges.is_empty() {
            Ranges::Unsatisfiable
        } else if total > len {
            Ranges::Whole
        } else {
            Ranges::Satisfiable(ranges)
        }
    }
}

struct Malformed;

/// One `first-`, `first-last` or `-suffix`. `None`: well-formed, but nothing of it exists.
fn one(spec: &[u8], len: u64) -> Result<Option<(u64, u64)>, Malformed> {
    let dash = spec.iter().position(|&b| b == b'-').ok_or(Malformed)?;
    let (first, last) = (trim(&spec[..dash]), trim(&spec[dash + 1..]));
    let range = match (first, last) {
        ([], []) => return Err(Malformed),
        ([], suffix) => (len.saturating_sub(position(suffix)?), len),
        (first, []) => (position(first)?, len),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            if first > last {
                return Err(Malformed);
            }
            (first, last.saturating_add(1).min(len))
        }
    };
    Ok((range.0 < range.1).then_some(range))
}

/// A number; those too big for 64 bits are the biggest.
fn position(digits: &[u8]) -> Result<u64, Malformed> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(decimal(digits).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some(ranges: &[(u64, u64)]) -> Ranges {
        Ranges::Satisfiable(ranges.to_vec())
    }

    #[test]
    fn ranges() {
        let table = [
            ("bytes=0-4", some(&[(0, 5)])),
            ("bytes=0-0", some(&[(0, 1)])),
            ("Bytes=5-", some(&[(5, 10)])),
            ("bytes=-3", some(&[(7, 10)])),
            ("bytes=-30", some(&[(0, 10)])),
            ("bytes=8-20", some(&[(8, 10)])),
            ("bytes=0-99999999999999999999999", some(&[(0, 10)])),
            ("bytes= 0-1 , 4 - 5\t,-1", some(&[(0, 2), (4, 6), (9, 10)])),
            ("bytes=0-1,20-30", some(&[(0, 2)])),
            ("bytes=4-5,0-1", some(&[(4, 6), (0, 2)])),
            ("bytes=10-", Ranges::Unsatisfiable),
            ("bytes=10-12,-0", Ranges::Unsatisfiable),
            ("bytes=99999999999999999999999-", Ranges::Unsatisfiable),
            ("bytes=5-4", Ranges::Unsatisfiable),
            ("bytes=", Ranges::Whole),
            ("bytes=-", Ranges::Unsatisfiable),
            ("bytes=a-b", Ranges::Unsatisfiable),
            ("bytes=+1-2", Ranges::Unsatisfiable),
            ("bytes=0-1,", Ranges::Unsatisfiable),
            ("bytes=1-2-3", Ranges::Unsatisfiable),
            ("bytes=0-,0-", Ranges::Whole),
            ("bytes=0-9,0-0", Ranges::Whole),
            ("bytes", Ranges::Whole),
            ("bytes 0-1", Ranges::Whole),
            ("items=0-1", Ranges::Whole),
            ("", Ranges::Whole),
        ];
        for (value, expected) in table {
            assert_eq!(Ranges::parse(value.as_bytes(), 10), expected, "{value}");
        }
        assert_eq!(Ranges::parse(b"bytes=0-", 0), Ranges::Whole);
        assert_eq!(Ranges::parse(b"bytes=-1", 0), Ranges::Whole);
    }

    #[test]
    fn many_ranges_are_the_whole() {
        let many = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
        assert!(matches!(Ranges::parse(many(64).as_bytes(), 1000), Ranges::Satisfiable(ranges) if ranges.len() == 64));
        assert_eq!(Ranges::parse(many(65).as_bytes(), 1000), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn ranges_lie_inside(value in "bytes=[0-9, -]{0,30}", len in 0..2000u64) {
            if let Ranges::Satisfiable(ranges) = Ranges::parse(value.as_bytes(), len) {
                prop_assert!(!ranges.is_empty());
                prop_assert!(ranges.iter().all(|&(start, end)| start < end && end <= len));
                prop_assert!(ranges.iter().map(|&(start, end)| end - start).sum::<u64>() <= len);
            }
        }
    }
}
