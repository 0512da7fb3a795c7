//! What a key is known by: SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012) under a secret that only this
//! server has. Half of it says where an entry may be, the other half which one it is.

use crate::sys;

/// The secret of a zone.
#[derive(Clone, Copy)]
pub struct Secret(u64, u64);

/// The hash of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash {
    /// Where.
    pub place: u64,
    /// Which; never 0, which marks an empty entry.
    pub tag: u64,
}

impl Hash {
    /// Which of `count` places.
    pub fn place_among(self, count: usize) -> usize {
        ((u128::from(self.place) * count as u128) >> 64) as usize
    }
}

impl Secret {
    pub fn random() -> Secret {
        Secret(sys::random::number(), sys::random::number())
    }

    pub fn hash(self, key: &[u8]) -> Hash {
        let [place, tag] = self.sip(key);
        Hash { place, tag: tag.max(1) }
    }

    fn sip(self, key: &[u8]) -> [u64; 2] {
        let mut v = [
            self.0 ^ u64::from_be_bytes(*b"somepseu"),
            self.1 ^ u64::from_be_bytes(*b"dorandom") ^ 0xee,
            self.0 ^ u64::from_be_bytes(*b"lygenera"),
            self.1 ^ u64::from_be_bytes(*b"tedbytes"),
        ];
        let add = |v: &mut [u64; 4], word: u64| {
            v[3] ^= word;
            rounds(v, 2);
            v[0] ^= word;
        };
        let mut words = key.chunks_exact(8);
        for word in &mut words {
            add(&mut v, u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        last[7] = key.len() as u8;
        add(&mut v, u64::from_le_bytes(last));
        v[2] ^= 0xee;
        rounds(&mut v, 4);
        let first = v[0] ^ v[1] ^ v[2] ^ v[3];
        v[1] ^= 0xdd;
        rounds(&mut v, 4);
        [first, v[0] ^ v[1] ^ v[2] ^ v[3]]
    }
}

fn rounds(v: &mut [u64; 4], count: usize) {
    for _ in 0..count {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[1]);
        v[0] = v[0].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first published vectors: the secret is 00 01 .. 0f, the key 00 01 .. of that length.
    #[test]
    fn as_published() {
        let secret = Secret(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let bytes: Vec<u8> = (0..64).collect();
        let hex = |len: usize| {
            let words = secret.sip(&bytes[..len]);
            words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(hex(0), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(hex(1), "da87c1d86b99af44347659119b22fc45");
    }

    #[test]
    fn places_are_within_bounds() {
        let hash = |place| Hash { place, tag: 1 };
        assert_eq!((hash(0).place_among(10), hash(u64::MAX).place_among(10)), (0, 9));
    }
}
