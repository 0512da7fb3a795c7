//! The way of the server's own answers: what the configuration adds to heads, the pages of errors, redirects.

use wire::conditional::Outcome;
use wire::h1::encode;

use super::files::conditional;
use super::{Content, error_page, errors};
use crate::exchange::ResponseHead;
use crate::features::{bodies, compression, expires, headers, userid};
use crate::transport::sender::{Sender, Verdict};
use crate::variables::Scope;

/// Sets the type that the request's path tells, or the default one.
pub fn content_type(scope: &Scope<'_>, head: &mut ResponseHead) {
    let settings = scope.settings();
    let media_type = settings.types.of(&scope.request.path).unwrap_or(&settings.default_type);
    head.content_type.clear();
    head.content_type.extend_from_slice(media_type.as_bytes());
}

/// Has a head sent after what the configuration adds to it. The body follows.
pub fn start(scope: &mut Scope<'_>, sender: &mut Sender, head: ResponseHead) {
    begin(scope, sender, head, None, false, |_, _| true);
}

/// The same for an answer of another server's, which may say a charset.
///
/// `cut` may make a part of the answer of it in the end; `false`: the answer is not sent after all.
pub fn pass_on(
    scope: &mut Scope<'_>,
    sender: &mut Sender,
    head: ResponseHead,
    charset: Option<&[u8]>,
    cut: impl FnOnce(&mut Scope<'_>, &mut ResponseHead) -> bool,
) -> bool {
    begin(scope, sender, head, charset, true, cut)
}

fn begin(
    scope: &mut Scope<'_>,
    sender: &mut Sender,
    mut head: ResponseHead,
    charset: Option<&[u8]>,
    own_type: bool,
    cut: impl FnOnce(&mut Scope<'_>, &mut ResponseHead) -> bool,
) -> bool {
    for (name, value) in std::mem::take(&mut scope.request.route.kept) {
        if &*name == "Content-Type" {
            if head.status != 304 && (!own_type || head.content_type.is_empty()) {
                head.content_type = value;
            }
        } else if &*name == "Location" && !value.is_empty() {
            head.location = value;
        } else if &*name == CHALLENGE {
            // Before what else the answer says.
            let at = challenges(&head.fields);
            let mut line = Vec::new();
            encode::field(&mut line, name.as_bytes(), &value);
            head.fields.splice(at..at, line);
        } else if head.find(&name.to_ascii_lowercase()).is_none() || name.eq_ignore_ascii_case("set-cookie") {
            encode::field(&mut head.fields, name.as_bytes(), &value);
        }
    }
    own_status(scope, &mut head);
    if !matches!(head.status, 200 | 206 | 304) && scope.settings().nginx_pages {
        // Of an error's page nobody needs to know.
        head.last_modified.clear();
    }
    let verdict = complete(scope, &mut head, charset);
    if verdict == Verdict::Refuse {
        sender.refuse(head);
        return true;
    }
    if !cut(scope, &mut head) {
        return false;
    }
    if verdict == Verdict::Keep && !sender.is_keeping() {
        sender.keep();
    }
    if scope.settings().nginx_pages && head.reason.is_none() {
        let reason = error_page::reason(head.status).unwrap_or_default();
        if reason != encode::reason(head.status) {
            head.reason = Some(reason.as_bytes().to_vec());
        }
    }
    place(scope, &mut head);
    if !head.expects_trailers || sender.is_keeping() {
        sender.begin(head);
        return true;
    }
    let status = head.status;
    let trailers = scope.with_head(&head, |scope| headers::trailers(scope, status));
    sender.begin(head);
    sender.trailer(&trailers);
    true
}

/// What asks a client who it is (RFC 9110 section 11.6.1).
pub const CHALLENGE: &str = "WWW-Authenticate";

/// How many bytes of encoded lines are that, at their beginning.
fn challenges(fields: &[u8]) -> usize {
    let name = |line: &&[u8]| line.get(..CHALLENGE.len()) == Some(CHALLENGE.as_bytes());
    fields.split_inclusive(|&byte| byte == b'\n').take_while(name).map(<[u8]>::len).sum()
}

/// Gives a head the status that was decided before its handler was asked. What says how a whole answer was asked for
/// stays.
fn own_status(scope: &Scope<'_>, head: &mut ResponseHead) {
    let status = scope.request.route.status;
    if status != 0 && !(status == 200 && matches!(head.status, 206 | 304)) {
        head.status = status;
        head.reason = None;
    }
}

/// What the configuration adds to any head, an application's too. The order is that of nginx's filters.
/// `charset`: the one that an application asks for.
pub fn complete(scope: &mut Scope<'_>, head: &mut ResponseHead, charset: Option<&[u8]>) -> Verdict {
    own_status(scope, head);
    if !scope.request.route.subrequest {
        expires::apply(scope, head);
        headers::apply(scope, head);
        userid::apply(scope, head);
    }
    if head.status == 204 && scope.settings().nginx_pages {
        head.content_type.clear();
        head.last_modified.clear();
    }
    let mut verdict = Verdict::Send;
    if charset.is_some() || scope.settings().changes_bodies() {
        verdict = bodies::apply(scope, head, charset);
    }
    compression::vary(scope, head);
    verdict
}

/// Answers with a body.
pub fn text(
    scope: &mut Scope<'_>,
    sender: &mut Sender,
    status: u16,
    content_type: Option<&[u8]>,
    body: &[u8],
) -> Content {
    let mut head = sender.recycled_head(status);
    match content_type {
        Some(own) => head.content_type.extend_from_slice(own),
        None => self::content_type(scope, &mut head),
    }
    head.length = Some(body.len() as u64);
    whole(scope, sender, head, body)
}

/// Answers with a head and a body that is no file, unless the request's preconditions say otherwise.
pub fn whole(scope: &mut Scope<'_>, sender: &mut Sender, mut head: ResponseHead, body: &[u8]) -> Content {
    let route = &scope.request.route;
    let usual = head.status == 200 && matches!(route.status, 0 | 200) && !route.subrequest;
    if usual && scope.settings().nginx_pages {
        match conditional::outcome(scope.request, &head, scope.settings()) {
            Outcome::Proceed => {}
            Outcome::PreconditionFailed => return Content::Status(412),
            Outcome::NotModified => {
                head.status = 304;
                head.content_type.clear();
                head.length = None;
            }
        }
    }
    start(scope, sender, head);
    sender.copy(body);
    sender.end();
    Content::Done
}

/// Answers with the page of a status. `location`: where a redirect leads; `fields`: further ones.
pub fn page(
    scope: &mut Scope<'_>,
    sender: &mut Sender,
    status: u16,
    location: Option<Vec<u8>>,
    fields: &[(&str, &[u8])],
) {
    if sender.started {
        sender.abort();
        return;
    }
    let settings = scope.settings();
    let (mut head, body) = if settings.nginx_pages {
        let mut head = ResponseHead::new(error_page::told(status));
        let padding = settings.msie_padding && (is_msie(scope) || is_chrome(scope));
        let tail = crate::identity::server(settings.server_tokens);
        let body = error_page::page(status, tail, padding);
        if body.is_some() {
            head.content_type = b"text/html".to_vec();
        }
        (head, body.unwrap_or_default())
    } else {
        let (head, body) = errors::answer(error_page::told(status));
        (head, body.into_bytes())
    };
    head.length = Some(body.len() as u64);
    match location {
        Some(location) if location.is_empty() => encode::field(&mut head.fields, b"Location", b""),
        Some(location) => head.location = location,
        None => {}
    }
    for (name, value) in fields {
        encode::field(&mut head.fields, name.as_bytes(), value);
    }
    head.own_error = true;
    if matches!(status, 400 | 408 | 413 | 414 | 417 | 431 | 494..=497 | 500 | 501 | 505)
        && (status != 500 || settings.nginx_pages)
    {
        head.close = true;
    }
    start(scope, sender, head);
    sender.copy(&body);
    sender.end();
}

/// Completes Location; a path becomes a whole URL if the configuration wants that.
fn place(scope: &mut Scope<'_>, head: &mut ResponseHead) {
    let settings = scope.settings();
    if head.location.is_empty() {
        return;
    }
    let mut location = std::mem::take(&mut head.location);
    location.retain(|&byte| byte >= b' ' && byte != 0x7f);
    if !location.starts_with(b"/") || !settings.absolute_redirect || !settings.nginx_pages {
        let at = challenges(&head.fields);
        let mut fields = Vec::with_capacity(head.fields.len() + location.len() + 12);
        fields.extend_from_slice(&head.fields[..at]);
        encode::field(&mut fields, b"Location", &location);
        fields.extend_from_slice(&head.fields[at..]);
        head.fields = fields;
        return;
    }
    let mut whole = Vec::with_capacity(location.len() + 32);
    whole.extend_from_slice(if scope.request.secure { b"https://" } else { b"http://" });
    let host = scope.request.server_host();
    if settings.server_name_in_redirect {
        whole.extend_from_slice(scope.server().name.as_bytes());
    } else if !host.is_empty() {
        whole.extend_from_slice(host);
    } else {
        whole.extend_from_slice(scope.request.local_end().0.as_bytes());
    }
    let port = scope.request.local_end().1;
    let usual = if scope.request.secure { "443" } else { "80" };
    if settings.port_in_redirect && !port.is_empty() && port != usual {
        whole.push(b':');
        whole.extend_from_slice(port.as_bytes());
    }
    whole.extend_from_slice(&location);
    head.location = whole;
}

/// Chrome replaces short pages, too. What has `Gecko/` in its name is not it.
fn is_chrome(scope: &Scope<'_>) -> bool {
    let agent = scope.request.field("user-agent").unwrap_or_default();
    let has = |text: &[u8]| memchr::memmem::find(agent, text).is_some();
    has(b"Chrome/") && !has(b"Gecko/") && !has(b"Opera") && !has(b"MSIE ")
}

fn is_msie(scope: &Scope<'_>) -> bool {
    let agent = scope.request.field("user-agent").unwrap_or_default();
    let msie = memchr::memmem::find(agent, b"MSIE ").is_some();
    msie && memchr::memmem::find(agent, b"Opera").is_none()
}
