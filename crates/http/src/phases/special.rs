//! What is answered in place of an error: `error_page`, internal redirects, or the status's own page.

use super::route::{self, Change, From};
use crate::config::location::Location;
use crate::features::error_page::AnswerStatus;
use crate::handlers::Content;
use crate::handlers::error_page::told;
use crate::variables::Scope;
use wire::h1::Method;

/// What follows a handler.
pub enum Next {
    /// The answer is with the sender.
    Done,
    /// Another round.
    Way(From),
    /// The page of a status; of a redirect, with its place.
    Page(u16, Option<Vec<u8>>),
}

/// Decides.
pub fn next(scope: &mut Scope<'_>, content: Content) -> Next {
    match content {
        Content::Done => Next::Done,
        Content::Declined => {
            if scope.request.path.ends_with(b"/") {
                let (config, log) = (scope.config, scope.log);
                let mut path = Vec::new();
                crate::handlers::files::path::of(scope, &mut path);
                let path = String::from_utf8_lossy(&path);
                scope.request.error(config, log, format_args!("directory index of \"{path}\" is forbidden"));
                status(scope, 403, None)
            } else {
                status(scope, 404, None)
            }
        }
        Content::Status(code) => status(scope, code, None),
        Content::Redirect(code, location) => status(scope, code, Some(location)),
        Content::Internal(uri, args) => redirect(scope, uri, args),
    }
}

/// A status: what its `error_page` says, or its own page.
fn status(scope: &mut Scope<'_>, code: u16, location: Option<Vec<u8>>) -> Next {
    let settings = scope.settings();
    // A page has a type of its own.
    scope.request.route.discarded = true;
    scope.request.route.kept.retain(|(name, _)| &**name != "Content-Type");
    scope.request.route.status = told(code);
    if scope.request.route.error_page || scope.request.route.changes == 0 {
        return page(scope, code, location);
    }
    let found = settings.error_pages.iter().find(|page| page.status == code);
    let Some(found) = found else { return page(scope, code, location) };
    if !settings.recursive_error_pages {
        scope.request.route.error_page = true;
    }
    match found.answer {
        AnswerStatus::Same => {}
        AnswerStatus::Page => scope.request.route.status = 0,
        AnswerStatus::Fixed(status) => scope.request.route.status = status,
    }
    let to = found.page.value(scope);
    scope.request.note("error_page", None, || format!("of {code}: {}", String::from_utf8_lossy(&to)));
    if let (Some(location), Some(b'/' | b'@')) = (location, to.first()) {
        // Where a redirect was to lead is told with what is answered instead.
        scope.request.route.kept.push(("Location".into(), location));
    }
    match to.first() {
        Some(b'/') => {
            let (uri, args) = match &found.args {
                Some(args) => (to, args.to_vec()),
                None => split(to),
            };
            if scope.request.head.method != Method::Head {
                scope.request.route.get = true;
            }
            redirect(scope, uri, Some(args))
        }
        Some(b'@') => redirect(scope, to, None),
        _ => {
            // A URL: the client is sent there.
            let fixed = match found.answer {
                AnswerStatus::Fixed(status) => status,
                AnswerStatus::Same | AnswerStatus::Page => 0,
            };
            let status = if matches!(fixed, 301 | 302 | 303 | 307 | 308) { fixed } else { 302 };
            scope.request.route.status = status;
            page(scope, status, Some(to))
        }
    }
}

fn page(scope: &mut Scope<'_>, code: u16, location: Option<Vec<u8>>) -> Next {
    if location.is_some() {
        scope.request.route.kept.retain(|(name, _)| &**name != "Location");
    }
    Next::Page(code, location)
}

/// Sends the request somewhere else in the server: to a path with arguments, or to a named location.
fn redirect(scope: &mut Scope<'_>, uri: Vec<u8>, args: Option<Vec<u8>>) -> Next {
    if uri.first() == Some(&b'@') {
        if !route::change(scope, Change::Named(&uri)) {
            return status(scope, 500, None);
        }
        scope.request.route.internal = true;
        let server = scope.server();
        let Some(location) = server.named.get(&uri[..]).copied() else {
            let (config, log) = (scope.config, scope.log);
            let name = String::from_utf8_lossy(&uri);
            scope.request.error(config, log, format_args!("could not find named location \"{name}\""));
            return status(scope, 500, None);
        };
        let location: u32 = location;
        let found: &Location = scope.config.location(location);
        scope.request.note("location", Some(&found.at), || format!("{}, by name", found.name));
        return Next::Way(From::Location(location));
    }
    let (uri, args) = match args {
        Some(args) => (uri, args),
        None => split(uri),
    };
    if !route::change(scope, Change::Redirect(&uri)) {
        return status(scope, 500, None);
    }
    let route = &mut scope.request.route;
    route.internal = true;
    route.stayed = false;
    route.whole_path = false;
    scope.request.note("redirect", None, || format!("within the server, to {}", String::from_utf8_lossy(&uri)));
    scope.request.set_path(uri);
    scope.request.route.args = Some(args);
    Next::Way(From::Server)
}

/// A path and its arguments.
fn split(uri: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    match uri.iter().position(|&byte| byte == b'?') {
        Some(at) => (uri[..at].to_vec(), uri[at + 1..].to_vec()),
        None => (uri, Vec::new()),
    }
}
