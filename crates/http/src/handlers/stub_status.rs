//! `stub_status`: how many connections and requests there are, as nginx tells it.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use wire::h1::Method;

use super::{Content, answer};
use crate::config::Handler;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::slots::Slot;
use crate::transport::sender::Sender;
use crate::variables::Scope;

/// The table, by name.
pub const ROWS: &[Row] = &[Row::new(
    "stub_status",
    SL,
    (0, 1),
    "",
    "",
    "Answers with the numbers of connections and requests of all workers.",
    Set(|s| s.handler(Handler::StubStatus)),
)];

pub fn serve(scope: &mut Scope<'_>, sender: &mut Sender, slots: &[Slot]) -> Content {
    if !matches!(scope.request.current_method(), Method::Get | Method::Head) {
        return Content::Status(405);
    }
    let sum = |count: fn(&Slot) -> u64| slots.iter().map(count).sum::<u64>();
    let active = sum(|slot| slot.connections.load(Relaxed).into());
    let accepted = sum(|slot| slot.accepted.load(Relaxed));
    let requests = sum(|slot| slot.handled.load(Relaxed))
        + sum(|slot| (slot.requests.load(Relaxed) + slot.reading.load(Relaxed)).into());
    let writing = sum(|slot| slot.requests.load(Relaxed).into()).max(1);
    let reading = sum(|slot| slot.reading.load(Relaxed).into());
    let waiting = active.saturating_sub(writing + reading);
    let mut body = String::new();
    let _ = write!(
        body,
        "Active connections: {active} \nserver accepts handled requests\n {accepted} {accepted} {requests} \n\
         Reading: {reading} Writing: {writing} Waiting: {waiting} \n"
    );
    answer::text(scope, sender, 200, Some(b"text/plain"), body.as_bytes())
}
