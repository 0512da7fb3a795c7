//! `sticky`: a client stays with the server that it was sent to first, as long as that can be asked. By a cookie of our
//! own, by what a variable says (`route`), or by a session that the server began (`learn`), which is kept in a zone.

use std::sync::Arc;

use super::peer::Member;
use crate::sys;
use crate::transport::clock;
use crate::variables::{Scope, Template};
use crate::zone::values::Values;
use crate::zone::{Memory, Zone};

/// The longest name of a route that sessions are kept with, in bytes.
pub const LONGEST_ROUTE: usize = 64;

#[derive(Clone, Debug)]
pub enum Sticky {
    Cookie(Cookie),
    /// The first that is not empty.
    Route(Vec<Template>),
    Learn(Learn),
}

/// When a cookie ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    Session,
    /// At the end of 2037.
    Max,
    /// In seconds.
    After(u64),
}

#[derive(Clone, Debug)]
pub struct Cookie {
    pub name: Box<str>,
    pub expires: Expires,
    pub domain: Option<Template>,
    pub path: Option<Template>,
    pub httponly: bool,
    pub secure: bool,
    pub samesite: Option<Template>,
}

#[derive(Clone)]
pub struct Learn {
    /// What names a session in an answer, and in a request: the first that is not empty.
    pub create: Vec<Template>,
    pub lookup: Vec<Template>,
    pub zone: Arc<Zone>,
    /// For how long a session is kept that is not used, in seconds.
    pub timeout: u64,
    /// A session begins with the head of the answer, not with its end.
    pub header: bool,
}

impl std::fmt::Debug for Learn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Learn(zone {})", self.zone.name)
    }
}

impl Sticky {
    /// What the client is bound to its server by.
    pub fn bound(&self, scope: &mut Scope<'_>) -> Option<Vec<u8>> {
        match self {
            Sticky::Cookie(cookie) => scope.request.cookie(cookie.name.as_bytes()).map(<[u8]>::to_vec),
            Sticky::Route(variables) => first(variables, scope),
            Sticky::Learn(learn) => learn.find(&first(&learn.lookup, scope)?, now()),
        }
    }

    /// The head of an answer is there: what a Set-Cookie field says. `bound`: see above.
    pub fn answered(&self, scope: &mut Scope<'_>, bound: Option<&[u8]>, member: &Member) -> Option<Vec<u8>> {
        match self {
            Sticky::Cookie(cookie) => {
                let same = bound == Some(member.route.as_bytes());
                // One that is to last for some time lasts from its last use.
                let due = !same || matches!(cookie.expires, Expires::After(_));
                due.then(|| cookie.set(scope, &member.route, sys::time::coarse_seconds().max(0) as u64))
            }
            Sticky::Learn(learn) if learn.header => {
                learn.note(scope, member);
                None
            }
            _ => None,
        }
    }

    /// The answer has come to its end.
    pub fn ended(&self, scope: &mut Scope<'_>, member: &Member) {
        if let Sticky::Learn(learn) = self
            && !learn.header
        {
            learn.note(scope, member);
        }
    }
}

impl Cookie {
    fn set(&self, scope: &mut Scope<'_>, route: &str, now: u64) -> Vec<u8> {
        let mut out = format!("{}={route}", self.name).into_bytes();
        let expires = match self.expires {
            Expires::Session => None,
            Expires::Max => Some("Thu, 31-Dec-37 23:55:55 GMT".to_owned()),
            Expires::After(seconds) => Some(clock::cookie_time(now.saturating_add(seconds))),
        };
        if let Some(expires) = expires {
            out.extend_from_slice(b"; expires=");
            out.extend_from_slice(expires.as_bytes());
        }
        let may = |value: &[u8]| !value.is_empty() && value.iter().all(|byte| !matches!(byte, 0..32 | 127 | b';'));
        for (name, template) in [("domain", &self.domain), ("path", &self.path)] {
            let value = template.as_ref().map(|template| template.value(scope)).filter(|value| may(value));
            if let Some(value) = value {
                out.extend_from_slice(format!("; {name}=").as_bytes());
                out.extend_from_slice(&value);
            }
        }
        if self.httponly {
            out.extend_from_slice(b"; httponly");
        }
        if self.secure {
            out.extend_from_slice(b"; secure");
        }
        let samesite = self.samesite.as_ref().and_then(|template| same_site(&template.value(scope)));
        if let Some(value) = samesite {
            out.extend_from_slice(b"; samesite=");
            out.extend_from_slice(value.as_bytes());
        }
        out
    }
}

/// A value of `samesite`, whatever case.
pub fn same_site(value: &[u8]) -> Option<&'static str> {
    ["strict", "lax", "none"].into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(value))
}

impl Learn {
    fn values<'m>(&self, memory: &'m Arc<Memory>) -> Values<'m> {
        Values::new(memory.numbers(), memory.secret, LONGEST_ROUTE)
    }

    /// The route of a session, which lasts on from now.
    fn find(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let memory = self.zone.memory()?;
        let (values, hash) = (self.values(memory), memory.secret.hash(session));
        let (route, used) = values.get(hash)?;
        if now.saturating_sub(used) > self.timeout {
            return None;
        }
        if now != used {
            values.put(hash, &route, now);
        }
        Some(route)
    }

    /// Begins the session that an answer names.
    fn note(&self, scope: &mut Scope<'_>, member: &Member) {
        if let Some(session) = first(&self.create, scope) {
            self.begin(&session, &member.route, now());
        }
    }

    fn begin(&self, session: &[u8], route: &str, now: u64) {
        if let Some(memory) = self.zone.memory() {
            self.values(memory).put(memory.secret.hash(session), route.as_bytes(), now);
        }
    }
}

/// The first value that is not empty.
fn first(variables: &[Template], scope: &mut Scope<'_>) -> Option<Vec<u8>> {
    variables.iter().map(|variable| variable.value(scope)).find(|value| !value.is_empty())
}

/// In seconds; the same in all workers.
fn now() -> u64 {
    sys::time::coarse_monotonic_ms() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Use;

    #[test]
    fn sessions_last_from_their_last_use() {
        let memory = Arc::new(Memory::new(65536).unwrap());
        let zone = Arc::new(Zone::mapped("s", memory, Use::Bound));
        let learn = Learn { create: vec![], lookup: vec![], zone, timeout: 10, header: false };
        learn.begin(b"abc", "a", 100);
        assert_eq!(learn.find(b"abd", 100), None);
        assert_eq!(learn.find(b"abc", 110).as_deref(), Some(&b"a"[..]));
        assert_eq!(learn.find(b"abc", 119).as_deref(), Some(&b"a"[..]));
        learn.begin(b"abc", "b", 120);
        assert_eq!(learn.find(b"abc", 130).as_deref(), Some(&b"b"[..]));
        assert_eq!(learn.find(b"abc", 141), None);
    }
}
