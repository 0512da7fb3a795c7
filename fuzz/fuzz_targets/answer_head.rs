//! The head of a server's answer: cut anywhere, it gives the same; its spans lie in it; what is accepted is framed in
//! one way only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::h1::answer::{Answer, BodyEnd, parse};
use wire::h1::{Known, Method};

const MOST: usize = 2000;

fuzz_target!(|data: &[u8]| {
    // Half of the inputs begin as an answer does: the rest of the head is where the work is.
    let owned;
    let data = match data.split_first() {
        Some((0..128, rest)) => {
            owned = [b"HTTP/1.1 200 OK\r\n", rest].concat();
            owned.as_slice()
        }
        _ => data,
    };
    let mut whole = Answer::new();
    let result = parse(data, MOST, &mut whole);

    let mut cut = Answer::new();
    let step = data.last().map_or(1, |byte| usize::from(byte % 16) + 1);
    let mut cut_result = Ok(None);
    for end in (0..data.len()).step_by(step).chain([data.len()]) {
        cut_result = parse(&data[..end], MOST, &mut cut);
        if cut_result != Ok(None) {
            break;
        }
    }
    assert_eq!(result, cut_result);

    let Ok(Some(len)) = result else { return };
    assert!(whole == cut && whole.len == len && len <= MOST && data[..len].ends_with(b"\n"));
    assert!((100..=999).contains(&whole.status));
    let head = &data[..len];
    for span in whole.fields.iter().flat_map(|field| [field.name, field.value]).chain([whole.reason]) {
        assert!(span.start <= span.end && span.end as usize <= len);
        assert!(!span.of(head).contains(&b'\n'));
    }
    for field in &whole.fields {
        let (name, value) = (field.name.of(head), field.value.of(head));
        assert!(!name.is_empty() && !name.iter().any(|byte| b" \t:\r\0".contains(byte)));
        assert!(!value.contains(&b'\r') && !value.contains(&0));
        assert!(![value.first(), value.last()].iter().flatten().any(|byte| b" \t".contains(byte)));
    }
    let count = |known| whole.fields.iter().filter(|field| field.known == known).count();
    let (lengths, codings) = (count(Known::ContentLength), count(Known::TransferEncoding));
    assert!(lengths + codings <= 1 && whole.length.is_some() == (lengths == 1) && whole.chunked == (codings == 1));
    for method in [Method::Get, Method::Head, Method::Connect] {
        match whole.body_end(method) {
            BodyEnd::Length(length) => assert_eq!(whole.length, Some(length)),
            BodyEnd::Chunked => assert!(whole.chunked),
            BodyEnd::Close => assert!(lengths + codings == 0),
            BodyEnd::None => {}
        }
    }
});
