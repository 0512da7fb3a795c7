//! Static files: the file that a URI names, and what is answered about it (RFC 9110 sections 13 and 14).
//!
//! `path` is `root` and `alias`, `rules` what may be opened, `open` finds and describes files, `cache` keeps the
//! descriptions, `packed` what they were compressed to, `types` their media types, `conditional` decides what is answered, `ranges` encodes parts;
//! `try_files` looks for files before anything answers.

mod cache;
pub mod conditional;
mod open;
mod packed;
pub mod path;
pub mod ranges;
pub mod rules;
pub mod try_files;
mod types;

use std::sync::Arc;

use wire::accept::AcceptEncoding;
use wire::h1::{Method, encode};
use wire::uri;

use self::conditional::{Asked, Plan};
use self::open::{Body, Entry, Opened};
use self::rules::{Static, Symlinks};
use super::{Content, answer};
use crate::exchange::{Chunk, FileSlice, ResponseHead};
use crate::features::{bodies, charset, compression, expires, headers};
use crate::log::errno_text;
use crate::stage::Coding;
use crate::transport::sender::Sender;
use crate::variables::Scope;

pub use path::Root;
pub use rules::{ROWS, Settings};
pub use types::{Types, extension};

/// Answers with the file of the request's path.
pub fn serve(scope: &mut Scope<'_>, sender: &mut Sender) -> Content {
    let method = scope.request.current_method();
    if !matches!(method, Method::Get | Method::Head | Method::Post) {
        return Content::Status(405);
    }
    if scope.request.path.ends_with(b"/") {
        return Content::Declined;
    }
    // The name's memory is the request's, which is used again.
    let mut path = std::mem::take(&mut scope.request.file_name);
    path.clear();
    let content = at(scope, sender, &mut path);
    scope.request.file_name = path;
    content
}

/// The same; `path` is empty, and is that of the file then.
fn at(scope: &mut Scope<'_>, sender: &mut Sender, path: &mut Vec<u8>) -> Content {
    let Some(root) = path::of(scope, path) else { return alias_is_lost(scope) };
    let method = scope.request.current_method();
    let settings = scope.settings();
    let from = rules::links_from(scope, path);
    if settings.files.has_packed()
        && method != Method::Post
        && let Some((entry, coding)) = compressed(scope, path, root, from)
    {
        return file(scope, sender, &entry, Some(coding));
    }
    let entry = cache::find(path, root, from, &settings.files);
    scope.request.note("file", None, || {
        let what = match &*entry {
            Entry::File(_) => "exists",
            Entry::Directory => "is a directory",
            Entry::Other => "is neither a file nor a directory",
            Entry::Failed(_) => "cannot be opened",
        };
        format!("{} {what}", String::from_utf8_lossy(path))
    });
    match &*entry {
        Entry::File(_) if method == Method::Post => Content::Status(405),
        Entry::File(_) => file(scope, sender, &entry, None),
        Entry::Directory => redirect(scope, path, root),
        Entry::Other => {
            let (config, log) = (scope.config, scope.log);
            let path = String::from_utf8_lossy(path);
            scope.request.crit(config, log, format_args!("\"{path}\" is not a regular file"));
            Content::Status(404)
        }
        Entry::Failed(number) => failed(scope, path, *number),
    }
}

/// `alias` in a location whose URI was rewritten, or a path that leads out of its directory.
pub fn alias_is_lost(scope: &mut Scope<'_>) -> Content {
    let (config, log) = (scope.config, scope.log);
    if !scope.request.route.stayed || !scope.settings().root.is_alias() {
        let path = String::from_utf8_lossy(&scope.request.path);
        scope.request.error(config, log, format_args!("\"{path}\" leads out of its directory"));
        return Content::Status(404);
    }
    let location = scope.location().name.clone();
    scope.request.alert(
        config,
        log,
        format_args!("\"alias\" cannot be used in location \"{location}\" where URI was rewritten"),
    );
    Content::Status(500)
}

/// The status of a file that cannot be opened.
fn failed(scope: &mut Scope<'_>, path: &[u8], number: i32) -> Content {
    let error = std::io::Error::from_raw_os_error(number);
    let settings = scope.settings();
    let (config, log) = (scope.config, scope.log);
    let call = if matches!(settings.files.symlinks, Symlinks::Off | Symlinks::IfOwner) { "openat" } else { "open" };
    let text = format!("{call}() \"{}\" failed ({})", String::from_utf8_lossy(path), errno_text(&error));
    let status = match number {
        libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG => {
            if settings.log_not_found {
                scope.request.error(config, log, format_args!("{text}"));
            }
            404
        }
        libc::EACCES | libc::EPERM | libc::ELOOP | libc::EMLINK => {
            scope.request.error(config, log, format_args!("{text}"));
            403
        }
        _ => {
            scope.request.crit(config, log, format_args!("{text}"));
            500
        }
    };
    Content::Status(status)
}

/// A directory asked for without the slash that relative links in its index need.
fn redirect(scope: &mut Scope<'_>, path: &[u8], root: usize) -> Content {
    let settings = scope.settings();
    let query = scope.request.query().unwrap_or_default();
    let source = if settings.root.is_alias() || !query.is_empty() { &scope.request.path[..] } else { &path[root..] };
    let mut location = Vec::with_capacity(source.len() + query.len() + 2);
    uri::escape_path(source, &mut location);
    location.push(b'/');
    if !query.is_empty() {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    Content::Redirect(301, location)
}

/// A compressed file beside the one that is asked for, if the client takes it; `path` is as before afterwards.
fn compressed(
    scope: &mut Scope<'_>,
    path: &mut Vec<u8>,
    root: usize,
    from: usize,
) -> Option<(Arc<Entry>, &'static str)> {
    let settings = &scope.settings().files;
    let clients = &scope.settings().compression.clients;
    let kinds = [
        (settings.brotli_static, Coding::Brotli, ".br"),
        (settings.zstd_static, Coding::Zstd, ".zst"),
        (settings.gzip_static, Coding::Gzip, ".gz"),
    ];
    let request = &*scope.request;
    let fits = !request.route.subrequest && clients.fit(request, &ResponseHead::default(), false);
    let accept = AcceptEncoding::new(request.field("accept-encoding"));
    let mut best: Option<(u16, Arc<Entry>, &'static str)> = None;
    let mut varies = false;
    let len = path.len();
    for (on, coding, suffix) in kinds {
        let weight = match on {
            Static::Off => continue,
            Static::Always => 1000,
            Static::On if !fits => 0,
            Static::On => compression::weight(&accept, coding, settings.distinct),
        };
        // Where answers say that they vary, it must be known whether there are others.
        if weight == 0 && !clients.vary || best.as_ref().is_some_and(|(better, ..)| *better >= weight) {
            continue;
        }
        path.extend_from_slice(suffix.as_bytes());
        let entry = cache::find_beside(path, root, from, settings);
        path.truncate(len);
        if matches!(&*entry, Entry::File(_)) {
            varies |= on == Static::On;
            if weight > 0 {
                best = Some((weight, entry, coding.name()));
            }
        }
    }
    let identity = if settings.distinct { accept.weight(b"identity") } else { 0 };
    scope.request.route.varies |= varies;
    let (weight, entry, coding) = best?;
    (weight >= identity).then_some((entry, coding))
}

/// Answers with a file; `coding`: it is compressed.
fn file(scope: &mut Scope<'_>, sender: &mut Sender, entry: &Arc<Entry>, coding: Option<&'static str>) -> Content {
    let Entry::File(opened) = &**entry else { return Content::Status(500) };
    let settings = scope.settings();
    let mut tagged;
    let etag: &[u8] = match coding {
        _ if !settings.etag => b"",
        // Another representation, so another tag (RFC 9110 section 8.8.3.3).
        Some(coding) if settings.files.distinct => {
            tagged = opened.etag.clone();
            tagged.pop();
            tagged.extend_from_slice(format!("-{coding}\"").as_bytes());
            &tagged
        }
        _ => &opened.etag,
    };
    // An error page is what it is, whatever was asked about the page that failed.
    let route = &scope.request.route;
    let plain = route.status != 0 && route.status != 200 || route.subrequest;
    let varies = route.varies;
    let changed = settings.changes_bodies()
        && !plain
        && scope.request.field("range").is_some()
        && changes(scope, opened, etag, coding);
    let mut head = sender.recycled_head(200);
    let plan = if plain {
        Plan::Whole
    } else {
        let mut asked = Asked::of(scope.request, settings);
        if changed {
            asked.range = None;
        }
        conditional::plan(&asked, etag, opened.modified, opened.len, settings)
    };
    head.last_modified.extend_from_slice(&opened.last_modified);
    if !etag.is_empty() {
        encode::field(&mut head.fields, b"ETag", etag);
    }
    if let Some(coding) = coding.filter(|_| plan != Plan::NotModified) {
        encode::field(&mut head.fields, b"Content-Encoding", coding.as_bytes());
    }
    match plan {
        Plan::Whole => {
            answer::content_type(scope, &mut head);
            head.length = Some(opened.len);
            if settings.max_ranges != Some(0) && !plain && !changed {
                head.last_fields.extend_from_slice(b"Accept-Ranges: bytes\r\n");
            }
            answer::start(scope, sender, head);
            send(sender, opened, 0, opened.len);
        }
        Plan::NotModified => {
            scope.request.route.varies = varies;
            head.status = 304;
            answer::start(scope, sender, head);
        }
        Plan::Failed => {
            scope.request.route.varies = varies;
            return Content::Status(412);
        }
        Plan::Unsatisfiable => {
            unsatisfiable(scope, head, opened.len);
            return Content::Status(416);
        }
        Plan::Part(first, end) => {
            answer::content_type(scope, &mut head);
            head.status = 206;
            head.length = Some(end - first);
            ranges::content_range(first, end, opened.len, &mut head.last_fields);
            answer::start(scope, sender, head);
            send(sender, opened, first, end);
        }
        Plan::Parts(list) => {
            answer::content_type(scope, &mut head);
            let own = if settings.charset.is_on() {
                charset::content_type(scope, &head)
            } else {
                std::mem::take(&mut head.content_type)
            };
            let parts = ranges::Parts::new(&list, &own, opened.len);
            head.status = 206;
            head.content_type = parts.media_type().into_bytes();
            head.length = Some(parts.total);
            answer::start(scope, sender, head);
            for (before, &(first, end)) in parts.before.iter().zip(&list) {
                sender.copy(before);
                send(sender, opened, first, end);
            }
            sender.copy(&parts.after);
        }
    }
    sender.end();
    Content::Done
}

/// Whether a file goes out as something else, so that it has no ranges.
fn changes(scope: &mut Scope<'_>, opened: &Opened, etag: &[u8], coding: Option<&'static str>) -> bool {
    let mut head = ResponseHead { length: Some(opened.len), ..ResponseHead::new(200) };
    answer::content_type(scope, &mut head);
    head.last_modified.extend_from_slice(&opened.last_modified);
    if !etag.is_empty() {
        encode::field(&mut head.fields, b"ETag", etag);
    }
    if let Some(coding) = coding {
        encode::field(&mut head.fields, b"Content-Encoding", coding.as_bytes());
    }
    if scope.request.field("via").is_some() {
        // What the answer says to proxies counts, too.
        expires::apply(scope, &mut head);
        headers::apply(scope, &mut head);
    }
    bodies::change(scope, &head)
}

/// Notes what a 416 is to say: how long the whole is, and, with nginx, what the configuration adds to answers with it.
pub fn unsatisfiable(scope: &mut Scope<'_>, mut head: ResponseHead, len: u64) {
    if scope.settings().nginx_pages && !scope.request.route.subrequest {
        head.fields.clear();
        answer::complete(scope, &mut head, None);
        head.remove("last-modified");
        head.remove("etag");
        let added = head.each().map(|(name, value)| (String::from_utf8_lossy(name).into(), value.to_vec()));
        scope.request.route.kept.extend(added);
    }
    let value = format!("bytes */{len}").into_bytes();
    scope.request.route.kept.push(("Content-Range".into(), value));
}

/// The bytes `first..end` of a file.
fn send(sender: &mut Sender, it: &Opened, first: u64, end: u64) {
    match &it.body {
        Body::Memory(bytes)
            if first == 0
                && end == it.len
                && let Some(mut coder) = sender.take_coder() =>
        {
            match it.packed.of(bytes, &mut *coder) {
                Some((packed, ratio)) => {
                    sender.was_coded(ratio);
                    sender.push(Chunk::Shared(packed));
                }
                None => sender.abort(),
            }
        }
        Body::Memory(bytes) if first == 0 && end == it.len => sender.push(Chunk::Shared(bytes.clone())),
        Body::Memory(bytes) => sender.copy(bytes.get(first as usize..end as usize).unwrap_or_default()),
        Body::File(file) => {
            sender.push(Chunk::File(FileSlice { file: file.clone(), offset: first, len: end - first }));
        }
    }
}

/// The media type with the charset that text on the web has.
pub fn full_type(media_type: &str) -> String {
    if wire::media::is_text(media_type) { format!("{media_type}; charset=utf-8") } else { media_type.to_owned() }
}

#[cfg(test)]
mod tests;
