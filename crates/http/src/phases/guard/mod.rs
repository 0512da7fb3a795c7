//! Who is let in, where that takes time: `limits` (nginx's phase "preaccess"), then `access` (authentication), in the
//! order that nginx has. A location without any of it (`Settings::guards`) does not come here.

pub mod access;
mod limits;

use std::sync::Arc;

use super::route::{self, Way};
use crate::engine::Engine;
use crate::exchange::Request;
use crate::features::limit_conn::Held;
use crate::transport::Conn;
use crate::variables::Scope;

/// Takes a request through the checks of its location. Its way goes on as told.
pub async fn pass(
    engine: &Arc<Engine>,
    conn: &mut Conn,
    mut request: Box<Request>,
    held: &mut Held,
) -> (Box<Request>, Way) {
    if let Some(way) = limits::check(engine, conn, &mut request, held).await {
        return (request, way);
    }
    if let Some(way) = access::check(engine, conn, &mut request).await {
        return (request, way);
    }
    let log = engine.log_of(&request);
    let way = route::precontent(&mut Scope::new(&engine.config, &mut request, log).with_logs(engine.error_logs()));
    (request, way)
}
