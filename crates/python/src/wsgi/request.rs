//! The environ (PEP 3333, "environ Variables"): a copy of a base dictionary with the request's own keys.

use std::sync::Arc;

use http::exchange::{Local, Peer, Request, RequestBody, Seen};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use wire::h1::{Form, Framing, Known, Method, Version};

use super::{FileWrapper, Input, Options, start_response};
use crate::text::{address_text, latin1};
use crate::tls;

/// Strings that are used again and again, made once.
pub struct Names {
    /// `HTTP_*` of each known field.
    fields: Vec<Py<PyString>>,
    get: Py<PyString>,
    http10: Py<PyString>,
    http11: Py<PyString>,
    http2: Py<PyString>,
    slash: Py<PyString>,
    empty: Py<PyString>,
    no_input: Py<Input>,
    /// `$SCRIPT_NAME`, as Gunicorn takes it: the prefix under which the application is mounted.
    script_name: String,
}

impl Names {
    pub fn new(py: Python<'_>) -> PyResult<Names> {
        let text = |text: &str| PyString::intern(py, text).unbind();
        let fields = Known::ALL.iter().map(|known| text(&key(known.name().as_bytes()))).collect();
        Ok(Names {
            fields,
            get: text("GET"),
            http10: text("HTTP/1.0"),
            http11: text("HTTP/1.1"),
            http2: text("HTTP/2.0"),
            slash: text("/"),
            empty: text(""),
            no_input: Py::new(py, Input::empty(py))?,
            script_name: script_name(),
        })
    }
}

/// The prefix under which the application is mounted; empty for none.
fn script_name() -> String {
    let name = std::env::var("SCRIPT_NAME").unwrap_or_default();
    name.trim_end_matches('/').to_owned()
}

/// `HTTP_X_Y` for `x-y`.
fn key(name: &[u8]) -> String {
    let mut key = String::with_capacity(5 + name.len());
    key.push_str("HTTP_");
    key.extend(name.iter().map(|&b| if b == b'-' { '_' } else { b.to_ascii_uppercase() as char }));
    key
}

/// What is the same for every request of one thread on one listener.
pub fn base(py: Python<'_>, local: &Arc<Local>, options: &Options) -> PyResult<Py<PyDict>> {
    let base = PyDict::new(py);
    base.set_item("wsgi.version", (1, 0))?;
    base.set_item("wsgi.url_scheme", "http")?;
    base.set_item("wsgi.errors", errors(py, options)?)?;
    base.set_item("wsgi.multithread", options.multithread)?;
    base.set_item("wsgi.multiprocess", options.multiprocess)?;
    base.set_item("wsgi.run_once", false)?;
    base.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
    base.set_item("wsgi.input_terminated", true)?;
    base.set_item("wsgi.early_hints", start_response::early_hints(py)?)?;
    base.set_item("SERVER_SOFTWARE", concat!("daemun/", env!("CARGO_PKG_VERSION")))?;
    base.set_item("SERVER_NAME", &local.name)?;
    base.set_item("SERVER_PORT", &local.port)?;
    base.set_item("SCRIPT_NAME", script_name())?;
    // Every request sets these. Being here already, they make the copies large enough not to grow.
    for key in
        ["REQUEST_METHOD", "RAW_URI", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "REMOTE_ADDR"]
    {
        base.set_item(PyString::intern(py, key), "")?;
    }
    base.set_item(PyString::intern(py, "wsgi.input"), py.None())?;
    if !local.port.is_empty() {
        base.set_item(PyString::intern(py, "REMOTE_PORT"), "")?;
    }
    Ok(base.unbind())
}

/// The decoded path below a prefix; a path that is elsewhere stays whole.
fn below<'py>(py: Python<'py>, path: &[u8], prefix: &str) -> PyResult<Bound<'py, PyString>> {
    let mut decoded = Vec::with_capacity(path.len());
    wire::uri::percent_decode(path, &mut decoded);
    latin1(py, under(&decoded, prefix).unwrap_or(&decoded))
}

/// What of a path follows a prefix that ends where a segment does.
fn under<'p>(path: &'p [u8], prefix: &str) -> Option<&'p [u8]> {
    path.strip_prefix(prefix.as_bytes()).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// `wsgi.errors`: text, written line by line.
fn errors<'py>(py: Python<'py>, options: &Options) -> PyResult<Bound<'py, PyAny>> {
    let Some(fd) = options.errors else { return py.import("sys")?.getattr("stderr") };
    let keywords = PyDict::new(py);
    keywords.set_item("buffering", 1)?;
    keywords.set_item("encoding", "utf-8")?;
    keywords.set_item("errors", "backslashreplace")?;
    keywords.set_item("closefd", false)?;
    py.import("builtins")?.getattr("open")?.call((fd, "w"), Some(&keywords))
}

/// The environ of one request.
pub fn build<'py>(
    py: Python<'py>,
    base: &Bound<'py, PyDict>,
    names: &Names,
    request: &mut Request,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = base.copy()?;
    let head = &request.head;
    let buf = &request.buf[..];
    match request.current_method() {
        Method::Get => environ.set_item(intern!(py, "REQUEST_METHOD"), &names.get)?,
        _ => environ.set_item(intern!(py, "REQUEST_METHOD"), latin1(py, request.method())?)?,
    }
    let target = head.target.of(buf);
    let raw_uri = if target == b"/" { names.slash.bind(py).clone() } else { latin1(py, target)? };
    environ.set_item(intern!(py, "RAW_URI"), &raw_uri)?;
    environ.set_item(intern!(py, "REQUEST_URI"), raw_uri)?;
    let path = head.path.of(buf);
    let seen = request.route.seen.as_deref();
    let path = match head.form {
        _ if seen.is_some() => seen_path(py, &environ, names, seen)?,
        Form::Asterisk => names.empty.bind(py).clone(),
        _ if !names.script_name.is_empty() => below(py, path, &names.script_name)?,
        _ if path.is_empty() || path == b"/" => names.slash.bind(py).clone(),
        _ if path.contains(&b'%') => {
            let mut decoded = Vec::with_capacity(path.len());
            wire::uri::percent_decode(path, &mut decoded);
            latin1(py, &decoded)?
        }
        _ => latin1(py, path)?,
    };
    environ.set_item(intern!(py, "PATH_INFO"), path)?;
    let query = match request.query() {
        Some(query) if !query.is_empty() => latin1(py, query)?,
        _ => names.empty.bind(py).clone(),
    };
    environ.set_item(intern!(py, "QUERY_STRING"), query)?;
    let protocol = match head.version {
        Version::Http10 => &names.http10,
        Version::Http11 => &names.http11,
        Version::Http2 => &names.http2,
    };
    environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
    if !request.trailers.is_empty() {
        // PEP 3333 has no place for them.
        let text = |(name, value): &(Vec<u8>, Vec<u8>)| Ok((latin1(py, name)?, latin1(py, value)?));
        let trailers = request.trailers.iter().map(text).collect::<PyResult<Vec<_>>>()?;
        environ.set_item(intern!(py, "daemun.trailers"), trailers)?;
    }
    if request.secure {
        environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
    }
    if let Some(info) = &request.tls {
        tls::tell_environ(py, &environ, info)?;
    }
    client(py, &environ, request.peer)?;
    fields(py, &environ, names, request)?;
    body(py, &environ, names, request)?;
    Ok(environ)
}

/// The path as the configuration has it; tells of mount and server on the way.
fn seen_path<'py>(
    py: Python<'py>,
    environ: &Bound<'py, PyDict>,
    names: &Names,
    seen: Option<&Seen>,
) -> PyResult<Bound<'py, PyString>> {
    let Some(seen) = seen else { return Ok(names.empty.bind(py).clone()) };
    if let Some((name, port)) = &seen.server {
        environ.set_item(intern!(py, "SERVER_NAME"), name)?;
        environ.set_item(intern!(py, "SERVER_PORT"), port)?;
    }
    let root = seen.root();
    if root.is_empty() {
        return match under(&seen.path, &names.script_name) {
            Some(rest) if !names.script_name.is_empty() => latin1(py, rest),
            _ if seen.path == b"/" => Ok(names.slash.bind(py).clone()),
            _ => latin1(py, &seen.path),
        };
    }
    environ.set_item(intern!(py, "SCRIPT_NAME"), latin1(py, root.as_bytes())?)?;
    latin1(py, seen.below())
}

fn client(py: Python<'_>, environ: &Bound<'_, PyDict>, peer: Peer) -> PyResult<()> {
    let Peer::Inet(address) = peer else {
        environ.set_item(intern!(py, "REMOTE_ADDR"), "")?;
        return Ok(());
    };
    environ.set_item(intern!(py, "REMOTE_ADDR"), address_text(py, address.ip()))?;
    environ.set_item(intern!(py, "REMOTE_PORT"), PyString::new(py, itoa::Buffer::new().format(address.port())))
}

/// The request's fields as `HTTP_*`. Names with an underscore are left out: they could pass for another name.
fn fields(py: Python<'_>, environ: &Bound<'_, PyDict>, names: &Names, request: &Request) -> PyResult<()> {
    let buf = &request.buf[..];
    // Known names that were set: only a second one has to be looked up.
    let mut seen = 0u128;
    for field in &request.head.fields {
        let value = field.value.of(buf);
        let name = match field.known {
            Known::ContentType => {
                environ.set_item(intern!(py, "CONTENT_TYPE"), latin1(py, value)?)?;
                continue;
            }
            // `body` tells the length; the coding is taken off already.
            Known::ContentLength | Known::TransferEncoding => continue,
            Known::Other => {
                let name = field.name.of(buf);
                if name.contains(&b'_') {
                    continue;
                }
                PyString::new(py, &key(name))
            }
            Known::Host if request.host.is_some() => {
                let host = latin1(py, request.host.as_deref().unwrap_or_default())?;
                environ.set_item(names.fields[Known::Host as usize].bind(py), host)?;
                continue;
            }
            // RFC 9112 section 3.2.2: an absolute target's authority stands in for the field.
            Known::Host if request.head.form == Form::Absolute => {
                let authority = latin1(py, request.head.authority.of(buf))?;
                environ.set_item(names.fields[Known::Host as usize].bind(py), authority)?;
                continue;
            }
            known => names.fields[known as usize].bind(py).clone(),
        };
        let value = latin1(py, value)?;
        let bit = 1u128.checked_shl(field.known as u32).filter(|_| field.known != Known::Other).unwrap_or(0);
        let first = bit != 0 && seen & bit == 0;
        seen |= bit;
        match if first { None } else { environ.get_item(&name)? } {
            None => environ.set_item(name, value)?,
            Some(before) => {
                // RFC 9110 section 5.3; cookies have a list form of their own (RFC 6265 section 5.4).
                let separator = if field.known == Known::Cookie { "; " } else { "," };
                environ.set_item(name, format!("{before}{separator}{value}"))?;
            }
        }
    }
    Ok(())
}

fn body(py: Python<'_>, environ: &Bound<'_, PyDict>, names: &Names, request: &mut Request) -> PyResult<()> {
    let announced = request.head.framing;
    let length = match (&request.body, announced) {
        (RequestBody::Empty, Framing::None) => None,
        (RequestBody::Stream(_), Framing::Length(length)) => Some(length),
        _ => request.body_len(),
    };
    if let Some(length) = length {
        environ.set_item(intern!(py, "CONTENT_LENGTH"), itoa::Buffer::new().format(length))?;
    }
    let input = match std::mem::take(&mut request.body) {
        RequestBody::Empty => names.no_input.clone_ref(py),
        RequestBody::Inline(span) => Py::new(py, Input::memory(PyBytes::new(py, span.of(&request.buf)).unbind()))?,
        RequestBody::Memory(bytes) => Py::new(py, Input::memory(PyBytes::new(py, &bytes).unbind()))?,
        RequestBody::File { file, len } => Py::new(py, Input::file(file, len))?,
        RequestBody::Stream(stream) => Py::new(py, Input::stream(stream))?,
    };
    environ.set_item(intern!(py, "wsgi.input"), input)
}

/// Values of environ keys for the access log.
pub fn logged(py: Python<'_>, environ: &Bound<'_, PyDict>, keys: &[String]) -> Vec<Option<String>> {
    let value = |key: &String| environ.get_item(PyString::new(py, key)).ok().flatten().map(|value| value.to_string());
    keys.iter().map(value).collect()
}
