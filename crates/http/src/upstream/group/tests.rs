//! Sequences, against what nginx 1.22.1 chose of the same servers.

use super::*;
use crate::config::{Config, Place};
use crate::upstream::peer::Peer;
use crate::upstream::spec::Server;

fn server(port: u16, change: impl FnOnce(&mut Server)) -> Server {
    let name = format!("127.0.0.1:{port}");
    let mut server = Server::new(Peer::new(&name), "127.0.0.1", &conf::At::Default);
    server.addresses = vec![address(port)];
    change(&mut server);
    server
}

fn address(port: u16) -> Address {
    Address::Inet(([127, 0, 0, 1], port).into())
}

fn group(servers: Vec<Server>, change: impl FnOnce(&mut Upstream)) -> Arc<Group> {
    let mut spec = Upstream { servers, ..Upstream::new("u", &conf::At::Default) };
    change(&mut spec);
    Group::new(Arc::new(spec), 0)
}

/// The last digits of the ports that one request is sent to; those in `dead` fail. `now` in seconds.
fn ask(group: &Group, dead: &str, now: u64) -> String {
    ask_for(group, Vec::new(), dead, now).trim_end_matches(['!', '-']).to_owned()
}

fn ask_for(group: &Group, key: Vec<u8>, dead: &str, now: u64) -> String {
    let client = "127.0.0.1".parse().ok();
    let mut search = group.search_for(key, client, None);
    let mut asked = String::new();
    let mut tries = search.tries();
    while tries > 0 {
        let Some(mut chosen) = find(&mut search, Now::of_seconds(now)) else {
            asked.push('-');
            break;
        };
        let digit = chosen.member.name.chars().last().unwrap();
        asked.push(digit);
        let failed = dead.contains(digit);
        chosen.end(failed, Now::of_seconds(now));
        if !failed {
            return asked;
        }
        tries = if search.sets.single { 0 } else { tries - 1 };
    }
    asked + "!"
}

fn sequence(group: &Group, dead: &str, now: u64, count: usize) -> String {
    (0..count).map(|_| ask(group, dead, now)).collect::<Vec<_>>().join(" ")
}

#[test]
fn backups_are_asked_when_no_primary_can_be() {
    let servers = || vec![server(1, |_| {}), server(2, |_| {}), server(3, |s| s.backup = true)];
    let all = group(servers(), |_| {});
    assert_eq!(sequence(&all, "", 100, 4), "1 2 1 2");
    assert_eq!(sequence(&all, "12", 100, 3), "123 3 3");
    assert_eq!(sequence(&all, "12", 105, 1), "3");
    assert_eq!(sequence(&all, "", 111, 3), "2 2 1");
}

#[test]
fn a_lonely_server_with_a_backup_is_left_in_peace() {
    let pair = group(vec![server(1, |_| {}), server(2, |s| s.backup = true)], |_| {});
    assert_eq!(sequence(&pair, "1", 100, 2), "12 2");
    let alone = group(vec![server(1, |_| {})], |_| {});
    assert_eq!(sequence(&alone, "1", 100, 3), "1 1 1");
    let down = group(vec![server(1, |s| s.peer.down = true)], |_| {});
    assert_eq!(ask(&down, "", 100), "");
}

#[test]
fn addresses_that_stay_keep_their_state() {
    let all = group(vec![server(1, |_| {}), server(2, |_| {})], |_| {});
    assert_eq!(ask(&all, "1", 100), "12");
    let held = find(&mut all.search_for(Vec::new(), None, None), Now::of_seconds(100)).unwrap();
    all.replace(0, vec![address(3), address(1), address(3)]);
    let names: Vec<String> = all.members().iter().map(|member| member.name.to_string()).collect();
    assert_eq!(names, ["127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:2"]);
    assert_eq!((all.members()[0].state.fails(), all.members()[2].state.conns()), (1, 1));
    drop(held);
    assert_eq!(all.members()[2].state.conns(), 0);
    all.replace(0, vec![]);
    assert_eq!(sequence(&all, "", 101, 2), "2 2");
    all.replace_found(1, vec![]);
    assert_eq!(ask(&all, "", 101), "");
    // As SRV records have it.
    let backup = Found { backup: true, weight: Some(3), ..Found::from(address(5)) };
    let heavy = Found { weight: Some(2), ..Found::from(address(6)) };
    all.replace_found(1, vec![backup, heavy, Found::from(address(7))]);
    assert_eq!(sequence(&all, "", 102, 3), "6 7 6");
    assert_eq!(sequence(&all, "67", 102, 1), "675");
}

#[test]
fn a_client_stays_with_its_server_while_that_can_be_asked() {
    use crate::upstream::sticky::Sticky;
    let route = |name: &'static str| move |server: &mut Server| server.route = name.into();
    let servers = vec![server(1, route("a")), server(2, route("b")), server(3, |_| {})];
    let all = group(servers, |spec| spec.sticky = Some(Arc::new(Sticky::Route(vec![]))));
    let ask = |bound: &str, fails: bool| {
        let mut search = all.search_for(Vec::new(), None, Some(bound.as_bytes().to_vec()));
        let mut chosen = find(&mut search, Now::of_seconds(100)).unwrap();
        chosen.end(fails, Now::of_seconds(100));
        chosen.member.name.chars().last().unwrap()
    };
    assert_eq!([ask("b", false), ask("b", false), ask("a", false), ask("b", false)], ['2', '2', '1', '2']);
    // The address's digest is what a server without a route is known by.
    let digest = all.members()[2].route.to_string();
    assert_eq!((ask(&digest, false), digest.len()), ('3', 32));
    assert_eq!(ask("b", true), '2');
    assert_ne!(ask("b", false), '2');
    assert_ne!(ask("x", false), '2');
}

#[test]
fn a_server_that_comes_back_gets_more_little_by_little() {
    use crate::upstream::peer::Health;
    let all = group(vec![server(1, |s| s.peer.slow_start = 100_000), server(2, |_| {})], |_| {});
    let members = all.members();
    members[0].state.set_health(&members[0].peer, Health::Bad, Now::of_seconds(10));
    assert_eq!(sequence(&all, "", 10, 3), "2 2 2");
    members[0].state.set_health(&members[0].peer, Health::Good, Now::of_seconds(20));
    let share = |now| sequence(&all, "", now, 100).matches('1').count();
    let shares = [20, 45, 70, 120].map(share);
    assert!(shares[0] <= 2 && (18..=22).contains(&shares[1]) && (31..=35).contains(&shares[2]), "{shares:?}");
    assert!((49..=51).contains(&shares[3]), "{shares:?}");
}

#[test]
fn max_conns_are_for_all_that_is_in_progress() {
    let all = group(vec![server(1, |s| s.peer.max_conns = 1), server(2, |s| s.peer.max_conns = 2)], |_| {});
    let take = || find(&mut all.search_for(Vec::new(), None, None), Now::of_seconds(1));
    let held: Vec<_> = (0..3).filter_map(|_| take()).collect();
    assert!(held.len() == 3 && take().is_none());
    drop(held);
    assert!(take().is_some());
}

/// What nginx 1.22.1 sent requests to: the method, the parameters of each server, and steps (the servers that refuse
/// connections, seconds that passed before, the last digits of the ports of each request in turn). `!`: the client got
/// an error; `-`: no live upstreams.
type Recorded = (&'static str, &'static [&'static str], &'static [(&'static str, u64, &'static str)]);

const RECORDED: &[Recorded] = &[
    ("", &["weight=5", "", ""], &[("", 0, "1 1 2 1 3 1 1 1 1 2 1 3 1 1")]),
    (
        "",
        &["weight=3", "weight=2", "weight=1"],
        &[("", 0, "1 2 1 3 2 1 1 2 1 3 2 1"), ("2", 0, "1 21 3 1 1 1 3 1 1 1 3 1")],
    ),
    ("", &["", "", ""], &[("2", 0, "1 23 3 1 3 1 3 1")]),
    (
        "",
        &["weight=4 max_fails=4", "weight=4 max_fails=4"],
        &[("1", 0, "12 2 2 12 2 12 2 12 2 2 2 2 2 2 2 2"), ("", 0, "2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2")],
    ),
    (
        "",
        &["weight=5 max_fails=2 fail_timeout=2s", "weight=1", "weight=2 max_fails=3 fail_timeout=2s"],
        &[
            ("1", 0, "13 2 3 13 2 3 3 2 3 3"),
            ("1", 4, "13 2 3 3 2 3 3 2 3 3"),
            ("", 4, "2 3 1 1 3 1 1 2 1 3 1 1 3 1 1 2"),
        ],
    ),
    (
        "",
        &["fail_timeout=2s", "fail_timeout=2s", "backup"],
        &[("", 0, "1 2 1 2"), ("12", 0, "123 3 3 3"), ("12", 4, "213 3 3 3"), ("", 4, "2 2 1 2")],
    ),
    ("", &["", "backup", "backup"], &[("1", 0, "12 3 2 3")]),
    ("", &["fail_timeout=2s", "backup"], &[("1", 0, "12 2 2"), ("12", 0, "2-! -! -!"), ("", 4, "1 1 1")]),
    (
        "",
        &["weight=2", "weight=1", "weight=3 backup", "weight=1 backup"],
        &[("12", 0, "123 3 4 3 3 3 4 3"), ("123", 0, "34 4 4 4")],
    ),
    ("", &["", "down", ""], &[("", 0, "1 3 1 3"), ("1", 0, "13 3 3")]),
    ("", &["max_fails=0", ""], &[("1", 0, "12 2 12 2 12 2")]),
    (
        "",
        &["weight=10 max_fails=3", ""],
        &[
            ("1", 0, "12 12 12 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2"),
            ("", 0, "2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2"),
        ],
    ),
    ("", &[""], &[("1", 0, "1! 1! 1!"), ("", 0, "1 1")]),
    ("", &["", ""], &[("12", 0, "12! -! -!")]),
    ("", &["down", ""], &[("", 0, "2 2"), ("2", 0, "2! -! -!")]),
    (
        "least_conn;",
        &["weight=3", "weight=2", "weight=1"],
        &[("", 0, "1 2 1 3 2 1 1 2 1 3 2 1"), ("2", 0, "1 21 3 1 1 1 3 1 1 1 3 1")],
    ),
    ("least_conn;", &["", "", "backup"], &[("", 0, "1 2 1 2"), ("12", 0, "123 3 3")]),
    ("ip_hash;", &["weight=2", "", "weight=3"], &[("", 0, "2 2"), ("1", 0, "2 2 2 2"), ("13", 0, "2 2")]),
    ("hash x;", &["weight=2", "", "weight=3"], &[("", 0, "3 3"), ("1", 0, "3 3 3 3"), ("13", 0, "312 2")]),
    ("hash y consistent;", &["weight=2", "", "weight=3"], &[("", 0, "1 1"), ("1", 0, "13 3 3 3"), ("13", 0, "32 2")]),
];

#[test]
fn servers_are_chosen_as_nginx_chooses_them() {
    for (method, servers, steps) in RECORDED {
        let servers =
            servers.iter().enumerate().map(|(index, words)| format!("server 127.0.0.1:{} {words};", 23011 + index));
        let block = format!("{method} {}", servers.collect::<Vec<_>>().join(" "));
        let tree = conf::parse_alone("test", &format!("http {{ upstream u {{ {block} }} }}")).unwrap();
        let built = Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{block}: {problems:?}"));
        let group = Group::new(built.config.upstreams[0].clone(), 0);
        let key = match &group.spec.balance {
            Balance::Hash { key, .. } => key.as_fixed().unwrap_or_default().to_vec(),
            _ => Vec::new(),
        };
        let mut now = 1000;
        for (dead, wait, expected) in *steps {
            now += wait;
            let count = expected.split(' ').count();
            let one = |_| ask_for(&group, key.clone(), dead, now);
            let found: Vec<String> = (0..count).map(one).collect();
            assert_eq!(found.join(" "), *expected, "{block} without {dead:?}");
        }
    }
}
