//! The methods, against plain expectations and against what nginx chose.

use std::collections::HashMap;

use super::super::peer::Times;
use super::*;
use crate::upstream::spec::Address;

struct Servers {
    members: Vec<Arc<Member>>,
    dice: u64,
}

impl Servers {
    fn new(peers: Vec<Peer>) -> Servers {
        let member = |peer: Peer| {
            Arc::new(Member {
                address: Address::Unix(std::path::Path::new("/").into()),
                name: peer.server.clone(),
                peer,
                server: 0,
                route: "".into(),
                state: State::default(),
            })
        };
        Servers { members: peers.into_iter().map(member).collect(), dice: 1 }
    }

    fn group(&self) -> Group<'_> {
        Group { members: &self.members, single: self.members.len() == 1, unit: 1 }
    }

    fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.members.iter().map(|member| &member.peer)
    }

    fn weighted(weights: &[u32]) -> Servers {
        let peer = |(index, weight): (usize, &u32)| Peer { weight: *weight, ..Peer::new(&format!("s{index}:80")) };
        Servers::new(weights.iter().enumerate().map(peer).collect())
    }

    /// The servers that one request tries, up to `most`; each fails or not.
    fn ask(&mut self, method: &Method, key: &str, now: u64, most: usize, fails: bool) -> Vec<usize> {
        let dice = &mut self.dice;
        let mut random = || {
            *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *dice >> 33
        };
        let client = key.parse().ok();
        let now = Now::of_seconds(now);
        let mut seen = Seen { key: key.as_bytes(), client, now, random: &mut random };
        let group = Group { members: &self.members, single: self.members.len() == 1, unit: 1 };
        let mut choice = Choice::new(method, &seen);
        let mut asked = Vec::new();
        while asked.len() < most
            && let Some(index) = choice.next(method, group, &mut seen)
        {
            group.state(index).release(group.peer(index), fails, group.single, group.unit, now, now);
            asked.push(index);
        }
        asked
    }

    fn sequence(&mut self, method: &Method, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.ask(method, "", 0, 1, false)[0]).collect()
    }
}

#[test]
fn round_robin_is_smooth() {
    assert_eq!(Servers::weighted(&[5, 1, 1]).sequence(&Method::RoundRobin, 7), [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(Servers::weighted(&[1, 1]).sequence(&Method::RoundRobin, 4), [0, 1, 0, 1]);
}

#[test]
fn a_request_goes_through_all_servers_once() {
    let mut servers = Servers::weighted(&[1, 1, 1]);
    assert_eq!(servers.ask(&Method::RoundRobin, "", 0, 9, true).len(), 3);
    assert!(servers.ask(&Method::RoundRobin, "", 5, 9, true).is_empty(), "all are left in peace");
    assert_eq!(servers.ask(&Method::RoundRobin, "", 11, 9, true).len(), 3);
}

#[test]
fn a_failure_costs_weight_for_a_while() {
    let mut servers = Servers::new(vec![
        Peer { weight: 4, max_fails: 4, ..Peer::new("a") },
        Peer { weight: 4, max_fails: 4, ..Peer::new("b") },
    ]);
    for _ in 0..3 {
        let (group, now) = (servers.group(), Now::of_seconds(0));
        group.state(0).take(group.peer(0), now);
        group.state(0).release(group.peer(0), true, false, 1, now, now);
    }
    assert_eq!(servers.sequence(&Method::RoundRobin, 4), [1, 0, 1, 0]);
    let later = servers.sequence(&Method::RoundRobin, 20);
    assert_eq!(later[10..].iter().filter(|index| **index == 0).count(), 5, "{later:?}");
}

#[test]
fn the_only_server_is_asked_again_and_again() {
    let mut servers = Servers::weighted(&[1]);
    for _ in 0..3 {
        assert_eq!(servers.ask(&Method::RoundRobin, "", 0, 1, true), [0]);
    }
}

#[test]
fn a_key_stays_with_its_server() {
    for method in [Method::Hash, Method::IpHash] {
        let mut servers = Servers::weighted(&[1, 2, 1]);
        for key in ["10.0.0.1", "10.0.1.7", "2001:db8::1", "192.168.77.3"] {
            let chosen = servers.ask(&method, key, 0, 1, false);
            for _ in 0..3 {
                assert_eq!(servers.ask(&method, key, 0, 1, false), chosen, "{key}");
            }
        }
    }
}

#[test]
fn ip_hash_looks_at_three_octets() {
    let mut servers = Servers::weighted(&[1; 7]);
    let chosen = servers.ask(&Method::IpHash, "10.1.2.3", 0, 1, false);
    assert_eq!(servers.ask(&Method::IpHash, "10.1.2.200", 0, 1, false), chosen);
    // ((89 * 113 + 10) * 113 + 1) * 113 + 2, each modulo 6271.
    let hash = [10, 1, 2].iter().fold(89u64, |hash, octet| (hash * 113 + octet) % 6271);
    assert_eq!(chosen, [(hash % 7) as usize]);
}

#[test]
fn without_a_key_it_is_round_robin() {
    let mut servers = Servers::weighted(&[1, 1]);
    assert_eq!(servers.sequence(&Method::Hash, 4), [0, 1, 0, 1]);
}

#[test]
fn when_a_server_goes_only_its_keys_move() {
    let mut servers = Servers::weighted(&[1, 1, 1, 1]);
    let method = Method::Consistent(Ring::new(servers.peers()));
    let keys: Vec<String> = (0..500).map(|number| format!("/page/{number}")).collect();
    let before: Vec<usize> = keys.iter().map(|key| servers.ask(&method, key, 0, 1, false)[0]).collect();
    let mut shares: HashMap<usize, usize> = HashMap::new();
    before.iter().for_each(|index| *shares.entry(*index).or_default() += 1);
    assert!(shares.len() == 4 && shares.values().all(|share| *share > 60), "{shares:?}");
    let mut peers: Vec<Peer> = servers.peers().cloned().collect();
    peers[2].down = true;
    servers = Servers::new(peers);
    for (key, before) in keys.iter().zip(&before) {
        let now = servers.ask(&method, key, 0, 1, false)[0];
        assert!(now == *before || *before == 2 && now != 2, "{key}");
    }
}

#[test]
fn least_conn_looks_at_what_is_in_progress() {
    let servers = Servers::weighted(&[1, 1, 2]);
    let group = servers.group();
    let mut random = || 0;
    let now = Now::of_seconds(0);
    let mut seen = Seen { key: b"", client: None, now, random: &mut random };
    let method = Method::Least(Load::Conns);
    let mut counts = [0; 3];
    for _ in 0..8 {
        let mut choice = Choice::new(&method, &seen);
        counts[choice.next(&method, group, &mut seen).unwrap()] += 1;
    }
    assert_eq!(counts, [2, 2, 4]);
}

#[test]
fn least_time_looks_at_time_and_what_is_in_progress() {
    let servers = Servers::weighted(&[1, 1]);
    let group = servers.group();
    let took = |index, header, total| {
        group.state(index).took(Times { header: Some(header), total: Some(total) });
    };
    took(0, 10, 900);
    took(1, 20, 100);
    let now = Now::of_seconds(1);
    let find = |whole, inflight, now| least::find(group, Load::Time { whole, inflight }, &Tried::default(), now);
    assert_eq!((find(false, false, now), find(true, false, now)), (Some(0), Some(1)));
    // One request is nothing, two weigh more than the other's time.
    group.state(0).take(group.peer(0), now);
    assert_eq!(find(false, false, now), Some(0));
    group.state(0).take(group.peer(0), now);
    assert_eq!(find(false, false, now), Some(1));
    // Both have two; those of the first have taken longer so far than its answers took before.
    let later = Now { ms: 1900 };
    group.state(1).take(group.peer(1), later);
    group.state(1).take(group.peer(1), later);
    let then = Now::of_seconds(2);
    assert_eq!((find(false, true, then), find(false, false, then)), (Some(1), Some(0)));
}

#[test]
fn a_server_that_is_drained_is_only_for_those_bound_to_it() {
    let mut servers = Servers::new(vec![Peer { drain: true, ..Peer::new("a") }, Peer::new("b"), Peer::new("c")]);
    assert_eq!(servers.sequence(&Method::RoundRobin, 4), [1, 2, 1, 2]);
    let mut random = || 0;
    let seen = Seen { key: b"", client: None, now: Now::of_seconds(0), random: &mut random };
    let mut choice = Choice::new(&Method::RoundRobin, &seen);
    assert!(choice.take(servers.group(), 0, seen.now));
    assert!(!choice.take(servers.group(), 0, seen.now), "once");
}

#[test]
fn chance_goes_by_weight() {
    for two in [false, true] {
        let mut servers = Servers::weighted(&[1, 3]);
        let ranges = Ranges::new(servers.peers());
        let method = if two { Method::RandomTwo(ranges, Load::Conns) } else { Method::Random(ranges) };
        let chosen = servers.sequence(&method, 400);
        let second = chosen.iter().filter(|index| **index == 1).count();
        // Of two that are equally busy it is the one that was looked at last: here mostly the light one.
        assert!(if two { (50..200).contains(&second) } else { (260..340).contains(&second) }, "{second}");
    }
}

#[test]
fn more_than_a_word_of_servers() {
    let mut servers = Servers::weighted(&[1; 130]);
    let mut asked = servers.ask(&Method::RoundRobin, "", 0, 200, true);
    asked.sort_unstable();
    assert_eq!(asked, (0..130).collect::<Vec<_>>());
}

/// What nginx 1.22.1 chose of four servers with the weights 3, 1, 2, 1 on 127.0.0.1, ports 22001 to 22004.
#[test]
fn hashes_choose_what_nginx_chooses() {
    let cases: [(&str, bool, &str); 6] = [
        (
            "hash",
            false,
            "2230022033212302000301000001012012000322301330012101003000220100232223301202303311002102120201230203",
        ),
        (
            "hash",
            true,
            "0030000033011301000301000001010010000330301330010101003000000100033003301003303311000100100001030003",
        ),
        (
            "consistent",
            false,
            "1020001010210320122332000200301200012023101003313302000002022302000000010031030220301021221101302002",
        ),
        (
            "consistent",
            true,
            "1000001010010330113330000300301000010003101003313300000000001300000000010031030000301001311101300000",
        ),
        (
            "ip_hash",
            false,
            "0130230232012013000230230012013023201201232012012001223000122300012230001223000122300012230001223000",
        ),
        (
            "ip_hash",
            true,
            "0130030330013013000330030010013013001001031011010001003000111300010330001333000100300010130001113000",
        ),
    ];
    for (name, down, expected) in cases {
        let weights = [3, 1, 2, 1].into_iter().zip(22001..);
        let peers = weights.map(|(weight, port)| Peer {
            weight,
            down: down && port == 22003,
            ..Peer::new(&format!("127.0.0.1:{port}"))
        });
        let mut servers = Servers::new(peers.collect());
        let method = match name {
            "hash" => Method::Hash,
            "consistent" => Method::Consistent(Ring::new(servers.peers())),
            _ => Method::IpHash,
        };
        let key = |number: u32| match name {
            "ip_hash" if number < 50 => format!("{}.{}.{}.9", number * 7 % 256, number * 13 % 256, number * 31 % 256),
            "ip_hash" => format!("2001:db8::{:x}", number - 50),
            _ => format!("key-{number}"),
        };
        let chosen: String =
            (0..100).map(|number| servers.ask(&method, &key(number), 0, 1, false)[0].to_string()).collect();
        assert_eq!(chosen, expected, "{name}, one down: {down}");
    }
}
