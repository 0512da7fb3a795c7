//! The formatter: one directive a line, four spaces a level, one space between words.
//!
//! What the author decided stays: quotes and escapes, comments, single blank lines, and the line breaks between the
//! words of a directive. Includes are not followed; a block is a block, whatever its name.

use crate::Diagnostic;
use crate::lexer::{Kind, Lexer, Origin, Piece};
use crate::parse::parse_alone;

const INDENT: usize = 4;

/// `text` in the usual layout; what it says is the same, and formatting it again changes nothing. Errors: what is wrong
/// with its syntax.
pub fn format(name: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    parse_alone(name, text)?;
    let mut lexer = Lexer::new(Origin::File(name.into()), text);
    let mut writer = Writer::default();
    loop {
        // It has just been parsed, so this does not fail.
        let piece = lexer.piece().map_err(|diagnostic| vec![*diagnostic])?;
        if piece.kind == Kind::End {
            return Ok(writer.finish());
        }
        writer.piece(&piece);
    }
}

#[derive(Default)]
struct Writer<'t> {
    out: String,
    /// Open blocks.
    level: usize,
    /// Words of a directive have been written, what ends it has not.
    in_directive: bool,
    /// Comments that stood behind the last word; the first of them on its line, if the flag says so.
    held: Vec<(&'t str, bool)>,
    /// Nothing but a comment behind the `{` has been written into this block.
    fresh: bool,
    /// The line being written ends with a comment.
    commented: bool,
    /// The line of the text on which the last piece ended.
    last_line: u32,
}

impl<'t> Writer<'t> {
    fn piece(&mut self, piece: &Piece<'t>) {
        match piece.kind {
            Kind::Plain | Kind::Quoted => self.word(piece),
            Kind::Semicolon => {
                self.out.push(';');
                self.in_directive = false;
                self.release(0);
            }
            Kind::Open => {
                self.out.push_str(" {");
                self.in_directive = false;
                self.level += 1;
                self.fresh = true;
                self.release(0);
            }
            Kind::Close => {
                self.level = self.level.saturating_sub(1);
                // A block with nothing in it stays on its line.
                if self.commented || !self.fresh {
                    self.line(0);
                }
                self.fresh = false;
                self.out.push('}');
            }
            Kind::Comment => self.comment(piece),
            Kind::End => {}
        }
        self.last_line = piece.last_line;
    }

    fn word(&mut self, piece: &Piece<'t>) {
        if !self.in_directive {
            self.in_directive = true;
            self.blank(piece);
            self.line(0);
        } else if !self.held.is_empty() {
            self.release(1);
            self.line(1);
        } else if piece.start.0 > self.last_line {
            self.line(1);
        } else if !piece.glued {
            self.out.push(' ');
        }
        self.out.push_str(piece.raw);
    }

    fn comment(&mut self, piece: &Piece<'t>) {
        let text = piece.raw.trim_end();
        let behind = !self.out.is_empty() && piece.start.0 == self.last_line;
        if self.in_directive {
            self.held.push((text, behind));
            return;
        }
        if !behind {
            self.blank(piece);
        }
        self.write_comment(text, behind, 0);
    }

    /// Writes the comments that waited for the next word or the end of the directive.
    fn release(&mut self, deeper: usize) {
        for (text, behind) in std::mem::take(&mut self.held) {
            self.write_comment(text, behind, deeper);
        }
    }

    fn write_comment(&mut self, text: &str, behind: bool, deeper: usize) {
        if behind && !self.commented {
            self.out.push(' ');
        } else {
            self.line(deeper);
        }
        self.out.push_str(text);
        self.commented = true;
    }

    /// Keeps a blank line before a piece, if there was one and it is not the first of its block.
    fn blank(&mut self, piece: &Piece<'t>) {
        if piece.start.0 > self.last_line + 1 && !self.fresh && !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// Begins a line.
    fn line(&mut self, deeper: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.extend(std::iter::repeat_n(' ', (self.level + deeper) * INDENT));
        self.fresh = false;
        self.commented = false;
    }

    fn finish(mut self) -> String {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        // A reader skips one byte order mark; another one belongs to the first word.
        if self.out.starts_with('\u{feff}') {
            self.out.insert(0, '\u{feff}');
        }
        self.out
    }
}

#[cfg(test)]
mod tests;
