//! Decompressing messages (RFC 7692 section 7.2.2), with little memory.
//!
//! An inflater is some 64 KiB, and a connection needs one only while a compressed message is coming in. Between messages
//! it keeps what the next one may refer to, which is at most the window it negotiated, and gives the inflater back; the
//! next connection of the thread takes it. What comes out goes through a buffer of `SCRATCH` bytes, so that a message
//! that is too big is stopped before it is held.

use std::cell::Cell;

use flate2::{Decompress, FlushDecompress, Status};

use super::message::Message;
use super::{Fault, Params};

const SCRATCH: usize = 16 * 1024;

/// What a sender takes off the end of each message, and its reader puts back.
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];

thread_local! {
    /// For the thread's next message.
    static SPARE: Cell<Option<Box<Live>>> = const { Cell::new(None) };
}

/// The decompression of one connection.
pub struct Inflater {
    /// How far back a message may refer; 0: not beyond its own beginning.
    window: usize,
    /// The last bytes of the messages so far, not more than `window`.
    history: Vec<u8>,
    /// At work on a message.
    live: Option<Box<Live>>,
}

struct Live {
    state: Decompress,
    scratch: Vec<u8>,
}

impl Inflater {
    pub fn new(params: &Params) -> Inflater {
        let window = if params.client_no_context_takeover { 0 } else { 1 << params.client_window() };
        Inflater { window, history: Vec::new(), live: None }
    }

    /// Decompresses a piece of a message to the end of `message`, which may have `max` bytes (0: any number).
    pub fn feed(&mut self, mut input: &[u8], message: &mut Message, max: usize) -> Result<(), Fault> {
        let live = match &mut self.live {
            Some(live) => live,
            none => none.insert(Live::take(&self.history)?),
        };
        loop {
            let (read, written) = (live.state.total_in(), live.state.total_out());
            let status = live.state.decompress(input, &mut live.scratch, FlushDecompress::Sync);
            let status = status.map_err(|_| Fault::corrupt())?;
            let read = (live.state.total_in() - read) as usize;
            let written = (live.state.total_out() - written) as usize;
            input = input.get(read..).unwrap_or_default();
            message.push(live.scratch.get(..written).unwrap_or_default(), max)?;

            if status == Status::StreamEnd {
                // A block with BFINAL set (RFC 7692 section 7.2.3.4). More may follow, and refer to what was before it.
                let (text, begun) = message.parts();
                live.restart(&[&self.history, text, begun])?;
                if input.is_empty() {
                    return Ok(());
                }
            } else if written < live.scratch.len() {
                if input.is_empty() {
                    return Ok(());
                }
                if read == 0 && written == 0 {
                    return Err(Fault::corrupt());
                }
            }
        }
    }

    /// Ends the message: it is in `message` now.
    pub fn finish(&mut self, message: &mut Message, max: usize) -> Result<(), Fault> {
        self.feed(TAIL, message, max)?;
        if let Some(live) = self.live.take() {
            live.give_back();
        }
        let (whole, begun) = message.parts();
        self.remember(whole);
        self.remember(begun);
        Ok(())
    }

    /// Keeps the end of `bytes` for the messages to come.
    fn remember(&mut self, bytes: &[u8]) {
        let bytes = last(bytes, self.window);
        let excess = (self.history.len() + bytes.len()).saturating_sub(self.window);
        self.history.drain(..excess);
        let needed = self.history.len() + bytes.len();
        if needed > self.history.capacity() {
            let capacity = needed.next_power_of_two().min(self.window);
            self.history.reserve_exact(capacity - self.history.len());
        }
        self.history.extend_from_slice(bytes);
    }
}

impl Live {
    /// One that knows `history`.
    fn take(history: &[u8]) -> Result<Box<Live>, Fault> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut live =
            spare.unwrap_or_else(|| Box::new(Live { state: Decompress::new(false), scratch: vec![0; SCRATCH] }));
        live.restart(&[history])?;
        Ok(live)
    }

    fn give_back(self: Box<Self>) {
        // At a thread's end there is no place to keep it; then it is freed.
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// A new stream, which may refer to what the parts of `history` end with.
    fn restart(&mut self, history: &[&[u8]]) -> Result<(), Fault> {
        self.state.reset(false);
        for part in history {
            let part = last(part, 1 << 15);
            if !part.is_empty() {
                self.state.set_dictionary(part).map_err(|_| Fault::corrupt())?;
            }
        }
        Ok(())
    }
}

/// The last `count` of `bytes`, or all of them.
fn last(bytes: &[u8], count: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(count)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let mut inflater = Inflater::new(&Params::default());
        // RFC 7692 section 7.2.3: one block; the same again, by reference to the window; stored; final; two blocks.
        for (bytes, text) in [
            (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], "Hello"),
            (b"\xf2\x00\x11\x00\x00", "Hello"),
            (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
            (b"\xf2\x00\x11\x00\x00", "Hello"),
            (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
            (b"\x00", ""),
            (b"\x03\x00\x00", ""),
        ] {
            for cut in 0..=bytes.len() {
                let mut inflater = Inflater { window: 32768, history: inflater.history.clone(), live: None };
                let mut message = Message::Text(Default::default());
                inflater.feed(&bytes[..cut], &mut message, 0).unwrap();
                inflater.feed(&bytes[cut..], &mut message, 0).unwrap();
                inflater.finish(&mut message, 0).unwrap();
                assert_eq!(message.parts(), (text.as_bytes(), &[][..]), "{bytes:x?}");
            }
            let mut message = Message::Binary(Vec::new());
            inflater.feed(bytes, &mut message, 0).unwrap();
            inflater.finish(&mut message, 0).unwrap();
        }
    }

    #[test]
    fn what_is_no_deflate() {
        for bytes in [&b"\x06"[..], b"\xff\xff\xff", b"\x00\x05\x00\x00\x00Hello", b"\xf2\x00\x11\x00\x00"] {
            let mut inflater = Inflater::new(&Params::default());
            let mut message = Message::Binary(Vec::new());
            let result = inflater.feed(bytes, &mut message, 0).and_then(|()| inflater.finish(&mut message, 0));
            assert_eq!(result, Err(Fault::corrupt()), "{bytes:x?}");
        }
    }

    #[test]
    fn history_is_the_last_window() {
        let mut inflater = Inflater { window: 8, history: Vec::new(), live: None };
        for (bytes, expected) in [
            (&b"abc"[..], &b"abc"[..]),
            (b"", b"abc"),
            (b"defg", b"abcdefg"),
            (b"hi", b"bcdefghi"),
            (b"0123456789", b"23456789"),
            (b"01234567", b"01234567"),
        ] {
            inflater.remember(bytes);
            assert_eq!(inflater.history, expected);
            assert!(inflater.history.capacity() <= 8);
        }
        let mut none = Inflater { window: 0, history: Vec::new(), live: None };
        none.remember(b"abc");
        assert_eq!(none.history.capacity(), 0);
    }
}
