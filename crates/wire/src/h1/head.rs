//! A request head (RFC 9112 sections 2 to 6): one pass over the bytes, resumed where it stopped when more arrive.
//!
//! The result depends on the bytes only, never on how they were cut into reads: each check is made when a line is
//! complete, and a limit is broken at a position, not at a read.

use super::nginx;
use super::scan::{control, decimal, list, token_len};
use super::target::{is_host, request_line};
use super::{AsNginx, Field, Form, Framing, Known, Limits, Method, Refusal, Span, Version};

/// Blank lines that are skipped before a request line (RFC 9112 section 2.2).
const BLANK_LINES: u8 = 4;

/// A parsed request head: positions in the buffer it was parsed from. Meant to be used again and again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub method: Method,
    pub method_text: Span,
    /// The request target as sent.
    pub target: Span,
    pub form: Form,
    /// Of the absolute and the authority form; empty otherwise. It stands above Host (RFC 9112 section 3.2.2).
    pub authority: Span,
    /// As sent, without query and fragment. Empty for the authority form, and for an absolute form without path.
    pub path: Span,
    pub query: Option<Span>,
    pub version: Version,
    pub fields: Vec<Field>,
    /// Bytes of the head, with skipped blank lines before it and the blank line that ends it.
    pub len: usize,
    pub framing: Framing,
    /// Whether the client lets the connection stay (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// `Expect: 100-continue` in an HTTP/1.1 request.
    pub expect_continue: bool,
    /// An Upgrade field that Connection nominates (RFC 9110 section 7.8).
    pub upgrade: bool,
    /// The value of the Host field.
    pub host: Option<Span>,
    /// Lines that were left out because they are no good fields, as nginx does; the first few of them.
    pub left_out: Vec<Span>,
    progress: Progress,
}

/// Where a parse stands. `line <= scanned <= bytes seen so far`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Progress {
    /// Where the current line begins.
    pub(super) line: usize,
    /// No control character is between `line` and here.
    pub(super) scanned: usize,
    /// Where the buffer that the current line is in would begin with nginx, and how many large ones there are.
    pub(super) buffer: usize,
    pub(super) buffers: usize,
    stage: Stage,
    blank_lines: u8,
    /// The text was made from an HTTP/2 request.
    http2: bool,
    /// That has a body, of whatever length.
    body: bool,
    length: Option<u64>,
    coding: bool,
    close: bool,
    stay: bool,
    upgrade_token: bool,
    upgrade_field: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Stage {
    #[default]
    RequestLine,
    Fields,
    Done,
}

impl Default for Head {
    fn default() -> Self {
        Head {
            method: Method::Other,
            method_text: Span::default(),
            target: Span::default(),
            form: Form::Origin,
            authority: Span::default(),
            path: Span::default(),
            query: None,
            version: Version::Http11,
            fields: Vec::new(),
            len: 0,
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            upgrade: false,
            host: None,
            left_out: Vec::new(),
            progress: Progress::default(),
        }
    }
}

impl Head {
    pub fn new() -> Self {
        Head::default()
    }

    /// Forgets everything but the memory. Needed before another buffer is parsed after an incomplete parse.
    pub fn reset(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Head { fields, ..Head::default() };
    }

    /// Whether the request line was read.
    pub fn has_line(&self) -> bool {
        self.progress.stage != Stage::RequestLine
    }

    /// Of a head that is refused or not complete: where the last line that was looked at begins.
    pub fn last_line(&self) -> usize {
        self.progress.line
    }

    /// Whether it is that of an HTTP/2 request, or is to be.
    pub(super) fn is_http2(&self) -> bool {
        self.progress.http2
    }

    /// The value of the first field of that name.
    pub fn find<'b>(&self, buf: &'b [u8], known: Known) -> Option<&'b [u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| field.value.of(buf))
    }

    /// The value of the first field of that name, which may be an unusual one, in any case.
    pub fn get<'b>(&self, buf: &'b [u8], name: &str) -> Option<&'b [u8]> {
        let name = name.as_bytes();
        match Known::of(name) {
            Known::Other => {
                let mut others = self.fields.iter().filter(|field| field.known == Known::Other);
                others.find(|field| field.name.of(buf).eq_ignore_ascii_case(name)).map(|field| field.value.of(buf))
            }
            known => self.find(buf, known),
        }
    }
}

/// Parses the head at the start of `buf` into `head`.
///
/// `Ok(None)`: not complete yet; call again with the same bytes and more behind them (or `reset` first). `Ok(Some(n))`:
/// the head is the first `n` bytes. The next call begins anew.
pub fn parse(buf: &[u8], limits: &Limits, head: &mut Head) -> Result<Option<usize>, Refusal> {
    if head.progress.stage == Stage::Done || head.progress.scanned > buf.len() {
        head.reset();
    }
    let limit = if limits.head == 0 { u32::MAX as usize } else { limits.head };
    let visible = &buf[..buf.len().min(limit)];
    let result = parse_lines(visible, limits, head);
    match result {
        Ok(None) if buf.len() > limit => Err(Refusal::HeadTooLarge),
        Ok(Some(len)) => {
            head.progress.stage = Stage::Done;
            head.len = len;
            Ok(Some(len))
        }
        other => other,
    }
}

/// Parses a request of HTTP/2 that was written as text: `METHOD TARGET HTTP/2.0`, Host for `:authority`, the fields
/// (RFC 9113 section 8.3). `body`: more follows its head. So there is one place that holds heads to limits and rules.
/// The text is complete.
pub fn parse_http2(buf: &[u8], limits: &Limits, head: &mut Head, body: bool) -> Result<usize, Refusal> {
    head.reset();
    head.version = Version::Http2;
    head.progress.http2 = true;
    head.progress.body = body;
    match parse(buf, limits, head) {
        Ok(Some(len)) => Ok(len),
        // Lines that end where they should not: a field had a line break in it.
        Ok(None) => Err(Refusal::ControlInField),
        Err(refusal) => Err(refusal),
    }
}

fn parse_lines(buf: &[u8], limits: &Limits, head: &mut Head) -> Result<Option<usize>, Refusal> {
    if head.progress.stage == Stage::RequestLine && !begin(buf, limits, head)? {
        return Ok(None);
    }
    let max = if limits.field_size == 0 { usize::MAX } else { limits.field_size.saturating_sub(2) };
    loop {
        let start = head.progress.line;
        match buf.get(start) {
            Some(b'\r') | None => {}
            Some(_) if limits.nginx.is_none() && is_full(limits, head) => return Err(Refusal::TooManyFields),
            Some(_) => {}
        }
        let bound = limits.nginx.as_ref().map_or(Bound::Bytes(max), Bound::Buffers);
        let found = line(buf, bound, head, Refusal::FieldTooLarge, Refusal::ControlInField)?;
        let Some(end) = found else { return Ok(None) };
        if end == start {
            finish(head)?;
            return Ok(Some(end + 2));
        }
        if let Err(refusal) = field(buf, start, end, limits, head) {
            head.progress.line = start;
            return Err(refusal);
        }
    }
}

fn is_full(limits: &Limits, head: &Head) -> bool {
    limits.fields != 0 && head.fields.len() >= limits.fields
}

/// How long a line may be.
#[derive(Clone, Copy)]
enum Bound<'l> {
    /// So many bytes, without its line end.
    Bytes(usize),
    /// What nginx's buffers hold.
    Buffers(&'l AsNginx),
}

/// Blank lines and the request line. False: more bytes are needed.
fn begin(buf: &[u8], limits: &Limits, head: &mut Head) -> Result<bool, Refusal> {
    let max = if limits.line == 0 { usize::MAX } else { limits.line };
    loop {
        let start = head.progress.line;
        match buf.get(start..) {
            Some([0x16]) => return Ok(false),
            Some([0x16, 3, ..]) => return Err(Refusal::TlsHandshake),
            _ => {}
        }
        let bound = limits.nginx.as_ref().map_or(Bound::Bytes(max), Bound::Buffers);
        let found = match line(buf, bound, head, Refusal::LineTooLong, Refusal::ControlInLine) {
            Err(Refusal::LineTooLong) => {
                // What it would have been decides whether the answer has a body.
                let text = &buf[start..];
                head.method = Method::of(&text[..memchr::memchr(b' ', text).unwrap_or(0)]);
                return Err(Refusal::LineTooLong);
            }
            other => other?,
        };
        let Some(end) = found else { return Ok(false) };
        if end > start {
            match limits.nginx {
                Some(_) => nginx::request_line(buf, start, end, head)?,
                None => request_line(buf, start, end, head)?,
            }
            head.progress.stage = Stage::Fields;
            return Ok(true);
        }
        head.progress.blank_lines += 1;
        if head.progress.blank_lines > BLANK_LINES {
            return Err(Refusal::BlankLines);
        }
    }
}

/// Finds the end of the current line (where its CRLF begins) and moves on to the next one.
fn line(
    buf: &[u8],
    bound: Bound<'_>,
    head: &mut Head,
    too_long: Refusal,
    in_line: Refusal,
) -> Result<Option<usize>, Refusal> {
    let progress = &mut head.progress;
    let stop = control(buf, progress.scanned);
    progress.scanned = stop.unwrap_or(buf.len());
    let fits = match bound {
        Bound::Bytes(max) => progress.scanned - progress.line <= max,
        Bound::Buffers(nginx) => nginx::make_room(nginx, progress),
    };
    if !fits {
        return Err(too_long);
    }
    let Some(stop) = stop else { return Ok(None) };
    match (buf[stop], buf.get(stop + 1)) {
        (b'\r', Some(b'\n')) => {
            progress.line = stop + 2;
            progress.scanned = stop + 2;
            Ok(Some(stop))
        }
        (b'\r', None) => Ok(None),
        (b'\r', Some(_)) => Err(Refusal::BareCr),
        (b'\n', _) => Err(Refusal::BareLf),
        _ => Err(in_line),
    }
}

/// One field line, `buf[start..end]`, not empty.
#[inline]
fn field(buf: &[u8], start: usize, end: usize, limits: &Limits, head: &mut Head) -> Result<(), Refusal> {
    let line = &buf[..end];
    let name_end = match &limits.nginx {
        None => start + token_len(&line[start..]),
        Some(_) => start + nginx::name_len(&line[start..]),
    };
    match line.get(name_end) {
        Some(b':') if name_end > start => {}
        Some(b' ' | b'\t') if name_end == start => return Err(Refusal::ObsFold),
        Some(b' ' | b'\t') if only_space_before_colon(&line[name_end..]) => return Err(Refusal::SpaceBeforeColon),
        None if limits.nginx.is_some() => {
            nginx::leave_out(start, end, head);
            return Ok(());
        }
        _ => return Err(Refusal::FieldName),
    }
    if let Some(nginx) = &limits.nginx {
        if !nginx.keep_invalid && !nginx::is_valid(nginx, &line[start..name_end]) {
            nginx::leave_out(start, end, head);
            return Ok(());
        }
        if is_full(limits, head) {
            return Err(Refusal::TooManyFields);
        }
    }
    let mut value = name_end + 1;
    while matches!(line.get(value), Some(b' ' | b'\t')) {
        value += 1;
    }
    let mut value_end = end;
    while value_end > value && matches!(line[value_end - 1], b' ' | b'\t') {
        value_end -= 1;
    }
    let known = Known::of(&line[start..name_end]);
    let field = Field { name: Span::new(start, name_end), value: Span::new(value, value_end), known };
    head.fields.push(field);
    special(&line[value..value_end], field, limits.nginx.is_some(), head)
}

fn only_space_before_colon(rest: &[u8]) -> bool {
    rest.iter().find(|b| !matches!(b, b' ' | b'\t')) == Some(&b':')
}

/// What the few fields that govern the message itself mean.
#[inline]
fn special(value: &[u8], field: Field, nginx: bool, head: &mut Head) -> Result<(), Refusal> {
    match field.known {
        Known::Host => {
            if head.host.is_some() {
                return Err(Refusal::SeveralHosts);
            }
            if !is_host(value) {
                return Err(Refusal::Host);
            }
            head.host = Some(field.value);
        }
        Known::ContentLength => {
            if head.progress.length.is_some() {
                return Err(Refusal::SeveralLengths);
            }
            head.progress.length = Some(decimal(value).ok_or(Refusal::Length)?);
        }
        Known::TransferEncoding if head.progress.http2 => return Err(Refusal::Coding),
        Known::TransferEncoding => {
            if head.version == Version::Http10 {
                return Err(Refusal::CodingOnHttp10);
            }
            if nginx && head.progress.coding {
                return Err(Refusal::SeveralCodings);
            }
            if head.progress.coding || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Coding);
            }
            head.progress.coding = true;
        }
        Known::Connection => {
            for token in list(value) {
                match token.len() {
                    5 if token.eq_ignore_ascii_case(b"close") => head.progress.close = true,
                    7 if token.eq_ignore_ascii_case(b"upgrade") => head.progress.upgrade_token = true,
                    10 if token.eq_ignore_ascii_case(b"keep-alive") => head.progress.stay = true,
                    _ => {}
                }
            }
        }
        Known::Upgrade => head.progress.upgrade_field = true,
        Known::Expect => {
            let known = value.eq_ignore_ascii_case(b"100-continue");
            if !known && !nginx {
                return Err(Refusal::Expectation);
            }
            head.expect_continue = known && head.version != Version::Http10;
        }
        _ => {}
    }
    Ok(())
}

/// What only the whole head tells.
fn finish(head: &mut Head) -> Result<(), Refusal> {
    let progress = &head.progress;
    if head.host.is_none() && head.version != Version::Http10 {
        return Err(Refusal::MissingHost);
    }
    head.framing = match (progress.length, progress.coding) {
        (Some(_), true) => return Err(Refusal::LengthAndCoding),
        (Some(length), false) => Framing::Length(length),
        (None, true) => Framing::Chunked,
        // Where HTTP/2 does not tell a length, whoever reads the stream gives it a chunked form.
        (None, false) if progress.body => Framing::Chunked,
        (None, false) => Framing::None,
    };
    let http11 = head.version == Version::Http11;
    head.keep_alive = !progress.close && !progress.http2 && (http11 || progress.stay);
    head.upgrade = http11 && progress.upgrade_token && progress.upgrade_field;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, nginx: bool, body: bool) -> Result<Head, Refusal> {
        let limits = Limits { nginx: nginx.then(AsNginx::default), ..Limits::default() };
        let mut head = Head::new();
        parse_http2(text.as_bytes(), &limits, &mut head, body).map(|len| {
            assert_eq!(len, text.len());
            head
        })
    }

    #[test]
    fn requests_of_http2_are_read_by_the_same_rules() {
        for nginx in [false, true] {
            let head = read("GET /a?b HTTP/2.0\r\nHost: x\r\nte: trailers\r\n\r\n", nginx, false).unwrap();
            assert_eq!((head.version, head.framing, head.keep_alive), (Version::Http2, Framing::None, false));
            let length = "POST / HTTP/2.0\r\nHost: x\r\ncontent-length: 3\r\n\r\n";
            assert_eq!(read(length, nginx, true).unwrap().framing, Framing::Length(3));
            assert_eq!(read("POST / HTTP/2.0\r\nHost: x\r\n\r\n", nginx, true).unwrap().framing, Framing::Chunked);
            for (text, refusal) in [
                ("GET / HTTP/2.0\r\n\r\n", Refusal::MissingHost),
                ("GET / HTTP/2.0\r\nHost: a\r\nhost: b\r\n\r\n", Refusal::SeveralHosts),
                ("GET / HTTP/2.0\r\nHost: a@b\r\n\r\n", Refusal::Host),
                ("GET a HTTP/2.0\r\nHost: a\r\n\r\n", Refusal::Target),
                ("GET / HTTP/2.0\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n", Refusal::Coding),
                ("GET / HTTP/2.0\r\nHost: a\r\nx: y\n\r\n", Refusal::BareLf),
                ("GET / HTTP/2.0\r\nHost: a\r\n", Refusal::ControlInField),
            ] {
                assert_eq!(read(text, nginx, false), Err(refusal), "{text}");
            }
        }
    }

    #[test]
    fn who_sends_that_as_text_is_refused() {
        for nginx in [None, Some(AsNginx::default())] {
            let limits = Limits { nginx, ..Limits::default() };
            let text = b"GET / HTTP/2.0\r\nHost: x\r\n\r\n";
            assert_eq!(parse(text, &limits, &mut Head::new()), Err(Refusal::Version));
        }
    }
}
