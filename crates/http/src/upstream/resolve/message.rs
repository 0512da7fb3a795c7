//! Messages of DNS (RFC 1035, section 4): a question written, what an answer says. The codec is hickory-proto's.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Header, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

/// Aliases that are followed within one answer.
const ALIASES: usize = 16;
/// Records of one answer that are taken.
const RECORDS: usize = 256;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    V4,
    V6,
    Service,
}

impl Kind {
    fn code(self) -> RecordType {
        match self {
            Kind::V4 => RecordType::A,
            Kind::V6 => RecordType::AAAA,
            Kind::Service => RecordType::SRV,
        }
    }
}

/// One server of a service (RFC 2782).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub name: Name,
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// 0, or why there is nothing (RFC 1035, section 4.1.1).
    pub code: u8,
    pub v4: Vec<Ipv4Addr>,
    pub v6: Vec<Ipv6Addr>,
    pub targets: Vec<Target>,
    /// The name that the last alias leads to, if there is one.
    pub alias: Option<Name>,
    /// Of all records, the shortest, in seconds.
    pub ttl: u32,
    /// There is more, to be had over TCP.
    pub truncated: bool,
}

impl Answer {
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty() && self.targets.is_empty()
    }
}

/// A name as DNS has it; `None`: it cannot be one (RFC 1035, section 2.3.4).
pub fn name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > 253 {
        return None;
    }
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

/// The text of a name, without the dot at its end.
pub fn text(name: &Name) -> String {
    let mut text = name.to_ascii();
    if text.len() > 1 && text.ends_with('.') {
        text.pop();
    }
    text.make_ascii_lowercase();
    text
}

/// The bytes of a question.
pub fn question(id: u16, name: &Name, kind: Kind) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind.code()));
    message.to_vec().ok()
}

/// Reads the answer to a question. `None`: it is none, or not to this one.
pub fn answer(bytes: &[u8], id: u16, name: &Name, kind: Kind) -> Option<Answer> {
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).ok()?;
    if header.id != id || header.message_type != MessageType::Response || header.op_code != OpCode::Query {
        return None;
    }
    let code = header.response_code.low();
    // A server that could not read the question need not repeat it.
    if header.counts.queries == 0 && code == 1 {
        return Some(Answer { code, ..Answer::default() });
    }
    if header.counts.queries != 1 {
        return None;
    }
    let queries = Message::read_queries(&mut decoder, 1).ok()?;
    let query = queries.first()?;
    if query.name() != name || query.query_type() != kind.code() || query.query_class() != DNSClass::IN {
        return None;
    }
    if header.truncation {
        return Some(Answer { truncated: true, ..Answer::default() });
    }
    let mut found = Answer { code, ttl: u32::MAX, ..Answer::default() };
    let count = usize::from(header.counts.answers).min(RECORDS);
    let (records, ..) = Message::read_records(&mut decoder, count, false, OpCode::Query).ok()?;
    let mut owner = name.clone();
    for _ in 0..ALIASES {
        let alias = records.iter().find_map(|record| match &record.data {
            RData::CNAME(alias) if record.name == owner => Some((alias.0.clone(), record.ttl)),
            _ => None,
        });
        let Some((alias, ttl)) = alias else { break };
        found.ttl = found.ttl.min(ttl);
        owner = alias.clone();
        found.alias = Some(alias);
    }
    for record in records.iter().filter(|record| record.name == owner && record.dns_class == DNSClass::IN) {
        match (&record.data, kind) {
            (RData::A(address), Kind::V4) => found.v4.push(address.0),
            (RData::AAAA(address), Kind::V6) => found.v6.push(address.0),
            (RData::SRV(service), Kind::Service) => found.targets.push(Target {
                priority: service.priority,
                weight: service.weight,
                port: service.port,
                name: service.target.clone(),
            }),
            _ => continue,
        }
        found.ttl = found.ttl.min(record.ttl);
    }
    // The highest bit set is as good as 0 (RFC 2181, section 8).
    if found.ttl > i32::MAX as u32 {
        found.ttl = 0;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::ResponseCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, CNAME, SRV};
    use proptest::prelude::*;

    fn response(asked: &str, kind: Kind, records: Vec<(&str, u32, RData)>) -> Vec<u8> {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name(asked).unwrap(), kind.code()));
        for (owner, ttl, data) in records {
            message.add_answer(Record::from_rdata(name(owner).unwrap(), ttl, data));
        }
        message.to_vec().unwrap()
    }

    fn address(last: u8) -> RData {
        RData::A(A::new(10, 0, 0, last))
    }

    #[test]
    fn names() {
        for good in ["a", "example.com", "example.com.", "a_b.c", "_http._tcp.x"] {
            assert!(name(good).is_some(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", ".", "a..b", ".a", "a..", long.as_str(), &"a.".repeat(130)] {
            assert!(name(bad).is_none(), "{bad}");
        }
        assert_eq!(text(&name("Example.COM.").unwrap()), "example.com");
    }

    #[test]
    fn a_question_has_its_bytes() {
        let bytes = question(0x1234, &name("ab.c").unwrap(), Kind::V4).unwrap();
        assert_eq!(bytes, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02ab\x01c\0\0\x01\0\x01");
    }

    #[test]
    fn aliases_are_followed_and_strangers_left_out() {
        let alias = |to: &str| RData::CNAME(CNAME(name(to).unwrap()));
        let bytes = response(
            "www.x",
            Kind::V4,
            vec![
                ("WWW.x", 50, alias("b.x")),
                ("b.x", 20, alias("c.x")),
                ("c.x", 30, address(1)),
                ("c.x", 30, address(2)),
                ("evil.x", 1, address(9)),
            ],
        );
        let found = answer(&bytes, 7, &name("www.X").unwrap(), Kind::V4).unwrap();
        assert_eq!(found.v4, [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]);
        assert_eq!((found.ttl, found.code), (20, 0));
        assert!(answer(&bytes, 8, &name("www.x").unwrap(), Kind::V4).is_none(), "another question's");
        assert!(answer(&bytes, 7, &name("w.x").unwrap(), Kind::V4).is_none());
        assert!(answer(&bytes, 7, &name("www.x").unwrap(), Kind::V6).is_none());
    }

    #[test]
    fn an_alias_alone_and_a_circle() {
        let alias = |to: &str| RData::CNAME(CNAME(name(to).unwrap()));
        let bytes = response("a.x", Kind::V6, vec![("a.x", 5, alias("b.x"))]);
        let found = answer(&bytes, 7, &name("a.x").unwrap(), Kind::V6).unwrap();
        assert_eq!(found.alias.map(|name| text(&name)).as_deref(), Some("b.x"));
        let bytes = response("a.x", Kind::V6, vec![("a.x", 5, alias("b.x")), ("b.x", 5, alias("a.x"))]);
        assert!(answer(&bytes, 7, &name("a.x").unwrap(), Kind::V6).unwrap().is_empty());
    }

    #[test]
    fn services() {
        let data = RData::SRV(SRV::new(10, 5, 8080, name("h.x").unwrap()));
        let bytes = response("_http._tcp.x", Kind::Service, vec![("_http._tcp.x", 9, data)]);
        let found = answer(&bytes, 7, &name("_http._tcp.x").unwrap(), Kind::Service).unwrap();
        let target = Target { priority: 10, weight: 5, port: 8080, name: name("h.x").unwrap() };
        assert_eq!((found.targets, found.ttl), (vec![target], 9));
    }

    #[test]
    fn codes() {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.metadata.response_code = ResponseCode::NXDomain;
        message.add_query(Query::query(name("a").unwrap(), RecordType::A));
        let found = answer(&message.to_vec().unwrap(), 7, &name("a").unwrap(), Kind::V4).unwrap();
        assert_eq!(found.code, 3);
    }

    proptest! {
        #[test]
        fn garbage_is_no_answer(mut bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), with: u8) {
            let asked = name("www.x").unwrap();
            let _ = answer(&bytes, 7, &asked, Kind::V4);
            bytes = response("www.x", Kind::V4, vec![("www.x", 5, address(1)), ("www.x", 5, address(2))]);
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = answer(&bytes, 7, &asked, Kind::V4);
        }
    }
}
