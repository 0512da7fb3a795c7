//! What nginx reads differently: the request line, names of fields, and how long lines may be. Measured at nginx 1.22.

use super::head::{Head, Progress};
use super::target::split_target;
use super::{AsNginx, Method, Refusal, Span, Version};

/// How many lines that are left out are remembered, for the log.
const MOST_LEFT_OUT: usize = 8;

/// Reads the request line `buf[start..end]` into `head`.
pub(super) fn request_line(buf: &[u8], start: usize, end: usize, head: &mut Head) -> Result<(), Refusal> {
    let line = &buf[..end];
    if line[start..].contains(&b'\t') {
        return Err(Refusal::ControlInLine);
    }
    let is_letter = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-');
    let method_end = start + line[start..].iter().take_while(|byte| is_letter(byte)).count();
    if method_end == start || line.get(method_end) != Some(&b' ') {
        return Err(Refusal::Method);
    }
    head.method_text = Span::new(start, method_end);
    head.method = Method::of(head.method_text.of(line));
    let target = skip_spaces(line, method_end);
    // Without a version it would be HTTP/0.9.
    let target_end = target + memchr::memchr(b' ', &line[target..]).ok_or(Refusal::RequestLine)?;
    head.target = Span::new(target, target_end);
    split_target(&line[..target_end], target, head, scheme_len)?;
    head.version = match line[skip_spaces(line, target_end)..].trim_ascii_end() {
        b"HTTP/2.0" if head.is_http2() => Version::Http2,
        text => version(text)?,
    };
    Ok(())
}

fn skip_spaces(line: &[u8], from: usize) -> usize {
    from + line[from..].iter().take_while(|byte| **byte == b' ').count()
}

/// `HTTP/1.` and up to three digits; a higher number in front is another protocol.
fn version(text: &[u8]) -> Result<Version, Refusal> {
    let number = text.strip_prefix(b"HTTP/").ok_or(Refusal::VersionSyntax)?;
    let minor = match number {
        [b'2'..=b'9', ..] => return Err(Refusal::Version),
        [b'1', b'0'..=b'9', ..] => return Err(Refusal::Version),
        [b'1', b'.', minor @ ..] if (1..=3).contains(&minor.len()) && minor.iter().all(u8::is_ascii_digit) => minor,
        _ => return Err(Refusal::VersionSyntax),
    };
    Ok(if minor.iter().all(|digit| *digit == b'0') { Version::Http10 } else { Version::Http11 })
}

/// Length of any scheme with `://`.
fn scheme_len(target: &[u8]) -> Option<usize> {
    let len = memchr::memmem::find(target, b"://")?;
    let (first, rest) = target[..len].split_first()?;
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (first.is_ascii_alphabetic() && rest.iter().all(is_scheme)).then_some(len + 3)
}

/// How many bytes at the start of a line are the name: up to a colon, a space or a tab.
pub(super) fn name_len(line: &[u8]) -> usize {
    line.iter().position(|byte| matches!(byte, b':' | b' ' | b'\t')).unwrap_or(line.len())
}

/// Whether a name has nothing but letters, digits, `-` and perhaps `_`.
pub(super) fn is_valid(nginx: &AsNginx, name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || (*byte == b'_' && nginx.underscores))
}

/// Passes over a line.
pub(super) fn leave_out(start: usize, end: usize, head: &mut Head) {
    if head.left_out.len() < MOST_LEFT_OUT {
        head.left_out.push(Span::new(start, end));
    }
}

/// Whether the current line, as far as it is known, fits into the buffers. It is put into the next one where it does not
/// fit behind the lines before it. With each line its end of two bytes is counted.
pub(super) fn make_room(nginx: &AsNginx, progress: &mut Progress) -> bool {
    let end = progress.scanned + 2;
    let size = if progress.buffers == 0 { nginx.first } else { nginx.buffer };
    if end <= progress.buffer.saturating_add(size) {
        return true;
    }
    if end > progress.line.saturating_add(nginx.buffer) || progress.buffers == nginx.buffers {
        return false;
    }
    progress.buffers += 1;
    progress.buffer = progress.line;
    true
}

#[cfg(test)]
mod tests {
    use super::super::{Form, Limits, parse};
    use super::*;

    fn limits(nginx: AsNginx) -> Limits {
        Limits { line: 0, fields: 10, field_size: 0, head: 0, nginx: Some(nginx) }
    }

    /// The head of `text`, read at once and byte by byte.
    fn read_with(text: &[u8], nginx: AsNginx) -> Result<Option<Head>, Refusal> {
        let mut whole = Head::new();
        let once = parse(text, &limits(nginx), &mut whole);
        let mut cut = Head::new();
        let mut bytewise = Ok(None);
        for end in 0..=text.len() {
            bytewise = parse(&text[..end], &limits(nginx), &mut cut);
            if bytewise != Ok(None) {
                break;
            }
        }
        assert_eq!(once, bytewise);
        once.map(|len| len.map(|_| whole))
    }

    fn read(text: &str) -> Result<Option<Head>, Refusal> {
        read_with(text.as_bytes(), AsNginx::default())
    }

    fn line(line: &str) -> Result<Head, Refusal> {
        read(&format!("{line}\r\nHost: a\r\n\r\n")).map(Option::unwrap_or_default)
    }

    #[test]
    fn request_lines() {
        for (text, version) in [
            ("GET / HTTP/1.1", Version::Http11),
            ("GET   /   HTTP/1.1  ", Version::Http11),
            ("GET / HTTP/1.100", Version::Http11),
            ("GET / HTTP/1.0", Version::Http10),
            ("GET / HTTP/1.00", Version::Http10),
            ("M_S-X / HTTP/1.1", Version::Http11),
        ] {
            let head = line(text).unwrap();
            assert_eq!((head.version, head.path.len()), (version, 1), "{text}");
        }
        let head = line("GET ftp://a/b HTTP/1.1").unwrap();
        assert_eq!((head.form, head.authority.len(), head.path.len()), (Form::Absolute, 1, 2));
        for (text, refusal) in [
            ("get / HTTP/1.1", Refusal::Method),
            ("GET1 / HTTP/1.1", Refusal::Method),
            ("GET", Refusal::Method),
            (" / HTTP/1.1", Refusal::Method),
            ("GET /", Refusal::RequestLine),
            ("GET / HTTP/0.9", Refusal::VersionSyntax),
            ("GET / HTTP/01.1", Refusal::VersionSyntax),
            ("GET / HTTP/1.", Refusal::VersionSyntax),
            ("GET / HTTP/1.1000", Refusal::VersionSyntax),
            ("GET /a b HTTP/1.1", Refusal::VersionSyntax),
            ("GET / HTTP/2.0", Refusal::Version),
            ("GET / HTTP/3", Refusal::Version),
            ("PRI * HTTP/2.0", Refusal::Target),
            ("GET 1a://b/ HTTP/1.1", Refusal::Target),
            ("GET\t/ HTTP/1.1", Refusal::ControlInLine),
        ] {
            assert_eq!(line(text).err(), Some(refusal), "{text}");
        }
    }

    #[test]
    fn names() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nX_A: 1\r\nX.B: 2\r\nX-C: 3\r\nX\xfc: 4\r\nnothing\r\n\r\n";
        for (keep_invalid, underscores, kept, left_out) in
            [(false, false, 2, 4), (false, true, 3, 3), (true, false, 5, 1)]
        {
            let nginx = AsNginx { keep_invalid, underscores, ..AsNginx::default() };
            let head = read_with(text, nginx).unwrap().unwrap();
            assert_eq!((head.fields.len(), head.left_out.len()), (kept, left_out));
        }
        for (field, refusal) in [
            (" a: b", Refusal::ObsFold),
            ("a : b", Refusal::SpaceBeforeColon),
            ("a b: c", Refusal::FieldName),
            (": c", Refusal::FieldName),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Refusal::SeveralCodings),
            ("Content-Length: 1\r\nContent-Length: 1", Refusal::SeveralLengths),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(read(&text).err(), Some(refusal), "{field}");
        }
    }

    #[test]
    fn names_that_are_left_out_do_not_count() {
        let with = |field: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("{field}: b\r\n").repeat(10));
        assert_eq!(read(&with("a")).err(), Some(Refusal::TooManyFields));
        assert!(read(&with("a_b")).is_ok());
    }

    #[test]
    fn an_unknown_expectation_is_none() {
        let head = read("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n").unwrap().unwrap();
        assert!(!head.expect_continue);
    }

    #[test]
    fn lines_fit_into_buffers() {
        let nginx = AsNginx { first: 100, buffer: 200, buffers: 2, ..AsNginx::default() };
        let fits = |lines: &[usize]| {
            let mut text = format!("GET /{} HTTP/1.1\r\n", "a".repeat(lines[0] - 16));
            for len in &lines[1..] {
                text.push_str(&format!("Host: {}\r\n", "a".repeat(len - 8)));
            }
            // Several Hosts are refused, but only if they fit.
            match read_with(text.as_bytes(), nginx) {
                Ok(_) | Err(Refusal::SeveralHosts) => Ok(()),
                Err(refusal) => Err(refusal),
            }
        };
        assert_eq!(fits(&[50]), Ok(()));
        assert_eq!(fits(&[200]), Ok(()));
        assert_eq!(fits(&[201]), Err(Refusal::LineTooLong));
        assert_eq!(fits(&[50, 200]), Ok(()));
        assert_eq!(fits(&[50, 201]), Err(Refusal::FieldTooLarge));
        assert_eq!(fits(&[150, 150]), Ok(()));
    }

    #[test]
    fn heads_fit_into_all_buffers() {
        let nginx = AsNginx { first: 100, buffer: 200, buffers: 2, ..AsNginx::default() };
        let with = |count: usize| {
            let fields = format!("X-A: {}\r\n", "a".repeat(43)).repeat(count);
            read_with(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}").as_bytes(), nginx)
        };
        // One of 50 bytes in the first buffer, four in each of the others.
        assert!(with(8).is_ok());
        assert_eq!(with(9).err(), Some(Refusal::FieldTooLarge));
    }

    #[test]
    fn the_method_of_a_long_line_is_known() {
        let text = format!("HEAD /{}", "a".repeat(9000));
        let mut head = Head::new();
        assert_eq!(parse(text.as_bytes(), &limits(AsNginx::default()), &mut head), Err(Refusal::LineTooLong));
        assert_eq!(head.method, Method::Head);
    }
}
