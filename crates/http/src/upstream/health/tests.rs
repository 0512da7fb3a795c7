//! What is decided, and who decides.

use super::*;
use crate::upstream::Group;
use crate::upstream::Upstream;
use crate::upstream::peer::Peer;
use crate::upstream::spec::Address;

fn member() -> Arc<Member> {
    let address = Address::Inet("127.0.0.1:80".parse().unwrap());
    let group = Group::new(Arc::new(Upstream::of_addresses("a", vec![address], &conf::At::Default)), 0);
    group.members()[0].clone()
}

fn checks(mandatory: bool, persistent: bool, tag: u64) -> Vec<Arc<Check>> {
    (0..2).map(|bit| Arc::new(Check { bit, tag, mandatory, persistent, ..Check::default() })).collect()
}

#[test]
fn one_bad_opinion_is_enough_and_all_must_be_good() {
    let (member, checks) = (member(), checks(false, false, 1));
    begin(&member, &checks);
    assert_eq!(member.state.health(), Health::Unknown);
    decide(&member, &checks[0], 0, true);
    assert_eq!(member.state.health(), Health::Good);
    decide(&member, &checks[1], 0, false);
    decide(&member, &checks[0], 0, true);
    assert_eq!(member.state.health(), Health::Bad);
    decide(&member, &checks[1], 0, true);
    assert_eq!(member.state.health(), Health::Good);
}

#[test]
fn what_must_be_asked_first_waits_for_all_checks() {
    let (member, checks) = (member(), checks(true, false, 1));
    begin(&member, &checks);
    assert_eq!(member.state.health(), Health::Awaited);
    decide(&member, &checks[0], 3, true);
    assert_eq!(member.state.health(), Health::Awaited);
    decide(&member, &checks[1], 3, true);
    assert_eq!(member.state.health(), Health::Good);
    begin(&member, &checks);
    assert_eq!(member.state.health(), Health::Good, "the same configuration in another worker");
}

#[test]
fn a_reload_forgets_unless_it_is_not_to() {
    let mut zones = crate::zone::Zones::default();
    let zone = zones.declare("kept", 1 << 16, crate::zone::Use::Health).unwrap();
    zones.map(None).unwrap();
    for (kept, after) in [(None, Health::Awaited), (Some(zone), Health::Bad)] {
        let checks = |tag| -> Vec<Arc<Check>> {
            let keep = |check: Arc<Check>| Arc::new(Check { kept: kept.clone(), ..(*check).clone() });
            checks(true, kept.is_some(), tag).into_iter().map(keep).collect()
        };
        let before = member();
        begin(&before, &checks(1));
        decide(&before, &checks(1)[0], 3, false);
        assert_eq!(before.state.health(), Health::Bad);
        // The state itself begins anew.
        let member = member();
        begin(&member, &checks(3));
        assert_eq!(member.state.health(), after);
    }
}

#[test]
fn one_worker_asks_and_another_takes_over() {
    let member = member();
    assert!(lease(&member, 0, 1000));
    assert!(!lease(&member, 1, 1001));
    assert!(lease(&member, 0, 2000), "renewed");
    assert!(!lease(&member, 1, 2000 + LEASE - 1));
    assert!(lease(&member, 1, 2000 + LEASE), "the first one has ended");
    release(&member, 0);
    assert!(!lease(&member, 0, 2001 + LEASE));
    release(&member, 1);
    assert!(lease(&member, 0, 2001 + LEASE));
    assert!(Peer::new("a").slow_start == 0);
}
