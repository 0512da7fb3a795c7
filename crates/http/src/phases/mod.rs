//! The order of what happens to a request, from its head to its line in the log.
//!
//! `route` finds out what answers, `guard` who is let in where that takes time, `explain` tells of it, `outgoing` is what an application's answer goes through, `special`
//! what is answered in place of an error, `assemble` what other answers become parts of one, `subrequest` what asks for
//! them. `mirror` has copies of requests answered beside them.

mod assemble;
pub mod explain;
mod guard;
mod mirror;
mod outgoing;
pub mod refused;
pub mod route;
mod special;
mod subrequest;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use wire::h1::{Framing, Method};

use crate::config::{Config, Handler};
use crate::engine::Engine;
use crate::exchange::{Request, RequestBody};
use crate::features::limit_conn::Held;
use crate::features::{realip, userid};
use crate::handlers::{Content, answer, app, empty_gif, errors, files, index, proxy, stub_status};
use crate::log::Level;
use crate::transport::Conn;
use crate::transport::receive;
use crate::transport::sender::Sender;
use crate::variables::{Answer, Scope};
use route::{From, Way};

/// Has one request answered. The request comes back with the answer sent; `true`: some of its body may not be read.
pub async fn exchange(conn: &mut Conn, mut request: Box<Request>, sender: &mut Sender) -> (Box<Request>, bool) {
    let engine = conn.engine.clone();
    let config = &*engine.config;
    request.carrier = conn.carrier();
    let entered = route::enter(config, conn.local.listen, &mut request);
    let server = config.server(request.route.server);
    let settings = &config.location(server.only.unwrap_or(request.route.location)).settings;
    let stays = request.head.keep_alive && !engine.is_draining();
    sender.reset(&request, stays && (entered.is_ok() || !settings.nginx_pages), settings);
    request.route.keep_alive = sender.keep_alive;

    let error_log = engine.log_of(&request);
    refused::tell_left_out(&request, config, error_log);
    let mut refused = entered.err().map(|(status, why)| {
        if error_log.is_nginx() {
            request.log(Level::Info, config, error_log, format_args!("{why} while reading client request headers"));
        }
        status
    });
    if refused.is_none()
        && let Some(forwarded) = &server.forwarded
        && let Err(why) = forwarded.apply(&mut request)
    {
        engine.log.warning(format_args!("Invalid request from ip={}: {why}", conn.client()));
        refused = Some(400);
    }
    if refused.is_none() {
        refused = refused::unfit(conn, &request, config, error_log);
    }
    if refused.is_none() {
        realip::apply(&config.location(server.location).settings.realip, &mut request);
    }
    if refused.is_none() && engine.is_out_of_memory() {
        sender.keep_alive = false;
        refused = Some(503);
    }
    let begin = match (refused, server.only) {
        (Some(status), _) => Begin::Content(Content::Status(status)),
        (None, Some(only)) => {
            request.route.location = only;
            let raw = config.location(only).settings.app.raw_path;
            match if raw { Ok(()) } else { route::normalise(config, &mut request) } {
                Ok(()) => Begin::Here,
                Err(status) => Begin::Content(Content::Status(status)),
            }
        }
        (None, None) => match route::normalise(config, &mut request) {
            Ok(()) => Begin::Way(From::Server),
            Err(status) => {
                route::to_first(config, conn.local.listen, &mut request);
                refused::tell_bad_path(&request, config, error_log);
                Begin::Content(Content::Status(status))
            }
        },
    };
    let mut held = Held::default();
    let (mut request, mut unread) = travel(&engine, conn, request, sender, begin, &mut held).await;
    if sender.is_keeping() {
        let more;
        (request, more) = Box::pin(assemble::finish(conn, request, sender)).await;
        unread |= more;
    }
    let send_timeout = sender.settings().map_or(60_000, |settings| settings.send_timeout);
    if !sender.is_flushed()
        && let Err(error) = conn.flush(sender, send_timeout).await
    {
        if error.kind() == std::io::ErrorKind::TimedOut {
            late(conn, &request, sender);
        }
        sender.keep_alive = false;
        sender.broken = true;
        sender.clear_queue();
    }
    if let Some(why) = sender.passed.as_mut().and_then(|passed| passed.trouble.take()) {
        let message = format_args!("{why} while sending response to client");
        request.error(config, engine.log_of(&request), message);
    }
    if unread && sender.keep_alive {
        let settings = config.location(request.route.location).settings.clone();
        unread = receive::discard(conn, &mut request, &settings).await.is_err();
        sender.keep_alive = !unread;
    }
    if sender.head.status == 444 && sender.settings().is_some_and(|settings| settings.reset_timedout_connection) {
        conn.reset();
    }
    log(conn, &mut request, sender);
    (request, unread)
}

/// The client took nothing of its answer for too long.
fn late(conn: &Conn, request: &Request, sender: &Sender) {
    let log = conn.engine.log_of(request);
    if log.is_nginx() {
        let message = format_args!("client timed out (110: Connection timed out) while sending response to client");
        request.log(Level::Info, &conn.engine.config, log, message);
    }
    if sender.settings().is_some_and(|settings| settings.reset_timedout_connection) {
        conn.reset();
    }
}

/// What a round of `travel` begins with.
enum Begin {
    /// The location is known, and nothing stands between it and its handler.
    Here,
    Way(From),
    Content(Content),
}

/// The way through locations, internal redirects and error pages, to an answer.
async fn travel(
    engine: &Arc<Engine>,
    conn: &mut Conn,
    mut request: Box<Request>,
    sender: &mut Sender,
    mut begin: Begin,
    held: &mut Held,
) -> (Box<Request>, bool) {
    let config = &engine.config;
    let mut unread = false;
    loop {
        let way = match begin {
            Begin::Here => Some(Way::Handler),
            Begin::Way(from) => {
                let log = engine.log_of(&request);
                Some(route::run(&mut Scope::new(config, &mut request, log).with_logs(engine.error_logs()), from))
            }
            Begin::Content(_) => None,
        };
        let content = match (way, begin) {
            (None, Begin::Content(content)) => content,
            (way, _) => {
                arrive(conn, &mut request, sender);
                let mut way = way.unwrap_or(Way::Handler);
                if way == Way::Guarded {
                    (request, way) = Box::pin(guard::pass(engine, conn, request, held)).await;
                }
                if way == Way::Handler {
                    let settings = &config.location(request.route.location).settings;
                    if mirror::is_due(&request, settings) {
                        let mirrored = Box::pin(mirror::send(engine, conn, &mut request, sender, settings)).await;
                        if let Err(failure) = mirrored {
                            let status = app::refuse(conn, &request, sender, failure);
                            let Some(status) = status else { return (request, true) };
                            unread = true;
                            way = Way::Status(status);
                        }
                    }
                }
                match way {
                    Way::Guarded => Content::Status(500),
                    Way::Handler => {
                        if let Handler::App(app) = config.location(request.route.location).handler {
                            let outcome = call(engine, conn, request, sender, app).await;
                            request = outcome.request;
                            unread = outcome.unread;
                            match outcome.content {
                                None => return (request, unread),
                                Some(content) => content,
                            }
                        } else if let Handler::Proxy(pass) = config.location(request.route.location).handler {
                            // Boxed: what it needs must not make every request's future larger.
                            let answered = Box::pin(proxy::serve(engine, conn, request, sender, pass)).await;
                            request = answered.request;
                            unread |= answered.unread;
                            match answered.content {
                                None => return (request, unread),
                                Some(content) => content,
                            }
                        } else if matches!(request.current_method(), Method::Get | Method::Head)
                            && has_bad_body(engine, &mut request, sender)
                        {
                            Content::Status(400)
                        } else {
                            unread |= prepare_to_discard(&request, sender);
                            handle(engine, &mut request, sender)
                        }
                    }
                    Way::Internal(uri) => Content::Internal(uri, None),
                    // These end the connection without an answer.
                    Way::Status(status @ (408 | 444 | 499)) => {
                        sender.head.status = status;
                        sender.abort();
                        return (request, false);
                    }
                    Way::Status(status) => Content::Status(status),
                    Way::Redirect(status, location) => Content::Redirect(status, location),
                    Way::Text(..) if has_bad_body(engine, &mut request, sender) => Content::Status(400),
                    Way::Text(status, body) => {
                        unread |= prepare_to_discard(&request, sender);
                        let log = engine.log_of(&request);
                        answer::text(&mut Scope::new(config, &mut request, log), sender, status, None, &body)
                    }
                }
            }
        };
        let log = engine.log_of(&request);
        let scope = &mut Scope::new(config, &mut request, log);
        begin = match special::next(scope, content) {
            special::Next::Done => break,
            special::Next::Way(from) => Begin::Way(from),
            special::Next::Page(status, location) => {
                unread |= prepare_to_discard(scope.request, sender);
                let allow = status == 405 && !scope.settings().nginx_pages;
                let after = scope.request.route.retry_after.filter(|(of, _)| *of == status);
                let after = after.map(|(_, seconds)| seconds.to_string());
                let fields: &[(&str, &[u8])] = match &after {
                    _ if allow => &[("Allow", b"GET, HEAD")],
                    Some(seconds) => &[("Retry-After", seconds.as_bytes())],
                    None => &[],
                };
                answer::page(scope, sender, status, location, fields);
                break;
            }
        };
    }
    (request, unread)
}

/// The settings of the location that a request has come to hold from now on.
fn arrive(conn: &Conn, request: &mut Request, sender: &mut Sender) {
    let settings = &conn.engine.config.location(request.route.location).settings;
    sender.use_settings(settings, request.secure);
    keep_alive(conn, request, sender);
    if request.route.limit_rate.is_some() || settings.limit_rate.is_some() {
        let engine = conn.engine.clone();
        let log = engine.log_of(request);
        let set = request.route.limit_rate;
        let scope = &mut Scope::new(&engine.config, request, log);
        let mut size = |template: &Option<Arc<crate::variables::Template>>| {
            let text = template.as_ref().map(|template| template.value(scope)).unwrap_or_default();
            std::str::from_utf8(&text).ok().and_then(conf::offset).unwrap_or(0)
        };
        let rate = set.unwrap_or_else(|| size(&settings.limit_rate));
        let after = size(&settings.limit_rate_after);
        sender.limit_rate(rate, after);
    } else {
        // That of the location before does not hold here.
        sender.limit_rate(0, 0);
    }
}

/// Whether the connection goes on after this answer, as far as the location has a say.
fn keep_alive(conn: &Conn, request: &mut Request, sender: &mut Sender) {
    if !sender.keep_alive {
        return;
    }
    let settings = &conn.engine.config.location(request.route.location).settings;
    let last = settings.keepalive_requests != 0 && conn.requests >= settings.keepalive_requests;
    let old = settings.keepalive_time != 0 && conn.age_at(request.started) >= settings.keepalive_time;
    if last || old || settings.keepalive_timeout == 0 || is_disabled(request, settings) {
        sender.keep_alive = false;
        request.route.keep_alive = false;
    }
}

/// `keepalive_disable`
fn is_disabled(request: &Request, settings: &crate::config::Settings) -> bool {
    let disable = settings.keepalive_disable;
    let msie6 = disable.msie6 && request.head.method == Method::Post;
    if !disable.safari && !msie6 {
        return false;
    }
    let agent = request.field("user-agent").unwrap_or_default();
    let has = |text: &[u8]| memchr::memmem::find(agent, text).is_some();
    (msie6 && (has(b"MSIE 5.") || has(b"MSIE 6.")))
        || (disable.safari && has(b"Safari/") && has(b"Mac OS X") && !has(b"Chrome"))
}

/// What answers of itself.
fn handle(engine: &Engine, request: &mut Request, sender: &mut Sender) -> Content {
    let log = engine.log_of(request);
    let scope = &mut Scope::new(&engine.config, request, log);
    match scope.location().handler {
        Handler::Files => {
            if scope.request.path.ends_with(b"/") {
                match index::serve(scope, sender) {
                    Content::Declined => {}
                    other => return other,
                }
            }
            files::serve(scope, sender)
        }
        Handler::EmptyGif => empty_gif::serve(scope, sender),
        Handler::StubStatus => stub_status::serve(scope, sender, engine.slots()),
        Handler::Later(what) => {
            let (config, log) = (scope.config, scope.log);
            scope.request.error(config, log, format_args!("\"{what}\" is not supported yet"));
            Content::Status(502)
        }
        Handler::App(_) | Handler::Proxy(_) => Content::Status(500),
    }
}

/// An application's turn.
struct Called {
    request: Box<Request>,
    unread: bool,
    /// What is left to be done; `None`: the answer is with the sender.
    content: Option<Content>,
}

async fn call(
    engine: &Arc<Engine>,
    conn: &mut Conn,
    mut request: Box<Request>,
    sender: &mut Sender,
    app: usize,
) -> Called {
    let location = engine.config.location(request.route.location);
    let settings = &location.settings;
    if is_over_limit(engine, settings.app.limit_concurrency) {
        let unread = prepare_to_discard(&request, sender);
        return Called { request, unread, content: Some(Content::Status(503)) };
    }
    if settings.userid.is_on() {
        // Decided before the request is copied for the filter: the log has the same identifier.
        let log = engine.log_of(&request);
        userid::prepare(&mut Scope::new(&engine.config, &mut request, log));
    }
    request.route.seen = app::seen::of(&engine.config, &request, settings, app);
    sender.set_filter(outgoing::filter(engine, &request, settings));
    let app = engine.apps[app].clone();
    let outcome = app::serve(conn, request, sender, &app, settings).await;
    request = outcome.request;
    let content = match outcome.status {
        Some(status) => Some(Content::Status(status)),
        None if sender.is_dropping() => sender.take_kept().map(|kept| {
            if request.route.subrequest {
                sender.keep();
            }
            outgoing::instead(&mut request, &kept.head, settings)
        }),
        None => None,
    };
    if content.is_some() {
        // What comes now has no body: it is read, or never will be.
        request.body = RequestBody::Empty;
        request.head.framing = Framing::None;
        request.head.expect_continue = false;
    }
    Called { request, unread: outcome.unread, content }
}

/// Whether the application has as many requests as it may have, not counting this one.
fn is_over_limit(engine: &Engine, limit: u32) -> bool {
    limit > 0 && engine.slot().requests.load(Relaxed) > limit
}

/// For answers that do not look at the body: whether there is one to be read and thrown away after them. If it is
/// long, or the client waits to be asked for it, the connection ends with the answer instead.
fn prepare_to_discard(request: &Request, sender: &mut Sender) -> bool {
    let most = sender.settings().map_or(receive::MOST_DISCARDED, |settings| receive::most_discarded(settings));
    let long = matches!(request.head.framing, Framing::Length(len) if len > most);
    if long || request.head.expect_continue || receive::is_malformed(request) {
        sender.keep_alive = false;
    }
    request.head.framing != Framing::None
}

/// Answers what is not a request, or not yet. Its server is chosen.
pub async fn refuse(conn: &mut Conn, mut request: Box<Request>, sender: &mut Sender, status: u16) -> Box<Request> {
    let engine = conn.engine.clone();
    let settings = &engine.config.location(request.route.location).settings;
    if !settings.nginx_pages {
        sender.reset_without_request(settings);
        errors::page(sender, status, &[]);
        return request;
    }
    // What follows the head, wherever that may end, is not looked at.
    request.head.framing = Framing::None;
    request.head.expect_continue = false;
    request.consumed = request.buf.len();
    sender.reset(&request, false, settings);
    let nothing = &mut Held::default();
    travel(&engine, conn, request, sender, Begin::Content(Content::Status(status)), nothing).await.0
}

/// Whether what is here of a body that nobody reads is malformed: as with nginx the request is bad then, not only the
/// connection's last.
fn has_bad_body(engine: &Engine, request: &mut Request, sender: &mut Sender) -> bool {
    let settings = &engine.config.location(request.route.location).settings;
    if !settings.nginx_pages || !receive::is_malformed(request) {
        return false;
    }
    request.error(&engine.config, engine.log_of(request), format_args!("client sent invalid chunked body"));
    request.head.framing = Framing::None;
    sender.keep_alive = false;
    true
}

/// Notes the end of an exchange, or of what was refused before it was one.
pub fn log(conn: &Conn, request: &mut Request, sender: &Sender) {
    let engine = &conn.engine;
    let config: &Config = &engine.config;
    let settings = &config.location(request.route.location).settings;
    if settings.access_logs.is_empty() {
        return;
    }
    let log = engine.log_of(request);
    request.route.logging = true;
    let mut scope = Scope::new(config, request, log);
    scope.answer = Some(Answer {
        head: &sender.head,
        body_bytes: sender.framed_bytes(),
        bytes: sender.bytes(),
        keep_alive: sender.keep_alive,
        complete: sender.ended && !sender.broken,
        sent: true,
        ratio: sender.passed.as_ref().and_then(|passed| passed.ratio),
    });
    engine.access.write(&mut scope, sender, &settings.access_logs);
}
