//! `proxy_pass`: requests passed on to other servers, by HTTP.
//!
//! `directives` is what the configuration says, `family` what differs from gRPC, `target` where a request goes,
//! `request` the head that it gets there, `answer` what becomes of the head of the answer (`redirect` and `cookies`: of
//! places and cookies that it names). `serve` is the order of it all: `ask` one server after another,
//! `failure` decides whether there is a next one, `relay` takes the body to the client (`spool`: what waits in a file),
//! `upload` goes on sending the request meanwhile, `tunnel` is for other protocols, `ranges` for parts of answers.

pub mod answer;
pub mod ask;
mod cookies;
mod deliver;
mod directives;
mod failure;
pub mod family;
mod ranges;
mod redirect;
mod relay;
pub mod request;
mod serve;
mod server;
mod spool;
pub mod target;
mod tunnel;
mod upload;

pub use directives::{HttpVersion, ROWS, Settings};
pub use serve::{Answered, serve};
pub use target::{Pass, Target, To, Whom};

use wire::h1::answer::Answer;
use wire::h1::{Version, encode};

use crate::features::early_hints;
use crate::variables::Scope;

/// The fields of an answer of status 103 for the client; `None`: it does not get them.
fn early_hints(scope: &mut Scope<'_>, answer: &Answer, head: &[u8]) -> Option<Vec<u8>> {
    if scope.request.head.version == Version::Http10 || !early_hints::wanted(scope) {
        return None;
    }
    let policy = &scope.settings().proxy.policy;
    let mut lines = Vec::new();
    for field in &answer.fields {
        let (name, value) = (field.name.of(head), field.value.of(head));
        if !answer::ends_here(name, answer.status) && !policy.hides(name) && encode::is_field_value(value) {
            encode::field(&mut lines, name, value);
        }
    }
    Some(lines)
}

/// Trailer fields as encoded lines.
fn trailer_lines(trailers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        if encode::is_token(name) && encode::is_field_value(value) {
            encode::field(&mut lines, name, value);
        }
    }
    lines
}

#[cfg(test)]
mod tests;
