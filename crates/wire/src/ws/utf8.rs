//! Text that comes in pieces cut anywhere: every byte is checked once, and a wrong one is found as soon as it is there
//! (RFC 6455 section 8.1).

use super::Fault;

/// Checked text, and the beginning of a character that is not complete yet.
#[derive(Default)]
pub struct Text {
    text: String,
    /// The first `begun` bytes are that beginning; it could still become a character.
    bytes: [u8; 4],
    begun: u8,
}

impl Text {
    /// Bytes held.
    pub fn len(&self) -> usize {
        self.text.len() + usize::from(self.begun)
    }

    /// What is held: the text, and the beginning behind it.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        (self.text.as_bytes(), &self.bytes[..usize::from(self.begun)])
    }

    /// Appends a piece.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Fault> {
        while self.begun > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.bytes[usize::from(self.begun)] = byte;
            self.begun += 1;
            match check(&self.bytes[..usize::from(self.begun)])? {
                Some(character) => {
                    self.text.push_str(character);
                    self.begun = 0;
                }
                // No character is longer than four bytes, so an incomplete one has room for another.
                None if self.begun == 4 => return Err(Fault::utf8()),
                None => {}
            }
        }
        let (whole, begun) = piece.split_at(piece.len() - begun(piece));
        self.text.push_str(check(whole)?.ok_or(Fault::utf8())?);
        if !begun.is_empty() {
            check(begun)?;
            self.bytes[..begun.len()].copy_from_slice(begun);
            self.begun = begun.len() as u8;
        }
        Ok(())
    }

    /// The whole text.
    pub fn finish(self) -> Result<String, Fault> {
        if self.begun == 0 { Ok(self.text) } else { Err(Fault::utf8()) }
    }
}

/// The text that `bytes` are; `None` if their end is the beginning of a character.
fn check(bytes: &[u8]) -> Result<Option<&str>, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.error_len().is_none() => Ok(None),
        Err(_) => Err(Fault::utf8()),
    }
}

/// How many bytes at the end of `bytes` are a character's beginning without its end, going by its first byte.
fn begun(bytes: &[u8]) -> usize {
    for (at, &byte) in bytes.iter().rev().enumerate().take(3) {
        let wanted = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if wanted > at + 1 { at + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many bytes, fed one by one, were taken before the fault; or the text.
    fn feed(bytes: &[u8]) -> Result<String, usize> {
        let mut text = Text::default();
        for (at, byte) in bytes.iter().enumerate() {
            text.push(&[*byte]).map_err(|_| at)?;
            assert_eq!(text.len(), at + 1);
        }
        text.finish().map_err(|_| bytes.len())
    }

    #[test]
    fn wrong_bytes_are_found_at_once() {
        for (bytes, fault_at) in [
            (&b"\xff"[..], 0),
            (b"a\x80", 1),
            (b"\xc0\x80", 0),
            (b"\xc1\xbf", 0),
            (b"\xc3a", 1),
            (b"\xe0\x80\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xe2\x82a", 2),
            (b"\xf0\x8f\xbf\xbf", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5", 0),
            (b"\xf0\x9f\x98\xff", 3),
            // Only the end is wrong: a character is missing bytes.
            (b"\xc3", 1),
            (b"\xe2\x82", 2),
            (b"\xf0\x9f\x98", 3),
            // The example of Autobahn's 6.4.
            (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited", 12),
        ] {
            assert_eq!(feed(bytes), Err(fault_at), "{bytes:x?}");
            // In one piece, what is before the fault changes nothing.
            let mut text = Text::default();
            let whole = text.push(bytes).and_then(|()| text.finish());
            assert_eq!(whole, Err(Fault::utf8()), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_the_text(text in "\\PC{0,40}", cuts in prop::collection::vec(1..9usize, 1..9)) {
            let mut pieces = Text::default();
            let (mut rest, mut cuts) = (text.as_bytes(), cuts.iter().cycle());
            while let Some(&cut) = cuts.next().filter(|_| !rest.is_empty()) {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece).unwrap();
                rest = behind;
            }
            prop_assert_eq!(pieces.finish(), Ok(text));
        }

        #[test]
        fn agrees_with_the_library(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xf0), Just(0x90), Just(0xe2), Just(b'a')], 0..24),
            cut in 0..24usize,
        ) {
            let mut text = Text::default();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let result = text.push(first).and_then(|()| text.push(second)).and_then(|()| text.finish());
            prop_assert_eq!(result.ok(), String::from_utf8(bytes).ok());
        }

        #[test]
        fn nothing_is_taken_that_cannot_be_completed(bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            let expected = match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(text.to_owned()),
                Err(error) if error.error_len().is_none() => Err(bytes.len()),
                Err(_) => {
                    let good = |n: &usize| std::str::from_utf8(&bytes[..*n]).is_ok_and(|_| true)
                        || std::str::from_utf8(&bytes[..*n]).is_err_and(|error| error.error_len().is_none());
                    Err((0..=bytes.len()).take_while(good).last().unwrap_or(0))
                }
            };
            prop_assert_eq!(feed(&bytes), expected);
        }
    }
}
