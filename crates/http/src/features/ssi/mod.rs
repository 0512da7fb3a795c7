//! SSI: commands within a page, as nginx's module has them. Text in, parts out; who fetches what is included is
//! the caller, `phases::assemble`.
//!
//! `directives` says which answers are pages, `page` what their commands see of the server, `parse` finds the commands, `eval` runs them one by one, `date` writes times.

pub mod command;
pub mod date;
pub mod directives;
pub mod eval;
pub mod page;
pub mod parse;
pub mod text;

#[cfg(test)]
mod tests;

pub use eval::{Clock, Context, Found, Include, Interpreter, Shared, Step};
pub use parse::DEFAULT_VALUE_LENGTH;
