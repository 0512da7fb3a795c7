//! The configuration language: nginx's, from text to a tree whose every word knows where it was written.
//!
//! It knows no directive by name but `include`, and does no I/O but through the loader that resolves it. The command
//! line builds the same tree with the same types, so that there is one path from settings to a server.
#![forbid(unsafe_code)]

mod format;
mod include;
mod lexer;
mod nearest;
mod parse;
mod tree;
mod value;

pub use format::format;
pub use include::{Disk, Loader, NoFiles, Source, matches, read_file};
pub use nearest::nearest;
pub use parse::{Parsed, parse, parse_alone, parse_flag, read};
pub use tree::{At, Diagnostic, Directive, Severity, Word};
pub use value::{number, offset, signed_time_s, size, time_ms, time_s};
