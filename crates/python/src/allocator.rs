//! Memory for what a connection keeps while it is idle: its task and its registration with the reactor, both small and
//! aligned to 128 bytes. The C library's allocator needs about half as much again for such blocks; everything else goes to it as
//! usual.
//!
//! Blocks of one size are cut from slabs and kept in a free list; the layout that comes back with a block tells its
//! list, so blocks need no header. Slabs are never given back: they are what the busiest moment needed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

const ALIGN: usize = 128;
/// Sizes of 1 to 4 times `ALIGN` are served.
const CLASSES: usize = 4;
const SLAB: usize = 32 * 1024;

/// The allocator of the whole module.
pub struct Slabs {
    lists: [List; CLASSES],
}

/// Free blocks of one size, linked through their first word.
struct List {
    locked: AtomicBool,
    first: AtomicPtr<u8>,
}

impl Slabs {
    pub const fn new() -> Slabs {
        Slabs { lists: [const { List { locked: AtomicBool::new(false), first: AtomicPtr::new(null_mut()) } }; CLASSES] }
    }

    /// The list of a layout and the size of its blocks; none: it is the C library's.
    fn list(&self, layout: Layout) -> Option<(&List, usize)> {
        if layout.align() != ALIGN || layout.size() == 0 {
            return None;
        }
        let class = layout.size().div_ceil(ALIGN);
        self.lists.get(class - 1).map(|list| (list, class * ALIGN))
    }
}

impl List {
    fn lock(&self) {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::hint::spin_loop();
        }
    }

    fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
    }

    fn take(&self, size: usize) -> *mut u8 {
        self.lock();
        let mut block = self.first.load(Ordering::Relaxed);
        if block.is_null() {
            block = cut(size);
        }
        if !block.is_null() {
            // SAFETY: a block in the list is at least a word long, aligned, ours alone, and its first word is the
            // next block or null.
            let next = unsafe { block.cast::<*mut u8>().read() };
            self.first.store(next, Ordering::Relaxed);
        }
        self.unlock();
        block
    }

    fn put(&self, block: *mut u8) {
        self.lock();
        let next = self.first.load(Ordering::Relaxed);
        // SAFETY: the block was just given up by its owner, is aligned and at least a word long.
        unsafe { block.cast::<*mut u8>().write(next) };
        self.first.store(block, Ordering::Relaxed);
        self.unlock();
    }
}

/// A new slab as a list of linked blocks; null when there is no memory.
fn cut(size: usize) -> *mut u8 {
    let Ok(layout) = Layout::from_size_align(SLAB, ALIGN) else { return null_mut() };
    // SAFETY: the layout is not empty.
    let slab = unsafe { System.alloc(layout) };
    if slab.is_null() {
        return slab;
    }
    let count = SLAB / size;
    for index in 0..count {
        // SAFETY: `index * size + size` is at most SLAB, so block and next block are within the slab, and each is
        // aligned because `size` is a multiple of ALIGN.
        unsafe {
            let next = if index + 1 < count { slab.add((index + 1) * size) } else { null_mut() };
            slab.add(index * size).cast::<*mut u8>().write(next);
        }
    }
    slab
}

// SAFETY: a block is in a free list or with one owner, never both; lists change under their lock only; blocks are as
// large and as aligned as their layout asks; everything else is the C library's business with the same layout.
unsafe impl GlobalAlloc for Slabs {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.list(layout) {
            Some((list, size)) => list.take(size),
            // SAFETY: the caller's promises about `layout` are passed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.list(layout) {
            Some((list, _)) => list.put(block),
            // SAFETY: `block` came from `System` with this same layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.list(layout) {
            Some((list, size)) => {
                let block = list.take(size);
                if !block.is_null() {
                    // SAFETY: the block is `size` bytes long and ours.
                    unsafe { block.write_bytes(0, size) };
                }
                block
            }
            // SAFETY: the caller's promises about `layout` are passed on.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.list(layout).is_none() && layout.align() != ALIGN {
            // SAFETY: `block` came from `System` with this layout, and a layout of that alignment stays there.
            return unsafe { System.realloc(block, layout, size) };
        }
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        // SAFETY: a new block is at least as long as what is copied, and cannot overlap the old one.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
