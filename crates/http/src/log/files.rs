//! Log files whose names have variables: opened for a line and closed again, or kept open a while as
//! `open_log_file_cache` says.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::errno_text;
use super::sink::open_failed;
use super::target::Wrong;

/// What `open_log_file_cache` says. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most files that are open; the one that was used the longest time ago goes first.
    pub max: usize,
    /// A file that was not used for so long is closed.
    pub inactive: u64,
    /// A file stays open after it was used so many times.
    pub min_uses: u64,
    /// How long it is believed that the name still means the open file.
    pub valid: u64,
}

impl Limits {
    /// Reads the arguments of `open_log_file_cache`; `None` is `off`. The error is in nginx's words.
    pub fn parse(words: &[&str]) -> Result<Option<Limits>, Wrong> {
        let mut limits = Limits { max: 0, inactive: 10_000, min_uses: 1, valid: 60_000 };
        let mut off = false;
        for (at, word) in words.iter().enumerate() {
            let number = |text: &str| conf::size(text).filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
            let seconds = |text: &str| conf::time_s(text).map(|s| s.saturating_mul(1000));
            let read = match word.split_once('=') {
                Some(("max", text)) => number(text).map(|max| limits.max = max.min(1 << 20) as usize),
                Some(("inactive", text)) => seconds(text).map(|ms| limits.inactive = ms),
                Some(("min_uses", text)) => number(text).map(|uses| limits.min_uses = uses),
                Some(("valid", text)) => seconds(text).map(|ms| limits.valid = ms),
                None if *word == "off" => {
                    off = true;
                    Some(())
                }
                _ => None,
            };
            read.ok_or_else(|| (at, format!("invalid \"open_log_file_cache\" parameter \"{word}\"")))?;
        }
        match limits.max {
            _ if off => Ok(None),
            0 => Err((0, "\"open_log_file_cache\" must have \"max\" parameter".to_owned())),
            _ => Ok(Some(limits)),
        }
    }
}

/// The open files. Shared by reference.
pub struct FileCache {
    limits: Option<Limits>,
    known: Mutex<HashMap<PathBuf, Entry>>,
}

struct Entry {
    /// `None`: it was not used often enough yet.
    file: Option<File>,
    /// Device and inode of the open file.
    identity: (u64, u64),
    uses: u64,
    /// When it was used last, and when its name was looked at last.
    used: u64,
    looked: u64,
}

impl FileCache {
    /// `None`: each line opens and closes its file.
    pub fn new(limits: Option<Limits>) -> FileCache {
        FileCache { limits, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one line, which is without its end, in one write(2). `now`: milliseconds of the coarse monotonic clock.
    /// The error is in nginx's words, for its level `crit`.
    pub fn write(&self, path: &Path, line: &[u8], now: u64) -> Result<(), String> {
        let written = match self.limits {
            None => {
                let file = append(path).map_err(|error| open_failed(path, &error))?;
                put(&file, line)
            }
            Some(limits) => {
                let mut known = self.lock();
                let entry = match ready(&mut known, limits, path, now) {
                    Ok(entry) => entry,
                    Err(error) => {
                        known.remove(path);
                        return Err(open_failed(path, &error));
                    }
                };
                let Entry { file: Some(file), uses, .. } = entry else { return Ok(()) };
                let written = put(file, line);
                if *uses < limits.min_uses {
                    entry.file = None;
                }
                written
            }
        };
        written.map_err(|error| format!("write() to \"{}\" failed ({})", path.display(), errno_text(&error)))
    }

    /// Closes what was not used for long.
    pub fn tick(&self, now: u64) {
        if let Some(limits) = self.limits {
            self.lock().retain(|_, entry| now.saturating_sub(entry.used) < limits.inactive);
        }
    }

    /// Closes all, as their names may mean other files now.
    pub fn reopen(&self) {
        self.lock().clear();
    }
}

/// The entry of a path, with its file open.
fn ready<'a>(
    known: &'a mut HashMap<PathBuf, Entry>,
    limits: Limits,
    path: &Path,
    now: u64,
) -> io::Result<&'a mut Entry> {
    if !known.contains_key(path) {
        if known.len() >= limits.max
            && let Some(oldest) = known.iter().min_by_key(|(_, entry)| entry.used).map(|(path, _)| path.clone())
        {
            known.remove(&oldest);
        }
        let entry = Entry { file: None, identity: (0, 0), uses: 0, used: now, looked: now };
        known.insert(path.to_owned(), entry);
    }
    let entry = known.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
    if now.saturating_sub(entry.used) >= limits.inactive {
        (entry.file, entry.uses) = (None, 0);
    }
    entry.used = now;
    entry.uses = entry.uses.saturating_add(1);
    if entry.file.is_some() && now.saturating_sub(entry.looked) >= limits.valid {
        entry.looked = now;
        let same = std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == entry.identity);
        if !same {
            entry.file = None;
        }
    }
    if entry.file.is_none() {
        let file = append(path)?;
        let found = file.metadata()?;
        (entry.identity, entry.looked, entry.file) = ((found.dev(), found.ino()), now, Some(file));
    }
    Ok(entry)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
}

fn put(mut file: &File, line: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(line), IoSlice::new(b"\n")])?;
    // A short write: the disk is about to be full.
    match line.get(written..) {
        Some(rest) => file.write_all(rest).and_then(|()| file.write_all(b"\n")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Limits>, Wrong> {
        Limits::parse(&line.split(' ').collect::<Vec<_>>())
    }

    /// The texts are those of nginx 1.22.
    #[test]
    fn the_arguments() {
        assert_eq!(parse("off"), Ok(None));
        let limits = Limits { max: 10, inactive: 20_000, min_uses: 2, valid: 60_000 };
        assert_eq!(parse("max=10 inactive=20s min_uses=2 valid=1m"), Ok(Some(limits)));
        for (line, at, what) in [
            ("inactive=1", 0, "\"open_log_file_cache\" must have \"max\" parameter"),
            ("max=0", 0, "\"open_log_file_cache\" must have \"max\" parameter"),
            ("max=x", 0, "invalid \"open_log_file_cache\" parameter \"max=x\""),
            ("max=10 inactive=x", 1, "invalid \"open_log_file_cache\" parameter \"inactive=x\""),
            ("max=10 valid=10ms", 1, "invalid \"open_log_file_cache\" parameter \"valid=10ms\""),
            ("max=10 foo", 1, "invalid \"open_log_file_cache\" parameter \"foo\""),
        ] {
            assert_eq!(parse(line), Err((at, what.to_owned())), "{line}");
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("daemun-files-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn is_open(cache: &FileCache, path: &Path) -> bool {
        cache.lock().get(path).is_some_and(|entry| entry.file.is_some())
    }

    #[test]
    fn without_a_cache_each_line_opens_its_file() {
        let folder = folder("none");
        let path = folder.join("a.log");
        let cache = FileCache::new(None);
        cache.write(&path, b"one", 0).unwrap();
        std::fs::remove_file(&path).unwrap();
        cache.write(&path, b"two", 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n");
        let error = cache.write(&folder.join("no/a.log"), b"x", 0).unwrap_err();
        assert!(error.starts_with("open() \"") && error.ends_with("/no/a.log\" failed (2: No such file or directory)"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_are_kept_as_the_limits_say() {
        let folder = folder("some");
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.join(name));
        let limits = Limits { max: 2, inactive: 1000, min_uses: 2, valid: 300 };
        let cache = FileCache::new(Some(limits));
        cache.write(&a, b"1", 0).unwrap();
        assert!(!is_open(&cache, &a), "used once");
        cache.write(&a, b"2", 10).unwrap();
        assert!(is_open(&cache, &a), "used twice");
        cache.write(&b, b"1", 20).unwrap();
        cache.write(&a, b"3", 30).unwrap();
        cache.write(&c, b"1", 40).unwrap();
        assert!(cache.lock().len() == 2 && is_open(&cache, &a), "`b` was used the longest time ago");
        assert_eq!(std::fs::read(&a).unwrap(), b"1\n2\n3\n");

        std::fs::remove_file(&a).unwrap();
        cache.write(&a, b"4", 200).unwrap();
        assert!(!a.exists(), "the name is believed for a while");
        cache.write(&a, b"5", 400).unwrap();
        assert_eq!(std::fs::read(&a).unwrap(), b"5\n");
        cache.tick(1100);
        assert_eq!(cache.lock().len(), 1, "`c` was not used for long");
        cache.reopen();
        assert_eq!(cache.lock().len(), 0);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
