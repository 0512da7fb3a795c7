//! Text to tree: nginx's tokens exactly (`ngx_conf_read_token` is their only specification).
//!
//! 1. Words are separated by space, tab, CR and LF, and ended by `;` or `{` as well; `}` and `#` mean something only
//!    where a word would begin.
//! 2. `\` takes the next character out of all this. It then disappears before `"`, `'` and `\`, becomes the character
//!    in `\t`, `\r`, `\n`, and stays with any other.
//! 3. `${` does not open a block.
//! 4. A quote counts only where a word begins; after the closing one comes a separator, or `)`, which begins a word.

use std::sync::Arc;

use crate::{At, Diagnostic, Directive, Loader, Source, Word};

/// How deep files may include each other.
const MAX_INCLUDES: usize = 32;
/// How deep blocks may stand in each other, over all files.
const MAX_BLOCKS: usize = 128;

/// Parses a configuration and what it includes. All errors are told that do not come of one another: a file is left at
/// its first syntax error, the others are read on.
pub fn parse(name: &str, text: &str, loader: &mut dyn Loader) -> Result<Vec<Directive>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut files = vec![name.to_owned()];
    let mut tree = Vec::new();
    let mut includes = Includes { loader, files: &mut files, errors: &mut errors, depth: 0 };
    includes.file(name, text, &mut tree);
    if errors.is_empty() { Ok(tree) } else { Err(errors) }
}

struct Includes<'a> {
    loader: &'a mut dyn Loader,
    /// The files that are being read, each included by the one before.
    files: &'a mut Vec<String>,
    errors: &'a mut Vec<Diagnostic>,
    /// Open blocks.
    depth: usize,
}

impl Includes<'_> {
    /// Reads one file's directives into `out`.
    fn file(&mut self, name: &str, text: &str, out: &mut Vec<Directive>) {
        let depth = self.depth;
        let mut lexer = Lexer::new(name, text);
        if let Err(error) = self.directives(&mut lexer, None, out) {
            self.errors.push(*error);
        }
        self.depth = depth;
    }

    /// Reads directives up to the end of the file, or of the block that was opened at `open`.
    fn directives(
        &mut self,
        lexer: &mut Lexer<'_>,
        open: Option<&Word>,
        out: &mut Vec<Directive>,
    ) -> Result<(), Box<Diagnostic>> {
        loop {
            let mut words = Vec::new();
            let end = lexer.statement(&mut words)?;
            let mut words = words.into_iter();
            let name = words.next();
            match (end, name) {
                (End::Semicolon, Some(name)) => {
                    let directive = Directive { name, args: words.collect(), block: None };
                    if directive.name.text == "include" && !directive.name.quoted {
                        self.include(directive, out);
                    } else {
                        out.push(directive);
                    }
                }
                (End::Open, Some(name)) => {
                    self.depth += 1;
                    if self.depth > MAX_BLOCKS {
                        return error(name.at, "blocks stand too deep in each other");
                    }
                    let mut block = Vec::new();
                    self.directives(lexer, Some(&name), &mut block)?;
                    self.depth -= 1;
                    out.push(Directive { name, args: words.collect(), block: Some(block) });
                }
                (End::Close, _) if open.is_some() => return Ok(()),
                (End::Close, _) => return error(lexer.last(), "unexpected \"}\""),
                (End::File, _) => {
                    return match open {
                        None => Ok(()),
                        Some(open) => {
                            let message = "unexpected end of file, expecting \"}\"";
                            let hint = format!("\"{}\" at {} is not closed", open.text, open.at);
                            Err(Box::new(Diagnostic::new(lexer.at(), message).hint(hint)))
                        }
                    };
                }
                // `statement` refuses `;` and `{` without a word before them.
                (End::Semicolon | End::Open, None) => {}
            }
        }
    }

    fn include(&mut self, directive: Directive, out: &mut Vec<Directive>) {
        let [pattern] = &directive.args[..] else {
            let message = "invalid number of arguments in \"include\" directive";
            self.errors
                .push(Diagnostic::new(directive.name.at, message).hint("include takes one file name or pattern"));
            return;
        };
        if self.files.len() > MAX_INCLUDES {
            let message = format!("\"{}\" is included too deep; does it include itself?", pattern.text);
            self.errors.push(Diagnostic::new(pattern.at.clone(), message));
            return;
        }
        match self.loader.load(&pattern.text) {
            Ok(sources) => {
                for Source { name, text } in sources {
                    self.files.push(name.clone());
                    self.file(&name, &text, out);
                    self.files.pop();
                }
            }
            Err(message) => self.errors.push(Diagnostic::new(pattern.at.clone(), message)),
        }
    }
}

/// What ended a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Semicolon,
    Open,
    Close,
    File,
}

struct Lexer<'t> {
    name: Arc<str>,
    chars: std::str::Chars<'t>,
    line: u32,
    /// Of the next character.
    column: u32,
    /// Of the last character read.
    last: (u32, u32),
}

impl<'t> Lexer<'t> {
    fn new(name: &str, text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Lexer { name: name.into(), chars: text.chars(), line: 1, column: 1, last: (1, 1) }
    }

    /// Where the next character stands.
    fn at(&self) -> At {
        At::File { name: self.name.clone(), line: self.line, column: self.column }
    }

    /// Where the last character stood.
    fn last(&self) -> At {
        At::File { name: self.name.clone(), line: self.last.0, column: self.last.1 }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.last = (self.line, self.column);
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    /// Reads words up to what ends the statement.
    fn statement(&mut self, words: &mut Vec<Word>) -> Result<End, Box<Diagnostic>> {
        loop {
            let at = self.at();
            let Some(c) = self.next() else {
                return if words.is_empty() { Ok(End::File) } else { self.unfinished(words) };
            };
            let end = match c {
                ' ' | '\t' | '\r' | '\n' => continue,
                ';' | '{' if words.is_empty() => return error(at, format!("unexpected \"{c}\"")),
                ';' => return Ok(End::Semicolon),
                '{' => return Ok(End::Open),
                '}' if !words.is_empty() => {
                    let hint = format!("\";\" is missing after \"{}\"", words[words.len() - 1].text);
                    return Err(Box::new(Diagnostic::new(at, "unexpected \"}\"").hint(hint)));
                }
                '}' => return Ok(End::Close),
                '#' => {
                    while self.next().is_some_and(|c| c != '\n') {}
                    continue;
                }
                '"' | '\'' => self.quoted(c, at, words)?,
                c => self.plain(c, at, words)?,
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn unfinished(&self, words: &[Word]) -> Result<End, Box<Diagnostic>> {
        let mut diagnostic = Diagnostic::new(self.at(), "unexpected end of file, expecting \";\" or \"}\"");
        if let Some(word) = words.last() {
            diagnostic = diagnostic.hint(format!("\";\" is missing after \"{}\" at {}", word.text, word.at));
        }
        Err(Box::new(diagnostic))
    }

    /// A word without quotes that begins with `first`.
    fn plain(&mut self, first: char, at: At, words: &mut Vec<Word>) -> Result<Option<End>, Box<Diagnostic>> {
        let mut text = String::new();
        let mut variable = false;
        let mut c = first;
        let end = loop {
            match c {
                '{' if variable => {
                    text.push(c);
                    variable = false;
                }
                ' ' | '\t' | '\r' | '\n' => break None,
                ';' => break Some(End::Semicolon),
                '{' => break Some(End::Open),
                '\\' => {
                    variable = false;
                    self.escape(&mut text);
                }
                c => {
                    variable = c == '$';
                    text.push(c);
                }
            }
            match self.next() {
                Some(next) => c = next,
                None => {
                    words.push(Word { text, at, quoted: false });
                    return self.unfinished(words).map(Some);
                }
            }
        };
        words.push(Word { text, at, quoted: false });
        Ok(end)
    }

    /// A word in quotes, the opening one of which has been read.
    fn quoted(&mut self, quote: char, at: At, words: &mut Vec<Word>) -> Result<Option<End>, Box<Diagnostic>> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => {
                    let message = format!("unexpected end of file, expecting {quote} and \";\"");
                    let hint = format!("the {quote} at {at} is not closed");
                    return Err(Box::new(Diagnostic::new(self.at(), message).hint(hint)));
                }
                Some('\\') => self.escape(&mut text),
                Some(c) if c == quote => break,
                Some(c) => text.push(c),
            }
        }
        words.push(Word { text, at, quoted: true });
        let at = self.at();
        match self.next() {
            None => self.unfinished(words).map(Some),
            Some(' ' | '\t' | '\r' | '\n') => Ok(None),
            Some(';') => Ok(Some(End::Semicolon)),
            Some('{') => Ok(Some(End::Open)),
            Some(')') => self.plain(')', at, words),
            Some(c) => {
                let diagnostic = Diagnostic::new(at, format!("unexpected \"{c}\""));
                Err(Box::new(diagnostic.hint("after a closing quote comes a space, \";\" or \"{\"")))
            }
        }
    }

    /// What follows a `\`.
    fn escape(&mut self, text: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => text.push(c),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(c) => {
                text.push('\\');
                text.push(c);
            }
            None => text.push('\\'),
        }
    }
}

fn error<T>(at: At, message: impl Into<String>) -> Result<T, Box<Diagnostic>> {
    Err(Box::new(Diagnostic::new(at, message)))
}

#[cfg(test)]
mod tests;
