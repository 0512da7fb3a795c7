//! What was looked up lately. An entry is trusted for the second in which it was checked, and then looked up again:
//! if the files are the same, it stays. A hit allocates nothing.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::open::{Body, Entry, Root};

/// Bounds of one directory's cache in one worker.
const ENTRIES: usize = 8192;
const BYTES: usize = 16 << 20;
const DESCRIPTORS: usize = 256;

pub struct Cache {
    root: Root,
    /// The second in which `root` was checked.
    checked: i64,
    slots: HashMap<Box<[u8]>, Slot>,
    held: Held,
    /// Counts lookups, to tell what was used last.
    clock: u64,
}

struct Slot {
    entry: Arc<Entry>,
    held: Held,
    checked: i64,
    used: u64,
}

/// What entries hold on to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Held {
    bytes: usize,
    descriptors: usize,
}

impl Held {
    fn by(name: &[u8], entry: &Entry) -> Held {
        let Entry::File(variants) = entry else { return Held { bytes: name.len() + 128, descriptors: 0 } };
        let files = variants.all.iter().filter(|it| matches!(it.body, Body::File(_)));
        let bytes: usize = variants.all.iter().map(|it| it.weight()).sum();
        Held { bytes: name.len() + 128 + bytes, descriptors: files.count() }
    }

    fn add(&mut self, other: Held) {
        self.bytes += other.bytes;
        self.descriptors += other.descriptors;
    }

    fn remove(&mut self, other: Held) {
        self.bytes -= other.bytes;
        self.descriptors -= other.descriptors;
    }
}

impl Cache {
    pub fn open(root: &Path) -> io::Result<Cache> {
        let root = Root::open(root)?;
        Ok(Cache { root, checked: 0, slots: HashMap::new(), held: Held::default(), clock: 0 })
    }

    /// What a name stands for, in the second `now`.
    pub fn find(&mut self, name: &[u8], now: i64) -> io::Result<Arc<Entry>> {
        self.clock += 1;
        if let Some(slot) = self.slots.get_mut(name)
            && slot.checked == now
        {
            slot.used = self.clock;
            return Ok(slot.entry.clone());
        }
        self.look_up(name, now)
    }

    #[cold]
    fn look_up(&mut self, name: &[u8], now: i64) -> io::Result<Arc<Entry>> {
        if self.checked != now {
            self.checked = now;
            if let Some(root) = self.root.successor() {
                self.root = root;
                self.slots.clear();
                self.held = Held::default();
            }
        }
        let before = self.slots.get(name).map(|slot| &slot.entry);
        let loaded = self.root.load(name, before);
        if let (Ok(entry), Some(slot)) = (&loaded, self.slots.get_mut(name))
            && Arc::ptr_eq(entry, &slot.entry)
        {
            slot.checked = now;
            slot.used = self.clock;
            return loaded;
        }
        self.remove(name);
        let entry = loaded?;
        let held = Held::by(name, &entry);
        if held.bytes <= BYTES / 4 {
            self.held.add(held);
            let slot = Slot { entry: entry.clone(), held, checked: now, used: self.clock };
            self.slots.insert(name.into(), slot);
            self.make_room();
        }
        Ok(entry)
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(slot) = self.slots.remove(name) {
            self.held.remove(slot.held);
        }
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
                    held.remove(slot.held);
                }
                stays
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("daemun-cache-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn content(entry: &Entry) -> Vec<u8> {
        match entry {
            Entry::File(variants) => match &variants.all[0].body {
                Body::Memory(bytes) => bytes.to_vec(),
                Body::File(_) => b"(file)".to_vec(),
            },
            Entry::Directory => b"(directory)".to_vec(),
        }
    }

    #[test]
    fn an_entry_is_trusted_for_its_second() {
        let path = directory("second");
        fs::write(path.join("a"), "one").unwrap();
        let mut cache = Cache::open(&path).unwrap();
        let first = cache.find(b"a", 1).unwrap();
        fs::write(path.join("a"), "three").unwrap();
        assert!(Arc::ptr_eq(&first, &cache.find(b"a", 1).unwrap()));
        let second = cache.find(b"a", 2).unwrap();
        assert_eq!(content(&second), b"three");
        assert!(Arc::ptr_eq(&second, &cache.find(b"a", 3).unwrap()));
        fs::remove_file(path.join("a")).unwrap();
        assert!(cache.find(b"a", 4).is_err());
        assert_eq!((cache.held, cache.slots.len()), (Held::default(), 0));
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_is_held_is_bounded() {
        let path = directory("bounds");
        for i in 0..300 {
            fs::write(path.join(i.to_string()), vec![b'x'; 64 * 1024]).unwrap();
            let big = fs::File::create(path.join(format!("big{i}"))).unwrap();
            big.set_len(1 << 20).unwrap();
        }
        let mut cache = Cache::open(&path).unwrap();
        for i in 0..300 {
            cache.find(i.to_string().as_bytes(), 1).unwrap();
            cache.find(format!("big{i}").as_bytes(), 1).unwrap();
            cache.find(b"0", 1).unwrap();
            assert!(cache.held.bytes <= BYTES && cache.held.descriptors <= DESCRIPTORS);
        }
        assert!(cache.slots.contains_key(&b"0"[..]), "what is used often stays");
        let mut sum = Held::default();
        cache.slots.values().for_each(|slot| sum.add(slot.held));
        assert_eq!(sum, cache.held);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_new_directory_in_the_same_place_is_taken() {
        let path = directory("deploy");
        for release in ["1", "2"] {
            fs::create_dir_all(path.join(release)).unwrap();
            fs::write(path.join(release).join("a"), release).unwrap();
        }
        let current = path.join("current");
        std::os::unix::fs::symlink("1", &current).unwrap();
        let mut cache = Cache::open(&current).unwrap();
        assert_eq!(content(&cache.find(b"a", 1).unwrap()), b"1");
        fs::remove_file(&current).unwrap();
        std::os::unix::fs::symlink("2", &current).unwrap();
        assert_eq!(content(&cache.find(b"a", 2).unwrap()), b"2");
        fs::remove_dir_all(path).unwrap();
    }
}
