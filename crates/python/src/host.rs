//! CPython as the process sees it: forking, the configuration file, the application, threads.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

use daemun::host::{AppOptions, AppSpec, Host, LoadError, SettingValue};
use daemun::settings::{EventLoop, Interface, Lifespan, Settings};
use http::app::App;
use pyo3::exceptions::PySystemExit;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyCFunction, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

use crate::asgi::{self, Asgi};
use crate::wsgi::{self, Wsgi};

pub struct CPython;

impl Host for CPython {
    fn prepare(&self) -> Result<(), String> {
        Python::attach(|py| {
            let modules = ["asyncio", "atexit", "daemun._app", "daemun._asgi", "faulthandler", "random", "traceback"];
            let imported = modules.iter().try_for_each(|module| py.import(*module).map(drop));
            imported.map_err(|error| own_message(py, &error))
        })
    }

    fn before_fork(&self) {
        attach_until_after_fork();
        // SAFETY: attached, as it asks for.
        unsafe { ffi::PyOS_BeforeFork() };
    }

    fn after_fork_parent(&self) {
        // SAFETY: attached since `before_fork`, on the same thread.
        unsafe { ffi::PyOS_AfterFork_Parent() };
        detach_after_fork();
    }

    fn after_fork_child(&self) {
        // SAFETY: attached since `before_fork`; this is the only thread of the child.
        unsafe { ffi::PyOS_AfterFork_Child() };
        detach_after_fork();
    }

    fn read_config(&self, source: &str) -> Result<Vec<(String, SettingValue)>, String> {
        Python::attach(|py| {
            let read = || -> PyResult<Vec<(String, SettingValue)>> {
                let names = py.import("daemun._config")?.call_method1("load", (source,))?;
                names.cast::<PyDict>()?.iter().map(|(name, value)| Ok((name.to_string(), setting(&value)?))).collect()
            };
            read().map_err(|error| own_message(py, &error))
        })
    }

    fn preload(&self, settings: &Settings) -> Result<(), LoadError> {
        self.load(&AppSpec::of(settings), settings, &AppOptions::default()).map(drop)
    }

    fn load(&self, spec: &AppSpec, settings: &Settings, options: &AppOptions) -> Result<App, LoadError> {
        Python::attach(|py| {
            let loaded = || -> PyResult<App> {
                let module = py.import("daemun._app")?;
                refresh_environment(py)?;
                take_surroundings(py, spec)?;
                let paths: Vec<String> = spec.path.iter().map(|path| path.display().to_string()).collect();
                module.call_method1("extend_path", (paths.join(","),))?;
                if let Some(path) = &settings.log_config {
                    module.call_method1("configure_logging", (path.display().to_string(),))?;
                }
                let application = module.call_method1("load", (&spec.module, settings.factory))?;
                // What is here now stays: the collector need not walk through it during requests, nor write to what
                // workers share after `--preload`.
                let collector = py.import("gc")?;
                collector.call_method0("collect")?;
                collector.call_method0("freeze")?;
                bridge(py, application, spec, settings, options)
            };
            loaded().map_err(|error| load_error(py, &error))
        })
    }

    fn explain(&self, error: &LoadError, options: &AppOptions) -> Result<App, LoadError> {
        Python::attach(|py| {
            let made = || -> PyResult<App> {
                let application = py.import("daemun._reload")?.call_method1("error_app", (&error.message,))?;
                Ok(App::Blocking(Arc::new(Wsgi::new(py, application.unbind(), wsgi_options(options))?)))
            };
            made().map_err(|error| load_error(py, &error))
        })
    }

    fn worker_started(&self, log: RawFd) {
        Python::attach(|py| {
            let armed = || -> PyResult<()> {
                let keywords = PyDict::new(py);
                keywords.set_item("file", log)?;
                keywords.set_item("all_threads", true)?;
                keywords.set_item("chain", false)?;
                let handler = py.import("faulthandler")?;
                handler.call_method("register", (http::slots::TRACEBACK_SIGNAL,), Some(&keywords))?;
                py.import("random")?.call_method0("seed")?;
                Ok(())
            };
            // Without it a stuck worker is still ended, only its traceback is missing.
            if let Err(error) = armed() {
                error.write_unraisable(py, None);
            }
        });
    }

    fn as_thread(&self, body: &mut dyn FnMut()) {
        struct Lend<'a>(&'a mut dyn FnMut());
        // SAFETY: `detach` runs its closure on this same thread.
        unsafe impl Send for Lend<'_> {}
        let lent = Lend(body);
        // The outer attachment keeps the thread's state: attaching again within costs nanoseconds.
        Python::attach(|py| {
            py.detach(move || {
                let Lend(body) = { lent };
                body();
            });
        });
    }

    fn watch(&self, settings: &Settings, everything: bool, changed: Box<dyn Fn(&str) + Send + Sync>) {
        Python::attach(|py| {
            let watched = || -> PyResult<()> {
                let callback = PyCFunction::new_closure(py, None, None, move |arguments, _| -> PyResult<()> {
                    let path: String = arguments.get_item(0)?.extract()?;
                    arguments.py().detach(|| changed(&path));
                    Ok(())
                })?;
                let texts = |paths: &[PathBuf]| -> Vec<String> {
                    paths.iter().map(|path| path.display().to_string()).collect()
                };
                let keywords = PyDict::new(py);
                keywords.set_item("directories", texts(&settings.reload_dirs))?;
                keywords.set_item("includes", settings.reload_includes.clone())?;
                keywords.set_item("excludes", settings.reload_excludes.clone())?;
                keywords.set_item("delay", settings.reload_delay.as_secs_f64())?;
                let module = py.import("daemun._reload")?;
                module.call_method(
                    "watch",
                    (callback, texts(&settings.reload_extra_files), everything),
                    Some(&keywords),
                )?;
                Ok(())
            };
            if let Err(error) = watched() {
                error.write_unraisable(py, None);
            }
        });
    }

    fn worker_ending(&self) {
        Python::attach(|py| {
            let end = || -> PyResult<()> {
                // As at the end of a script: threads that are not daemons are waited for, executors finish their work.
                py.import("threading")?.call_method0("_shutdown")?;
                py.import("atexit")?.call_method0("_run_exitfuncs")?;
                let sys = py.import("sys")?;
                for name in ["stdout", "stderr"] {
                    let stream = sys.getattr(name)?;
                    if !stream.is_none() {
                        stream.call_method0("flush")?;
                    }
                }
                Ok(())
            };
            if let Err(error) = end() {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// The bridge of the interface that an application speaks.
fn bridge(
    py: Python<'_>,
    application: Bound<'_, PyAny>,
    spec: &AppSpec,
    settings: &Settings,
    options: &AppOptions,
) -> PyResult<App> {
    let interface = match spec.interface {
        Interface::Wsgi => "wsgi".to_owned(),
        Interface::Asgi2 => "asgi2".to_owned(),
        Interface::Asgi3 => "asgi3".to_owned(),
        Interface::Auto | Interface::Asgi => {
            py.import("daemun._app")?.call_method1("interface", (&application,))?.extract()?
        }
    };
    if interface == "wsgi" && spec.interface != Interface::Asgi {
        return Ok(App::Blocking(Arc::new(Wsgi::new(py, application.unbind(), wsgi_options(options))?)));
    }
    let options = asgi::Options {
        root_path: spec.root_path.clone(),
        lifespan: match settings.lifespan {
            Lifespan::Auto => "auto",
            Lifespan::On => "on",
            Lifespan::Off => "off",
        },
        event_loop: match settings.event_loop {
            // asyncio's own loop is the faster one here, since its selector is the server.
            EventLoop::Auto | EventLoop::Asyncio => "asyncio",
            EventLoop::Uvloop => "uvloop",
        },
        double_callable: interface == "asgi2",
    };
    Ok(App::Evented(Arc::new(Asgi::new(py, application.unbind(), options)?)))
}

fn wsgi_options(options: &AppOptions) -> wsgi::Options {
    wsgi::Options {
        multithread: options.multithread,
        multiprocess: options.multiprocess,
        sendfile: options.sendfile,
        logged: options.logged.clone(),
        errors: options.errors,
    }
}

/// What one application of several wants of the process: its variables, its directory, the packages of its virtual
/// environment. All applications of a worker share the interpreter, so the last one's wishes stay.
fn take_surroundings(py: Python<'_>, spec: &AppSpec) -> PyResult<()> {
    let os = py.import("os")?;
    let environ = os.getattr("environ")?;
    for (name, value) in &spec.env {
        environ.set_item(name, value)?;
    }
    if let Some(directory) = &spec.chdir {
        os.call_method1("chdir", (directory.display().to_string(),))?;
    }
    if let Some(home) = &spec.home {
        let version = py.version_info();
        let packages = home.join(format!("lib/python{}.{}/site-packages", version.major, version.minor));
        let packages = packages.display().to_string();
        let path = py.import("sys")?.getattr("path")?;
        if !path.contains(&packages)? {
            // The venv's own packages come before those that this program was installed with.
            let before: Vec<String> = path.extract()?;
            py.import("site")?.call_method1("addsitedir", (&packages,))?;
            let all: Vec<String> = path.extract()?;
            let (added, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| !before.contains(entry));
            let builtin = others.iter().position(|entry| entry.ends_with("site-packages")).unwrap_or(others.len());
            let (first, last) = others.split_at(builtin);
            let ordered: Vec<&String> = first.iter().chain(&added).chain(last).collect();
            path.set_item(pyo3::types::PySlice::full(py), ordered)?;
        }
    }
    Ok(())
}

/// `os.environ` was read when the interpreter started; what the settings have set or removed since is, there, too.
fn refresh_environment(py: Python<'_>) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environ")?;
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.into_pyobject(py)?, value.into_pyobject(py)?);
        environ.set_item(name, value)?;
    }
    for name in environ.call_method0("keys")?.try_iter()?.collect::<PyResult<Vec<_>>>()? {
        let known = name.extract::<std::ffi::OsString>().is_ok_and(|name| std::env::var_os(name).is_some());
        if !known {
            environ.call_method1("pop", (name, py.None()))?;
        }
    }
    // Sockets handed over by systemd are the server's, not the application's.
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        environ.call_method1("pop", (name, py.None()))?;
    }
    Ok(())
}

thread_local! {
    static FORKING: std::cell::Cell<Option<ffi::PyGILState_STATE>> = const { std::cell::Cell::new(None) };
}

fn attach_until_after_fork() {
    // SAFETY: may be called on any thread of a running interpreter; the matching release is `detach_after_fork`.
    FORKING.set(Some(unsafe { ffi::PyGILState_Ensure() }));
}

fn detach_after_fork() {
    if let Some(state) = FORKING.take() {
        // SAFETY: `state` is what this thread's `PyGILState_Ensure` gave, released once.
        unsafe { ffi::PyGILState_Release(state) };
    }
}

/// The text of an exception of our own modules, whose text is complete; others with their traceback.
pub fn own_message(py: Python<'_>, error: &PyErr) -> String {
    let own = error.get_type(py).getattr("__module__").is_ok_and(|module| module.to_string().starts_with("daemun."));
    if own { error.value(py).to_string() } else { crate::traceback::text(py, error) }
}

fn load_error(py: Python<'_>, error: &PyErr) -> LoadError {
    let code = error.value(py).getattr("code").and_then(|code| code.extract::<i32>());
    let code = if error.is_instance_of::<PySystemExit>(py) { 3 } else { code.unwrap_or(3) };
    LoadError { code, message: own_message(py, error) }
}

/// A value of the configuration file.
fn setting(value: &Bound<'_, PyAny>) -> PyResult<SettingValue> {
    if value.is_none() {
        return Ok(SettingValue::None);
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(SettingValue::Bool(flag.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(value.extract().map_or_else(|_| SettingValue::Other("int".into()), SettingValue::Int));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(SettingValue::Float(value.extract()?));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(SettingValue::Str(text.to_string_lossy().into_owned()));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() || value.is_instance_of::<PySet>() {
        return Ok(SettingValue::List(value.try_iter()?.map(|item| setting(&item?)).collect::<PyResult<_>>()?));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let items = dict.iter().map(|(name, value)| Ok((name.to_string(), setting(&value)?)));
        return Ok(SettingValue::Dict(items.collect::<PyResult<_>>()?));
    }
    if value.hasattr("__fspath__")? {
        let path = value.py().import("os")?.call_method1("fsdecode", (value,))?;
        return Ok(SettingValue::Str(path.extract()?));
    }
    let kind = value.get_type().name()?.to_string();
    Ok(if value.is_callable() { SettingValue::Callable(kind) } else { SettingValue::Other(kind) })
}
