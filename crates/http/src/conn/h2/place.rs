//! The memory that a request's future lives in. It is large, and most requests are answered at once: so it is used again,
//! and only what has to wait takes its place along into a task.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_types::request::Parts;

use super::stream;
use crate::transport::Conn;
use crate::transport::multiplexed::Active;
use crate::transport::pool::Exchange;

/// How many are kept for reuse.
const KEEP: usize = 64;

/// What a request's future is made of.
pub struct Request {
    pub conn: Conn,
    pub exchange: Exchange,
    pub head: Parts,
    pub active: Active,
}

/// Memory for a future of one kind.
trait Memory: Send {
    fn fill(&mut self, request: Request);
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

struct Own<M, F> {
    make: M,
    future: Pin<Box<Option<F>>>,
}

impl<M: Fn(Request) -> F + Send, F: Future<Output = ()> + Send> Memory for Own<M, F> {
    fn fill(&mut self, request: Request) {
        self.future.set(Some((self.make)(request)));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.future.as_mut().as_pin_mut() {
            Some(future) => {
                ready!(future.poll(cx));
                self.future.set(None);
                Poll::Ready(())
            }
            None => Poll::Ready(()),
        }
    }
}

fn own<M: Fn(Request) -> F + Send + 'static, F: Future<Output = ()> + Send + 'static>(make: M) -> Box<dyn Memory> {
    Box::new(Own { make, future: Box::pin(None) })
}

thread_local! {
    static FREE: RefCell<Vec<Box<dyn Memory>>> = const { RefCell::new(Vec::new()) };
}

/// A request on its way to its answer.
pub struct Place(Option<Box<dyn Memory>>);

impl Place {
    pub fn new(request: Request) -> Place {
        let free = FREE.with_borrow_mut(Vec::pop);
        let mut memory =
            free.unwrap_or_else(|| own(|it: Request| stream::serve(it.conn, it.exchange, it.head, it.active)));
        memory.fill(request);
        Place(Some(memory))
    }
}

impl Future for Place {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(memory) = &mut self.0 {
            ready!(memory.poll(cx));
        }
        if let Some(memory) = self.0.take() {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEEP {
                    free.push(memory);
                }
            });
        }
        Poll::Ready(())
    }
}
