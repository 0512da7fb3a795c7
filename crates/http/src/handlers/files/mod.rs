//! Static files: a directory, the rules of RFC 9110 for its representations, and a cache of what is asked for often.
//!
//! `open` finds and describes files, `cache` keeps the descriptions, `conditional` decides what is answered, `ranges`
//! encodes parts. Never served: what lies or leads outside of the directory, names that begin with a dot (but
//! `.well-known`, RFC 8615), and what is not a regular file.

mod cache;
mod conditional;
mod open;
mod ranges;

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use wire::accept::AcceptEncoding;
use wire::h1::{Known, Method};
use wire::uri;

use self::cache::Cache;
use self::conditional::{Asked, Plan};
use self::open::{Body, Entry, Representation, Variants};
use crate::exchange::{Chunk, FileSlice, Request, ResponseHead};
use crate::handlers::errors;
use crate::sys;
use crate::transport::sender::Sender;

/// A directory that is served.
pub struct Files {
    /// The decoded path of the directory itself.
    prefix: Vec<u8>,
    cache: Mutex<Cache>,
}

impl Files {
    /// Opens `root`; requests below `prefix` (decoded path) are looked up in it.
    pub fn open(root: &Path, prefix: &[u8]) -> io::Result<Files> {
        Ok(Files { prefix: prefix.to_vec(), cache: Mutex::new(Cache::open(root)?) })
    }

    /// What is served for a decoded path that begins with the prefix.
    fn find(&self, path: &[u8]) -> io::Result<std::sync::Arc<Entry>> {
        let name = name_below(&self.prefix, path).ok_or(ErrorKind::NotFound)?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.find(name, sys::time::coarse_seconds())
    }
}

/// What follows the prefix in a path, without a slash before it. `None`: it is not below, or not to be shown.
fn name_below<'p>(prefix: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(prefix)?;
    let name = match rest {
        _ if prefix.ends_with(b"/") => rest,
        // The directory itself, without its slash: it is found as `.`, which no path has.
        [] => return Some(b"."),
        [b'/', name @ ..] => name,
        _ => return None,
    };
    let hidden = name.split(|&b| b == b'/').any(|part| part.starts_with(b".") && part != b".well-known");
    if hidden { None } else { Some(name) }
}

/// Answers a request: `request.path` is decoded and begins with the prefix. What it gives is a problem of ours, to be
/// logged; the client has been answered.
pub fn serve(files: &Files, request: &Request, sender: &mut Sender) -> Option<io::Error> {
    if !matches!(request.head.method, Method::Get | Method::Head) {
        errors::page(sender, 405, &[("Allow", b"GET, HEAD")]);
        return None;
    }
    match files.find(&request.path) {
        Ok(entry) => match &*entry {
            Entry::File(variants) => answer(variants, request, sender),
            Entry::Directory => redirect(request, sender),
        },
        Err(error) => {
            let status = match error.kind() {
                ErrorKind::NotFound => 404,
                ErrorKind::PermissionDenied => 403,
                _ => 500,
            };
            errors::page(sender, status, &[]);
            return (status != 404).then_some(error);
        }
    }
    None
}

/// A directory asked for without the slash that relative links in its index need.
fn redirect(request: &Request, sender: &mut Sender) {
    let mut location = Vec::with_capacity(request.path.len() + 16);
    uri::escape_path(&request.path, &mut location);
    location.push(b'/');
    if let Some(query) = request.head.query {
        location.push(b'?');
        location.extend_from_slice(query.of(&request.buf));
    }
    errors::page(sender, 301, &[("Location", &location)]);
}

/// The fields of a request that matter here.
fn asked<'r>(request: &'r Request) -> Asked<'r> {
    let mut asked = Asked { is_get: request.head.method == Method::Get, ..Asked::default() };
    for field in &request.head.fields {
        let place = match field.known {
            Known::AcceptEncoding => &mut asked.accept_encoding,
            Known::IfMatch => &mut asked.conditions.if_match,
            Known::IfNoneMatch => &mut asked.conditions.if_none_match,
            Known::IfModifiedSince => &mut asked.conditions.if_modified_since,
            Known::IfUnmodifiedSince => &mut asked.conditions.if_unmodified_since,
            Known::IfRange => &mut asked.if_range,
            Known::Range => &mut asked.range,
            _ => continue,
        };
        if place.is_none() {
            *place = Some(field.value.of(&request.buf));
        }
    }
    asked
}

fn answer(variants: &Variants, request: &Request, sender: &mut Sender) {
    let asked = asked(request);
    let representation = variants.choose(AcceptEncoding::new(asked.accept_encoding));
    match conditional::plan(&asked, representation) {
        Plan::Whole => {
            start(sender, 200, representation, representation.len, |_| {});
            send(sender, representation, 0, representation.len);
        }
        Plan::NotModified => {
            let mut head = ResponseHead::new(304);
            head.fields.extend_from_slice(&representation.validators);
            sender.start(head);
        }
        Plan::Failed => return errors::page(sender, 412, &[]),
        Plan::Unsatisfiable => {
            let range = format!("bytes */{}", representation.len);
            return errors::page(sender, 416, &[("Content-Range", range.as_bytes())]);
        }
        Plan::Part(first, end) => {
            start(sender, 206, representation, end - first, |head| {
                head.put("Content-Range", ranges::content_range(first, end, representation.len).as_bytes());
            });
            send(sender, representation, first, end);
        }
        Plan::Parts(list) => {
            let parts = ranges::Parts::new(&list, representation.media_type, representation.len);
            let mut head = sender.recycled_head(206);
            head.fields.extend_from_slice(&representation.fields_without_type);
            head.put("Content-Type", parts.media_type().as_bytes());
            head.length = Some(parts.total);
            sender.start(head);
            for (before, &(first, end)) in parts.before.iter().zip(&list) {
                sender.copy(before);
                send(sender, representation, first, end);
            }
            sender.copy(&parts.after);
        }
    }
    sender.end();
}

fn start(sender: &mut Sender, status: u16, it: &Representation, length: u64, add: impl FnOnce(&mut ResponseHead)) {
    let mut head = sender.recycled_head(status);
    head.fields.extend_from_slice(&it.fields);
    head.length = Some(length);
    add(&mut head);
    sender.start(head);
}

/// The bytes `first..end` of a representation.
fn send(sender: &mut Sender, it: &Representation, first: u64, end: u64) {
    match &it.body {
        Body::Memory(bytes) if first == 0 && end == it.len => sender.push(Chunk::Shared(bytes.clone())),
        Body::Memory(bytes) => sender.copy(bytes.get(first as usize..end as usize).unwrap_or_default()),
        Body::File(file) => {
            sender.push(Chunk::File(FileSlice { file: file.clone(), offset: first, len: end - first }));
        }
    }
}

#[cfg(test)]
mod tests;
