//! A piece of a body: bytes in one of the forms they can have without being copied.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that somebody else owns (a Python `bytes` object) and that live until this is dropped.
pub trait Foreign: Send {
    fn bytes(&self) -> &[u8];
}

/// A part of a file, to be sent by `sendfile`.
#[derive(Clone)]
pub struct FileSlice {
    pub file: Arc<File>,
    /// Where the part starts, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl FileSlice {
    /// Appends up to `most` bytes from `at` on, counted within the part. At least one unless the part ends there; a
    /// file that is shorter than its part is an error.
    pub fn read_at(&self, at: u64, most: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let len = self.len.saturating_sub(at).min(most as u64) as usize;
        if len == 0 {
            return Ok(());
        }
        let before = out.len();
        out.resize(before + len, 0);
        let read = loop {
            match self.file.read_at(&mut out[before..], self.offset + at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        out.truncate(before + read);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// A piece of a body.
pub enum Chunk {
    Bytes(Vec<u8>),
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Foreign(Box<dyn Foreign>),
    File(FileSlice),
}

impl Chunk {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Chunk::File(slice) => slice.len,
            other => other.memory().map_or(0, |bytes| bytes.len() as u64),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, unless they are in a file.
    pub fn memory(&self) -> Option<&[u8]> {
        match self {
            Chunk::Bytes(bytes) => Some(bytes),
            Chunk::Static(bytes) => Some(bytes),
            Chunk::Shared(bytes) => Some(bytes),
            Chunk::Foreign(bytes) => Some(bytes.bytes()),
            Chunk::File(_) => None,
        }
    }

    /// Keeps the first `len` bytes only (`len` <= `self.len()`).
    pub fn truncate(self, len: u64) -> Chunk {
        match self {
            Chunk::File(slice) => Chunk::File(FileSlice { len: len.min(slice.len), ..slice }),
            other => {
                let bytes = other.memory().unwrap_or_default();
                Chunk::Bytes(bytes[..(len as usize).min(bytes.len())].to_vec())
            }
        }
    }
}
