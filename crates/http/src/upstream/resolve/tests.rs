//! Lookups against a small DNS server on the loopback.

use super::*;
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_proto::rr::{RData, Record, RecordType};

#[derive(Clone, Default)]
struct Zone {
    /// What there is of a name; the TTL of each record is 60 s.
    records: HashMap<&'static str, Vec<RData>>,
    code: Option<ResponseCode>,
    /// Over UDP all answers are cut off.
    cut: bool,
    /// The first so many questions get no answer.
    deaf: usize,
}

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

fn respond(zone: &Zone, question: &[u8], cut: bool) -> (String, Vec<u8>) {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let name = message::text(query.name());
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.truncation = cut;
    answer.add_query(query.clone());
    match (zone.code, zone.records.get(name.as_str())) {
        (Some(code), _) => answer.metadata.response_code = code,
        (None, None) => answer.metadata.response_code = ResponseCode::NXDomain,
        (None, Some(_)) if cut => {}
        (None, Some(records)) => {
            let fits = |data: &&RData| data.record_type() == query.query_type() || matches!(data, RData::CNAME(_));
            for data in records.iter().filter(fits) {
                answer.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
            }
        }
    }
    (format!("{name} {}", query.query_type()), answer.to_vec().unwrap())
}

/// A server on a thread of its own, until the test ends.
fn serve(zone: Zone) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let over_tcp = zone.cut.then(|| TcpListener::bind(address).unwrap());
    let (own, whole) = (asked.clone(), zone.clone());
    std::thread::spawn(move || {
        let mut deaf = zone.deaf;
        let mut buffer = [0; 512];
        while let Ok((got, from)) = socket.recv_from(&mut buffer) {
            let (what, answer) = respond(&zone, &buffer[..got], zone.cut);
            own.lock().unwrap().push(what);
            if deaf > 0 {
                deaf -= 1;
                continue;
            }
            let mut forged = answer.clone();
            forged[0] ^= 1;
            socket.send_to(&forged, from).unwrap();
            socket.send_to(b"?", from).unwrap();
            socket.send_to(&answer, from).unwrap();
        }
    });
    if let Some(listener) = over_tcp {
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut question).unwrap();
                let (_, answer) = respond(&whole, &question, false);
                stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
    }
    Server { address, asked }
}

fn zone(records: &[(&'static str, &[RData])]) -> Zone {
    Zone { records: records.iter().map(|(name, data)| (*name, data.to_vec())).collect(), ..Zone::default() }
}

fn v4(last: u8) -> RData {
    RData::A(A::new(10, 0, 0, last))
}

fn resolver(servers: &[&Server]) -> Arc<Resolver> {
    Arc::new(Resolver::new(servers.iter().map(|server| server.address).collect(), None, true, true))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    crate::runtime::build().unwrap().block_on(future)
}

fn words(result: Result<Vec<IpAddr>, Failure>) -> String {
    match result {
        Ok(mut found) => {
            found.sort();
            found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        }
        Err(why) => why.to_string(),
    }
}

#[test]
fn names_have_addresses_or_not() {
    let v6 = RData::AAAA(AAAA::new(0xfd, 0, 0, 0, 0, 0, 0, 1));
    let alias = RData::CNAME(CNAME(message::name("both.x").unwrap()));
    let server = serve(zone(&[("one.x", &[v4(1)]), ("both.x", &[v4(1), v4(2), v6]), ("alias.x", &[alias])]));
    let resolver = resolver(&[&server]);
    for (name, found) in [
        ("one.x", "10.0.0.1"),
        ("ONE.x.", "10.0.0.1"),
        ("both.x", "10.0.0.1 10.0.0.2 fd::1"),
        ("alias.x", "10.0.0.1 10.0.0.2 fd::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("none.x", "none.x could not be resolved (3: Host not found)"),
        ("a..b", "a..b could not be resolved (3: Host not found)"),
    ] {
        assert_eq!(words(run(resolver.lookup(name, 3000))), found, "{name}");
    }
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|what| what.starts_with("one.x ")).count(), 2, "{asked:?}");
}

#[test]
fn one_question_for_many() {
    let server = serve(zone(&[("one.x", &[v4(1)])]));
    let resolver = resolver(&[&server]);
    run(async {
        let all: Vec<_> = (0..50)
            .map(|_| {
                let resolver = resolver.clone();
                tokio::spawn(async move { resolver.lookup("one.x", 3000).await })
            })
            .collect();
        for one in all {
            assert!(one.await.unwrap().is_ok());
        }
    });
    assert_eq!(server.asked.lock().unwrap().len(), 2);
}

#[test]
fn another_server_may_know() {
    let ill = serve(Zone { code: Some(ResponseCode::ServFail), ..Zone::default() });
    let well = serve(zone(&[("one.x", &[v4(1)])]));
    let both = resolver(&[&ill, &well]);
    assert_eq!(words(run(both.lookup("one.x", 3000))), "10.0.0.1");
    let dead: SocketAddr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let with_dead = Arc::new(Resolver::new(vec![dead, well.address], None, true, false));
    assert_eq!(words(run(with_dead.lookup("one.x", 3000))), "10.0.0.1");
    assert_eq!(words(run(resolver(&[&ill]).lookup("one.x", 3000))), "one.x could not be resolved (2: Server failure)");
}

#[test]
fn who_gives_up_waiting_is_told_so() {
    let server = serve(Zone { deaf: usize::MAX, ..zone(&[]) });
    let resolver = resolver(&[&server]);
    assert_eq!(words(run(resolver.lookup("one.x", 50))), "one.x could not be resolved (110: Operation timed out)");
}

#[test]
fn what_is_cut_off_is_asked_for_again() {
    let many: Vec<RData> = (1..=100).map(v4).collect();
    let server = serve(Zone { cut: true, ..zone(&[("many.x", &many)]) });
    assert_eq!(run(resolver(&[&server]).lookup("many.x", 3000)).unwrap().len(), 100);
}

#[test]
fn services_in_their_order() {
    let data = |priority, port, host: &str| RData::SRV(SRV::new(priority, 3, port, message::name(host).unwrap()));
    let server = serve(zone(&[
        ("_http._tcp.s.x", &[data(20, 81, "b.x"), data(10, 80, "a.x"), data(5, 1, "none.x")]),
        ("a.x", &[v4(1)]),
        ("b.x", &[v4(2)]),
        ("plain.s.x", &[data(1, 7, "a.x")]),
    ]));
    let resolver = resolver(&[&server]);
    let found = run(resolver.services("http", "s.x", 3000)).unwrap();
    let found: Vec<_> = found.it.iter().map(|one| (one.priority, one.port, one.addresses.len())).collect();
    assert_eq!(found, [(10, 80, 1), (20, 81, 1)]);
    assert_eq!(run(resolver.services("plain.s", "x", 3000)).unwrap().it.len(), 1);
    let why = run(resolver.services("ftp", "s.x", 3000)).unwrap_err();
    assert_eq!(why.to_string(), "_ftp._tcp.s.x could not be resolved (3: Host not found)");
}

#[test]
fn the_order_changes_and_families_stay_together() {
    let (a, b): (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(1, 0, 0, 1), Ipv4Addr::new(1, 0, 0, 2));
    let c = Ipv6Addr::LOCALHOST;
    let as_text = |number| rotated(&[a, b], &[c], number).iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(as_text(0), "1.0.0.1 1.0.0.2 ::1");
    assert_eq!(as_text(1), "1.0.0.2 1.0.0.1 ::1");
    assert_eq!(as_text(1 << 32), "::1 1.0.0.1 1.0.0.2");
    assert_eq!(as_text((2 << 32) + 1), "1.0.0.1 ::1 1.0.0.2");
    assert!(rotated(&[], &[], 7).is_empty());
}

#[test]
fn the_type_is_known_to_be_sent_between_threads() {
    fn sent<T: Send>(_: T) {}
    sent(resolver(&[]).lookup("x", 0));
    assert_eq!(RecordType::SRV.to_string(), "SRV");
}
