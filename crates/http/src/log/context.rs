//! Who a message of the error log is about: what nginx writes behind it.

use std::fmt::{self, Display};

/// What is known of a connection and its request. It only borrows, so that making one costs nothing when the message
/// is not written.
#[derive(Clone, Copy, Default)]
pub struct Context<'a> {
    /// The connection's number: `*17` before the message.
    pub connection: Option<u64>,
    /// What was being done: ` while ` and this follow the message. Empty: nothing worth telling.
    pub doing: &'a str,
    pub client: Option<&'a dyn Display>,
    /// The server's first name, or the address it listens on while there is no request.
    pub server: Option<&'a [u8]>,
    /// The request line, without its end; empty while there is none.
    pub request: &'a [u8],
    /// The URI of a subrequest, if the message is about one.
    pub subrequest: &'a [u8],
    /// The URL of the server that was asked, if one was.
    pub upstream: &'a [u8],
    pub host: Option<&'a [u8]>,
    pub referrer: Option<&'a [u8]>,
}

impl Context<'_> {
    /// Writes it behind a message: ` while reading client request headers, client: 127.0.0.1, server: localhost, …`
    pub fn write(&self, out: &mut Line) -> fmt::Result {
        use fmt::Write;
        if !self.doing.is_empty() {
            write!(out, " while {}", self.doing)?;
        }
        if let Some(client) = self.client {
            write!(out, ", client: {client}")?;
        }
        if let Some(server) = self.server {
            out.write_str(", server: ")?;
            out.bytes(server);
        }
        let quoted =
            [("request", Some(self.request)), ("subrequest", Some(self.subrequest)), ("upstream", Some(self.upstream))];
        let quoted = quoted.map(|(name, value)| (name, value.filter(|value| !value.is_empty())));
        for (name, value) in quoted.into_iter().chain([("host", self.host), ("referrer", self.referrer)]) {
            if let Some(value) = value {
                write!(out, ", {name}: \"")?;
                out.bytes(value);
                out.write_char('"')?;
            }
        }
        Ok(())
    }
}

/// A line in the making. What is written into it has its control characters escaped as `\x1b`, so that no peer and no
/// application can forge a line or talk to a terminal.
pub struct Line {
    pub text: String,
    /// Whether line ends stay.
    pub keep_lines: bool,
}

impl Line {
    /// Appends bytes of unknown origin; those that are not UTF-8 become `\xff`.
    pub fn bytes(&mut self, bytes: &[u8]) {
        use fmt::Write;
        for chunk in bytes.utf8_chunks() {
            let _ = self.write_str(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(self.text, "\\x{byte:02x}");
            }
        }
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.chars() {
            match part {
                '\n' if self.keep_lines => self.text.push('\n'),
                '\t' => self.text.push('\t'),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                control if control.is_control() => write!(self.text, "\\x{:02x}", u32::from(control))?,
                other => self.text.push(other),
            }
        }
        Ok(())
    }
}
