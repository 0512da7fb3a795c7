//! Names of servers that are looked up while the worker runs (`resolver`), as nginx does it: the servers are asked in
//! turn, answers are kept for as long as their records say (or `valid=`), and given in an order that changes.
//!
//! A resolver is made with the configuration and does nothing until somebody asks; each worker has a memory of its own.

pub mod ask;
pub mod directives;
pub mod message;
pub mod names;
pub mod refresh;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use crate::sys;
use ask::Asked;
use message::{Kind, Target};
use names::{Key, Look, Names, Outcome, Question};

pub use directives::{ROWS, TIMEOUT};

/// After so long without an answer the next server is asked.
const RESEND: Duration = Duration::from_secs(5);
/// Names that are asked for at the same time; each takes a descriptor.
const AT_ONCE: usize = 512;
/// Aliases that are followed from answer to answer.
const ALIASES: usize = 16;
/// Servers of one service that are looked up.
const TARGETS: usize = 64;

/// Who is asked, and what is known.
pub struct Resolver {
    servers: Vec<SocketAddr>,
    /// How long answers hold, in seconds; `None`: as their records say.
    valid: Option<u64>,
    v4: bool,
    v6: bool,
    names: Arc<Names>,
    /// Which server is the next one's first.
    turn: AtomicUsize,
    room: Semaphore,
}

/// What was found out about a name.
#[derive(Default, Debug)]
pub struct Found {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    targets: Vec<Target>,
    /// In seconds.
    valid: u64,
}

/// Something that was looked up, and how long it holds, in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    pub it: T,
    pub valid: u64,
}

/// A server of a service, with the addresses of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest is the first to be used.
    pub priority: u16,
    /// 0 = 1
    pub weight: u16,
    pub port: u16,
    pub addresses: Vec<IpAddr>,
}

/// Why there is no answer: the server's code (RFC 1035, section 4.1.1), or the number of the error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code(pub u16);

impl Code {
    const SERVER: Code = Code(2);
    const NAME: Code = Code(3);
    pub const TIMED_OUT: Code = Code(libc::ETIMEDOUT as u16);
}

/// As nginx prints it: `3: Host not found`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.0 {
            1 => "Format error",
            2 => "Server failure",
            3 => "Host not found",
            4 => "Unimplemented",
            5 => "Operation refused",
            code if code == Code::TIMED_OUT.0 => "Operation timed out",
            _ => "Unknown error",
        };
        write!(f, "{}: {words}", self.0)
    }
}

/// A name that has no addresses, for the log: `x.y could not be resolved (3: Host not found)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub name: Box<str>,
    pub code: Code,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be resolved ({})", self.name, self.code)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resolver({:?})", self.servers)
    }
}

impl Resolver {
    /// `valid`: in seconds.
    pub fn new(servers: Vec<SocketAddr>, valid: Option<u64>, v4: bool, v6: bool) -> Resolver {
        Resolver {
            servers,
            valid,
            v4,
            v6,
            names: Arc::default(),
            turn: AtomicUsize::new(0),
            room: Semaphore::new(AT_ONCE),
        }
    }

    /// The addresses of a name, in an order that changes. `limit`: `resolver_timeout`, in ms; 0 = none. Within the runtime.
    pub async fn lookup(self: &Arc<Self>, name: &str, limit: u64) -> Result<Vec<IpAddr>, Failure> {
        self.addresses(name, limit).await.map(|answered| answered.it)
    }

    /// The same, and how long it holds.
    pub async fn addresses(self: &Arc<Self>, name: &str, limit: u64) -> Result<Answered<Vec<IpAddr>>, Failure> {
        if let Some(literal) = literal(name) {
            return Ok(Answered { it: vec![literal], valid: u64::MAX });
        }
        let found = self.find(name, false, limit).await?;
        let number = sys::random::number();
        Ok(Answered { it: rotated(&found.v4, &found.v6, number), valid: found.valid })
    }

    /// The servers of a service (`service=`), those of the lowest priority first.
    pub async fn services(
        self: &Arc<Self>,
        service: &str,
        name: &str,
        limit: u64,
    ) -> Result<Answered<Vec<Service>>, Failure> {
        let asked = service_name(service, name);
        let found = self.find(&asked, true, limit).await?;
        let (mut all, mut valid, mut failure) = (Vec::new(), found.valid, None);
        for target in found.targets.iter().take(TARGETS) {
            match self.addresses(&message::text(&target.name), limit).await {
                Ok(answered) => {
                    valid = valid.min(answered.valid);
                    all.push(Service {
                        priority: target.priority,
                        weight: target.weight,
                        port: target.port,
                        addresses: answered.it,
                    });
                }
                Err(why) => failure = failure.or(Some(why)),
            }
        }
        match failure {
            Some(why) if all.is_empty() => Err(why),
            _ if all.is_empty() => Err(Failure { name: asked.into(), code: Code::NAME }),
            _ => Ok(Answered { it: all, valid }),
        }
    }

    async fn find(self: &Arc<Self>, name: &str, service: bool, limit: u64) -> Result<Arc<Found>, Failure> {
        let fail = |code| Failure { name: name.into(), code };
        let Some(asked) = message::name(name) else { return Err(fail(Code::NAME)) };
        let key = Key { service, name: message::text(&asked).into() };
        let mut answer = match self.names.look(key, now()) {
            Look::Known(outcome) => return outcome.map_err(fail),
            Look::Wait(answer) => answer,
            Look::Ask(question, answer) => {
                tokio::spawn(self.clone().run(asked, question));
                answer
            }
        };
        let outcome = outcome(&mut answer);
        let outcome = match limit {
            0 => outcome.await,
            limit => timeout(Duration::from_millis(limit), outcome).await.unwrap_or(Err(Code::TIMED_OUT)),
        };
        outcome.map_err(fail)
    }

    /// Finds out about a name, for as long as somebody waits.
    async fn run(self: Arc<Self>, name: Name, question: Question) {
        let outcome = match self.room.acquire().await {
            Ok(_room) if question.is_waited_for() => self.find_out(name, &question).await,
            _ => Err(Code::TIMED_OUT),
        };
        question.answer(outcome.map(Arc::new), now());
    }

    async fn find_out(&self, mut name: Name, question: &Question) -> Result<Found, Code> {
        let mut ttl = u32::MAX;
        for _ in 0..ALIASES {
            let asked = self.ask(&name, question).await?;
            let mut found = Found::default();
            let (mut alias, mut code) = (None, Code::NAME);
            for answer in asked.into_iter().filter_map(|one| one.answer) {
                if answer.code != 0 && (code == Code::NAME || answer.code == 3) {
                    code = Code(u16::from(answer.code));
                }
                if answer.alias.is_some() || !answer.is_empty() {
                    ttl = ttl.min(answer.ttl);
                }
                alias = alias.or(answer.alias.filter(|_| answer.code == 0));
                found.v4.extend(answer.v4);
                found.v6.extend(answer.v6);
                found.targets.extend(answer.targets);
            }
            if !(found.v4.is_empty() && found.v6.is_empty() && found.targets.is_empty()) {
                found.targets = names::in_order(found.targets);
                found.valid = self.valid.unwrap_or(u64::from(ttl));
                return Ok(found);
            }
            match alias {
                Some(alias) if alias != name => name = alias,
                _ => return Err(code),
            }
        }
        Err(Code::SERVER)
    }

    /// Asks the servers in turn until everything is answered.
    async fn ask(&self, name: &Name, question: &Question) -> Result<Vec<Asked>, Code> {
        let kinds: &[(Kind, bool)] = match question.key.service {
            true => &[(Kind::Service, true)],
            false => &[(Kind::V4, self.v4), (Kind::V6, self.v6)],
        };
        let kinds = kinds.iter().filter(|(_, wanted)| *wanted);
        let mut asked: Vec<Asked> = kinds.map(|(kind, _)| Asked { kind: *kind, answer: None }).collect();
        let first = self.turn.fetch_add(1, Relaxed);
        for attempt in 1usize.. {
            let began = Instant::now();
            let index = first.wrapping_add(attempt - 1) % self.servers.len().max(1);
            let Some(server) = self.servers.get(index) else { return Err(Code::SERVER) };
            let reached = ask::ask(*server, name, &mut asked, RESEND).await.is_ok();
            let every_one = attempt >= self.servers.len();
            // What another server may know better.
            let failed = |one: &Asked| one.answer.as_ref().is_some_and(|answer| !matches!(answer.code, 0 | 3));
            if asked.iter().any(failed) && !every_one {
                asked.iter_mut().filter(|one| failed(one)).for_each(|one| one.answer = None);
                continue;
            }
            let useful = |one: &Asked| one.answer.as_ref().is_some_and(|answer| !answer.is_empty());
            if asked.iter().all(|one| one.answer.is_some()) || every_one && asked.iter().any(useful) {
                return Ok(asked);
            }
            if !reached && every_one {
                sleep_until(began + RESEND).await;
            }
            if !question.is_waited_for() {
                break;
            }
        }
        Err(Code::TIMED_OUT)
    }
}

async fn outcome(answer: &mut Receiver<Option<Outcome>>) -> Outcome {
    match answer.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Err(Code::SERVER)),
        // Whoever asked has ended.
        Err(_) => Err(Code::SERVER),
    }
}

/// In seconds.
fn now() -> u64 {
    sys::time::coarse_monotonic_ms() / 1000
}

/// An address needs no looking up.
fn literal(name: &str) -> Option<IpAddr> {
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    inside.unwrap_or(name).parse().ok()
}

/// What the name of a service is in DNS: `http` of `x.y` is `_http._tcp.x.y`; with a dot in it, it is as it stands.
fn service_name(service: &str, name: &str) -> String {
    if service.contains('.') { format!("{service}.{name}") } else { format!("_{service}._tcp.{name}") }
}

/// All addresses, in nginx's order: those of a family stay together, each begins somewhere, and so does the whole.
fn rotated(v4: &[Ipv4Addr], v6: &[Ipv6Addr], number: u64) -> Vec<IpAddr> {
    let turned = |count: usize, by: u64| {
        let by = if count == 0 { 0 } else { by as usize % count };
        (by..count).chain(0..by)
    };
    let mut all: Vec<IpAddr> = turned(v4.len(), number & 0xffff).map(|index| v4[index].into()).collect();
    all.extend(turned(v6.len(), number >> 16 & 0xffff).map(|index| IpAddr::from(v6[index])));
    let by = if all.is_empty() { 0 } else { (number >> 32) as usize % all.len() };
    all.rotate_right(by);
    all
}

#[cfg(test)]
mod tests;
