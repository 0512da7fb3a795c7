//! What compressors make can be read again, however the body is cut, and as far as it was flushed.

use std::io::Read;

use proptest::prelude::*;

use super::brotli::Brotli;
use super::gunzip::Gunzip;
use super::gzip::Gzip;
use super::zstd::Zstd;
use super::*;

fn coder(coding: Coding, level: i32, length: Option<u64>) -> Box<dyn Stage> {
    match coding {
        Coding::Gzip => Box::new(Gzip::new(level as u8, length)),
        Coding::Brotli => Box::new(Brotli::new(level as u8, length)),
        Coding::Zstd => Box::new(Zstd::new(level, length)),
    }
}

const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

/// As much as can be read, complete or not.
fn read(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut take = |reader: &mut dyn Read| {
        let mut one = [0; 1];
        while let Ok(1) = reader.read(&mut one) {
            out.push(one[0]);
        }
    };
    match coding {
        Coding::Gzip => take(&mut flate2::read::GzDecoder::new(bytes)),
        Coding::Brotli => take(&mut ::brotli::Decompressor::new(bytes, 4096)),
        Coding::Zstd => take(&mut ::zstd::stream::read::Decoder::new(bytes).unwrap()),
    }
    out
}

/// The same, which must be complete, with nothing behind its end.
fn read_whole(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let whole = |bytes: &[u8]| {
        let mut out = Vec::new();
        let read = match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
            Coding::Brotli => ::brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Coding::Zstd => ::zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        };
        read.ok().map(|_| out)
    };
    assert_eq!(whole(&bytes[..bytes.len() - 1]), None, "{coding:?}: the last byte");
    whole(bytes).unwrap()
}

fn text(len: usize) -> Vec<u8> {
    let mut seed = 7u32;
    let mut text = Vec::new();
    while text.len() < len {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(format!("line {} of some text\n", seed >> 20).as_bytes());
    }
    text.truncate(len);
    text
}

/// What cannot be made shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut seed = 9u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn every_level_gives_what_can_be_read() {
    for body in [text(0), text(1), text(3000), text(200_000), noise(150_000)] {
        for (coding, levels) in [(Coding::Gzip, 1..=9), (Coding::Brotli, 0..=9), (Coding::Zstd, -3..=9)] {
            for level in levels {
                for length in [None, Some(body.len() as u64)] {
                    if coding == Coding::Zstd && level == 0 {
                        continue;
                    }
                    let mut stage = coder(coding, level, length);
                    let mut out = Vec::new();
                    stage.last(&body, &mut out);
                    assert!(read_whole(coding, &out) == body, "{coding:?} {level} {}", body.len());
                    let ratio = stage.ratio().unwrap();
                    assert_eq!((ratio.input, ratio.output), (body.len() as u64, out.len() as u64));
                    assert_eq!(stage.failure(), None);
                }
            }
        }
    }
}

#[test]
fn what_is_flushed_can_be_read_at_once() {
    for coding in ALL {
        for level in 1..=6 {
            let mut stage = coder(coding, level, None);
            let (mut out, mut sent) = (Vec::new(), Vec::new());
            for number in 0..50 {
                let event = format!("data: {{\"number\": {number}}}\n\n");
                stage.feed(event.as_bytes(), &mut out);
                stage.flush(&mut out);
                sent.extend_from_slice(event.as_bytes());
                assert!(read(coding, &out) == sent, "{coding:?} {level} {number}");
            }
            let before = out.len();
            stage.flush(&mut out);
            stage.flush(&mut out);
            assert!(out.len() - before < 16, "{coding:?}: a flush of nothing");
            stage.end(&mut out);
            assert_eq!(read_whole(coding, &out), sent, "{coding:?} {level}");
        }
    }
}

#[test]
fn a_state_is_used_again_for_another_body() {
    for coding in ALL {
        let mut first = None;
        for round in 0..40 {
            let body = text(5000);
            let mut stage = coder(coding, 1, (round % 2 == 0).then_some(5000));
            let mut out = Vec::new();
            if round % 3 == 0 {
                // Broken off, in the middle of another body.
                let mut other = coder(coding, 1, None);
                other.feed(&noise(3000), &mut Vec::new());
                other.flush(&mut Vec::new());
            }
            stage.last(&body, &mut out);
            assert_eq!(read_whole(coding, &out), body, "{coding:?}");
            if round % 2 == 0 {
                assert_eq!(first.get_or_insert_with(|| out.clone()), &out, "{coding:?}: nothing is left of before");
            }
        }
    }
}

/// gunzip, pulled as the sender does; each amount must be bounded.
fn unzip(parts: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let mut stage = Gunzip::default();
    let mut all = Vec::new();
    for part in parts {
        let mut at = 0;
        loop {
            let mut out = Vec::new();
            at += stage.pull(&part[at..], false, &mut out);
            assert!(out.len() <= 256 * 1024, "{}", out.len());
            all.append(&mut out);
            if at == part.len() && !stage.is_full() {
                break;
            }
        }
    }
    stage.end(&mut all);
    let failure = stage.failure();
    (all, failure)
}

fn zipped(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Gzip::new(6, None).last(body, &mut out);
    out
}

#[test]
fn gunzip_gives_a_bounded_amount_at_a_time() {
    let bomb = zipped(&vec![b'x'; 64 << 20]);
    assert!(bomb.len() < 300_000);
    let (body, failure) = unzip(&[&bomb]);
    assert_eq!((body.len(), failure), (64 << 20, None));
}

#[test]
fn members_one_after_another_are_one_body() {
    let two = [zipped(b"one "), zipped(b""), zipped(b"two")].concat();
    let (one, end) = two.split_at(7);
    for parts in [vec![&two[..]], vec![one, end], two.chunks(1).collect()] {
        assert_eq!(unzip(&parts), (b"one two".to_vec(), None));
    }
}

#[test]
fn what_is_no_gzip_ends_the_body() {
    let good = zipped(b"some text");
    let cut = &good[..good.len() - 3];
    let mut wrong = good.clone();
    let at = wrong.len() - 6;
    wrong[at] ^= 1;
    let garbage = [&good[..], b"garbage"].concat();
    for (name, parts, why) in [
        ("cut", vec![cut], "inflate() returned -5 on response end"),
        ("checksum", vec![&wrong], "inflate() failed: 0, -3"),
        ("text", vec![b"hello world".as_slice()], "inflate() failed: 0, -3"),
        ("garbage", vec![&garbage], "inflate() failed: 0, -3"),
    ] {
        assert_eq!(unzip(&parts).1.as_deref(), Some(why), "{name}");
    }
    assert_eq!(unzip(&[]).1.as_deref(), Some("inflate() returned -5 on response end"));
}

#[test]
fn gzip_is_taken_off_before_it_is_put_on() {
    let body = text(500_000);
    let packed = zipped(&body);
    let mut chain = Chain::new(vec![Box::new(Gunzip::default()), coder(Coding::Zstd, 1, None)]);
    let (mut out, mut at) = (Vec::new(), 0);
    while at < packed.len() || chain.is_full() {
        at += chain.feed(&packed[at..], false, &mut out);
    }
    chain.last(&[], &mut out);
    assert_eq!((chain.failure(), read_whole(Coding::Zstd, &out)), (None, body));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_gives_the_same_body(
        cuts in prop::collection::vec((0usize..40_000, prop::bool::ANY), 0..12),
        kind in 0usize..3, level in 1i32..7, told in prop::bool::ANY, random in prop::bool::ANY,
    ) {
        let coding = ALL[kind];
        let len = cuts.iter().map(|cut| cut.0).sum();
        let body = if random { noise(len) } else { text(len) };
        let mut stage = coder(coding, level, told.then_some(len as u64));
        let (mut out, mut rest) = (Vec::new(), &body[..]);
        for (len, flush) in cuts {
            let (part, after) = rest.split_at(len);
            stage.feed(part, &mut out);
            if flush {
                stage.flush(&mut out);
            }
            rest = after;
        }
        stage.end(&mut out);
        prop_assert!(read_whole(coding, &out) == body);
        if coding == Coding::Gzip {
            let parts: Vec<&[u8]> = out.chunks(777).collect();
            prop_assert!(unzip(&parts) == (body, None));
        }
    }
}
