//! Finds the commands in a page: `<!--# NAME KEY="VALUE" ... -->`.

use std::ops::Range;

/// The default of `ssi_value_length`: so many bytes a value may have.
pub const DEFAULT_VALUE_LENGTH: usize = 255;

/// The longest name of a command or parameter.
const NAME_LENGTH: usize = 32;

const OPENING: &[u8] = b"<!--#";

/// A part of the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Text that is sent as it is; where it stands in the page.
    Text(Range<usize>),
    Command(Command),
    /// What begins like a command and is none; the message is for the log.
    Broken(String),
    /// The same, and the page ends within it: nothing stands for it.
    Unfinished(String),
}

/// A command as it was written; whether there is such a command is not known yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    pub name: Vec<u8>,
    pub parameters: Vec<Parameter>,
}

/// `KEY="VALUE"`; escapes in the value are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parameter {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Takes a page apart. What is unfinished at its end is left out, even the mere beginning of `<!--#`.
pub fn parse(page: &[u8], value_length: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let finder = memchr::memmem::Finder::new(OPENING);
    let mut at = 0;
    while let Some(found) = finder.find(&page[at..]) {
        let start = at + found;
        if found > 0 {
            pieces.push(Piece::Text(at..start));
        }
        at = start + OPENING.len();
        let mut reader = Reader { rest: page[at..].iter(), command: Command::default(), value_length };
        let piece = match reader.read() {
            Ok(()) => Piece::Command(reader.command),
            Err(Fault::Broken(message, dashes)) => {
                if reader.skip(dashes).is_none() {
                    pieces.push(Piece::Unfinished(message));
                    return pieces;
                }
                Piece::Broken(message)
            }
            Err(Fault::Unfinished) => return pieces,
        };
        at = page.len() - reader.rest.as_slice().len();
        pieces.push(piece);
    }
    let begun = (1..OPENING.len()).rev().find(|&len| page[at..].ends_with(&OPENING[..len])).unwrap_or(0);
    if at < page.len() - begun {
        pieces.push(Piece::Text(at..page.len() - begun));
    }
    pieces
}

/// Why a command could not be read.
enum Fault {
    /// The page has ended.
    Unfinished,
    /// A message, and how many dashes of the `-->` that ends it have been seen.
    Broken(String, u8),
}

struct Reader<'a> {
    rest: std::slice::Iter<'a, u8>,
    command: Command,
    value_length: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        self.rest.next().copied().ok_or(Fault::Unfinished)
    }

    fn byte_after_space(&mut self) -> Result<u8, Fault> {
        loop {
            let byte = self.byte()?;
            if !is_space(byte) {
                return Ok(byte);
            }
        }
    }

    /// Reads up to the end of `-->`.
    fn read(&mut self) -> Result<(), Fault> {
        let first = self.byte_after_space()?;
        self.command.name.push(first);
        loop {
            match self.byte()? {
                byte if is_space(byte) => break,
                b'-' => return self.close(),
                byte if self.command.name.len() == NAME_LENGTH => {
                    return Err(self.broken(|name| format!("the \"{name}{}...\" SSI command is too long", show(byte))));
                }
                byte => self.command.name.push(byte),
            }
        }
        loop {
            match self.byte_after_space()? {
                b'-' => return self.close(),
                byte => self.parameter(byte)?,
            }
            match self.byte()? {
                byte if is_space(byte) => {}
                b'-' => return self.close(),
                byte => {
                    let (key, value) = (self.key(), show_all(&self.last().value));
                    return Err(self.broken(|name| {
                        let byte = show(byte);
                        format!(
                            "unexpected \"{byte}\" symbol after \"{value}\" value of \"{key}\" parameter in \"{name}\" \
                             SSI command"
                        )
                    }));
                }
            }
        }
    }

    /// Reads the parameter that begins with `first`, up to the quote that ends its value.
    fn parameter(&mut self, first: u8) -> Result<(), Fault> {
        self.command.parameters.push(Parameter { key: vec![first], value: Vec::new() });
        let after_key = loop {
            match self.byte()? {
                byte if is_space(byte) => break self.byte_after_space()?,
                byte @ (b'=' | b'-') => break byte,
                byte if self.last().key.len() == NAME_LENGTH => {
                    let key = self.key();
                    return Err(self.broken(|name| {
                        format!("too long \"{key}{}...\" parameter in \"{name}\" SSI command", show(byte))
                    }));
                }
                byte => self.last().key.push(byte),
            }
        };
        if after_key != b'=' {
            return Err(self.unexpected(after_key, "after"));
        }
        match self.byte_after_space()? {
            quote @ (b'"' | b'\'') => self.value(quote),
            byte => Err(self.unexpected(byte, "before value of")),
        }
    }

    fn value(&mut self, quote: u8) -> Result<(), Fault> {
        let mut escaped = false;
        loop {
            let byte = self.byte()?;
            if byte == quote && !escaped {
                return Ok(());
            }
            if self.last().value.len() == self.value_length {
                let (key, value) = (self.key(), show_all(&self.last().value));
                return Err(self.broken(|name| {
                    let byte = show(byte);
                    format!("too long \"{value}{byte}...\" value of \"{key}\" parameter in \"{name}\" SSI command")
                }));
            }
            self.last().value.push(byte);
            escaped = byte == b'\\' && !escaped;
        }
    }

    /// Reads the rest of `-->`, of which one dash has been read.
    fn close(&mut self) -> Result<(), Fault> {
        for expected in [b'-', b'>'] {
            let byte = self.byte()?;
            if byte != expected {
                let byte = show(byte);
                return Err(self.broken(|name| format!("unexpected \"{byte}\" symbol in \"{name}\" SSI command")));
            }
        }
        Ok(())
    }

    /// Goes on behind the next `-->`. As in nginx a third dash does not count: `--->` ends nothing.
    fn skip(&mut self, mut dashes: u8) -> Option<()> {
        loop {
            dashes = match (dashes, self.rest.next()?) {
                (2, b'>') => return Some(()),
                (0 | 1, b'-') => dashes + 1,
                _ => 0,
            };
        }
    }

    fn last(&mut self) -> &mut Parameter {
        self.command.parameters.last_mut().expect("invariant: a parameter is being read")
    }

    fn key(&mut self) -> String {
        show_all(&self.last().key)
    }

    fn broken(&self, message: impl FnOnce(&str) -> String) -> Fault {
        Fault::Broken(message(&show_all(&self.command.name)), 0)
    }

    fn unexpected(&mut self, byte: u8, place: &str) -> Fault {
        let (key, name) = (self.key(), show_all(&self.command.name));
        let shown = show(byte);
        let message = format!("unexpected \"{shown}\" symbol {place} \"{key}\" parameter in \"{name}\" SSI command");
        Fault::Broken(message, u8::from(byte == b'-'))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\r' | b'\n' | b'\t')
}

fn show(byte: u8) -> char {
    if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER }
}

/// Bytes in a message.
pub fn show_all(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let page = b"a<!--# set var = 'x\\'y'\tvalue=\"<!--#\" -->b<!--#x--><!--#echo var=1-->c<!-";
        let pieces = parse(page, 255);
        let parameter = |key: &str, value: &str| Parameter { key: key.into(), value: value.into() };
        let set =
            Command { name: b"set".to_vec(), parameters: vec![parameter("var", "x\\'y"), parameter("value", "<!--#")] };
        let message = "unexpected \"1\" symbol before value of \"var\" parameter in \"echo\" SSI command";
        assert_eq!(
            pieces,
            [
                Piece::Text(0..1),
                Piece::Command(set),
                Piece::Text(41..42),
                Piece::Command(Command { name: b"x".to_vec(), parameters: vec![] }),
                Piece::Broken(message.into()),
                Piece::Text(69..70),
            ]
        );
    }

    #[test]
    fn values_are_bounded() {
        for (len, fits) in [(255, true), (256, false)] {
            let page = format!("<!--#echo var=\"{}\"-->x", "v".repeat(len));
            let pieces = parse(page.as_bytes(), DEFAULT_VALUE_LENGTH);
            assert_eq!(matches!(pieces[0], Piece::Command(_)), fits, "{len}");
            assert_eq!(pieces.len(), 2);
        }
    }
}
