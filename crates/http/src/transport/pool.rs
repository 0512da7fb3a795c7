//! Memory of requests in progress. An idle connection holds none of it: it is taken when bytes arrive and given back
//! when the answer is out. One pool a thread, so there is no lock.

use std::cell::RefCell;
use std::sync::Arc;

use super::sender::Sender;
use crate::exchange::{Local, Request, RequestBody};

/// Bytes read at once: a usual head, or a small form with its head, in one read.
pub const READ: usize = 16 * 1024;
/// How many are kept for reuse.
const KEEP: usize = 256;
/// A buffer that grew past this is given back to the allocator.
const LARGEST: usize = 64 * 1024;

/// The two halves of an exchange.
pub struct Exchange {
    pub request: Box<Request>,
    pub sender: Box<Sender>,
}

thread_local! {
    static FREE: RefCell<Vec<Exchange>> = const { RefCell::new(Vec::new()) };
}

/// A clean pair.
pub fn take(local: &Arc<Local>) -> Exchange {
    let pooled = FREE.with_borrow_mut(Vec::pop);
    match pooled {
        Some(mut exchange) => {
            if !Arc::ptr_eq(&exchange.request.local, local) {
                exchange.request.local = local.clone();
            }
            exchange
        }
        None => Exchange { request: Box::new(Request::new(READ, local.clone())), sender: Box::new(Sender::new()) },
    }
}

/// Gives a pair back.
pub fn put(mut exchange: Exchange) {
    let request = &mut *exchange.request;
    if request.buf.capacity() < READ || request.buf.capacity() > LARGEST {
        return;
    }
    request.buf.clear();
    clean(request);
    exchange.sender.clear();
    put_unused(exchange);
}

/// Gives a pair back as it was taken: there were no bytes for it.
pub fn put_unused(exchange: Exchange) {
    FREE.with_borrow_mut(|free| {
        if free.len() < KEEP {
            free.push(exchange);
        }
    });
}

/// Makes a request ready for the next one on the same connection; `buf` stays.
pub fn clean(request: &mut Request) {
    request.head.reset();
    request.body = RequestBody::Empty;
    request.consumed = 0;
    request.path.clear();
    request.trailers.clear();
    request.secure = false;
    request.tls = None;
    request.host = None;
    request.logged.clear();
    request.connected = None;
    request.host_name.clear();
    request.host_port = None;
    request.route.reset();
    request.trace = None;
    request.proxied = None;
    request.charge.set(0);
    request.tunnel = false;
    request.early = false;
}
