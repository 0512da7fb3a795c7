//! Parts of a representation: Content-Range and `multipart/byteranges` (RFC 9110 sections 14.4 and 14.6).

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::h1::encode;

/// Appends the line Content-Range for the bytes `first..end` of `len`.
pub fn content_range(first: u64, end: u64, len: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Range: bytes ");
    encode::number(out, first);
    out.push(b'-');
    encode::number(out, end - 1);
    out.push(b'/');
    encode::number(out, len);
    out.extend_from_slice(b"\r\n");
}

/// What stands round the parts of a multipart answer.
pub struct Parts {
    boundary: String,
    /// Before each part.
    pub before: Vec<Vec<u8>>,
    /// After the last.
    pub after: Vec<u8>,
    /// Bytes in all.
    pub total: u64,
}

impl Parts {
    pub fn new(ranges: &[(u64, u64)], media_type: &[u8], len: u64) -> Parts {
        Parts::with_boundary(boundary(), ranges, media_type, len)
    }

    fn with_boundary(boundary: String, ranges: &[(u64, u64)], media_type: &[u8], len: u64) -> Parts {
        let head = |&(first, end): &(u64, u64)| {
            let mut out = format!("\r\n--{boundary}\r\n").into_bytes();
            if !media_type.is_empty() {
                encode::field(&mut out, b"Content-Type", media_type);
            }
            content_range(first, end, len, &mut out);
            out.extend_from_slice(b"\r\n");
            out
        };
        let before: Vec<_> = ranges.iter().map(head).collect();
        let after = format!("\r\n--{boundary}--\r\n").into_bytes();
        let framing: usize = before.iter().map(Vec::len).sum::<usize>() + after.len();
        let total = framing as u64 + ranges.iter().map(|(first, end)| end - first).sum::<u64>();
        Parts { boundary, before, after, total }
    }

    pub fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }
}

/// Twenty digits that nobody can guess, so that no file can be made to have them in it.
fn boundary() -> String {
    static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = SECRET.hash_one((COUNT.fetch_add(1, Ordering::Relaxed), std::process::id()));
    format!("{number:020}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_body() {
        let parts = Parts::with_boundary("B".into(), &[(0, 2), (5, 6)], b"text/css; charset=utf-8", 10);
        let mut body = Vec::new();
        for (before, part) in parts.before.iter().zip(["ab", "f"]) {
            body.extend_from_slice(before);
            body.extend_from_slice(part.as_bytes());
        }
        body.extend_from_slice(&parts.after);
        let expected = "\r\n--B\r\nContent-Type: text/css; charset=utf-8\r\nContent-Range: bytes 0-1/10\r\n\r\nab\
                        \r\n--B\r\nContent-Type: text/css; charset=utf-8\r\nContent-Range: bytes 5-5/10\r\n\r\nf\
                        \r\n--B--\r\n";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        assert_eq!(parts.total, expected.len() as u64);
        assert_eq!(parts.media_type(), "multipart/byteranges; boundary=B");
    }

    #[test]
    fn boundaries_differ() {
        let (a, b) = (boundary(), boundary());
        assert!(a.len() == 20 && a != b);
    }
}
