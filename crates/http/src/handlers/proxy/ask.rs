//! One server asked: a connection to it, the request sent, the head of its answer read. Every wait ends when its time is
//! over, when the client goes, or when the worker ends.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::task::{Context, Poll};

use wire::h1::answer::Fault;

use super::failure::{Failure, Stop};
use crate::log::Level;
use crate::transport::Conn;
use crate::transport::receive::Pump;
use crate::transport::sender::Sender;
use crate::upstream::exchange::{Exchange, NoHead, Outgoing, Said};

/// Waits for something that has to do with a server, so many milliseconds at most. The error is the wait's own.
pub async fn within<T>(
    conn: &mut Conn,
    ms: u64,
    ignore_abort: bool,
    future: impl Future<Output = T>,
) -> Result<T, Waited> {
    let mut future = pin!(future);
    conn.arm(ms);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => hold(cx, conn, ignore_abort).map(Err),
    })
    .await
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waited {
    TooLong,
    /// The client is gone, or the worker is ending.
    Gone,
}

/// Still waiting, unless there is a reason not to.
fn hold(cx: &mut Context<'_>, conn: &mut Conn, ignore_abort: bool) -> Poll<Waited> {
    if conn.expired() {
        return Poll::Ready(Waited::TooLong);
    }
    if conn.engine.is_stopping() || (!ignore_abort && conn.stream.poll_gone(cx)) {
        return Poll::Ready(Waited::Gone);
    }
    conn.watch.register(cx);
    Poll::Pending
}

/// Limits of time, in ms, and sizes in bytes.
#[derive(Clone, Copy)]
pub struct Limits {
    pub send: u64,
    pub read: u64,
    /// Of the request's body.
    pub body: u64,
    pub head: usize,
    pub ignore_abort: bool,
}

/// What came of asking.
pub enum Heard {
    Head,
    Waited(Waited, Doing),
    Broken(NoHead, Doing),
    /// The request's body could not be read.
    Body(crate::transport::receive::Failure),
}

/// What was being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    Sending,
    Reading,
}

impl Doing {
    pub fn text(self) -> &'static str {
        match self {
            Doing::Sending => "sending request to upstream",
            Doing::Reading => "reading response header from upstream",
        }
    }
}

/// Sends the request and reads until the head of an answer is complete. A server may answer before it has all of the
/// request.
pub async fn ask(
    conn: &mut Conn,
    sender: &mut Sender,
    exchange: &mut Exchange,
    body: &Outgoing<'_>,
    pump: &mut Option<Pump>,
    limits: Limits,
) -> Heard {
    let mut sent = false;
    conn.arm(limits.send);
    poll_fn(|cx| {
        if let Some(pump) = pump.as_mut().filter(|pump| !pump.done) {
            let _ = pump.poll(cx, conn, sender, limits.body);
            if let Some(failure) = pump.failure.take() {
                return Poll::Ready(Heard::Body(failure));
            }
        }
        let mut broken = None;
        if !sent {
            let mut progress = false;
            match exchange.poll_send(cx, body, &mut progress) {
                Poll::Ready(Ok(())) => {
                    sent = true;
                    conn.arm(limits.read);
                }
                // What it has said before it closed may still be there.
                Poll::Ready(Err(error)) => broken = Some(error),
                Poll::Pending if progress => conn.arm(limits.send),
                Poll::Pending => {}
            }
        }
        let doing = if sent { Doing::Reading } else { Doing::Sending };
        match exchange.poll_head(cx, limits.head) {
            Poll::Ready(Ok(())) => return Poll::Ready(Heard::Head),
            Poll::Ready(Err(why)) => {
                return Poll::Ready(match broken {
                    Some(error) => Heard::Broken(NoHead::Socket(error), Doing::Sending),
                    None => Heard::Broken(why, Doing::Reading),
                });
            }
            Poll::Pending => {}
        }
        if let Some(error) = broken {
            return Poll::Ready(Heard::Broken(NoHead::Socket(error), Doing::Sending));
        }
        hold(cx, conn, limits.ignore_abort).map(|waited| Heard::Waited(waited, doing))
    })
    .await
}

/// What the log is told where a server took too long.
pub const LATE: &str = "upstream timed out (110: Connection timed out)";

/// A failed system call, in nginx's words.
pub fn failed(call: &str, error: &io::Error) -> String {
    if let Some(said) = error.get_ref().and_then(|inner| inner.downcast_ref::<Said>()) {
        return said.to_string();
    }
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        let call = if call == "recv()" { "SSL_read()" } else { "SSL_write()" };
        return format!("{call} failed (SSL: {})", crate::tls::words::of(tls));
    }
    let text = match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text);
            return format!("{call} failed ({number}: {text})");
        }
        None => error.to_string(),
    };
    format!("{call} failed ({text})")
}

/// What the error log is told where there is no head, and what that counts as.
pub fn judge(why: &NoHead, doing: Doing, raw: &[u8]) -> (Level, String, Failure) {
    match why {
        NoHead::Closed(_) => (Level::Error, "upstream prematurely closed connection".to_owned(), Failure::Error),
        NoHead::Socket(error) if error.kind() == ErrorKind::TimedOut => {
            (Level::Error, LATE.to_owned(), Failure::Timeout)
        }
        NoHead::Socket(error) => {
            let call = if doing == Doing::Sending { "writev()" } else { "recv()" };
            (Level::Error, failed(call, error), Failure::Error)
        }
        NoHead::Refused(why) => (Level::Error, why.clone(), Failure::Refused),
        NoHead::Rejected(why) => (Level::Error, why.clone(), Failure::InvalidHeader),
        NoHead::Fault(fault) => {
            let line = |span: &wire::h1::Span| String::from_utf8_lossy(span.of(raw)).into_owned();
            let field = |field: &wire::h1::Field| format!("\"{}: {}\"", line(&field.name), line(&field.value));
            let message = match fault {
                Fault::TooLarge => "upstream sent too big header".to_owned(),
                Fault::NoStatusLine => "upstream sent no valid HTTP/1.0 header".to_owned(),
                Fault::Field(span) => format!("upstream sent invalid header: \"{}\"", line(span)),
                Fault::Repeated(other) => format!("upstream sent duplicate header line: {}", field(other)),
                Fault::Length(other) => format!("upstream sent invalid \"Content-Length\" header: {}", field(other)),
                Fault::Coding(other) => {
                    format!("upstream sent unknown \"Transfer-Encoding\": \"{}\"", line(&other.value))
                }
                Fault::LengthAndCoding => {
                    "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time".to_owned()
                }
            };
            (Level::Error, message, Failure::InvalidHeader)
        }
    }
}

impl From<Waited> for Stop {
    fn from(waited: Waited) -> Stop {
        match waited {
            Waited::TooLong => Stop::Failed(Failure::Timeout),
            Waited::Gone => Stop::Gone,
        }
    }
}
