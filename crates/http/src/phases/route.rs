//! From a request to what answers it: the server, its commands, the location and its commands, who may ask, which file
//! exists. No I/O but looking for files, so that `explain` can run it.

use wire::h1::{Form, Framing, Method};
use wire::uri;

use crate::config::locations::{self, Hit, Step};
use crate::config::{Config, Server, host};
use crate::exchange::{Note, Request};
use crate::features::access::{self, Verdict};
use crate::features::realip;
use crate::features::rewrite::{self, Outcome};
use crate::handlers::files::try_files::{self, Tried};
use crate::variables::Scope;

/// Where the way begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// With the server's commands and the search of a location.
    Server,
    /// In this location, a named one.
    Location(u32),
}

/// Where it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// The location's handler answers.
    Handler,
    /// Limits and authentication of the location come first, which may take time: see `guard`.
    Guarded,
    Status(u16),
    /// A body that the configuration gives.
    Text(u16, Vec<u8>),
    /// A redirect.
    Redirect(u16, Vec<u8>),
    /// On with another URI, or to a named location.
    Internal(Vec<u8>),
}

/// Puts the request into the first server, as long as nothing is known of it.
pub fn to_first<'c>(config: &'c Config, listen: usize, request: &mut Request) -> &'c Server {
    request.route.server = config.listens[listen].default_server;
    let server = config.server(request.route.server);
    request.route.location = server.location;
    server
}

/// What `choose` refuses: what the client says is no host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadHost;

/// Chooses the server by the host, as far as it is known. Of a bad one it is the first.
pub fn choose(config: &Config, listen: usize, request: &mut Request) -> Result<(), BadHost> {
    let server = to_first(config, listen, request);
    let listener = &config.listens[listen];
    if listener.has_names() || config.location(server.location).settings.nginx_pages {
        let mut name = std::mem::take(&mut request.host_name);
        name.clear();
        let raw = match request.head.form {
            Form::Absolute | Form::Authority if !request.head.authority.is_empty() => Some(request.head.authority),
            _ => request.head.host,
        };
        let normal = match raw.map(|raw| raw.of(&request.buf)) {
            Some(raw) if !raw.is_empty() => host::normalise_host(raw, &mut name),
            _ => Ok(None),
        };
        request.host_name = name;
        request.host_port = normal.map_err(|_| BadHost)?;
        if listener.has_names() {
            let name = std::mem::take(&mut request.host_name);
            request.route.server = listener.find(&name, &mut request.route);
            request.host_name = name;
            request.route.location = config.server(request.route.server).location;
        }
    }
    Ok(())
}

/// Chooses the server; the error is the status to refuse the request with, and why, in nginx's words.
pub fn enter(config: &Config, listen: usize, request: &mut Request) -> Result<(), (u16, &'static str)> {
    choose(config, listen, request).map_err(|BadHost| match request.head.form {
        Form::Origin | Form::Asterisk => (400, "client sent invalid host header"),
        _ => (400, "client sent invalid host in request line"),
    })?;
    let chosen = request.route.server;
    if request.trace.is_some() {
        let why = config.why_server(listen, chosen, &request.host_name);
        request.note("server", Some(&config.server(chosen).at), || why);
    }
    match request.head.method {
        Method::Connect => Err((405, "client sent CONNECT method")),
        Method::Trace if config.location(request.route.location).settings.nginx_pages => {
            Err((405, "client sent TRACE method"))
        }
        _ => Ok(()),
    }
}

/// Fills `request.path`: decoded, without dot segments.
pub fn normalise(config: &Config, request: &mut Request) -> Result<(), u16> {
    let slashes = config.server(request.route.server).settings.slashes();
    // The server as a whole is asked: nginx does not know this; otherwise what answers for all of it does.
    let refused = request.head.form == Form::Asterisk && config.location(request.route.location).settings.nginx_pages;
    if request.normalise(slashes) && !refused { Ok(()) } else { Err(400) }
}

/// The way of a request whose path is known.
pub fn run(scope: &mut Scope<'_>, from: From) -> Way {
    let config = scope.config;
    let server = config.server(scope.request.route.server);
    let mut search = true;
    match from {
        From::Location(location) => {
            scope.enter(location);
            limit(scope);
            search = false;
        }
        From::Server => {
            scope.enter(server.location);
            match rewrite::run(&config.location(server.location).script, scope) {
                Outcome::GoOn(_) => {}
                other => return end(other),
            }
        }
    }
    loop {
        if search && let Some(way) = find(scope) {
            return way;
        }
        if scope.request.route.location == server.location {
            // No location is for the path, and the server's commands were run before.
            break;
        }
        match rewrite::run(&scope.location().script, scope) {
            Outcome::GoOn(false) => break,
            Outcome::GoOn(true) if change(scope, Change::Rewrite) => search = true,
            Outcome::GoOn(true) => return Way::Status(500),
            other => return end(other),
        }
    }
    realip::apply(&scope.settings().realip, scope.request);
    if scope.settings().guards() {
        return Way::Guarded;
    }
    match admit(scope) {
        Some(status) => Way::Status(status),
        None => precontent(scope),
    }
}

/// What comes between admission to a location and its handler: which file exists.
pub fn precontent(scope: &mut Scope<'_>) -> Way {
    if let Some(try_files) = scope.location().try_files.clone() {
        match try_files::run(&try_files, scope) {
            Tried::Found => {}
            Tried::Status(status) => return Way::Status(status),
            Tried::Redirect(uri) => return Way::Internal(uri),
        }
    }
    Way::Handler
}

fn end(outcome: Outcome) -> Way {
    match outcome {
        Outcome::GoOn(_) => Way::Handler,
        Outcome::Status(status) => Way::Status(status),
        Outcome::Text(status, text) => Way::Text(status, text),
        Outcome::Redirect(status, location) => Way::Redirect(status, location),
    }
}

/// What leads a request to another location.
#[derive(Clone, Copy)]
pub enum Change<'a> {
    Rewrite,
    /// To this path.
    Redirect(&'a [u8]),
    /// To the location of this name.
    Named(&'a [u8]),
}

/// Counts a change of the location; `false`: there were too many.
pub fn change(scope: &mut Scope<'_>, change: Change<'_>) -> bool {
    let route = &mut scope.request.route;
    route.changes = route.changes.saturating_sub(1);
    if route.changes > 0 {
        return true;
    }
    let (config, log) = (scope.config, scope.log);
    let (doing, to) = match change {
        Change::Rewrite => ("processing", &scope.request.path[..]),
        Change::Redirect(path) => ("internally redirecting to", path),
        Change::Named(name) => ("redirect to named location", name),
    };
    let to = String::from_utf8_lossy(to);
    scope.request.error(config, log, format_args!("rewrite or internal redirection cycle while {doing} \"{to}\""));
    false
}

/// Goes to the block of a `limit_except`, if it is for the method.
fn limit(scope: &mut Scope<'_>) {
    if let Some(limit) = &scope.location().limit_except
        && limit.limits(scope.request.method())
    {
        scope.enter(limit.location);
        let at = &scope.location().at;
        scope.request.note("limit_except", Some(at), || "its block holds for this method".to_owned());
    }
}

/// Looks for the location of the path.
fn find(scope: &mut Scope<'_>) -> Option<Way> {
    let config = scope.config;
    let server = config.server(scope.request.route.server);
    let hit = if server.level.has_predicates() {
        find_with_variables(scope)
    } else {
        let path = std::mem::take(&mut scope.request.path);
        let mut captures = std::mem::take(&mut scope.request.route.captures);
        let hit = match &mut scope.request.trace {
            None => locations::find(&server.level, &path, &mut captures, &mut |_| ()),
            Some(trace) => {
                locations::find(&server.level, &path, &mut captures, &mut |step| trace.push(tell(config, step)))
            }
        };
        scope.request.route.captures = captures;
        scope.request.path = path;
        hit
    };
    let found = match &hit {
        Hit::Found(location) | Hit::Redirect(location) => *location,
        Hit::Nothing => server.location,
        Hit::Failed(why) => {
            let log = scope.log;
            scope.request.error(config, log, format_args!("{why}"));
            return Some(Way::Status(500));
        }
    };
    scope.enter(found);
    let location = scope.location();
    if !location.name.is_empty() {
        scope.request.note("location", Some(&location.at), || format!("{} is chosen", location.name));
    } else {
        scope.request.note("location", Some(&location.at), || "none fits: the server's own settings hold".to_owned());
    }
    if location.internal && !scope.request.route.internal {
        scope.request.note("internal", Some(&location.at), || "not for clients: 404".to_owned());
        return Some(Way::Status(404));
    }
    limit(scope);
    let most = location.settings.max_body();
    if let Framing::Length(length) = scope.request.head.framing
        && length > most
        && !scope.request.route.subrequest
        && !scope.request.route.discarded
    {
        let log = scope.log;
        scope.request.note("body", None, || format!("longer than client_max_body_size, {most} bytes: 413"));
        scope.request.error(config, log, format_args!("client intended to send too large body: {length} bytes"));
        return Some(Way::Status(413));
    }
    if matches!(hit, Hit::Redirect(_)) {
        let mut to = Vec::new();
        uri::escape(location.name.rsplit(' ').next().unwrap_or_default().as_bytes(), uri::Escape::Path, &mut to);
        if let Some(query) = scope.request.query().filter(|query| !query.is_empty()) {
            to.push(b'?');
            to.extend_from_slice(query);
        }
        return Some(Way::Redirect(301, to));
    }
    None
}

/// Looks for the location where variables have a say: they are computed from the request as it is.
fn find_with_variables(scope: &mut Scope<'_>) -> Hit<u32> {
    let config = scope.config;
    let path = scope.request.path.clone();
    let mut captures = scope.request.route.captures.clone();
    let mut trace = scope.request.trace.take();
    let level = &config.server(scope.request.route.server).level;
    let hit = locations::find_where(
        level,
        &path,
        &mut captures,
        &mut |step| {
            if let Some(trace) = &mut trace {
                trace.push(tell(config, step));
            }
        },
        &mut |location| {
            let predicate = config.location(location).predicate.as_ref();
            predicate.is_some_and(|predicate| !matches!(predicate.value(scope).as_slice(), b"" | b"0"))
        },
    );
    scope.request.route.captures = captures;
    scope.request.trace = trace;
    hit
}

/// A step of the search, in words.
fn tell(config: &Config, step: Step<'_, u32>) -> Note {
    let (value, what) = match step {
        Step::Exact(value) => (value, "is the path"),
        Step::Prefix { value, no_regex: true } => (value, "is the longest prefix"),
        Step::Prefix { value, .. } => (value, "is the longest prefix so far"),
        Step::Redirect(value) => (value, "is the path but for its slash: a redirect"),
        Step::Regex { value, matched: true, .. } => (value, "matches"),
        Step::Regex { value, .. } => (value, "does not match"),
        Step::Predicate { value, held: true } => (value, "is true"),
        Step::Predicate { value, .. } => (value, "is not true"),
        Step::RegexesSkipped(value) => (value, "lets no regular expression be tried"),
    };
    let location = config.location(value);
    Note { what: "location", text: format!("{} {what}", location.name), at: Some(location.at.clone()) }
}

/// Who may ask; the status for those who may not. Of what needs no waiting.
pub fn admit(scope: &mut Scope<'_>) -> Option<u16> {
    if scope.request.route.subrequest {
        return None;
    }
    match access::check(scope) {
        Verdict::Allowed | Verdict::Undecided => None,
        Verdict::Denied => {
            let (config, log) = (scope.config, scope.log);
            scope.request.error(config, log, format_args!("access forbidden by rule"));
            Some(403)
        }
    }
}
