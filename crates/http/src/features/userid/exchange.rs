//! What happens to a request: its cookie is read, an identifier is made, the answer gets a cookie.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wire::h1::encode;

use super::directives::Mode;
use super::{Reset, Settings, Uid, Version};
use crate::exchange::ResponseHead;
use crate::log::Level;
use crate::sys;
use crate::transport::clock;
use crate::variables::{Scope, registry};

/// What is known of a request's client.
#[derive(Clone, Copy, Default)]
pub struct State {
    /// The identifier that it sent; `None`: it was not looked for yet.
    got: Option<Option<Uid>>,
    /// What it is sent; `None`: that was not decided yet.
    set: Option<Option<Uid>>,
}

/// The identifier that the client sent.
fn client(scope: &mut Scope<'_>) -> Option<Uid> {
    if let Some(known) = scope.request.route.uid.got {
        return known;
    }
    let name = scope.settings().userid.cookie.name.as_bytes();
    let found = scope.request.cookie(name).map(Uid::parse).transpose();
    let found = found.unwrap_or_else(|why| {
        let fields = scope.request.field_values("cookie");
        let field = fields.into_iter().find(|field| memchr::memmem::find(field, name).is_some()).unwrap_or_default();
        let field = String::from_utf8_lossy(field);
        scope.request.error(scope.config, scope.log, format_args!("{why} \"{field}\""));
        None
    });
    let found = found.filter(Uid::is_known);
    scope.request.route.uid.got = Some(found);
    found
}

/// The identifier that the client is to be sent, if it is to be sent one. What is decided stays.
pub fn prepare(scope: &mut Scope<'_>) -> Option<Uid> {
    let settings = &scope.settings().userid;
    let Mode::Made(version) = settings.mode else { return None };
    if let Some(known) = scope.request.route.uid.set {
        return known;
    }
    let got = client(scope).filter(|uid| !is_reset(uid, settings, scope));
    let value = scope.request.cookie(settings.cookie.name.as_bytes());
    let made = match got {
        Some(_) if !settings.cookie.is_due(value) => None,
        Some(uid) => Some(uid),
        None => Some(make(version, settings, scope)),
    };
    scope.request.route.uid.set = Some(made);
    made
}

/// Whether `$uid_reset` says that an identifier is not to count.
fn is_reset(uid: &Uid, settings: &Settings, scope: &mut Scope<'_>) -> bool {
    let mut value = Vec::new();
    if let Some(id) = settings.reset {
        registry::write_if_set(id, scope, &mut value);
    }
    let reset = super::reset(&value);
    if reset == Reset::Logged {
        let text = uid.variable(&settings.cookie.name);
        scope.request.log(Level::Notice, scope.config, scope.log, format_args!("userid cookie \"{text}\" was reset"));
    }
    reset != Reset::No
}

fn make(version: Version, settings: &Settings, scope: &Scope<'_>) -> Uid {
    static START: OnceLock<u32> = OnceLock::new();
    static ONE: AtomicU32 = AtomicU32::new(0);
    static TWO: AtomicU32 = AtomicU32::new(0);
    let start = *START.get_or_init(|| super::start_value(clock::wall().1, std::process::id()));
    let counter = match version {
        Version::One => &ONE,
        Version::Two => &TWO,
    };
    let next = |last: u32| Some(if last == 0 { super::first(version) } else { super::following(version, last) });
    let sequence = counter.fetch_update(Relaxed, Relaxed, next).map_or(0, |last| next(last).unwrap_or_default());
    let service = settings.service.unwrap_or_else(|| match version {
        Version::One => 0,
        Version::Two => super::service_of(scope.request.local_end().0.parse().ok()),
    });
    Uid::new(version, service, sys::time::coarse_seconds() as u32, start, sequence)
}

/// Adds the cookie to an answer.
pub fn apply(scope: &mut Scope<'_>, head: &mut ResponseHead) {
    let settings = &scope.settings().userid;
    if !settings.is_on() {
        return;
    }
    let Some(uid) = prepare(scope) else { return };
    let now = sys::time::coarse_seconds().max(0) as u64;
    encode::field(&mut head.fields, b"Set-Cookie", settings.cookie.set(&uid, now).as_bytes());
    if let Some(p3p) = &settings.p3p {
        encode::field(&mut head.fields, b"P3P", p3p.as_bytes());
    }
}

/// `$uid_got`
pub fn got(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    if scope.settings().userid.mode == Mode::Off {
        return false;
    }
    let uid = client(scope);
    write(uid, scope, out)
}

/// `$uid_set`
pub fn set(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    let uid = prepare(scope);
    write(uid, scope, out)
}

fn write(uid: Option<Uid>, scope: &Scope<'_>, out: &mut Vec<u8>) -> bool {
    let Some(uid) = uid else { return false };
    out.extend_from_slice(uid.variable(&scope.settings().userid.cookie.name).as_bytes());
    true
}
