//! Compressing messages (RFC 7692 section 7.2.1), with a bounded number of compressors.
//!
//! A compressor is some 370 KiB: one for each of 10,000 connections would be gigabytes. A thread has at most `POOL` of
//! them, for the connections that sent something last. A connection that finds its own goes on where it was; any other
//! takes the one that was longest unused and begins anew, which its client does not notice: a compressed message *may*
//! refer to those before it, it need not.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::{Compress, Compression, FlushCompress, Status};

use super::Params;

/// Compressors that a thread keeps.
const POOL: usize = 16;

/// Between level 1, which is two to three times as quick and leaves a third more to send, and level 6, which takes up
/// to twice as long for a tenth less.
const LEVEL: u32 = 3;

/// Room that is made at a time for what comes out.
const STEP: usize = 64 * 1024;

/// What ends a flush, and is not sent.
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];

thread_local! {
    /// Longest unused first.
    static COMPRESSORS: RefCell<Vec<Compressor>> = const { RefCell::new(Vec::new()) };
}

/// Each number is given out once in the process: a connection that moved to another thread and back must not find a
/// compressor that does not know what was sent in between.
static STAMPS: AtomicU64 = AtomicU64::new(1);

struct Compressor {
    /// Which message of which connection it compressed last.
    stamp: u64,
    window: u8,
    state: Compress,
}

/// The compression of one connection.
pub struct Deflater {
    window: u8,
    takeover: bool,
    /// Of the compressor that knows what was sent; 0: of none.
    stamp: u64,
}

impl Deflater {
    pub fn new(params: &Params) -> Deflater {
        Deflater { window: params.server_window(), takeover: !params.server_no_context_takeover, stamp: 0 }
    }

    /// Appends `message` compressed. False if that would not be shorter: then `out` is as it was, and the message has to
    /// be sent as it is.
    pub fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut compressor = self.take();
        let shorter = compressor.compress(message, out) && out.ends_with(TAIL);
        if shorter {
            out.truncate(out.len() - TAIL.len());
        } else {
            out.truncate(start);
        }
        // What the client does not get must not be referred to.
        self.stamp = if shorter && self.takeover { STAMPS.fetch_add(1, Ordering::Relaxed) } else { 0 };
        compressor.stamp = self.stamp;
        compressor.give_back();
        shorter
    }

    fn take(&self) -> Compressor {
        let pooled = COMPRESSORS.try_with(|pool| {
            let mut pool = pool.try_borrow_mut().ok()?;
            if self.stamp != 0
                && let Some(at) = pool.iter().rposition(|compressor| compressor.stamp == self.stamp)
            {
                return Some(pool.remove(at));
            }
            // One that belongs to no connection is as good as a new one, and leaves the others theirs.
            let free = |compressor: &Compressor| compressor.stamp == 0 && compressor.window == self.window;
            let at = pool.iter().position(free).or_else(|| (pool.len() == POOL).then_some(0))?;
            Some(pool.remove(at))
        });
        match pooled.ok().flatten() {
            Some(own) if self.stamp != 0 && own.stamp == self.stamp => own,
            Some(mut other) if other.window == self.window => {
                other.state.reset();
                other
            }
            _ => Compressor {
                stamp: 0,
                window: self.window,
                state: Compress::new_with_window_bits(Compression::new(LEVEL), false, self.window),
            },
        }
    }
}

impl Compressor {
    /// Appends the compressed message and the flush behind it. False, with anything appended, if that is not shorter.
    fn compress(&mut self, mut message: &[u8], out: &mut Vec<u8>) -> bool {
        let limit = out.len() + message.len();
        loop {
            // With room left over for the flush, it is never cut in two.
            out.reserve((message.len() + 64).min(STEP));
            let read = self.state.total_in();
            let status = self.state.compress_vec(message, out, FlushCompress::Sync);
            message = message.get((self.state.total_in() - read) as usize..).unwrap_or_default();
            if !matches!(status, Ok(Status::Ok)) || out.len() >= limit + TAIL.len() {
                return false;
            }
            if message.is_empty() && out.len() < out.capacity() {
                return true;
            }
        }
    }

    fn give_back(self) {
        // At a thread's end there is no place to keep it; then it is freed.
        let _ = COMPRESSORS.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut()
                && pool.len() < POOL
            {
                pool.push(self);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::inflate::Inflater;
    use crate::ws::message::Message;

    fn deflaters(count: usize, params: &Params) -> Vec<(Deflater, Inflater)> {
        let inflating = Params {
            client_no_context_takeover: params.server_no_context_takeover,
            client_max_window_bits: params.server_max_window_bits,
            ..*params
        };
        (0..count).map(|_| (Deflater::new(params), Inflater::new(&inflating))).collect()
    }

    /// Sends a message through; how many bytes it had on the way.
    fn send((deflater, inflater): &mut (Deflater, Inflater), text: &[u8]) -> usize {
        let mut out = b"before".to_vec();
        if !deflater.compress(text, &mut out) {
            assert_eq!(out, b"before");
            return text.len();
        }
        let compressed = &out[6..];
        assert!(compressed.len() < text.len());
        let mut message = Message::Binary(Vec::new());
        inflater.feed(compressed, &mut message, text.len()).unwrap();
        inflater.finish(&mut message, text.len()).unwrap();
        assert!(message.parts().0 == text);
        compressed.len()
    }

    #[test]
    fn more_connections_than_compressors() {
        for params in [Params::default(), Params { server_max_window_bits: 9, ..Params::default() }] {
            let mut connections = deflaters(POOL * 2, &params);
            let text = b"They refer to what was sent before, if they find the compressor that sent it. 0123456789";
            for round in 0..3 {
                for connection in &mut connections {
                    let first = send(connection, text);
                    let again = send(connection, text);
                    assert!(again < 16 && first > 60, "{round}: {first}, {again}");
                }
            }
            COMPRESSORS.with(|pool| assert_eq!(pool.borrow().len(), POOL));
        }
    }

    #[test]
    fn without_takeover_nothing_is_referred_to() {
        let mut connections = deflaters(3, &Params { server_no_context_takeover: true, ..Params::default() });
        let text = [&b"0123456789"[..]; 20].concat();
        for _ in 0..3 {
            for connection in &mut connections {
                assert!(send(connection, &text) > 10);
            }
        }
        // They all use one.
        COMPRESSORS.with(|pool| assert_eq!(pool.borrow().len(), 1));
    }

    #[test]
    fn a_compressor_left_behind_in_another_thread_is_not_used_again() {
        let mut connection = deflaters(1, &Params::default()).remove(0);
        let texts: Vec<Vec<u8>> =
            (0..4u32).map(|n| format!("message {n} of several. ").repeat(20).into_bytes()).collect();
        send(&mut connection, &texts[0]);
        let mut connection = std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                send(&mut connection, &texts[1]);
                connection
            });
            there.join().unwrap()
        });
        for text in &texts {
            send(&mut connection, text);
        }
    }

    #[test]
    fn what_does_not_get_shorter_is_left() {
        let mut connection = deflaters(1, &Params::default()).remove(0);
        let mut state = 1u64;
        let mut noise = |len: usize| -> Vec<u8> {
            let mut byte = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            };
            (0..len).map(|_| byte()).collect()
        };
        let text = b"something that can be compressed, something that can be compressed";
        for len in [64, 1000, 100_000, 300_000] {
            let noise = noise(len);
            assert!(send(&mut connection, text) < text.len());
            assert_eq!(send(&mut connection, &noise), len);
            assert_eq!(connection.0.stamp, 0);
        }
        assert_eq!(send(&mut connection, b""), 0);
    }

    #[test]
    fn large_messages() {
        let mut connection = deflaters(1, &Params::default()).remove(0);
        let text: Vec<u8> =
            (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
        let len = send(&mut connection, &text);
        assert!(len > STEP && len < text.len() / 2, "{len} of {}", text.len());
        send(&mut connection, &vec![b'a'; 5_000_000]);
        send(&mut connection, &text);
    }
}
