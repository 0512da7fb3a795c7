//! The head of an answer (RFC 9112 section 4), as a client reads it: the codec's other side, for servers that requests
//! are passed on to.
//!
//! One pass over the bytes, resumed where it stopped when more arrive. Lines may end with LF alone, as nginx takes them;
//! what could be read in two ways (framing) is refused.

use super::scan::{TOKEN, decimal, list, trim};
use super::{Field, Known, Method, Span, Version};

/// A parsed head: positions in the buffer that it was parsed from. Meant to be used again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub version: Version,
    /// 100 to 999, as sent.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
    pub fields: Vec<Field>,
    /// Bytes of the head, with the blank line that ends it.
    pub len: usize,
    /// Content-Length in bytes.
    pub length: Option<u64>,
    /// `Transfer-Encoding: chunked`.
    pub chunked: bool,
    /// The server lets the connection stay (RFC 9112 section 9.3), as far as the head tells.
    pub keep_alive: bool,
    progress: Progress,
}

#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Progress {
    /// Where the current line begins.
    line: usize,
    /// No LF is between `line` and here.
    scanned: usize,
    has_status: bool,
    done: bool,
    close: bool,
    stay: bool,
}

/// So many fields an answer has room for without asking for memory again.
const USUAL: usize = 12;

/// What is wrong with a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does not begin as HTTP does.
    NoStatusLine,
    /// This line is no field.
    Field(Span),
    /// A field that may be there once is there again.
    Repeated(Field),
    /// Content-Length is no number.
    Length(Field),
    /// A transfer coding other than chunked.
    Coding(Field),
    /// Content-Length and Transfer-Encoding.
    LengthAndCoding,
    /// It is longer than the limit.
    TooLarge,
}

/// How the body of an answer is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyEnd {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

impl Default for Answer {
    fn default() -> Self {
        Answer {
            version: Version::Http11,
            status: 0,
            reason: Span::default(),
            fields: Vec::new(),
            len: 0,
            length: None,
            chunked: false,
            keep_alive: false,
            progress: Progress::default(),
        }
    }
}

impl Answer {
    pub fn new() -> Self {
        Answer { fields: Vec::with_capacity(USUAL), ..Answer::default() }
    }

    /// Forgets everything but the memory.
    pub fn reset(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Answer { fields, ..Answer::default() };
    }

    /// Where its body ends, for the answer to a request of that method.
    pub fn body_end(&self, method: Method) -> BodyEnd {
        match self.status {
            100..=199 | 204 | 304 => BodyEnd::None,
            200..=299 if method == Method::Connect => BodyEnd::None,
            _ if method == Method::Head => BodyEnd::None,
            _ if self.chunked => BodyEnd::Chunked,
            _ => self.length.map_or(BodyEnd::Close, BodyEnd::Length),
        }
    }

    /// The value of the first field of that lower-case name.
    pub fn get<'b>(&self, buf: &'b [u8], name: &str) -> Option<&'b [u8]> {
        let field = self.fields.iter().find(|field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes()));
        field.map(|field| field.value.of(buf))
    }
}

/// Parses the head at the start of `buf`, of at most `most` bytes.
///
/// `Ok(None)`: not complete yet; call again with the same bytes and more behind them. `Ok(Some(n))`: the head is the
/// first `n` bytes; the next call begins anew.
pub fn parse(buf: &[u8], most: usize, answer: &mut Answer) -> Result<Option<usize>, Fault> {
    if answer.progress.done || answer.progress.scanned > buf.len() {
        answer.reset();
    }
    loop {
        let start = answer.progress.line;
        if !answer.progress.has_status && !may_be_status_line(&buf[start..]) {
            return Err(Fault::NoStatusLine);
        }
        let Some(found) = memchr::memchr(b'\n', &buf[answer.progress.scanned..]) else {
            answer.progress.scanned = buf.len();
            return if buf.len() >= most { Err(Fault::TooLarge) } else { Ok(None) };
        };
        let lf = answer.progress.scanned + found;
        if lf >= most {
            return Err(Fault::TooLarge);
        }
        let end = if lf > start && buf[lf - 1] == b'\r' { lf - 1 } else { lf };
        answer.progress.line = lf + 1;
        answer.progress.scanned = lf + 1;
        if !answer.progress.has_status {
            status_line(buf, start, end, answer)?;
            answer.progress.has_status = true;
        } else if end == start {
            finish(answer)?;
            answer.len = lf + 1;
            answer.progress.done = true;
            return Ok(Some(lf + 1));
        } else {
            field(buf, start, end, answer)?;
        }
    }
}

/// Whether what is here so far may be the beginning of a status line: said as early as it can be, since nothing else
/// tells what a server that does not speak HTTP means.
fn may_be_status_line(bytes: &[u8]) -> bool {
    const PATTERN: &[u8] = b"HTTP/d.";
    bytes.iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
        b'd' => byte.is_ascii_digit(),
        pattern => byte == pattern,
    })
}

/// `HTTP/1.1 200 OK`
fn status_line(buf: &[u8], start: usize, end: usize, answer: &mut Answer) -> Result<(), Fault> {
    let line = &buf[start..end];
    let rest = line.strip_prefix(b"HTTP/").ok_or(Fault::NoStatusLine)?;
    let space = rest.iter().position(|&byte| byte == b' ').ok_or(Fault::NoStatusLine)?;
    let (major, minor) = match &rest[..space] {
        [major @ b'0'..=b'9', b'.', minor] if minor.is_ascii_digit() => (major - b'0', minor - b'0'),
        _ => return Err(Fault::NoStatusLine),
    };
    answer.version = if (major, minor) >= (1, 1) { Version::Http11 } else { Version::Http10 };
    let rest = trim(&rest[space..]);
    let (code, reason) = rest.split_at_checked(3).ok_or(Fault::NoStatusLine)?;
    let status = decimal(code).filter(|status| *status >= 100).ok_or(Fault::NoStatusLine)?;
    if !matches!(reason.first(), None | Some(b' ')) {
        return Err(Fault::NoStatusLine);
    }
    answer.status = status as u16;
    let reason = trim(reason);
    // `trim` gives a part of `line`, whose end is the line's, spaces apart.
    let from = end - (line.len() - offset_in(line, reason));
    answer.reason = Span::new(from, from + reason.len());
    Ok(())
}

/// Where `part` begins in `whole`, which it is a part of.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    if part.is_empty() { whole.len() } else { part.as_ptr() as usize - whole.as_ptr() as usize }
}

/// One field line.
fn field(buf: &[u8], start: usize, end: usize, answer: &mut Answer) -> Result<(), Fault> {
    let line = &buf[start..end];
    let bad = Fault::Field(Span::new(start, end));
    let name_len = line.iter().position(|&byte| !TOKEN[byte as usize]).unwrap_or(line.len());
    if name_len == 0 {
        return Err(bad);
    }
    // A space before the colon is no part of the name, as nginx sees it.
    let colon = name_len + line[name_len..].iter().take_while(|&&byte| byte == b' ').count();
    if line.get(colon) != Some(&b':') || memchr::memchr2(0, b'\r', line).is_some() {
        return Err(bad);
    }
    let value = trim(&line[colon + 1..]);
    let from = start + offset_in(line, value);
    let known = Known::of(&line[..name_len]);
    let field = Field {
        name: Span::new(start, start + name_len),
        value: Span::new(from.min(end), from.min(end) + value.len()),
        known,
    };
    answer.fields.push(field);
    match known {
        Known::ContentLength => {
            if answer.length.is_some() {
                return Err(Fault::Repeated(field));
            }
            answer.length =
                Some(decimal(value).filter(|length| *length <= i64::MAX as u64).ok_or(Fault::Length(field))?);
        }
        Known::TransferEncoding => {
            if answer.chunked {
                return Err(Fault::Repeated(field));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Coding(field));
            }
            answer.chunked = true;
        }
        Known::Connection => {
            for token in list(value) {
                answer.progress.close |= token.eq_ignore_ascii_case(b"close");
                answer.progress.stay |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        _ => {}
    }
    Ok(())
}

/// What only the whole head tells.
fn finish(answer: &mut Answer) -> Result<(), Fault> {
    if answer.chunked && answer.length.is_some() {
        return Err(Fault::LengthAndCoding);
    }
    answer.keep_alive = !answer.progress.close && (answer.version == Version::Http11 || answer.progress.stay);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &[u8]) -> Result<Option<usize>, Fault> {
        parse(text, 4096, &mut Answer::new())
    }

    #[test]
    fn a_usual_head() {
        let text = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-A:  b c \r\nX-Empty:\r\n\r\nhello";
        let mut answer = Answer::new();
        assert_eq!(parse(text, 4096, &mut answer), Ok(Some(text.len() - 5)));
        assert_eq!((answer.status, answer.reason.of(text), answer.length), (404, &b"Not Found"[..], Some(5)));
        assert_eq!((answer.get(text, "x-a"), answer.get(text, "x-empty")), (Some(&b"b c"[..]), Some(&b""[..])));
        assert!(answer.keep_alive && !answer.chunked);
        assert_eq!(answer.body_end(Method::Get), BodyEnd::Length(5));
        assert_eq!(answer.body_end(Method::Head), BodyEnd::None);
    }

    #[test]
    fn status_lines() {
        for (line, status, version) in [
            ("HTTP/1.1 200 OK", Some(200), Version::Http11),
            ("HTTP/1.1 200", Some(200), Version::Http11),
            ("HTTP/1.1 200 ", Some(200), Version::Http11),
            ("HTTP/1.0 999 x", Some(999), Version::Http10),
            ("HTTP/2.0 204 x", Some(204), Version::Http11),
            ("HTTP/0.9 204 x", Some(204), Version::Http10),
            ("HTTP/1.1 99 x", None, Version::Http11),
            ("HTTP/1.1 2000 x", None, Version::Http11),
            ("HTTP/1.1  20x", None, Version::Http11),
            ("HTTP/11 200 x", None, Version::Http11),
            ("HTTP/1.1200 x", None, Version::Http11),
            ("ICY 200 OK", None, Version::Http11),
            ("", None, Version::Http11),
        ] {
            for eol in ["\r\n", "\n"] {
                let mut answer = Answer::new();
                let found = parse(format!("{line}{eol}{eol}").as_bytes(), 4096, &mut answer);
                match status {
                    Some(status) => {
                        assert!(matches!(found, Ok(Some(_))), "{line}: {found:?}");
                        assert_eq!((answer.status, answer.version), (status, version), "{line}");
                    }
                    None => assert_eq!(found, Err(Fault::NoStatusLine), "{line}"),
                }
            }
        }
    }

    #[test]
    fn what_is_no_http_is_known_from_its_first_bytes() {
        assert_eq!(whole(b"SSH-2.0"), Err(Fault::NoStatusLine));
        assert_eq!(whole(b"HTTP"), Ok(None));
        assert_eq!(whole(b"HTTP/x"), Err(Fault::NoStatusLine));
    }

    #[test]
    fn framing_that_could_be_read_in_two_ways_is_refused() {
        let fault = |fields: &str| whole(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes());
        assert_eq!(fault("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), Err(Fault::LengthAndCoding));
        assert!(matches!(fault("Content-Length: 1\r\nContent-Length: 1\r\n"), Err(Fault::Repeated(_))));
        for length in ["", "-1", "+1", "1 1", "1,1", "0x1", "99999999999999999999"] {
            assert!(matches!(fault(&format!("Content-Length: {length}\r\n")), Err(Fault::Length(_))), "{length}");
        }
        for coding in ["gzip", "gzip, chunked", "chunked, chunked", ""] {
            assert!(matches!(fault(&format!("Transfer-Encoding: {coding}\r\n")), Err(Fault::Coding(_))), "{coding}");
        }
        for line in ["no colon", ": x", " folded: x", "a b: c", "a: b\rc", "a: \0"] {
            assert!(matches!(fault(&format!("{line}\r\n")), Err(Fault::Field(_))), "{line:?}");
        }
    }

    #[test]
    fn a_head_has_a_limit() {
        let text = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100));
        assert_eq!(parse(text.as_bytes(), text.len(), &mut Answer::new()), Ok(Some(text.len())));
        assert_eq!(parse(text.as_bytes(), text.len() - 1, &mut Answer::new()), Err(Fault::TooLarge));
        assert_eq!(parse(&text.as_bytes()[..60], 60, &mut Answer::new()), Err(Fault::TooLarge));
    }

    #[test]
    fn bodies_end() {
        let end = |text: &str, method| {
            let mut answer = Answer::new();
            parse(text.as_bytes(), 4096, &mut answer).unwrap().unwrap();
            answer.body_end(method)
        };
        assert_eq!(end("HTTP/1.1 200 x\n\n", Method::Get), BodyEnd::Close);
        assert_eq!(end("HTTP/1.1 204 x\nContent-Length: 4\n\n", Method::Get), BodyEnd::None);
        assert_eq!(end("HTTP/1.1 304 x\nTransfer-Encoding: chunked\n\n", Method::Get), BodyEnd::None);
        assert_eq!(end("HTTP/1.1 200 x\nTransfer-Encoding: Chunked\n\n", Method::Post), BodyEnd::Chunked);
    }

    proptest! {
        #[test]
        fn the_cut_does_not_matter(
            body in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'a'), any::<u8>()], 0..60),
            cut in 0usize..80,
        ) {
            let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
            text.extend(body);
            let mut once = Answer::new();
            let one = parse(&text, 64, &mut once);
            let mut twice = Answer::new();
            let two = match parse(&text[..cut.min(text.len())], 64, &mut twice) {
                Ok(None) => parse(&text, 64, &mut twice),
                other => other,
            };
            prop_assert_eq!(one, two);
            if one.is_ok() {
                prop_assert_eq!(once, twice);
            }
        }
    }
}
