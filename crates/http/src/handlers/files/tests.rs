//! Tests of static files with this program's own rules (`defaults modern;`): what nginx does is in the differential
//! corpus.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::config::{Config, Place};
use crate::exchange::{Local, Request};
use crate::handlers::index;
use crate::log::ErrorLog;
use crate::log::error::Style;
use crate::phases::route::{self, From, Way};

/// A directory with files in it, gone when dropped, and a server for it.
struct Site {
    path: PathBuf,
    config: Config,
    log: ErrorLog,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn site(name: &str) -> Site {
    let path = std::env::temp_dir().join(format!("daemun-files-{name}-{}", std::process::id()));
    for directory in ["sub", "empty", ".git", ".well-known"] {
        fs::create_dir_all(path.join(directory)).unwrap();
    }
    let files = [
        ("a.css", "0123456789"),
        ("a.css.br", "brotli"),
        ("a.css.gz", "gzip"),
        ("b c.png", "png"),
        ("index.html", "<p>top"),
        ("sub/index.html", "<p>sub"),
        (".env", "secret"),
        (".git/config", "secret"),
        (".well-known/security.txt", "mail"),
    ];
    for (name, content) in files {
        fs::write(path.join(name), content).unwrap();
    }
    fs::File::create(path.join("big.bin")).unwrap().set_len(1 << 20).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path.join("outside")).unwrap();
    let root = path.display();
    let text = format!(
        "defaults modern; http {{ server {{ listen 8080; location /static/ {{ alias {root}/; hidden_files off; \
         disable_symlinks outside; }} }} }}"
    );
    let tree = conf::parse_alone("test", &text).unwrap();
    let config = Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{problems:?}")).config;
    Site { config, path, log: ErrorLog::new(Style::Nginx, Vec::new()) }
}

/// What came of it: the answer's head, how many bytes of body were sent, or what is left to do.
fn ask(site: &Site, method: &str, target: &str, fields: &str) -> (ResponseHead, u64, Content) {
    let local = Local { name: String::new(), port: String::new(), listen: 0, wildcard: false };
    let mut request = Request::new(1024, Arc::new(local));
    request.buf.extend_from_slice(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    wire::h1::parse(&request.buf, &wire::h1::Limits::default(), &mut request.head).unwrap();
    route::enter(&site.config, 0, &mut request).unwrap();
    route::normalise(&site.config, &mut request).unwrap();
    let mut sender = Sender::new();
    sender.reset(&request, true, &Arc::default());
    let scope = &mut Scope::new(&site.config, &mut request, &site.log);
    assert_eq!(route::run(scope, From::Server), Way::Handler);
    let mut content = Content::Declined;
    if scope.request.path.ends_with(b"/") {
        content = index::serve(scope, &mut sender);
    }
    if content == Content::Declined {
        content = serve(scope, &mut sender);
    }
    if content == Content::Done {
        assert!(sender.started && sender.ended && sender.fault.is_none(), "{method} {target}");
    }
    (std::mem::take(&mut sender.head), sender.body_bytes, content)
}

fn text(head: &ResponseHead, name: &str) -> String {
    head.find(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

#[test]
fn what_is_found() {
    let site = site("found");
    let table = [
        ("/static/a.css", 10),
        ("/static/b%20c.png", 3),
        ("/static/big.bin", 1 << 20),
        ("/static/.well-known/security.txt", 4),
    ];
    for (target, len) in table {
        let (head, sent, _) = ask(&site, "GET", target, "");
        assert_eq!((head.status, head.length, sent), (200, Some(len), len), "{target}");
        let (again, sent, _) = ask(&site, "HEAD", target, "");
        assert_eq!((again.status, again.length, sent), (200, Some(len), 0), "{target}");
    }
    let index = Content::Internal(b"/static/sub/index.html".to_vec(), None);
    assert_eq!(ask(&site, "GET", "/static/sub/", "").2, index);
    let slash = Content::Redirect(301, b"/static/sub/?a=b".to_vec());
    assert_eq!(ask(&site, "GET", "/static/sub?a=b", "").2, slash);
    assert_eq!(ask(&site, "GET", "/static/empty/", "").2, Content::Declined);
}

#[test]
fn what_is_not_shown() {
    let site = site("hidden");
    let long = format!("/static/{}", "x".repeat(300));
    for target in [
        "/static/missing",
        "/static/.env",
        "/static/.git/config",
        "/static/%2egit/config",
        "/static/sub/.hidden",
        "/static/outside",
        "/static/a.css/",
        "/static/a.css/b",
        &long,
    ] {
        assert_eq!(ask(&site, "GET", target, "").2, Content::Status(404), "{target}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "FOO"] {
        assert_eq!(ask(&site, method, "/static/a.css", "").2, Content::Status(405), "{method}");
    }
}

#[test]
fn compressed_siblings() {
    let site = site("siblings");
    for (accept, len, coding) in [
        ("gzip", 4, "gzip"),
        ("gzip, br", 6, "br"),
        ("*", 6, "br"),
        ("zstd", 10, ""),
        ("br;q=0", 10, ""),
        ("identity, br;q=0.5", 10, ""),
    ] {
        let (head, ..) = ask(&site, "GET", "/static/a.css", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!((head.length, text(&head, "content-encoding")), (Some(len), coding.to_owned()), "{accept}");
        assert!(head.vary, "{accept}");
        assert_eq!(text(&head, "etag").ends_with(&format!("-{coding}\"")), !coding.is_empty(), "{accept}");
    }
    let (head, ..) = ask(&site, "GET", "/static/b%20c.png", "Accept-Encoding: gzip\r\n");
    assert!(!head.vary);
}

#[test]
fn conditions() {
    let site = site("conditions");
    let (head, ..) = ask(&site, "GET", "/static/a.css", "");
    let (etag, modified) = (text(&head, "etag"), text(&head, "last-modified"));
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: {etag}\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), 304),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Match: {etag}\r\n"), 200),
        (format!("If-None-Match: {etag}\r\nAccept-Encoding: br\r\n"), 200),
    ] {
        let (head, sent, _) = ask(&site, "GET", "/static/a.css", &fields);
        assert_eq!(head.status, status, "{fields}");
        if status == 304 {
            assert_eq!((text(&head, "etag"), sent), (etag.clone(), 0));
            assert_eq!((head.find("content-type"), head.length), (None, None));
        }
    }
    let failed = ask(&site, "GET", "/static/a.css", "If-Match: \"other\"\r\n").2;
    assert_eq!(failed, Content::Status(412));
}

#[test]
fn ranges_of_files() {
    let site = site("ranges");
    for (method, target, range, status, sent) in [
        ("GET", "/static/a.css", "bytes=2-4", 206, 3),
        ("GET", "/static/big.bin", "bytes=-1000", 206, 1000),
        ("GET", "/static/a.css", "bytes=0-,0-", 200, 10),
        ("HEAD", "/static/a.css", "bytes=2-4", 200, 0),
    ] {
        let (head, bytes, _) = ask(&site, method, target, &format!("Range: {range}\r\n"));
        assert_eq!((head.status, bytes), (status, sent), "{range}");
    }
    let (head, ..) = ask(&site, "GET", "/static/a.css", "Range: bytes=2-4\r\n");
    assert_eq!(text(&head, "content-range"), "bytes 2-4/10");
    assert_eq!(ask(&site, "GET", "/static/a.css", "Range: bytes=20-\r\n").2, Content::Status(416));
    let (head, sent, _) = ask(&site, "GET", "/static/big.bin", "Range: bytes=0-9,100-199\r\n");
    assert_eq!(head.length, Some(sent));
    assert!(text(&head, "content-type").starts_with("multipart/byteranges; boundary="));
}
