//! Tests of static files: lookups, conditions, ranges, siblings.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::exchange::{Local, ResponseHead};

/// A directory with files in it, gone when dropped.
struct Site {
    path: PathBuf,
    files: Files,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn site(name: &str, prefix: &str) -> Site {
    let path = std::env::temp_dir().join(format!("daemun-files-{name}-{}", std::process::id()));
    fs::create_dir_all(path.join("sub")).unwrap();
    fs::create_dir_all(path.join("empty")).unwrap();
    fs::create_dir_all(path.join(".git")).unwrap();
    fs::create_dir_all(path.join(".well-known")).unwrap();
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
    Site { files: Files::open(&path, prefix.as_bytes()).unwrap(), path }
}

/// The head of the answer, and how many bytes of body were sent.
fn ask(site: &Site, method: &str, target: &str, fields: &str) -> (ResponseHead, u64) {
    let local = Arc::new(Local { name: String::new(), port: String::new() });
    let mut request = Request::new(1024, local);
    request.buf.extend_from_slice(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    wire::h1::parse(&request.buf, &wire::h1::Limits::default(), &mut request.head).unwrap();
    let mut path = Vec::new();
    uri::decode_path(request.head.path.of(&request.buf), uri::Slashes::Merge, &mut path).unwrap();
    request.path = path;
    let mut sender = Sender::new();
    sender.reset(&request, true, &Arc::default());
    serve(&site.files, &request, &mut sender);
    assert!(sender.started && sender.ended && sender.fault.is_none(), "{method} {target}");
    (std::mem::take(&mut sender.head), sender.body_bytes)
}

fn text(head: &ResponseHead, name: &str) -> String {
    head.find(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

#[test]
fn what_is_found() {
    let site = site("found", "/static/");
    let table = [
        ("/static/a.css", 200, 10, "text/css; charset=utf-8"),
        ("/static/b%20c.png", 200, 3, "image/png"),
        ("/static/", 200, 6, "text/html; charset=utf-8"),
        ("/static/sub/", 200, 6, "text/html; charset=utf-8"),
        ("/static/big.bin", 200, 1 << 20, "application/octet-stream"),
        ("/static/.well-known/security.txt", 200, 4, "text/plain; charset=utf-8"),
    ];
    for (target, status, len, media_type) in table {
        let (head, sent) = ask(&site, "GET", target, "");
        assert_eq!((head.status, head.length, sent), (status, Some(len), len), "{target}");
        assert_eq!(text(&head, "content-type"), media_type, "{target}");
        let (again, _) = ask(&site, "HEAD", target, "");
        assert_eq!((again.status, again.length), (status, Some(len)), "{target}");
    }
}

#[test]
fn what_is_not_shown() {
    let site = site("hidden", "/static/");
    for target in [
        "/static/missing",
        "/static/.env",
        "/static/.git/config",
        "/static/%2egit/config",
        "/static/sub/.hidden",
        "/static/outside",
        "/static/empty/",
        "/static/a.css/",
        "/static/a.css/b",
    ] {
        assert_eq!(ask(&site, "GET", target, "").0.status, 404, "{target}");
    }
    let long = format!("/static/{}", "x".repeat(300));
    assert_eq!(ask(&site, "GET", &long, "").0.status, 404);
}

#[test]
fn other_methods_are_refused() {
    let site = site("methods", "/static/");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "FOO"] {
        let (head, _) = ask(&site, method, "/static/a.css", "");
        assert_eq!((head.status, text(&head, "allow")), (405, "GET, HEAD".to_owned()), "{method}");
    }
}

#[test]
fn directories_get_their_slash() {
    let with = site("slash", "/static/");
    let (head, _) = ask(&with, "GET", "/static/sub?a=b", "");
    assert_eq!((head.status, text(&head, "location")), (301, "/static/sub/?a=b".to_owned()));
    let without = site("no-slash", "/static");
    let (head, _) = ask(&without, "GET", "/static", "");
    assert_eq!((head.status, text(&head, "location")), (301, "/static/".to_owned()));
    assert_eq!(ask(&without, "GET", "/static/a.css", "").0.status, 200);
    assert_eq!(ask(&without, "GET", "/statica.css", "").0.status, 404);
    let top = site("top", "/");
    assert_eq!(ask(&top, "GET", "/", "").0.length, Some(6));
}

#[test]
fn compressed_siblings() {
    let site = site("siblings", "/static/");
    for (accept, len, coding) in [("gzip", 4, "gzip"), ("gzip, br", 6, "br"), ("zstd", 10, ""), ("br;q=0", 10, "")] {
        let (head, _) = ask(&site, "GET", "/static/a.css", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!((head.length, text(&head, "content-encoding")), (Some(len), coding.to_owned()), "{accept}");
        assert_eq!(text(&head, "vary"), "Accept-Encoding");
        assert_eq!(text(&head, "content-type"), "text/css; charset=utf-8");
    }
    let (head, _) = ask(&site, "GET", "/static/b%20c.png", "Accept-Encoding: gzip\r\n");
    assert_eq!(head.find("vary"), None);
}

#[test]
fn conditions() {
    let site = site("conditions", "/static/");
    let (head, _) = ask(&site, "GET", "/static/a.css", "");
    let (etag, modified) = (text(&head, "etag"), text(&head, "last-modified"));
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: \"other\"\r\n".to_owned(), 412),
        (format!("If-None-Match: {etag}\r\nAccept-Encoding: br\r\n"), 200),
    ] {
        let (head, sent) = ask(&site, "GET", "/static/a.css", &fields);
        assert_eq!(head.status, status, "{fields}");
        if status == 304 {
            assert_eq!((text(&head, "etag"), sent), (etag.clone(), 0));
            assert_eq!(head.find("content-type"), None);
        }
    }
}

#[test]
fn ranges() {
    let site = site("ranges", "/static/");
    for (target, range, status, sent) in [
        ("/static/a.css", "bytes=2-4", 206, 3),
        ("/static/big.bin", "bytes=-1000", 206, 1000),
        ("/static/a.css", "bytes=20-", 416, 0),
        ("/static/a.css", "bytes=0-,0-", 200, 10),
    ] {
        let (head, bytes) = ask(&site, "GET", target, &format!("Range: {range}\r\n"));
        assert_eq!(head.status, status, "{range}");
        if status != 416 {
            assert_eq!((head.length, bytes), (Some(sent), sent), "{range}");
        }
    }
    let (head, _) = ask(&site, "GET", "/static/a.css", "Range: bytes=2-4\r\n");
    assert_eq!(text(&head, "content-range"), "bytes 2-4/10");
    let (head, _) = ask(&site, "GET", "/static/a.css", "Range: bytes=20-\r\n");
    assert_eq!(text(&head, "content-range"), "bytes */10");
    let (head, sent) = ask(&site, "GET", "/static/big.bin", "Range: bytes=0-9,100-199\r\n");
    assert_eq!(head.length, Some(sent));
    assert!(text(&head, "content-type").starts_with("multipart/byteranges; boundary="));
    let types = String::from_utf8_lossy(&head.fields).to_ascii_lowercase().matches("content-type").count();
    assert_eq!(types, 1);
}

#[test]
fn a_file_is_no_directory() {
    assert!(Files::open(Path::new("/etc/passwd"), b"/").is_err());
    assert!(Files::open(Path::new("/nonexistent"), b"/").is_err());
}
