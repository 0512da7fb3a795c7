//! A piece of a body: bytes in one of the forms they can have without being copied.

use std::fs::File;
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
