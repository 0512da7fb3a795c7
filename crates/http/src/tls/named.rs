//! Certificates whose names have variables: those that are kept, by the names of their files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::sign::CertifiedKey;

use super::certificates::{self, Place};
use super::files::Stamp;
use crate::features::ssl::Kept;

/// Certificates with their keys.
#[derive(Default)]
pub struct Named {
    all: Mutex<HashMap<(Place, Place), One>>,
}

struct One {
    own: Arc<CertifiedKey>,
    stamps: [Option<Stamp>; 2],
    /// When the files were looked at, and when it was used, in seconds.
    looked: i64,
    used: i64,
}

impl Named {
    /// A certificate with its key: the one that is kept, unless the files have changed. The error is nginx's.
    pub fn get(
        &self,
        certificate: Place,
        key: Place,
        passwords: &[Vec<u8>],
        kept: Kept,
    ) -> Result<Arc<CertifiedKey>, String> {
        let now = crate::sys::time::coarse_seconds();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (certificate, key);
        let fresh = |one: &One| now < one.looked.saturating_add_unsigned(kept.valid);
        if let Some(one) = all.get_mut(&pair).filter(|one| fresh(one)) {
            one.used = now;
            return Ok(one.own.clone());
        }
        let stamps = [&pair.0, &pair.1].map(|place| match place {
            Place::File(path) => Stamp::of(path),
            Place::Data(_) => None,
        });
        if let Some(one) = all.get_mut(&pair).filter(|one| one.stamps == stamps) {
            (one.used, one.looked) = (now, now);
            return Ok(one.own.clone());
        }
        let loaded = certificates::load(&pair.0, &pair.1, passwords);
        let own = Arc::new(loaded.inspect_err(|_| drop(all.remove(&pair)))?);
        if all.len() >= kept.most {
            all.retain(|_, one| now - one.used <= i64::try_from(kept.inactive).unwrap_or(i64::MAX));
        }
        if all.len() >= kept.most
            && let Some(oldest) = all.iter().min_by_key(|(_, one)| one.used).map(|(pair, _)| pair.clone())
        {
            all.remove(&oldest);
        }
        all.insert(pair, One { own: own.clone(), stamps, looked: now, used: now });
        Ok(own)
    }
}
