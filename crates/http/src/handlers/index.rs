//! Paths that end with a slash: `index`, `random_index`, `autoindex`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use conf::Diagnostic;
use wire::h1::Method;

use super::files::{path, rules};
use super::{Content, answer, autoindex, random_index};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{MANY, Row};
use crate::features::charset;
use crate::log::errno_text;
use crate::sys;
use crate::transport::sender::Sender;
use crate::variables::{Scope, Template};

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    names: Arc<Vec<Template>>,
    autoindex: bool,
    format: autoindex::Format,
    exact_size: bool,
    localtime: bool,
    random: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            names: Arc::new(vec![Template::fixed("index.html")]),
            autoindex: false,
            format: autoindex::Format::Html,
            exact_size: true,
            localtime: false,
            random: false,
        }
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "autoindex",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether a directory that has no index file is answered with a list of its files.",
        Set(|s| s.set_flag(|x| &mut x.index.autoindex)),
    ),
    Row::new(
        "autoindex_exact_size",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether a listing tells sizes in bytes; with `off` they are rounded to K, M and G.",
        Set(|s| s.set_flag(|x| &mut x.index.exact_size)),
    ),
    Row::new(
        "autoindex_format",
        HSL,
        (1, 1),
        "html | xml | json | jsonp",
        "html",
        "Whether a listing is a page for people (`html`) or data for programs.",
        Set(|s| {
            use autoindex::Format::{Html, Json, Jsonp, Xml};
            let format = s.one_of(0, &[("html", Html), ("xml", Xml), ("json", Json), ("jsonp", Jsonp)])?;
            s.settings().index.format = format;
            Ok(())
        }),
    ),
    Row::new(
        "autoindex_localtime",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether a listing tells times in the server's time zone; with `off` it is UTC.",
        Set(|s| s.set_flag(|x| &mut x.index.localtime)),
    ),
    Row::new(
        "index",
        HSL,
        (1, MANY),
        "FILE ...",
        "index.html",
        "The files that are looked for when a path ends with a slash; the first that exists is the answer. The \
         last one may be a path, which then answers.",
        Set(index),
    )
    .repeats(),
    Row::new(
        "random_index",
        L,
        (1, 1),
        "on | off",
        "off",
        "Whether a path that ends with a slash is answered with a file of that directory, chosen at random.",
        Set(|s| s.set_flag(|x| &mut x.index.random)),
    ),
];

fn index(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let words: Vec<String> = s.it.args.iter().map(|word| word.text.clone()).collect();
    let mut names = if s.first { Vec::new() } else { s.block.settings.index.names.to_vec() };
    for (number, word) in words.iter().enumerate() {
        if word.is_empty() {
            return Err(s.wrong("index \"\" in \"index\" directive is invalid"));
        }
        if word.starts_with('/') && number + 1 != words.len() {
            let warning = s.wrong("only the last index in \"index\" directive should be absolute");
            s.make.warn(warning);
        }
        names.push(s.compile(word)?);
    }
    s.settings().index.names = Arc::new(names);
    Ok(())
}

/// Answers for a path that ends with a slash.
pub fn serve(scope: &mut Scope<'_>, sender: &mut Sender) -> Content {
    let settings = &scope.settings().index;
    let method = scope.request.current_method();
    if settings.random {
        match random(scope) {
            Content::Declined => {}
            other => return other,
        }
    }
    if matches!(method, Method::Get | Method::Head | Method::Post) {
        match find(scope) {
            Content::Declined => {}
            other => return other,
        }
    }
    if settings.autoindex && matches!(method, Method::Get | Method::Head) {
        return list(scope, sender);
    }
    Content::Declined
}

/// The first index that exists.
fn find(scope: &mut Scope<'_>) -> Content {
    let mut full = std::mem::take(&mut scope.request.file_name);
    full.clear();
    let content = find_at(scope, &mut full);
    scope.request.file_name = full;
    content
}

/// The same; `full` is empty, and is memory to work in.
fn find_at(scope: &mut Scope<'_>, full: &mut Vec<u8>) -> Content {
    let settings = scope.settings();
    let mut looked = false;
    let Some(root) = path::of(scope, full) else { return super::files::alias_is_lost(scope) };
    let directory = full.len();
    for name in settings.index.names.iter() {
        full.truncate(directory);
        name.write(scope, full);
        if full.get(directory) == Some(&b'/') {
            return Content::Internal(full[directory..].to_vec(), scope.request.query().map(<[u8]>::to_vec));
        }
        let from = rules::links_from(scope, full);
        let found = rules::metadata(full, root, from, &settings.files);
        scope.request.note("index", None, || {
            let what = if found.is_ok() { "exists" } else { "cannot be found" };
            format!("{} {what}", String::from_utf8_lossy(full))
        });
        let Err(error) = found else {
            let uri = [&scope.request.path, &full[directory..]].concat();
            return Content::Internal(uri, scope.request.query().map(<[u8]>::to_vec));
        };
        match error.raw_os_error() {
            Some(libc::ELOOP | libc::EMLINK | libc::EACCES) => return wrong(scope, full, &error, 403),
            Some(libc::ENOTDIR | libc::ENAMETOOLONG) => return wrong(scope, full, &error, 404),
            Some(libc::ENOENT) if std::mem::replace(&mut looked, true) => {}
            Some(libc::ENOENT) => {
                if let Some(status) = look(scope, full, directory, root, from) {
                    return Content::Status(status);
                }
            }
            _ => return wrong(scope, full, &error, 500),
        }
    }
    Content::Declined
}

/// Looks at the directory in which an index is not, the first `len` bytes of its path; a status if there is something
/// wrong with it.
fn look(scope: &mut Scope<'_>, index: &[u8], len: usize, root: usize, from: usize) -> Option<u16> {
    let directory = &index[..len];
    let text = String::from_utf8_lossy(index);
    let (config, log) = (scope.config, scope.log);
    match rules::metadata(directory, root, from, &scope.settings().files) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => {
            scope.request.alert(config, log, format_args!("\"{text}\" is not a directory"));
            Some(500)
        }
        Err(error) => match error.raw_os_error() {
            Some(libc::EACCES) => None,
            Some(libc::ELOOP | libc::EMLINK) => Some(403),
            Some(libc::ENOENT) => {
                wrong(scope, index, &error, 404);
                Some(404)
            }
            _ => {
                scope.request.crit(
                    config,
                    log,
                    format_args!("stat() \"{}\" failed ({})", String::from_utf8_lossy(directory), errno_text(&error)),
                );
                Some(500)
            }
        },
    }
}

/// The status of a directory or index that cannot be looked at.
fn wrong(scope: &mut Scope<'_>, path: &[u8], error: &std::io::Error, status: u16) -> Content {
    let (config, log) = (scope.config, scope.log);
    let path = String::from_utf8_lossy(path);
    match status {
        404 if !scope.settings().log_not_found => {}
        404 => scope.request.error(config, log, format_args!("\"{path}\" is not found ({})", errno_text(error))),
        403 => scope.request.error(config, log, format_args!("\"{path}\" is forbidden ({})", errno_text(error))),
        _ => scope.request.crit(config, log, format_args!("stat() \"{path}\" failed ({})", errno_text(error))),
    }
    Content::Status(status)
}

/// A file chosen at random.
fn random(scope: &mut Scope<'_>) -> Content {
    let mut full = Vec::new();
    if path::of(scope, &mut full).is_none() {
        return super::files::alias_is_lost(scope);
    }
    let directory = Path::new(std::ffi::OsStr::from_bytes(&full));
    match random_index::choose(directory, sys::random::number()) {
        Ok(Some(name)) => {
            let mut uri = scope.request.path.clone();
            uri.extend_from_slice(&name);
            Content::Internal(uri, scope.request.query().map(<[u8]>::to_vec))
        }
        Ok(None) => Content::Declined,
        Err(error) => {
            let status = autoindex::status(&error);
            wrong(scope, &full, &error, status)
        }
    }
}

/// A listing.
fn list(scope: &mut Scope<'_>, sender: &mut Sender) -> Content {
    let settings = scope.settings();
    let mut full = Vec::new();
    if path::of(scope, &mut full).is_none() {
        return super::files::alias_is_lost(scope);
    }
    let directory = Path::new(std::ffi::OsStr::from_bytes(&full));
    let mut entries = match autoindex::read(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let status = autoindex::status(&error);
            let (config, log) = (scope.config, scope.log);
            scope.request.error(
                config,
                log,
                format_args!("opendir() \"{}\" failed ({})", String::from_utf8_lossy(&full), errno_text(&error)),
            );
            return Content::Status(status);
        }
    };
    let argument = if settings.index.format == autoindex::Format::Jsonp {
        scope.request.argument(b"callback").map(<[u8]>::to_vec)
    } else {
        None
    };
    let callback = match autoindex::callback(argument.as_deref()) {
        Ok(callback) => callback,
        Err(_) => return Content::Status(400),
    };
    let offset_minutes =
        if settings.index.localtime { sys::time::local_offset_minutes(sys::time::coarse_seconds()) } else { 0 };
    let mut head = sender.recycled_head(200);
    head.content_type.extend_from_slice(autoindex::content_type(settings.index.format, callback).as_bytes());
    let options = autoindex::Options {
        format: settings.index.format,
        exact_size: settings.index.exact_size,
        offset_minutes,
        utf8: settings.charset.is_on() && charset::is_utf8(scope, &head),
        callback,
    };
    let body = autoindex::render(&scope.request.path, &mut entries, &options);
    // As nginx: the length of a listing is not told.
    answer::whole(scope, sender, head, &body)
}
