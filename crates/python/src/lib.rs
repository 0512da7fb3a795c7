//! Python: the extension module of the wheel, and the only crate that names the interpreter.
//!
//! `host` is what the process needs of its interpreter; `wsgi` and `asgi` are the interfaces between a request and an
//! application; `simple_server` is the in-process server behind `daemun.simple_server`. `traceback` turns exceptions
//! into text, `text` bytes into strings, `tls` what is known of a connection into Python's, `buffer` lends Python's bytes to the socket, `allocator` serves small aligned
//! blocks.

mod allocator;
mod asgi;
mod buffer;
mod host;
mod simple_server;
mod text;
mod tls;
mod traceback;
mod wsgi;

use std::ffi::OsString;

use pyo3::prelude::*;

#[global_allocator]
static MEMORY: allocator::Slabs = allocator::Slabs::new();

/// Runs the program; gives its exit code.
#[pyfunction]
fn run(py: Python<'_>, argv: Vec<OsString>) -> PyResult<i32> {
    Ok(py.detach(|| daemun::run(argv, &host::CPython)))
}

#[pymodule]
fn _daemun(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", daemun::VERSION)?;
    module.add_function(wrap_pyfunction!(run, module)?)?;
    module.add("ClientDisconnected", module.py().get_type::<asgi::ClientDisconnected>())?;
    module.add_class::<simple_server::SimpleServer>()?;
    module.add_class::<wsgi::FileWrapper>()?;
    module.add_class::<wsgi::Input>()?;
    Ok(())
}
