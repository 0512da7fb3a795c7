//! Zstandard (RFC 8878) on the fly.
//!
//! Per text of 16 KB, JSON of 100 KB, HTML of 1 MB, in µs and bytes (see `gzip` for what gzip takes):
//!
//! | level | text | JSON | HTML |
//! |---|---|---|---|
//! | 1, the default | 46, 7389 | 201, 27171 | 2254, 248453 |
//! | 2 | 55, 7471 | 231, 26795 | 2462, 237581 |
//! | 3 | 59, 7302 | 253, 25973 | 2974, 229998 |
//! | 4 | 118, 7089 | 280, 26284 | 3220, 229320 |
//! | 5 | 168, 7017 | 613, 25461 | 6741, 223018 |
//! | 7 | 275, 6974 | 1193, 24408 | 11812, 215225 |
//! | 9 | 481, 6970 | 1690, 23902 | 15496, 214118 |
//!
//! The default is a third of the cost of `gzip_comp_level 1`, and shorter.

use std::cell::RefCell;

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective::{self, ZSTD_e_continue, ZSTD_e_end, ZSTD_e_flush};
use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use super::pool::Pool;
use super::{Coding, Ratio, Stage};

/// A window of at most 256 KB, whatever the level would have: it is memory of every body on its way, here and at the
/// client.
const WINDOW: u32 = 18;
/// The same, where the length is not known: a stream may last for hours.
const STREAM_WINDOW: u32 = 16;

/// What a state is made for: level and window.
type Key = (i32, u32);

thread_local! {
    static FREE: RefCell<Pool<Key, CCtx<'static>>> = const { RefCell::new(Pool::new()) };
}

/// A body that is compressed.
pub struct Zstd {
    level: i32,
    /// Of the body in bytes, where it is known.
    length: Option<u64>,
    state: Option<CCtx<'static>>,
    ratio: Ratio,
    failed: bool,
}

impl Zstd {
    /// `level`: from 1 to 22, or below 0 for less work.
    pub fn new(level: i32, length: Option<u64>) -> Zstd {
        let ratio = Ratio { coding: Coding::Zstd, input: 0, output: 0 };
        Zstd { level, length, state: None, ratio, failed: false }
    }

    fn key(&self) -> Key {
        (self.level, if self.length.is_some() { WINDOW } else { STREAM_WINDOW })
    }

    /// A state for this level; `None`: there is no memory.
    fn make(&self) -> Option<CCtx<'static>> {
        let key = self.key();
        let pooled = FREE.try_with(|free| free.borrow_mut().take(&key)).ok().flatten();
        let mut state = match pooled {
            Some(state) => state,
            None => {
                let mut state = CCtx::try_create()?;
                state.set_parameter(CParameter::CompressionLevel(self.level)).ok()?;
                state.set_parameter(CParameter::WindowLog(key.1)).ok()?;
                state
            }
        };
        if self.length.is_some() {
            state.set_pledged_src_size(self.length).ok()?;
        }
        Some(state)
    }

    fn run(&mut self, input: &[u8], out: &mut Vec<u8>, directive: ZSTD_EndDirective) {
        if self.failed {
            return;
        }
        if self.state.is_none() {
            self.state = self.make();
        }
        let before = out.len();
        let done = self.state.as_mut().is_some_and(|state| compress(state, input, out, directive));
        self.failed = !done;
        self.ratio.input += input.len() as u64;
        self.ratio.output += (out.len() - before) as u64;
    }

    fn put_back(&mut self) {
        if let Some(mut state) = self.state.take()
            && state.reset(ResetDirective::SessionOnly).is_ok()
        {
            let bytes = state.sizeof();
            let _ = FREE.try_with(|free| free.borrow_mut().put(self.key(), state, bytes));
        }
    }
}

/// Takes all of `input`; whether that could be done.
fn compress(state: &mut CCtx<'_>, input: &[u8], out: &mut Vec<u8>, directive: ZSTD_EndDirective) -> bool {
    out.reserve(input.len() / 3 + 64);
    let mut input = InBuffer::around(input);
    loop {
        let at = out.len();
        let Ok(left) = state.compress_stream2(&mut OutBuffer::around_pos(out, at), &mut input, directive) else {
            return false;
        };
        let all_taken = input.pos() == input.src.len();
        let over = if directive == ZSTD_e_continue { out.len() < out.capacity() } else { left == 0 };
        if all_taken && over {
            return true;
        }
        out.reserve(4096);
    }
}

impl Stage for Zstd {
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.run(input, out, ZSTD_e_continue);
    }

    fn last(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.run(input, out, ZSTD_e_end);
        self.put_back();
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.last(&[], out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(&[], out, ZSTD_e_flush);
    }

    fn ratio(&self) -> Option<Ratio> {
        Some(self.ratio)
    }

    fn makes(&self) -> Option<(Coding, i32)> {
        Some((Coding::Zstd, self.level))
    }

    fn failure(&mut self) -> Option<String> {
        self.failed.then(|| "ZSTD_compressStream2() failed".to_owned())
    }
}

impl Drop for Zstd {
    fn drop(&mut self) {
        self.put_back();
    }
}
