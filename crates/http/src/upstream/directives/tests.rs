//! What blocks are taken for, and nginx's words for what is wrong with them.

use super::*;
use crate::config::{Config, Place};

fn build(http: &str) -> Result<crate::config::Built, Vec<Diagnostic>> {
    let tree = conf::parse_alone("test", &format!("http {{ {http} }}")).unwrap_or_else(|p| panic!("{p:?}"));
    Config::build(&tree, &Place::default())
}

fn group(block: &str) -> Arc<Upstream> {
    let built = build(&format!("upstream u {{ {block} }}")).unwrap_or_else(|p| panic!("{block}: {p:?}"));
    built.config.upstreams[0].clone()
}

fn problem(block: &str) -> String {
    let problems = build(&format!("upstream u {{ {block} }}")).err().unwrap_or_default();
    let of = problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>();
    of.join("; ")
}

#[test]
fn problems_are_told_in_nginx_words() {
    for (block, message) in [
        ("", "no servers are inside upstream"),
        ("server;", "invalid number of arguments in \"server\" directive"),
        ("server 127.0.0.1 weight=0;", "invalid parameter \"weight=0\""),
        ("server 127.0.0.1 weight=x;", "invalid parameter \"weight=x\""),
        ("server 127.0.0.1 max_fails=;", "invalid parameter \"max_fails=\""),
        ("server 127.0.0.1 max_conns=x;", "invalid parameter \"max_conns=x\""),
        ("server 127.0.0.1 fail_timeout=100ms;", "invalid parameter \"fail_timeout=100ms\""),
        ("server 127.0.0.1 foo;", "invalid parameter \"foo\""),
        ("server 127.0.0.1 backup=1;", "invalid parameter \"backup=1\""),
        ("server 127.0.0.1 route=;", "invalid parameter \"route=\""),
        ("server 127.0.0.1 \"route=a;b\";", "invalid parameter \"route=a;b\""),
        ("server 127.0.0.1:0;", "invalid port in upstream \"127.0.0.1:0\""),
        ("server 127.0.0.1:99999;", "invalid port in upstream \"127.0.0.1:99999\""),
        ("server :80;", "no host in upstream \":80\""),
        ("server nosuch.invalid;", "host not found in upstream \"nosuch.invalid\""),
        ("server unix:;", "no path in the unix domain socket in upstream \"unix:\""),
        ("server 127.0.0.1/uri;", "invalid host in upstream \"127.0.0.1/uri\""),
        ("server http://127.0.0.1;", "invalid host in upstream \"http://127.0.0.1\""),
        ("server [::1;", "invalid host in upstream \"[::1\""),
        ("server [::1]:80x;", "invalid port in upstream \"[::1]:80x\""),
        ("server [::x]:80;", "invalid IPv6 address in upstream \"[::x]:80\""),
        ("server 127.0.0.1:80-82;", "invalid port in upstream \"127.0.0.1:80-82\""),
        ("server 127.0.0.1 backup;", "no servers in upstream \"u\""),
        ("hash $uri; server 127.0.0.1 backup;", "balancing method does not support parameter \"backup\""),
        ("ip_hash; server 127.0.0.1 backup;", "balancing method does not support parameter \"backup\""),
        ("random; server 127.0.0.1 slow_start=1s;", "balancing method does not support parameter \"slow_start\""),
        ("server 127.0.0.1 backup; hash $uri;", "no servers in upstream \"u\""),
        ("keepalive x; server 127.0.0.1;", "invalid value \"x\" in \"keepalive\" directive"),
        ("keepalive 1; keepalive 2; server 127.0.0.1;", "\"keepalive\" directive is duplicate"),
        ("keepalive_requests x; server 127.0.0.1;", "\"keepalive_requests\" directive invalid number"),
        ("keepalive_time x; server 127.0.0.1;", "\"keepalive_time\" directive invalid value"),
        ("hash $uri foo; server 127.0.0.1;", "invalid parameter \"foo\""),
        ("random three; server 127.0.0.1;", "invalid parameter \"three\""),
        ("random two foo; server 127.0.0.1;", "invalid parameter \"foo\""),
        ("least_time all; server 127.0.0.1;", "invalid parameter \"all\""),
        ("zone a; server 127.0.0.1;", "zero size shared memory zone \"a\""),
        ("zone a 1k; server 127.0.0.1;", "zone \"a\" is too small"),
        ("zone a x; server 127.0.0.1;", "invalid zone size \"x\""),
        ("zone \"\" 32k; server 127.0.0.1;", "invalid zone name \"\""),
        ("listen 80; server 127.0.0.1;", "\"listen\" directive is not allowed here"),
        ("server 127.0.0.1 service=http;", "service upstream \"127.0.0.1\" requires \"resolve\" parameter"),
        ("server localhost:1 service=http resolve;", "service upstream \"localhost:1\" may not have port"),
        ("server localhost resolve;", "no resolver defined to resolve names at run time in upstream \"u\""),
        ("queue 0; server 127.0.0.1;", "invalid value \"0\" in \"queue\" directive"),
        ("sticky cookie a b; server 127.0.0.1;", "invalid parameter \"b\""),
        ("sticky cookie a samesite=odd; server 127.0.0.1;", "invalid parameter \"samesite=odd\""),
        ("sticky route a; server 127.0.0.1;", "invalid variable name \"a\""),
        (
            "sticky learn create=$a lookup=$uri; server 127.0.0.1;",
            "\"sticky learn\" must have \"zone\" parameter; unknown \"a\" variable",
        ),
        ("state /dev/null; server 127.0.0.1;", "\"server\" directive cannot be used along with \"state\""),
    ] {
        assert_eq!(problem(block), message, "{block}");
    }
    let twice = build("upstream u { server 127.0.0.1; } upstream U { server 127.0.0.1; }").err().unwrap();
    assert_eq!(twice[0].message, "duplicate upstream \"U\"");
    let many: String = (1..200).map(|port| format!("server 127.0.0.1:{port};")).collect();
    assert_eq!(problem(&format!("zone a 32k; {many}")), "zone \"a\" is too small");
}

#[test]
fn a_method_that_is_named_again_is_told() {
    let built = build("upstream u { ip_hash; hash $uri; least_conn; server 127.0.0.1; }").unwrap();
    let warnings: Vec<_> = built.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings, ["load balancing method redefined"; 2]);
    assert!(matches!(built.config.upstreams[0].balance, Balance::Least(Load::Conns)));
}

#[test]
fn servers_are_read() {
    let group = group(
        "server 127.0.0.1 weight=2 max_conns=3 max_fails=0 fail_timeout=1m down; \
         server [::1]:8080 backup slow_start=30s route=b; server unix:/tmp/s drain; \
         keepalive 5; keepalive_requests 6; keepalive_time 7; keepalive_timeout 8; queue 9 timeout=10;",
    );
    let [first, second, third] = &group.servers[..] else { panic!("{group:?}") };
    let peer = Peer { weight: 2, max_conns: 3, max_fails: 0, fail_timeout: 60, down: true, ..Peer::new("127.0.0.1") };
    assert_eq!(first.peer, peer);
    let addresses = |server: &Server| server.addresses.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!((addresses(first), first.backup), ("127.0.0.1:80".to_owned(), false));
    assert_eq!((addresses(second), second.backup, &*second.route), ("[::1]:8080".to_owned(), true, "b"));
    assert_eq!(second.peer.slow_start, 30_000);
    assert_eq!((addresses(third), third.peer.drain), ("unix:/tmp/s".to_owned(), true));
    let keepalive = Keepalive { most: 5, requests: 6, time: 7000, timeout: 8000, local: false };
    assert_eq!(group.keepalive, keepalive);
    assert_eq!(group.queue, Some(queue::Spec { most: 9, timeout: 10_000 }));
}

#[test]
fn what_nothing_is_said_of_is_as_in_nginx() {
    let group = group("server 127.0.0.1;");
    assert_eq!(group.keepalive, Keepalive { most: 32, requests: 1000, time: 3_600_000, timeout: 60_000, local: true });
    assert!(matches!(group.balance, Balance::RoundRobin) && group.zone.is_none() && group.queue.is_none());
}

#[test]
fn a_name_that_is_looked_up_again_may_be_unknown_at_first() {
    let built =
        build("resolver 127.0.0.1:9; upstream u { server nosuch.invalid:81 resolve; server 127.0.0.1 resolve; }")
            .unwrap();
    assert_eq!(built.warnings[0].message, "host not found in upstream \"nosuch.invalid:81\"");
    let [first, second] = &built.config.upstreams[0].servers[..] else { panic!() };
    assert_eq!((&*first.host, first.port, first.resolve, first.addresses.len()), ("nosuch.invalid", 81, true, 0));
    assert!(!second.resolve, "an address is one");
}

#[test]
fn methods_are_read() {
    let debug = |block: &str| format!("{:?}", group(&format!("{block} server 127.0.0.1;")).balance);
    for (block, expected) in [
        ("ip_hash;", "IpHash"),
        ("random;", "Random(None)"),
        ("random two;", "Random(Some(Conns))"),
        ("random two least_time=last_byte;", "Random(Some(Time { whole: true, inflight: false }))"),
        ("least_time header inflight;", "Least(Time { whole: false, inflight: true })"),
    ] {
        assert_eq!(debug(block), expected);
    }
    assert!(debug("hash $uri consistent;").contains("consistent: true"));
}

#[test]
fn the_state_file_has_the_servers() {
    let path = std::env::temp_dir().join(format!("daemun-state-{}", std::process::id()));
    std::fs::write(&path, "server 127.0.0.1:81 weight=3;\nserver 127.0.0.1:82 backup;\n").unwrap();
    let read = group(&format!("state {};", path.display()));
    let found: Vec<_> = read.servers.iter().map(|server| (server.peer.weight, server.backup)).collect();
    assert_eq!(found, [(3, false), (1, true)]);
    std::fs::write(&path, "listen 80;").unwrap();
    assert_eq!(problem(&format!("state {};", path.display())), "\"listen\" directive is not allowed here");
    std::fs::remove_file(&path).unwrap();
    assert!(group(&format!("state {};", path.display())).servers.is_empty());
}

#[test]
fn groups_are_known_by_their_names() {
    let block = group("server 127.0.0.1;");
    assert!(block.is_named(b"U", None, 80) && !block.is_named(b"u", Some(80), 80) && !block.is_named(b"v", None, 80));
}
