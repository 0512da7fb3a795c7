//! `try_files`: the first file that exists, or something else.

use std::sync::Arc;

use conf::Diagnostic;

use super::{path, rules};
use crate::config::build::Setter;
use crate::sys;
use crate::variables::{Scope, Template};

pub struct TryFiles {
    candidates: Vec<Candidate>,
    last: Last,
}

struct Candidate {
    name: Template,
    /// A directory is looked for.
    directory: bool,
}

/// What is done if nothing exists.
enum Last {
    Status(u16),
    /// A path with arguments, or `@NAME`.
    Uri(Template),
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Tried {
    /// The request's path is that of the file now.
    Found,
    Status(u16),
    /// A path with arguments, or `@NAME`.
    Redirect(Vec<u8>),
}

/// Reads the arguments.
pub fn set(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let words: Vec<String> = s.it.args.iter().map(|word| word.text.clone()).collect();
    let Some((last, names)) = words.split_last() else { return Err(s.invalid()) };
    let mut candidates = Vec::new();
    for name in names {
        let (text, directory) = match name.strip_suffix('/') {
            Some(text) if !text.is_empty() => (text, true),
            Some(_) => ("", true),
            None => (name.as_str(), false),
        };
        candidates.push(Candidate { name: s.compile(text)?, directory });
    }
    let last = match last.strip_prefix('=') {
        Some(code) => match code.parse::<u16>() {
            Ok(code) if code <= 999 => Last::Status(code),
            _ => return Err(s.wrong(format!("invalid code \"={code}\""))),
        },
        None => Last::Uri(s.compile(last)?),
    };
    s.block.own.location.try_files = Some(Arc::new(TryFiles { candidates, last }));
    Ok(())
}

/// Looks for the files.
pub fn run(it: &TryFiles, scope: &mut Scope<'_>) -> Tried {
    let mut full = std::mem::take(&mut scope.request.file_name);
    full.clear();
    let found = find(it, scope, &mut full);
    scope.request.file_name = full;
    if found {
        return Tried::Found;
    }
    match &it.last {
        Last::Status(status) => {
            scope.request.note("try_files", None, || format!("none of them: {status}"));
            Tried::Status(*status)
        }
        Last::Uri(uri) => {
            let uri = uri.value(scope);
            scope.request.note("try_files", None, || format!("none of them: {}", String::from_utf8_lossy(&uri)));
            Tried::Redirect(uri)
        }
    }
}

/// Looks for the files; `full` is empty, and is memory to work in. The request's path becomes that of what is found.
fn find(it: &TryFiles, scope: &mut Scope<'_>, full: &mut Vec<u8>) -> bool {
    let settings = scope.settings();
    let root = &settings.root;
    path::root(scope, full);
    let directory = full.len();
    // What `alias` takes off stands before what is found.
    let replaced = if root.is_alias() && !root.is_whole() { root.replaced() } else { 0 };
    for candidate in &it.candidates {
        full.truncate(directory);
        candidate.name.write(scope, full);
        let prefix = scope.request.path.get(..replaced).unwrap_or_default();
        if replaced != 0 && full[directory..].starts_with(prefix) {
            full.drain(directory..directory + prefix.len());
        }
        if candidate.name.as_fixed().is_none() && path::goes_up(&full[directory..]) {
            // What a request brings does not lead out of the directory.
            continue;
        }
        let from = rules::links_from(scope, full);
        let found = rules::metadata(full, directory, from, &settings.files);
        scope.request.note("try_files", None, || {
            let what = match (&found, candidate.directory) {
                (Err(_), _) => "does not exist",
                (Ok(metadata), wanted) if metadata.is_dir() == wanted => "exists",
                (_, true) => "is no directory",
                (_, false) => "is a directory",
            };
            let slash = if candidate.directory && !full.ends_with(b"/") { "/" } else { "" };
            format!("{}{slash} {what}", String::from_utf8_lossy(full))
        });
        match found {
            Ok(metadata) if metadata.is_dir() == candidate.directory => {}
            Ok(_) => continue,
            Err(error) => {
                if !sys::open::is_missing(&error) {
                    tell(scope, full, &error);
                }
                continue;
            }
        }
        let name = &full[directory..];
        if root.is_whole() {
            if !candidate.directory {
                scope.request.set_path(name.to_vec());
                scope.request.route.whole_path = true;
            }
        } else if replaced == 0 && scope.request.path == name {
            // The usual case: it is the path that was asked for.
        } else {
            let prefix = scope.request.path.get(..replaced).unwrap_or_default();
            scope.request.set_path([prefix, name].concat());
        }
        return true;
    }
    false
}

/// Logs a file that cannot be looked at.
fn tell(scope: &mut Scope<'_>, path: &[u8], error: &std::io::Error) {
    let (config, log) = (scope.config, scope.log);
    let path = String::from_utf8_lossy(path);
    scope.request.crit(config, log, format_args!("stat() \"{path}\" failed ({})", crate::log::errno_text(error)));
}
