//! `receive` of an HTTP scope: the request's body in memory or still arriving, then the client's end (ASGI HTTP
//! specification 2.5).

use std::fs::File;
use std::sync::Arc;

use http::app::Duplex;
use http::exchange::stream::BodyError;
use http::exchange::{BodyStream, Request, RequestBody};
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::cell::Attached;
use super::event_loop::EventLoop;
use super::exchange::{Step, waiter};

/// Bytes of a streamed body given out at once.
const PIECE: usize = 256 * 1024;

/// The request's body, as far as the application has not received it.
pub enum Input {
    Bytes(Py<PyBytes>),
    Stream(Arc<BodyStream>),
    /// All of it was received: what comes next is the client's end.
    Done,
}

impl Input {
    /// Takes the body over from the request.
    pub fn new(py: Python<'_>, event_loop: &EventLoop, request: &mut Request) -> PyResult<Input> {
        Ok(match std::mem::take(&mut request.body) {
            RequestBody::Empty => Input::Bytes(event_loop.no_bytes.clone_ref(py)),
            RequestBody::Inline(span) => Input::Bytes(PyBytes::new(py, span.of(&request.buf)).unbind()),
            RequestBody::Memory(bytes) => Input::Bytes(PyBytes::new(py, &bytes).unbind()),
            RequestBody::File { file, len } => Input::Bytes(read_file(py, &file, len)?),
            RequestBody::Stream(stream) => Input::Stream(stream),
        })
    }
}

fn read_file(py: Python<'_>, file: &File, len: u64) -> PyResult<Py<PyBytes>> {
    use std::os::unix::fs::FileExt;
    let read = |target: &mut [u8]| file.read_exact_at(target, 0).map_err(PyOSError::new_err);
    Ok(PyBytes::new_with(py, len as usize, read)?.unbind())
}

/// `receive`.
pub fn receive(py: Python<'_>, event_loop: &EventLoop, duplex: &Duplex, input: &Attached<Input>) -> PyResult<Step> {
    let stream = input.with(py, |input| {
        Ok(match std::mem::replace(input, Input::Done) {
            Input::Bytes(bytes) => return request_message(py, event_loop, bytes.bind(py), false).map(Err),
            Input::Done => Ok(None),
            Input::Stream(stream) => {
                *input = Input::Stream(stream.clone());
                Ok(Some(stream))
            }
        })
    })?;
    let stream = match stream {
        Err(message) => return Ok(Step::Ready(message)),
        Ok(stream) => stream,
    };
    if duplex.disconnected() {
        return Ok(Step::Ready(disconnect(py, event_loop)?));
    }
    let (future, resume) = match &stream {
        // Before it is looked at, so that nothing can come in between.
        Some(_) => {
            duplex.asked_for_body();
            let (future, resume) = waiter(py, event_loop)?;
            duplex.wait_for_client(resume.clone());
            (future, resume)
        }
        None => waiter(py, event_loop)?,
    };
    let Some(stream) = stream else {
        duplex.wait_for_client(resume);
        // The client may have gone just now.
        return Ok(if duplex.disconnected() { Step::Ready(disconnect(py, event_loop)?) } else { Step::Wait(future) });
    };
    match stream.try_read(PIECE) {
        None => Ok(Step::Wait(future)),
        Some(Ok(bytes)) => {
            let more = !stream.is_exhausted();
            if !more {
                input.with(py, |input| {
                    *input = Input::Done;
                    Ok(())
                })?;
            }
            Ok(Step::Ready(request_message(py, event_loop, &PyBytes::new(py, &bytes), more)?))
        }
        Some(Err(BodyError::Disconnected | BodyError::Malformed)) => {
            duplex.give_up();
            Ok(Step::Ready(disconnect(py, event_loop)?))
        }
    }
}

fn request_message(
    py: Python<'_>,
    event_loop: &EventLoop,
    body: &Bound<'_, PyBytes>,
    more: bool,
) -> PyResult<Py<PyAny>> {
    let message = event_loop.request_message.bind(py).copy()?;
    message.set_item(intern!(py, "body"), body)?;
    if more {
        message.set_item(intern!(py, "more_body"), true)?;
    }
    Ok(message.into_any().unbind())
}

fn disconnect(py: Python<'_>, event_loop: &EventLoop) -> PyResult<Py<PyAny>> {
    Ok(event_loop.disconnect_message.bind(py).copy()?.into_any().unbind())
}
