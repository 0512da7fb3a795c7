//! X-Accel-Redirect: a server has the answer made from another URI.

use wire::h1::Method;

use crate::exchange::{Request, ResponseHead};
use crate::handlers::Content;

/// Fields of an answer that stay when another answer takes its place.
const KEPT: [&str; 6] =
    ["content-type", "content-disposition", "set-cookie", "accept-ranges", "cache-control", "expires"];

/// Where the request goes on: to a URI with its arguments, or to a named location.
pub fn redirect(request: &mut Request, head: &ResponseHead, to: &[u8]) -> Content {
    request.route.kept = head.fields_of(&KEPT);
    if to.starts_with(b"@") {
        return Content::Internal(to.to_vec(), None);
    }
    if request.head.method != Method::Head {
        request.route.get = true;
    }
    let (path, args) = match to.iter().position(|&byte| byte == b'?') {
        Some(at) => (&to[..at], &to[at + 1..]),
        None => (to, &b""[..]),
    };
    let mut decoded = Vec::new();
    wire::uri::percent_decode(path, &mut decoded);
    if is_safe(&decoded) { Content::Internal(decoded, Some(args.to_vec())) } else { Content::Status(404) }
}

/// Whether a path leads nowhere but down.
fn is_safe(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.contains(&0) && !path.split(|&byte| byte == b'/').any(|part| part == b"..")
}
