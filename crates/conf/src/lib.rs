//! The configuration language: nginx's, from text to a tree whose every word knows where it was written.
//!
//! It knows no directive by name but `include`, and does no I/O but through the loader that resolves it. The command
//! line builds the same tree with the same types, so that there is one path from settings to a server.
#![forbid(unsafe_code)]

mod include;
mod nearest;
mod parse;
mod tree;
mod value;

pub use include::{Disk, Loader, NoFiles, Source, matches};
pub use nearest::nearest;
pub use parse::parse;
pub use tree::{At, Diagnostic, Directive, Word};
pub use value::{size, time_ms};
