//! Bodies on their way through stages: in which pieces, how much of them at a time, and when what is held back goes.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::exchange::{FileSlice, ResponseHead};
use crate::stage::gunzip::Gunzip;
use crate::stage::gzip::Gzip;
use crate::stage::sub::{Patterns, Sub};

fn stages() -> Vec<Box<dyn Stage>> {
    vec![Box::new(Sub::new(Arc::new(Patterns::new(&[b"old"])), vec![b"newer".to_vec()], false))]
}

fn taken(sender: &mut Sender) -> String {
    let mut bytes = std::mem::take(&mut sender.out);
    for chunk in sender.queue.drain(..) {
        bytes.extend_from_slice(chunk.memory().unwrap_or(b"<file>"));
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_file_is_read_piece_by_piece_and_in_its_place() {
    let mut sender = Sender::new();
    sender.reset_without_request(&Arc::default());
    sender.begin(ResponseHead { length: Some(PIECE as u64 + 10), stages: stages(), ..ResponseHead::new(200) });
    let head = taken(&mut sender);
    assert!(head.contains("Transfer-Encoding: chunked") && !head.contains("Content-Length"), "{head}");
    let mut file = tempfile();
    let text = "x".repeat(PIECE - 1) + "old";
    file.write_all(text.as_bytes()).unwrap();
    let len = text.len() as u64;
    sender.push(Chunk::File(FileSlice { file: Arc::new(file), offset: 0, len }));
    sender.copy(b"an old b");
    sender.end();
    assert!(!sender.is_flushed() && sender.ended && sender.out.is_empty() && sender.queue.is_empty());
    let mut parts = Vec::new();
    while !sender.is_flushed() {
        sender.expand().unwrap();
        parts.push(taken(&mut sender));
    }
    assert_eq!(parts.len(), 5, "{:?}", parts.iter().map(String::len).collect::<Vec<_>>());
    assert_eq!(parts[1], "5\r\nnewer\r\n");
    assert_eq!(parts[2], "a\r\nan newer b\r\n");
    assert_eq!((parts[4].as_str(), sender.fault), ("0\r\n\r\n", None));
}

#[test]
fn the_length_that_was_told_holds() {
    for (told, body, fault) in [(3, "old", None), (2, "old", Some(Fault::TooLong)), (4, "old", Some(Fault::TooShort))] {
        let mut sender = Sender::new();
        sender.reset_without_request(&Arc::default());
        sender.begin(ResponseHead { length: Some(told), stages: stages(), ..ResponseHead::new(200) });
        sender.copy(body.as_bytes());
        sender.end();
        assert_eq!(sender.fault, fault, "{told}");
        assert_eq!(taken(&mut sender).ends_with("0\r\n\r\n"), fault != Some(Fault::TooShort), "{told}");
    }
}

fn coded() -> Sender {
    let mut sender = Sender::new();
    sender.reset_without_request(&Arc::default());
    sender.version = wire::h1::Version::Http10;
    sender.begin(ResponseHead { coder: Some(Box::new(Gzip::new(1, None))), ..ResponseHead::new(200) });
    taken_bytes(&mut sender);
    sender
}

fn taken_bytes(sender: &mut Sender) -> Vec<u8> {
    let mut bytes = std::mem::take(&mut sender.out);
    for chunk in sender.queue.drain(..) {
        bytes.extend_from_slice(chunk.memory().unwrap_or(b"<file>"));
    }
    sender.queued = 0;
    bytes
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Gunzip::default().feed(bytes, &mut out);
    out
}

#[test]
fn what_a_compressor_holds_back_is_flushed_when_nothing_else_is_there() {
    let mut sender = coded();
    sender.copy(b"one ");
    sender.copy(b"two ");
    let before = taken_bytes(&mut sender);
    assert!(!sender.is_flushed() && sender.is_flush_due());
    assert!(unzipped(&before).is_empty());
    sender.flush_stages();
    let bytes = [before, taken_bytes(&mut sender)].concat();
    assert_eq!(unzipped(&bytes), b"one two ");
    assert!(sender.is_flushed() && !sender.is_flush_due());
    // With much unsent, nothing is asked for.
    sender.copy(b"three");
    sender.out = vec![0; LITTLE];
    assert!(!sender.is_flush_due());
    taken_bytes(&mut sender);
    sender.end();
    assert!(!sender.is_flush_due());
    taken_bytes(&mut sender);
    assert!(sender.is_flushed());
    assert_eq!(sender.passed.and_then(|passed| passed.ratio).map(|ratio| ratio.input), Some(13));
}

#[test]
fn a_body_of_known_length_ends_with_its_last_byte() {
    let mut sender = Sender::new();
    sender.reset_without_request(&Arc::default());
    let coder: Box<dyn Stage> = Box::new(Gzip::new(1, Some(6)));
    sender.begin(ResponseHead { length: Some(6), coder: Some(coder), ..ResponseHead::new(200) });
    taken_bytes(&mut sender);
    sender.copy(b"abc");
    assert!(!sender.is_satisfied());
    sender.copy(b"def");
    assert!(sender.is_satisfied() && !sender.is_flush_due());
    assert!(taken_bytes(&mut sender).ends_with(b"\x06\0\0\0\r\n"));
    sender.end();
    assert_eq!(taken(&mut sender), "0\r\n\r\n");
    assert_eq!(sender.fault, None);
}

#[test]
fn a_body_that_becomes_long_is_made_as_it_is_taken() {
    let mut bomb = Vec::new();
    Gzip::new(9, None).last(&vec![0; 20 << 20], &mut bomb);
    for file in [false, true] {
        let mut sender = Sender::new();
        sender.reset_without_request(&Arc::default());
        sender.version = wire::h1::Version::Http10;
        let stages: Vec<Box<dyn Stage>> = vec![Box::new(Gunzip::default())];
        sender.begin(ResponseHead { length: Some(bomb.len() as u64), stages, ..ResponseHead::new(200) });
        taken_bytes(&mut sender);
        if file {
            let mut file = tempfile();
            file.write_all(&bomb).unwrap();
            sender.push(Chunk::File(FileSlice { file: Arc::new(file), offset: 0, len: bomb.len() as u64 }));
        } else {
            sender.push(Chunk::Bytes(bomb.clone()));
        }
        sender.end();
        let mut all = 0;
        loop {
            assert!(sender.pending() < 512 * 1024, "{}", sender.pending());
            all += taken_bytes(&mut sender).len();
            if sender.is_flushed() {
                break;
            }
            sender.expand().unwrap();
        }
        assert_eq!((all, sender.fault, sender.passed.is_some()), (20 << 20, None, true));
    }
}

#[test]
fn a_body_that_cannot_be_completed_is_cut() {
    let mut sender = Sender::new();
    sender.reset_without_request(&Arc::default());
    sender.begin(ResponseHead { stages: vec![Box::new(Gunzip::default())], ..ResponseHead::new(200) });
    taken_bytes(&mut sender);
    sender.copy(b"no gzip");
    sender.copy(b"more of it");
    sender.end();
    assert!(sender.ended && !sender.keep_alive && sender.is_flushed());
    assert_eq!(taken(&mut sender), "");
    assert_eq!(sender.passed.and_then(|passed| passed.trouble).as_deref(), Some("inflate() failed: 0, -3"));
}

#[test]
fn a_coder_is_taken_where_nothing_else_is_to_be_done() {
    let mut sender = coded();
    assert!(sender.take_coder().is_some() && sender.take_coder().is_none());
    sender.copy(b"as it is");
    assert_eq!(taken(&mut sender), "as it is");
    let mut begun = coded();
    begun.copy(b"x");
    assert!(begun.take_coder().is_none());
}

fn tempfile() -> std::fs::File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("daemun-staged-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}
