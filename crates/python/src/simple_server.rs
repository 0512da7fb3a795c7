//! The in-process server behind `daemun.simple_server`: the engine, inline, on the calling thread.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conf::{At, Directive};
use http::app::{App, Blocking};
use http::config::{Config, Place};
use http::conn;
use http::conn::accept::{self, Locals};
use http::engine::{Engine, Front, Parts};
use http::exchange::Local;
use http::log::error::Level;
use http::log::{AccessLogs, ErrorLog};
use http::slots::Slot;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::wsgi::{Options, Wsgi};

/// No signal asks this server to drain.
static NEVER: AtomicBool = AtomicBool::new(false);
/// How often Python's signal handlers get their turn while the server waits.
const SIGNALS: Duration = Duration::from_millis(100);

#[pyclass(module = "daemun._daemun", name = "SimpleServer")]
pub struct SimpleServer {
    listener: Mutex<Option<TcpListener>>,
    address: SocketAddr,
    app: Arc<dyn Blocking>,
    log: bool,
    stop: AtomicBool,
}

#[pymethods]
impl SimpleServer {
    #[new]
    fn new(py: Python<'_>, host: &str, port: u16, app: Py<PyAny>, log: bool) -> PyResult<Self> {
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        let listener = bind(host, port).map_err(|error| {
            let why = format!("cannot listen on {host}:{port}: {error}");
            match error.raw_os_error() {
                Some(number) => PyOSError::new_err((number, why)),
                None => PyOSError::new_err(why),
            }
        })?;
        let address = listener.local_addr()?;
        let app = Arc::new(Wsgi::new(py, app, Options { sendfile: true, ..Options::default() })?);
        Ok(SimpleServer { listener: Mutex::new(Some(listener)), address, app, log, stop: AtomicBool::new(false) })
    }

    /// `(host, port)` as bound.
    #[getter]
    fn address(&self) -> (String, u16) {
        (self.address.ip().to_string(), self.address.port())
    }

    /// Serves until `stop` is called, or one request if `once`.
    fn serve(&self, py: Python<'_>, once: bool) -> PyResult<()> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = listener.as_ref().ok_or_else(|| PyValueError::new_err("the server is closed"))?.try_clone()?;
        let engine = self.engine(once)?;
        let served = py.detach(|| self.run(&engine, listener, once));
        self.stop.store(false, Ordering::Relaxed);
        engine.access.flush();
        served
    }

    /// Ends `serve`; may be called from any thread.
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops listening.
    fn close(&self) {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl SimpleServer {
    fn engine(&self, once: bool) -> PyResult<Arc<Engine>> {
        let plain = |name: &str| Directive::new(name, At::Default);
        let set = |name: &str, value: &str| plain(name).arg(value);
        let app = plain("location").arg("/").block([set("python_pass", "app")]);
        let (connections, keepalive) = if once { ("1", "0") } else { ("512", "5s") };
        let mut server = vec![
            set("client_max_body_size", "0"),
            set("keepalive_timeout", keepalive),
            set("python_accel", "off"),
            app,
        ];
        let format = set("log_format", "simple").arg("style=gunicorn").arg(r#"%(h)s - - %(t)s "%(r)s" %(s)s %(B)s"#);
        // No standard error, no log: not a reason to refuse to serve.
        if self.log && std::fs::OpenOptions::new().append(true).open("/dev/stderr").is_ok() {
            server.push(set("access_log", "/dev/stderr").arg("simple").arg("buffer=32k").arg("flush=250ms"));
        }
        let tree = [
            set("defaults", "modern"),
            plain("events").block([set("worker_connections", connections)]),
            plain("http").block([format, plain("server").block(server)]),
        ];
        let config = Config::build(&tree, &Place::default())
            .map_err(|problems| PyValueError::new_err(problems.iter().map(ToString::to_string).collect::<String>()))?
            .config;
        let access = AccessLogs::open(&config, PathBuf::new()).map_err(PyValueError::new_err)?;
        let engine = Engine::new(Parts {
            config: Arc::new(config),
            apps: vec![App::Blocking(self.app.clone())],
            // One small row for each `serve`; a program calls it once, or some times in a test.
            slots: Box::leak(Box::new([Slot::new()])),
            index: 0,
            log: Arc::new(ErrorLog::stderr(Level::Warning)),
            error_logs: Vec::new(),
            access,
            front: Front::Inline,
            max_requests: u64::from(once),
            told_to_drain: &NEVER,
        })?;
        Ok(engine)
    }

    /// Drives the engine on this thread, which is not attached to the interpreter.
    fn run(&self, engine: &Arc<Engine>, listener: TcpListener, once: bool) -> PyResult<()> {
        let runtime = http::runtime::build()?;
        runtime.block_on(async {
            listener.set_nonblocking(true)?;
            let listener = accept::Listener::Tcp(tokio::net::TcpListener::from_std(listener)?);
            let (name, port) = (self.address.ip().to_string(), self.address.port().to_string());
            let local = Local { name, port, listen: 0, wildcard: false };
            conn::start(engine, vec![(listener, Locals::one(local))]);
            while !self.stop.load(Ordering::Relaxed) {
                if once && engine.is_drained() {
                    break;
                }
                let _ = tokio::time::timeout(if once { SIGNALS / 10 } else { SIGNALS }, engine.changed()).await;
                Python::attach(|py| py.check_signals())?;
            }
            Ok(())
        })
    }
}

fn bind(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut last = std::io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}
