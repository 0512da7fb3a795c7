//! Writing response heads and chunk framing (RFC 9112 sections 4, 5 and 7.1), and checking what goes into them.

use super::scan::{TOKEN, control};

/// Ends a chunked body that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends `HTTP/1.x STATUS REASON CRLF`. `reason` replaces the usual phrase of the status.
pub fn status_line(out: &mut Vec<u8>, version_11: bool, status: u16, reason: Option<&[u8]>) {
    if version_11
        && reason.is_none()
        && let Some(line) = usual_line(status)
    {
        out.extend_from_slice(line);
        return;
    }
    out.extend_from_slice(if version_11 { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason.unwrap_or_else(|| self::reason(status).as_bytes()));
    out.extend_from_slice(b"\r\n");
}

/// Appends `name: value CRLF`.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before a chunk of `len` bytes (`len` > 0, or it would end the body). The chunk is to be followed
/// by CRLF.
pub fn chunk_head(out: &mut Vec<u8>, len: usize) {
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut rest = len;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal.
pub fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Whether `text` is a token (RFC 9110 section 5.6.2): what a field name or a method is.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| TOKEN[b as usize])
}

/// Whether `text` may stand as a field value: no CR, LF, NUL or other control character but HTAB.
pub fn is_field_value(text: &[u8]) -> bool {
    control(text, 0).is_none()
}

macro_rules! reasons {
    ($($status:literal $reason:literal)*) => {
        /// The reason phrase of a status (RFC 9110 section 15, RFC 6585, RFC 8297, RFC 7725); empty if it has none.
        pub fn reason(status: u16) -> &'static str {
            match status {
                $($status => $reason,)*
                _ => "",
            }
        }

        /// The whole status line, ready.
        fn usual_line(status: u16) -> Option<&'static [u8]> {
            match status {
                $($status => Some(concat!("HTTP/1.1 ", $status, " ", $reason, "\r\n").as_bytes()),)*
                _ => None,
            }
        }
    };
}

reasons! {
    100 "Continue"
    101 "Switching Protocols"
    102 "Processing"
    103 "Early Hints"
    200 "OK"
    201 "Created"
    202 "Accepted"
    203 "Non-Authoritative Information"
    204 "No Content"
    205 "Reset Content"
    206 "Partial Content"
    207 "Multi-Status"
    208 "Already Reported"
    226 "IM Used"
    300 "Multiple Choices"
    301 "Moved Permanently"
    302 "Found"
    303 "See Other"
    304 "Not Modified"
    305 "Use Proxy"
    307 "Temporary Redirect"
    308 "Permanent Redirect"
    400 "Bad Request"
    401 "Unauthorized"
    402 "Payment Required"
    403 "Forbidden"
    404 "Not Found"
    405 "Method Not Allowed"
    406 "Not Acceptable"
    407 "Proxy Authentication Required"
    408 "Request Timeout"
    409 "Conflict"
    410 "Gone"
    411 "Length Required"
    412 "Precondition Failed"
    413 "Content Too Large"
    414 "URI Too Long"
    415 "Unsupported Media Type"
    416 "Range Not Satisfiable"
    417 "Expectation Failed"
    418 "I'm a Teapot"
    421 "Misdirected Request"
    422 "Unprocessable Content"
    423 "Locked"
    424 "Failed Dependency"
    425 "Too Early"
    426 "Upgrade Required"
    428 "Precondition Required"
    429 "Too Many Requests"
    431 "Request Header Fields Too Large"
    451 "Unavailable For Legal Reasons"
    500 "Internal Server Error"
    501 "Not Implemented"
    502 "Bad Gateway"
    503 "Service Unavailable"
    504 "Gateway Timeout"
    505 "HTTP Version Not Supported"
    506 "Variant Also Negotiates"
    507 "Insufficient Storage"
    508 "Loop Detected"
    511 "Network Authentication Required"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn status_lines() {
        assert_eq!(written(|out| status_line(out, true, 200, None)), "HTTP/1.1 200 OK\r\n");
        assert_eq!(written(|out| status_line(out, false, 404, None)), "HTTP/1.0 404 Not Found\r\n");
        assert_eq!(written(|out| status_line(out, true, 299, None)), "HTTP/1.1 299 \r\n");
        assert_eq!(written(|out| status_line(out, true, 200, Some(b"Fine"))), "HTTP/1.1 200 Fine\r\n");
    }

    #[test]
    fn numbers() {
        for value in [0, 7, 10, 255, 4096, u64::MAX] {
            assert_eq!(written(|out| number(out, value)), value.to_string());
            assert_eq!(written(|out| chunk_head(out, value as usize)), format!("{value:x}\r\n"));
        }
    }

    #[test]
    fn values_and_tokens() {
        assert!(is_field_value(b"") && is_field_value(b"a b\tc") && is_field_value(b"caf\xc3\xa9"));
        for bad in [&b"a\r\nb"[..], b"a\nb", b"a\rb", b"a\0", b"\x1b", b"\x7f"] {
            assert!(!is_field_value(bad));
        }
        assert!(is_token(b"X-A_b.c") && !is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && !is_token(b"\xe9"));
    }
}
