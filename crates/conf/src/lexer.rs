//! Text to tokens: nginx's exactly.
//!
//! 1. Words are separated by space, tab, CR and LF, and ended by `;` or `{` as well; `}` and `#` mean something only
//!    where a word would begin.
//! 2. `\` takes the next character out of all this. It then disappears before `"`, `'` and `\`, becomes the character
//!    in `\t`, `\r`, `\n`, and stays with any other.
//! 3. `${` does not open a block, nor do the braces right behind it.
//! 4. A quote counts only where a word begins; after the closing one comes a separator, or `)`, which begins a word.
//! 5. A word has at most 4095 bytes. More is a quote that nobody closed.

use std::borrow::Cow;
use std::sync::Arc;

use crate::{At, Diagnostic};

/// nginx's buffer: a word has to end in it, unless the file ends first.
const MAX_WORD: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Without quotes.
    Plain,
    /// In quotes, which are part of the piece.
    Quoted,
    Semicolon,
    Open,
    Close,
    /// From `#` to before the end of the line.
    Comment,
    End,
}

/// A token as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'t> {
    pub kind: Kind,
    pub raw: &'t str,
    /// Line and column of its first character.
    pub start: (u32, u32),
    /// The line it ends on.
    pub last_line: u32,
    /// Nothing stands between it and the quoted word before it.
    pub glued: bool,
}

impl Piece<'_> {
    /// What a word says: without its quotes, escapes resolved.
    pub fn text(&self) -> String {
        let inner = if self.kind == Kind::Quoted { &self.raw[1..self.raw.len() - 1] } else { self.raw };
        unescape(inner).into_owned()
    }
}

/// Where the text comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    File(Arc<str>),
    /// A command line flag, for example `-g`.
    Flag(Arc<str>),
}

pub struct Lexer<'t> {
    origin: Origin,
    text: &'t str,
    /// Of the next byte.
    at: usize,
    line: u32,
    /// Of the next character.
    column: u32,
    /// Where the last quoted word ended.
    quote_end: Option<usize>,
}

impl<'t> Lexer<'t> {
    pub fn new(origin: Origin, text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Lexer { origin, text, at: 0, line: 1, column: 1, quote_end: None }
    }

    pub fn place(&self, (line, column): (u32, u32)) -> At {
        match &self.origin {
            Origin::File(name) => At::File { name: name.clone(), line, column },
            Origin::Flag(flag) => At::Flag(flag.clone()),
        }
    }

    pub fn is_file(&self) -> bool {
        matches!(self.origin, Origin::File(_))
    }

    /// The next token. After an error there is no more to be had.
    pub fn piece(&mut self) -> Result<Piece<'t>, Box<Diagnostic>> {
        while self.peek().is_some_and(is_space) {
            self.advance();
        }
        let from = self.at;
        let start = (self.line, self.column);
        let glued = self.quote_end == Some(from);
        let kind = match self.peek() {
            None => Kind::End,
            Some(b';') => self.single(Kind::Semicolon),
            Some(b'{') => self.single(Kind::Open),
            Some(b'}') => self.single(Kind::Close),
            Some(b'#') => {
                while self.peek().is_some_and(|byte| byte != b'\n') {
                    self.advance();
                }
                Kind::Comment
            }
            Some(quote @ (b'"' | b'\'')) => {
                self.quoted(quote, start)?;
                Kind::Quoted
            }
            Some(_) => {
                self.plain(start)?;
                Kind::Plain
            }
        };
        Ok(Piece { kind, raw: &self.text[from..self.at], start, last_line: self.line, glued })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) {
        let Some(byte) = self.peek() else { return };
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
            self.column = 1;
        } else if byte & 0xc0 != 0x80 {
            // The first byte of a character; the others are not counted.
            self.column += 1;
        }
    }

    fn single(&mut self, kind: Kind) -> Kind {
        self.advance();
        kind
    }

    fn plain(&mut self, start: (u32, u32)) -> Result<(), Box<Diagnostic>> {
        let from = self.at;
        let mut variable = false;
        loop {
            let Some(byte) = self.peek() else { return Err(self.unfinished(&self.text[from..], start)) };
            if self.at - from >= MAX_WORD {
                let head: String = self.text[from..].chars().take(10).collect();
                let message = format!("too long parameter \"{head}...\" started");
                return Err(Box::new(Diagnostic::new(self.place(start), message)));
            }
            match byte {
                b'{' if variable => {}
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => return Ok(()),
                b'\\' => {
                    variable = false;
                    self.advance();
                }
                byte => variable = byte == b'$',
            }
            self.advance();
        }
    }

    /// A word in quotes, from its opening one.
    fn quoted(&mut self, quote: u8, start: (u32, u32)) -> Result<(), Box<Diagnostic>> {
        let quote_char = char::from(quote);
        self.advance();
        let from = self.at;
        loop {
            let Some(byte) = self.peek() else {
                return Err(Box::new(self.file_end().hint(self.not_closed(quote_char, start))));
            };
            if self.at - from >= MAX_WORD {
                let message = format!("too long parameter, probably missing terminating \"{quote_char}\" character");
                let diagnostic = Diagnostic::new(self.place(start), message);
                return Err(Box::new(diagnostic.hint(self.not_closed(quote_char, start))));
            }
            self.advance();
            match byte {
                b'\\' => self.advance(),
                byte if byte == quote => break,
                _ => {}
            }
        }
        self.quote_end = Some(self.at);
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => Ok(()),
            Some(_) => {
                let c = self.text[self.at..].chars().next().unwrap_or_default();
                let at = self.place((self.line, self.column));
                let diagnostic = Diagnostic::new(at, format!("unexpected \"{c}\""));
                Err(Box::new(diagnostic.hint("after a closing quote comes a space, \";\" or \"{\"")))
            }
        }
    }

    fn not_closed(&self, quote: char, start: (u32, u32)) -> String {
        format!("the {quote} at {} is not closed", self.place(start))
    }

    /// The text ends in a statement whose last word is this one.
    pub fn unfinished(&self, last: &str, at: (u32, u32)) -> Box<Diagnostic> {
        let hint = format!("\";\" is missing after \"{last}\" at {}", self.place(at));
        Box::new(self.file_end().hint(hint))
    }

    fn file_end(&self) -> Diagnostic {
        let message = if self.is_file() {
            "unexpected end of file, expecting \";\" or \"}\""
        } else {
            "unexpected end of parameter, expecting \";\""
        };
        Diagnostic::new(self.place((self.line, self.column)), message)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(c @ ('"' | '\'' | '\\')) => out.push(c),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}
