//! `send` of an HTTP scope (ASGI HTTP specification 2.5, with the extensions that its scope lists).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;

use http::app::{Duplex, Severity};
use http::exchange::{Chunk, FileSlice, Request, ResponseHead};
use http::handlers::errors;
use http::transport::sender::{COPY, Sender};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use wire::h1::{Known, Method, Version, encode};

use super::cell::Attached;
use super::event_loop::EventLoop;
use super::exchange::{ClientDisconnected, Step, waiter};
use super::message::{self, Bytes};

/// How far the answer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// `http.response.start` has not come.
    Start,
    /// It has, and is kept until the body begins: so an error in between can still be answered.
    Head,
    Body,
    Trailers,
    Complete,
}

/// The answer, as far as the application has sent it.
pub struct Answer {
    phase: Phase,
    head: Option<ResponseHead>,
    /// The application has announced trailers.
    trailers: bool,
    /// The client takes them (RFC 9110 section 6.5.1).
    takes_trailers: bool,
    /// Bytes that are missing of the announced Content-Length.
    left: Option<u64>,
    is_head: bool,
}

impl Answer {
    pub fn new(request: &Request) -> Answer {
        Answer {
            phase: Phase::Start,
            head: None,
            trailers: false,
            takes_trailers: request.head.version != Version::Http10 && takes_trailers(request),
            left: None,
            is_head: request.head.method == Method::Head,
        }
    }
}

/// Whether a TE field has `trailers`.
fn takes_trailers(request: &Request) -> bool {
    let fields = request.head.fields.iter().filter(|field| field.known == Known::Te);
    let mut members = fields.flat_map(|field| field.value.of(&request.buf).split(|&byte| byte == b','));
    members.any(|member| {
        let coding = member.split(|&byte| byte == b';').next().unwrap_or_default();
        coding.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// What `send` raises when the client has gone.
fn gone() -> PyErr {
    ClientDisconnected::new_err("the client has disconnected")
}

/// `send`.
pub fn send(
    py: Python<'_>,
    event_loop: &EventLoop,
    duplex: &Duplex,
    answer: &Attached<Answer>,
    given: &Bound<'_, PyAny>,
) -> PyResult<Step> {
    let given = message::dictionary(given)?;
    let kind = message::type_of(given)?;
    let kind = kind.to_str()?;
    // A piece of the body waits for room before it is taken. What had to wait comes here again.
    if kind != "http.response.start" && !duplex.has_room() {
        let (future, resume) = waiter(py, event_loop)?;
        if duplex.wait_for_room(resume) {
            return Ok(Step::Wait(future));
        }
    }
    match kind {
        "http.response.start" => start(py, duplex, answer, given)?,
        "http.response.body" => body(py, duplex, answer, given)?,
        "http.response.trailers" => trailers(py, duplex, answer, given)?,
        "http.response.pathsend" => pathsend(py, duplex, answer, given)?,
        "http.response.zerocopysend" => zerocopysend(py, duplex, answer, given)?,
        "http.response.early_hint" => early_hint(py, duplex, answer, given)?,
        // For test clients that look into the application; a server has nothing to do with it.
        "http.response.debug" => {}
        other => return Err(answer.with(py, |answer| Ok(answer.unexpected(other)))?),
    }
    Ok(Step::Ready(py.None()))
}

impl Answer {
    fn unexpected(&self, kind: &str) -> PyErr {
        let expected = match self.phase {
            Phase::Start => "http.response.start",
            Phase::Head | Phase::Body => "http.response.body",
            Phase::Trailers => "http.response.trailers",
            Phase::Complete => {
                return PyRuntimeError::new_err(format!(
                    "Unexpected ASGI message '{kind}' sent, after response already completed."
                ));
            }
        };
        PyRuntimeError::new_err(format!("Expected ASGI message '{expected}', but got '{kind}'."))
    }

    /// Checks that a body, or a part of one, may come, and takes the head if it is still here. `len`: bytes that come;
    /// `last`: nothing comes after them.
    fn begin_body(&mut self, kind: &str, len: u64, last: bool) -> PyResult<Option<ResponseHead>> {
        if !matches!(self.phase, Phase::Head | Phase::Body) {
            return Err(self.unexpected(kind));
        }
        let head = self.head.take().map(|mut head| {
            if head.length.is_none() && last && !self.is_head && !self.trailers {
                head.length = Some(len);
            }
            if !self.is_head && !matches!(head.status, 204 | 304) {
                self.left = head.length;
            }
            head
        });
        if let Some(left) = self.left {
            if len > left {
                self.head = head;
                return Err(PyRuntimeError::new_err("Response content longer than Content-Length"));
            }
            if last && len < left {
                self.head = head;
                return Err(PyRuntimeError::new_err("Response content shorter than Content-Length"));
            }
            self.left = Some(left - len);
        }
        self.phase = match (last, self.trailers) {
            (false, _) => Phase::Body,
            (true, true) => Phase::Trailers,
            (true, false) => Phase::Complete,
        };
        Ok(head)
    }
}

fn start(py: Python<'_>, duplex: &Duplex, answer: &Attached<Answer>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    answer.with(py, |answer| {
        if answer.phase == Phase::Start { Ok(()) } else { Err(answer.unexpected("http.response.start")) }
    })?;
    let status = message::status(given)?;
    let mut head = duplex.new_head(status);
    message::headers(given, intern!(py, "headers"), |name, value| message::add_field(&mut head, name, value))?;
    let trailers = message::flag(given, intern!(py, "trailers"))?;
    if duplex.is_gone() {
        return Err(gone());
    }
    answer.with(py, |answer| {
        answer.phase = Phase::Head;
        answer.head = Some(head);
        answer.trailers = trailers;
        Ok(())
    })
}

/// Adds to the answer, after the head if that has not been sent.
fn add(duplex: &Duplex, head: Option<ResponseHead>, add: impl FnOnce(&mut Sender)) -> PyResult<()> {
    match head {
        Some(head) => duplex.start(head, add),
        None => duplex.send(add),
    }
    .map_err(|_| gone())
}

fn body(py: Python<'_>, duplex: &Duplex, answer: &Attached<Answer>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    let bytes = message::body(given, intern!(py, "body"))?;
    let more = message::flag(given, intern!(py, "more_body"))?;
    let len = bytes.as_ref().map_or(0, |bytes| bytes.as_slice().len());
    let (head, complete) = answer.with(py, |answer| {
        let head = answer.begin_body("http.response.body", len as u64, !more)?;
        Ok((head, answer.phase == Phase::Complete))
    })?;
    match bytes {
        Some(bytes) if len > COPY => {
            let chunk = bytes.into_chunk();
            add(duplex, head, |sender| push(sender, Some(chunk), complete))
        }
        bytes => {
            let slice = bytes.as_ref().map_or(&[][..], Bytes::as_slice);
            add(duplex, head, |sender| {
                sender.copy(slice);
                push(sender, None, complete);
            })
        }
    }
}

fn push(sender: &mut Sender, chunk: Option<Chunk>, complete: bool) {
    if let Some(chunk) = chunk {
        sender.push(chunk);
    }
    if complete {
        sender.end();
    }
}

fn trailers(py: Python<'_>, duplex: &Duplex, answer: &Attached<Answer>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    let mut fields = ResponseHead::new(200);
    message::headers(given, intern!(py, "headers"), |name, value| message::add_field(&mut fields, name, value))?;
    let more = message::flag(given, intern!(py, "more_trailers"))?;
    let taken = answer.with(py, |answer| {
        if answer.phase != Phase::Trailers {
            return Err(answer.unexpected("http.response.trailers"));
        }
        if !more {
            answer.phase = Phase::Complete;
        }
        Ok(answer.takes_trailers)
    })?;
    add(duplex, None, |sender| {
        if taken {
            sender.trailer(&fields.fields);
        }
        if !more {
            sender.end();
        }
    })
}

fn pathsend(py: Python<'_>, duplex: &Duplex, answer: &Attached<Answer>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    let path = message::required(given, intern!(py, "path"))?;
    let path: std::path::PathBuf = path.extract()?;
    let file = py.detach(|| File::open(&path)).map_err(|error| os_error(&error, &path))?;
    let metadata = file.metadata().map_err(|error| os_error(&error, &path))?;
    if !metadata.is_file() {
        return Err(PyOSError::new_err(format!("{} is not a file", path.display())));
    }
    // It is the whole body.
    answer.with(py, |answer| {
        if answer.phase == Phase::Body { Err(answer.unexpected("http.response.pathsend")) } else { Ok(()) }
    })?;
    let len = metadata.len();
    send_file(py, duplex, answer, "http.response.pathsend", FileSlice { file: Arc::new(file), offset: 0, len }, false)
}

fn os_error(error: &std::io::Error, path: &std::path::Path) -> PyErr {
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
    PyOSError::new_err((error.raw_os_error().unwrap_or(0), reason, path.display().to_string()))
}

fn zerocopysend(py: Python<'_>, duplex: &Duplex, answer: &Attached<Answer>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    use std::io::{Seek, SeekFrom};
    let file = message::required(given, intern!(py, "file"))?;
    let fd: RawFd = match file.extract::<RawFd>() {
        Ok(fd) => fd,
        Err(_) => file.call_method0(intern!(py, "fileno"))?.extract()?,
    };
    let number = |key: &Bound<'_, PyString>| -> PyResult<Option<u64>> {
        match given.get_item(key)? {
            Some(value) if !value.is_none() => Ok(Some(value.extract()?)),
            _ => Ok(None),
        }
    };
    let (offset, count) = (number(intern!(py, "offset"))?, number(intern!(py, "count"))?);
    let more = message::flag(given, intern!(py, "more_body"))?;
    if fd < 0 {
        return Err(PyValueError::new_err("`file` is closed"));
    }
    // SAFETY: a descriptor that the application holds open during this call; only duplicated.
    let owned = unsafe { BorrowedFd::borrow_raw(fd) }.as_fd().try_clone_to_owned().map_err(PyOSError::new_err)?;
    let mut file = File::from(owned);
    let size = file.metadata().map_err(PyOSError::new_err)?.len();
    let start = match offset {
        Some(offset) => offset,
        None => file.stream_position().map_err(PyOSError::new_err)?,
    };
    let len = count.unwrap_or(u64::MAX).min(size.saturating_sub(start));
    if offset.is_none() {
        // As if it had been read.
        file.seek(SeekFrom::Start(start + len)).map_err(PyOSError::new_err)?;
    }
    let slice = FileSlice { file: Arc::new(file), offset: start, len };
    send_file(py, duplex, answer, "http.response.zerocopysend", slice, more)
}

fn send_file(
    py: Python<'_>,
    duplex: &Duplex,
    answer: &Attached<Answer>,
    kind: &str,
    slice: FileSlice,
    more: bool,
) -> PyResult<()> {
    let (head, complete) = answer.with(py, |answer| {
        let head = answer.begin_body(kind, slice.len, !more)?;
        Ok((head, answer.phase == Phase::Complete))
    })?;
    let chunk = (slice.len > 0).then_some(Chunk::File(slice));
    add(duplex, head, |sender| push(sender, chunk, complete))
}

fn early_hint(py: Python<'_>, duplex: &Duplex, answer: &Attached<Answer>, given: &Bound<'_, PyDict>) -> PyResult<()> {
    let links = message::required(given, intern!(py, "links"))?;
    let mut fields = Vec::new();
    for link in links.try_iter()? {
        let link = Bytes::of(link?, "a link")?;
        if !encode::is_field_value(link.as_slice()) {
            return Err(PyValueError::new_err("a link has a character that must not be in a header's value"));
        }
        encode::field(&mut fields, b"Link", link.as_slice());
    }
    answer.with(py, |answer| {
        let early = matches!(answer.phase, Phase::Start | Phase::Head);
        if early { Ok(()) } else { Err(answer.unexpected("http.response.early_hint")) }
    })?;
    add(duplex, None, |sender| sender.informational(103, &fields))
}

/// What is to be done when the application has returned, or raised.
pub fn ended(py: Python<'_>, duplex: &Duplex, answer: &Attached<Answer>, error: Option<&PyErr>) {
    let (phase, is_head) =
        answer.with(py, |answer| Ok((answer.phase, answer.is_head))).unwrap_or((Phase::Complete, false));
    let gone = duplex.is_gone();
    if let Some(error) = error
        // An application that ends because its client has gone has done nothing wrong, nor one that is cancelled
        // because the worker ends.
        && !(gone && error.is_instance_of::<PyOSError>(py))
        && !duplex.is_cut()
    {
        let trace = crate::traceback::text(py, error);
        duplex.log(Severity::Error, &format!("Exception in ASGI application\n{trace}"));
    }
    if phase != Phase::Complete && !gone {
        match phase {
            Phase::Start if error.is_none() => {
                duplex.log(Severity::Error, "ASGI callable returned without starting response.");
            }
            _ if error.is_none() => {
                duplex.log(Severity::Error, "ASGI callable returned without completing response.");
            }
            _ => {}
        }
        if matches!(phase, Phase::Start | Phase::Head) {
            let (mut head, body) = errors::answer(500);
            head.close = true;
            let _ = duplex.start(head, |sender| {
                if !is_head {
                    sender.copy(body.as_bytes());
                }
                sender.end();
            });
        } else {
            let _ = duplex.send(Sender::abort);
        }
    }
    duplex.finish();
}
