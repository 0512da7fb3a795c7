//! Heads of answers as nginx 1.22.1 passes them on; where Daemun means to differ, a row says so.

use super::Accel;
use crate::exchange::ResponseHead;
use crate::handlers::proxy::tests::mapped;

const B: &str = "http://127.0.0.1:23205";

fn lines(head: &ResponseHead) -> String {
    String::from_utf8_lossy(&head.fields).replace("\r\n", "\n").trim_end().to_owned()
}

const ALL: &str = "Date: Mon, 01 Jan 2001 00:00:00 GMT\nServer: be/1\nX-Pad: p\nX-Accel-Foo: 1\nX-A: 1\nx-a: 2\n\
    Set-Cookie: a=1; Path=/x\nSet-Cookie: b=2\nConnection: close, X-Hop\nX-Hop: 1\nKeep-Alive: timeout=5\n\
    Upgrade: h2c\nProxy-Authenticate: x\nWWW-Authenticate: Basic\nWWW-Authenticate: Digest\nVary: X\nVary: Y\nETag: \"t\"\n\
    Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT\nExpires: 0\nCache-Control: no-cache\nCache-Control: private\n\
    Content-Type: text/html; charset=utf-8\nContent-Encoding: foo\nAccept-Ranges: bytes\nTrailer: a\nTE: b\n\
    X-Empty:\nStatus: 404\nProxy-Connection: k\nContent-Length: 2";

#[test]
fn which_fields_clients_get() {
    let rest = "X-Accel-Foo: 1\nX-A: 1\nx-a: 2\nSet-Cookie: a=1; Path=/x\nSet-Cookie: b=2\nX-Hop: 1\nProxy-Authenticate: x\n\
        WWW-Authenticate: Basic\nWWW-Authenticate: Digest\nVary: X\nVary: Y\nETag: \"t\"\nLast-Modified: Mon, 01 Jan 2001 00:00:00 GMT\n\
        Expires: 0\nCache-Control: no-cache\nCache-Control: private\nContent-Encoding: foo\nAccept-Ranges: bytes\nTrailer: a\n\
        X-Empty: \nStatus: 404";
    let without = |names: &[&str]| -> String {
        let kept = rest.split('\n').filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !names.iter().any(|other| other.eq_ignore_ascii_case(name))
        });
        kept.collect::<Vec<_>>().join("\n")
    };
    // What is of one connection only (TE, Upgrade, Proxy-Connection) nginx passes on, too.
    for (proxy, expected) in [
        ("", rest.to_owned()),
        (
            "proxy_hide_header x-a; proxy_hide_header Set-Cookie; proxy_hide_header etag;",
            without(&["x-a", "set-cookie", "etag"]),
        ),
        (
            "proxy_pass_header Date; proxy_pass_header server; proxy_pass_header X-Pad; proxy_pass_header Connection;",
            format!("Date: Mon, 01 Jan 2001 00:00:00 GMT\nServer: be/1\nX-Pad: p\n{rest}"),
        ),
        ("proxy_hide_header X-A; proxy_pass_header x-a;", rest.to_owned()),
        ("proxy_force_ranges on;", without(&["accept-ranges"])),
        ("proxy_ignore_headers Set-Cookie Vary Cache-Control;", rest.to_owned()),
    ] {
        let server = format!("location / {{ proxy_pass http://127.0.0.1:1; {proxy} }}");
        let head = mapped(&server, "/", &format!("200 OK\n{ALL}")).head;
        assert_eq!(lines(&head), expected, "{proxy}");
        assert_eq!((head.length, head.content_type.as_slice()), (Some(2), &b"text/html; charset=utf-8"[..]));
        assert_eq!((head.has_date, head.has_server), (proxy.contains("Date"), proxy.contains("server")));
        assert!(!head.close && head.location.is_empty());
    }
}

#[test]
fn statuses_and_reasons() {
    let server = "location / { proxy_pass http://127.0.0.1:1; }";
    for (line, status, reason) in [
        ("200 OK", 200, None),
        ("200", 200, Some("")),
        ("404 Nope", 404, Some("Nope")),
        ("302 Found", 302, Some("Found")),
        ("302 Moved Temporarily", 302, Some("Moved Temporarily")),
        ("599 Odd", 599, Some("Odd")),
    ] {
        let head = mapped(server, "/", line).head;
        let found = head.reason.map(|reason| String::from_utf8_lossy(&reason).into_owned());
        assert_eq!((head.status, found.as_deref()), (status, reason), "{line}");
    }
    for (status, passed) in [("101 x", true), ("426 x", true), ("200 x", false)] {
        let head = mapped(server, "/", &format!("{status}\nUpgrade: h2c")).head;
        assert_eq!(head.find("upgrade").is_some(), passed, "{status}");
    }
}

#[test]
fn places_that_servers_name() {
    // Path of the location, what is in it, and what Location and Refresh become: `>` before what will be a whole URL.
    let table: &[(&str, &str, &[(&str, &str)])] = &[
        (
            "/a",
            "proxy_pass $B;",
            &[
                ("$B/x", ">/x"),
                ("$B", "$B"),
                ("$Bx", "$Bx"),
                ("/x", "/x"),
                ("x", "x"),
                ("https://127.0.0.1:23205/x", "https://127.0.0.1:23205/x"),
                ("HTTP://127.0.0.1:23205/x", "HTTP://127.0.0.1:23205/x"),
                ("", ""),
            ],
        ),
        (
            "/b/",
            "proxy_pass $B/base/;",
            &[
                ("$B/base/x", ">/b/x"),
                ("$B/x", "$B/x"),
                ("$B/base", "$B/base"),
                ("/base/x", "/base/x"),
                ("$B/base/", ">/b/"),
            ],
        ),
        ("/c", "proxy_pass $B/base;", &[("$B/base/x", ">/c/x"), ("$B/basex", ">/cx")]),
        ("/d", "proxy_pass $B/; proxy_redirect off;", &[("$B/x", "$B/x")]),
        (
            "/e",
            "proxy_pass $B/; proxy_redirect $B/ http://$host:81/e/; proxy_redirect /base/ /new/; \
            proxy_redirect http://$arg_q/ $scheme://$arg_q:$server_port/; proxy_redirect / /root/;",
            &[
                ("$B/x", "http://h.example:81/e/x"),
                ("/base/x", ">/new/x"),
                ("/x", ">/root/x"),
                ("http://qq/z", "http://qq:8080/z"),
                ("zzz", "zzz"),
            ],
        ),
        (
            "/f",
            "proxy_pass $B/; proxy_redirect ~^http://([^:/]+)(:\\d+)?(/.*)$ $3?h=$1; \
            proxy_redirect ~*/CASE/(?<rest>.*) http://x/$rest;",
            &[
                ("http://foo:1/bar", ">/bar?h=foo"),
                ("http://foo/bar", ">/bar?h=foo"),
                ("http://foo", "http://foo"),
                ("/case/yy", "http://x/yy"),
                ("/nomatch", "/nomatch"),
            ],
        ),
        ("/g", "proxy_pass $B/; proxy_redirect /x \"\";", &[("/x", ""), ("/xy", "y")]),
        ("/h", "set $b 127.0.0.1:23205; proxy_pass http://$b;", &[("$B/x", "$B/x")]),
        (
            "/i",
            "proxy_pass $B/; proxy_redirect default; proxy_redirect http://o/ /p/;",
            &[("$B/x", ">/ix"), ("http://o/x", ">/p/x")],
        ),
        // An inner location has what the outer one's URL implies, its own only by `default`.
        (
            "/j/k/",
            "proxy_pass $B/base/; location /j/k/ { proxy_pass $B/other/; }",
            &[("$B/base/x", ">/j/x"), ("$B/other/x", "$B/other/x")],
        ),
        ("/l", "proxy_pass $B/; absolute_redirect off;", &[("$B/x", "/lx")]),
        ("/m", "proxy_pass http://Grp/;", &[("http://Grp/x", ">/mx"), ("http://Grp:80/x", "http://Grp:80/x")]),
    ];
    for (path, inside, places) in table {
        let name = path.strip_suffix("k/").unwrap_or(path);
        let server = format!("location {name} {{ {inside} }}").replace("$B", B);
        for (place, expected) in *places {
            let (place, expected) = (place.replace("$B", B), expected.replace("$B", B));
            let head = mapped(&server, &format!("{path}?q=qq"), &format!("301 x\nLocation: {place}\nX: y")).head;
            let found = match &head.location[..] {
                b"" => String::from_utf8_lossy(head.find("location").unwrap_or_default()).into_owned(),
                place => format!(">{}", String::from_utf8_lossy(place)),
            };
            assert_eq!(found, expected, "{server} {place}");
            let head = mapped(&server, &format!("{path}?q=qq"), &format!("200 x\nRefresh: 5; URL={place}")).head;
            let found = String::from_utf8_lossy(head.find("refresh").unwrap_or_default()).into_owned();
            assert_eq!(found, format!("5; URL={}", expected.trim_start_matches('>')), "{server} {place}");
        }
    }
}

#[test]
fn what_is_said_to_this_server() {
    let said = |proxy: &str, fields: &str| -> Accel {
        let server = format!("location / {{ proxy_pass http://127.0.0.1:1; {proxy} }}");
        let mapped = mapped(&server, "/", &format!("200 OK\n{fields}"));
        assert_eq!(lines(&mapped.head), "", "{fields}");
        mapped.accel
    };
    let all = "X-Accel-Redirect: /a?b\nX-Accel-Buffering: No\nX-Accel-Limit-Rate: 100\nX-Accel-Charset: koi8-r\nX-Accel-Expires: @5";
    let expected = Accel {
        redirect: Some(b"/a?b".to_vec()),
        buffering: Some(false),
        rate: Some(100),
        charset: Some(b"koi8-r".to_vec()),
        expires: Some(b"@5".to_vec()),
    };
    assert_eq!(said("", all), expected);
    let ignored =
        "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;";
    assert_eq!(said(ignored, all), Accel::default());
    assert_eq!(said("", "X-Accel-Buffering: yes\nX-Accel-Limit-Rate: -1").buffering, Some(true));
    assert_eq!(
        said("", "X-Accel-Buffering: maybe\nX-Accel-Limit-Rate: 1k\nX-Accel-Limit-Rate: 99999999999999999999"),
        Accel::default()
    );
}

#[test]
fn nothing_splits_an_answer() {
    let server = "location / { proxy_pass http://127.0.0.1:1; proxy_redirect ~(.*) http://x$arg_q$uri; proxy_cookie_path / $uri; }";
    let head = mapped(server, "/%0d%0aX:y", "301 x\nLocation: a\nSet-Cookie: a=1; path=/b\nX: a\x01b").head;
    assert_eq!(lines(&head), "Location: http://x/  X:y\nSet-Cookie: a=1; path=/  X:yb");
}
