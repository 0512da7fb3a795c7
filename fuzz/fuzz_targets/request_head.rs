//! A request head: cut anywhere, it gives the same; its spans lie in it; what is accepted has no loophole in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::h1::{Framing, Head, Known, Limits, Version, parse};

const LIMITS: Limits = Limits { line: 200, fields: 12, field_size: 300, head: 2000, nginx: None };

fuzz_target!(|data: &[u8]| {
    let mut whole = Head::new();
    let result = parse(data, &LIMITS, &mut whole);

    let mut cut = Head::new();
    let step = data.first().map_or(1, |b| usize::from(b % 16) + 1);
    let mut cut_result = Ok(None);
    for end in (0..data.len()).step_by(step).chain([data.len()]) {
        cut_result = parse(&data[..end], &LIMITS, &mut cut);
        if cut_result != Ok(None) {
            break;
        }
    }
    assert_eq!(result, cut_result);

    let Ok(Some(len)) = result else { return };
    assert!(whole == cut && whole.len == len && data[..len].ends_with(b"\r\n\r\n"));
    let head = &data[..len];
    let spans = whole.fields.iter().flat_map(|field| [field.name, field.value]);
    for span in spans.chain([whole.method_text, whole.target, whole.path]).chain(whole.query).chain(whole.host) {
        assert!(span.start <= span.end && span.end as usize <= len);
        let text = span.of(head);
        assert!(!text.contains(&b'\r') && !text.contains(&b'\n') && !text.contains(&0));
    }
    let count = |known| whole.fields.iter().filter(|field| field.known == known).count();
    assert!(count(Known::Host) <= 1 && (whole.version == Version::Http10 || count(Known::Host) == 1));
    let framing = (count(Known::ContentLength), count(Known::TransferEncoding));
    match whole.framing {
        Framing::None => assert_eq!(framing, (0, 0)),
        Framing::Length(_) => assert_eq!(framing, (1, 0)),
        Framing::Chunked => assert!(framing == (0, 1) && whole.version == Version::Http11),
    }
});
