//! The event loop of a worker, as the bridge needs it.

use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;

use http::engine::Engine;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PySet, PyTuple};

use super::operation::Types;
use super::task::Prepared;

/// How many prepared tasks are kept.
const KEPT: usize = 128;

pub struct EventLoop {
    pub object: Py<PyAny>,
    engine: Arc<Engine>,
    pub types: Types,
    pub no_bytes: Py<PyBytes>,
    /// `{"type": "http.request", ...}`, to be copied.
    pub request_message: Py<PyDict>,
    /// `{"type": "http.disconnect"}`, to be copied.
    pub disconnect_message: Py<PyDict>,
    /// `{"type": "websocket.receive", ...}`, to be copied.
    pub websocket_message: Py<PyDict>,
    /// What only asyncio's own loop has, and thus what tasks can be begun early with.
    pub eager: Option<Eager>,
    future: Py<PyAny>,
    loop_keyword: Py<PyTuple>,
    pub cancelled: Py<PyAny>,
}

/// What beginning a task early takes.
pub struct Eager {
    /// The callbacks that are to be run: a deque.
    ready: Py<PyAny>,
    /// The timers: a list, the next one first.
    scheduled: Py<PyAny>,
    pub enter_task: Py<PyAny>,
    pub leave_task: Py<PyAny>,
    pub register_task: Py<PyAny>,
    pub unregister_task: Py<PyAny>,
    pub all_tasks: AllTasks,
    pub task: Py<PyAny>,
    /// The context that tasks are made in.
    pub context: Py<PyAny>,
    pub prepared: RefCell<Vec<Prepared>>,
}

/// The set behind `asyncio.all_tasks()`, where tasks are while they run for the first time.
pub enum AllTasks {
    /// Of weak references; with what removes them.
    Weak(Py<PySet>, Py<PyAny>),
    /// Of tasks that were begun eagerly (3.12 and 3.13).
    Strong(Py<PySet>),
    /// It has no such set.
    Unknown,
}

impl AllTasks {
    fn find(tasks: &Bound<'_, PyAny>) -> PyResult<AllTasks> {
        if let Some(eager) = tasks.getattr_opt("_eager_tasks")? {
            return Ok(eager.cast_into::<PySet>().map_or(AllTasks::Unknown, |set| AllTasks::Strong(set.unbind())));
        }
        let Some(all) = tasks.getattr_opt("_all_tasks")? else { return Ok(AllTasks::Unknown) };
        match (all.getattr_opt("data")?, all.getattr_opt("_remove")?) {
            (Some(data), Some(remove)) => Ok(data
                .cast_into::<PySet>()
                .map_or(AllTasks::Unknown, |set| AllTasks::Weak(set.unbind(), remove.unbind()))),
            _ => Ok(AllTasks::Unknown),
        }
    }

    /// What stands for a task in the set.
    pub fn entry(&self, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        match self {
            AllTasks::Weak(_, remove) => {
                Ok(Some(py.import("weakref")?.getattr("ref")?.call1((task, remove))?.unbind()))
            }
            AllTasks::Strong(_) | AllTasks::Unknown => Ok(None),
        }
    }

    pub fn add(&self, py: Python<'_>, task: &Bound<'_, PyAny>, entry: Option<&Py<PyAny>>) -> PyResult<()> {
        match (self, entry) {
            (AllTasks::Weak(set, _), Some(entry)) => set.bind(py).add(entry),
            (AllTasks::Strong(set), _) => set.bind(py).add(task),
            _ => Ok(()),
        }
    }

    /// Takes a task out again.
    pub fn remove(&self, py: Python<'_>, task: &Bound<'_, PyAny>, entry: Option<&Py<PyAny>>) -> PyResult<()> {
        match (self, entry) {
            (AllTasks::Weak(set, _), Some(entry)) => set.bind(py).discard(entry).map(drop),
            (AllTasks::Strong(set), _) => set.bind(py).discard(task).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether a task that goes on to wait must be registered elsewhere.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, AllTasks::Weak(..))
    }
}

// SAFETY: the prepared tasks are only looked at by the loop's thread, while it is attached.
unsafe impl Sync for Eager {}

impl EventLoop {
    pub fn new(py: Python<'_>, object: Py<PyAny>, engine: Arc<Engine>, eager: bool) -> PyResult<EventLoop> {
        let asyncio = py.import("asyncio")?;
        let eager = if eager { Some(Eager::new(py, object.bind(py))?) } else { None };
        let message = |kind: &str| -> PyResult<Bound<'_, PyDict>> {
            let message = PyDict::new(py);
            message.set_item("type", kind)?;
            Ok(message)
        };
        let request_message = message("http.request")?;
        request_message.set_item("body", PyBytes::new(py, b""))?;
        request_message.set_item("more_body", false)?;
        let websocket_message = message("websocket.receive")?;
        websocket_message.set_item("bytes", py.None())?;
        websocket_message.set_item("text", py.None())?;
        Ok(EventLoop {
            object,
            engine,
            types: Types::new(py)?,
            no_bytes: PyBytes::new(py, b"").unbind(),
            request_message: request_message.unbind(),
            disconnect_message: message("http.disconnect")?.unbind(),
            websocket_message: websocket_message.unbind(),
            eager,
            future: asyncio.getattr("Future")?.unbind(),
            loop_keyword: PyTuple::new(py, ["loop"])?.unbind(),
            cancelled: asyncio.getattr("CancelledError")?.unbind(),
        })
    }

    /// The loop has something to do: the turn in which it got that is to end.
    pub fn interrupt(&self) {
        if self.engine.inbox.is_inline() {
            self.engine.inbox.interrupt();
        }
    }

    /// A defect of the bridge.
    pub fn log_error(&self, lines: &str) {
        self.engine.log.log_lines(http::log::error::Level::Error, lines);
    }

    /// A new task around a coroutine, whose first step the loop is to take.
    pub fn task<'py>(
        &self,
        py: Python<'py>,
        eager: &Eager,
        coroutine: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = [coroutine.as_ptr(), self.object.as_ptr()];
        // SAFETY: attached; one positional argument and one keyword, which live through the call.
        unsafe {
            let made = ffi::PyObject_Vectorcall(eager.task.as_ptr(), arguments.as_ptr(), 1, self.loop_keyword.as_ptr());
            Bound::from_owned_ptr_or_err(py, made)
        }
    }

    /// A new future.
    pub fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let arguments = [self.object.as_ptr()];
        // SAFETY: attached; no positional argument and one keyword, whose name and value live through the call.
        unsafe {
            let made =
                ffi::PyObject_Vectorcall(self.future.as_ptr(), arguments.as_ptr(), 0, self.loop_keyword.as_ptr());
            Bound::from_owned_ptr_or_err(py, made)
        }
    }
}

impl Eager {
    fn new(py: Python<'_>, object: &Bound<'_, PyAny>) -> PyResult<Eager> {
        let tasks = py.import("asyncio.tasks")?;
        let function = |name: &str| tasks.getattr(name).map(Bound::unbind);
        Ok(Eager {
            ready: object.getattr("_ready")?.unbind(),
            scheduled: object.getattr("_scheduled")?.unbind(),
            enter_task: function("_enter_task")?,
            leave_task: function("_leave_task")?,
            register_task: function("_register_task")?,
            unregister_task: function("_unregister_task")?,
            all_tasks: AllTasks::find(&tasks)?,
            task: function("Task")?,
            context: py.import("contextvars")?.call_method0("copy_context")?.unbind(),
            prepared: RefCell::new(Vec::new()),
        })
    }

    /// What tells whether the loop has got something to do: how many callbacks it is to run, and its next timer.
    pub fn to_do(&self, py: Python<'_>) -> (isize, *mut ffi::PyObject) {
        let scheduled = self.scheduled.bind(py);
        // SAFETY: attached; a deque and a list, of which the loop makes no others. The first item is only compared.
        unsafe {
            let ready = ffi::PyObject_Size(self.ready.as_ptr());
            let first = if ffi::PyList_Check(scheduled.as_ptr()) != 0 && ffi::PyList_GET_SIZE(scheduled.as_ptr()) > 0 {
                ffi::PyList_GET_ITEM(scheduled.as_ptr(), 0)
            } else {
                ptr::null_mut()
            };
            (ready, first)
        }
    }

    /// Takes back the last callback that was put into the loop.
    pub fn take_last<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.ready.bind(py).call_method0(intern!(py, "pop"))
    }

    pub fn keep(&self, prepared: Prepared) {
        let mut kept = self.prepared.borrow_mut();
        if kept.len() < KEPT {
            kept.push(prepared);
        }
    }
}

/// Calls `function(first, second)`.
pub fn call_two<'py>(
    py: Python<'py>,
    function: &Py<PyAny>,
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = [first.as_ptr(), second.as_ptr()];
    // SAFETY: attached; two arguments that live through the call.
    unsafe {
        let made = ffi::PyObject_Vectorcall(function.as_ptr(), arguments.as_ptr(), 2, ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, made)
    }
}
