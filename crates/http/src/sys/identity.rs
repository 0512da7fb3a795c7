//! What tells that a file is still the same, without its bytes being read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// A file and its state. Equal: nobody has written to it in between, as far as its file system's clock can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// In bytes.
    pub len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// When it was changed last: seconds and nanoseconds since the epoch.
    pub fn last_change(&self) -> (i64, i64) {
        self.modified.max(self.changed)
    }
}
