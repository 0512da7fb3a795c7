//! The task of a request.
//!
//! An application's coroutine is begun right where its request was read. Most end without having waited for anything,
//! and then no task has to be scheduled at all. But `asyncio.current_task()` must give a task from the first line on,
//! and the same one later. So real `asyncio.Task`s are prepared: made around a `Runner` (a coroutine of ours), their
//! first step taken back from the loop. The runner drives the application's coroutine for its first step as that task
//! would. If the coroutine then waits, the task takes its first step after all, finds the runner waiting, and from
//! there on is a task as any other. If not, the task has never run and serves the next request, unless somebody may
//! have kept it or has changed something about it.

use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use super::cell::Attached;
use super::event_loop::{Eager, EventLoop, call_two};
use super::exchange::Exchange;
use super::iterate::{self, Sent, Steps};

/// The coroutine around an application's: what it raises is logged and answered.
#[pyclass(frozen, weakref, module = "daemun._daemun")]
pub struct Runner {
    state: Attached<State>,
    cancelled: Py<PyAny>,
}

#[derive(Default)]
struct State {
    coroutine: Option<Py<PyAny>>,
    exchange: Option<Py<Exchange>>,
    /// What the coroutine waits for after a first step without the task.
    first: Option<Py<PyAny>>,
    /// All was done in the first step.
    over: bool,
}

impl Runner {
    fn new(event_loop: &EventLoop, py: Python<'_>) -> Runner {
        Runner { state: Attached::new(State::default()), cancelled: event_loop.cancelled.clone_ref(py) }
    }

    fn lend(&self, py: Python<'_>, coroutine: Py<PyAny>, exchange: Py<Exchange>) -> PyResult<()> {
        self.state.with(py, |state| {
            *state = State { coroutine: Some(coroutine), exchange: Some(exchange), first: None, over: false };
            Ok(())
        })
    }

    fn coroutine(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.state.with(py, |state| Ok(state.coroutine.as_ref().map(|coroutine| coroutine.clone_ref(py))))
    }

    /// Looks at what came of a step: an end is the end of the exchange.
    fn stepped(&self, py: Python<'_>, sent: PyResult<Sent>) -> PyResult<Sent> {
        let error = match sent {
            Ok(Sent::Next(next)) => return Ok(Sent::Next(next)),
            Ok(Sent::Returned(_)) => None,
            Err(error) => Some(error),
        };
        let exchange = self.state.with(py, |state| {
            state.coroutine = None;
            state.over = true;
            Ok(state.exchange.take())
        })?;
        let cancelled = error.as_ref().is_some_and(|error| error.matches(py, self.cancelled.bind(py)).unwrap_or(false));
        if let Some(exchange) = exchange {
            exchange.get().ended(py, error.as_ref());
        }
        match error {
            Some(error) if cancelled => Err(error),
            _ => Ok(Sent::Returned(py.None())),
        }
    }
}

impl Steps for Runner {
    /// Goes on with the coroutine.
    fn step(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let (first, over) = self.state.with(py, |state| Ok((state.first.take(), state.over)))?;
        if let Some(first) = first {
            return Ok(Sent::Next(first));
        }
        match self.coroutine(py)? {
            Some(coroutine) => {
                let sent = iterate::send(py, coroutine.bind(py), value);
                self.stepped(py, sent)
            }
            None if over => Ok(Sent::Returned(py.None())),
            None => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }
}

#[pymethods]
impl Runner {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.step(py, value)?.into_value(py)
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.state.with(py, |state| {
            state.first = None;
            Ok(())
        })?;
        let Some(coroutine) = self.coroutine(py)? else {
            return Err(iterate::raised(kind, value, traceback));
        };
        let sent = match iterate::throw(py, coroutine.bind(py), kind, value, traceback) {
            Ok(next) => Ok(Sent::Next(next)),
            Err(error) => iterate::result_of(py, error).map(Sent::Returned),
        };
        self.stepped(py, sent)?.into_value(py)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(coroutine) = self.coroutine(py)? {
            coroutine.bind(py).call_method0(intern!(py, "close"))?;
            self.stepped(py, Ok(Sent::Returned(py.None())))?;
        }
        Ok(())
    }

    // What is asked of a coroutine is answered by the application's.

    #[getter]
    fn cr_running(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask(py, "cr_running")?.map_or(Ok(false), |value| value.bind(py).is_truthy())
    }

    #[getter]
    fn cr_suspended(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask(py, "cr_suspended")?.map_or(Ok(false), |value| value.bind(py).is_truthy())
    }

    #[getter]
    fn cr_frame(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.ask(py, "cr_frame")
    }

    #[getter]
    fn cr_await(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.ask(py, "cr_await")
    }

    #[getter]
    fn cr_code(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.ask(py, "cr_code")
    }

    #[getter]
    fn __name__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.ask(py, "__name__")?.unwrap_or_else(|| intern!(py, "request").clone().into_any().unbind()))
    }

    #[getter]
    fn __qualname__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.ask(py, "__qualname__")?.unwrap_or_else(|| intern!(py, "request").clone().into_any().unbind()))
    }
}

impl Runner {
    /// An attribute of the application's coroutine, if it has it.
    fn ask(&self, py: Python<'_>, name: &str) -> PyResult<Option<Py<PyAny>>> {
        let coroutine = self.coroutine(py)?;
        Ok(coroutine.and_then(|coroutine| coroutine.bind(py).getattr(name).ok().map(Bound::unbind)))
    }
}

/// Makes the type known as a coroutine's.
pub fn register(py: Python<'_>) -> PyResult<()> {
    iterate::register::<Runner>(py)
}

/// A task that has not taken its first step.
pub struct Prepared {
    task: Py<PyAny>,
    runner: Py<Runner>,
    /// Takes the first step.
    step: Py<PyAny>,
    context: Py<PyAny>,
    /// References to the task while nobody else has one.
    references: ffi::Py_ssize_t,
    /// What it needs to wait for another request, once it has served one without a step.
    kept: Option<Kept>,
}

struct Kept {
    /// Its name, which it holds as long as nobody gives it another.
    name: Py<PyAny>,
    name_references: ffi::Py_ssize_t,
    /// What stands for it in `asyncio.all_tasks()`.
    entry: Option<Py<PyAny>>,
}

impl Prepared {
    fn new(py: Python<'_>, event_loop: &EventLoop, eager: &Eager) -> PyResult<Prepared> {
        let runner = Py::new(py, Runner::new(event_loop, py))?;
        let task = event_loop.task(py, eager, runner.bind(py).as_any())?;
        let handle = eager.take_last(py)?;
        let step = handle.getattr(intern!(py, "_callback"))?.unbind();
        let context = handle.getattr(intern!(py, "_context"))?.unbind();
        drop(handle);
        let references = reference_count(&task);
        Ok(Prepared { task: task.unbind(), runner, step, context, references, kept: None })
    }

    /// Whether nobody can tell that the task has been used.
    fn is_pristine(&self, py: Python<'_>, eager: &Eager) -> PyResult<bool> {
        let task = self.task.bind(py);
        let named = |kept: &Kept| reference_count(kept.name.bind(py)) == kept.name_references;
        Ok(reference_count(task) == self.references
            && self.kept.as_ref().is_none_or(named)
            && task.getattr(intern!(py, "_callbacks"))?.is_none()
            && !task.getattr(intern!(py, "_must_cancel"))?.is_truthy()?
            && self.context.bind(py).eq(eager.context.bind(py))?)
    }

    /// Makes it one of the loop's tasks, before it is used.
    fn show(&self, py: Python<'_>, eager: &Eager) -> PyResult<()> {
        match &self.kept {
            Some(kept) => eager.all_tasks.add(py, self.task.bind(py), kept.entry.as_ref()),
            None => Ok(()),
        }
    }

    /// Makes it none of them, until it is used again.
    fn hide(&mut self, py: Python<'_>, eager: &Eager) -> PyResult<()> {
        let task = self.task.bind(py);
        if let Some(kept) = &self.kept {
            return eager.all_tasks.remove(py, task, kept.entry.as_ref());
        }
        eager.unregister_task.call1(py, (task,))?;
        task.setattr(intern!(py, "_log_destroy_pending"), false)?;
        let name = task.call_method0(intern!(py, "get_name"))?.unbind();
        let name_references = reference_count(name.bind(py));
        self.kept = Some(Kept { name, name_references, entry: eager.all_tasks.entry(py, task)? });
        Ok(())
    }

    /// It takes its first step after all: from now on it is a task as any other.
    fn take_step(self, py: Python<'_>, eager: &Eager) -> PyResult<()> {
        let task = self.task.bind(py);
        if let Some(kept) = &self.kept {
            if eager.all_tasks.is_temporary() {
                eager.all_tasks.remove(py, task, kept.entry.as_ref())?;
                eager.register_task.call1(py, (task,))?;
            }
            task.setattr(intern!(py, "_log_destroy_pending"), true)?;
        }
        self.step.call0(py)?;
        Ok(())
    }
}

fn reference_count(object: &Bound<'_, PyAny>) -> ffi::Py_ssize_t {
    // SAFETY: attached (the Bound proves it), a live reference.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// A context that is the current one while this lives.
struct Entered<'py>(Option<&'py Bound<'py, PyAny>>);

impl<'py> Entered<'py> {
    fn new(py: Python<'py>, context: &'py Bound<'py, PyAny>) -> Entered<'py> {
        // SAFETY: attached, and a context object; entering fails only if it is current somewhere already.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } == 0 {
            return Entered(Some(context));
        }
        PyErr::take(py);
        Entered(None)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.0 {
            // SAFETY: attached (the reference is bound), and this context was entered on this thread and is current.
            if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
                PyErr::take(context.py());
            }
        }
    }
}

/// Calls the application: `application(scope, receive, send)`.
pub fn call_application(
    py: Python<'_>,
    application: &Py<PyAny>,
    scope: &Bound<'_, PyAny>,
    receive: &Bound<'_, PyAny>,
    send: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    // One free place before the arguments lets bound methods put `self` there instead of copying.
    let mut arguments = [std::ptr::null_mut(), scope.as_ptr(), receive.as_ptr(), send.as_ptr()];
    // SAFETY: attached, the pointers are borrowed from live references, and the count does not include the free place,
    // as PY_VECTORCALL_ARGUMENTS_OFFSET says.
    let returned = unsafe {
        let returned = ffi::PyObject_Vectorcall(
            application.as_ptr(),
            arguments.as_mut_ptr().add(1),
            3 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, returned)?
    };
    // SAFETY: attached, a live reference.
    if unsafe { ffi::PyCoro_CheckExact(returned.as_ptr()) } != 0 {
        return Ok(returned.unbind());
    }
    // An awaitable of another kind: what `await` would drive.
    returned.call_method0(intern!(py, "__await__")).map(Bound::unbind).map_err(|_| {
        let kind = super::message::kind(&returned);
        PyTypeError::new_err(format!("the application must give an awaitable, not {kind}"))
    })
}

/// Begins an application's coroutine. Errors are those of the interpreter; the application's are answered.
pub fn begin(
    py: Python<'_>,
    event_loop: &Arc<EventLoop>,
    make: impl FnOnce() -> PyResult<Py<PyAny>>,
    exchange: Py<Exchange>,
) -> PyResult<()> {
    let Some(eager) = &event_loop.eager else { return schedule(py, event_loop, make, exchange) };
    let kept = eager.prepared.borrow_mut().pop();
    let mut prepared = match kept {
        Some(prepared) => prepared,
        None => Prepared::new(py, event_loop, eager)?,
    };
    let before = eager.to_do(py);
    prepared.show(py, eager)?;
    let context = prepared.context.clone_ref(py);
    let entered = Entered::new(py, context.bind(py));
    let runner = prepared.runner.get();
    let object = event_loop.object.bind(py);
    call_two(py, &eager.enter_task, object, prepared.task.bind(py))?;
    // The application itself is called as the task, too: it may be a plain function that gives an awaitable.
    let sent = match make() {
        Ok(coroutine) => {
            runner.lend(py, coroutine, exchange)?;
            runner.step(py, py.None().bind(py))
        }
        Err(error) => {
            runner.lend(py, py.None(), exchange)?;
            runner.stepped(py, Err(error))
        }
    };
    call_two(py, &eager.leave_task, object, prepared.task.bind(py))?;
    let reuse = match sent {
        Ok(Sent::Returned(_)) => prepared.is_pristine(py, eager)?,
        Ok(Sent::Next(next)) => {
            runner.state.with(py, |state| {
                state.first = Some(next);
                Ok(())
            })?;
            false
        }
        // Cancelled by itself, before it has waited for anything.
        Err(_) => false,
    };
    if reuse {
        drop(entered);
        runner.state.with(py, |state| {
            *state = State::default();
            Ok(())
        })?;
        prepared.hide(py, eager)?;
        eager.keep(prepared);
    } else {
        prepared.take_step(py, eager)?;
        drop(entered);
    }
    if eager.to_do(py) != before {
        event_loop.interrupt();
    }
    Ok(())
}

/// The same on a loop whose tasks cannot be begun early.
fn schedule(
    py: Python<'_>,
    event_loop: &Arc<EventLoop>,
    make: impl FnOnce() -> PyResult<Py<PyAny>>,
    exchange: Py<Exchange>,
) -> PyResult<()> {
    let runner = Py::new(py, Runner::new(event_loop, py))?;
    match make() {
        Ok(coroutine) => runner.get().lend(py, coroutine, exchange)?,
        Err(error) => {
            exchange.get().ended(py, Some(&error));
            return Ok(());
        }
    }
    event_loop.object.call_method1(py, intern!(py, "create_task"), (runner,))?;
    event_loop.interrupt();
    Ok(())
}
