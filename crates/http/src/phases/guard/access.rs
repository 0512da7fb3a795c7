//! Who may ask: rules of addresses, a name and a password, the word of another location, in the order and by the rules
//! of nginx's phase "access". Parts of an answer are not asked again.

use std::sync::Arc;

use super::Way;
use crate::config::settings::Satisfy;
use crate::engine::Engine;
use crate::exchange::{Request, ResponseHead};
use crate::features::access::Verdict;
use crate::features::{access, auth_basic, auth_request};
use crate::log::Level;
use crate::phases::subrequest;
use crate::transport::Conn;
use crate::variables::Scope;

/// Those who decide, in their order.
const DECIDING: [Deciding; 3] = [Deciding::Address, Deciding::Password, Deciding::Location];

#[derive(Clone, Copy)]
enum Deciding {
    Address,
    Password,
    Location,
}

/// What one of them says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    /// Nothing.
    Declined,
    Granted,
    Refused(u16),
}

/// What all of them together say so far.
struct Sum {
    any: bool,
    /// With `satisfy any`, the status for one whom nobody lets in.
    refused: Option<u16>,
}

impl Sum {
    /// Adds what one says; `Some`: that is the end, with that status, or let in.
    fn add(&mut self, said: Said) -> Option<Option<u16>> {
        match said {
            Said::Declined => None,
            Said::Granted if self.any => Some(None),
            Said::Granted => None,
            Said::Refused(status @ (401 | 403)) if self.any => {
                if self.refused != Some(401) {
                    self.refused = Some(status);
                }
                None
            }
            Said::Refused(status) => Some(Some(status)),
        }
    }
}

/// `None`: the request may go on.
pub async fn check(engine: &Arc<Engine>, conn: &mut Conn, request: &mut Request) -> Option<Way> {
    if request.route.subrequest {
        return None;
    }
    let settings = engine.config.location(request.route.location).settings.clone();
    let mut sum = Sum { any: settings.satisfy == Satisfy::Any, refused: None };
    let mut end = None;
    for deciding in DECIDING {
        let said = match deciding {
            Deciding::Address => in_scope(engine, request, |scope| address(scope, sum.any)),
            Deciding::Password => password(engine, request).await,
            Deciding::Location => match settings.auth_request.uri() {
                Some(uri) => location(engine, conn, request, &settings.auth_request, uri).await,
                None => Said::Declined,
            },
        };
        end = sum.add(said);
        if end.is_some() {
            break;
        }
    }
    let status = match end {
        Some(Some(status)) => status,
        Some(None) => {
            // Somebody may have asked who it is before.
            request.route.kept.retain(|(name, _)| &**name != "WWW-Authenticate");
            return None;
        }
        None => {
            let status = sum.refused?;
            if status == 403 {
                request.error(&engine.config, engine.log_of(request), format_args!("access forbidden by rule"));
            }
            status
        }
    };
    if status == 401 && settings.auth_delay > 0 {
        request.log(Level::Info, &engine.config, engine.log_of(request), format_args!("delaying unauthorized request"));
        if !conn.pause(settings.auth_delay).await {
            return Some(Way::Status(499));
        }
    }
    Some(Way::Status(status))
}

fn in_scope<R>(engine: &Engine, request: &mut Request, run: impl FnOnce(&mut Scope<'_>) -> R) -> R {
    let log = engine.log_of(request);
    run(&mut Scope::new(&engine.config, request, log).with_logs(engine.error_logs()))
}

/// `allow` and `deny`
fn address(scope: &mut Scope<'_>, any: bool) -> Said {
    match access::check(scope) {
        Verdict::Allowed => Said::Granted,
        Verdict::Undecided => Said::Declined,
        Verdict::Denied => {
            if !any {
                scope.request.error(scope.config, scope.log, format_args!("access forbidden by rule"));
            }
            Said::Refused(403)
        }
    }
}

/// `auth_basic`
async fn password(engine: &Engine, request: &mut Request) -> Said {
    let mut step = in_scope(engine, request, auth_basic::begin);
    if let auth_basic::Step::Check(pending) = step {
        let (attempt, pending) = *pending;
        let outcome = auth_basic::check(attempt).await;
        step = in_scope(engine, request, |scope| auth_basic::conclude(scope, &pending, outcome));
    }
    match step {
        auth_basic::Step::Declined => Said::Declined,
        auth_basic::Step::Granted => Said::Granted,
        auth_basic::Step::Refused(status) => Said::Refused(status),
        auth_basic::Step::Check(_) => Said::Refused(500),
    }
}

/// `auth_request`
async fn location(
    engine: &Arc<Engine>,
    conn: &mut Conn,
    request: &mut Request,
    settings: &auth_request::Settings,
    uri: &[u8],
) -> Said {
    let mut asked = subrequest::ask(conn, request, uri.to_vec()).await;
    if let Some(status) = asked.ends {
        return Said::Refused(status);
    }
    let head = &asked.head;
    let values = in_scope(engine, &mut asked.request, |scope| auth_request::values(settings, scope, head));
    request.route.values = std::mem::take(&mut asked.request.route.values);
    in_scope(engine, request, |scope| auth_request::set(scope, values));
    match head.status {
        403 => Said::Refused(403),
        401 => {
            challenge(request, head);
            Said::Refused(401)
        }
        200..300 => Said::Granted,
        status => {
            let log = engine.log_of(request);
            request.error(&engine.config, log, format_args!("auth request unexpected status: {status}"));
            Said::Refused(500)
        }
    }
}

/// What the location asks the client for is passed on.
fn challenge(request: &mut Request, head: &ResponseHead) {
    for (name, value) in head.each() {
        if name.eq_ignore_ascii_case(b"www-authenticate") {
            request.route.kept.push(("WWW-Authenticate".into(), value.to_vec()));
        }
    }
}

/// Tells what would be asked, for `explain`.
pub fn tell(scope: &mut Scope<'_>) {
    auth_basic::tell(scope);
    if let Some(uri) = scope.settings().auth_request.uri() {
        let uri = String::from_utf8_lossy(uri);
        scope.request.note("auth_request", None, || format!("{uri} is asked whether the request is let in"));
    }
    if scope.settings().satisfy == Satisfy::Any {
        scope.request.note("satisfy", None, || "any one of these is enough".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a request that these say something of; 0: it is let in.
    fn sum(any: bool, all: &[Said]) -> u16 {
        let mut sum = Sum { any, refused: None };
        for said in all {
            if let Some(end) = sum.add(*said) {
                return end.unwrap_or(0);
            }
        }
        sum.refused.unwrap_or(0)
    }

    #[test]
    fn all_must_let_in_or_any() {
        use Said::{Declined, Granted, Refused};
        for (said, all, any) in [
            (&[][..], 0, 0),
            (&[Declined, Declined, Declined], 0, 0),
            (&[Declined, Refused(401), Declined], 401, 401),
            (&[Refused(403), Refused(401), Declined], 403, 401),
            (&[Declined, Refused(401), Refused(403)], 401, 401),
            (&[Refused(403), Declined, Refused(403)], 403, 403),
            (&[Refused(403), Granted, Declined], 403, 0),
            (&[Granted, Refused(401), Refused(401)], 401, 0),
            (&[Granted, Granted, Refused(500)], 500, 0),
            (&[Refused(403), Refused(500), Granted], 403, 500),
            (&[Refused(403), Refused(401), Granted], 403, 0),
        ] {
            assert_eq!((sum(false, said), sum(true, said)), (all, any), "{said:?}");
        }
    }
}
