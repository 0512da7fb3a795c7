//! WebSocket frames: cut anywhere, they give the same; nothing is held beyond the limit; what is encoded is decoded; an
//! answer to an offer keeps to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ws::{Decoder, Encoder, Event, Fault, Params, extension, handshake};

const LIMIT: usize = 5000;

fn decode<'a>(params: Option<&Params>, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Fault>) {
    let mut decoder = Decoder::new(LIMIT, params);
    let (mut events, mut buf) = (Vec::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let result = decoder.decode(&mut buf);
            assert!(decoder.held() <= LIMIT);
            match result {
                Err(fault) => return (events, Some(fault)),
                Ok((consumed, event)) => {
                    buf.drain(..consumed);
                    match event {
                        Some(event) => events.push(event),
                        None => break,
                    }
                }
            }
        }
        assert!(buf.len() < 131);
    }
    (events, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, data) = input;
    let step = usize::from(choice % 16) + 1;
    let bits = |n: u8| if n == 0 { 0 } else { 8 + n };
    let params = Params {
        server_no_context_takeover: choice & 1 != 0,
        client_no_context_takeover: choice & 1 != 0,
        server_max_window_bits: bits(choice % 8),
        client_max_window_bits: bits(choice % 8),
    };
    let params = (choice & 0x80 == 0).then_some(&params);

    // As they are, and as the payload of compressed messages.
    let mut framed = Vec::new();
    for chunk in data.chunks(step * 20) {
        // Not masked is masked with zeros; at most 320 bytes.
        framed.extend_from_slice(&[0xc2, 0xfe, (chunk.len() >> 8) as u8, chunk.len() as u8, 0, 0, 0, 0]);
        framed.extend_from_slice(chunk);
    }
    for bytes in [data, &framed] {
        let (whole, cut) = (decode(params, std::iter::once(bytes)), decode(params, bytes.chunks(step)));
        // Which of two faults in the same piece is found first depends on the piece.
        assert!(whole.0 == cut.0 && whole.1.is_some() == cut.1.is_some());
    }

    // What is encoded is decoded, once it is masked as a client does.
    let mut encoder = Encoder::new(params);
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    for chunk in data.chunks(step * 50) {
        let mut frame = Vec::new();
        match std::str::from_utf8(chunk) {
            Ok(text) => {
                encoder.text(&mut frame, text);
                events.push(Event::Text(text.to_owned()));
            }
            Err(_) => {
                encoder.binary(&mut frame, chunk);
                events.push(Event::Binary(chunk.to_vec()));
            }
        }
        let size = if frame[1] == 126 { 4 } else { 2 };
        frame[1] |= 0x80;
        sent.extend_from_slice(&frame[..size]);
        sent.extend_from_slice(&[0; 4]);
        sent.extend_from_slice(&frame[size..]);
    }
    assert_eq!(decode(params, sent.chunks(step)), (events, None));

    if let Some(params) = extension::negotiate(data.split(|&b| b == b'\n')) {
        assert!(matches!(params.server_max_window_bits, 0 | 9..=15));
        assert!(matches!(params.client_max_window_bits, 0 | 8..=15));
        let answer = params.to_field();
        assert_eq!(extension::negotiate(std::iter::once(answer.as_bytes())), Some(params));
    }
    handshake::accept(data);
    assert!(!handshake::is_key(data) || data.len() == 24);
});
