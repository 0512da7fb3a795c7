//! WSGI (PEP 3333): a request becomes an environ, the application is called, what it gives is sent.
//!
//! `request` builds the environ, `input` is `wsgi.input`, `start_response` the callables an application answers
//! with, `answer` sends what it returned, `file_wrapper` is `wsgi.file_wrapper`.

mod answer;
mod file_wrapper;
mod input;
mod request;
mod start_response;

use std::cell::RefCell;
use std::sync::Arc;

use http::app::{Blocking, Continuation, Output};
use http::exchange::{Local, Request};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub use file_wrapper::FileWrapper;
pub use input::Input;

/// What all workers' applications are told of their server.
#[derive(Clone, Default)]
pub struct Options {
    pub multithread: bool,
    pub multiprocess: bool,
    /// Send `wsgi.file_wrapper` answers by sendfile.
    pub sendfile: bool,
    /// Environ keys whose values the access log wants.
    pub logged: Vec<String>,
    /// The descriptor behind `wsgi.errors`; standard error if none.
    pub errors: Option<std::os::fd::RawFd>,
}

/// A loaded WSGI application.
pub struct Wsgi {
    application: Py<PyAny>,
    names: request::Names,
    options: Options,
    /// Tells applications apart in the per-thread cache.
    id: usize,
}

/// What one thread needs to call an application, made once.
struct Caller {
    id: usize,
    local: Arc<Local>,
    base: Py<PyDict>,
    start_response: Py<PyAny>,
}

thread_local! {
    static CALLERS: RefCell<Vec<Caller>> = const { RefCell::new(Vec::new()) };
}

impl Wsgi {
    pub fn new(py: Python<'_>, application: Py<PyAny>, options: Options) -> PyResult<Wsgi> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Wsgi { application, names: request::Names::new(py)?, options, id })
    }

    /// The base environ and the callables for this thread and listener.
    fn caller(&self, py: Python<'_>, local: &Arc<Local>) -> PyResult<(Py<PyDict>, Py<PyAny>)> {
        let found = CALLERS.with_borrow(|callers| {
            let caller = callers.iter().find(|caller| caller.id == self.id && Arc::ptr_eq(&caller.local, local))?;
            Some((caller.base.clone_ref(py), caller.start_response.clone_ref(py)))
        });
        if let Some(found) = found {
            return Ok(found);
        }
        let start_response = start_response::callable(py)?;
        let base = request::base(py, local, &self.options)?;
        let caller = Caller {
            id: self.id,
            local: local.clone(),
            base: base.clone_ref(py),
            start_response: start_response.clone_ref(py),
        };
        CALLERS.with_borrow_mut(|callers| callers.push(caller));
        Ok((base, start_response))
    }

    fn serve(
        &self,
        py: Python<'_>,
        request: &mut Request,
        out: &mut Output<'_>,
    ) -> Result<Option<Box<dyn Continuation>>, Failed> {
        let (base, start_response) = self.caller(py, &request.local).map_err(Failed::Application)?;
        let environ = request::build(py, base.bind(py), &self.names, request).map_err(Failed::Application)?;
        let mut call = start_response::Call::new(request.head.method == wire::h1::Method::Head);
        let active = start_response::Active::enter(&mut call, out);
        let context = Context::enter(py);
        let returned = call_two(py, self.application.bind(py), environ.as_any(), start_response.bind(py));
        let rest = match returned {
            Ok(returned) => answer::send(py, &active, returned, &self.options, context, request.target()),
            Err(error) => Err(Failed::Application(error)),
        };
        if !self.options.logged.is_empty() {
            request.logged = request::logged(py, &environ, &self.options.logged);
        }
        rest
    }
}

/// Why there is no (complete) answer.
pub enum Failed {
    Application(PyErr),
    /// The client went away; nothing to tell anybody.
    Gone,
}

impl Blocking for Wsgi {
    fn call(&self, request: &mut Request, out: &mut Output<'_>) -> Option<Box<dyn Continuation>> {
        Python::attach(|py| match self.serve(py, request, out) {
            Ok(rest) => rest,
            Err(failed) => {
                let target = String::from_utf8_lossy(request.target()).into_owned();
                fail(py, out, failed, &target);
                None
            }
        })
    }

    fn enter_thread(&self) {}

    fn leave_thread(&self) {
        // Python objects of this thread go while the interpreter is still there.
        let callers = CALLERS.with_borrow_mut(std::mem::take);
        Python::attach(|_| drop(callers));
    }
}

/// Reports a failure: the traceback to the log, 500 to the client if nothing was sent yet.
fn fail(py: Python<'_>, out: &mut Output<'_>, failed: Failed, target: &str) {
    if let Failed::Application(error) = failed {
        let trace = traceback_of(py, &error);
        out.log(http::app::Severity::Error, format!("Error handling request {target}\n{trace}"));
        if !out.is_started() {
            start_response::internal_error(out);
            return;
        }
    }
    out.abort();
}

fn traceback_of(py: Python<'_>, error: &PyErr) -> String {
    crate::traceback::text(py, error)
}

/// `callable(first, second)` without a tuple in between.
fn call_two<'py>(
    py: Python<'py>,
    callable: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // One free place before the arguments lets bound methods put `self` there instead of copying.
    let mut arguments = [std::ptr::null_mut(), first.as_ptr(), second.as_ptr()];
    // SAFETY: the interpreter is attached (`py`), the pointers are borrowed from live references, and the count does
    // not include the free place, as PY_VECTORCALL_ARGUMENTS_OFFSET says.
    unsafe {
        let returned = ffi::PyObject_Vectorcall(
            callable.as_ptr(),
            arguments.as_mut_ptr().add(1),
            2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, returned)
    }
}

/// A copy of the thread's context variables, current while it lives: what an application or its generator sets
/// stays with its request, also when other requests run between two of its pieces.
pub(crate) struct Context {
    context: Option<Py<PyAny>>,
    entered: bool,
}

impl Context {
    fn enter(py: Python<'_>) -> Context {
        // SAFETY: attached; gives a new reference or null with an exception set.
        let context = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyContext_CopyCurrent()) };
        let mut this = Context { context: context.map(Bound::unbind), entered: false };
        this.resume(py);
        this
    }

    /// Makes it current again.
    fn resume(&mut self, py: Python<'_>) {
        if let Some(context) = &self.context {
            // SAFETY: attached, and `context` is a context object; entering fails only when it is current already.
            self.entered = unsafe { ffi::PyContext_Enter(context.as_ptr()) } == 0;
        }
        if !self.entered {
            PyErr::take(py);
        }
    }

    /// Makes the thread's own context current.
    fn leave(&mut self, py: Python<'_>) {
        if let (Some(context), true) = (&self.context, self.entered) {
            self.entered = false;
            // SAFETY: attached, and this context was entered by this thread and is the current one.
            if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
                PyErr::take(py);
            }
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.entered {
            Python::attach(|py| self.leave(py));
        }
    }
}
