//! Messages of an application, read: types are checked here, what they mean elsewhere.

use http::exchange::response::BadField;
use http::exchange::{Chunk, ResponseHead};
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};

use crate::buffer::lend;

/// The dictionary that a message is.
pub fn dictionary<'a, 'py>(message: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    message.cast::<PyDict>().map_err(|_| PyTypeError::new_err(format!("a message is a dict, not {}", kind(message))))
}

/// Its `type`.
pub fn type_of<'py>(message: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyString>> {
    let value = required(message, intern!(message.py(), "type"))?;
    value
        .cast_into()
        .map_err(|error| PyTypeError::new_err(format!("a message's type is a str, not {}", kind(&error.into_inner()))))
}

/// A value that must be there.
pub fn required<'py>(message: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    message.get_item(key)?.ok_or_else(|| PyKeyError::new_err(key.to_string()))
}

/// A boolean that is `False` where it is missing.
pub fn flag(message: &Bound<'_, PyDict>, key: &Bound<'_, PyString>) -> PyResult<bool> {
    message.get_item(key)?.map_or(Ok(false), |value| value.is_truthy())
}

/// The status of an answer.
pub fn status(message: &Bound<'_, PyDict>) -> PyResult<u16> {
    let status = required(message, intern!(message.py(), "status"))?;
    let number = status
        .extract::<i64>()
        .map_err(|_| PyTypeError::new_err(format!("`status` must be int, not {}", kind(&status))))?;
    let status = u16::try_from(number).ok().filter(|status| (200..1000).contains(status));
    status.ok_or_else(|| PyValueError::new_err(format!("{number} is not the status of an answer")))
}

/// The name of a value's type.
pub fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

/// Bytes in one of the forms an application may give.
pub enum Bytes<'py> {
    Bytes(Bound<'py, PyBytes>),
    Copied(Vec<u8>),
}

impl<'py> Bytes<'py> {
    /// Reads a value; `what` is for the error.
    pub fn of(value: Bound<'py, PyAny>, what: &str) -> PyResult<Bytes<'py>> {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Ok(Bytes::Bytes(bytes.clone()));
        }
        if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
            return Ok(Bytes::Copied(value.py().get_type::<PyBytes>().call1((&value,))?.extract()?));
        }
        Err(PyTypeError::new_err(format!("{what} must be bytes, not {}", kind(&value))))
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Bytes(bytes) => bytes.as_bytes(),
            Bytes::Copied(bytes) => bytes,
        }
    }

    /// As a piece of a body, without a copy.
    pub fn into_chunk(self) -> Chunk {
        match self {
            Bytes::Bytes(bytes) => lend(&bytes),
            Bytes::Copied(bytes) => Chunk::Bytes(bytes),
        }
    }
}

/// The body of a message; `None`: it has none, which is an empty one.
pub fn body<'py>(message: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> PyResult<Option<Bytes<'py>>> {
    match message.get_item(key)? {
        None => Ok(None),
        Some(value) => Bytes::of(value, "a body").map(Some),
    }
}

/// Gives the header fields of a message to `take`, name and value.
pub fn headers(
    message: &Bound<'_, PyDict>,
    key: &Bound<'_, PyString>,
    mut take: impl FnMut(&[u8], &[u8]) -> PyResult<()>,
) -> PyResult<()> {
    let Some(headers) = message.get_item(key)? else { return Ok(()) };
    if let Ok(list) = headers.cast::<PyList>() {
        for pair in list.iter() {
            header(&pair, &mut take)?;
        }
    } else {
        for pair in headers.try_iter()? {
            header(&pair?, &mut take)?;
        }
    }
    Ok(())
}

fn header(pair: &Bound<'_, PyAny>, take: &mut impl FnMut(&[u8], &[u8]) -> PyResult<()>) -> PyResult<()> {
    let (name, value) = if let Ok(pair) = pair.cast::<PyTuple>()
        && pair.len() == 2
    {
        (pair.get_item(0)?, pair.get_item(1)?)
    } else if let Ok(pair) = pair.cast::<PyList>()
        && pair.len() == 2
    {
        (pair.get_item(0)?, pair.get_item(1)?)
    } else {
        let items: Vec<Bound<'_, PyAny>> = pair.try_iter()?.collect::<PyResult<_>>()?;
        match <[_; 2]>::try_from(items) {
            Ok([name, value]) => (name, value),
            Err(_) => return Err(PyValueError::new_err("a header is a pair of name and value")),
        }
    };
    let (name, value) = (Bytes::of(name, "a header's name")?, Bytes::of(value, "a header's value")?);
    take(name.as_slice(), value.as_slice())
}

/// Adds a field to a head.
pub fn add_field(head: &mut ResponseHead, name: &[u8], value: &[u8]) -> PyResult<()> {
    head.add(name, value.trim_ascii()).map_err(|bad| {
        let shown = String::from_utf8_lossy(name).into_owned();
        PyValueError::new_err(match bad {
            BadField::Name => format!("{shown:?} is not a header's name"),
            BadField::Value => format!("the value of header {shown:?} has a character that must not be in one"),
            BadField::Length => "Content-Length is not a number, or given twice".to_owned(),
        })
    })
}
