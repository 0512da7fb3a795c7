//! ASGI 3.0: a request becomes a scope, the application's coroutine is driven by the worker's event loop, and its
//! messages are carried out.
//!
//! `request` builds the scope, `input` is `receive`, `answer` is `send`, for HTTP; `websocket` is both for WebSockets.
//! `exchange` holds what one scope needs, `operation` is what `receive` and `send` give, `message` reads what the
//! application sends. `event_loop` is the loop, `reactor` what it waits with, `task` begins an application, `iterate`
//! drives coroutines, `cell` guards the state behind Python's objects.

mod answer;
mod cell;
mod event_loop;
mod exchange;
mod input;
mod iterate;
mod message;
mod operation;
mod reactor;
mod request;
mod task;
mod websocket;

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use http::app::{Duplex, Evented, Scope, Severity, Socket};
use http::exchange::{Local, Request};
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub use exchange::ClientDisconnected;

use answer::Answer;
use event_loop::EventLoop;
use exchange::Exchange;
use input::Input;
use request::Kind;

/// What a worker's application is told of its server.
#[derive(Clone, Default)]
pub struct Options {
    /// The prefix under which the application is mounted.
    pub root_path: String,
    /// `auto`, `on` or `off`.
    pub lifespan: &'static str,
    /// `asyncio` or `uvloop`.
    pub event_loop: &'static str,
    /// The application is a double callable of ASGI 2.
    pub double_callable: bool,
}

/// A loaded ASGI application.
pub struct Asgi {
    application: Py<PyAny>,
    names: request::Names,
    options: Options,
    running: OnceLock<Running>,
}

/// What there is once the loop has been made.
struct Running {
    event_loop: Arc<EventLoop>,
    /// A `daemun._asgi.Server`.
    server: Py<PyAny>,
    /// Of the lifespan; copied for each request. `None`: the application has no lifespan.
    state: Option<Py<PyDict>>,
    bases: std::sync::Mutex<Vec<Base>>,
}

thread_local! {
    /// The loop of this thread, and the `daemun._asgi.Server` that made it.
    static FIRST: RefCell<Option<(Arc<EventLoop>, Py<PyAny>)>> = const { RefCell::new(None) };
}

struct Base {
    local: Arc<Local>,
    kind: Kind,
    scope: Py<PyDict>,
}

impl Asgi {
    pub fn new(py: Python<'_>, application: Py<PyAny>, options: Options) -> PyResult<Asgi> {
        task::register(py)?;
        let version = if options.double_callable { "2.0" } else { "3.0" };
        let names = request::Names::new(py, version, &options.root_path)?;
        let application = if options.double_callable {
            py.import("daemun._asgi")?.call_method1("single_callable", (application,))?.unbind()
        } else {
            application
        };
        Ok(Asgi { application, names, options, running: OnceLock::new() })
    }

    fn make(&self, py: Python<'_>, reactor: http::runtime::Reactor) -> PyResult<()> {
        let engine = reactor.engine().clone();
        let reactor = Py::new(py, reactor::Reactor::new(py, reactor))?;
        let log = {
            let engine = engine.clone();
            move |severity: Severity, line: &str| engine.log.log_lines(severity.into(), line)
        };
        let log = pyo3::types::PyCFunction::new_closure(py, None, None, move |arguments, _| -> PyResult<()> {
            let (level, text): (String, String) = arguments.extract()?;
            let severity = match level.as_str() {
                "error" => Severity::Error,
                "warning" => Severity::Warning,
                "debug" => Severity::Debug,
                _ => Severity::Info,
            };
            arguments.py().detach(|| log(severity, &text));
            Ok(())
        })?;
        let module = py.import("daemun._asgi")?;
        let asgi = self.names.asgi(py)?;
        let server = module.getattr("Server")?.call1((
            &self.application,
            &reactor,
            self.options.event_loop,
            self.options.lifespan,
            asgi,
            log,
        ))?;
        let object = server.getattr("loop")?.unbind();
        let eager = server.getattr("eager")?.is_truthy()?;
        let event_loop = Arc::new(EventLoop::new(py, object, engine, eager)?);
        server.call_method0("start")?;
        let state = server.getattr("state")?;
        let server = server.unbind();
        FIRST.set(Some((event_loop.clone(), server.clone_ref(py))));
        self.begin_running(event_loop, server, state)
    }

    /// Shares the loop of the thread's first application.
    fn share(&self, py: Python<'_>) -> PyResult<()> {
        let first = FIRST.with_borrow(|first| first.as_ref().map(|(lp, server)| (lp.clone(), server.clone_ref(py))));
        let Some((event_loop, server)) = first else {
            return Err(pyo3::exceptions::PyRuntimeError::new_err("there is no event loop to share"));
        };
        let arguments = (&self.application, self.options.lifespan, self.names.asgi(py)?);
        let state = server.bind(py).call_method1("join", arguments)?;
        self.begin_running(event_loop, server, state)
    }

    fn begin_running(&self, event_loop: Arc<EventLoop>, server: Py<PyAny>, state: Bound<'_, PyAny>) -> PyResult<()> {
        let state = if state.is_none() { None } else { Some(state.cast_into::<PyDict>()?.unbind()) };
        self.running.set(Running { event_loop, server, state, bases: std::sync::Mutex::default() }).ok();
        Ok(())
    }

    fn base(&self, py: Python<'_>, running: &Running, local: &Arc<Local>, kind: Kind) -> PyResult<Py<PyDict>> {
        let mut bases = running.bases.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(base) = bases.iter().find(|base| base.kind == kind && Arc::ptr_eq(&base.local, local)) {
            return Ok(base.scope.clone_ref(py));
        }
        let scope = request::base(py, &self.names, local, kind)?;
        bases.push(Base { local: local.clone(), kind, scope: scope.clone_ref(py) });
        Ok(scope)
    }

    fn begin_http(
        &self,
        py: Python<'_>,
        running: &Running,
        request: &mut Request,
        duplex: &Arc<Duplex>,
    ) -> PyResult<()> {
        let event_loop = &running.event_loop;
        let base = self.base(py, running, &request.local, Kind::Http)?;
        let (input, answer) = (Input::new(py, event_loop, request)?, Answer::new(request));
        let scope = request::build(py, base.bind(py), &self.names, Kind::Http, request, running.state.as_ref())?;
        let exchange = Py::new(py, Exchange::http(event_loop.clone(), duplex.clone(), input, answer))?;
        self.call(py, event_loop, scope, exchange)
    }

    fn begin_websocket(
        &self,
        py: Python<'_>,
        running: &Running,
        request: &Request,
        socket: &Arc<Socket>,
    ) -> PyResult<()> {
        let event_loop = &running.event_loop;
        let base = self.base(py, running, &request.local, Kind::WebSocket)?;
        let scope = request::build(py, base.bind(py), &self.names, Kind::WebSocket, request, running.state.as_ref())?;
        let exchange = Py::new(py, Exchange::websocket(event_loop.clone(), socket.clone()))?;
        self.call(py, event_loop, scope, exchange)
    }

    fn call(
        &self,
        py: Python<'_>,
        event_loop: &Arc<EventLoop>,
        scope: Bound<'_, PyDict>,
        exchange: Py<Exchange>,
    ) -> PyResult<()> {
        let receive = event_loop.types.receive(py, &exchange)?;
        let send = event_loop.types.send(py, &exchange)?;
        let make = || task::call_application(py, &self.application, scope.as_any(), &receive, &send);
        task::begin(py, event_loop, make, exchange)
    }
}

impl Evented for Asgi {
    fn start(&self, reactor: http::runtime::Reactor) -> Result<(), String> {
        Python::attach(|py| self.make(py, reactor).map_err(|error| crate::host::own_message(py, &error)))
    }

    fn join(&self) -> Result<(), String> {
        Python::attach(|py| self.share(py).map_err(|error| crate::host::own_message(py, &error)))
    }

    fn run(&self) {
        let Some(running) = self.running.get() else { return };
        Python::attach(|py| {
            if let Err(error) = running.server.call_method0(py, "run") {
                error.write_unraisable(py, None);
            }
        });
    }

    fn begin(&self, request: &mut Request, scope: Scope) {
        let Some(running) = self.running.get() else { return scope.abandon() };
        Python::attach(|py| {
            let begun = match &scope {
                Scope::Http(duplex) => self.begin_http(py, running, request, duplex),
                Scope::WebSocket(socket) => self.begin_websocket(py, running, request, socket),
            };
            if let Err(error) = begun {
                running.event_loop.log_error(&crate::traceback::text(py, &error));
                scope.abandon();
            }
        });
    }
}
