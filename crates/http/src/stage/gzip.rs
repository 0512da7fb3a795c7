//! gzip (RFC 1952) on the fly, by zlib-rs.
//!
//! The levels are nginx's. What does the work is another one where that gives no larger text in less time; per text
//! nginx's zlib 1.2.13 and this, in µs and bytes (a text of 16 KB, JSON of 100 KB, HTML of 1 MB; one core):
//!
//! | level | zlib: text | JSON | HTML | here, as | text | JSON | HTML |
//! |---|---|---|---|---|---|---|---|
//! | 1 | 154, 7756 | 652, 30156 | 6800, 270528 | 2 | 94, 7396 | 477, 28192 | 4493, 257274 |
//! | 2 | 185, 7564 | 738, 28688 | 7444, 262507 | 2 | the same | | |
//! | 3 | 212, 7412 | 921, 27907 | 10236, 252322 | 3 | 129, 7177 | 633, 26404 | 5839, 243255 |
//! | 4 | 238, 7166 | 1034, 26418 | 10451, 245617 | 4 | 146, 7109 | 770, 25716 | 7905, 237973 |
//! | 5 | 323, 7073 | 1393, 25504 | 15567, 237718 | 5 | 156, 7059 | 886, 25070 | 9067, 231948 |
//! | 6 | 355, 7056 | 2069, 24817 | 25431, 228650 | 6 | 165, 7058 | 1297, 24677 | 12434, 228756 |
//! | 7 | 363, 7055 | 2651, 24616 | 28135, 228065 | 7 | 215, 7018 | 2078, 24251 | 16769, 227070 |
//! | 8 | 364, 7055 | 5904, 24256 | 33462, 226516 | 8 | 213, 7018 | 3941, 24001 | 20337, 225535 |
//! | 9 | 364, 7055 | 7510, 24216 | 33472, 226516 | 8 | the same | | |
//!
//! Level 1 of zlib-rs is not used: it is twice as fast as its level 2, and its text is a third longer.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::pool::Pool;
use super::{Coding, Ratio, Stage};

/// What zlib-rs does for nginx's levels 1 to 9.
const LEVELS: [u32; 9] = [2, 2, 3, 4, 5, 6, 7, 8, 8];
/// A window of 32 KB; a body that is known to be shorter than half of it has a smaller one.
const WINDOW: u8 = 15;
const SMALL_WINDOW: u8 = 12;
/// Memory of a state beside its window, in bytes: hash heads, symbols, output that waits.
const STATE: usize = 220 * 1024;

/// What a state is made for: level and window.
type Key = (u32, u8);

thread_local! {
    static FREE: RefCell<Pool<Key, Box<Compress>>> = const { RefCell::new(Pool::new()) };
}

/// A body that is compressed.
pub struct Gzip {
    key: Key,
    /// Taken when there is something to compress; `None` again once it has ended.
    state: Option<Box<Compress>>,
    ratio: Ratio,
    failed: bool,
}

impl Gzip {
    /// `level`: nginx's, 1 to 9. `length`: of the body, where it is known.
    pub fn new(level: u8, length: Option<u64>) -> Gzip {
        let level = LEVELS[usize::from(level.clamp(1, 9)) - 1];
        // As nginx: the window is no larger than the body. One small size for all, so that states can be used again.
        let small = length.is_some_and(|length| length < (1 << SMALL_WINDOW) - 262);
        let key = (level, if small { SMALL_WINDOW } else { WINDOW });
        Gzip { key, state: None, ratio: Ratio { coding: Coding::Gzip, input: 0, output: 0 }, failed: false }
    }

    fn run(&mut self, input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) {
        if self.failed {
            return;
        }
        let state = self.state.get_or_insert_with(|| {
            let pooled = FREE.try_with(|free| free.borrow_mut().take(&self.key)).ok().flatten();
            pooled.unwrap_or_else(|| Box::new(Compress::new_gzip(Compression::new(self.key.0), self.key.1)))
        });
        let (taken, made) = (state.total_in(), state.total_out());
        out.reserve(input.len() / 3 + 64);
        loop {
            let at = (state.total_in() - taken) as usize;
            let Ok(status) = state.compress_vec(&input[at..], out, flush) else {
                self.failed = true;
                return;
            };
            let all_taken = (state.total_in() - taken) as usize == input.len();
            // With room left there is nothing more to come.
            if status == Status::StreamEnd || all_taken && flush_is_over(flush) && out.len() < out.capacity() {
                break;
            }
            out.reserve(4096);
        }
        self.ratio.input += state.total_in() - taken;
        self.ratio.output += state.total_out() - made;
    }

    fn put_back(&mut self) {
        if let Some(mut state) = self.state.take() {
            state.reset();
            let bytes = STATE + (4usize << self.key.1);
            // A thread that ends has no pool any more.
            let _ = FREE.try_with(|free| free.borrow_mut().put(self.key, state, bytes));
        }
    }
}

/// Whether a call that has left room in its output has done all it can.
fn flush_is_over(flush: FlushCompress) -> bool {
    !matches!(flush, FlushCompress::Finish)
}

impl Stage for Gzip {
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.run(input, out, FlushCompress::None);
    }

    fn last(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.run(input, out, FlushCompress::Finish);
        self.put_back();
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.last(&[], out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(&[], out, FlushCompress::Sync);
    }

    fn ratio(&self) -> Option<Ratio> {
        Some(self.ratio)
    }

    fn makes(&self) -> Option<(Coding, i32)> {
        Some((Coding::Gzip, self.key.0 as i32))
    }

    fn failure(&mut self) -> Option<String> {
        self.failed.then(|| "deflate() failed".to_owned())
    }
}

impl Drop for Gzip {
    fn drop(&mut self) {
        self.put_back();
    }
}
