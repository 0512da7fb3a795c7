//! Strings as the interfaces want them; WSGI's are Python `str` whose characters are bytes (PEP 3333, "Unicode issues").

use std::cell::RefCell;
use std::net::IpAddr;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A `str` with one character per byte.
pub fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: attached; pointer and length are of a live slice, which is copied. A new reference or null.
    unsafe {
        let made = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t, std::ptr::null());
        Ok(Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked())
    }
}

/// An address as text.
pub fn address_text(py: Python<'_>, address: IpAddr) -> Py<PyString> {
    thread_local! {
        /// The last one: many requests in a row come from the same client.
        static LAST: RefCell<Option<(IpAddr, Py<PyString>)>> = const { RefCell::new(None) };
    }
    let address = address.to_canonical();
    LAST.with_borrow_mut(|last| match last {
        Some((known, text)) if *known == address => text.clone_ref(py),
        _ => {
            let text = PyString::new(py, &address.to_string()).unbind();
            *last = Some((address, text.clone_ref(py)));
            text
        }
    })
}

/// The bytes of a native string: its characters must all be below 256.
pub fn bytes_of<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a [u8]> {
    let Ok(text) = value.cast::<PyString>() else {
        let kind = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        return Err(PyTypeError::new_err(format!("{what} must be str, not {kind}")));
    };
    // SAFETY: attached (the Bound proves it); a str's data does not change while it lives, and `value` keeps it alive.
    match unsafe { text.data() } {
        Ok(pyo3::types::string::PyStringData::Ucs1(bytes)) => Ok(bytes),
        _ => Err(PyValueError::new_err(format!("{what} has a character outside latin-1: {value:.200}"))),
    }
}
