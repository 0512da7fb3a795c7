//! What applications see of TLS: in the environ Apache's names for it (PEP 3333, "environ Variables", recommends them),
//! in the scope the extension `tls` (ASGI, "TLS Extension"). Only requests of connections that are encrypted come here.

use std::cell::RefCell;
use std::sync::Arc;

use http::exchange::TlsInfo;
use http::features::ssl::client;
use http::tls::pem;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// What was made for a connection.
struct Made {
    of: Arc<TlsInfo>,
    what: Py<PyDict>,
}

thread_local! {
    /// The last one's: requests in a row often come over the same connection.
    static ENVIRON: RefCell<Option<Made>> = const { RefCell::new(None) };
    static EXTENSION: RefCell<Option<Made>> = const { RefCell::new(None) };
}

/// Makes it, unless it was made for the request before.
fn once<'py>(
    py: Python<'py>,
    last: &RefCell<Option<Made>>,
    info: &Arc<TlsInfo>,
    make: fn(Python<'py>, &TlsInfo) -> PyResult<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    if let Some(made) = last.borrow().as_ref().filter(|made| Arc::ptr_eq(&made.of, info)) {
        return Ok(made.what.bind(py).clone());
    }
    let made = make(py, info)?;
    let before = last.replace(Some(Made { of: info.clone(), what: made.clone().unbind() }));
    drop(before);
    Ok(made)
}

/// Adds the connection's keys to an environ.
pub fn tell_environ(py: Python<'_>, environ: &Bound<'_, PyDict>, info: &Arc<TlsInfo>) -> PyResult<()> {
    let keys = ENVIRON.with(|last| once(py, last, info, keys))?;
    environ.update(keys.as_mapping())
}

/// The extension for a scope, which is the scope's own.
pub fn extension<'py>(py: Python<'py>, info: &Arc<TlsInfo>) -> PyResult<Bound<'py, PyDict>> {
    EXTENSION.with(|last| once(py, last, info, facts))?.copy()
}

fn keys<'py>(py: Python<'py>, info: &TlsInfo) -> PyResult<Bound<'py, PyDict>> {
    let keys = PyDict::new(py);
    keys.set_item(intern!(py, "HTTPS"), intern!(py, "on"))?;
    keys.set_item(intern!(py, "SSL_PROTOCOL"), PyString::intern(py, info.protocol))?;
    keys.set_item(intern!(py, "SSL_CIPHER"), PyString::intern(py, info.cipher))?;
    if let Some(name) = &info.server_name {
        keys.set_item(intern!(py, "SSL_TLS_SNI"), &**name)?;
    }
    let verify = if info.client_verify.is_empty() { "NONE" } else { &info.client_verify };
    keys.set_item(intern!(py, "SSL_CLIENT_VERIFY"), verify)?;
    let Some((own, rest)) = info.client_chain.split_first() else { return Ok(keys) };
    keys.set_item(intern!(py, "SSL_CLIENT_CERT"), certificate(own))?;
    for (index, der) in rest.iter().enumerate() {
        keys.set_item(format!("SSL_CLIENT_CERT_CHAIN_{index}"), certificate(der))?;
    }
    // Who only looks at the name takes it for checked: one that is not is left out.
    if verify == "SUCCESS"
        && let Some(client) = client::of(info)
    {
        keys.set_item(intern!(py, "SSL_CLIENT_S_DN"), &*client.subject)?;
        keys.set_item(intern!(py, "SSL_CLIENT_I_DN"), &*client.issuer)?;
        keys.set_item(intern!(py, "SSL_CLIENT_M_SERIAL"), &*client.serial)?;
        keys.set_item(intern!(py, "SSL_CLIENT_V_START"), &*client.not_before)?;
        keys.set_item(intern!(py, "SSL_CLIENT_V_END"), &*client.not_after)?;
    }
    Ok(keys)
}

fn facts<'py>(py: Python<'py>, info: &TlsInfo) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item(intern!(py, "server_cert"), info.own_certificate.as_deref())?;
    let chain: Vec<String> = info.client_chain.iter().map(|der| certificate(der)).collect();
    facts.set_item(intern!(py, "client_cert_chain"), PyTuple::new(py, chain)?)?;
    facts.set_item(intern!(py, "client_cert_name"), client::of(info).map(|client| client.subject))?;
    facts.set_item(intern!(py, "client_cert_error"), info.client_verify.strip_prefix("FAILED:"))?;
    let number = |number: u16| Some(number).filter(|number| *number != 0);
    facts.set_item(intern!(py, "tls_version"), number(info.version))?;
    facts.set_item(intern!(py, "cipher_suite"), number(info.cipher_suite))?;
    Ok(facts)
}

/// A certificate in PEM.
fn certificate(der: &[u8]) -> String {
    let mut out = Vec::with_capacity(der.len() * 3 / 2 + 64);
    pem::write("CERTIFICATE", der, &mut out);
    String::from_utf8(out).unwrap_or_default()
}
