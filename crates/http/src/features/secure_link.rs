//! `secure_link`: links that carry a proof and, if wanted, an end; the values of `$secure_link` and
//! `$secure_link_expires`. Two ways: `secure_link` with `secure_link_md5`, and `secure_link_secret`.
//!
//! MD5 is what the links of nginx are made with. It is used here on a secret that the client does not know, and
//! compared in constant time; it is no signature in the sense of today.

mod directives;

pub use directives::{ROWS, Settings, expires, link as variable};
use md5::{Digest, Md5};

use crate::base64;

/// What the request claims: the value of `secure_link`, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    hash: &'a [u8],
    /// The link's end as it was written: `$secure_link_expires`.
    pub expires: Option<&'a [u8]>,
    /// The same in seconds since 1970.
    at: Option<i64>,
}

/// Takes the value of `secure_link`, `HASH[,TIME]`, apart. `None`: it claims nothing that could hold, and both
/// variables are not found. The end is to be known before the expression of `secure_link_md5` is evaluated.
pub fn claim(value: &[u8]) -> Option<Claim<'_>> {
    let Some(comma) = memchr::memchr(b',', value) else {
        return Some(Claim { hash: value, expires: None, at: None });
    };
    let text = &value[comma + 1..];
    let at = decimal(text).filter(|&at| at > 0)?;
    Some(Claim { hash: &value[..comma], expires: Some(text), at: Some(at) })
}

impl Claim<'_> {
    /// The value of `$secure_link` when the expression of `secure_link_md5` is `expression` and the time `now`: `1`,
    /// or `0` if the link has ended; `None`: not found, the hash is wrong.
    pub fn verify(&self, expression: &[u8], now: i64) -> Option<&'static str> {
        let claimed = decode(self.hash)?;
        if !equal(&claimed, &Md5::digest(expression)) {
            return None;
        }
        Some(if self.at.is_some_and(|at| at < now) { "0" } else { "1" })
    }
}

/// The value of `$secure_link` under `secure_link_secret`: the link in `/PREFIX/HASH/LINK`, where `target` is the
/// request's target as it came, with its query. `None`: not found.
pub fn link<'a>(target: &'a [u8], secret: &[u8]) -> Option<&'a [u8]> {
    let prefix = memchr::memchr(b'/', target.get(1..)?)? + 2;
    let rest = &target[prefix..];
    let end = memchr::memchr(b'/', rest)?;
    let (hash, link) = (&rest[..end], &rest[end + 1..]);
    if hash.len() != 32 || link.is_empty() {
        return None;
    }
    let mut claimed = [0; 16];
    for (byte, digits) in claimed.iter_mut().zip(hash.chunks_exact(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    let digest = Md5::new().chain_update(link).chain_update(secret).finalize();
    equal(&claimed, &digest).then_some(link)
}

/// Whether two digests are the same; takes the same time wherever they differ.
fn equal(one: &[u8; 16], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0 && other.len() == one.len()
}

/// The 16 bytes of a hash in base64url; what follows a `=` is ignored.
fn decode(text: &[u8]) -> Option<[u8; 16]> {
    let digits = base64::unpadded(text);
    if text.len() > 24 || digits.len() != 22 {
        return None;
    }
    base64::decode(digits, base64::URL)?.try_into().ok()
}

fn decimal(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0i64, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_with_an_end() {
        // What nginx says to `secure_link $arg_m,$arg_e; secure_link_md5 "$secure_link_expires$uri secret"` at /sl.
        let now = 1_795_276_766;
        let table: &[(&str, Option<&str>, Option<&str>)] = &[
            ("bI2T7cT5FbYx1gDQE251Ew,1795276866", Some("1"), Some("1795276866")),
            ("bI2T7cT5FbYx1gDQE251Ew==,1795276866", Some("1"), Some("1795276866")),
            ("fuZ8zIMNk480PUAXbIlnFQ,1795276666", Some("0"), Some("1795276666")),
            ("bad,1795276666", None, Some("1795276666")),
            (",", None, None),
            ("AAAAAAAAAAAAAAAAAAAAAA,0", None, None),
            ("oS9ykazFtXg4X3B_E8fU-w,0", None, None),
            ("_iysERQ4v2IpAll60WLsEQ,abc", None, None),
            ("h_KBzYd7FDkWwS8tl4mDcQ,", None, None),
        ];
        for &(value, link, expires) in table {
            let claim = claim(value.as_bytes());
            let end = claim.and_then(|claim| claim.expires).unwrap_or_default();
            let expression = [end, b"/sl secret"].concat();
            assert_eq!(claim.and_then(|claim| claim.verify(&expression, now)), link, "{value}");
            assert_eq!(claim.and_then(|claim| claim.expires), expires.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn links_without_an_end() {
        let table: &[(&str, Option<&str>)] = &[
            ("NdsZrzd4GMnKg9SmSt5q_A", Some("1")),
            ("NdsZrzd4GMnKg9SmSt5q_A,5", Some("0")),
            ("NdsZrzd4GMnKg9SmSt5q_A==", Some("1")),
            ("NdsZrzd4GMnKg9SmSt5q_AA", None),
            ("NdsZrzd4GMnKg9SmSt5q_A===", None),
            ("aNdsZrzd4GMnKg9SmSt5q_A", None),
            ("NdsZrzd4GMnKg9SmSt5q/A", None),
            ("", None),
        ];
        for &(value, link) in table {
            let claim = claim(value.as_bytes()).unwrap();
            assert_eq!(claim.verify(b"k/sn", 1_795_276_766), link, "{value}");
        }
    }

    #[test]
    fn links_with_a_secret() {
        let table: &[(&str, Option<&str>)] = &[
            ("/p/109734bade8fb0914661a6cadab7f3dc/a/b?x=1", Some("a/b?x=1")),
            ("/p/45c7b1dabbdd441a161852d6e82f9784/a/b?x=1", None),
            ("/p/29245bdc2d04a9e0e729927ed0f84e26/link", Some("link")),
            ("/p/29245BDC2D04A9E0E729927ED0F84E26/link", Some("link")),
            ("/p/29245bdc2d04a9e0e729927ed0f84e26/", None),
            ("/p/x29245bdc2d04a9e0e729927ed0f84e26/link", None),
            ("/p/29245bdc2d04a9e0e729927ed0f84e26/link2", None),
            ("/p/beb022f937bf7db4688ac639341f5bc9/a%20b", Some("a%20b")),
            ("/p/29245bdc2d04a9e0e729927ed0f84e2g/link", None),
            ("/p/29245bdc2d04a9e0e729927ed0f84e26", None),
            ("/p", None),
            ("/", None),
            ("", None),
        ];
        for &(target, expected) in table {
            assert_eq!(link(target.as_bytes(), b"word"), expected.map(str::as_bytes), "{target}");
        }
    }
}
