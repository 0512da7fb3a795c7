//! The messages of a WebSocket scope (ASGI WebSocket specification 2.5, with `websocket.http.response`).

use std::sync::Arc;

use http::app::socket::{Message, Phase as Wire};
use http::app::{Severity, Socket};
use http::exchange::ResponseHead;
use http::handlers::errors;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use wire::h1::encode;

use super::cell::Attached;
use super::event_loop::EventLoop;
use super::exchange::{ClientDisconnected, Step, waiter};
use super::message;

/// Bytes of a Close frame's reason (RFC 6455 section 5.5).
const LONGEST_REASON: usize = 123;

/// How far the application is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not answered the handshake.
    Connecting,
    Open,
    /// `websocket.http.response.start` has come.
    Denying,
    /// It has closed, or denied the WebSocket.
    Closed,
}

pub struct WebSocket {
    /// `websocket.connect` has been received.
    connected: bool,
    phase: Phase,
    /// Of a denial, until its body begins.
    head: Option<ResponseHead>,
}

impl WebSocket {
    pub fn new() -> WebSocket {
        WebSocket { connected: false, phase: Phase::Connecting, head: None }
    }
}

/// `receive`.
pub fn receive(py: Python<'_>, event_loop: &EventLoop, socket: &Socket, state: &Attached<WebSocket>) -> PyResult<Step> {
    let first = state.with(py, |state| Ok(!std::mem::replace(&mut state.connected, true)))?;
    if first {
        let message = PyDict::new(py);
        message.set_item(intern!(py, "type"), intern!(py, "websocket.connect"))?;
        return Ok(Step::Ready(message.into_any().unbind()));
    }
    match socket.receive() {
        Ok(None) => {
            let (future, resume) = waiter(py, event_loop)?;
            socket.wait_for_client(resume);
            Ok(Step::Wait(future))
        }
        Ok(Some(received)) => {
            let message = event_loop.websocket_message.bind(py).copy()?;
            match received {
                Message::Text(text) => message.set_item(intern!(py, "text"), text)?,
                Message::Binary(bytes) => message.set_item(intern!(py, "bytes"), PyBytes::new(py, &bytes))?,
            }
            Ok(Step::Ready(message.into_any().unbind()))
        }
        Err((code, reason)) => {
            let message = PyDict::new(py);
            message.set_item(intern!(py, "type"), intern!(py, "websocket.disconnect"))?;
            message.set_item(intern!(py, "code"), code)?;
            message.set_item(intern!(py, "reason"), reason)?;
            Ok(Step::Ready(message.into_any().unbind()))
        }
    }
}

/// What `send` raises when the client has gone.
fn gone() -> PyErr {
    ClientDisconnected::new_err("the client has disconnected")
}

/// `send`.
pub fn send(
    py: Python<'_>,
    event_loop: &EventLoop,
    socket: &Arc<Socket>,
    state: &Attached<WebSocket>,
    given: &Bound<'_, PyAny>,
) -> PyResult<Step> {
    let given = message::dictionary(given)?;
    let kind = message::type_of(given)?;
    let kind = kind.to_str()?;
    if !socket.has_room() {
        let (future, resume) = waiter(py, event_loop)?;
        if socket.wait_for_room(resume) {
            return Ok(Step::Wait(future));
        }
    }
    let phase = state.with(py, |state| Ok(state.phase))?;
    match (phase, kind) {
        (Phase::Open, "websocket.send") => frame(py, socket, given)?,
        (Phase::Connecting, "websocket.accept") => accept(py, socket, state, given)?,
        (Phase::Connecting, "websocket.close") => {
            state.with(py, |state| {
                state.phase = Phase::Closed;
                Ok(())
            })?;
            deny(socket, 403)?;
        }
        (Phase::Open, "websocket.close") => close(py, socket, state, given)?,
        (Phase::Connecting, "websocket.http.response.start") => denial_start(py, socket, state, given)?,
        (Phase::Denying, "websocket.http.response.body") => denial_body(py, socket, state, given)?,
        (Phase::Connecting, other) => {
            return Err(PyRuntimeError::new_err(format!(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or 'websocket.http.response.start' but got \
                 '{other}'."
            )));
        }
        (Phase::Open, other) => {
            return Err(PyRuntimeError::new_err(format!(
                "Expected ASGI message 'websocket.send' or 'websocket.close', but got '{other}'."
            )));
        }
        (Phase::Denying, other) => {
            return Err(PyRuntimeError::new_err(format!(
                "Expected ASGI message 'websocket.http.response.body' but got '{other}'."
            )));
        }
        (Phase::Closed, other) => {
            return Err(PyRuntimeError::new_err(format!(
                "Unexpected ASGI message '{other}', after sending 'websocket.close' or response already completed."
            )));
        }
    }
    Ok(Step::Ready(py.None()))
}

fn frame(py: Python<'_>, socket: &Socket, given: &Bound<'_, PyDict>) -> PyResult<()> {
    let bytes = given.get_item(intern!(py, "bytes"))?.filter(|bytes| !bytes.is_none());
    let text = given.get_item(intern!(py, "text"))?.filter(|text| !text.is_none());
    if bytes.is_some() && text.is_some() {
        return Err(PyValueError::new_err("'websocket.send' has both `bytes` and `text`"));
    }
    if let Some(bytes) = bytes {
        let bytes = message::Bytes::of(bytes, "`bytes`")?;
        return socket.send(|encoder, out| encoder.binary(out, bytes.as_slice())).map_err(|_| gone());
    }
    match text {
        Some(text) => {
            let text = text
                .cast::<PyString>()
                .map_err(|_| PyTypeError::new_err(format!("`text` must be str, not {}", message::kind(&text))))?;
            let text = text.to_str()?;
            socket.send(|encoder, out| encoder.text(out, text)).map_err(|_| gone())
        }
        None => Err(PyValueError::new_err("'websocket.send' needs `bytes` or `text`")),
    }
}

fn accept(py: Python<'_>, socket: &Socket, state: &Attached<WebSocket>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    let mut head = ResponseHead::new(101);
    message::headers(given, intern!(py, "headers"), |name, value| {
        if name.eq_ignore_ascii_case(b"sec-websocket-protocol") {
            return Err(PyValueError::new_err("the subprotocol goes into `subprotocol`, not into `headers`"));
        }
        message::add_field(&mut head, name, value)
    })?;
    if let Some(protocol) = given.get_item(intern!(py, "subprotocol"))?.filter(|protocol| !protocol.is_none()) {
        let protocol = protocol.cast_into::<PyString>().map_err(|error| {
            PyTypeError::new_err(format!("`subprotocol` must be str, not {}", message::kind(&error.into_inner())))
        })?;
        let protocol = protocol.to_str()?;
        if !encode::is_token(protocol.as_bytes()) {
            return Err(PyValueError::new_err(format!("{protocol:?} is not the name of a subprotocol")));
        }
        head.put("Sec-WebSocket-Protocol", protocol.as_bytes());
    }
    if socket.is_gone() {
        return Err(gone());
    }
    socket.accept(head).map_err(|_| gone())?;
    state.with(py, |state| {
        state.phase = Phase::Open;
        Ok(())
    })
}

fn close(py: Python<'_>, socket: &Socket, state: &Attached<WebSocket>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    let code = match given.get_item(intern!(py, "code"))?.filter(|code| !code.is_none()) {
        Some(code) => code
            .extract::<u16>()
            .ok()
            .filter(|&code| wire::ws::is_close_code(code))
            .ok_or_else(|| PyValueError::new_err(format!("{code} is not a close code that may be sent")))?,
        None => 1000,
    };
    let reason = match given.get_item(intern!(py, "reason"))?.filter(|reason| !reason.is_none()) {
        Some(reason) => reason.extract::<String>()?,
        None => String::new(),
    };
    if reason.len() > LONGEST_REASON {
        return Err(PyValueError::new_err(format!("a reason has at most {LONGEST_REASON} bytes")));
    }
    state.with(py, |state| {
        state.phase = Phase::Closed;
        Ok(())
    })?;
    // A client that has closed in the meantime has what it wants.
    let _ = socket.close(code, &reason);
    Ok(())
}

/// Answers the handshake with an error page.
fn deny(socket: &Socket, status: u16) -> PyResult<()> {
    let (mut head, body) = errors::answer(status);
    head.close = true;
    let denied = socket.deny(Some(head), |sender| {
        sender.copy(body.as_bytes());
        sender.end();
    });
    denied.map_err(|_| gone())
}

fn denial_start(
    py: Python<'_>,
    socket: &Socket,
    state: &Attached<WebSocket>,
    given: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let status = message::status(given)?;
    let mut head = ResponseHead::new(status);
    message::headers(given, intern!(py, "headers"), |name, value| message::add_field(&mut head, name, value))?;
    head.close = true;
    if socket.is_gone() {
        return Err(gone());
    }
    state.with(py, |state| {
        state.phase = Phase::Denying;
        state.head = Some(head);
        Ok(())
    })
}

fn denial_body(
    py: Python<'_>,
    socket: &Socket,
    state: &Attached<WebSocket>,
    given: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let body = message::body(given, intern!(py, "body"))?;
    let more = message::flag(given, intern!(py, "more_body"))?;
    let mut head = state.with(py, |state| {
        if !more {
            state.phase = Phase::Closed;
        }
        Ok(state.head.take())
    })?;
    let slice = body.as_ref().map_or(&[][..], message::Bytes::as_slice);
    if let Some(head) = &mut head
        && head.length.is_none()
        && !more
    {
        head.length = Some(slice.len() as u64);
    }
    let added = socket.deny(head, |sender| {
        sender.copy(slice);
        if !more {
            sender.end();
        }
    });
    added.map_err(|_| gone())
}

/// What is to be done when the application has returned, or raised.
pub fn ended(py: Python<'_>, socket: &Socket, error: Option<&PyErr>) {
    if let Some(error) = error
        // An application that ends because its client has gone has done nothing wrong, nor one that is cancelled
        // because the worker ends.
        && !(socket.is_gone() && error.is_instance_of::<PyOSError>(py))
        && !socket.is_cut()
    {
        let trace = crate::traceback::text(py, error);
        socket.log(Severity::Error, &format!("Exception in ASGI application\n{trace}"));
    }
    match socket.phase() {
        Wire::Connecting => {
            if error.is_none() && !socket.is_gone() {
                socket.log(Severity::Error, "ASGI callable returned without sending handshake.");
            }
            let _ = deny(socket, 500);
        }
        Wire::Denied => {
            let _ = socket.deny(None, |sender| {
                if !sender.ended {
                    sender.abort();
                }
            });
        }
        Wire::Open => {
            let _ = if error.is_some() { socket.close(1011, "") } else { socket.close(1000, "") };
        }
        Wire::Closing | Wire::Closed => {}
    }
    socket.finish();
}
