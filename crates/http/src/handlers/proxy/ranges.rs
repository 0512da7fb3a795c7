//! `proxy_force_ranges`: the part that a client asked for is made of an answer that is a whole (RFC 9110 section 14).
//! One part only, as nginx does it.

use wire::h1::encode;

use crate::exchange::ResponseHead;
use crate::handlers::files::conditional::{self, Plan};
use crate::handlers::files::ranges::content_range;
use crate::handlers::files::unsatisfiable;
use crate::variables::Scope;

/// What of a body goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Whole,
    /// So many bytes are left out, then so many are sent.
    Bytes(u64, u64),
    Unsatisfiable,
}

/// Decides, and changes the head to what it comes to. It is as the client would get it: of a body that is changed on
/// its way, there are no parts.
pub fn part(scope: &mut Scope<'_>, head: &mut ResponseHead) -> Part {
    let changed = !head.stages.is_empty() || head.coder.is_some() || head.assembly.is_some();
    let settings = scope.settings();
    let may = head.status == 200 && !changed && settings.max_ranges != Some(0) && !scope.request.route.subrequest;
    let Some(length) = head.length.filter(|_| may) else {
        return Part::Whole;
    };
    match conditional::range(scope.request, head, length, settings) {
        Plan::Part(first, end) => {
            head.status = 206;
            head.reason = None;
            head.length = Some(end - first);
            head.remove("accept-ranges");
            content_range(first, end, length, &mut head.last_fields);
            Part::Bytes(first, end - first)
        }
        Plan::Unsatisfiable => {
            unsatisfiable(scope, std::mem::take(head), length);
            Part::Unsatisfiable
        }
        _ => {
            if head.find("accept-ranges").is_none() {
                encode::field(&mut head.last_fields, b"Accept-Ranges", b"bytes");
            }
            Part::Whole
        }
    }
}
