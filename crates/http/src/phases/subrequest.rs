//! Requests of the server's own: what another location answers becomes a part of an answer, or decides about a request.

use std::pin::Pin;

use wire::h1::{Framing, Known, Method, Span};

use super::route::From;
use super::{Begin, log, travel};
use crate::exchange::{Request, ResponseHead};
use crate::features::limit_conn::Held;
use crate::transport::Conn;
use crate::transport::sender::Sender;

/// What a location answered, without its body.
pub struct Answered {
    pub head: ResponseHead,
    /// There was no answer: the connection is to end, with this status in the log.
    pub ends: Option<u16>,
    /// The request that it answered, where it has come to.
    pub request: Box<Request>,
}

/// Asks what a location answers to `main`, as far as its head tells. The body is dropped. Variables of the
/// configuration's own are left with the request that was asked.
// A boxed future of a named type: `travel` leads here, and from here to `travel`.
pub fn ask<'a>(
    conn: &'a mut Conn,
    main: &'a mut Request,
    path: Vec<u8>,
) -> Pin<Box<dyn Future<Output = Answered> + Send + 'a>> {
    Box::pin(async move {
        let engine = conn.engine.clone();
        let request = subrequest(main, path, Vec::new());
        let read = request.consumed;
        let mut sender = Sender::new();
        sender.reset(&request, true, &engine.config.location(request.route.location).settings);
        sender.keep_head();
        let mut held = Held::default();
        let begin = Begin::Way(From::Server);
        let (mut request, _) = travel(&engine, conn, request, &mut sender, begin, &mut held).await;
        // What an application's handler has read ahead: the body of `main`, or the next request.
        if let Some(ahead) = request.buf.get(read..).filter(|ahead| !ahead.is_empty()) {
            main.buf.extend_from_slice(ahead);
            request.buf.truncate(read);
        }
        let head = sender.take_kept().map(|kept| kept.head).unwrap_or_default();
        let ends = (head.status == 0 && sender.head.status != 0).then_some(sender.head.status);
        if engine.config.location(request.route.location).settings.log_subrequest {
            sender.head = head;
            log(conn, &mut request, &sender);
            return Answered { head: sender.head, ends, request };
        }
        Answered { head, ends, request }
    })
}

/// A request of the server's own, for what `main` needs: a part of its answer, or whether it is let in.
pub fn subrequest(main: &mut Request, path: Vec<u8>, query: Vec<u8>) -> Box<Request> {
    let mut request = main.copy_head();
    let head = &mut request.head;
    // Whatever the client wants to be done, and on which condition, is said of the whole answer.
    head.fields.retain(|field| {
        !matches!(
            field.known,
            Known::IfMatch
                | Known::IfNoneMatch
                | Known::IfModifiedSince
                | Known::IfUnmodifiedSince
                | Known::IfRange
                | Known::Range
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::Expect
                | Known::Upgrade
        )
    });
    head.framing = Framing::None;
    head.expect_continue = false;
    head.upgrade = false;
    if head.method != Method::Get {
        head.method = Method::Get;
        head.method_text = Span::new(request.buf.len(), request.buf.len() + 3);
        request.buf.extend_from_slice(b"GET");
        head.len = request.buf.len();
    }
    request.consumed = request.buf.len();
    request.set_path(path);
    let values = std::mem::take(&mut main.route.values);
    let charset = main.route.charset.clone();
    let main_method = Some(main.main_method()).filter(|method| *method != b"GET").map(Box::from);
    let route = &mut request.route;
    *route = crate::exchange::route::Route {
        server: route.server,
        location: route.location,
        args: Some(query),
        rewritten: true,
        internal: true,
        get: true,
        main_method,
        subrequest: true,
        // It counts with the request that it is for.
        limit_req: route.limit_req,
        limit_conn: route.limit_conn,
        id: route.id,
        values,
        charset,
        ..Default::default()
    };
    request
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exchange::Local;

    #[test]
    fn a_subrequest_is_a_get_without_body_and_conditions() {
        let mut main =
            Request::new(0, Arc::new(Local { name: String::new(), port: String::new(), listen: 0, wildcard: false }));
        main.buf = b"POST /a?b HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\nContent-Length: 2\r\nX: y\r\n\r\nzz".to_vec();
        let limits = crate::config::ServerSettings::default().limits;
        wire::h1::parse(&main.buf, &limits, &mut main.head).unwrap().unwrap();
        let request = subrequest(&mut main, b"/part".to_vec(), b"c".to_vec());
        assert_eq!((request.method(), request.head.method_text.of(&request.buf)), (&b"GET"[..], &b"GET"[..]));
        assert_eq!((request.path.as_slice(), request.query()), (&b"/part"[..], Some(&b"c"[..])));
        assert_eq!((request.target_uri(), request.head.framing), (&b"/a?b"[..], Framing::None));
        assert_eq!((request.field("range"), request.field("content-length")), (None, None));
        assert_eq!((request.field("x"), request.field("host")), (Some(&b"y"[..]), Some(&b"h"[..])));
        assert_eq!((request.consumed, request.head.len), (request.buf.len(), request.buf.len()));
    }
}
