//! One scope, as `receive` and `send` know it (ASGI 3.0).

use std::sync::Arc;

use http::app::{Duplex, Resume, Socket};
use pyo3::intern;
use pyo3::prelude::*;

use super::answer::{self, Answer};
use super::cell::Attached;
use super::event_loop::EventLoop;
use super::input::{self, Input};
use super::websocket::{self, WebSocket};

pyo3::create_exception!(
    daemun,
    ClientDisconnected,
    pyo3::exceptions::PyOSError,
    "Raised by `send` when the client has gone (ASGI HTTP specification, \"Disconnected Client - send exception\")."
);

/// What came of a step.
pub enum Step {
    Ready(Py<PyAny>),
    /// To be tried again once that future has a result.
    Wait(Py<PyAny>),
}

/// One scope, as `receive` and `send` know it.
#[pyclass(frozen, module = "daemun._daemun")]
pub struct Exchange {
    event_loop: Arc<EventLoop>,
    protocol: Protocol,
}

pub enum Protocol {
    Http(Arc<Duplex>, Attached<Input>, Attached<Answer>),
    WebSocket(Arc<Socket>, Attached<WebSocket>),
}

impl Exchange {
    pub fn http(event_loop: Arc<EventLoop>, duplex: Arc<Duplex>, input: Input, answer: Answer) -> Exchange {
        Exchange { event_loop, protocol: Protocol::Http(duplex, Attached::new(input), Attached::new(answer)) }
    }

    pub fn websocket(event_loop: Arc<EventLoop>, socket: Arc<Socket>) -> Exchange {
        Exchange { event_loop, protocol: Protocol::WebSocket(socket, Attached::new(WebSocket::new())) }
    }

    /// The next message from the client.
    pub fn receive(&self, py: Python<'_>) -> PyResult<Step> {
        match &self.protocol {
            Protocol::Http(duplex, input, _) => input::receive(py, &self.event_loop, duplex, input),
            Protocol::WebSocket(socket, state) => websocket::receive(py, &self.event_loop, socket, state),
        }
    }

    /// A message to the client.
    pub fn send(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Step> {
        match &self.protocol {
            Protocol::Http(duplex, _, answer) => answer::send(py, &self.event_loop, duplex, answer, message),
            Protocol::WebSocket(socket, state) => websocket::send(py, &self.event_loop, socket, state, message),
        }
    }

    /// The application has returned, or raised.
    pub fn ended(&self, py: Python<'_>, error: Option<&PyErr>) {
        match &self.protocol {
            Protocol::Http(duplex, _, answer) => answer::ended(py, duplex, answer, error),
            Protocol::WebSocket(socket, _) => websocket::ended(py, socket, error),
        }
    }
}

/// A future of the loop, and what gives it its result.
pub fn waiter(py: Python<'_>, event_loop: &EventLoop) -> PyResult<(Py<PyAny>, Arc<dyn Resume>)> {
    let future = event_loop.future(py)?.unbind();
    Ok((future.clone_ref(py), Arc::new(Waiter(future))))
}

struct Waiter(Py<PyAny>);

impl Resume for Waiter {
    fn resume(self: Arc<Self>) {
        Python::attach(|py| {
            let future = self.0.bind(py);
            let set = || -> PyResult<()> {
                // It may have been cancelled in the meantime.
                if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
                    future.call_method1(intern!(py, "set_result"), (py.None(),))?;
                }
                Ok(())
            };
            if let Err(error) = set() {
                error.write_unraisable(py, Some(future));
            }
        });
    }

    fn is_over(&self) -> bool {
        Python::attach(|py| {
            let done = self.0.bind(py).call_method0(intern!(py, "done"));
            done.and_then(|done| done.is_truthy()).unwrap_or(true)
        })
    }
}
