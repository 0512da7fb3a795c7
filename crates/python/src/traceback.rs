//! Exceptions as text for the log.

use pyo3::prelude::*;
use pyo3::types::PyList;

/// The traceback as Python prints it; never fails.
pub fn text(py: Python<'_>, error: &PyErr) -> String {
    let formatted = || -> PyResult<String> {
        let lines = py
            .import("traceback")?
            .call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))?;
        Ok(lines.cast::<PyList>()?.iter().map(|line| line.to_string()).collect())
    };
    let mut text = formatted().unwrap_or_else(|_| error.to_string());
    text.truncate(text.trim_end().len());
    text
}
