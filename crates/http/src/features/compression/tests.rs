//! Which answers are compressed for whom.

use super::*;
use crate::config::{Config, Place};
use crate::exchange::{Local, Request};
use crate::log::ErrorLog;
use crate::log::error::Style;
use std::sync::Arc;

/// Has `act` look at an answer to a request with these fields, under this configuration.
fn with<R>(http: &str, request: &str, act: impl FnOnce(&mut Scope<'_>) -> R) -> R {
    let tree = conf::parse_alone("test", http).unwrap_or_else(|problem| panic!("{problem:?}"));
    let config = Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{problems:?}")).config;
    let local = Local { name: String::new(), port: String::new(), listen: 0, wildcard: false };
    let mut request_ = Request::new(0, Arc::new(local));
    let version = if request.contains("HTTP/1.0") { "1.0" } else { "1.1" };
    let fields = request.replace("HTTP/1.0\r\n", "");
    request_.buf = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n").into_bytes();
    wire::h1::parse(&request_.buf, &wire::h1::Limits::default(), &mut request_.head).unwrap().unwrap();
    let log = ErrorLog::new(Style::Nginx, Vec::new());
    act(&mut Scope::new(&config, &mut request_, &log))
}

fn page(length: Option<u64>) -> ResponseHead {
    let mut head = ResponseHead { length, ..ResponseHead::new(200) };
    head.content_type = b"text/html; charset=utf-8".to_vec();
    head.put("ETag", b"\"a\"");
    head.last_fields = b"Accept-Ranges: bytes\r\n".to_vec();
    head
}

const GZIP: &str = "http { gzip on; gzip_vary on; server { } }";
const ALL: &str = "http { gzip on; brotli on; zstd on; server { } }";
const MODERN: &str = "defaults modern; http { gzip on; brotli on; zstd on; server { } }";

/// The coding of an answer, and whether it varies.
fn decided(http: &str, request: &str, head: ResponseHead) -> (Option<Coding>, bool) {
    with(http, request, |scope| {
        let plan = plan_coding(scope, &head);
        (plan.coding, plan.varies)
    })
}

#[test]
fn which_answers() {
    let accept = "Accept-Encoding: gzip\r\n";
    let set = |change: fn(&mut ResponseHead)| {
        let mut head = page(Some(100));
        change(&mut head);
        head
    };
    for (name, head, expected) in [
        ("a page", page(Some(100)), true),
        ("length unknown", page(None), true),
        ("just long enough", page(Some(20)), true),
        ("too short", page(Some(19)), false),
        ("403", set(|head| head.status = 403), true),
        ("404", set(|head| head.status = 404), true),
        ("206", set(|head| head.status = 206), false),
        ("500", set(|head| head.status = 500), false),
        ("201", set(|head| head.status = 201), false),
        ("coded", set(|head| head.put("Content-Encoding", b"br")), false),
        ("a coding without a name", set(|head| head.put("Content-Encoding", b"")), true),
        ("another type", set(|head| head.content_type = b"text/plain".to_vec()), false),
        ("no type", set(|head| head.content_type.clear()), false),
    ] {
        assert_eq!(decided(GZIP, accept, head), (expected.then_some(Coding::Gzip), expected), "{name}");
    }
    let all = "http { gzip on; gzip_types *; gzip_min_length 0; server { } }";
    let image = ResponseHead { content_type: b"image/png".to_vec(), length: Some(0), ..ResponseHead::new(200) };
    assert_eq!(decided(all, accept, image), (Some(Coding::Gzip), true));
}

#[test]
fn for_whom() {
    for (fields, expected) in [
        ("", None),
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", Some(Coding::Gzip)),
        ("Accept-Encoding: *\r\n", None),
        ("Accept-Encoding: gzip;q=0\r\n", None),
        ("HTTP/1.0\r\nAccept-Encoding: gzip\r\n", None),
        ("Accept-Encoding: gzip\r\nVia: 1.1 a\r\n", None),
    ] {
        assert_eq!(decided(GZIP, fields, page(None)), (expected, true), "{fields}");
    }
    let subrequest = with(GZIP, "Accept-Encoding: gzip\r\n", |scope| {
        scope.request.route.subrequest = true;
        plan_coding(scope, &page(None))
    });
    assert_eq!(subrequest, Plan::default());
}

#[test]
fn of_several_codings_the_one_that_the_client_likes_best() {
    for (http, accept, expected) in [
        (ALL, "gzip, deflate, br, zstd", Some(Coding::Zstd)),
        (ALL, "gzip, deflate, br", Some(Coding::Brotli)),
        (ALL, "gzip", Some(Coding::Gzip)),
        (ALL, "zstd;q=0.5, br;q=0.9, gzip;q=0.9", Some(Coding::Brotli)),
        (ALL, "gzip;q=1.0, identity; q=0.5, *;q=0", Some(Coding::Gzip)),
        (ALL, "*", None),
        (ALL, "identity", None),
        (MODERN, "*", Some(Coding::Zstd)),
        (MODERN, "x-gzip", Some(Coding::Gzip)),
        (MODERN, "identity, gzip;q=0.5", None),
        (MODERN, "zstd;q=0, *", Some(Coding::Brotli)),
    ] {
        let fields = format!("Accept-Encoding: {accept}\r\n");
        assert_eq!(decided(http, &fields, page(None)).0, expected, "{http} {accept}");
    }
    let sizes = "http { gzip on; zstd on; zstd_min_length 1000; server { } }";
    assert_eq!(decided(sizes, "Accept-Encoding: gzip, zstd\r\n", page(Some(500))).0, Some(Coding::Gzip));
}

#[test]
fn what_the_head_says_then() {
    with(GZIP, "Accept-Encoding: gzip\r\n", |scope| {
        let mut head = page(Some(100));
        apply(scope, &mut head);
        vary(scope, &mut head);
        assert!(head.vary && head.coder.is_some());
        assert_eq!(head.find("etag"), Some(&b"W/\"a\""[..]));
        assert_eq!((head.find("accept-ranges"), head.find("content-encoding")), (None, Some(&b"gzip"[..])));
    });
    with(GZIP, "", |scope| {
        let mut head = page(Some(100));
        apply(scope, &mut head);
        vary(scope, &mut head);
        assert!(head.vary && head.coder.is_none());
        assert_eq!(head.find("etag"), Some(&b"\"a\""[..]));
    });
}

#[test]
fn vary_is_said_once_where_nginx_does_not_say_it_twice() {
    for (http, own, expected) in [
        (GZIP, "Accept-Encoding", true),
        ("defaults modern; http { gzip on; server { } }", "Cookie, accept-encoding", false),
        ("defaults modern; http { gzip on; server { } }", "*", false),
        ("defaults modern; http { gzip on; server { } }", "Cookie", true),
    ] {
        with(http, "Accept-Encoding: gzip\r\n", |scope| {
            let mut head = page(None);
            head.put("Vary", own.as_bytes());
            apply(scope, &mut head);
            vary(scope, &mut head);
            assert_eq!(head.vary, expected, "{own}");
        });
    }
}

#[test]
fn gzip_is_taken_off_for_those_who_do_not_accept_it() {
    let http = "http { gunzip on; server { } }";
    for (fields, coding, expected) in [
        ("", "gzip", true),
        ("", "GZIP", true),
        ("Accept-Encoding: gzip\r\n", "gzip", false),
        ("HTTP/1.0\r\nAccept-Encoding: gzip\r\n", "gzip", true),
        ("Accept-Encoding: br\r\n", "gzip", true),
        ("", "br", false),
        ("", "gzip, gzip", false),
    ] {
        with(http, fields, |scope| {
            let mut head = page(Some(50));
            head.put("Content-Encoding", coding.as_bytes());
            gunzip(scope, &mut head);
            assert_eq!((head.stages.len(), is_coded(&head)), (usize::from(expected), !expected), "{fields} {coding}");
            assert_eq!(length(&head), (!expected).then_some(50), "{fields} {coding}");
        });
    }
}

#[test]
fn ratios() {
    for (input, output, expected) in [
        (314, 100, "3.14"),
        (2125, 1000, "2.13"),
        (2124, 1000, "2.12"),
        (1_999_600, 1_000_000, "2.00"),
        (5, 20, "0.25"),
    ] {
        with(GZIP, "", |scope| {
            let head = ResponseHead::new(200);
            let ratio = Some(crate::stage::Ratio { coding: Coding::Gzip, input, output });
            let answer = crate::variables::Answer {
                head: &head,
                body_bytes: 0,
                bytes: 0,
                keep_alive: true,
                complete: true,
                sent: true,
                ratio,
            };
            let mut scope = Scope::new(scope.config, scope.request, scope.log);
            scope.answer = Some(answer);
            let mut out = Vec::new();
            assert!(super::ratio(&scope, Coding::Gzip, &mut out) && !super::ratio(&scope, Coding::Zstd, &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        });
    }
}

#[test]
fn values_are_checked() {
    for (line, why) in [
        ("gzip_comp_level 0;", "value must be between 1 and 9"),
        ("gzip_comp_level x;", "\"gzip_comp_level\" directive invalid number"),
        ("gzip_window 3k;", "\"gzip_window\" directive must be 512, 1k, 2k, 4k, 8k, 16k, or 32k"),
        ("gzip_hash 256k;", "\"gzip_hash\" directive must be 512, 1k, 2k, 4k, 8k, 16k, 32k, 64k, or 128k"),
        ("brotli_comp_level 12;", "value must be between 0 and 11"),
        ("zstd_comp_level 0;", "value must be between 1 and 22, or between -100 and -1"),
        ("gzip_min_length 1x;", "\"gzip_min_length\" directive invalid value"),
    ] {
        let tree = conf::parse_alone("test", &format!("http {{ {line} }}")).unwrap_or_else(|p| panic!("{p:?}"));
        let problems = Config::build(&tree, &Place::default()).err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem.message == why), "{line}: {problems:?}");
    }
}
