//! The server's own pages for errors: small, without anything from the request.

use wire::h1::encode;

use crate::exchange::ResponseHead;
use crate::transport::sender::Sender;

/// Answers with an error page; `fields` are added to the head. Nothing if an answer has begun: then the connection
/// is closed, which is all that can still be told.
pub fn page(sender: &mut Sender, status: u16, fields: &[(&str, &[u8])]) {
    if sender.started {
        sender.abort();
        return;
    }
    let (mut head, body) = answer(status);
    for (name, value) in fields {
        head.put(name, value);
    }
    // After these the connection's framing is not to be trusted, or the client is not.
    head.close = matches!(status, 400 | 408 | 413 | 414 | 417 | 431 | 501 | 505);
    sender.begin(head);
    sender.copy(body.as_bytes());
    sender.end();
}

/// The head and the body of a status's page.
pub fn answer(status: u16) -> (ResponseHead, String) {
    let body = body(status);
    let mut head = ResponseHead::new(status);
    head.put("Content-Type", b"text/html; charset=utf-8");
    head.length = Some(body.len() as u64);
    head.own_error = true;
    (head, body)
}

fn body(status: u16) -> String {
    let reason = encode::reason(status);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status} {reason}</title></head>\n\
         <body><h1>{status} {reason}</h1></body></html>\n"
    )
}
