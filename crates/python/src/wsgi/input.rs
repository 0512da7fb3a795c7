//! `wsgi.input`: a body in memory, in a file, or still arriving, with the methods of a binary file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use http::exchange::BodyStream;
use http::exchange::stream::BodyError;
use pyo3::exceptions::{PyConnectionResetError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// Bytes read at once while a line is looked for, or all of a stream is wanted.
const BLOCK: usize = 64 * 1024;

enum Source {
    Memory { bytes: Py<PyBytes>, at: usize },
    File { file: File, at: u64, len: u64, ahead: Ahead },
    Stream { stream: Arc<BodyStream>, ahead: Ahead, ended: bool },
}

/// Bytes read but not given out yet.
#[derive(Default)]
struct Ahead {
    bytes: Vec<u8>,
    at: usize,
}

impl Ahead {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn take<'py>(&mut self, py: Python<'py>, len: usize) -> Bound<'py, PyBytes> {
        let taken = PyBytes::new(py, &self.bytes[self.at..self.at + len]);
        self.at += len;
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
        taken
    }
}

impl Source {
    /// Bytes that were read and not given out.
    fn ahead(&self) -> &[u8] {
        match self {
            Source::Memory { .. } => &[],
            Source::File { ahead, .. } | Source::Stream { ahead, .. } => ahead.rest(),
        }
    }

    /// Gives out the first `len` of them.
    fn take<'py>(&mut self, py: Python<'py>, len: usize) -> Bound<'py, PyBytes> {
        match self {
            Source::Memory { .. } => PyBytes::new(py, b""),
            Source::File { ahead, .. } | Source::Stream { ahead, .. } => ahead.take(py, len),
        }
    }

    /// Reads some more of them; `false` at the end of the body.
    fn read_block(&mut self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Source::Memory { .. } => Ok(false),
            Source::File { file, at, len, ahead } => {
                let want = BLOCK.min((*len - *at) as usize);
                let before = ahead.bytes.len();
                ahead.bytes.resize(before + want, 0);
                let (file, offset, target) = (&*file, *at, &mut ahead.bytes[before..]);
                py.detach(|| file.read_exact_at(target, offset)).map_err(PyOSError::new_err)?;
                *at += want as u64;
                Ok(want > 0)
            }
            Source::Stream { ended: true, .. } => Ok(false),
            Source::Stream { stream, ahead, ended } => {
                fill(py, stream, ahead, ended, usize::MAX)?;
                Ok(true)
            }
        }
    }
}

#[pyclass(module = "daemun._daemun", name = "Input")]
pub struct Input {
    source: Source,
}

impl Input {
    pub fn empty(py: Python<'_>) -> Input {
        Self::memory(PyBytes::new(py, b"").unbind())
    }

    pub fn memory(bytes: Py<PyBytes>) -> Input {
        Input { source: Source::Memory { bytes, at: 0 } }
    }

    pub fn file(file: File, len: u64) -> Input {
        Input { source: Source::File { file, at: 0, len, ahead: Ahead::default() } }
    }

    pub fn stream(stream: Arc<BodyStream>) -> Input {
        Input { source: Source::Stream { stream, ahead: Ahead::default(), ended: false } }
    }
}

/// A size argument: `None` and negative numbers mean everything.
fn limit(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX)
}

#[pymethods]
impl Input {
    /// Up to `size` bytes; all that is left without one. Empty at the end.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&mut self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        match &mut self.source {
            Source::Memory { bytes, at } => {
                let whole = bytes.bind(py);
                let rest = whole.as_bytes().len() - *at;
                let len = limit.min(rest);
                if *at == 0 && len == rest {
                    *at = len;
                    return Ok(whole.clone());
                }
                let taken = PyBytes::new(py, &whole.as_bytes()[*at..*at + len]);
                *at += len;
                Ok(taken)
            }
            Source::File { file, at, len, ahead } => {
                if !ahead.rest().is_empty() && ahead.rest().len() >= limit {
                    return Ok(ahead.take(py, limit));
                }
                let head = std::mem::take(ahead);
                let want = (limit - head.rest().len()).min((*len - *at) as usize);
                let offset = *at;
                let read = PyBytes::new_with(py, head.rest().len() + want, |target| {
                    let (first, second) = target.split_at_mut(head.rest().len());
                    first.copy_from_slice(head.rest());
                    let file = &*file;
                    py.detach(|| file.read_exact_at(second, offset)).map_err(PyOSError::new_err)
                })?;
                *at += want as u64;
                Ok(read)
            }
            Source::Stream { stream, ahead, ended } => {
                while ahead.rest().len() < limit && !*ended {
                    fill(py, stream, ahead, ended, limit)?;
                }
                let len = ahead.rest().len().min(limit);
                Ok(ahead.take(py, len))
            }
        }
    }

    /// One line with its end, or up to `size` bytes of it.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&mut self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        let line = |rest: &[u8]| memchr::memchr(b'\n', rest).map(|at| at + 1);
        if let Source::Memory { bytes, at } = &mut self.source {
            let rest = &bytes.bind(py).as_bytes()[*at..];
            let len = line(rest).unwrap_or(rest.len()).min(limit);
            let taken = PyBytes::new(py, &rest[..len]);
            *at += len;
            return Ok(taken);
        }
        let mut searched = 0;
        loop {
            let rest = self.source.ahead();
            let end = line(&rest[searched..]).map(|end| searched + end);
            searched = rest.len();
            if end.is_none() && searched < limit && self.source.read_block(py)? {
                continue;
            }
            return Ok(self.source.take(py, end.unwrap_or(searched).min(limit)));
        }
    }

    /// All lines, or lines until `hint` bytes are reached.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&mut self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let hint = match hint {
            Some(hint) if hint > 0 => hint as usize,
            _ => usize::MAX,
        };
        let lines = PyList::empty(py);
        let mut total = 0;
        while total < hint {
            let line = self.readline(py, None)?;
            let len = line.as_bytes().len();
            if len == 0 {
                break;
            }
            total += len;
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok(if line.as_bytes().is_empty() { None } else { Some(line) })
    }

    fn readable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        false
    }

    fn seekable(&self) -> bool {
        false
    }

    /// Reads into a writable buffer; the number of bytes.
    fn readinto(&mut self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let view = py.import("builtins")?.getattr("memoryview")?.call1((buffer,))?;
        let view = view.call_method1("cast", ("B",))?;
        let size = view.len()?;
        let data = self.read(py, Some(isize::try_from(size).unwrap_or(isize::MAX)))?;
        let len = data.as_bytes().len();
        if len > size {
            return Err(PyValueError::new_err("read more than asked for"));
        }
        view.set_item(pyo3::types::PySlice::new(py, 0, len as isize, 1), data)?;
        Ok(len)
    }

    /// Nothing to do: the body goes with its request.
    fn close(&self) {}

    #[getter]
    fn closed(&self) -> bool {
        false
    }
}

/// Waits for more of a stream, without the interpreter's lock.
fn fill(py: Python<'_>, stream: &Arc<BodyStream>, ahead: &mut Ahead, ended: &mut bool, limit: usize) -> PyResult<()> {
    let want = limit.saturating_sub(ahead.rest().len()).clamp(1, BLOCK);
    let bytes = py.detach(|| stream.read(want)).map_err(|error| match error {
        BodyError::Disconnected => {
            PyConnectionResetError::new_err("the client went away before its request was complete")
        }
        BodyError::Malformed => PyOSError::new_err("the request body is malformed or too large"),
    })?;
    *ended = bytes.is_empty();
    ahead.bytes.extend_from_slice(&bytes);
    Ok(())
}
