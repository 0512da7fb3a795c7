//! What the head of a server's answer becomes for the client (RFC 9110 section 7.6).

use wire::h1::answer::Answer;
use wire::h1::encode;

use super::family::Family;
use super::target::Pass;
use super::{cookies, redirect, request};
use crate::exchange::ResponseHead;
use crate::handlers::error_page;
use crate::upstream::policy::{Ignored, Policy};
use crate::variables::Scope;

/// A head for the client, and what the server said to us.
pub struct Mapped {
    pub head: ResponseHead,
    pub accel: Accel,
}

/// The X-Accel fields of an answer, those that `ignore_headers` leaves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accel {
    /// The URI or `@NAME` that the request goes on to.
    pub redirect: Option<Vec<u8>>,
    pub buffering: Option<bool>,
    /// Bytes a second; 0 = no limit.
    pub rate: Option<u64>,
    pub charset: Option<Vec<u8>>,
    pub expires: Option<Vec<u8>>,
}

impl Accel {
    /// Takes what a field says, if it is one of these.
    pub fn take(&mut self, policy: &Policy, name: &[u8], value: &[u8]) {
        let Some(rest) = name.get(8..).filter(|_| name[..8].eq_ignore_ascii_case(b"x-accel-")) else { return };
        let is =
            |other: &str, as_what: Ignored| rest.eq_ignore_ascii_case(other.as_bytes()) && !policy.ignored.has(as_what);
        if is("redirect", Ignored::ACCEL_REDIRECT) {
            self.redirect.get_or_insert_with(|| value.to_vec());
        } else if is("buffering", Ignored::ACCEL_BUFFERING) {
            if value.eq_ignore_ascii_case(b"no") {
                self.buffering = Some(false);
            } else if value.eq_ignore_ascii_case(b"yes") {
                self.buffering = Some(true);
            }
        } else if is("limit-rate", Ignored::ACCEL_LIMIT_RATE) {
            let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            self.rate = digits.and_then(|text| text.parse().ok()).or(self.rate);
        } else if is("charset", Ignored::ACCEL_CHARSET) {
            self.charset = Some(value.to_vec());
        } else if is("expires", Ignored::ACCEL_EXPIRES) {
            self.expires = Some(value.to_vec());
        }
    }
}

/// Makes the head for the client of the one that a server sent; `head` gives its memory.
pub fn head(scope: &mut Scope<'_>, pass: &Pass, answer: &Answer, buf: &[u8], mut head: ResponseHead) -> Mapped {
    let settings = scope.settings().proxy.clone();
    let policy = pass.family.policy(scope.settings()).clone();
    let rewrites = pass.family == Family::Proxy;
    let rules = if rewrites { settings.redirect.rules() } else { &[] };
    let mut accel = Accel::default();
    head.status = answer.status;
    head.reason = reason(answer, buf);
    head.length = answer.length;
    let mut once = Once::default();
    for field in &answer.fields {
        let (name, value) = (field.name.of(buf), field.value.of(buf));
        accel.take(&policy, name, value);
        if once.is_repeated(name) {
            continue;
        }
        if ends_here(name, answer.status) || policy.hides(name) || !encode::is_field_value(value) {
            continue;
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            4 if is("date") => head.has_date = true,
            6 if is("server") => head.has_server = true,
            7 if is("refresh") => {
                let at = value.to_ascii_lowercase().windows(4).position(|part| part == b"url=").map(|at| at + 4);
                if let Some(at) = at
                    && let Some(new) = redirect::apply(rules, scope, &value[at..])
                {
                    put(&mut head, name, [&value[..at], &new].concat());
                    continue;
                }
            }
            8 if is("location") => {
                if let Some(new) = redirect::apply(rules, scope, value) {
                    let whole = scope.settings().absolute_redirect && scope.settings().nginx_pages;
                    // Of a place on this server, the whole URL is told in the end.
                    if new.starts_with(b"/") && whole {
                        head.location = new;
                    } else {
                        put(&mut head, name, new);
                    }
                    continue;
                }
            }
            10 if rewrites && is("set-cookie") => {
                if let Some(new) = cookies::change(&settings, scope, value) {
                    put(&mut head, name, new);
                    continue;
                }
            }
            12 if is("content-type") => {
                head.content_type.clear();
                head.content_type.extend_from_slice(value);
                continue;
            }
            13 if is("accept-ranges") && policy.force_ranges => continue,
            _ => {}
        }
        encode::field(&mut head.fields, name, value);
    }
    Mapped { head, accel }
}

/// Which fields have come that may stand once. As in nginx since 1.23, the first one counts.
#[derive(Default)]
struct Once(u16);

impl Once {
    const NAMES: [&str; 9] =
        ["etag", "date", "server", "refresh", "expires", "location", "content-type", "accept-ranges", "last-modified"];

    fn is_repeated(&mut self, name: &[u8]) -> bool {
        if !matches!(name.len(), 4 | 6..=8 | 12 | 13) {
            return false;
        }
        let Some(index) = Once::NAMES.iter().position(|own| name.eq_ignore_ascii_case(own.as_bytes())) else {
            return false;
        };
        let before = self.0;
        self.0 |= 1 << index;
        before == self.0
    }
}

/// A field whose value was changed.
fn put(head: &mut ResponseHead, name: &[u8], mut value: Vec<u8>) {
    request::clean(&mut value);
    encode::field(&mut head.fields, name, &value);
}

/// The reason phrase, unless it is the one that the status would get anyway.
fn reason(answer: &Answer, buf: &[u8]) -> Option<Vec<u8>> {
    let sent = answer.reason.of(buf);
    let usual = encode::reason(answer.status).as_bytes();
    let own = error_page::reason(answer.status).unwrap_or_default().as_bytes();
    (sent != usual || own != usual).then(|| sent.to_vec())
}

/// Fields that say something of the connection to the server only, or of how the body came. Upgrade means the client's
/// connection where a protocol was changed, or has to be.
pub fn ends_here(name: &[u8], status: u16) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        2 => is("te"),
        7 => is("upgrade") && !matches!(status, 101 | 426),
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
