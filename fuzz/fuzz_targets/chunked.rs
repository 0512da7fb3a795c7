//! The chunked decoder: cut anywhere, it gives the same body, and never asks for bytes it was not given.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::h1::{Chunk, ChunkedDecoder, Refusal, encode};

const TRAILERS: usize = 200;

#[derive(PartialEq, Debug)]
struct Decoded {
    body: Vec<u8>,
    end: Result<bool, Refusal>,
    /// Bytes of the message, where it ended.
    consumed: usize,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = ChunkedDecoder::new(TRAILERS);
    let (mut body, mut consumed, mut buf) = (Vec::new(), 0, Vec::new());
    let mut end = Ok(false);
    'pieces: for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&buf) {
                Ok(Chunk::More { consumed: taken }) => {
                    consumed += taken;
                    buf.drain(..taken);
                    break;
                }
                Ok(Chunk::Data { skip, len }) => {
                    assert!(len > 0);
                    body.extend_from_slice(&buf[skip..skip + len]);
                    consumed += skip + len;
                    buf.drain(..skip + len);
                }
                Ok(Chunk::End { consumed: taken }) => {
                    consumed += taken;
                    end = Ok(true);
                    break 'pieces;
                }
                Err(refusal) => {
                    // Where it stops depends on what it was given; what it delivered must not.
                    consumed = 0;
                    end = Err(refusal);
                    break 'pieces;
                }
            }
        }
    }
    Decoded { body, end, consumed, trailers: decoder.take_trailers() }
}

fuzz_target!(|data: &[u8]| {
    let whole = decode(std::iter::once(data));
    let step = data.first().map_or(1, |b| usize::from(b % 16) + 1);
    let cut = decode(data.chunks(step));
    assert_eq!(whole, cut);
    assert!(whole.consumed <= data.len());

    // What is encoded is decoded.
    let mut encoded = Vec::new();
    for chunk in data.chunks(step * 3) {
        encode::chunk_head(&mut encoded, chunk.len());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(encode::LAST_CHUNK);
    let back = decode(std::iter::once(&encoded[..]));
    assert!(back.body == data && back.end == Ok(true) && back.consumed == encoded.len());
});
