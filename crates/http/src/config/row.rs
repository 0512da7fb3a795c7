//! What a directive is declared by: one row, from which checks, help and the reference pages are made.

use conf::{Diagnostic, Directive};

use super::build::Setter;
use super::context::{Context, Contexts};

/// One directive, in one or more kinds of blocks. A name that means different things in different blocks has several
/// rows.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub contexts: Contexts,
    /// Fewest and most arguments.
    pub arguments: (usize, usize),
    /// May stand several times in a block.
    pub repeats: bool,
    /// Its arguments, for the reference.
    pub syntax: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    pub action: Action,
}

/// No limit to the number of arguments.
pub const MANY: usize = usize::MAX;

/// What a row does.
#[derive(Clone, Copy)]
pub enum Action {
    /// Sets something in the block it stands in.
    Set(fn(&mut Setter<'_>) -> Result<(), Diagnostic>),
    /// The same, by a block whose contents are no directives (`types`, `map`).
    Table(fn(&mut Setter<'_>) -> Result<(), Diagnostic>),
    /// Opens a block of directives.
    Open(Context),
    /// Tuning that has no meaning here: checked, and that is all.
    Tuning(fn(&Directive) -> Result<(), Diagnostic>),
    /// nginx has it and this does not yet: accepted with a warning that says what that means.
    Later(&'static str),
    /// The same, with a block.
    LaterBlock(&'static str),
}

impl Row {
    /// A directive that stands once in a block, with `arguments` (fewest, most).
    pub const fn new(
        name: &'static str,
        contexts: Contexts,
        arguments: (usize, usize),
        syntax: &'static str,
        default: &'static str,
        doc: &'static str,
        action: Action,
    ) -> Row {
        Row { name, contexts, arguments, repeats: false, syntax, default, doc, action }
    }

    /// It may stand several times.
    #[must_use]
    pub const fn repeats(mut self) -> Row {
        self.repeats = true;
        self
    }

    pub fn has_block(&self) -> bool {
        matches!(self.action, Action::Open(_) | Action::Table(_) | Action::LaterBlock(_))
    }
}
