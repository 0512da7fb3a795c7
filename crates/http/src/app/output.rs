//! What an application answers through: straight into the connection's sender when it is called in the connection's
//! own task, or into a channel when it runs on another thread.

use std::time::{Duration, Instant};

use super::channel::{Channel, Event};
use crate::exchange::{Chunk, ResponseHead};
use crate::log::error::Level;
use crate::transport::io::Stream;
use crate::transport::sender::Sender;

/// The client is gone; further output is pointless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Level of a line for the error log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Debug,
    Info,
    Warning,
    Error,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Level {
        match severity {
            Severity::Debug => Level::Debug,
            Severity::Info => Level::Info,
            Severity::Warning => Level::Warning,
            Severity::Error => Level::Error,
        }
    }
}

/// A call that took longer is slow.
pub const SLOW: Duration = Duration::from_micros(500);
/// An inline answer that is still being produced after this time is carried on by the job loop.
const LONGEST_INLINE: Duration = Duration::from_millis(4);
/// An inline answer with more than this many bytes unsent is carried on by the job loop.
const INLINE_MEMORY: usize = 256 * 1024;
/// How long a thread that is held up by `limit_rate` sleeps.
const PAUSE: Duration = Duration::from_millis(20);

enum Sink<'a> {
    Inline(Inline<'a>),
    Channel { channel: &'a Channel, events: Vec<Event>, started: bool, left: Option<u64> },
}

/// What an answer in the connection's own task needs of it.
pub struct Inline<'a> {
    pub sender: &'a mut Sender,
    pub stream: &'a mut Stream,
    /// Lines for the error log.
    pub log: &'a mut Vec<(Severity, String)>,
    /// The rest of a long answer may be given up to the job loop.
    pub may_suspend: bool,
    /// Whether the worker drains, so that the connection is to end with this answer.
    pub draining: &'a dyn Fn() -> bool,
    /// How long the client may take nothing, in ms.
    pub send_timeout: u64,
    /// When the application was called.
    pub called: Instant,
}

impl Inline<'_> {
    /// Writes what the socket takes; waits for the client while more is unsent than may be kept, if nobody else can.
    fn flush(&mut self) -> Result<(), Gone> {
        self.sender.try_flush(self.stream).map_err(|_| Gone)?;
        if !self.may_suspend && self.stream.is_multiplexed() {
            // This thread would have to drive the connection meanwhile.
            return self.sender.spill().map_err(|_| Gone);
        }
        while !self.may_suspend && self.sender.pending() > INLINE_MEMORY {
            if self.sender.must_pause() {
                std::thread::sleep(PAUSE);
            } else if !self.stream.wait_writable(self.send_timeout) {
                return Err(Gone);
            }
            self.sender.try_flush(self.stream).map_err(|_| Gone)?;
        }
        Ok(())
    }
}

/// Where one answer goes.
pub struct Output<'a> {
    sink: Sink<'a>,
}

impl<'a> Output<'a> {
    /// For a call in the connection's own task.
    pub fn inline(inline: Inline<'a>) -> Self {
        Output { sink: Sink::Inline(inline) }
    }

    /// For a call on another thread.
    pub fn channel(channel: &'a Channel) -> Self {
        let sink = Sink::Channel { channel, events: Vec::new(), started: false, left: None };
        Output { sink }
    }

    /// For the rest of an answer whose head is already with the connection.
    pub fn resumed(channel: &'a Channel) -> Self {
        let sink = Sink::Channel { channel, events: Vec::new(), started: true, left: None };
        Output { sink }
    }

    /// An empty head, with memory that has been used before where there is some.
    pub fn new_head(&mut self, status: u16) -> ResponseHead {
        match &mut self.sink {
            Sink::Inline(inline) if !inline.sender.started => inline.sender.recycled_head(status),
            _ => ResponseHead::new(status),
        }
    }

    /// The head of the answer. Once, before any body.
    pub fn start(&mut self, head: ResponseHead) {
        match &mut self.sink {
            Sink::Inline(inline) => {
                if (inline.draining)() {
                    inline.sender.keep_alive = false;
                }
                inline.sender.start(head);
            }
            Sink::Channel { events, started, left, .. } => {
                *started = true;
                *left = head.length;
                events.push(Event::Head(head));
            }
        }
    }

    pub fn is_started(&self) -> bool {
        match &self.sink {
            Sink::Inline(inline) => inline.sender.started,
            Sink::Channel { started, .. } => *started,
        }
    }

    /// An interim answer such as 103 (RFC 8297); `fields` are encoded lines. Sent at once.
    pub fn informational(&mut self, status: u16, fields: Vec<u8>) -> Result<(), Gone> {
        match &mut self.sink {
            Sink::Inline(inline) => inline.sender.informational(status, &fields),
            Sink::Channel { events, .. } => events.push(Event::Informational(status, fields)),
        }
        self.flush()
    }

    /// A short piece of the body, copied.
    pub fn copy(&mut self, bytes: &[u8]) {
        match &mut self.sink {
            Sink::Inline(inline) => inline.sender.copy(bytes),
            Sink::Channel { .. } => self.push(Chunk::Bytes(bytes.to_vec())),
        }
    }

    /// A piece of the body.
    pub fn push(&mut self, chunk: Chunk) {
        match &mut self.sink {
            Sink::Inline(inline) => inline.sender.push(chunk),
            Sink::Channel { events, left, .. } => {
                if let Some(left) = left {
                    *left = left.saturating_sub(chunk.len());
                }
                events.push(Event::Body(chunk));
            }
        }
    }

    /// Whether all bytes of the announced Content-Length are here, so that nothing waits for what the application
    /// does after its last byte.
    pub fn is_satisfied(&self) -> bool {
        match &self.sink {
            Sink::Inline(inline) => inline.sender.is_satisfied(),
            Sink::Channel { left, .. } => *left == Some(0),
        }
    }

    /// Whether another thread does the sending, so that what is delivered now is not held up by this one.
    pub fn is_remote(&self) -> bool {
        matches!(self.sink, Sink::Channel { .. })
    }

    /// Sends what is here. May wait for the client: to be called without the interpreter's lock.
    pub fn flush(&mut self) -> Result<(), Gone> {
        super::jobs::beat();
        match &mut self.sink {
            Sink::Inline(inline) => inline.flush(),
            Sink::Channel { channel, events, .. } => channel.deliver(events),
        }
    }

    /// The application sends in a way that cannot be suspended (`write`): from now on a full buffer makes it wait.
    pub fn never_suspend(&mut self) {
        if let Sink::Inline(inline) = &mut self.sink {
            inline.may_suspend = false;
        }
    }

    /// Whether the calling thread should give the rest of the answer up to the job loop: the call is slow, or more is
    /// unsent than a thread that also serves the sockets may keep.
    pub fn should_suspend(&self) -> bool {
        match &self.sink {
            Sink::Inline(Inline { sender, may_suspend: true, called, .. }) => {
                sender.pending() > INLINE_MEMORY || called.elapsed() > LONGEST_INLINE
            }
            _ => false,
        }
    }

    /// The answer is complete.
    pub fn end(&mut self) {
        match &mut self.sink {
            Sink::Inline(inline) => inline.sender.end(),
            Sink::Channel { events, .. } => events.push(Event::End),
        }
    }

    /// The answer cannot be completed: the client sees a broken connection.
    pub fn abort(&mut self) {
        match &mut self.sink {
            Sink::Inline(inline) => inline.sender.abort(),
            Sink::Channel { events, .. } => events.push(Event::Abort),
        }
    }

    /// A line for the error log.
    pub fn log(&mut self, severity: Severity, line: String) {
        match &mut self.sink {
            Sink::Inline(inline) => inline.log.push((severity, line)),
            Sink::Channel { events, .. } => events.push(Event::Log(severity, line)),
        }
    }
}

impl Drop for Output<'_> {
    /// Nothing that was accepted stays behind.
    fn drop(&mut self) {
        if let Sink::Channel { channel, events, .. } = &mut self.sink
            && !events.is_empty()
        {
            let _ = channel.deliver(events);
        }
    }
}
