//! `receive` and `send` as an application has them, and what they give: a coroutine of ours.
//!
//! A call makes an `Operation`. Awaited, it does its work at once where it can, and waits for a future of the loop
//! where it cannot. It has all that a coroutine has (`send`, `throw`, `close`) and is registered as one, so tasks can be
//! made of it.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::cell::Attached;
use super::exchange::{Exchange, Step};
use super::iterate::{self, Sent, Steps};

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Receive,
    Send,
}

/// A call of `receive` or `send`.
#[pyclass(frozen, weakref, module = "daemun._daemun")]
pub struct Operation {
    exchange: Py<Exchange>,
    kind: Kind,
    state: Attached<State>,
}

enum State {
    /// Not awaited yet; the message of a `send`.
    New(Option<Py<PyAny>>),
    /// Waits for that iterator of a future.
    Waiting(Option<Py<PyAny>>, Py<PyAny>),
    Done,
}

impl Steps for Operation {
    fn step(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let (message, mut waiting) = self.state.with(py, |state| match std::mem::replace(state, State::Done) {
            State::New(message) => Ok((message, None)),
            State::Waiting(message, future) => Ok((message, Some(future))),
            State::Done => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        })?;
        loop {
            if let Some(future) = waiting.take()
                && let Sent::Next(next) = iterate::send(py, future.bind(py), value)?
            {
                self.state.with(py, |state| {
                    *state = State::Waiting(message, future);
                    Ok(())
                })?;
                return Ok(Sent::Next(next));
            }
            let exchange = self.exchange.get();
            let step = match self.kind {
                Kind::Receive => exchange.receive(py)?,
                Kind::Send => match &message {
                    Some(message) => exchange.send(py, message.bind(py))?,
                    None => return Err(PyTypeError::new_err("send() takes a message")),
                },
            };
            match step {
                Step::Ready(value) => return Ok(Sent::Returned(value)),
                Step::Wait(future) => waiting = Some(future.bind(py).try_iter()?.into_any().unbind()),
            }
        }
    }
}

#[pymethods]
impl Operation {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.step(py, py.None().bind(py))?.into_next(py)
    }

    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.step(py, value)?.into_value(py)
    }

    /// Raises in the place where it waits.
    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let waiting = self.state.with(py, |state| match std::mem::replace(state, State::Done) {
            State::Waiting(_, future) => Ok(Some(future)),
            _ => Ok(None),
        })?;
        match waiting {
            Some(future) => iterate::throw(py, future.bind(py), kind, value, traceback),
            None => Err(iterate::raised(kind, value, traceback)),
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.state.with(py, |state| {
            *state = State::Done;
            Ok(())
        })
    }

    #[getter]
    fn cr_running(&self) -> bool {
        false
    }

    #[getter]
    fn cr_suspended(&self, py: Python<'_>) -> PyResult<bool> {
        self.state.with(py, |state| Ok(matches!(state, State::Waiting(..))))
    }

    #[getter]
    fn cr_frame(&self, py: Python<'_>) -> PyResult<Option<bool>> {
        // Not a frame, but there while the coroutine is not over, which is what is asked of it.
        self.state.with(py, |state| Ok((!matches!(state, State::Done)).then_some(true)))
    }

    #[getter]
    fn cr_await(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.state.with(py, |state| match state {
            State::Waiting(_, future) => Ok(Some(future.clone_ref(py))),
            _ => Ok(None),
        })
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        if self.kind == Kind::Receive { "receive" } else { "send" }
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.__name__()
    }
}

impl Sent {
    /// As `__next__` gives it.
    fn into_next(self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self {
            Sent::Next(next) => Ok(Some(next)),
            Sent::Returned(value) if value.is_none(py) => Ok(None),
            Sent::Returned(value) => Err(PyStopIteration::new_err((value,))),
        }
    }

    /// As the method `send` gives it.
    pub fn into_value(self, _: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Sent::Next(next) => Ok(next),
            Sent::Returned(value) => Err(PyStopIteration::new_err((value,))),
        }
    }
}

// `receive` and `send` themselves: one small type with the vectorcall protocol, since they are made for every request.

#[repr(C)]
struct Callable {
    base: ffi::PyObject,
    call: Option<ffi::vectorcallfunc>,
    /// An `Exchange`, owned.
    exchange: *mut ffi::PyObject,
}

/// The two types, made once.
pub struct Types {
    receive: Py<PyType>,
    send: Py<PyType>,
}

impl Types {
    pub fn new(py: Python<'_>) -> PyResult<Types> {
        iterate::register::<Operation>(py)?;
        let types = Types { receive: callable_type(py, c"daemun.receive")?, send: callable_type(py, c"daemun.send")? };
        // What `inspect.iscoroutinefunction` and `asyncio.iscoroutinefunction` look for.
        for name in [types.receive.bind(py), types.send.bind(py)] {
            if let Ok(mark) = py.import("inspect")?.getattr("_is_coroutine_mark") {
                name.setattr("_is_coroutine_mark", mark)?;
            }
            if let Ok(mark) = py.import("asyncio.coroutines")?.getattr("_is_coroutine") {
                name.setattr("_is_coroutine", mark)?;
            }
        }
        Ok(types)
    }

    pub fn receive<'py>(&self, py: Python<'py>, exchange: &Py<Exchange>) -> PyResult<Bound<'py, PyAny>> {
        make(py, &self.receive, call_receive, exchange)
    }

    pub fn send<'py>(&self, py: Python<'py>, exchange: &Py<Exchange>) -> PyResult<Bound<'py, PyAny>> {
        make(py, &self.send, call_send, exchange)
    }
}

fn make<'py>(
    py: Python<'py>,
    kind: &Py<PyType>,
    call: ffi::vectorcallfunc,
    exchange: &Py<Exchange>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached. The type's instances are `Callable`s; the new one's fields are set before anybody sees it,
    // and it owns the reference it is given.
    unsafe {
        let made = ffi::PyType_GenericAlloc(kind.as_ptr().cast(), 0);
        if made.is_null() {
            return Err(PyErr::fetch(py));
        }
        let fields = made.cast::<Callable>();
        (*fields).call = Some(call);
        (*fields).exchange = exchange.clone_ref(py).into_ptr();
        Ok(Bound::from_owned_ptr(py, made))
    }
}

fn callable_type(py: Python<'_>, name: &'static CStr) -> PyResult<Py<PyType>> {
    let mut members = [
        ffi::PyMemberDef {
            name: c"__vectorcalloffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: std::mem::offset_of!(Callable, call) as ffi::Py_ssize_t,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        },
        // SAFETY: all zero is the end of the list.
        unsafe { std::mem::zeroed() },
    ];
    let mut slots = [
        ffi::PyType_Slot { slot: ffi::Py_tp_dealloc, pfunc: deallocate as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_tp_call, pfunc: ffi::PyVectorcall_Call as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_tp_members, pfunc: members.as_mut_ptr().cast() },
        ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() },
    ];
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: size_of::<Callable>() as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_VECTORCALL) as std::ffi::c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: attached; spec, slots and members live through the call, which copies them, and the name for ever.
    unsafe {
        let made = ffi::PyType_FromSpec(&mut spec);
        Ok(Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyType>().unbind())
    }
}

unsafe extern "C" fn deallocate(this: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls it once, attached, for an object of one of the two types, whose reference to the
    // exchange is owned; a heap type's instance holds a reference to its type.
    unsafe {
        let kind = ffi::Py_TYPE(this);
        ffi::Py_XDECREF((*this.cast::<Callable>()).exchange);
        ffi::PyObject_Free(this.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

unsafe extern "C" fn call_receive(
    this: *mut ffi::PyObject,
    _: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter, attached, as the vectorcall of a `Callable`.
    unsafe { called(this, Kind::Receive, ptr::null_mut(), count, keywords, 0) }
}

unsafe extern "C" fn call_send(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter, attached, as the vectorcall of a `Callable`; there is an argument if the
    // count (of positional or of keyword arguments) says so.
    unsafe {
        let given = ffi::PyVectorcall_NARGS(count) > 0
            || !keywords.is_null() && ffi::PyTuple_GET_SIZE(keywords) == 1 && is_message(keywords);
        let keywords = if ffi::PyVectorcall_NARGS(count) == 0 && given { ptr::null_mut() } else { keywords };
        let message = if given { *arguments } else { ptr::null_mut() };
        called(this, Kind::Send, message, if given { count.max(1) } else { count }, keywords, 1)
    }
}

/// Whether the only keyword is `message`.
///
/// # Safety
/// Attached, and `keywords` is a tuple of one string.
unsafe fn is_message(keywords: *mut ffi::PyObject) -> bool {
    // SAFETY: a tuple of one string, as the caller has checked.
    unsafe { ffi::PyUnicode_CompareWithASCIIString(ffi::PyTuple_GET_ITEM(keywords, 0), c"message".as_ptr()) == 0 }
}

/// Makes the operation of a call.
///
/// # Safety
/// Attached; `this` is a `Callable`, `message` null or an argument of the call, `keywords` null or a tuple.
unsafe fn called(
    this: *mut ffi::PyObject,
    kind: Kind,
    message: *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
    wanted: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: attached, as the callers say; `this` is a `Callable`, which owns an `Exchange`; `message` is null or an
    // argument of the call, which is borrowed and made a reference of our own.
    unsafe {
        let py = Python::assume_attached();
        if ffi::PyVectorcall_NARGS(count) != wanted || !keywords.is_null() && ffi::PyTuple_GET_SIZE(keywords) > 0 {
            let what = if wanted == 0 { "receive() takes no argument" } else { "send() takes one argument: message" };
            PyTypeError::new_err(what).restore(py);
            return ptr::null_mut();
        }
        let exchange = Bound::from_borrowed_ptr(py, (*this.cast::<Callable>()).exchange);
        let operation = Operation {
            exchange: exchange.cast_into_unchecked::<Exchange>().unbind(),
            kind,
            state: Attached::new(State::New(Bound::from_borrowed_ptr_or_opt(py, message).map(Bound::unbind))),
        };
        match Py::new(py, operation) {
            Ok(made) => made.into_ptr(),
            Err(error) => {
                error.restore(py);
                ptr::null_mut()
            }
        }
    }
}
