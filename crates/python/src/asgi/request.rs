//! The scope of a request (ASGI HTTP and WebSocket specifications, "Connection Scope"): a copy of a base dictionary
//! with the request's own keys.

use std::sync::Arc;

use http::exchange::{Local, Peer, Request};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use wire::h1::{Form, Known, Version};

use crate::text::{address_text, latin1};
use crate::tls;

/// Objects that are used again and again, made once.
pub struct Names {
    /// The name of each known field.
    fields: Vec<Py<PyBytes>>,
    get: Py<PyString>,
    http10: Py<PyString>,
    http11: Py<PyString>,
    http2: Py<PyString>,
    slash: Py<PyString>,
    slash_bytes: Py<PyBytes>,
    empty_bytes: Py<PyBytes>,
    asgi: Py<PyDict>,
    http_extensions: Py<PyDict>,
    websocket_extensions: Py<PyDict>,
    root_path: String,
}

/// The version of the specifications that the scopes follow.
const SPEC_VERSION: &str = "2.5";

/// What HTTP scopes offer beyond the specification.
const HTTP_EXTENSIONS: [&str; 5] = [
    "http.response.trailers",
    "http.response.pathsend",
    "http.response.zerocopysend",
    "http.response.early_hint",
    "http.response.debug",
];

impl Names {
    /// `version`: of the interface that the application speaks, "2.0" or "3.0".
    pub fn new(py: Python<'_>, version: &str, root_path: &str) -> PyResult<Names> {
        let text = |text: &str| PyString::intern(py, text).unbind();
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes).unbind();
        let asgi = PyDict::new(py);
        asgi.set_item("version", version)?;
        asgi.set_item("spec_version", SPEC_VERSION)?;
        let http_extensions = PyDict::new(py);
        for name in HTTP_EXTENSIONS {
            http_extensions.set_item(name, PyDict::new(py))?;
        }
        let websocket_extensions = PyDict::new(py);
        websocket_extensions.set_item("websocket.http.response", PyDict::new(py))?;
        Ok(Names {
            fields: Known::ALL.iter().map(|known| bytes(known.name().as_bytes())).collect(),
            get: text("GET"),
            http10: text("1.0"),
            http11: text("1.1"),
            http2: text("2"),
            slash: text("/"),
            slash_bytes: bytes(b"/"),
            empty_bytes: bytes(b""),
            asgi: asgi.unbind(),
            http_extensions: http_extensions.unbind(),
            websocket_extensions: websocket_extensions.unbind(),
            root_path: root_path.trim_end_matches('/').to_owned(),
        })
    }

    /// The `asgi` key of a scope.
    pub fn asgi<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.asgi.bind(py).copy()
    }
}

/// Which kind of scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Http,
    WebSocket,
}

/// What is the same for all requests of a kind on one listener.
pub fn base(py: Python<'_>, names: &Names, local: &Arc<Local>, kind: Kind) -> PyResult<Py<PyDict>> {
    let base = PyDict::new(py);
    base.set_item("type", if kind == Kind::Http { "http" } else { "websocket" })?;
    base.set_item("asgi", &names.asgi)?;
    base.set_item("http_version", &names.http11)?;
    match local.port.parse::<u16>() {
        Ok(port) => base.set_item("server", (&local.name, port))?,
        Err(_) => base.set_item("server", (&local.name, py.None()))?,
    }
    base.set_item("client", py.None())?;
    base.set_item("scheme", if kind == Kind::Http { "http" } else { "ws" })?;
    if kind == Kind::Http {
        base.set_item("method", &names.get)?;
    }
    base.set_item("root_path", &names.root_path)?;
    for key in ["path", "raw_path", "query_string", "headers", "extensions"] {
        base.set_item(PyString::intern(py, key), py.None())?;
    }
    Ok(base.unbind())
}

/// The scope of one request. `state`: of the lifespan, if the application has one.
pub fn build<'py>(
    py: Python<'py>,
    base: &Bound<'py, PyDict>,
    names: &Names,
    kind: Kind,
    request: &Request,
    state: Option<&Py<PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let scope = base.copy()?;
    let head = &request.head;
    let buf = &request.buf[..];
    let extensions = if kind == Kind::Http { &names.http_extensions } else { &names.websocket_extensions };
    let extensions = extensions.bind(py).copy()?;
    if head.version == Version::Http10 {
        scope.set_item(intern!(py, "http_version"), &names.http10)?;
        if kind == Kind::Http {
            // There are neither chunks nor interim answers in HTTP/1.0.
            for name in ["http.response.trailers", "http.response.early_hint"] {
                extensions.del_item(name)?;
            }
        }
    }
    if let Some(info) = &request.tls {
        extensions.set_item(intern!(py, "tls"), tls::extension(py, info)?)?;
    }
    if head.version == Version::Http2 {
        scope.set_item(intern!(py, "http_version"), &names.http2)?;
    }
    scope.set_item(intern!(py, "extensions"), extensions)?;
    let method = request.method();
    if kind == Kind::Http && method != b"GET" {
        scope.set_item(intern!(py, "method"), latin1(py, &method.to_ascii_uppercase())?)?;
    }
    let path = head.path.of(buf);
    let (path, raw_path) = match head.form {
        _ if request.route.seen.is_some() => seen_path(py, &scope, names, request)?,
        _ if !names.root_path.is_empty() => below_root(py, &names.root_path, path)?,
        Form::Asterisk => (PyString::new(py, "*"), PyBytes::new(py, b"*")),
        _ if path.is_empty() || path == b"/" => (names.slash.bind(py).clone(), names.slash_bytes.bind(py).clone()),
        _ => (decoded(py, path)?, PyBytes::new(py, path)),
    };
    scope.set_item(intern!(py, "path"), path)?;
    scope.set_item(intern!(py, "raw_path"), raw_path)?;
    match request.query() {
        Some(query) if !query.is_empty() => {
            scope.set_item(intern!(py, "query_string"), PyBytes::new(py, query))?;
        }
        _ => scope.set_item(intern!(py, "query_string"), &names.empty_bytes)?,
    }
    if let Peer::Inet(address) = request.peer {
        scope.set_item(intern!(py, "client"), (address_text(py, address.ip()), address.port()))?;
    }
    if request.secure {
        let scheme = if kind == Kind::Http { intern!(py, "https") } else { intern!(py, "wss") };
        scope.set_item(intern!(py, "scheme"), scheme)?;
    }
    scope.set_item(intern!(py, "headers"), headers(py, names, request)?)?;
    if kind == Kind::WebSocket {
        let fields = head.fields.iter().filter(|field| field.known == Known::SecWebSocketProtocol);
        let protocols = fields.flat_map(|field| field.value.of(buf).split(|&byte| byte == b','));
        let protocols: Vec<_> = protocols
            .map(<[u8]>::trim_ascii)
            .filter(|protocol| !protocol.is_empty())
            .map(|protocol| latin1(py, protocol))
            .collect::<PyResult<_>>()?;
        scope.set_item(intern!(py, "subprotocols"), protocols)?;
    }
    if let Some(state) = state {
        scope.set_item(intern!(py, "state"), state.bind(py).copy()?)?;
    }
    Ok(scope)
}

/// The percent-decoded path as text; what is not UTF-8 is replaced.
fn decoded<'py>(py: Python<'py>, path: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if path.is_ascii() && !path.contains(&b'%') {
        return latin1(py, path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    wire::uri::percent_decode(path, &mut bytes);
    Ok(PyString::new(py, &String::from_utf8_lossy(&bytes)))
}

/// With a `root_path`, `path` is the full path: the root path in front, whether or not a proxy has taken it off.
fn below_root<'py>(py: Python<'py>, root: &str, path: &[u8]) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyBytes>)> {
    let rest = path.strip_prefix(root.as_bytes());
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
        return Ok((decoded(py, path)?, PyBytes::new(py, path)));
    }
    let full = [root.as_bytes(), path].concat();
    Ok((decoded(py, &full)?, PyBytes::new(py, &full)))
}

/// The path as the configuration has it, decoded and spelled; tells of mount and server on the way.
fn seen_path<'py>(
    py: Python<'py>,
    scope: &Bound<'py, PyDict>,
    names: &Names,
    request: &Request,
) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyBytes>)> {
    let Some(seen) = request.route.seen.as_deref() else {
        return Ok((names.slash.bind(py).clone(), names.slash_bytes.bind(py).clone()));
    };
    if let Some((name, port)) = &seen.server {
        match port.parse::<u16>() {
            Ok(port) => scope.set_item(intern!(py, "server"), (name, port))?,
            Err(_) => scope.set_item(intern!(py, "server"), (name, py.None()))?,
        }
    }
    let root = seen.root();
    if !root.is_empty() {
        scope.set_item(intern!(py, "root_path"), &root)?;
    }
    if request.head.form == Form::Asterisk && !request.route.rewritten {
        return Ok((PyString::new(py, "*"), PyBytes::new(py, b"*")));
    }
    let mut raw = request.head.path.of(&request.buf).to_vec();
    if !seen.as_sent || raw.is_empty() {
        raw.clear();
        wire::uri::escape_path(&seen.path, &mut raw);
    }
    if root.is_empty() {
        return match names.root_path.as_str() {
            "" => Ok((text(py, &seen.path), PyBytes::new(py, &raw))),
            root => below_root(py, root, &raw),
        };
    }
    Ok((text(py, &seen.full(&seen.path)), PyBytes::new(py, &seen.full(&raw))))
}

/// Decoded bytes as text; what is not UTF-8 is replaced.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    PyString::new(py, &String::from_utf8_lossy(bytes))
}

/// Pairs of bytes, names in lower case, in their order.
fn headers<'py>(py: Python<'py>, names: &Names, request: &Request) -> PyResult<Bound<'py, PyList>> {
    let buf = &request.buf[..];
    let list = PyList::empty(py);
    for field in &request.head.fields {
        let value = match field.known {
            Known::Host if request.host.is_some() => request.host.as_deref().unwrap_or_default(),
            // RFC 9112 section 3.2.2: an absolute target's authority stands in for the field.
            Known::Host if request.head.form == Form::Absolute => request.head.authority.of(buf),
            _ => field.value.of(buf),
        };
        let value = PyBytes::new(py, value);
        let pair = match field.known {
            Known::Other => {
                let name = field.name.of(buf).to_ascii_lowercase();
                PyTuple::new(py, [PyBytes::new(py, &name), value])?
            }
            known => PyTuple::new(py, [names.fields[known as usize].bind(py).clone(), value])?,
        };
        list.append(pair)?;
    }
    Ok(list)
}
