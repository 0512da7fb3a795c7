//! The head of an answer, as a handler builds it: framing and connection fields stay the connection's business.

use wire::h1::encode;

/// Status and fields of an answer (RFC 9110 sections 6 and 15).
#[derive(Default)]
pub struct ResponseHead {
    pub status: u16,
    /// The reason phrase, where it is not the usual one of the status.
    pub reason: Option<Vec<u8>>,
    /// Encoded field lines, each ended by CRLF. Without Content-Length, Connection, Transfer-Encoding.
    pub fields: Vec<u8>,
    /// Content-Length in bytes, where the handler knows or says it.
    pub length: Option<u64>,
    /// The handler asked for the connection to be closed.
    pub close: bool,
    /// `fields` has a Date already.
    pub has_date: bool,
    /// `fields` has a Server already.
    pub has_server: bool,
}

/// Why a field was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadField {
    Name,
    Value,
    /// Content-Length is not a number, or is given twice with different values.
    Length,
}

impl ResponseHead {
    pub fn new(status: u16) -> Self {
        ResponseHead { status, ..ResponseHead::default() }
    }

    /// Adds a field whose name and value are known to be clean.
    pub fn put(&mut self, name: &str, value: &[u8]) {
        encode::field(&mut self.fields, name.as_bytes(), value);
    }

    /// Adds a field that came from an application: checked, and hop-by-hop fields (RFC 9110 section 7.6.1) taken out,
    /// since the connection writes its own.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        if !encode::is_token(name) {
            return Err(BadField::Name);
        }
        if !encode::is_field_value(value) {
            return Err(BadField::Value);
        }
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => return Ok(()),
            4 if name.eq_ignore_ascii_case(b"date") => self.has_date = true,
            6 if name.eq_ignore_ascii_case(b"server") => self.has_server = true,
            7 if name.eq_ignore_ascii_case(b"upgrade") => return Ok(()),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.close |= has_token(value, b"close");
                return Ok(());
            }
            10 if name.eq_ignore_ascii_case(b"keep-alive") => return Ok(()),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = digits(value).ok_or(BadField::Length)?;
                if self.length.is_some_and(|before| before != length) {
                    return Err(BadField::Length);
                }
                self.length = Some(length);
                return Ok(());
            }
            16 if name.eq_ignore_ascii_case(b"proxy-connection") => return Ok(()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => return Ok(()),
            _ => {}
        }
        encode::field(&mut self.fields, name, value);
        Ok(())
    }

    /// The first value of a field, by its lower-case name.
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        self.fields.split(|&b| b == b'\n').find_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|&b| b == b':')?;
            line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
        })
    }
}

/// A decimal number, digits only.
fn digits(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether a comma-separated list has that token.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_fields_are_taken_out() {
        let mut head = ResponseHead::new(200);
        for (name, value) in
            [("Connection", "Close"), ("Transfer-Encoding", "chunked"), ("Keep-Alive", "5"), ("X-A", "b")]
        {
            head.add(name.as_bytes(), value.as_bytes()).unwrap();
        }
        assert_eq!(head.fields, b"X-A: b\r\n");
        assert!(head.close);
    }

    #[test]
    fn content_length_is_a_number_given_once() {
        let mut head = ResponseHead::new(200);
        assert_eq!(head.add(b"Content-Length", b"+5"), Err(BadField::Length));
        head.add(b"Content-Length", b"5").unwrap();
        assert_eq!(head.add(b"content-length", b"6"), Err(BadField::Length));
        assert_eq!(head.length, Some(5));
    }

    #[test]
    fn a_line_break_in_a_value_is_refused() {
        let mut head = ResponseHead::new(200);
        assert_eq!(head.add(b"X", b"a\r\nSet-Cookie: b"), Err(BadField::Value));
        assert_eq!(head.add(b"X Y", b"a"), Err(BadField::Name));
    }

    #[test]
    fn find_ignores_case() {
        let mut head = ResponseHead::new(200);
        head.add(b"Content-Type", b"text/plain").unwrap();
        assert_eq!(head.find("content-type"), Some(&b"text/plain"[..]));
        assert_eq!(head.find("etag"), None);
    }
}
