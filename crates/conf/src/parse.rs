//! Tokens to tree: statements, blocks and what they include.

use crate::lexer::{Kind, Lexer, Origin, Piece};
use crate::{Diagnostic, Directive, Loader, Source, Word};

/// How deep files may include each other.
const MAX_INCLUDES: usize = 32;
/// How deep blocks may stand in each other, over all files.
const MAX_BLOCKS: usize = 128;

/// What was read, and what was wrong with it.
#[derive(Clone, Default, Debug)]
pub struct Parsed {
    /// All that could be read; if there are errors, parts are missing.
    pub tree: Vec<Directive>,
    pub errors: Vec<Diagnostic>,
}

/// Parses a configuration and what it includes. All errors are told that do not come of one another: a missing or a
/// needless `;` is passed over, at any other syntax error a file is left and the others are read on.
pub fn parse(name: &str, text: &str, loader: &mut dyn Loader) -> Result<Vec<Directive>, Vec<Diagnostic>> {
    let parsed = read(name, text, loader);
    if parsed.errors.is_empty() { Ok(parsed.tree) } else { Err(parsed.errors) }
}

/// Like `parse`, but gives what could be read even if there are errors, so that it can be checked as well.
pub fn read(name: &str, text: &str, loader: &mut dyn Loader) -> Parsed {
    run(Origin::File(name.into()), text, Some(loader))
}

/// Parses directives that were given to a command line flag, as nginx's `-g`: without blocks.
pub fn parse_flag(flag: &str, text: &str, loader: &mut dyn Loader) -> Result<Vec<Directive>, Vec<Diagnostic>> {
    let parsed = run(Origin::Flag(flag.into()), text, Some(loader));
    if parsed.errors.is_empty() { Ok(parsed.tree) } else { Err(parsed.errors) }
}

/// Parses one file; `include` stays in the tree as a directive like any other.
pub fn parse_alone(name: &str, text: &str) -> Result<Vec<Directive>, Vec<Diagnostic>> {
    let parsed = run(Origin::File(name.into()), text, None);
    if parsed.errors.is_empty() { Ok(parsed.tree) } else { Err(parsed.errors) }
}

fn run(origin: Origin, text: &str, loader: Option<&mut dyn Loader>) -> Parsed {
    let mut parsed = Parsed::default();
    let mut parser = Parser { loader, files: 1, errors: &mut parsed.errors, depth: 0 };
    parser.file(origin, text, &mut parsed.tree);
    parsed
}

struct Parser<'a, 'l> {
    /// `None`: includes are not followed.
    loader: Option<&'l mut dyn Loader>,
    /// How many files are being read, each included by the one before.
    files: usize,
    errors: &'a mut Vec<Diagnostic>,
    /// Open blocks.
    depth: usize,
}

/// What ended a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Semicolon,
    Open,
    /// With words before it: the `;` is missing.
    Close,
    File,
}

/// The file is left; the error has been noted.
struct Left;

impl Parser<'_, '_> {
    /// Reads one file's directives into `out`.
    fn file(&mut self, origin: Origin, text: &str, out: &mut Vec<Directive>) {
        let depth = self.depth;
        let mut lexer = Lexer::new(origin, text);
        // What was wrong has been noted.
        let _ = self.directives(&mut lexer, None, out);
        self.depth = depth;
    }

    /// Reads directives up to the end of the file, or of the block that was opened at `open`. Gives the line on which
    /// it ended.
    fn directives(
        &mut self,
        lexer: &mut Lexer<'_>,
        open: Option<&Word>,
        out: &mut Vec<Directive>,
    ) -> Result<u32, Left> {
        loop {
            let mut words = Vec::new();
            let (end, last) = self.statement(lexer, &mut words)?;
            let at = || lexer.place(last.start);
            let line = last.start.0;
            let mut words = words.into_iter();
            match (end, words.next()) {
                (End::Semicolon, Some(name)) => {
                    let directive = Directive { name, args: words.collect(), block: None, line, close: line };
                    if directive.name.text == "include" && self.loader.is_some() {
                        self.include(directive, out);
                    } else {
                        out.push(directive);
                    }
                }
                (End::Open, Some(name)) => self.block(lexer, name, words.collect(), line, out)?,
                (End::Close, None) if open.is_some() => return Ok(line),
                (End::Close, None) => return self.leave(Diagnostic::new(at(), "unexpected \"}\"")),
                (End::Close, Some(name)) => {
                    let word = words.next_back().unwrap_or(name);
                    let hint = format!("\";\" is missing after \"{}\"", word.text);
                    let diagnostic = Diagnostic::new(at(), "unexpected \"}\"").hint(hint);
                    if open.is_none() {
                        return self.leave(diagnostic);
                    }
                    self.errors.push(diagnostic);
                    return Ok(line);
                }
                (End::Semicolon, None) => {
                    let hint = "a directive begins with its name";
                    self.errors.push(Diagnostic::new(at(), "unexpected \";\"").hint(hint));
                }
                (End::Open, None) => {
                    let hint = "the name of the block is missing before it";
                    return self.leave(Diagnostic::new(at(), "unexpected \"{\"").hint(hint));
                }
                (End::File, _) => {
                    let Some(open) = open else { return Ok(line) };
                    let message = "unexpected end of file, expecting \"}\"";
                    let hint = format!("\"{}\" at {} is not closed", open.text, open.at);
                    return self.leave(Diagnostic::new(at(), message).hint(hint));
                }
            }
        }
    }

    fn block(
        &mut self,
        lexer: &mut Lexer<'_>,
        name: Word,
        args: Vec<Word>,
        line: u32,
        out: &mut Vec<Directive>,
    ) -> Result<(), Left> {
        self.depth += 1;
        if self.depth > MAX_BLOCKS {
            return self.leave(Diagnostic::new(name.at, "blocks stand too deep in each other"));
        }
        let include = name.text == "include" && self.loader.is_some();
        if include {
            let message = "directive \"include\" is not terminated by \";\"";
            self.errors.push(Diagnostic::new(name.at.clone(), message).line(line));
        } else if !lexer.is_file() {
            let message = format!("block directives are not supported in {} option", name.at);
            self.errors.push(Diagnostic::new(name.at.clone(), message));
        }
        let mut block = Vec::new();
        let closed = self.directives(lexer, Some(&name), &mut block);
        self.depth -= 1;
        let close = *closed.as_ref().unwrap_or(&line);
        if !include {
            out.push(Directive { name, args, block: Some(block), line, close });
        }
        closed.map(|_| ())
    }

    /// Reads words up to what ends the statement, which is the piece that it gives.
    fn statement<'t>(&mut self, lexer: &mut Lexer<'t>, words: &mut Vec<Word>) -> Result<(End, Piece<'t>), Left> {
        let mut last: Option<Piece<'t>> = None;
        loop {
            let piece = match lexer.piece() {
                Ok(piece) => piece,
                Err(diagnostic) => return self.leave(*diagnostic),
            };
            let end = match piece.kind {
                Kind::Comment => continue,
                Kind::Plain | Kind::Quoted => {
                    let quoted = piece.kind == Kind::Quoted;
                    words.push(Word { text: piece.text(), at: lexer.place(piece.start), quoted });
                    last = Some(piece);
                    continue;
                }
                Kind::Semicolon => End::Semicolon,
                Kind::Open => End::Open,
                Kind::Close => End::Close,
                Kind::End => match last {
                    Some(word) => return self.leave(*lexer.unfinished(word.raw, word.start)),
                    None => End::File,
                },
            };
            return Ok((end, piece));
        }
    }

    fn leave<T>(&mut self, diagnostic: Diagnostic) -> Result<T, Left> {
        self.errors.push(diagnostic);
        Err(Left)
    }

    fn include(&mut self, directive: Directive, out: &mut Vec<Directive>) {
        let line = directive.line;
        let [pattern] = &directive.args[..] else {
            let message = "invalid number of arguments in \"include\" directive";
            let hint = "include takes one file name or pattern";
            self.errors.push(Diagnostic::new(directive.name.at, message).line(line).hint(hint));
            return;
        };
        let wrong = |message: String| Diagnostic::new(pattern.at.clone(), message).line(line);
        if self.files > MAX_INCLUDES {
            self.errors.push(wrong(format!("\"{}\" is included too deep; does it include itself?", pattern.text)));
            return;
        }
        let Some(loader) = self.loader.as_deref_mut() else { return };
        match loader.load(&pattern.text) {
            Ok(sources) => {
                for Source { name, text } in sources {
                    self.files += 1;
                    self.file(Origin::File(name.into()), &text, out);
                    self.files -= 1;
                }
            }
            Err(message) => self.errors.push(wrong(message)),
        }
    }
}

#[cfg(test)]
mod tests;
