//! The head of an answer, as a handler builds it: framing and connection fields stay the connection's business.

use wire::h1::encode;

use super::assembly::Assembly;
use crate::stage::Stage;

/// Status and fields of an answer (RFC 9110 sections 6 and 15).
#[derive(Default)]
pub struct ResponseHead {
    pub status: u16,
    /// The reason phrase, where it is not the usual one of the status.
    pub reason: Option<Vec<u8>>,
    /// Content-Type; empty for none.
    pub content_type: Vec<u8>,
    /// Last-Modified, where the server made it itself; empty for none. That of a server that was asked is among `fields`.
    pub last_modified: Vec<u8>,
    /// Location, where the server made it itself; empty for none. An application's is among `fields`.
    pub location: Vec<u8>,
    /// Encoded field lines, each ended by CRLF. Without those above, Content-Length, Connection, Transfer-Encoding.
    pub fields: Vec<u8>,
    /// Bytes a second that it is sent with, where the application says so.
    pub rate: Option<u64>,
    /// Says `Vary: Accept-Encoding`.
    pub vary: bool,
    /// Further lines that come last.
    pub last_fields: Vec<u8>,
    /// Content-Length in bytes, where the handler knows or says it.
    pub length: Option<u64>,
    /// The handler asked for the connection to be closed.
    pub close: bool,
    /// `fields` has a Date already.
    pub has_date: bool,
    /// `fields` has a Server already.
    pub has_server: bool,
    /// The page of an error of the server's own, which another page may take the place of.
    pub own_error: bool,
    /// Fields are to follow the body.
    pub expects_trailers: bool,
    /// What the body goes through.
    pub stages: Vec<Box<dyn Stage>>,
    /// What the whole body goes through at last, with all that is put round it: a content coding.
    pub coder: Option<Box<dyn Stage>>,
    /// The answer is put together of several; it is kept for that.
    pub assembly: Option<Box<Assembly>>,
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
        match name {
            "Content-Type" => self.content_type = value.to_vec(),
            "Location" => self.location = value.to_vec(),
            _ => encode::field(&mut self.fields, name.as_bytes(), value),
        }
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
            12 if name.eq_ignore_ascii_case(b"content-type") && self.content_type.is_empty() => {
                self.content_type.extend_from_slice(value);
                return Ok(());
            }
            13 if name.eq_ignore_ascii_case(b"last-modified") && self.last_modified.is_empty() => {
                self.last_modified.extend_from_slice(value);
                return Ok(());
            }
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
        match name {
            "content-type" => return some(&self.content_type),
            "last-modified" if !self.last_modified.is_empty() => return Some(&self.last_modified),
            "location" if !self.location.is_empty() => return Some(&self.location),
            _ => {}
        }
        lines(&self.fields)
            .chain(lines(&self.last_fields))
            .find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, v)| v)
    }

    /// Names and values of `fields`.
    pub fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        lines(&self.fields)
    }

    /// Appends all values of a field, with `, ` between them; `false`: there is none.
    pub fn join(&self, name: &str, out: &mut Vec<u8>) -> bool {
        let mut found = false;
        for (own, value) in lines(&self.fields).chain(lines(&self.last_fields)) {
            if own.eq_ignore_ascii_case(name.as_bytes()) {
                if std::mem::replace(&mut found, true) {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(value);
            }
        }
        found
    }

    /// The fields of these lower-case names.
    pub fn fields_of(&self, names: &[&str]) -> Vec<(Box<str>, Vec<u8>)> {
        let mut found = Vec::new();
        if !self.content_type.is_empty() && names.contains(&"content-type") {
            found.push(("Content-Type".into(), self.content_type.clone()));
        }
        for (own, value) in lines(&self.fields) {
            if names.iter().any(|name| own.eq_ignore_ascii_case(name.as_bytes())) {
                found.push((String::from_utf8_lossy(own).into(), value.to_vec()));
            }
        }
        found
    }

    /// Takes all fields of that lower-case name away.
    pub fn remove(&mut self, name: &str) {
        match name {
            "content-type" => return self.content_type.clear(),
            "last-modified" => self.last_modified.clear(),
            "location" => self.location.clear(),
            _ => {}
        }
        if self.find(name).is_none() {
            return;
        }
        for fields in [&mut self.fields, &mut self.last_fields] {
            let mut kept = Vec::with_capacity(fields.len());
            for line in fields.split_inclusive(|&b| b == b'\n') {
                let own = line.iter().position(|&b| b == b':').map_or(line, |colon| &line[..colon]);
                if !own.eq_ignore_ascii_case(name.as_bytes()) {
                    kept.extend_from_slice(line);
                }
            }
            *fields = kept;
        }
    }

    /// Gives a field one value: where it stands, or at the end. Name and value are known to be clean.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        let mut fields = Vec::with_capacity(self.fields.len() + name.len() + value.len() + 4);
        let mut done = false;
        for line in self.fields.split_inclusive(|&b| b == b'\n') {
            let own = line.iter().position(|&b| b == b':').map_or(line, |colon| &line[..colon]);
            if !own.eq_ignore_ascii_case(name.as_bytes()) {
                fields.extend_from_slice(line);
            } else if !std::mem::replace(&mut done, true) {
                encode::field(&mut fields, own, value);
            }
        }
        if !done {
            encode::field(&mut fields, name.as_bytes(), value);
        }
        self.fields = fields;
    }

    /// The body is another one than that which the fields tell of: its length is not known and it has no ranges.
    /// `modified`: the time stays and the tag becomes a weak one; else both go.
    pub fn change_body(&mut self, modified: bool) {
        self.length = None;
        self.remove("accept-ranges");
        if modified {
            self.weaken_etag();
        } else {
            self.remove("last-modified");
            self.remove("etag");
        }
    }

    /// Makes the tag a weak one (RFC 9110 section 8.8.3), where it stands.
    pub fn weaken_etag(&mut self) {
        let Some(tag) = self.find("etag").map(<[u8]>::to_vec) else { return };
        if tag.starts_with(b"W/") {
            return;
        }
        if !tag.starts_with(b"\"") {
            return self.remove("etag");
        }
        let mut fields = Vec::with_capacity(self.fields.len() + 2);
        for line in self.fields.split_inclusive(|&b| b == b'\n') {
            match line.iter().position(|&b| b == b':') {
                Some(colon) if line[..colon].eq_ignore_ascii_case(b"etag") => {
                    fields.extend_from_slice(&line[..colon]);
                    fields.extend_from_slice(b": W/");
                    fields.extend_from_slice(line[colon + 1..].trim_ascii_start());
                }
                _ => fields.extend_from_slice(line),
            }
        }
        self.fields = fields;
    }

    /// The media type, without parameters.
    pub fn media_type(&self) -> &[u8] {
        self.content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
    }

    /// Empties it for another answer; the memory stays.
    pub fn clear(&mut self) {
        // Field by field: it is done for every answer, and a whole new head is a lot of memory to move.
        let ResponseHead {
            status,
            reason,
            content_type,
            last_modified,
            location,
            fields,
            rate,
            vary,
            last_fields,
            length,
            close,
            has_date,
            has_server,
            own_error,
            expects_trailers,
            stages,
            coder,
            assembly,
        } = self;
        *status = 0;
        *reason = None;
        for part in [content_type, last_modified, location, fields, last_fields] {
            part.clear();
        }
        *rate = None;
        *length = None;
        for flag in [vary, close, has_date, has_server, own_error, expects_trailers] {
            *flag = false;
        }
        stages.clear();
        *coder = None;
        *assembly = None;
    }
}

/// Whether fields of the configuration's are for answers of this status, where nothing else is said.
pub fn is_usual(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

fn some(value: &[u8]) -> Option<&[u8]> {
    if value.is_empty() { None } else { Some(value) }
}

/// Names and values of encoded lines.
fn lines(fields: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.split(|&b| b == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = line.iter().position(|&b| b == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
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
    fn a_changed_body_has_a_weak_tag_or_none() {
        let head = || {
            let mut head = ResponseHead { length: Some(3), ..ResponseHead::new(200) };
            for (name, value) in [("Last-Modified", "x"), ("ETag", "\"a\""), ("X-A", "b"), ("Accept-Ranges", "bytes")] {
                head.add(name.as_bytes(), value.as_bytes()).unwrap();
            }
            head
        };
        let mut weak = head();
        weak.change_body(true);
        assert_eq!((weak.fields.as_slice(), weak.length), (&b"ETag: W/\"a\"\r\nX-A: b\r\n"[..], None));
        weak.change_body(true);
        assert_eq!((weak.find("etag"), weak.find("last-modified")), (Some(&b"W/\"a\""[..]), Some(&b"x"[..])));
        let mut none = head();
        none.change_body(false);
        assert_eq!((none.fields.as_slice(), none.last_modified.as_slice()), (&b"X-A: b\r\n"[..], &b""[..]));
    }

    #[test]
    fn a_field_is_replaced_where_it_stands() {
        let mut head =
            ResponseHead { fields: b"A: 1\r\nexpires: 2\r\nB: 3\r\nExpires: 4\r\n".to_vec(), ..ResponseHead::new(200) };
        head.replace("Expires", b"5");
        head.replace("C", b"6");
        assert_eq!(head.fields, b"A: 1\r\nexpires: 5\r\nB: 3\r\nC: 6\r\n");
    }

    #[test]
    fn find_ignores_case() {
        let mut head = ResponseHead::new(200);
        head.add(b"Content-Type", b"text/plain").unwrap();
        assert_eq!(head.find("content-type"), Some(&b"text/plain"[..]));
        assert_eq!(head.find("etag"), None);
    }
}
