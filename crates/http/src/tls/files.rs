//! Files that may change while they are in use, and the one that keys are written to.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::KeyLog;

use super::certificates::system;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: (i64, i64),
    number: (u64, u64),
    size: u64,
}

impl Stamp {
    /// `None`: it cannot be looked at.
    pub fn of(path: &Path) -> Option<Stamp> {
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp {
            modified: (found.mtime(), found.mtime_nsec()),
            number: (found.dev(), found.ino()),
            size: found.size(),
        })
    }
}

/// Files and how they were when they were loaded.
pub struct Watched {
    paths: Vec<PathBuf>,
    loaded: Vec<Option<Stamp>>,
    /// As they were last seen: a change counts once it is seen twice, so that files written one after the other are
    /// loaded together.
    seen: Vec<Option<Stamp>>,
}

impl Watched {
    pub fn new(paths: &[PathBuf]) -> Watched {
        let stamps: Vec<_> = paths.iter().map(|path| Stamp::of(path)).collect();
        Watched { paths: paths.to_vec(), loaded: stamps.clone(), seen: stamps }
    }

    /// Whether they are to be loaded. What may not be looked at, or read, has not changed: the worker may have fewer
    /// rights than the master, which sees to it then.
    pub fn look(&mut self) -> bool {
        let now: Vec<_> =
            self.paths.iter().zip(&self.loaded).map(|(path, loaded)| Stamp::of(path).or(*loaded)).collect();
        let settled = now == self.seen;
        self.seen = now;
        if !settled || self.seen == self.loaded || self.paths.iter().any(|path| is_closed(path)) {
            return false;
        }
        self.loaded.clone_from(&self.seen);
        true
    }
}

/// Whether this process may not read a file.
fn is_closed(path: &Path) -> bool {
    File::open(path).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// `ssl_key_log`
pub struct KeyFile(File);

impl KeyFile {
    pub fn open(path: &Path) -> Result<Arc<KeyFile>, String> {
        let opened = File::options().append(true).create(true).open(path);
        let file = opened.map_err(|error| format!("open() \"{}\" failed ({})", path.display(), system(&error)))?;
        Ok(Arc::new(KeyFile(file)))
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFile")
    }
}

impl KeyLog for KeyFile {
    fn log(&self, label: &str, random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // One write, so that lines of several workers do not mix.
        let line = format!("{label} {} {}\n", hex(random), hex(secret));
        let _ = (&self.0).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_is_seen_twice() {
        let path = std::env::temp_dir().join(format!("daemun-watched-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let mut watched = Watched::new(std::slice::from_ref(&path));
        assert!(!watched.look());
        std::fs::write(&path, "ab").unwrap();
        assert!(!watched.look());
        assert!(watched.look());
        assert!(!watched.look());
        std::fs::remove_file(&path).unwrap();
        assert!(!watched.look() && !watched.look());
    }
}
