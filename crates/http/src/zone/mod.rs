//! Zones: named memory that all workers share, as `limit_req_zone` and its kin declare it.
//!
//! A configuration declares zones ([`Zones`]); the master maps them before it forks ([`Zones::map`]), so that the workers
//! find them at the same place. At a reload a zone whose name, use, size and key are the same keeps its memory and all
//! that is in it; a zone that differs in any of these begins anew. Checking a configuration (`-t`) maps nothing.
//!
//! What is in the memory is nobody's business here but that of the structures beside:
//!
//! - [`cells`]: one number per key, for many keys, the least useful given up when there is no room (`limit_req`);
//! - [`holds`]: how many of something each key has at the moment, by worker, so that a dead worker's are taken back
//!   (`limit_conn`);
//! - [`records`]: numbers of few keys that stay, some by worker (servers of groups);
//! - [`values`]: short texts per key that may be forgotten at any time (what sessions and caches need).
//!
//! They have in common: keys are known by a hash of 128 bits under a secret made at the start ([`hash`]), of which 64
//! bits are kept and the others say where. So nobody can choose keys that meet, and an entry has a fixed size however
//! long its key is. An entry can only be in one bucket of neighbours; nothing is linked. The state is in atomics, each
//! change is one compare-and-swap, and **there are no locks**: a worker that is killed or stopped at any instant leaves
//! nothing that others wait for. These structures read no clock and make no system call.

pub mod cells;
pub mod hash;
pub mod holds;
pub mod records;
pub mod values;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use crate::sys;
use hash::Secret;

/// What the memory of a zone is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    Requests,
    Connections,
    /// Of TLS.
    Sessions,
    /// What is known of servers over a reload.
    Health,
    /// Of OCSP.
    Responses,
    /// What is known of the servers of groups. It begins anew with each configuration.
    Servers,
    /// Which server clients are bound to.
    Bound,
}

/// Memory, and the secret of the keys in it.
pub struct Memory {
    shared: sys::shared::Shared,
    pub secret: Secret,
}

impl Memory {
    pub fn new(bytes: u64) -> io::Result<Memory> {
        let shared = sys::shared::Shared::new(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        Ok(Memory { shared, secret: Secret::random() })
    }

    pub fn numbers(&self) -> &[std::sync::atomic::AtomicU64] {
        self.shared.numbers()
    }
}

/// A zone that a configuration names.
pub struct Zone {
    pub name: String,
    pub used_for: Use,
    /// In bytes; unset while only directives that use it have been seen.
    size: OnceLock<u64>,
    /// What its entries are known by, as typed.
    key: OnceLock<String>,
    memory: OnceLock<Arc<Memory>>,
    /// Of `Use::Servers`: how many records there may be.
    records: AtomicUsize,
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({}, {:?})", self.name, self.used_for)
    }
}

impl Zone {
    /// So many more records are to have room. `false`: there is not enough for all.
    pub fn want(&self, more: usize) -> bool {
        let all = self.records.fetch_add(more, Relaxed) + more;
        self.size.get().is_none_or(|size| records::bytes(all as u64, 1) <= *size)
    }

    /// How many records there may be.
    pub fn records(&self) -> usize {
        self.records.load(Relaxed)
    }

    /// A zone that is mapped already.
    pub fn mapped(name: &str, memory: Arc<Memory>, used_for: Use) -> Zone {
        let zone = Zone::new(name, used_for, OnceLock::new());
        let _ = zone.memory.set(memory);
        zone
    }

    fn new(name: &str, used_for: Use, size: OnceLock<u64>) -> Zone {
        let (key, memory) = (OnceLock::new(), OnceLock::new());
        Zone { name: name.to_owned(), used_for, size, key, memory, records: AtomicUsize::new(0) }
    }

    /// Its memory; `None` while it is not mapped.
    pub fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.get()
    }

    /// Says what entries are known by. The error is what was said before.
    pub fn bind(&self, key: &str) -> Result<(), &str> {
        match self.key.set(key.to_owned()) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.key.get().map_or("", String::as_str)),
        }
    }

    /// Its contents mean the same as those of the other.
    fn is_same(&self, other: &Zone) -> bool {
        let what = |zone: &Zone| (zone.used_for, zone.size.get().copied(), zone.key.get().cloned());
        self.name == other.name && self.used_for != Use::Servers && what(self) == what(other)
    }
}

/// The smallest size of a zone, in pages.
pub const LEAST_PAGES: u64 = 8;
/// In bytes.
pub const PAGE: u64 = 4096;

/// The zones of a configuration.
#[derive(Default)]
pub struct Zones {
    all: Vec<Arc<Zone>>,
}

impl Zones {
    /// Finds a zone by its name or makes it; `size` 0: whatever another directive says. The error is nginx's.
    pub fn declare(&mut self, name: &str, size: u64, used_for: Use) -> Result<Arc<Zone>, String> {
        if let Some(zone) = self.all.iter().find(|zone| zone.name == name) {
            if zone.used_for != used_for {
                return Err(format!("the shared memory zone \"{name}\" is already declared for a different use"));
            }
            if size != 0 {
                let declared = *zone.size.get_or_init(|| size);
                if declared != size {
                    return Err(format!(
                        "the size {size} of shared memory zone \"{name}\" conflicts with already declared size {declared}"
                    ));
                }
            }
            return Ok(zone.clone());
        }
        let known = OnceLock::new();
        if size != 0 {
            let _ = known.set(size);
        }
        self.all.push(Arc::new(Zone::new(name, used_for, known)));
        Ok(self.all[self.all.len() - 1].clone())
    }

    /// Zones that no directive has given a size.
    pub fn without_size(&self) -> impl Iterator<Item = &Zone> {
        self.all.iter().map(|zone| &**zone).filter(|zone| zone.size.get().is_none())
    }

    /// Gives every zone that has none its memory: that of the same zone in `previous`, or new. The error is nginx's.
    pub fn map(&self, previous: Option<&Zones>) -> Result<(), String> {
        for zone in self.all.iter().filter(|zone| zone.memory.get().is_none()) {
            let known = previous.and_then(|zones| zones.all.iter().find(|old| old.is_same(zone)));
            let size = zone.size.get().copied().unwrap_or(LEAST_PAGES * PAGE);
            let memory = match known.and_then(|old| old.memory.get()) {
                Some(memory) => memory.clone(),
                None => Arc::new(Memory::new(size).map_err(|error| {
                    let code = error.raw_os_error().unwrap_or_default();
                    let why = error.to_string();
                    let why = why.split(" (os error").next().unwrap_or_default();
                    format!("mmap(MAP_ANON|MAP_SHARED, {size}) failed ({code}: {why})")
                })?),
            };
            let _ = zone.memory.set(memory);
        }
        Ok(())
    }

    /// Takes back what the worker of this row held when it ended. For the master, before another worker has the row.
    pub fn worker_ended(&self, row: usize) {
        for zone in &self.all {
            match (zone.used_for, zone.memory.get()) {
                (Use::Connections, Some(memory)) => holds::Holds::new(memory.numbers()).clear(row),
                (Use::Servers, Some(memory)) => records::Records::new(memory.numbers()).clear(row),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = LEAST_PAGES * PAGE;

    #[test]
    fn declarations_that_contradict_each_other() {
        let mut zones = Zones::default();
        let used = zones.declare("a", 0, Use::Requests).unwrap();
        assert_eq!(zones.without_size().count(), 1);
        let declared = zones.declare("a", SIZE, Use::Requests).unwrap();
        assert!(Arc::ptr_eq(&used, &declared));
        assert_eq!(zones.without_size().count(), 0);
        assert_eq!(
            zones.declare("a", 1, Use::Requests).err().unwrap(),
            "the size 1 of shared memory zone \"a\" conflicts with already declared size 32768"
        );
        assert!(zones.declare("a", SIZE, Use::Connections).err().unwrap().ends_with("for a different use"));
        assert_eq!(declared.bind("$x"), Ok(()));
        assert_eq!(declared.bind("$y"), Err("$x"));
    }

    #[test]
    fn the_same_zone_keeps_its_contents_at_a_reload() {
        let make = |name: &str, size, key: &str| {
            let mut zones = Zones::default();
            zones.declare(name, size, Use::Requests).unwrap().bind(key).unwrap();
            zones
        };
        let content = |zones: &Zones| zones.all[0].memory().unwrap().numbers()[5].load(Relaxed);
        let old = make("a", SIZE, "$k");
        old.map(None).unwrap();
        old.all[0].memory().unwrap().numbers()[5].store(9, Relaxed);
        for (new, kept) in [
            (make("a", SIZE, "$k"), 9),
            (make("b", SIZE, "$k"), 0),
            (make("a", 2 * SIZE, "$k"), 0),
            (make("a", SIZE, "$other"), 0),
        ] {
            new.map(Some(&old)).unwrap();
            assert_eq!(content(&new), kept);
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        let mut zones = Zones::default();
        zones.declare("a", 1 << 62, Use::Requests).unwrap();
        assert!(zones.map(None).unwrap_err().contains("12: Cannot allocate memory"));
    }
}
