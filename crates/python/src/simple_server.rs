//! The in-process server behind `daemun.simple_server`: the engine, inline, on the calling thread.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conf::{At, Directive};
use http::app::{App, Blocking};
use http::config::Config;
use http::conn::{self, accept};
use http::engine::{Engine, Front, Parts};
use http::exchange::Local;
use http::log::error::Level;
use http::log::{AccessLog, ErrorLog, Format};
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
        if let Some(access) = &engine.access {
            access.flush();
        }
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
        let set = |name: &str, value: &str| Directive::new(name, At::Default).arg(value);
        let app = Directive::new("location", At::Default).arg("/").block([set("python_pass", "app")]);
        let (connections, keepalive) = if once { ("1", "0") } else { ("512", "5s") };
        let server = [
            set("client_max_body_size", "0"),
            set("keepalive_timeout", keepalive),
            set("worker_connections", connections),
            app,
        ];
        let server = Directive::new("server", At::Default).block(server);
        let config = Config::build(&[Directive::new("http", At::Default).block([server])]);
        let config = config
            .map_err(|problems| PyValueError::new_err(problems.iter().map(ToString::to_string).collect::<String>()))?;
        let format = Format::parse(r#"%(h)s - - %(t)s "%(r)s" %(s)s %(B)s"#).map_err(PyValueError::new_err)?;
        // No standard error, no log: not a reason to refuse to serve.
        let access = if self.log { AccessLog::open("/dev/stderr", format).ok() } else { None };
        let engine = Engine::new(Parts {
            config: Arc::new(config),
            apps: vec![App::Blocking(self.app.clone())],
            // One small row for each `serve`; a program calls it once, or some times in a test.
            slots: Box::leak(Box::new([Slot::new()])),
            index: 0,
            log: Arc::new(ErrorLog::stderr(Level::Warning)),
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
            let local = Local { name: self.address.ip().to_string(), port: self.address.port().to_string() };
            conn::start(engine, vec![(listener, Arc::new(local))]);
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
