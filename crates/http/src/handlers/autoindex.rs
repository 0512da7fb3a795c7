//! `autoindex`: the listing of a directory as nginx writes it, in HTML, JSON, JSONP or XML, and the reading of one.

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wire::date::Civil;
use wire::uri::{self, Escape};

/// A line of the listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub is_dir: bool,
    pub is_file: bool,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// `autoindex_format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    #[default]
    Html,
    Json,
    /// JSON, or JavaScript if the request names a callback.
    Jsonp,
    Xml,
}

/// How the listing is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options<'a> {
    pub format: Format,
    /// `autoindex_exact_size`, for HTML.
    pub exact_size: bool,
    /// How many minutes ahead of UTC times are told; HTML only.
    pub offset_minutes: i32,
    /// The answer's charset is UTF-8: widths are counted in characters. HTML only.
    pub utf8: bool,
    /// The function that JSONP calls.
    pub callback: Option<&'a [u8]>,
}

/// So many characters of a name are shown.
const NAME_WIDTH: usize = 50;

/// The Content-Type of a listing; for HTML and JSON a charset may be added as for any answer.
pub fn content_type(format: Format, callback: Option<&[u8]>) -> &'static str {
    match (format, callback) {
        (Format::Html, _) => "text/html",
        (Format::Jsonp, Some(_)) => "application/javascript",
        (Format::Json | Format::Jsonp, _) => "application/json",
        (Format::Xml, _) => "text/xml; charset=utf-8",
    }
}

/// The callback that the query argument `callback` names; `None`: none. The error is the line for the log, to be
/// completed by the name; the answer is 400.
pub fn callback(argument: Option<&[u8]>) -> Result<Option<&[u8]>, &'static str> {
    let name = argument.filter(|name| !name.is_empty());
    let fits = |name: &[u8]| name.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    match name {
        Some(name) if !fits(name) => Err("client sent invalid callback name"),
        name => Ok(name),
    }
}

/// The entries of a directory: names that begin with a dot are left out, and so are those that may not be looked at.
/// Links are what they lead to; one that leads nowhere is itself.
pub fn read(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_vec();
        if name.starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let found = match std::fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ELOOP) => match std::fs::symlink_metadata(&path) {
                    Ok(found) => found,
                    // It has gone since the directory was read.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                },
                _ => return Err(error),
            },
        };
        let (is_dir, is_file) = (found.is_dir(), found.is_file());
        entries.push(Entry { name, is_dir, is_file, size: found.size(), mtime: found.mtime() });
    }
    Ok(entries)
}

/// The status that answers for a directory that could not be read.
pub fn status(error: &io::Error) -> u16 {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG) => 404,
        Some(libc::EACCES) => 403,
        _ => 500,
    }
}

/// The whole body for the directory `uri` (decoded, it ends with a slash); sorts the entries.
pub fn render(uri: &[u8], entries: &mut [Entry], options: &Options) -> Vec<u8> {
    entries.sort_by(|one, other| other.is_dir.cmp(&one.is_dir).then_with(|| one.name.cmp(&other.name)));
    let mut out = Vec::with_capacity(256 + entries.len() * 128);
    match options.format {
        Format::Html => html(uri, entries, options, &mut out),
        Format::Json => json(entries, None, &mut out),
        Format::Jsonp => json(entries, options.callback, &mut out),
        Format::Xml => xml(entries, &mut out),
    }
    out
}

fn html(uri: &[u8], entries: &[Entry], options: &Options, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<html>\r\n<head><title>Index of ");
    uri::escape_html(uri, out);
    out.extend_from_slice(b"</title></head>\r\n<body>\r\n<h1>Index of ");
    uri::escape_html(uri, out);
    out.extend_from_slice(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
    for entry in entries {
        out.extend_from_slice(b"<a href=\"");
        uri::escape(&entry.name, Escape::Component, out);
        if entry.is_dir {
            out.push(b'/');
        }
        out.extend_from_slice(b"\">");
        label(entry, options.utf8, out);
        let date = Civil::of(entry.mtime.saturating_add(i64::from(options.offset_minutes) * 60));
        let month = month(date.month);
        let Civil { day, year, hour, minute, .. } = date;
        out.extend_from_slice(format!(" {day:02}-{month}-{year} {hour:02}:{minute:02} ").as_bytes());
        let size = match (options.exact_size, entry.is_dir) {
            (true, true) => format!("{:>19}", '-'),
            (true, false) => format!("{:>19}", entry.size),
            (false, true) => format!("{:>7}", '-'),
            (false, false) => rough(entry.size),
        };
        out.extend_from_slice(size.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"</pre><hr></body>\r\n</html>\r\n");
}

/// The name, shortened if it is too long, the end of the link, and spaces up to the next column.
fn label(entry: &Entry, utf8: bool, out: &mut Vec<u8>) {
    // A name that is no UTF-8 counts in bytes.
    let text = if utf8 { std::str::from_utf8(&entry.name).ok() } else { None };
    let mut width = text.map_or(entry.name.len(), |text| text.chars().count());
    if width > NAME_WIDTH {
        let shown = match text {
            Some(text) => text.char_indices().nth(NAME_WIDTH - 3).map_or(text.len(), |(at, _)| at),
            None => NAME_WIDTH - 3,
        };
        uri::escape_html(&entry.name[..shown], out);
        out.extend_from_slice(b"..&gt;</a>");
        return;
    }
    uri::escape_html(&entry.name, out);
    if entry.is_dir && width < NAME_WIDTH {
        out.push(b'/');
        width += 1;
    }
    out.extend_from_slice(b"</a>");
    out.resize(out.len() + NAME_WIDTH - width, b' ');
}

/// A size in seven columns: exact up to 9999, then in K, M and G, rounded.
fn rough(size: u64) -> String {
    const KILO: u64 = 1 << 10;
    const MEGA: u64 = 1 << 20;
    const GIGA: u64 = 1 << 30;
    let (unit, letter) = match size {
        GIGA.. => (GIGA, 'G'),
        MEGA.. => (MEGA, 'M'),
        10_000.. => (KILO, 'K'),
        _ => return format!("{size:>7}"),
    };
    let rounded = size / unit + u64::from(size % unit >= unit / 2);
    format!("{rounded:>6}{letter}")
}

fn month(month: u8) -> &'static str {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let at = usize::from(month.clamp(1, 12) - 1) * 3;
    &MONTHS[at..at + 3]
}

fn json(entries: &[Entry], callback: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(callback) = callback {
        out.extend_from_slice(b"/* callback */\r\n");
        out.extend_from_slice(callback);
        out.push(b'(');
    }
    out.push(b'[');
    for (at, entry) in entries.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"\r\n{ \"name\":\"" } else { b",\r\n{ \"name\":\"" });
        escape_json(&entry.name, out);
        out.extend_from_slice(b"\", \"type\":\"");
        out.extend_from_slice(kind(entry).as_bytes());
        out.extend_from_slice(b"\", \"mtime\":\"");
        out.extend_from_slice(&wire::date::format(entry.mtime.max(0) as u64));
        out.push(b'"');
        if entry.is_file {
            out.extend_from_slice(format!(", \"size\":{}", entry.size).as_bytes());
        }
        out.extend_from_slice(b" }");
    }
    out.extend_from_slice(b"\r\n]");
    if callback.is_some() {
        out.extend_from_slice(b");");
    }
}

fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
            byte => out.push(byte),
        }
    }
}

fn xml(entries: &[Entry], out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version=\"1.0\"?>\r\n<list>\r\n");
    for entry in entries {
        let kind = kind(entry);
        let Civil { year, month, day, hour, minute, second, .. } = Civil::of(entry.mtime);
        out.extend_from_slice(
            format!("<{kind} mtime=\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z\"").as_bytes(),
        );
        if entry.is_file {
            out.extend_from_slice(format!(" size=\"{}\"", entry.size).as_bytes());
        }
        out.push(b'>');
        uri::escape_html(&entry.name, out);
        out.extend_from_slice(format!("</{kind}>\r\n").as_bytes());
    }
    out.extend_from_slice(b"</list>\r\n");
}

fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry { is_dir: true, .. } => "directory",
        Entry { is_file: true, .. } => "file",
        _ => "other",
    }
}

#[cfg(test)]
#[path = "autoindex/tests.rs"]
mod tests;
