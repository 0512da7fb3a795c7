//! The little of DER (X.690) that signatures and OCSP need: what is signed, by which algorithm, with which key.

use rustls::crypto::WebPkiSupportedAlgorithms;

/// A value: its tag and contents, and what follows it.
pub(super) fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    Some((tag, contents, rest))
}

/// A value of fewer than 65536 bytes, with its tag and length.
pub(super) fn encoded(tag: u8, contents: &[u8]) -> Vec<u8> {
    let len = contents.len() as u16;
    let [high, low] = len.to_be_bytes();
    let mut out = match len {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(contents);
    out
}

/// The bits of a BIT STRING of whole bytes.
fn bits(bytes: &[u8]) -> Option<&[u8]> {
    match value(bytes)? {
        (0x03, [0, bits @ ..], _) => Some(bits),
        _ => None,
    }
}

/// A public key as certificates have it (SubjectPublicKeyInfo).
pub struct Key<'a> {
    /// What of its algorithm stands in the sequence.
    pub algorithm: &'a [u8],
    pub bits: &'a [u8],
}

impl<'a> Key<'a> {
    pub fn parse(info: &'a [u8]) -> Option<Key<'a>> {
        let (0x30, contents, _) = value(info)? else { return None };
        let (0x30, algorithm, rest) = value(contents)? else { return None };
        Some(Key { algorithm, bits: bits(rest)? })
    }
}

/// Whether a certificate or a list of revoked ones is signed by a key.
pub fn is_signed_by(signed: &[u8], key: &Key<'_>, known: &WebPkiSupportedAlgorithms) -> bool {
    let parts = || {
        let (0x30, contents, _) = value(signed)? else { return None };
        let (_, _, rest) = value(contents)?;
        let message = &contents[..contents.len() - rest.len()];
        let (0x30, algorithm, rest) = value(rest)? else { return None };
        Some((message, algorithm, bits(rest)?))
    };
    let Some((message, algorithm, signature)) = parts() else { return false };
    known.all.iter().any(|one| {
        one.signature_alg_id().as_ref() == algorithm
            && one.public_key_alg_id().as_ref() == key.algorithm
            && one.verify_signature(key.bits, message, signature).is_ok()
    })
}
