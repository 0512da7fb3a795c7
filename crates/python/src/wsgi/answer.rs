//! Sending what an application returned: each piece before the next is asked for, `close()` called once, always.

use http::app::{Continuation, Output};
use http::transport::sender::COPY;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};

use super::file_wrapper::FileWrapper;
use super::start_response::{Active, Call};
use super::{Context, Failed, Options, fail};
use crate::buffer::lend;

/// Sends the answer. `Some`: the rest of it is to be sent later, see `Continuation`.
pub fn send(
    py: Python<'_>,
    active: &Active<'_>,
    returned: Bound<'_, PyAny>,
    options: &Options,
    mut context: Context,
    target: &[u8],
) -> Result<Option<Box<dyn Continuation>>, Failed> {
    if returned.is_exact_instance_of::<PyList>() || returned.is_exact_instance_of::<PyTuple>() {
        if let Some(pieces) = all_bytes(&returned) {
            return send_known(active, &pieces).map(|()| None);
        }
    } else if options.sendfile && returned.is_exact_instance_of::<FileWrapper>() {
        let sent = FileWrapper::send(&returned, active);
        if !matches!(sent, Ok(false)) {
            let closed = close(py, &returned);
            sent.and(closed).map_err(Failed::Application)?;
            finish(active)?;
            return Ok(None);
        }
    }
    let iterator = match returned.try_iter() {
        Ok(iterator) => iterator,
        Err(error) => {
            // Whatever it is, it is closed.
            let _ = close(py, &returned);
            return Err(Failed::Application(error));
        }
    };
    let closing = Closing { returned: Some(returned.clone().unbind()) };
    match pieces(py, active, &iterator) {
        Ok(End::Complete) => {
            conclude(py, active, closing)?;
            Ok(None)
        }
        Ok(End::Suspended) => {
            context.leave(py);
            let target = String::from_utf8_lossy(target).into_owned();
            Ok(Some(Box::new(Rest { iterator: iterator.unbind(), closing, context, target })))
        }
        Err(failed) => {
            closing.run(py).ok();
            Err(failed)
        }
    }
}

/// How the pieces ended.
enum End {
    Complete,
    /// The thread is to be given up; more follows.
    Suspended,
}

/// Sends the pieces of an iterator as they come.
fn pieces(py: Python<'_>, active: &Active<'_>, iterator: &Bound<'_, PyIterator>) -> Result<End, Failed> {
    let mut iterator = iterator.clone();
    loop {
        let Some(piece) = iterator.next() else { return Ok(End::Complete) };
        let piece = piece.map_err(Failed::Application)?;
        let Ok(bytes) = piece.cast::<PyBytes>() else {
            return Err(Failed::Application(not_bytes(&piece)));
        };
        if bytes.as_bytes().is_empty() {
            continue;
        }
        active.start(None).map_err(Failed::Application)?;
        push(active, bytes);
        // With all of Content-Length here, the end is sent with it; nothing is held back that a client waits for.
        if active.with(|_, out| out.is_satisfied()) {
            continue;
        }
        active.flush(py)?;
        if active.with(|_, out| out.should_suspend()) {
            return Ok(End::Suspended);
        }
    }
}

/// The end of an answer whose pieces are all sent: told to the client before `close()` has its time.
fn conclude(py: Python<'_>, active: &Active<'_>, closing: Closing) -> Result<(), Failed> {
    let finished = finish(active);
    if active.with(|_, out| out.is_remote()) {
        let _ = active.flush(py);
    }
    let closed = closing.run(py);
    finished?;
    // The answer is complete: an error of close() is only for the log.
    if let Err(error) = closed {
        let trace = crate::traceback::text(py, &error);
        active.with(|_, out| out.log(http::app::Severity::Error, format!("Error closing the answer\n{trace}")));
    }
    Ok(())
}

/// The head if no piece had sent it, and the end.
fn finish(active: &Active<'_>) -> Result<(), Failed> {
    active.start(Some(0)).map_err(Failed::Application)?;
    active.with(|_, out| out.end());
    Ok(())
}

fn push(active: &Active<'_>, bytes: &Bound<'_, PyBytes>) {
    let slice = bytes.as_bytes();
    if slice.len() <= COPY {
        active.with(|_, out| out.copy(slice));
    } else {
        let chunk = lend(bytes);
        active.with(|_, out| out.push(chunk));
    }
}

fn not_bytes(piece: &Bound<'_, PyAny>) -> PyErr {
    let kind = piece.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("the application must give bytes, not {kind}"))
}

/// The items of a list or tuple, if they are all `bytes`.
fn all_bytes<'py>(returned: &Bound<'py, PyAny>) -> Option<Items<'py>> {
    if let Ok(list) = returned.cast::<PyList>() {
        if list.len() == 1 {
            return list.get_item(0).ok()?.cast_into::<PyBytes>().ok().map(Items::One);
        }
        return list.iter().map(|item| item.cast_into::<PyBytes>().ok()).collect::<Option<Vec<_>>>().map(Items::Many);
    }
    let tuple = returned.cast::<PyTuple>().ok()?;
    tuple.iter().map(|item| item.cast_into::<PyBytes>().ok()).collect::<Option<Vec<_>>>().map(Items::Many)
}

enum Items<'py> {
    One(Bound<'py, PyBytes>),
    Many(Vec<Bound<'py, PyBytes>>),
}

/// A body that is all here: its length is known.
fn send_known(active: &Active<'_>, items: &Items<'_>) -> Result<(), Failed> {
    let items = match items {
        Items::One(item) => std::slice::from_ref(item),
        Items::Many(items) => items,
    };
    let length: usize = items.iter().map(|item| item.as_bytes().len()).sum();
    active.start(Some(length as u64)).map_err(Failed::Application)?;
    for item in items {
        push(active, item);
    }
    active.with(|_, out| out.end());
    Ok(())
}

/// Calls `close()`, if there is one.
fn close(py: Python<'_>, returned: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(close) = returned.getattr_opt(intern!(py, "close"))? {
        close.call0()?;
    }
    Ok(())
}

/// The duty to close what the application returned, once.
struct Closing {
    returned: Option<Py<PyAny>>,
}

impl Closing {
    fn run(mut self, py: Python<'_>) -> PyResult<()> {
        self.returned.take().map_or(Ok(()), |returned| close(py, returned.bind(py)))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(returned) = self.returned.take() {
            Python::attach(|py| {
                if let Err(error) = close(py, returned.bind(py)) {
                    error.write_unraisable(py, Some(returned.bind(py)));
                }
            });
        }
    }
}

/// An answer that goes on in the job loop.
struct Rest {
    iterator: Py<PyIterator>,
    closing: Closing,
    context: Context,
    target: String,
}

impl Continuation for Rest {
    fn run(self: Box<Self>, out: &mut Output<'_>) {
        let Rest { iterator, closing, mut context, target } = *self;
        Python::attach(|py| {
            context.resume(py);
            let mut call = Call::new(false);
            let done = {
                let active = Active::enter(&mut call, out);
                match pieces(py, &active, iterator.bind(py)) {
                    Ok(_) => conclude(py, &active, closing),
                    Err(failed) => {
                        closing.run(py).ok();
                        Err(failed)
                    }
                }
            };
            if let Err(failed) = done {
                fail(py, out, failed, &target);
            }
            context.leave(py);
        });
    }
}
