//! Compression on the fly, and its opposite: which answers, for which clients, with which coding (RFC 9110 sections 8.4
//! and 12.5.3). The rules are nginx's, for Brotli and Zstandard too.
//!
//! Where a client gives several codings the same weight, Zstandard is taken, then Brotli, then gzip: at the default
//! levels Zstandard costs a third of gzip and is shorter; Brotli is a little shorter than both and costs twice as much
//! as gzip (the numbers are in `stage`). Work on the fly is time of all other requests. Compressed files beside others
//! cost nothing, so the shortest is preferred there: see `handlers::files`.

pub mod clients;
pub mod directives;

use std::io::Write;

use wire::accept::AcceptEncoding;
use wire::h1::encode;

use self::clients::Clients;
use crate::config::Handler;
use crate::config::media_types::MediaTypes;
use crate::exchange::ResponseHead;
use crate::stage::brotli::Brotli;
use crate::stage::gunzip::Gunzip;
use crate::stage::gzip::Gzip;
use crate::stage::zstd::Zstd;
use crate::stage::{Coding, Stage};
use crate::variables::Scope;

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    pub clients: Clients,
    pub gzip: Rule,
    pub brotli: Rule,
    pub zstd: Rule,
    pub gunzip: bool,
}

/// Which answers are compressed with one of the codings.
#[derive(Clone)]
pub struct Rule {
    pub on: bool,
    pub level: i32,
    /// In bytes; shorter answers are not, if their length is known.
    pub min_length: u64,
    pub types: MediaTypes,
}

impl Rule {
    fn at(level: i32) -> Rule {
        Rule { on: false, level, min_length: 20, types: MediaTypes::default() }
    }

    /// Whether an answer with this head is one of those.
    fn is_for(&self, head: &ResponseHead, length: Option<u64>) -> bool {
        self.on && length.is_none_or(|length| length >= self.min_length) && self.types.has(head.media_type())
    }
}

impl Default for Settings {
    fn default() -> Self {
        let clients = Clients::default();
        Settings { clients, gzip: Rule::at(1), brotli: Rule::at(4), zstd: Rule::at(1), gunzip: false }
    }
}

impl Settings {
    /// `defaults modern;`: nothing is compressed on the fly there either. Applications may do it themselves, and know
    /// which answers hold a secret beside what a stranger has written (BREACH).
    pub fn modern() -> Settings {
        Settings { clients: Clients::modern(), ..Settings::default() }
    }

    /// Whether something may be compressed or the opposite.
    pub fn is_on(&self) -> bool {
        self.gzip.on || self.brotli.on || self.zstd.on || self.gunzip
    }

    fn rule(&self, coding: Coding) -> &Rule {
        match coding {
            Coding::Gzip => &self.gzip,
            Coding::Brotli => &self.brotli,
            Coding::Zstd => &self.zstd,
        }
    }
}

/// The server's order.
const PREFERRED: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// How much a client wants a coding, in thousandths. `strict`: as RFC 9110 has it; else as nginx.
pub fn weight(accept: &AcceptEncoding<'_>, coding: Coding, strict: bool) -> u16 {
    let name = coding.name().as_bytes();
    if strict { accept.weight(name) } else { accept.as_nginx(name) }
}

/// What is done with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Plan {
    /// It depends on what the client accepts.
    varies: bool,
    coding: Option<Coding>,
    gunzip: bool,
}

/// Whether an answer is compressed already.
fn is_coded(head: &ResponseHead) -> bool {
    head.find("content-encoding").is_some_and(|coding| !coding.is_empty())
}

/// Whether it is gzip that may be taken off.
fn is_gzip(head: &ResponseHead) -> bool {
    head.find("content-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip"))
}

/// Whether the client may get a compressed answer; nothing but the main one is. `coding`: the one it must accept.
fn fits(scope: &Scope<'_>, head: &ResponseHead, coding: Coding) -> u16 {
    let request = &*scope.request;
    let accept = AcceptEncoding::new(request.field("accept-encoding"));
    let weight = weight(&accept, coding, !scope.settings().nginx_pages);
    let dated =
        head.find("last-modified").is_some() && matches!(scope.location().handler, Handler::App(_) | Handler::Proxy(_));
    let clients = &scope.settings().compression.clients;
    let fits = weight > 0 && !request.route.subrequest && clients.fit(request, head, dated);
    if fits { weight } else { 0 }
}

/// Whether gzip is to be taken off an answer.
fn plan_gunzip(scope: &Scope<'_>, head: &ResponseHead) -> Plan {
    if !scope.settings().compression.gunzip || !is_gzip(head) {
        return Plan::default();
    }
    Plan { varies: true, coding: None, gunzip: fits(scope, head, Coding::Gzip) == 0 }
}

/// The coding for an answer that has none.
fn plan_coding(scope: &Scope<'_>, head: &ResponseHead) -> Plan {
    let settings = &scope.settings().compression;
    let mut plan = Plan::default();
    if !matches!(head.status, 200 | 403 | 404) || scope.request.route.subrequest || is_coded(head) {
        return plan;
    }
    let length = length(head);
    let mut best = 0;
    for coding in PREFERRED.into_iter().filter(|coding| settings.rule(*coding).is_for(head, length)) {
        plan.varies = true;
        let weight = fits(scope, head, coding);
        if weight > best {
            best = weight;
            plan.coding = Some(coding);
        }
    }
    if plan.coding.is_some() && !scope.settings().nginx_pages {
        let accept = AcceptEncoding::new(scope.request.field("accept-encoding"));
        plan.coding = plan.coding.filter(|_| best >= accept.weight(b"identity"));
    }
    plan
}

/// The length of the body, as it comes to the coder.
fn length(head: &ResponseHead) -> Option<u64> {
    head.length.filter(|_| head.assembly.is_none() && head.stages.iter().all(|stage| stage.keeps_length()))
}

/// Whether the answer would be another one than that which the file or text is: it has no ranges then. What it depends
/// on is noted.
pub fn changes(scope: &mut Scope<'_>, head: &ResponseHead) -> bool {
    if !scope.settings().compression.is_on() {
        return false;
    }
    let taken_off = plan_gunzip(scope, head);
    let plan = plan_coding(scope, head);
    scope.request.route.varies |= taken_off.varies || plan.varies;
    taken_off.gunzip || plan.coding.is_some()
}

/// Takes gzip off where the client does not accept it. It comes before everything else that changes bodies.
pub fn gunzip(scope: &mut Scope<'_>, head: &mut ResponseHead) {
    let plan = plan_gunzip(scope, head);
    scope.request.route.varies |= plan.varies;
    if !plan.gunzip {
        return;
    }
    let length = head.length;
    head.remove("content-encoding");
    head.change_body(true);
    // The sender makes it go; until then it tells how much is to come.
    head.length = length;
    head.stages.push(Box::new(Gunzip::default()));
}

/// Has the answer compressed. It comes after everything else.
pub fn apply(scope: &mut Scope<'_>, head: &mut ResponseHead) {
    let plan = plan_coding(scope, head);
    scope.request.route.varies |= plan.varies;
    let Some(coding) = plan.coding else { return };
    let level = scope.settings().compression.rule(coding).level;
    let own = length(head);
    let length = head.length;
    head.change_body(true);
    head.length = length;
    let mut fields = Vec::with_capacity(head.last_fields.len() + 32);
    encode::field(&mut fields, b"Content-Encoding", coding.name().as_bytes());
    fields.append(&mut head.last_fields);
    head.last_fields = fields;
    head.coder = Some(coder(coding, level, own));
}

/// What compresses a body; `length`: its own in bytes, where it is known.
fn coder(coding: Coding, level: i32, length: Option<u64>) -> Box<dyn Stage> {
    match coding {
        Coding::Gzip => Box::new(Gzip::new(u8::try_from(level).unwrap_or(1), length)),
        Coding::Brotli => Box::new(Brotli::new(u8::try_from(level).unwrap_or(0), length)),
        Coding::Zstd => Box::new(Zstd::new(level, length)),
    }
}

/// Says that an answer depends on what the client accepts. An application's own Vary stays; with nginx this is another
/// line.
pub fn vary(scope: &Scope<'_>, head: &mut ResponseHead) {
    if !scope.request.route.varies || !scope.settings().compression.clients.vary {
        return;
    }
    let mut said = Vec::new();
    head.vary = scope.settings().nginx_pages
        || !head.join("vary", &mut said)
        || !said
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"));
}

/// By how much the answer was compressed: `3.14`.
pub fn ratio(scope: &Scope<'_>, coding: Coding, out: &mut Vec<u8>) -> bool {
    let ratio = scope.answer.and_then(|answer| answer.ratio).filter(|ratio| ratio.coding == coding && ratio.output > 0);
    let Some(ratio) = ratio else { return false };
    let thousandths = u128::from(ratio.input) * 1000 / u128::from(ratio.output);
    let rounded = thousandths / 10 + u128::from(thousandths % 10 > 4);
    write!(out, "{}.{:02}", rounded / 100, rounded % 100).is_ok()
}

#[cfg(test)]
mod tests;
