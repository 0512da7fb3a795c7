//! Brotli (RFC 7932) on the fly.
//!
//! Per text of 16 KB, JSON of 100 KB, HTML of 1 MB, in µs and bytes (see `gzip` for what gzip takes):
//!
//! | level | text | JSON | HTML |
//! |---|---|---|---|
//! | 0 | 81, 8034 | 355, 31466 | 3785, 272126 |
//! | 1 | 111, 7989 | 495, 28172 | 4972, 255379 |
//! | 2 | 174, 7316 | 811, 26258 | 7546, 255430 |
//! | 3 | 197, 7275 | 910, 25840 | 8455, 244133 |
//! | 4, the default | 309, 7154 | 1212, 25136 | 12149, 229974 |
//! | 5 | 467, 6762 | 2067, 23867 | 20733, 236787 |
//! | 6 | 537, 6746 | 2464, 23565 | 24823, 235208 |
//! | 9 | 6933, 6747 | 16334, 23035 | 81168, 206380 |
//!
//! The default is the last one that costs less than nginx's gzip at the same length (its level 5); ngx_brotli's is 6,
//! which costs twice as much for 3 to 6 in a hundred. A level that is written down is what is used. With level 5 and up
//! each body has 1 MB and more of tables.

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};

use super::{Coding, Ratio, Stage};

/// A window of at most 256 KB, as with zstd, and a smaller one where the length is not known.
const WINDOW: u32 = 18;
const STREAM_WINDOW: u32 = 16;
const LEAST_WINDOW: u32 = 10;

type State = BrotliEncoderStateStruct<StandardAlloc>;

/// A body that is compressed.
pub struct Brotli {
    level: u8,
    length: Option<u64>,
    /// Made when there is something to compress; `None` again once it has ended. It cannot be used again.
    state: Option<Box<State>>,
    ratio: Ratio,
    failed: bool,
}

impl Brotli {
    /// `level`: 0 to 11. `length`: of the body, where it is known.
    pub fn new(level: u8, length: Option<u64>) -> Brotli {
        let ratio = Ratio { coding: Coding::Brotli, input: 0, output: 0 };
        Brotli { level, length, state: None, ratio, failed: false }
    }

    fn run(&mut self, input: &[u8], out: &mut Vec<u8>, operation: BrotliEncoderOperation) {
        if self.failed {
            return;
        }
        let state = self.state.get_or_insert_with(|| Box::new(make(self.level, self.length)));
        let before = out.len();
        self.failed = !compress(state, input, out, operation);
        self.ratio.input += input.len() as u64;
        self.ratio.output += (out.len() - before) as u64;
    }
}

fn make(level: u8, length: Option<u64>) -> State {
    use BrotliEncoderParameter::{BROTLI_PARAM_LGWIN, BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT};
    let mut window = if length.is_some() { WINDOW } else { STREAM_WINDOW };
    if let Some(length) = length {
        while window > LEAST_WINDOW && length < 1 << (window - 1) {
            window -= 1;
        }
    }
    let mut state = State::new(StandardAlloc::default());
    state.set_parameter(BROTLI_PARAM_QUALITY, u32::from(level));
    state.set_parameter(BROTLI_PARAM_LGWIN, window);
    state.set_parameter(BROTLI_PARAM_SIZE_HINT, length.and_then(|length| u32::try_from(length).ok()).unwrap_or(0));
    state
}

/// Takes all of `input`; whether that could be done.
fn compress(state: &mut State, input: &[u8], out: &mut Vec<u8>, operation: BrotliEncoderOperation) -> bool {
    let (mut left, mut at) = (input.len(), 0);
    loop {
        // The encoder keeps what it has made, for it to be taken from there.
        let done = state.compress_stream(
            operation,
            &mut left,
            input,
            &mut at,
            &mut 0,
            &mut [],
            &mut 0,
            &mut None,
            &mut |_, _, _, _| {},
        );
        if !done {
            return false;
        }
        let more = state.has_more_output();
        while state.has_more_output() {
            // 0: as many bytes as there are. The slice is longer than that.
            let mut all = 0;
            let made = state.take_output(&mut all);
            out.extend_from_slice(&made[..all]);
        }
        let over = match operation {
            BrotliEncoderOperation::BROTLI_OPERATION_FINISH => state.is_finished(),
            _ => !more,
        };
        if left == 0 && over {
            return true;
        }
    }
}

impl Stage for Brotli {
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.run(input, out, BrotliEncoderOperation::BROTLI_OPERATION_PROCESS);
    }

    fn last(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.run(input, out, BrotliEncoderOperation::BROTLI_OPERATION_FINISH);
        self.state = None;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.last(&[], out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(&[], out, BrotliEncoderOperation::BROTLI_OPERATION_FLUSH);
    }

    fn ratio(&self) -> Option<Ratio> {
        Some(self.ratio)
    }

    fn makes(&self) -> Option<(Coding, i32)> {
        Some((Coding::Brotli, i32::from(self.level)))
    }

    fn failure(&mut self) -> Option<String> {
        self.failed.then(|| "the brotli encoder failed".to_owned())
    }
}
