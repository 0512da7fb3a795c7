//! What the sender puts on the wire.

use super::*;
use crate::exchange::Local;

/// What is sent for `request` when `answer` has had the sender, and whether the connection goes on.
#[track_caller]
fn sent(request: &str, answer: impl FnOnce(&mut Sender)) -> (String, bool, Option<Fault>) {
    let mut sender = Sender::new();
    if request.is_empty() {
        sender.reset_without_request(&Arc::new(Settings::modern()));
    } else {
        let local = Arc::new(Local { name: "localhost".into(), port: "80".into(), listen: 0, wildcard: false });
        let mut parsed = Request::new(0, local);
        parsed.buf = request.replace('\n', "\r\n").into_bytes();
        let limits = crate::config::ServerSettings::default().limits;
        wire::h1::parse(&parsed.buf, &limits, &mut parsed.head).unwrap().unwrap();
        sender.reset(&parsed, parsed.head.keep_alive, &Arc::new(Settings::modern()));
    }
    answer(&mut sender);
    let mut bytes = sender.out.clone();
    for chunk in &sender.queue {
        bytes.extend_from_slice(chunk.memory().unwrap_or(b"<file>"));
    }
    let text = String::from_utf8(bytes).unwrap();
    let dated = text.find("Date: ").map(|at| text[..at].to_owned() + &text[at + 37..]).unwrap_or(text);
    (dated.replace("\r\n", "\n"), sender.keep_alive, sender.fault)
}

fn head(length: Option<u64>) -> ResponseHead {
    ResponseHead { length, ..ResponseHead::new(200) }
}

const GET: &str = "GET / HTTP/1.1\nHost: a\n\n";
const START: &str = "HTTP/1.1 200 OK\nServer: daemun\n";

#[test]
fn a_known_length_is_told() {
    let (text, keep, fault) = sent(GET, |s| {
        s.start(head(Some(5)));
        s.copy(b"hello");
        s.end();
    });
    assert_eq!(text, format!("{START}Content-Length: 5\n\nhello"));
    assert!(keep && fault.is_none());
}

#[test]
fn an_unknown_length_is_chunked() {
    let (text, keep, _) = sent(GET, |s| {
        s.start(head(None));
        s.copy(b"hello");
        s.push(Chunk::Bytes(vec![b'x'; COPY + 1]));
        s.end();
    });
    let large = "x".repeat(COPY + 1);
    assert_eq!(text, format!("{START}Transfer-Encoding: chunked\n\n5\nhello\n1001\n{large}\n0\n\n"));
    assert!(keep);
}

#[test]
fn an_http_1_0_client_gets_the_end_of_the_connection() {
    let (text, keep, _) = sent("GET / HTTP/1.0\nConnection: keep-alive\n\n", |s| {
        s.start(head(None));
        s.copy(b"hello");
        s.end();
    });
    assert_eq!(text, format!("{START}Connection: close\n\nhello"));
    assert!(!keep);
}

#[test]
fn an_http_1_0_client_that_asks_keeps_its_connection() {
    let (text, keep, _) = sent("GET / HTTP/1.0\nConnection: keep-alive\n\n", |s| {
        s.start(head(Some(0)));
        s.end();
    });
    assert_eq!(text, format!("{START}Content-Length: 0\nConnection: keep-alive\n\n"));
    assert!(keep);
}

#[test]
fn too_much_is_cut_and_noted() {
    let (text, keep, fault) = sent(GET, |s| {
        s.start(head(Some(3)));
        s.copy(b"hello");
        s.push(Chunk::Bytes(vec![b'x'; 2 * COPY]));
        s.end();
    });
    assert!(text.ends_with("\n\nhel"), "{text}");
    assert_eq!((keep, fault), (true, Some(Fault::TooLong)));
}

#[test]
fn too_little_ends_the_connection() {
    let (_, keep, fault) = sent(GET, |s| {
        s.start(head(Some(6)));
        s.copy(b"hello");
        s.end();
    });
    assert_eq!((keep, fault), (false, Some(Fault::TooShort)));
}

#[test]
fn where_there_is_no_body_none_is_sent() {
    for (request, status, length, tells) in [
        ("HEAD / HTTP/1.1\nHost: a\n\n", 200, Some(5), true),
        ("HEAD / HTTP/1.1\nHost: a\n\n", 200, None, false),
        (GET, 204, Some(5), false),
        (GET, 304, Some(5), true),
    ] {
        let (text, keep, fault) = sent(request, |s| {
            s.start(ResponseHead { length, ..ResponseHead::new(status) });
            s.copy(b"hello");
            s.end();
        });
        assert!(text.ends_with("\n\n"), "{text}");
        assert_eq!(text.contains("Content-Length"), tells, "{text}");
        assert!(!text.contains("Transfer-Encoding") && keep && fault.is_none(), "{text}");
    }
}

#[test]
fn interim_answers_come_before_the_head_and_only_to_http_1_1() {
    let (text, ..) = sent(GET, |s| {
        s.informational(103, b"Link: <a>\r\n");
        s.start(head(Some(0)));
        s.informational(103, b"Link: <b>\r\n");
        s.end();
    });
    assert_eq!(text, format!("HTTP/1.1 103 Early Hints\nLink: <a>\n\n{START}Content-Length: 0\n\n"));
    let (text, ..) = sent("GET / HTTP/1.0\n\n", |s| s.informational(103, b""));
    assert_eq!(text, "");
}

#[test]
fn an_aborted_answer_has_no_last_chunk() {
    let (text, keep, _) = sent(GET, |s| {
        s.start(head(None));
        s.copy(b"hello");
        s.abort();
        s.end();
    });
    assert!(text.ends_with("5\nhello\n") && !keep, "{text}");
}
