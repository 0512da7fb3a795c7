//! The HTTP/1 codec over the files in `h1/`: `NAME.http` is what a client sends, `NAME.expect` what is made of it.
//!
//! Each is run whole, cut in two at every place, and byte by byte, and must give the same each time. `BLESS=1` writes
//! the expectations anew, to be read before they are kept.

#![allow(clippy::unwrap_used)] // a test: what is wrong here is to end it

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wire::h1::{Chunk, ChunkedDecoder, Framing, Head, Limits, Refusal, parse};

/// Small enough to be broken by small files.
const LIMITS: Limits = Limits { line: 256, fields: 16, field_size: 400, head: 1200, nginx: None };
const TRAILERS: usize = 512;

#[test]
fn valid() {
    run_directory("valid", |text| !text.contains("refused") && !text.contains("incomplete"));
}

#[test]
fn invalid() {
    run_directory("invalid", |text| text.contains("refused"));
}

fn run_directory(name: &str, is_right_kind: fn(&str) -> bool) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h1").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "http"));
    files.sort();
    assert!(files.len() > 20, "fixtures are missing");
    let mut failures = Vec::new();
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let whole = run([&bytes[..]]);
        let expect = path.with_extension("expect");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expect, &whole).unwrap();
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if whole != expected || !is_right_kind(&whole) {
            failures.push(format!("{}:\n{whole}expected:\n{expected}", path.display()));
            continue;
        }
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(run([a, b]), whole, "{} cut at {cut}", path.display());
        }
        assert_eq!(run(bytes.chunks(1)), whole, "{} byte by byte", path.display());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is made of the requests that arrive in these pieces, as text.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut connection = Connection::default();
    for piece in pieces {
        connection.buf.extend_from_slice(piece);
        if let Err(refusal) = connection.advance() {
            writeln!(connection.out, "refused {} {}", refusal.status(), refusal.reason()).unwrap();
            return connection.out;
        }
    }
    if !connection.buf.is_empty() || connection.body.is_some() {
        connection.out.push_str("incomplete\n");
    }
    connection.out
}

#[derive(Default)]
struct Connection {
    buf: Vec<u8>,
    head: Head,
    body: Option<Body>,
    out: String,
}

enum Body {
    Length(u64, Vec<u8>),
    Chunked(Box<ChunkedDecoder>, Vec<u8>),
}

impl Connection {
    fn advance(&mut self) -> Result<(), Refusal> {
        loop {
            let Some(body) = &mut self.body else {
                let Some(len) = parse(&self.buf, &LIMITS, &mut self.head)? else { return Ok(()) };
                self.describe();
                self.buf.drain(..len);
                self.body = match self.head.framing {
                    Framing::None => None,
                    Framing::Length(len) => Some(Body::Length(len, Vec::new())),
                    Framing::Chunked => Some(Body::Chunked(Box::new(ChunkedDecoder::new(TRAILERS)), Vec::new())),
                };
                continue;
            };
            match body {
                Body::Length(left, bytes) => {
                    let take = self.buf.len().min(*left as usize);
                    bytes.extend(self.buf.drain(..take));
                    *left -= take as u64;
                    if *left > 0 {
                        return Ok(());
                    }
                    writeln!(self.out, "  body \"{}\"", bytes.escape_ascii()).unwrap();
                }
                Body::Chunked(decoder, bytes) => match decoder.decode(&self.buf)? {
                    Chunk::More { consumed } => {
                        self.buf.drain(..consumed);
                        return Ok(());
                    }
                    Chunk::Data { skip, len } => {
                        bytes.extend_from_slice(&self.buf[skip..skip + len]);
                        self.buf.drain(..skip + len);
                        continue;
                    }
                    Chunk::End { consumed } => {
                        self.buf.drain(..consumed);
                        writeln!(self.out, "  body \"{}\"", bytes.escape_ascii()).unwrap();
                        for (name, value) in decoder.trailers() {
                            writeln!(self.out, "  trailer {}: {}", name.escape_ascii(), value.escape_ascii()).unwrap();
                        }
                    }
                },
            }
            self.body = None;
        }
    }

    fn describe(&mut self) {
        let (head, buf, out) = (&self.head, &self.buf, &mut self.out);
        let (method, target) = (head.method_text.of(buf).escape_ascii(), head.target.of(buf).escape_ascii());
        writeln!(out, "{:?} {method} {target} {:?} {:?}", head.method, head.form, head.version).unwrap();
        let query = head.query.map(|query| format!(" query \"{}\"", query.of(buf).escape_ascii())).unwrap_or_default();
        writeln!(out, "  path \"{}\"{query}", head.path.of(buf).escape_ascii()).unwrap();
        if !head.authority.is_empty() {
            writeln!(out, "  authority {}", head.authority.of(buf).escape_ascii()).unwrap();
        }
        for field in &head.fields {
            let (name, value) = (field.name.of(buf).escape_ascii(), field.value.of(buf).escape_ascii());
            writeln!(out, "  field {name}: \"{value}\" {:?}", field.known).unwrap();
        }
        let flags =
            [(head.keep_alive, " keep-alive"), (head.expect_continue, " expect-continue"), (head.upgrade, " upgrade")];
        let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        writeln!(out, "  framing {:?}{flags}", head.framing).unwrap();
    }
}

/// Pieces of requests, good and bad, to be put together at random.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"POST /a?b#c HTTP/1.0\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: close\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
        Just(b"abc".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b": ".to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
        (0..500usize).prop_map(|len| vec![b'x'; len]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn how_input_is_cut_changes_nothing(bytes in requests(), cuts in prop::collection::vec(1..40usize, 1..6)) {
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(run(pieces), run([&bytes[..]]));
    }

    #[test]
    fn spans_stay_inside_the_head(bytes in requests()) {
        let mut head = Head::new();
        if let Ok(Some(len)) = parse(&bytes, &LIMITS, &mut head) {
            prop_assert!(len <= bytes.len() && bytes[..len].ends_with(b"\r\n\r\n"));
            let spans = head.fields.iter().flat_map(|field| [field.name, field.value]);
            for span in spans.chain([head.method_text, head.target, head.path]).chain(head.query) {
                prop_assert!(span.start <= span.end && span.end as usize <= len);
            }
        }
    }
}
