//! What was looked up lately, for the whole worker. An entry is believed as long as `open_file_cache_valid` says, and
//! then looked up again: if the file is the same, it stays. A hit allocates nothing.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::open::{self, Entry};
use super::rules::{Settings, Symlinks};
use crate::sys;

/// Bounds of a worker's cache.
const ENTRIES: usize = 8192;
const BYTES: usize = 16 << 20;
const DESCRIPTORS: usize = 256;

struct Cache {
    slots: HashMap<Box<[u8]>, Slot>,
    held: Held,
    /// Counts lookups, to tell what was used last.
    clock: u64,
}

struct Slot {
    entry: Arc<Entry>,
    /// The rules it was opened by.
    rules: (Symlinks, bool, usize, usize),
    held: Held,
    /// When it was looked at, in ms.
    checked: u64,
    used: u64,
}

/// What entries hold on to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Held {
    bytes: usize,
    descriptors: usize,
}

static CACHE: LazyLock<Mutex<Cache>> =
    LazyLock::new(|| Mutex::new(Cache { slots: HashMap::new(), held: Held::default(), clock: 0 }));

/// What a path leads to; so many bytes of it are the root.
pub fn find(path: &[u8], root: usize, from: usize, settings: &Settings) -> Arc<Entry> {
    find_or_miss(path, root, from, settings, settings.errors)
}

/// The same for a file that is often not there: for as long as files are believed, that is believed, too.
pub fn find_beside(path: &[u8], root: usize, from: usize, settings: &Settings) -> Arc<Entry> {
    find_or_miss(path, root, from, settings, true)
}

fn find_or_miss(path: &[u8], root: usize, from: usize, settings: &Settings, misses: bool) -> Arc<Entry> {
    let now = if settings.valid == 0 { 0 } else { sys::time::coarse_monotonic_ms() };
    CACHE.lock().unwrap_or_else(PoisonError::into_inner).find(path, (root, from), settings, misses, now)
}

impl Cache {
    fn find(
        &mut self,
        path: &[u8],
        (root, from): (usize, usize),
        settings: &Settings,
        misses: bool,
        now: u64,
    ) -> Arc<Entry> {
        self.clock += 1;
        let rules = (settings.symlinks, settings.hidden, root, from);
        if let Some(slot) = self.slots.get_mut(path)
            && slot.rules == rules
        {
            slot.used = self.clock;
            if settings.valid != 0 && now.saturating_sub(slot.checked) < settings.valid {
                return slot.entry.clone();
            }
            let entry = open::load(path, root, from, settings, Some(&slot.entry));
            if Arc::ptr_eq(&entry, &slot.entry) {
                slot.checked = now;
                return entry;
            }
            return self.keep(path, entry, rules, (settings.valid != 0, misses), now);
        }
        let entry = open::load(path, root, from, settings, None);
        self.keep(path, entry, rules, (settings.valid != 0, misses), now)
    }

    fn keep(
        &mut self,
        path: &[u8],
        entry: Arc<Entry>,
        rules: (Symlinks, bool, usize, usize),
        (believed, misses): (bool, bool),
        now: u64,
    ) -> Arc<Entry> {
        if let Some(slot) = self.slots.remove(path) {
            self.held.bytes -= slot.held.bytes;
            self.held.descriptors -= slot.held.descriptors;
        }
        let worth = match &*entry {
            Entry::File(_) => true,
            Entry::Directory | Entry::Other => believed,
            Entry::Failed(_) => believed && misses,
        };
        let (bytes, descriptors) = entry.weight();
        let held = Held { bytes: bytes + path.len() + 64, descriptors };
        if worth && held.bytes <= BYTES / 4 {
            self.held.bytes += held.bytes;
            self.held.descriptors += held.descriptors;
            let slot = Slot { entry: entry.clone(), rules, held, checked: now, used: self.clock };
            self.slots.insert(path.into(), slot);
            self.make_room();
        }
        entry
    }

    /// Drops the quarter that was not used for the longest time, while there is too much.
    fn make_room(&mut self) {
        while self.slots.len() > ENTRIES || self.held.bytes > BYTES || self.held.descriptors > DESCRIPTORS {
            let mut used: Vec<u64> = self.slots.values().map(|slot| slot.used).collect();
            let quarter = used.len() / 4;
            let (_, &mut limit, _) = used.select_nth_unstable(quarter);
            let held = &mut self.held;
            self.slots.retain(|_, slot| {
                let stays = slot.used > limit;
                if !stays {
                    held.bytes -= slot.held.bytes;
                    held.descriptors -= slot.held.descriptors;
                }
                stays
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::files::open::Body;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    fn cache() -> Cache {
        Cache { slots: HashMap::new(), held: Held::default(), clock: 0 }
    }

    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("daemun-cache-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn content(entry: &Entry) -> Vec<u8> {
        match entry {
            Entry::File(opened) => match &opened.body {
                Body::Memory(bytes) => bytes.to_vec(),
                Body::File(_) => b"(file)".to_vec(),
            },
            Entry::Directory => b"(directory)".to_vec(),
            Entry::Other => b"(other)".to_vec(),
            Entry::Failed(number) => number.to_string().into_bytes(),
        }
    }

    #[test]
    fn an_entry_is_believed_for_its_time() {
        let directory = directory("time");
        let file = directory.join("a");
        let path = file.as_os_str().as_bytes();
        fs::write(&file, "one").unwrap();
        let mut cache = cache();
        let believing = Settings { valid: 1000, ..Settings::default() };
        let first = cache.find(path, (0, 0), &believing, false, 5000);
        fs::write(&file, "three").unwrap();
        assert!(Arc::ptr_eq(&first, &cache.find(path, (0, 0), &believing, false, 5999)));
        let second = cache.find(path, (0, 0), &believing, false, 6000);
        assert_eq!(content(&second), b"three");
        assert!(Arc::ptr_eq(&second, &cache.find(path, (0, 0), &believing, false, 7000)));
        // Without a time it is looked at each time, and the same file is the same entry.
        let strict = Settings::default();
        assert!(Arc::ptr_eq(&second, &cache.find(path, (0, 0), &strict, false, 0)));
        fs::write(&file, "two").unwrap();
        assert_eq!(content(&cache.find(path, (0, 0), &strict, false, 0)), b"two");
        fs::remove_file(&file).unwrap();
        assert_eq!(content(&cache.find(path, (0, 0), &strict, false, 0)), b"2");
        assert_eq!((cache.held, cache.slots.len()), (Held::default(), 0));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_held_is_bounded() {
        let directory = directory("bounds");
        let path = |name: String| directory.join(name);
        for i in 0..300 {
            fs::write(path(i.to_string()), vec![b'x'; 64 * 1024]).unwrap();
            fs::File::create(path(format!("big{i}"))).unwrap().set_len(1 << 20).unwrap();
        }
        let mut cache = cache();
        let settings = Settings::default();
        for i in 0..300 {
            for name in [i.to_string(), format!("big{i}"), "0".to_owned()] {
                cache.find(path(name).as_os_str().as_bytes(), (0, 0), &settings, false, 0);
            }
            assert!(cache.held.bytes <= BYTES && cache.held.descriptors <= DESCRIPTORS);
        }
        assert!(cache.slots.contains_key(path("0".into()).as_os_str().as_bytes()), "what is used often stays");
        let sum: usize = cache.slots.values().map(|slot| slot.held.bytes).sum();
        assert_eq!(sum, cache.held.bytes);
        fs::remove_dir_all(directory).unwrap();
    }
}
