//! What changes bodies, in the order of nginx's filters: `gunzip`, `addition`, `sub_filter`, `charset`, SSI,
//! `gzip`; and trailer fields.

use super::{addition, charset, compression, headers, ssi, sub_filter};
use crate::exchange::ResponseHead;
use crate::transport::sender::Verdict;
use crate::variables::Scope;

/// Prepares a head, and says what becomes of the answer. `forced`: the charset that the application asks for.
pub fn apply(scope: &mut Scope<'_>, head: &mut ResponseHead, forced: Option<&[u8]>) -> Verdict {
    if scope.request.route.plain_body {
        return Verdict::Send;
    }
    let codes = scope.settings().compression.is_on();
    if codes {
        compression::gunzip(scope, head);
    }
    if !scope.request.route.subrequest {
        head.expects_trailers = headers::has_trailers(scope, head.status);
        addition::apply(scope, head);
    }
    sub_filter::apply(scope, head);
    if charset::apply(scope, head, forced).is_err() {
        return Verdict::Refuse;
    }
    ssi::directives::apply(scope, head);
    if codes {
        compression::apply(scope, head);
    }
    if head.assembly.is_some() { Verdict::Keep } else { Verdict::Send }
}

/// Whether the body will be another one than that of the file or text it is made from: it has no ranges then.
pub fn change(scope: &mut Scope<'_>, head: &ResponseHead) -> bool {
    scope.settings().changes_bodies()
        && (addition::applies(scope, head)
            || sub_filter::applies(scope, head)
            || ssi::directives::applies(scope, head)
            || charset::changes_length(scope, head)
            || compression::changes(scope, head))
}
