//! `hash KEY`: the bits 16 to 30 of CRC-32 of the key choose among the weights; a server that cannot be asked has the
//! hash taken on with the number of the attempt before the key, and added up.

use super::{Choice, Group, MOST_TRIES, Seen};

pub fn find(choice: &mut Choice, group: Group<'_>, seen: &Seen<'_>) -> Option<usize> {
    if seen.key.is_empty() {
        return None;
    }
    while choice.tries <= MOST_TRIES {
        let mut crc = crc32fast::Hasher::new();
        if choice.rehash > 0 {
            crc.update(itoa::Buffer::new().format(choice.rehash).as_bytes());
        }
        crc.update(seen.key);
        choice.hash += u64::from(crc.finalize() >> 16 & 0x7fff);
        choice.rehash += 1;
        let index = group.at_weight(choice.hash % group.total_weight().max(1));
        if group.is_free(index, &choice.tried, seen.now) {
            return Some(index);
        }
        choice.tries += 1;
    }
    None
}
