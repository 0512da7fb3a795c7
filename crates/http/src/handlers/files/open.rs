//! Files, opened and described: what is said about them in every answer is made once.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use wire::date;

use super::packed::Packed;
use super::rules::{self, Settings};
use crate::sys::identity::Identity;

/// Files up to this many bytes are kept in memory: at 100 KB one `writev` from memory measured 19 µs, `sendfile` 25.
pub const SMALL: u64 = 256 * 1024;

/// What a path leads to.
pub enum Entry {
    File(Opened),
    Directory,
    /// A device, a socket.
    Other,
    /// It cannot be opened: the number of the error.
    Failed(i32),
}

/// A regular file.
pub struct Opened {
    identity: Identity,
    pub len: u64,
    /// Seconds since 1970.
    pub modified: i64,
    pub last_modified: [u8; 29],
    /// With its quotes: `"MTIME-LEN"` in hexadecimal, as nginx has it.
    pub etag: Vec<u8>,
    pub body: Body,
    /// What it was compressed to, where it is in memory.
    pub packed: Box<Packed>,
}

/// Where its bytes are.
pub enum Body {
    Memory(Arc<[u8]>),
    File(Arc<File>),
}

/// Looks a path up; so many bytes of it are the root. `before` is what it was last time, and is given back if that is
/// still right.
pub fn load(path: &[u8], root: usize, from: usize, settings: &Settings, before: Option<&Arc<Entry>>) -> Arc<Entry> {
    if let Some(before) = before
        && let Entry::File(opened) = &**before
        && let Ok(metadata) = rules::metadata(path, root, from, settings)
        && metadata.is_file()
        && Identity::of(&metadata) == opened.identity
    {
        return before.clone();
    }
    Arc::new(
        describe(path, root, from, settings)
            .unwrap_or_else(|error| Entry::Failed(error.raw_os_error().unwrap_or(libc::ENOENT))),
    )
}

fn describe(path: &[u8], root: usize, from: usize, settings: &Settings) -> io::Result<Entry> {
    let file = rules::open(path, root, from, settings)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Entry::Directory);
    }
    if !metadata.is_file() {
        return Ok(Entry::Other);
    }
    let (len, modified) = (metadata.len(), metadata.mtime());
    let body = if len <= SMALL { Body::Memory(read(&file, len as usize)?.into()) } else { Body::File(file.into()) };
    Ok(Entry::File(Opened {
        identity: Identity::of(&metadata),
        len,
        modified,
        last_modified: date::format(modified.max(0) as u64),
        etag: format!("\"{modified:x}-{len:x}\"").into_bytes(),
        body,
        packed: Box::default(),
    }))
}

impl Entry {
    /// Bytes of memory and descriptors that it holds.
    pub fn weight(&self) -> (usize, usize) {
        match self {
            Entry::File(Opened { body: Body::Memory(bytes), .. }) => (bytes.len() + size_of::<Self>() + 64, 0),
            Entry::File(_) => (size_of::<Self>() + 64, 1),
            _ => (size_of::<Self>(), 0),
        }
    }
}

/// The whole of a file. If it has become shorter since it was looked at, the answer would be wrong: an error.
fn read(file: &File, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
