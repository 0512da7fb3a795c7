//! A password as an htpasswd file has it, in each of the formats, and whether another one is it.
//!
//! What a stored text asks for is bounded: a file may come from elsewhere, and one line must not hold up a server.

use argon2::{Algorithm, Argon2, Version};
use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use sha_crypt::{PasswordVerifier, ShaCrypt};

use super::md5_crypt;
use crate::base64;

/// Passwords longer than this are wrong where checking them takes its time: crypt(3) says so, too. In bytes.
const LONGEST: usize = 512;
/// The most that bcrypt may be asked for: 2 to this many rounds, about two seconds.
const MOST_BCRYPT: u32 = 15;
/// The most rounds of SHA-crypt, about a second.
const MOST_ROUNDS: u32 = 1_000_000;
/// The most memory of Argon2, in KiB, and the most of it that all passes together may write.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_WRITTEN: u64 = 4 * 1024 * 1024;
const MOST_LANES: u32 = 64;
/// Bytes of SHA-1.
const SHA1: usize = 20;

/// Why a stored text cannot be used.
pub type Unusable = &'static str;

/// A stored password, taken apart.
pub enum Stored<'t> {
    Plain(&'t [u8]),
    /// SHA-1 of the password and this salt.
    Sha {
        digest: [u8; SHA1],
        salt: Vec<u8>,
    },
    Md5 {
        magic: &'static [u8],
        salt: &'t [u8],
        digest: &'t [u8],
    },
    Bcrypt(&'t str),
    ShaCrypt(&'t str),
    Argon2 {
        argon2: Box<Argon2<'static>>,
        salt: Vec<u8>,
        digest: Vec<u8>,
    },
}

impl<'t> Stored<'t> {
    /// Takes a text of a file apart.
    pub fn parse(text: &'t [u8]) -> Result<Stored<'t>, Unusable> {
        if let Some(password) = text.strip_prefix(b"{PLAIN}") {
            return Ok(Stored::Plain(password));
        }
        if let Some(digits) = text.strip_prefix(b"{SSHA}") {
            return sha(digits, true);
        }
        if let Some(digits) = text.strip_prefix(b"{SHA}") {
            return sha(digits, false);
        }
        for magic in [&b"$apr1$"[..], b"$1$"] {
            if let Some(rest) = text.strip_prefix(magic) {
                let end = memchr::memchr(b'$', rest).ok_or("it is no MD5-crypt")?;
                return Ok(Stored::Md5 { magic, salt: &rest[..end.min(8)], digest: &rest[end + 1..] });
            }
        }
        let Ok(text) = std::str::from_utf8(text) else { return Err(UNKNOWN) };
        match text.split('$').nth(1) {
            Some("2a" | "2b" | "2y") if text.starts_with('$') => bcrypt(text),
            Some("5" | "6") if text.starts_with('$') => sha_crypt(text),
            Some(name @ ("argon2id" | "argon2i" | "argon2d")) if text.starts_with('$') => argon2(name, text),
            _ => Err(UNKNOWN),
        }
    }

    /// Whether to check a password takes so long that others should not wait for it.
    pub fn is_slow(&self) -> bool {
        !matches!(self, Stored::Plain(_) | Stored::Sha { .. })
    }

    /// The same, for a password that it might be.
    pub fn takes_time(&self, password: &[u8]) -> bool {
        self.is_slow() && password.len() <= LONGEST && !password.contains(&0)
    }

    /// Whether it is that password. Takes the same time whatever part of it is wrong.
    pub fn is(&self, password: &[u8]) -> Result<bool, Unusable> {
        if password.contains(&0) || (self.is_slow() && !self.takes_time(password)) {
            return Ok(false);
        }
        Ok(match self {
            Stored::Plain(stored) => equal(stored, password),
            Stored::Sha { digest, salt } => {
                let mut sha = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                sha.update(password);
                sha.update(salt);
                equal(digest, sha.finish().as_ref())
            }
            Stored::Md5 { magic, salt, digest } => equal(digest, &md5_crypt::digest(password, magic, salt)),
            Stored::Bcrypt(text) => bcrypt::verify(password, text).map_err(|_| "it is no bcrypt")?,
            Stored::ShaCrypt(text) => match ShaCrypt::default().verify_password(password, *text) {
                Ok(()) => true,
                Err(sha_crypt::password_hash::Error::PasswordInvalid) => false,
                Err(_) => return Err("it is no SHA-crypt"),
            },
            Stored::Argon2 { argon2, salt, digest } => {
                let mut own = vec![0; digest.len()];
                argon2.hash_password_into(password, salt, &mut own).map_err(|_| "there is no memory for Argon2")?;
                equal(digest, &own)
            }
        })
    }
}

const UNKNOWN: Unusable =
    "its format is not supported: {PLAIN}, {SHA}, {SSHA}, $apr1$, $1$, $5$, $6$, $2y$ and $argon2id$ are";

fn equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn sha<'t>(digits: &[u8], salted: bool) -> Result<Stored<'t>, Unusable> {
    let bytes = base64::decode(base64::unpadded(digits), base64::STANDARD).ok_or("it is no base64")?;
    let (digest, salt) = bytes.split_first_chunk::<SHA1>().ok_or("it is too short for SHA-1")?;
    if !salted && !salt.is_empty() {
        return Err("it is too long for SHA-1");
    }
    Ok(Stored::Sha { digest: *digest, salt: salt.to_vec() })
}

/// `$2y$COST$` and 53 digits.
fn bcrypt(text: &str) -> Result<Stored<'_>, Unusable> {
    let cost = text.get(4..6).filter(|cost| cost.bytes().all(|byte| byte.is_ascii_digit()));
    let cost: u32 = cost.and_then(|cost| cost.parse().ok()).ok_or("it is no bcrypt")?;
    if text.len() != 60 || !text.is_ascii() {
        return Err("it is no bcrypt");
    }
    if cost > MOST_BCRYPT {
        return Err("its cost is too high, 15 is the most here");
    }
    Ok(Stored::Bcrypt(text))
}

/// `$6$[rounds=N$]SALT$DIGEST`
fn sha_crypt(text: &str) -> Result<Stored<'_>, Unusable> {
    if let Some(rest) = text.get(3..).and_then(|rest| rest.strip_prefix("rounds=")) {
        let rounds = rest.split('$').next().unwrap_or_default();
        match rounds.parse::<u32>() {
            Ok(1000..=MOST_ROUNDS) if rounds.bytes().all(|byte| byte.is_ascii_digit()) => {}
            Ok(0..1000) => return Err("it has too few rounds, 1000 is the least"),
            Ok(_) => return Err("it has too many rounds, 1000000 is the most here"),
            Err(_) => return Err("it is no SHA-crypt"),
        }
    }
    Ok(Stored::ShaCrypt(text))
}

/// `$argon2id$[v=19$]m=KIB,t=PASSES,p=LANES$SALT$DIGEST`
fn argon2<'t>(name: &str, text: &str) -> Result<Stored<'t>, Unusable> {
    const BROKEN: Unusable = "it is no Argon2";
    let algorithm = match name {
        "argon2id" => Algorithm::Argon2id,
        "argon2i" => Algorithm::Argon2i,
        _ => Algorithm::Argon2d,
    };
    let mut parts = text.split('$').skip(2).peekable();
    let version = match parts.next_if(|part| part.starts_with("v=")) {
        Some("v=19") => Version::V0x13,
        Some("v=16") | None => Version::V0x10,
        Some(_) => return Err(BROKEN),
    };
    let (Some(costs), Some(salt), Some(digest), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(BROKEN);
    };
    let mut costs = costs.split(',');
    let mut cost = |name: &str| -> Result<u32, Unusable> {
        let text = costs.next().and_then(|cost| cost.strip_prefix(name)).ok_or(BROKEN)?;
        text.parse().map_err(|_| BROKEN)
    };
    let (memory, passes, lanes) = (cost("m=")?, cost("t=")?, cost("p=")?);
    if costs.next().is_some() {
        return Err(BROKEN);
    }
    if memory > MOST_MEMORY || u64::from(memory) * u64::from(passes) > MOST_WRITTEN || lanes > MOST_LANES {
        return Err("its cost is too high, 256 MiB are the most here, and 4 GiB for all passes together");
    }
    let bytes = |digits: &str| base64::decode(digits.as_bytes(), base64::STANDARD).ok_or(BROKEN);
    let (salt, digest) = (bytes(salt)?, bytes(digest)?);
    if !(8..=64).contains(&salt.len()) || !(4..=128).contains(&digest.len()) {
        return Err(BROKEN);
    }
    let params = argon2::Params::new(memory, passes, lanes, Some(digest.len())).map_err(|_| BROKEN)?;
    Ok(Stored::Argon2 { argon2: Box::new(Argon2::new(algorithm, version, params)), salt, digest })
}
