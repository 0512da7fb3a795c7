//! Arguments of the usual kinds, with nginx's words for what is wrong with them.

use conf::{Diagnostic, Directive};

/// The text of an argument; empty if there is none.
pub fn text(it: &Directive, index: usize) -> &str {
    it.args.get(index).map_or("", |word| &word.text)
}

/// `on` or `off`.
pub fn flag(it: &Directive, index: usize) -> Result<bool, Diagnostic> {
    match text(it, index) {
        word if word.eq_ignore_ascii_case("on") => Ok(true),
        word if word.eq_ignore_ascii_case("off") => Ok(false),
        other => Err(Diagnostic::of(
            it,
            format!("invalid value \"{other}\" in \"{}\" directive, it must be \"on\" or \"off\"", it.name.text),
        )),
    }
}

fn invalid(it: &Directive) -> Diagnostic {
    Diagnostic::of(it, format!("\"{}\" directive invalid value", it.name.text))
}

/// A whole number.
pub fn number(it: &Directive, index: usize) -> Result<u64, Diagnostic> {
    let message = || Diagnostic::of(it, format!("\"{}\" directive invalid number", it.name.text));
    conf::number(text(it, index)).ok_or_else(message)
}

/// A number and a size in bytes: `4 8k`; neither is 0.
pub fn buffers(it: &Directive) -> Result<(u64, u64), Diagnostic> {
    let number = conf::number(text(it, 0)).filter(|number| *number > 0);
    let size = conf::size(text(it, 1)).filter(|size| *size > 0);
    number.zip(size).ok_or_else(|| invalid(it))
}

/// Checks for rows without effect.
pub mod check {
    use super::*;

    pub fn anything(_: &Directive) -> Result<(), Diagnostic> {
        Ok(())
    }

    pub fn flag(it: &Directive) -> Result<(), Diagnostic> {
        super::flag(it, 0).map(drop)
    }

    pub fn size(it: &Directive) -> Result<(), Diagnostic> {
        conf::size(text(it, 0)).map(drop).ok_or_else(|| invalid(it))
    }

    /// The size of a file.
    pub fn offset(it: &Directive) -> Result<(), Diagnostic> {
        conf::offset(text(it, 0)).map(drop).ok_or_else(|| invalid(it))
    }

    pub fn time(it: &Directive) -> Result<(), Diagnostic> {
        conf::time_ms(text(it, 0)).map(drop).ok_or_else(|| invalid(it))
    }

    pub fn number(it: &Directive) -> Result<(), Diagnostic> {
        super::number(it, 0).map(drop)
    }

    /// A number and a size: `4 8k`; neither is 0.
    pub fn buffers(it: &Directive) -> Result<(), Diagnostic> {
        super::buffers(it).map(drop)
    }
}

/// The name of the variable that a block defines.
pub fn variable(it: &Directive, index: usize) -> Result<String, Diagnostic> {
    match text(it, index).strip_prefix('$') {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(Diagnostic::of(it, format!("invalid variable name \"{}\"", text(it, index)))),
    }
}

/// The same, where it must not be one that is built in.
pub fn new_variable(it: &Directive, index: usize) -> Result<String, Diagnostic> {
    let name = variable(it, index)?;
    if crate::variables::is_built_in(&name) {
        return Err(Diagnostic::of(it, format!("the duplicate \"{}\" variable", name.to_ascii_lowercase())));
    }
    Ok(name)
}
