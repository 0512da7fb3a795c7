//! The reactor as Python sees it: the rest of the selector is `daemun._asgi.Selector`.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::time::Duration;

use http::app::inbox::Item;
use http::handlers::app::evented;
use http::runtime::Reactor as Engine;
use http::sys::epoll::{READABLE, Ready, WRITABLE};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// `selectors.EVENT_READ` and `EVENT_WRITE`.
const EVENT_READ: u32 = 1;
const EVENT_WRITE: u32 = 2;

#[pyclass(unsendable, module = "daemun._daemun")]
pub struct Reactor {
    engine: Engine,
    /// Descriptor → `SelectorKey`.
    keys: Py<PyDict>,
    buffers: RefCell<(Vec<Ready>, Vec<Item>)>,
    /// Called once when the worker is done.
    on_end: RefCell<Option<Py<PyAny>>>,
}

impl Reactor {
    pub fn new(py: Python<'_>, engine: Engine) -> Reactor {
        Reactor { engine, keys: PyDict::new(py).unbind(), buffers: RefCell::default(), on_end: RefCell::default() }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

fn to_epoll(events: u32) -> u32 {
    let bit = |event: u32, bit| if events & event != 0 { bit } else { 0 };
    bit(EVENT_READ, READABLE) | bit(EVENT_WRITE, WRITABLE)
}

/// As the selectors of the standard library: errors are for whoever waits.
fn from_epoll(events: u32) -> u32 {
    let bit = |without: u32, event| if events & !without != 0 { event } else { 0 };
    bit(READABLE, EVENT_WRITE) | bit(WRITABLE, EVENT_READ)
}

#[pymethods]
impl Reactor {
    #[getter]
    fn keys(&self, py: Python<'_>) -> Py<PyDict> {
        self.keys.clone_ref(py)
    }

    #[setter]
    fn set_on_end(&self, on_end: Py<PyAny>) {
        *self.on_end.borrow_mut() = Some(on_end);
    }

    fn register(&self, fd: RawFd, events: u32) -> PyResult<()> {
        self.engine.add(fd, to_epoll(events)).map_err(PyOSError::new_err)
    }

    fn modify(&self, fd: RawFd, events: u32) -> PyResult<()> {
        self.engine.modify(fd, to_epoll(events)).map_err(PyOSError::new_err)
    }

    /// A descriptor that is closed already is no error: it has left by itself.
    fn unregister(&self, fd: RawFd) {
        let _ = self.engine.remove(fd);
    }

    /// The descriptor that is readable when `work` has something to do.
    fn fileno(&self) -> RawFd {
        self.engine.descriptor()
    }

    /// Serves until a descriptor is ready, Python has something to do, or the time is over.
    #[pyo3(signature = (timeout=None))]
    fn select<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyList>> {
        struct Lent<'a>(&'a Engine, &'a mut Vec<Ready>);
        // SAFETY: `detach` runs its closure on this same thread.
        unsafe impl Send for Lent<'_> {}
        let timeout = timeout.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
        let mut ready = std::mem::take(&mut self.buffers.borrow_mut().0);
        ready.clear();
        let lent = Lent(&self.engine, &mut ready);
        py.detach(move || {
            let Lent(engine, ready) = { lent };
            engine.select(timeout, ready);
        });
        let events = PyList::empty(py);
        let keys = self.keys.bind(py);
        for one in &ready {
            if let Some(key) = keys.get_item(one.fd)? {
                events.append((key, from_epoll(one.events)))?;
            }
        }
        self.buffers.borrow_mut().0 = ready;
        self.work();
        if self.has_ended() {
            let on_end = self.on_end.borrow_mut().take();
            if let Some(on_end) = on_end {
                on_end.call0(py)?;
            }
        }
        Ok(events)
    }

    /// Does what the connections have asked for.
    fn work(&self) {
        let mut items = std::mem::take(&mut self.buffers.borrow_mut().1);
        let engine = self.engine.engine();
        engine.inbox.take(&mut items);
        for item in items.drain(..) {
            match item {
                Item::Resume(resume) => resume.resume(),
                Item::Begin { app, mut request, scope } => {
                    evented::begin(engine, &app, &mut request, scope.clone());
                    scope.give_back(request);
                }
            }
        }
        self.buffers.borrow_mut().1 = items;
    }

    /// Whether the worker is done, told once.
    fn has_ended(&self) -> bool {
        self.engine.engine().inbox.take_end()
    }
}
