//! Session tickets (RFC 5077, RFC 8446 section 4.6.1): sealed by keys that all workers derive for themselves.
//!
//! There is one secret, from before the first fork. Every `PERIOD` it is replaced by what a one-way function makes of
//! it, in each process alone: so workers agree without a word, those forked later, too, and what is forgotten cannot be
//! computed again. Keys of past periods are kept for as long as tickets may live.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use rustls::server::ProducesTickets;

use crate::sys;

/// How long tickets are sealed by one key, in seconds.
const PERIOD: u64 = 8 * 3600;
/// Periods after which a key is forgotten.
const KEPT: usize = 3;
/// The longest life of a ticket, in seconds: one whose key was new lives longer.
const LONGEST: u64 = PERIOD * KEPT as u64;
/// Room for the name of a key, or the number of a period.
const NAME: usize = 16;
/// A ticket carries a chain of certificates, at most.
const LARGEST: usize = 64 * 1024;

/// One secret and what it becomes.
struct Ratchet {
    period: u64,
    secret: [u8; 32],
    /// Keys of this period and of those before it, the newest first.
    keys: VecDeque<[u8; 32]>,
}

static RATCHET: Mutex<Option<Ratchet>> = Mutex::new(None);

impl Ratchet {
    /// `None`: there is no randomness to be had.
    fn new(period: u64) -> Option<Ratchet> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        Some(Ratchet { period, secret, keys: VecDeque::from([derived(&secret, b"tickets")]) })
    }

    /// Goes on to a period; never back.
    fn advance(&mut self, period: u64) {
        // After a long sleep nothing of before is of use, but the others have come by the same steps.
        while self.period < period {
            self.period += 1;
            self.secret = derived(&self.secret, b"next");
            self.keys.push_front(derived(&self.secret, b"tickets"));
            self.keys.truncate(KEPT + 1);
        }
    }

    fn key(&self, period: u64) -> Option<&[u8; 32]> {
        self.keys.get(usize::try_from(self.period.checked_sub(period)?).ok()?)
    }
}

fn derived(secret: &[u8], what: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), what);
    let mut key = [0; 32];
    key.copy_from_slice(&tag.as_ref()[..32]);
    key
}

fn with<R>(now: u64, act: impl FnOnce(&Ratchet) -> R) -> Option<R> {
    let mut ratchet = RATCHET.lock().unwrap_or_else(PoisonError::into_inner);
    if ratchet.is_none() {
        *ratchet = Ratchet::new(now / PERIOD);
    }
    let ratchet = ratchet.as_mut()?;
    ratchet.advance(now / PERIOD);
    Some(act(ratchet))
}

fn now() -> u64 {
    sys::time::coarse_seconds().max(0) as u64
}

/// Makes the secret, if there is none: before the first fork.
pub fn prepare() {
    let _ = with(now(), |_| ());
}

/// Forgets what its time is over for; to be called now and then, by the master, too.
pub fn advance() {
    let mut ratchet = RATCHET.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ratchet) = &mut *ratchet {
        ratchet.advance(now() / PERIOD);
    }
}

/// Seals tickets for one kind of server.
pub struct Tickets {
    /// What such servers have in common: tickets of others are none.
    identity: [u8; 32],
    /// In seconds.
    lifetime: u64,
    /// Of files: name and key, the first seals. Empty: the secret's.
    files: Vec<([u8; NAME], [u8; 32])>,
    /// The last key that was derived, and its period.
    last: Mutex<Option<(u64, LessSafeKey)>>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({} s)", self.lifetime)
    }
}

impl Tickets {
    /// `lifetime` in seconds; `files` are contents of key files, 48 or 80 bytes each.
    pub fn new(identity: [u8; 32], lifetime: u64, files: &[Vec<u8>]) -> Tickets {
        let files = files.iter().map(|bytes| {
            let mut name = [0; NAME];
            name.copy_from_slice(&bytes[..NAME]);
            (name, derived(&bytes[NAME..], &identity))
        });
        Tickets { identity, lifetime: lifetime.min(LONGEST), files: files.collect(), last: Mutex::new(None) }
    }

    /// Acts with the key of a period.
    fn with_key<R>(&self, period: u64, now: u64, act: impl FnOnce(&LessSafeKey) -> R) -> Option<R> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(&*last, Some((own, _)) if *own == period) {
            let bytes = with(now, |ratchet| ratchet.key(period).map(|key| derived(key, &self.identity)))??;
            *last = Some((period, key(&bytes)?));
        }
        last.as_ref().map(|(_, key)| act(key))
    }

    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let mut body = now.to_be_bytes().to_vec();
        body.extend_from_slice(plain);
        match self.files.first() {
            Some((name, bytes)) => sealed(&key(bytes)?, name, body),
            None => {
                let period = now / PERIOD;
                let mut name = [0; NAME];
                name[..8].copy_from_slice(&period.to_be_bytes());
                self.with_key(period, now, |key| sealed(key, &name, body))?
            }
        }
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        if ticket.len() > LARGEST {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let plain = if self.files.is_empty() {
            let period = u64::from_be_bytes(*name.first_chunk()?);
            let within = period <= now / PERIOD && now / PERIOD - period <= KEPT as u64;
            if !within {
                return None;
            }
            self.with_key(period, now, |key| opened(key, name, rest))??
        } else {
            let (_, bytes) = self.files.iter().find(|(own, _)| own == name)?;
            opened(&key(bytes)?, name, rest)?
        };
        let (made, plain) = plain.split_first_chunk::<8>()?;
        let age = now.saturating_sub(u64::from_be_bytes(*made));
        (age <= self.lifetime).then(|| plain.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now())
    }
}

fn key(bytes: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

/// The key's name, a nonce, what is sealed.
fn sealed(key: &LessSafeKey, name: &[u8; NAME], mut body: Vec<u8>) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).ok()?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut body).ok()?;
    let mut ticket = Vec::with_capacity(NAME + NONCE_LEN + body.len());
    ticket.extend_from_slice(name);
    ticket.extend_from_slice(&nonce);
    ticket.append(&mut body);
    Some(ticket)
}

fn opened(key: &LessSafeKey, name: &[u8; NAME], rest: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut body = sealed.to_vec();
    let len = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name), &mut body).ok()?.len();
    body.truncate(len);
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_come_to_the_same_keys_and_forget() {
        let mut one = Ratchet::new(10).unwrap();
        let mut other = Ratchet { period: 10, secret: one.secret, keys: one.keys.clone() };
        let first = *one.key(10).unwrap();
        one.advance(11);
        one.advance(13);
        other.advance(13);
        assert_eq!((one.secret, &one.keys), (other.secret, &other.keys));
        assert_eq!(one.key(10), Some(&first));
        one.advance(12);
        assert_eq!(one.period, 13);
        one.advance(14);
        assert_eq!((one.key(10), one.key(15)), (None, None));
    }

    #[test]
    fn tickets_open_for_their_own_kind_of_server_and_their_time() {
        let now = now();
        let tickets = Tickets::new([1; 32], 300, &[]);
        let ticket = tickets.seal(b"session", now).unwrap();
        assert_eq!(tickets.open(&ticket, now + 300).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets.open(&ticket, now + 301), None);
        assert_eq!(Tickets::new([2; 32], 300, &[]).open(&ticket, now), None);
        let mut broken = ticket.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(tickets.open(&broken, now), None);
        for len in 0..ticket.len() {
            assert_eq!(tickets.open(&ticket[..len], now), None);
        }
    }

    #[test]
    fn of_key_files_the_first_seals_and_all_open() {
        let (old, new) = (vec![7; 80], vec![9; 48]);
        let now = now();
        let before = Tickets::new([1; 32], 300, std::slice::from_ref(&old));
        let after = Tickets::new([1; 32], 300, &[new, old]);
        let ticket = before.seal(b"x", now).unwrap();
        assert_eq!(after.open(&ticket, now).as_deref(), Some(&b"x"[..]));
        assert_eq!(before.open(&after.seal(b"x", now).unwrap(), now), None);
    }
}
