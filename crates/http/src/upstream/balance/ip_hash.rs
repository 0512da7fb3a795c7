//! `ip_hash`: the first three octets of an IPv4 address, all of an IPv6 one.

use std::net::IpAddr;

use super::{Choice, Group, MOST_TRIES, Seen};

/// What the hash begins with.
pub const SEED: u64 = 89;

pub fn find(choice: &mut Choice, group: Group<'_>, seen: &Seen<'_>) -> Option<usize> {
    let (v4, v6);
    let octets: &[u8] = match seen.client {
        Some(IpAddr::V4(address)) => {
            v4 = address.octets();
            &v4[..3]
        }
        Some(IpAddr::V6(address)) => {
            v6 = address.octets();
            &v6
        }
        // Over a Unix socket all clients are alike.
        None => &[0; 3],
    };
    while choice.tries <= MOST_TRIES {
        for octet in octets {
            choice.hash = (choice.hash * 113 + u64::from(*octet)) % 6271;
        }
        let index = group.at_weight(choice.hash % group.total_weight().max(1));
        if group.is_free(index, &choice.tried, seen.now) {
            return Some(index);
        }
        choice.tries += 1;
    }
    None
}
