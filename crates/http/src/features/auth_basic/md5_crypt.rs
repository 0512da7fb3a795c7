//! MD5-crypt: `$1$` as crypt(3) has it, and Apache's `$apr1$`, which differs in nothing but that word. Its description
//! is the program: 1000 rounds of MD5 over password, salt and the digest so far, in an order that the round's number
//! gives.

use md5::{Digest, Md5};

/// Characters of the digest as text.
pub const DIGITS: usize = 22;

/// The digest of a password, as it is stored. `magic` is `$1$` or `$apr1$`; `salt` has at most 8 characters.
pub fn digest(password: &[u8], magic: &[u8], salt: &[u8]) -> [u8; DIGITS] {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut md5 = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for part in password.chunks(inner.len()) {
        md5.update(&inner[..part.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        md5.update(if bits & 1 == 1 { &[0][..] } else { &password[..1] });
        bits >>= 1;
    }
    let mut last = md5.finalize();
    for round in 0..1000 {
        let mut md5 = Md5::new();
        md5.update(if round & 1 == 1 { password } else { &last[..] });
        if round % 3 != 0 {
            md5.update(salt);
        }
        if round % 7 != 0 {
            md5.update(password);
        }
        md5.update(if round & 1 == 1 { &last[..] } else { password });
        last = md5.finalize();
    }
    let mut out = [0; DIGITS];
    let (groups, rest) = out.split_at_mut(20);
    for (group, [a, b, c]) in
        groups.chunks_exact_mut(4).zip([[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]])
    {
        digits(u32::from(last[a]) << 16 | u32::from(last[b]) << 8 | u32::from(last[c]), group);
    }
    digits(last[11].into(), rest);
    out
}

/// The digits of a number, six bits each, the lowest first.
fn digits(mut number: u32, out: &mut [u8]) {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for digit in out {
        *digit = DIGITS[(number & 63) as usize];
        number >>= 6;
    }
}
