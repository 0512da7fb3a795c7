//! `hash KEY consistent`: ketama. Each server has 160 points on a ring for each unit of its weight; a key belongs to the
//! first point at or after its CRC-32. When a server goes, only its keys move.

use super::{Choice, Group, MOST_TRIES, Seen, round_robin};
use crate::upstream::peer::Peer;

/// Points for each unit of weight.
const POINTS: u32 = 160;

/// The points of a group, in order, each with the index of a server. Servers of the same name (the addresses of a host)
/// share theirs.
pub struct Ring(Vec<(u32, u32)>);

impl Ring {
    pub fn new<'a>(peers: impl Iterator<Item = &'a Peer>) -> Ring {
        let mut points = Vec::new();
        for (index, peer) in peers.enumerate() {
            let (host, port) = parts(&peer.server);
            let mut base = crc32fast::Hasher::new();
            base.update(host.as_bytes());
            base.update(b"\0");
            base.update(port.as_bytes());
            let mut before = 0u32;
            for _ in 0..peer.weight.saturating_mul(POINTS) {
                let mut hash = base.clone();
                hash.update(&before.to_le_bytes());
                before = hash.finalize();
                points.push((before, index as u32));
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        Ring(points)
    }

    /// Where a key's search begins: the place of the first point at or after its hash.
    pub fn find(&self, key: &[u8]) -> u64 {
        let hash = crc32fast::hash(key);
        self.0.partition_point(|(point, _)| *point < hash) as u64
    }

    fn at(&self, place: u64) -> Option<usize> {
        let index = usize::try_from(place % (self.0.len() as u64).max(1)).ok()?;
        self.0.get(index).map(|(_, peer)| *peer as usize)
    }
}

/// Host and port of a server's name, as the hash counts them.
fn parts(server: &str) -> (&str, &str) {
    if server.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:")) {
        return (&server[5..], "");
    }
    match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (server, ""),
    }
}

pub fn find(choice: &mut Choice, ring: &Ring, group: Group<'_>, seen: &Seen<'_>) -> Option<usize> {
    if seen.key.is_empty() {
        return None;
    }
    while choice.tries <= MOST_TRIES {
        let server = &group.members.get(ring.at(choice.hash)?)?.peer.server;
        let may = |index: usize| group.peer(index).server == *server && group.is_free(index, &choice.tried, seen.now);
        if let Some(index) = round_robin::choose(group, seen.now, may) {
            return Some(index);
        }
        choice.hash += 1;
        choice.tries += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (server, host, port) in [
            ("a.example:8080", "a.example", "8080"),
            ("a.example", "a.example", ""),
            ("unix:/tmp/s:1", "/tmp/s:1", ""),
            ("[::1]:80", "[::1]", "80"),
            ("[::1]", "[::1]", ""),
            ("a:", "a", ""),
        ] {
            assert_eq!(parts(server), (host, port), "{server}");
        }
    }

    #[test]
    fn points_are_in_order_and_each_hash_stands_once() {
        let ring = Ring::new([Peer { weight: 3, ..Peer::new("a:1") }, Peer::new("b:1")].iter());
        assert!(ring.0.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let of_first = ring.0.iter().filter(|(_, peer)| *peer == 0).count();
        assert!(of_first > 470 && ring.0.len() - of_first > 155, "{of_first} of {}", ring.0.len());
    }
}
