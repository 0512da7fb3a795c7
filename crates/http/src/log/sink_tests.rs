//! Tests of the sink.

use std::io::Read;

use super::*;

/// A path of this test's own.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("daemun-sink-{name}-{}", std::process::id()))
}

fn sink(path: &Path, buffering: Option<Buffering>) -> Sink {
    let _ = std::fs::remove_file(path);
    let target = Target { buffering, ..Target::file(path.to_str().unwrap()) };
    Sink::open(&target, Path::new("/")).unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn without_a_buffer_a_line_is_there_at_once() {
    let path = path("plain");
    let sink = sink(&path, None);
    sink.write_line(b"one");
    assert_eq!(text(&path), "one\n");
    sink.write_with(|out| out.extend_from_slice(b"two"));
    assert_eq!(text(&path), "one\ntwo\n");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_buffer_is_written_when_the_next_line_does_not_fit() {
    let path = path("buffer");
    let sink = sink(&path, Some(Buffering { size: 10, flush: None, gzip: None }));
    sink.write_line(b"1234");
    sink.write_line(b"5678");
    assert_eq!(text(&path), "");
    sink.write_line(b"9");
    assert_eq!(text(&path), "1234\n5678\n");
    sink.write_line(b"longer than the buffer");
    assert_eq!(text(&path), "1234\n5678\n9\nlonger than the buffer\n");
    sink.write_line(b"x");
    assert_eq!(sink.tick(u64::MAX), None);
    assert!(!text(&path).ends_with("x\n"));
    drop(sink);
    assert!(text(&path).ends_with("buffer\nx\n"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn flush_counts_from_the_first_line() {
    let path = path("flush");
    let sink = sink(&path, Some(Buffering { size: 1000, flush: Some(500), gzip: None }));
    let now = sys::time::coarse_monotonic_ms();
    sink.write_line(b"one");
    sink.tick(now + 400);
    assert_eq!(text(&path), "");
    sink.tick(now + 1000);
    assert_eq!(text(&path), "one\n");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn each_buffer_is_a_gzip_member() {
    let path = path("gzip");
    let sink = sink(&path, Some(Buffering { size: 1000, flush: None, gzip: Some(6) }));
    sink.write_line(b"one");
    sink.flush();
    sink.write_line(b"two");
    sink.write_line(b"three");
    sink.flush();
    let mut out = String::new();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.windows(3).filter(|window| *window == [0x1f, 0x8b, 8]).count(), 2);
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut out).unwrap();
    assert_eq!(out, "one\ntwo\nthree\n");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_moved_file_is_left_and_the_descriptor_stays() {
    let path = path("reopen");
    let moved = path.with_extension("1");
    let sink = sink(&path, Some(Buffering { size: 1000, flush: None, gzip: None }));
    let fd = sink.fd();
    sink.write_line(b"one");
    std::fs::rename(&path, &moved).unwrap();
    sink.reopen().unwrap();
    sink.write_line(b"two");
    sink.flush();
    assert_eq!((text(&moved).as_str(), text(&path).as_str()), ("one\n", "two\n"));
    assert_eq!(sink.fd(), fd);
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&moved).unwrap();
}

#[test]
fn what_cannot_be_opened_is_told_in_nginx_words() {
    let open = |name: &str| Sink::open(&Target::file(name), Path::new("/nonexistent")).err().unwrap();
    assert_eq!(open("logs/x.log"), "open() \"/nonexistent/logs/x.log\" failed (2: No such file or directory)");
    assert_eq!(open("/tmp"), "open() \"/tmp\" failed (21: Is a directory)");
}

#[test]
fn a_failure_is_told_once() {
    let sink = Sink::open(&Target::file("/dev/full"), Path::new("/")).unwrap();
    sink.write_line(b"one");
    sink.write_line(b"two");
    let told = "write() to \"/dev/full\" failed (28: No space left on device)";
    assert_eq!(sink.tick(0).as_deref(), Some(told));
    sink.write_line(b"three");
    assert_eq!(sink.tick(0), None);
}

#[test]
fn lines_into_a_pipe_stay_whole() {
    let (mut reader, writer) = io::pipe().unwrap();
    let path = format!("/dev/fd/{}", writer.as_raw_fd());
    let target = Target { buffering: Some(Buffering { size: 9000, flush: None, gzip: None }), ..Target::file(&path) };
    let sink = Sink::open(&target, Path::new("/")).unwrap();
    sink.write_line(&[b'a'; 5000]);
    sink.write_line(&[b'b'; 3000]);
    let read = std::thread::spawn(move || {
        let mut chunk = vec![0; 10_000];
        let first = reader.read(&mut chunk).unwrap();
        let mut all = chunk[..first].to_vec();
        reader.read_to_end(&mut all).unwrap();
        all
    });
    drop(sink);
    drop(writer);
    let all = read.join().unwrap();
    assert_eq!(all.len(), PIPE_BUF + 3001);
    assert!(all[..PIPE_BUF].ends_with(b"a...\n"));
}

#[test]
fn the_error_log_passes_the_buffer() {
    let path = path("error");
    let sink = sink(&path, Some(Buffering { size: 1000, flush: None, gzip: None }));
    sink.write_line(b"access");
    sink.write_error(3, b"error\n");
    sink.flush();
    assert_eq!(text(&path), "error\naccess\n");
    std::fs::remove_file(&path).unwrap();
}
