//! Field values that decide what is answered: ranges, entity tags, dates, weights.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::accept::AcceptEncoding;
use wire::conditional::{Conditions, Since, Validators, evaluate, if_range};
use wire::range::Ranges;
use wire::{date, etag};

fuzz_target!(|input: (u64, &[u8])| {
    let (len, data) = input;
    for value in [data, &[b"bytes=", data].concat()] {
        if let Ranges::Satisfiable(ranges) = Ranges::parse(value, len) {
            assert!(!ranges.is_empty() && ranges.iter().all(|&(start, end)| start < end && end <= len));
            assert!(ranges.iter().map(|&(start, end)| u128::from(end - start)).sum::<u128>() <= u128::from(len));
        }
    }
    if let Some(seconds) = date::parse(data)
        && let Ok(seconds) = u64::try_from(seconds)
        && seconds < 253_402_300_800
    {
        assert_eq!(date::parse(&date::format(seconds)), Some(seconds as i64));
    }
    let best = AcceptEncoding::new(Some(data)).best(&["br", "zstd", "gzip"]);
    assert!(best.is_none_or(|at| at < 3));
    assert!(AcceptEncoding::new(Some(data)).as_nginx(b"gzip") <= 1000);
    etag::any(data, |_| false);
    let ours = Validators { etag: Some(b"\"a-b\""), modified: Some(len as i64) };
    let conditions = Conditions { if_none_match: Some(data), if_modified_since: Some(data), ..Conditions::default() };
    evaluate(true, &conditions, &ours, Since::Before);
    let conditions = Conditions { if_match: Some(data), if_unmodified_since: Some(data), ..Conditions::default() };
    evaluate(false, &conditions, &ours, Since::Exact);
    if_range(data, &ours);
});
