//! gzip (RFC 1952) taken off again, for clients that do not accept it. However much a few bytes stand for, it is made
//! piece by piece.

use flate2::{Decompress, FlushDecompress, Status};

use super::Stage;

/// So much is made at a time, in bytes.
const PIECE: usize = 64 * 1024;

/// Numbers of zlib's that nginx's messages have.
const NO_FLUSH: u8 = 0;
const FINISH: u8 = 4;
const DATA_ERROR: i8 = -3;
const BUFFER_ERROR: i8 = -5;

/// A compressed body; it may have several members.
#[derive(Default)]
pub struct Gunzip {
    state: Option<Box<Decompress>>,
    /// More comes of what was taken.
    more: bool,
    /// Between two members, or before the first.
    between: bool,
    failure: Option<String>,
    failed: bool,
}

impl Gunzip {
    fn fail(&mut self, why: String) {
        self.failure = Some(why);
        self.failed = true;
        self.more = false;
        self.state = None;
    }
}

impl Stage for Gunzip {
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        loop {
            at += self.pull(&input[at..], false, out);
            if at == input.len() && !self.more {
                return;
            }
        }
    }

    fn pull(&mut self, input: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
        if self.failed {
            return input.len();
        }
        let most = out.len() + PIECE;
        let mut at = 0;
        self.more = false;
        while at < input.len() || !self.between {
            let state = self.state.get_or_insert_with(|| Box::new(Decompress::new_gzip(15)));
            let (taken, made) = (state.total_in(), state.total_out());
            out.reserve((most - out.len()).min(4 * (input.len() - at) + 1024));
            let Ok(status) = state.decompress_vec(&input[at..], out, FlushDecompress::None) else {
                let flush = if last { FINISH } else { NO_FLUSH };
                self.fail(format!("inflate() failed: {flush}, {DATA_ERROR}"));
                return input.len();
            };
            let (taken, made) = (state.total_in() - taken, state.total_out() - made);
            at += taken as usize;
            self.between = status == Status::StreamEnd;
            if self.between {
                self.state = None;
            } else if out.len() >= most {
                self.more = true;
                break;
            } else if at == input.len() && out.len() < out.capacity() || taken + made == 0 {
                break;
            }
        }
        at
    }

    fn expands(&self) -> bool {
        true
    }

    fn is_full(&self) -> bool {
        self.more
    }

    fn end(&mut self, _: &mut Vec<u8>) {
        if !self.failed && !self.between {
            self.fail(format!("inflate() returned {BUFFER_ERROR} on response end"));
        }
    }

    fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}
