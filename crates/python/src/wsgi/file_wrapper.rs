//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling"): a file that is sent by sendfile where
//! it is one, and read in blocks where it is not.

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use http::exchange::{Chunk, FileSlice};
use pyo3::intern;
use pyo3::prelude::*;

use super::start_response::Active;

#[pyclass(module = "daemun._daemun", name = "FileWrapper")]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        FileWrapper { filelike, blksize: blksize.max(1) }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let data = self.filelike.bind(py).call_method1(intern!(py, "read"), (self.blksize,))?;
        Ok(if data.is_truthy()? { Some(data.unbind()) } else { None })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(close) = self.filelike.bind(py).getattr_opt(intern!(py, "close"))? {
            close.call0()?;
        }
        Ok(())
    }
}

impl FileWrapper {
    /// Sends the file from where it stands; `false`: it is not a regular file and has to be read.
    pub fn send(wrapper: &Bound<'_, PyAny>, active: &Active<'_>) -> PyResult<bool> {
        let py = wrapper.py();
        let filelike = wrapper.cast::<FileWrapper>()?.borrow().filelike.clone_ref(py);
        let Some(slice) = slice_of(filelike.bind(py)) else { return Ok(false) };
        let len = slice.len;
        active.start(Some(len))?;
        active.with(|_, out| out.push(Chunk::File(slice)));
        Ok(true)
    }
}

/// The rest of a regular file behind a Python file object.
fn slice_of(filelike: &Bound<'_, PyAny>) -> Option<FileSlice> {
    let py = filelike.py();
    let fd: RawFd = filelike.call_method0(intern!(py, "fileno")).ok()?.extract().ok().filter(|fd| *fd >= 0)?;
    let offset: u64 = filelike.call_method0(intern!(py, "tell")).ok()?.extract().ok()?;
    // SAFETY: the file object has just told this descriptor and is alive; it is only used to duplicate it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let file = File::from(borrowed.try_clone_to_owned().ok()?);
    let status = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(FileSlice { file: Arc::new(file), offset, len: status.len().saturating_sub(offset) })
}
