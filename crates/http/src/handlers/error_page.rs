//! nginx's own pages for redirections and errors, byte for byte, and the reason phrases of its status lines.
//!
//! Which page a request gets (`error_page`) is decided elsewhere.

/// The page of a status: its body, or `None` if the status has none (the answer is then empty). `tail` names the
/// server at the foot of the page. `msie_padding` makes a page for an error so long that old browsers show it.
pub fn page(status: u16, tail: &str, msie_padding: bool) -> Option<Vec<u8>> {
    let title = title(status)?;
    // Codes of nginx's own are all told as 400, with what happened below the heading.
    let (heading, detail) = match title.strip_prefix("400 ") {
        Some(detail) if status != 400 => ("400 Bad Request", Some(detail)),
        _ => (title, None),
    };
    let mut out =
        format!("<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1></center>\r\n");
    if let Some(detail) = detail {
        out.push_str(&format!("<center>{detail}</center>\r\n"));
    }
    out.push_str(&format!("<hr><center>{tail}</center>\r\n</body>\r\n</html>\r\n"));
    if msie_padding && status >= 400 {
        for _ in 0..6 {
            out.push_str("<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n");
        }
    }
    Some(out.into_bytes())
}

/// The page that stands for a redirection with `msie_refresh`; it is sent with status 200 and without Location.
pub fn refresh(location: &[u8]) -> Vec<u8> {
    let mut out = b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=".to_vec();
    wire::uri::escape(location, wire::uri::Escape::Refresh, &mut out);
    out.extend_from_slice(b"\"></head><body></body></html>\r\n");
    out
}

/// The title of a status's page.
fn title(status: u16) -> Option<&'static str> {
    Some(match status {
        301 => "301 Moved Permanently",
        302 => "302 Found",
        303 => "303 See Other",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        400 => "400 Bad Request",
        401 => "401 Authorization Required",
        402 => "402 Payment Required",
        403 => "403 Forbidden",
        404 | 498 => "404 Not Found",
        405 => "405 Not Allowed",
        406 => "406 Not Acceptable",
        408 => "408 Request Time-out",
        409 => "409 Conflict",
        410 => "410 Gone",
        411 => "411 Length Required",
        412 => "412 Precondition Failed",
        413 => "413 Request Entity Too Large",
        414 => "414 Request-URI Too Large",
        415 => "415 Unsupported Media Type",
        416 => "416 Requested Range Not Satisfiable",
        421 => "421 Misdirected Request",
        429 => "429 Too Many Requests",
        494 => "400 Request Header Or Cookie Too Large",
        495 => "400 The SSL certificate error",
        496 => "400 No required SSL certificate was sent",
        497 => "400 The plain HTTP request was sent to HTTPS port",
        500 => "500 Internal Server Error",
        501 => "501 Not Implemented",
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        505 => "505 HTTP Version Not Supported",
        507 => "507 Insufficient Storage",
        _ => return None,
    })
}

/// The status that is told to the client: codes of nginx's own (494 to 497) are 400 there.
pub fn told(status: u16) -> u16 {
    if matches!(status, 494..=497) { 400 } else { status }
}

/// The reason phrase of a status as nginx has it; `None`: the status line is the number and a space.
pub fn reason(status: u16) -> Option<&'static str> {
    Some(match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        401 => "Unauthorized",
        // These have a page and a phrase that are one text; the codes below are nginx's own.
        400 | 402..=429 | 500..=507 => title(status)?.get(4..)?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: u16) -> Option<String> {
        page(status, "nginx/1.22.1", false).map(|page| String::from_utf8(page).unwrap())
    }

    #[test]
    fn a_page_is_what_nginx_sends() {
        let expected = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1>\
                        </center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
        assert_eq!(text(404).unwrap(), expected);
        assert_eq!(text(498).unwrap(), expected);
        assert_eq!(page(404, "nginx", false).unwrap().len(), 146);
        let padded = page(404, "nginx/1.22.1", true).unwrap();
        assert_eq!(padded.len(), 555);
        assert!(padded.ends_with(b"page -->\r\n"));
        assert_eq!(page(302, "nginx/1.22.1", true).unwrap().len(), 145);
    }

    #[test]
    fn own_codes_are_told_as_bad_requests() {
        let expected = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n\
                        <body>\r\n<center><h1>400 Bad Request</h1></center>\r\n<center>The plain HTTP request was sent \
                        to HTTPS port</center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
        assert_eq!(text(497).unwrap(), expected);
        assert!(text(400).unwrap().contains("<title>400 Bad Request</title>"));
        assert_eq!((told(494), told(498), told(404)), (400, 498, 404));
    }

    #[test]
    fn these_have_no_page() {
        for status in [200, 204, 206, 300, 304, 407, 417, 418, 422, 426, 428, 431, 451, 493, 499, 506, 508, 511, 600] {
            assert_eq!(text(status), None, "{status}");
        }
    }

    #[test]
    fn phrases() {
        let table: &[(u16, Option<&str>)] = &[
            (200, Some("OK")),
            (203, None),
            (300, None),
            (302, Some("Moved Temporarily")),
            (400, Some("Bad Request")),
            (401, Some("Unauthorized")),
            (405, Some("Not Allowed")),
            (407, None),
            (408, Some("Request Time-out")),
            (413, Some("Request Entity Too Large")),
            (414, Some("Request-URI Too Large")),
            (416, Some("Requested Range Not Satisfiable")),
            (417, None),
            (421, Some("Misdirected Request")),
            (422, None),
            (429, Some("Too Many Requests")),
            (498, None),
            (503, Some("Service Temporarily Unavailable")),
            (504, Some("Gateway Time-out")),
            (505, Some("HTTP Version Not Supported")),
            (506, None),
            (507, Some("Insufficient Storage")),
            (599, None),
        ];
        for &(status, expected) in table {
            assert_eq!(reason(status), expected, "{status}");
        }
    }

    #[test]
    fn a_refresh_page() {
        assert_eq!(
            refresh(b"/a b\"c<d>e'f%g#h?i&j\\k"),
            b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=/a%20b%22c%3Cd%3Ee%27f%g#h?i&j%5Ck\"></head>\
              <body></body></html>\r\n"
        );
    }
}
