//! Coroutines from the outside (PEP 342, PEP 492): sending a value into one, raising in one, and answering as one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::PyClass;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyTraceback, PyType};

/// What a coroutine gave.
pub enum Sent {
    /// Something to wait for.
    Next(Py<PyAny>),
    /// Its result; it is over.
    Returned(Py<PyAny>),
}

/// Sends a value into a coroutine or iterator.
pub fn send(py: Python<'_>, coroutine: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Sent> {
    let mut result = ptr::null_mut();
    // SAFETY: attached, both references are live; on NEXT and RETURN the result is a new reference.
    unsafe {
        let sent = ffi::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &mut result);
        match sent {
            ffi::PySendResult::PYGEN_NEXT => Ok(Sent::Next(Bound::from_owned_ptr(py, result).unbind())),
            ffi::PySendResult::PYGEN_RETURN => Ok(Sent::Returned(Bound::from_owned_ptr(py, result).unbind())),
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        }
    }
}

/// Raises in a coroutine or iterator; gives what it waits for next, or raises what it raises (`StopIteration` for its
/// result).
pub fn throw(
    py: Python<'_>,
    coroutine: &Bound<'_, PyAny>,
    kind: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    traceback: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let throw = coroutine.getattr(intern!(py, "throw"))?;
    match (value, traceback) {
        (None, None) => throw.call1((kind,)),
        _ => throw.call1((raised(kind, value, traceback).into_value(py),)),
    }
    .map(Bound::unbind)
}

/// The exception that the three arguments of `throw` mean.
pub fn raised(
    kind: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    traceback: Option<&Bound<'_, PyAny>>,
) -> PyErr {
    let py = kind.py();
    let value = value.filter(|value| !value.is_none());
    let error = match (kind.cast::<PyType>(), value) {
        (Err(_), _) => PyErr::from_value(kind.clone()),
        (Ok(kind), Some(value)) if value.is_instance(kind).unwrap_or(false) => PyErr::from_value(value.clone()),
        (Ok(kind), Some(value)) => match kind.call1((value,)) {
            Ok(made) => PyErr::from_value(made),
            Err(error) => error,
        },
        (Ok(kind), None) => match kind.call0() {
            Ok(made) => PyErr::from_value(made),
            Err(error) => error,
        },
    };
    if let Some(traceback) = traceback.and_then(|traceback| traceback.cast::<PyTraceback>().ok()) {
        error.set_traceback(py, Some(traceback.clone()));
    }
    error
}

/// The value of the `StopIteration` that a coroutine ended with; other exceptions stay.
pub fn result_of(py: Python<'_>, error: PyErr) -> PyResult<Py<PyAny>> {
    if error.is_instance_of::<PyStopIteration>(py) {
        return Ok(error.value(py).getattr(intern!(py, "value"))?.unbind());
    }
    Err(error)
}

/// A coroutine of ours.
pub trait Steps {
    /// Goes on: to the next thing to wait for, or to the result.
    fn step(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Sent>;
}

/// Makes a type known as a coroutine's, and lets `PyIter_Send` drive its objects without an exception for the result.
pub fn register<T: Steps + PyClass<Frozen = True> + Sync>(py: Python<'_>) -> PyResult<()> {
    let kind = py.get_type::<T>();
    // SAFETY: attached. A heap type, which PyO3 makes all of ours, has room for these methods, and nobody calls them
    // yet.
    unsafe {
        let methods = (*kind.as_type_ptr()).tp_as_async;
        if !methods.is_null() {
            (*methods).am_send = Some(am_send::<T>);
        }
    }
    py.import("collections.abc")?.getattr("Coroutine")?.call_method1("register", (&kind,))?;
    Ok(())
}

unsafe extern "C" fn am_send<T: Steps + PyClass<Frozen = True> + Sync>(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: called with the interpreter attached.
    let py = unsafe { Python::assume_attached() };
    let step = || {
        // SAFETY: the interpreter calls the slot of this type with an object of this type, which is frozen and thus
        // always borrowable; both references are the caller's and live through the call.
        let (this, value) =
            unsafe { (Bound::ref_from_ptr(py, &this).cast_unchecked::<T>(), Bound::ref_from_ptr(py, &value)) };
        this.get().step(py, value)
    };
    let sent = catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err("internal error: the application bridge panicked")));
    let (value, told) = match sent {
        Ok(Sent::Next(next)) => (next.into_ptr(), ffi::PySendResult::PYGEN_NEXT),
        Ok(Sent::Returned(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
        Err(error) => {
            error.restore(py);
            (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR)
        }
    };
    // SAFETY: the caller's, to be written to.
    unsafe { *result = value };
    told
}
