//! `start_response`, `write` and `wsgi.early_hints` (PEP 3333, "The start_response() Callable").
//!
//! They are built-in functions, made once per thread, that find the call they belong to in a thread-local pointer. It
//! is set only while an application runs on that thread, so a callable that was kept by the application and called
//! later is refused.

use std::cell::Cell;
use std::ffi::CStr;
use std::marker::PhantomData;

use http::app::Output;
use http::exchange::ResponseHead;
use http::exchange::response::BadField;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use super::Failed;
use crate::buffer::lend;
use crate::text::bytes_of;

/// What one call of the application has said so far.
pub struct Call {
    /// From `start_response`, until it is sent.
    head: Option<ResponseHead>,
    /// `start_response` was called.
    started: bool,
    /// The answer is to a HEAD request.
    pub is_head: bool,
}

impl Call {
    pub fn new(is_head: bool) -> Call {
        Call { head: None, started: false, is_head }
    }
}

/// A running call, as the callables find it.
#[derive(Clone, Copy)]
struct Current {
    call: *mut Call,
    /// An `Output<'_>` with its lifetime taken off: it outlives the `Active` that put it here.
    out: *mut Output<'static>,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// Makes a call the current one of its thread for as long as this lives.
pub struct Active<'a> {
    current: Current,
    before: Option<Current>,
    borrowed: PhantomData<&'a mut Call>,
}

impl<'a> Active<'a> {
    pub fn enter(call: &'a mut Call, out: &'a mut Output<'_>) -> Active<'a> {
        let out: *mut Output<'_> = out;
        let current = Current { call, out: out.cast() };
        let before = CURRENT.replace(Some(current));
        Active { current, before, borrowed: PhantomData }
    }

    /// Looks at the call and its output. Python code must not run inside.
    pub fn with<R>(&self, act: impl FnOnce(&mut Call, &mut Output<'_>) -> R) -> R {
        self.current.with(act)
    }

    /// Sends what is here, without the interpreter's lock.
    pub fn flush(&self, py: Python<'_>) -> Result<(), Failed> {
        self.current.flush(py)
    }

    /// Sends the head if that has not been done. `length` is put in when the application gave none.
    pub fn start(&self, length: Option<u64>) -> PyResult<()> {
        self.current.start(length)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

impl Current {
    fn with<R>(self, act: impl FnOnce(&mut Call, &mut Output<'_>) -> R) -> R {
        // SAFETY: both pointers are of borrows that `Active` holds; a `Current` is only reachable while that lives, on
        // its own thread. `act` runs no Python code, so no second borrow can begin while these last.
        unsafe { act(&mut *self.call, &mut *self.out) }
    }

    fn flush(self, py: Python<'_>) -> Result<(), Failed> {
        struct Lend(Current);
        // SAFETY: `detach` runs its closure on this same thread; nothing is sent anywhere.
        unsafe impl Send for Lend {}
        let lent = Lend(self);
        py.detach(move || {
            let Lend(current) = { lent };
            current.with(|_, out| out.flush())
        })
        .map_err(|_| Failed::Gone)
    }

    fn start(self, length: Option<u64>) -> PyResult<()> {
        self.with(|call, out| {
            if out.is_started() {
                return Ok(());
            }
            let Some(mut head) = call.head.take() else {
                return Err(PyAssertionError::new_err("the application gave a body before it called start_response"));
            };
            if head.length.is_none() {
                head.length = length.filter(|_| !call.is_head);
            }
            out.start(head);
            Ok(())
        })
    }
}

fn current() -> PyResult<Current> {
    CURRENT.get().ok_or_else(|| PyRuntimeError::new_err("called outside of its request"))
}

/// The plain 500 of a failed application.
pub fn internal_error(out: &mut Output<'_>) {
    let (mut head, body) = http::handlers::errors::answer(500);
    head.close = true;
    out.start(head);
    out.copy(body.as_bytes());
    out.end();
}

/// `start_response(status, headers, exc_info=None)`: gives `write`.
fn on_start_response(py: Python<'_>, arguments: &[Bound<'_, PyAny>]) -> PyResult<Py<PyAny>> {
    let (status, headers, exc_info) = match arguments {
        [status, headers] => (status, headers, None),
        [status, headers, exc_info] => (status, headers, Some(exc_info).filter(|value| !value.is_none())),
        _ => {
            return Err(PyTypeError::new_err(
                "start_response takes a status, a list of headers and optionally exc_info",
            ));
        }
    };
    let current = current()?;
    let (started, sent) = current.with(|call, out| (call.started, out.is_started()));
    if let Some(exc_info) = exc_info {
        if sent {
            // Too late to change the answer: the application's error goes on its way.
            let info = exc_info.cast::<PyTuple>().map_err(|_| PyTypeError::new_err("exc_info must be a tuple"))?;
            return Err(PyErr::from_value(info.get_item(1)?));
        }
    } else if started {
        return Err(PyAssertionError::new_err("start_response was called a second time without exc_info"));
    }
    let head = parse_head(status, headers, |status| current.with(|_, out| out.new_head(status)))?;
    current.with(|call, _| {
        call.started = true;
        call.head = Some(head);
    });
    WRITE.with(|write| write.get_or_make(py))
}

fn parse_head(
    status: &Bound<'_, PyAny>,
    headers: &Bound<'_, PyAny>,
    new_head: impl FnOnce(u16) -> ResponseHead,
) -> PyResult<ResponseHead> {
    let text = bytes_of(status, "status")?;
    let (code, reason) = text.split_at_checked(3).unwrap_or((text, b""));
    let number = code.iter().try_fold(0u16, |sum, &b| b.is_ascii_digit().then(|| sum * 10 + u16::from(b - b'0')));
    let number = number.filter(|number| code.len() == 3 && (200..=999).contains(number));
    let reason = match reason {
        [] => Some(&b""[..]),
        [b' ', reason @ ..] => Some(reason.trim_ascii()),
        _ => None,
    };
    let (Some(number), Some(reason)) = (number, reason) else {
        let what = "status must be like '200 OK', a final status and a reason";
        return Err(PyValueError::new_err(format!("{what}, not {status:.200}")));
    };
    if !wire::h1::encode::is_field_value(reason) {
        return Err(PyValueError::new_err(format!("the reason has control characters: {status:.200?}")));
    }
    let mut head = new_head(number);
    if reason != wire::h1::encode::reason(number).as_bytes() {
        head.reason = Some(reason.to_vec());
    }
    let list = headers.cast::<PyList>().map_err(|_| PyTypeError::new_err("headers must be a list of tuples"))?;
    head.fields.reserve(32 * (list.len() + 1));
    for item in list.iter() {
        let pair = item.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
        let pair =
            pair.ok_or_else(|| PyTypeError::new_err(format!("a header must be a tuple of two str, not {item:.200?}")))?;
        let (name, value) = (pair.get_borrowed_item(0)?, pair.get_borrowed_item(1)?);
        let taken = head.add(bytes_of(&name, "a header's name")?, bytes_of(&value, "a header's value")?);
        taken.map_err(|bad| {
            PyValueError::new_err(match bad {
                BadField::Name => format!("{name:.200?} is not a header name"),
                BadField::Value => format!("the value of header {name:.200?} has control characters: {value:.200?}"),
                BadField::Length => format!("Content-Length must be one number of bytes, not {value:.200?}"),
            })
        })?;
    }
    Ok(head)
}

/// `write(data)`: the old way of sending a body.
fn on_write(py: Python<'_>, arguments: &[Bound<'_, PyAny>]) -> PyResult<Py<PyAny>> {
    let [data] = arguments else { return Err(PyTypeError::new_err("write takes one argument")) };
    let data = data.cast::<PyBytes>().map_err(|_| PyTypeError::new_err("write takes bytes"))?;
    let current = current()?;
    current.start(None)?;
    let chunk = lend(data);
    current.with(|_, out| {
        out.never_suspend();
        out.push(chunk);
    });
    if !current.with(|_, out| out.is_satisfied()) && current.flush(py).is_err() {
        return Err(pyo3::exceptions::PyBrokenPipeError::new_err("the client has gone away"));
    }
    Ok(py.None())
}

/// `wsgi.early_hints(headers)`: sends 103 (RFC 8297) at once.
fn on_early_hints(py: Python<'_>, arguments: &[Bound<'_, PyAny>]) -> PyResult<Py<PyAny>> {
    let [headers] = arguments else { return Err(PyTypeError::new_err("early_hints takes a list of headers")) };
    let current = current()?;
    let mut head = ResponseHead::new(103);
    for item in headers.try_iter()? {
        let item = item?;
        let (name, value) = (item.get_item(0)?, item.get_item(1)?);
        // Gunicorn takes bytes here, too.
        let bytes = |value: &Bound<'_, PyAny>, what: &str| -> PyResult<Vec<u8>> {
            match value.cast::<PyBytes>() {
                Ok(bytes) => Ok(bytes.as_bytes().to_vec()),
                Err(_) => bytes_of(value, what).map(<[u8]>::to_vec),
            }
        };
        head.add(&bytes(&name, "a header's name")?, &bytes(&value, "a header's value")?)
            .map_err(|_| PyValueError::new_err(format!("{name:.200?} cannot be sent in early hints")))?;
    }
    let fields = std::mem::take(&mut head.fields);
    struct Lend(Current);
    // SAFETY: `detach` runs its closure on this same thread; nothing is sent anywhere.
    unsafe impl Send for Lend {}
    let lent = Lend(current);
    py.detach(move || {
        let Lend(current) = { lent };
        // A client that is gone will be noticed by the answer itself.
        current.with(|_, out| if out.is_started() { Ok(()) } else { out.informational(103, fields) })
    })
    .ok();
    Ok(py.None())
}

type Body = fn(Python<'_>, &[Bound<'_, PyAny>]) -> PyResult<Py<PyAny>>;

/// Runs the body of a built-in function: borrowed arguments in, a new reference or an exception out.
fn run(arguments: *mut *mut ffi::PyObject, count: ffi::Py_ssize_t, body: Body) -> *mut ffi::PyObject {
    // SAFETY: CPython calls built-in functions with the interpreter attached.
    let py = unsafe { Python::assume_attached() };
    let result = std::panic::catch_unwind(|| {
        const NONE: [Option<Bound<'_, PyAny>>; 4] = [const { None }; 4];
        let count = count as usize;
        if count > NONE.len() {
            return Err(PyTypeError::new_err("too many arguments"));
        }
        let mut bound: Vec<Bound<'_, PyAny>> = Vec::with_capacity(4);
        for index in 0..count {
            // SAFETY: METH_FASTCALL gives `count` borrowed references that live until the function returns.
            bound.push(unsafe { Bound::from_borrowed_ptr(py, *arguments.add(index)) });
        }
        body(py, &bound)
    });
    match result {
        Ok(Ok(value)) => value.into_ptr(),
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(_) => {
            PyRuntimeError::new_err("internal error in daemun").restore(py);
            std::ptr::null_mut()
        }
    }
}

macro_rules! builtin {
    ($function:ident, $def:ident, $name:literal, $doc:literal, $body:expr) => {
        unsafe extern "C" fn $function(
            _: *mut ffi::PyObject,
            arguments: *mut *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
        ) -> *mut ffi::PyObject {
            run(arguments, count, $body)
        }

        static $def: Definition = Definition(ffi::PyMethodDef {
            ml_name: CStr::as_ptr($name),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: $function },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: CStr::as_ptr($doc),
        });
    };
}

/// A method definition that CPython only reads.
struct Definition(ffi::PyMethodDef);

// SAFETY: never written after it is made; its pointers are of static strings.
unsafe impl Sync for Definition {}

builtin!(start_response_entry, START_RESPONSE, c"start_response", c"Begins the answer (PEP 3333).", on_start_response);
builtin!(write_entry, WRITE_DEF, c"write", c"Sends bytes (PEP 3333).", on_write);
builtin!(early_hints_entry, EARLY_HINTS, c"early_hints", c"Sends 103 Early Hints (RFC 8297).", on_early_hints);

fn function(py: Python<'_>, definition: &'static Definition) -> PyResult<Py<PyAny>> {
    let definition: *const ffi::PyMethodDef = &definition.0;
    // SAFETY: attached; the definition is static and CPython does not write to it.
    unsafe {
        let made = ffi::PyCFunction_NewEx(definition.cast_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, made).map(Bound::unbind)
    }
}

/// A new `start_response`.
pub fn callable(py: Python<'_>) -> PyResult<Py<PyAny>> {
    function(py, &START_RESPONSE)
}

/// A new `wsgi.early_hints`.
pub fn early_hints(py: Python<'_>) -> PyResult<Py<PyAny>> {
    function(py, &EARLY_HINTS)
}

/// The thread's `write`.
struct Write(std::cell::OnceCell<Py<PyAny>>);

impl Write {
    fn get_or_make(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(write) = self.0.get() {
            return Ok(write.clone_ref(py));
        }
        let write = function(py, &WRITE_DEF)?;
        Ok(self.0.get_or_init(|| write).clone_ref(py))
    }
}

thread_local! {
    static WRITE: Write = const { Write(std::cell::OnceCell::new()) };
}
