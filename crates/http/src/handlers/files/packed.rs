//! Small files as they were compressed on the fly, kept with their entry in the cache: the next client gets the same
//! bytes without the work. Together they hold a bounded amount of memory; what is beyond is compressed each time.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use crate::stage::{Coding, Ratio, Stage};

/// What a worker keeps of them, in bytes.
const MOST: usize = 8 << 20;

/// Bytes that are kept.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// One file in each coding.
#[derive(Default)]
pub struct Packed([OnceLock<One>; 3]);

struct One {
    /// Of the coding.
    level: i32,
    bytes: Arc<[u8]>,
}

impl Packed {
    /// A body in the coding of `coder`; `None`: it could not be coded.
    pub fn of(&self, body: &[u8], coder: &mut dyn Stage) -> Option<(Arc<[u8]>, Ratio)> {
        let (coding, level) = coder.makes()?;
        let place = &self.0[coding.index()];
        let bytes = match place.get().filter(|one| one.level == level) {
            Some(one) => one.bytes.clone(),
            None => {
                let mut out = Vec::new();
                coder.last(body, &mut out);
                if coder.failure().is_some() {
                    return None;
                }
                let bytes: Arc<[u8]> = out.into();
                keep(place, level, &bytes);
                bytes
            }
        };
        Some((bytes.clone(), ratio(coding, body, &bytes)))
    }
}

fn ratio(coding: Coding, body: &[u8], bytes: &[u8]) -> Ratio {
    Ratio { coding, input: body.len() as u64, output: bytes.len() as u64 }
}

fn keep(place: &OnceLock<One>, level: i32, bytes: &Arc<[u8]>) {
    let len = bytes.len();
    if KEPT.fetch_add(len, Relaxed) + len > MOST {
        KEPT.fetch_sub(len, Relaxed);
        return;
    }
    // If another one is there already, this one ends here.
    let _ = place.set(One { level, bytes: bytes.clone() });
}

impl Drop for One {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.bytes.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::gzip::Gzip;

    #[test]
    fn the_first_level_is_kept_and_bounded() {
        let body = b"some text, and some more text".repeat(100);
        let packed = Packed::default();
        let (first, ratio) = packed.of(&body, &mut Gzip::new(6, None)).unwrap();
        assert_eq!((ratio.input, ratio.output), (body.len() as u64, first.len() as u64));
        assert!(Arc::ptr_eq(&first, &packed.of(&body, &mut Gzip::new(6, None)).unwrap().0));
        assert!(!Arc::ptr_eq(&first, &packed.of(&body, &mut Gzip::new(1, None)).unwrap().0));
        let before = KEPT.fetch_add(MOST, Relaxed);
        let other = Packed::default();
        let one = other.of(&body, &mut Gzip::new(6, None)).unwrap().0;
        assert!(!Arc::ptr_eq(&one, &other.of(&body, &mut Gzip::new(6, None)).unwrap().0));
        KEPT.fetch_sub(MOST, Relaxed);
        assert!(before >= first.len());
    }
}
