//! What of an answer the client has not taken yet and memory is not for: a file without a name, first in, first out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::exchange::FileSlice;
use crate::sys;

#[derive(Default)]
pub struct Spool {
    file: Option<Arc<File>>,
    /// Given out, and written. 0 <= done <= len
    done: u64,
    len: u64,
}

impl Spool {
    /// Whether nothing waits here.
    pub fn is_empty(&self) -> bool {
        self.done == self.len
    }

    /// Bytes that have gone into the file since it was last empty.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn write(&mut self, bytes: &[u8], directory: &Path) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(Arc::new(sys::temporary_file(directory)?)),
        };
        file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// All that waits. Who sends it may take its time: what comes next goes into another file then.
    pub fn take(&mut self) -> Option<FileSlice> {
        if self.is_empty() {
            return None;
        }
        let file = self.file.clone()?;
        let slice = FileSlice { file, offset: self.done, len: self.len - self.done };
        self.done = self.len;
        Some(slice)
    }

    /// What was given out is sent: its place may be used again.
    pub fn sent(&mut self) {
        if self.is_empty() && self.len > 0 {
            (self.done, self.len) = (0, 0);
            if self.file.as_ref().is_some_and(|file| file.set_len(0).is_err()) {
                self.file = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut spool = Spool::default();
        let directory = std::env::temp_dir();
        assert!(spool.take().is_none());
        for round in [b"one", b"two"] {
            spool.write(round, &directory).unwrap();
            spool.write(b"!", &directory).unwrap();
            let slice = spool.take().unwrap();
            let mut bytes = Vec::new();
            slice.read_at(0, 100, &mut bytes).unwrap();
            assert_eq!(bytes, [&round[..], b"!"].concat());
            assert!(spool.is_empty());
            spool.sent();
            assert_eq!(spool.len(), 0);
        }
    }
}
