//! Limits of how often and how many at once: nginx's phase "preaccess". A request is counted once, where it comes by
//! first; parts of an answer (subrequests) are not counted.

use std::sync::Arc;

use super::Way;
use crate::engine::Engine;
use crate::exchange::Request;
use crate::features::limit_conn::{self, Held};
use crate::features::limit_req::{self, Verdict};
use crate::sys::time::coarse_monotonic_ms;
use crate::transport::Conn;
use crate::variables::Scope;

/// `None`: the request may go on.
pub async fn check(engine: &Arc<Engine>, conn: &mut Conn, request: &mut Request, held: &mut Held) -> Option<Way> {
    if request.route.subrequest {
        return None;
    }
    let settings = &engine.config.location(request.route.location).settings;
    if settings.limit_req.is_on() {
        let log = engine.log_of(request);
        let verdict = limit_req::check(&mut Scope::new(&engine.config, request, log), coarse_monotonic_ms());
        match verdict {
            Verdict::Pass => {}
            Verdict::Wait(ms) => {
                if !conn.pause(ms).await {
                    return Some(Way::Status(499));
                }
            }
            Verdict::Refuse(status, after) => {
                request.route.retry_after = Some((status, after));
                return Some(Way::Status(status));
            }
        }
    }
    if settings.limit_conn.is_on() {
        let log = engine.log_of(request);
        let scope = &mut Scope::new(&engine.config, request, log);
        return limit_conn::check(scope, engine.index(), held).map(Way::Status);
    }
    None
}
