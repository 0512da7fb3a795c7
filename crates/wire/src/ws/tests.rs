//! Decoder and encoder together: tables of frames cut at every byte, properties, limits and bombs.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = super::frame::header(first, payload.len())[..super::frame::header_size(payload.len())].to_vec();
    frame[1] |= 0x80;
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
    list.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

/// Raw deflate without the tail, as a client without takeover sends it.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 100);
    let mut state = Compress::new(Compression::new(6), false);
    state.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}

/// Feeds pieces, as a connection would: what is not taken stands before the next piece.
fn decode<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Fault>, usize) {
    let (mut events, mut buf, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buf) {
                Err(fault) => return (events, Some(fault), taken),
                Ok((consumed, event)) => {
                    assert!(consumed <= buf.len());
                    buf.drain(..consumed);
                    taken += consumed;
                    match event {
                        Some(event) => events.push(event),
                        None => break,
                    }
                }
            }
        }
        assert!(buf.len() < 131, "{} bytes were left", buf.len());
    }
    (events, None, taken)
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

fn close(code: u16, reason: &str) -> Event {
    Event::Close(Some((code, reason.to_owned())))
}

#[test]
fn conversations() {
    let protocol = |reason| Some(Fault { code: 1002, reason });
    let compressed = deflated("Hello, compressed ".repeat(50).as_bytes());
    let (compressed_a, compressed_b) = compressed.split_at(compressed.len() / 2);
    let long = "\u{e4}".repeat(40_000);
    let table: Vec<(&str, Vec<u8>, Vec<Event>, Option<Fault>)> = vec![
        ("text", frames(&[(0x81, b"Hello")]), vec![text("Hello")], None),
        ("empty", frames(&[(0x81, b""), (0x82, b"")]), vec![text(""), Event::Binary(vec![])], None),
        ("binary", frames(&[(0x82, b"\xff\x00")]), vec![Event::Binary(vec![0xff, 0])], None),
        ("16 bits", frames(&[(0x82, &[1; 300])]), vec![Event::Binary(vec![1; 300])], None),
        ("64 bits", frames(&[(0x81, long.as_bytes())]), vec![text(&long)], None),
        (
            "fragments with control frames between",
            frames(&[(1, b"Hel"), (0x89, b"p"), (0, b""), (0x8a, b""), (0x80, b"lo"), (0x82, b"x")]),
            vec![Event::Ping(b"p".to_vec()), Event::Pong(vec![]), text("Hello"), Event::Binary(b"x".to_vec())],
            None,
        ),
        (
            "a character in two fragments",
            frames(&[(1, b"\xf0\x9f"), (0, b"\x98"), (0x80, b"\x80")]),
            vec![text("\u{1f600}")],
            None,
        ),
        ("empty fragments", frames(&[(1, b""), (0, b""), (0x80, b"")]), vec![text("")], None),
        ("close", frames(&[(0x88, b""), (0x81, b"dropped")]), vec![Event::Close(None)], None),
        ("close with code", frames(&[(0x88, b"\x03\xe8")]), vec![close(1000, "")], None),
        ("close with reason", frames(&[(0x88, b"\x0f\xa0bye \xc3\xa4")]), vec![close(4000, "bye \u{e4}")], None),
        ("close within a message", frames(&[(1, b"Hel"), (0x88, b"\x03\xe9")]), vec![close(1001, "")], None),
        (
            "what follows a close is dropped, whatever it is",
            {
                let mut bytes = frames(&[(0x88, b"")]);
                bytes.extend_from_slice(&[0xff; 300]);
                bytes
            },
            vec![Event::Close(None)],
            None,
        ),
        ("compressed", frames(&[(0xc1, &compressed)]), vec![text(&"Hello, compressed ".repeat(50))], None),
        (
            "compressed in fragments",
            frames(&[(0x41, compressed_a), (0x89, b""), (0, b""), (0x80, compressed_b), (0x81, b"plain")]),
            vec![Event::Ping(vec![]), text(&"Hello, compressed ".repeat(50)), text("plain")],
            None,
        ),
        ("compressed and empty", frames(&[(0xc2, b"\x00"), (0xc1, b"")]), vec![Event::Binary(vec![]), text("")], None),
        // Faults.
        ("continuation of nothing", frames(&[(0x80, b"x")]), vec![], protocol("continuation without a message")),
        (
            "continuation after the end",
            frames(&[(0x81, b"x"), (0, b"y")]),
            vec![text("x")],
            protocol("continuation without a message"),
        ),
        ("message in a message", frames(&[(1, b"x"), (0x81, b"y")]), vec![], protocol("message inside another")),
        ("compressed continuation", frames(&[(0x41, b""), (0xc0, b"")]), vec![], protocol("reserved bit is set")),
        ("one byte of close code", frames(&[(0x88, b"\x03")]), vec![], protocol("close code is cut short")),
        ("not UTF-8", frames(&[(0x81, b"\xff")]), vec![], Some(Fault::utf8())),
        ("not UTF-8 at the end", frames(&[(0x81, b"a\xe2\x82")]), vec![], Some(Fault::utf8())),
        ("not UTF-8 at the end of fragments", frames(&[(1, b"a"), (0x80, b"\xe2\x82")]), vec![], Some(Fault::utf8())),
        ("not UTF-8, compressed", frames(&[(0xc1, &deflated(b"a\xffb"))]), vec![], Some(Fault::utf8())),
        ("not UTF-8, compressed, at the end", frames(&[(0xc1, &deflated(b"a\xe2"))]), vec![], Some(Fault::utf8())),
        ("not UTF-8 in a reason", frames(&[(0x88, b"\x03\xe8\xff")]), vec![], Some(Fault::utf8())),
        ("not deflate", frames(&[(0xc1, b"\xff\xff\xff")]), vec![], Some(Fault::corrupt())),
    ];
    let params = Params { client_no_context_takeover: true, ..Params::default() };
    for (name, bytes, events, fault) in table {
        let expected = (events, fault);
        let both = |(events, fault, _)| (events, fault);
        let new = || Decoder::new(0, Some(&params));
        assert_eq!(both(decode(&mut new(), [&bytes[..]])), expected, "{name}");
        let step = 1 + bytes.len() / 700;
        assert_eq!(both(decode(&mut new(), bytes.chunks(step))), expected, "{name}, in steps of {step}");
        for cut in (0..bytes.len()).step_by(step) {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(both(decode(&mut new(), [first, second])), expected, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn close_codes() {
    for code in 0..=u16::MAX {
        let mut decoder = Decoder::new(0, None);
        let result = decoder.decode(&mut frame(0x88, &code.to_be_bytes()));
        if is_close_code(code) {
            assert_eq!(result, Ok((8, Some(close(code, "")))));
        } else {
            assert_eq!(result, Err(Fault::protocol("invalid close code")));
        }
    }
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    assert!(valid.into_iter().all(is_close_code));
    let invalid = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    assert!(!invalid.into_iter().any(is_close_code));
}

#[test]
fn wrong_text_is_found_before_the_frame_is_complete() {
    for (first, payload) in [
        (0x81, b"good \xff bad and long enough".to_vec()),
        (0x01, b"good \xff bad and long enough".to_vec()),
        (
            0xc1,
            deflated(b"\xce\xba\xf4\x90\x80\x80edited, and much more of it that does not compress: 0a9s8df7g6h5j4k3"),
        ),
    ] {
        let bytes = frame(first, &payload);
        let mut decoder = Decoder::new(0, Some(&Params::default()));
        let (events, fault, taken) = decode(&mut decoder, bytes.chunks(1));
        assert_eq!((events, fault), (vec![], Some(Fault::utf8())));
        assert!(taken < bytes.len() - 4, "{taken} of {}", bytes.len());
    }
    // The byte after the fault is not waited for: "good " and one wrong byte, of a frame that never ends.
    let bytes = frame(0x81, &[b"good \xff".to_vec(), vec![0; 1 << 17]].concat());
    assert_eq!(decode(&mut Decoder::new(0, None), [&bytes[..14 + 6]]).1, Some(Fault::utf8()));
    assert_eq!(decode(&mut Decoder::new(0, None), [&bytes[..14 + 5]]).1, None);
}

#[test]
fn after_a_fault_everything_is_dropped() {
    let mut decoder = Decoder::new(0, None);
    assert!(decoder.decode(&mut [0xff, 0xff]).is_err());
    assert_eq!(decoder.decode(&mut [0xff; 100]), Ok((100, None)));
    assert_eq!(decoder.decode(&mut frame(0x81, b"Hello")), Ok((11, None)));
    assert_eq!(decoder.decode(&mut []), Ok((0, None)));
}

#[test]
fn messages_are_limited() {
    const LIMIT: usize = 1000;
    let too_big = Some(Fault::too_big());
    let body = vec![b'a'; LIMIT + 1];
    let (fits, more) = (&body[..LIMIT], &body[..]);
    let table: Vec<(&str, Vec<u8>, Option<Fault>)> = vec![
        ("fits", frames(&[(0x81, fits), (0x82, fits)]), None),
        ("one too many", frames(&[(0x81, more)]), too_big),
        ("fits in fragments", frames(&[(1, &fits[..600]), (0x80, &fits[600..]), (0x81, b"x")]), None),
        ("too many in fragments", frames(&[(1, &more[..600]), (0x80, &more[600..])]), too_big),
        ("fits, compressed", frames(&[(0xc1, &deflated(fits)), (0xc2, &deflated(fits))]), None),
        ("one too many, compressed", frames(&[(0xc1, &deflated(more))]), too_big),
    ];
    let params = Params { client_no_context_takeover: true, ..Params::default() };
    for (name, bytes, fault) in table {
        assert_eq!(decode(&mut Decoder::new(LIMIT, Some(&params)), [&bytes[..]]).1, fault, "{name}");
        assert_eq!(decode(&mut Decoder::new(LIMIT, Some(&params)), bytes.chunks(7)).1, fault, "{name}");
        assert_eq!(decode(&mut Decoder::new(0, Some(&params)), [&bytes[..]]).1, None, "{name}");
    }
    // A frame that is announced too long is refused at its header.
    let header = &frame(0x82, &[0; 70_000])[..14];
    assert_eq!(Decoder::new(69_999, None).decode(&mut header.to_vec()), Err(Fault::too_big()));
    assert_eq!(Decoder::new(70_000, None).decode(&mut header.to_vec()), Ok((14, None)));
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    const LIMIT: usize = 100_000;
    // A thousand to one.
    let bomb = deflated(&vec![0; 20_000_000]);
    for first in [0xc1, 0xc2] {
        let bytes = frame(first, &bomb);
        let (header, payload) = bytes.split_at(bytes.len() - bomb.len());
        let mut decoder = Decoder::new(LIMIT, Some(&Params::default()));
        assert_eq!(decoder.decode(&mut header.to_vec()), Ok((header.len(), None)));
        let faulty = payload.chunks(10).position(|piece| {
            let result = decoder.decode(&mut piece.to_vec());
            assert!(decoder.held() <= LIMIT);
            result.is_err_and(|fault| fault == Fault::too_big())
        });
        assert!(faulty.is_some_and(|at| at < payload.len() / 10 / 100), "{faulty:?}");
        // In one piece it is no different.
        assert_eq!(decode(&mut Decoder::new(LIMIT, Some(&Params::default())), [&bytes[..]]).1, Some(Fault::too_big()));
    }
}

#[test]
fn payload_is_taken_as_it_comes() {
    let bytes = frame(0x82, &[5; 50_000]);
    let mut decoder = Decoder::new(0, None);
    let mut head = bytes[..1000].to_vec();
    assert_eq!(decoder.decode(&mut head), Ok((1000, None)));
    assert_eq!(decoder.held(), 992);
    assert_eq!(decoder.decode(&mut []), Ok((0, None)));
    let mut rest = bytes[1000..].to_vec();
    assert_eq!(decoder.decode(&mut rest), Ok((bytes.len() - 1000, Some(Event::Binary(vec![5; 50_000])))));
    assert_eq!(decoder.held(), 0);
    // A control frame is taken whole, and one event at a time.
    let mut bytes = frames(&[(0x89, b"one"), (0x89, b"two")]);
    assert_eq!(decoder.decode(&mut bytes[..8]), Ok((0, None)));
    assert_eq!(decoder.decode(&mut bytes), Ok((9, Some(Event::Ping(b"one".to_vec())))));
}

#[test]
fn what_waits_is_small() {
    assert!(size_of::<Decoder>() <= 128, "{}", size_of::<Decoder>());
    assert!(size_of::<Encoder>() <= 24, "{}", size_of::<Encoder>());
}

#[test]
fn a_client_that_looks_back() {
    // The client's window, and whether it may look back; a client that agreed to 8 bits and uses zlib looks back 9.
    for (bits, client_bits) in [(15, 15), (12, 12), (9, 9), (8, 9)] {
        let mut state = Compress::new_with_window_bits(Compression::new(9), false, client_bits);
        let params = Params { client_max_window_bits: bits, ..Params::default() };
        let mut decoder = Decoder::new(0, Some(&params));
        for n in 0..60u32 {
            let message: String = (0..n * n).map(|i| char::from(b'a' + (i * i % 23 + n % 3) as u8)).collect();
            let mut compressed = Vec::with_capacity(message.len() + 100);
            state.compress_vec(message.as_bytes(), &mut compressed, FlushCompress::Sync).unwrap();
            compressed.truncate(compressed.len() - 4);
            let bytes = frame(0xc1, &compressed);
            assert_eq!(decode(&mut decoder, bytes.chunks(50)), (vec![text(&message)], None, bytes.len()));
        }
    }
}

/// The frames of a server as a client would send them: masked, and fragmented at `cuts`.
fn reflect(mut sent: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while let &[first, len, ..] = sent {
        let (len, size) = match len {
            126 => (usize::from(u16::from_be_bytes([sent[2], sent[3]])), 4),
            127 => (u64::from_be_bytes(sent[2..10].try_into().unwrap()) as usize, 10),
            len => (usize::from(len), 2),
        };
        let (mut payload, rest) = sent[size..].split_at(len);
        sent = rest;
        let mut first = first;
        loop {
            let cut = (*cuts.next().unwrap()).min(payload.len());
            let whole = cut == payload.len() || first & 8 != 0;
            let (piece, behind) = if whole { (payload, &[][..]) } else { payload.split_at(cut) };
            let fin = if whole { 0x80 } else { 0 };
            out.extend(frame(fin | (first & 0x7f), piece));
            if whole {
                break;
            }
            payload = behind;
            first = 0;
        }
    }
    out
}

fn event() -> impl Strategy<Value = Event> {
    // Text that repeats itself, so that there is something to refer to, also from one message to the next.
    let words = prop::collection::vec(prop_oneof!["[a-e]{1,9} ", "\\PC{1,3}", Just("something ".to_owned())], 0..300);
    prop_oneof![
        4 => words.prop_map(|words| Event::Text(words.concat())),
        2 => (prop::collection::vec(any::<u8>(), 0..600), 1..40usize)
            .prop_map(|(bytes, times)| Event::Binary(bytes.repeat(times))),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Event::Ping),
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Event::Pong),
    ]
}

fn params() -> impl Strategy<Value = Option<Params>> {
    let bits = || prop_oneof![Just(0u8), 9..=15u8];
    prop::option::of((any::<bool>(), any::<bool>(), bits(), bits()).prop_map(|(server, client, out, back)| Params {
        server_no_context_takeover: server,
        client_no_context_takeover: client,
        server_max_window_bits: out,
        client_max_window_bits: back,
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_encoded_is_decoded(
        events in prop::collection::vec(event(), 1..12),
        params in params(),
        cuts in prop::collection::vec(0..3000usize, 1..6),
        pieces in 1..5000usize,
    ) {
        let mut encoder = Encoder::new(params.as_ref());
        let mut sent = Vec::new();
        for event in &events {
            match event {
                Event::Text(text) => encoder.text(&mut sent, text),
                Event::Binary(bytes) => encoder.binary(&mut sent, bytes),
                Event::Ping(bytes) => encoder.ping(&mut sent, bytes),
                Event::Pong(bytes) => encoder.pong(&mut sent, bytes),
                Event::Close(_) => {}
            }
        }
        // What the server promised is what is expected of this client.
        let swapped = params.map(|params| Params {
            client_no_context_takeover: params.server_no_context_takeover,
            client_max_window_bits: params.server_max_window_bits,
            ..params
        });
        let cuts: Vec<usize> = cuts.into_iter().chain([1000]).collect();
        let bytes = reflect(&sent, &cuts);
        let mut decoder = Decoder::new(1 << 20, swapped.as_ref());
        let (decoded, fault, taken) = decode(&mut decoder, bytes.chunks(pieces));
        prop_assert_eq!(fault, None);
        prop_assert_eq!(taken, bytes.len());
        prop_assert_eq!(decoder.held(), 0);
        prop_assert!(decoded == events);
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(0x81), Just(0xc1), Just(0x80), Just(0x01), Just(0x85), Just(0)],
            0..200,
        ),
        pieces in 1..20usize,
    ) {
        let params = Params::default();
        let whole = decode(&mut Decoder::new(100, Some(&params)), [&bytes[..]]);
        let cut = decode(&mut Decoder::new(100, Some(&params)), bytes.chunks(pieces));
        prop_assert_eq!((whole.0, whole.1.is_some()), (cut.0, cut.1.is_some()));
    }
}
