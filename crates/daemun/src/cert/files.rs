//! Files written whole or not at all, with their mode from the first moment on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that has its contents and not yet its name. Dropped without one, it is gone.
pub struct Unnamed {
    temporary: PathBuf,
    path: PathBuf,
}

/// Writes a file beside the place where it is to be.
pub fn prepare(path: &Path, text: &str, mode: u32) -> io::Result<Unnamed> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let unnamed = Unnamed { temporary, path: path.to_path_buf() };
    let write = |mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    OpenOptions::new().write(true).create_new(true).mode(mode).open(&unnamed.temporary).and_then(write)?;
    Ok(unnamed)
}

impl Unnamed {
    /// Gives it its name; a file or a link that has it is replaced.
    pub fn place(self) -> io::Result<()> {
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary);
    }
}
