//! Listings are compared with what nginx 1.22.1 sends for the same directory.

use super::*;

/// Tue, 14 Nov 2023 22:13:20 GMT.
const MTIME: i64 = 1_700_000_000;

fn file(name: &[u8], size: u64) -> Entry {
    Entry { name: name.to_vec(), is_dir: false, is_file: true, size, mtime: MTIME }
}

fn folder(name: &[u8]) -> Entry {
    Entry { name: name.to_vec(), is_dir: true, is_file: false, size: 4096, mtime: MTIME }
}

const OPTIONS: Options =
    Options { format: Format::Html, exact_size: true, offset_minutes: 0, utf8: false, callback: None };

fn listing(entries: &[Entry], options: &Options) -> String {
    String::from_utf8_lossy(&render(b"/h<&>/", &mut entries.to_vec(), options)).into_owned()
}

/// The lines of an HTML listing between its head and its foot.
fn lines(entries: &[Entry], options: &Options) -> Vec<String> {
    let text = listing(entries, options);
    let text = text
        .strip_prefix(
            "<html>\r\n<head><title>Index of /h&lt;&amp;&gt;/</title></head>\r\n<body>\r\n\
             <h1>Index of /h&lt;&amp;&gt;/</h1><hr><pre><a href=\"../\">../</a>\r\n",
        )
        .unwrap();
    let text = text.strip_suffix("</pre><hr></body>\r\n</html>\r\n").unwrap();
    text.split_terminator("\r\n").map(str::to_string).collect()
}

/// The only line of a listing of one entry.
fn line(entry: Entry, options: &Options) -> String {
    lines(&[entry], options).remove(0)
}

#[test]
fn directories_come_first_then_names_by_their_bytes() {
    let entries = [file(b"a.txt", 35), file(b"B.txt", 35), folder(b"zdir"), folder(b"b dir")];
    let pad = |n: usize| " ".repeat(n);
    assert_eq!(
        lines(&entries, &OPTIONS),
        [
            format!("<a href=\"b%20dir/\">b dir/</a>{} 14-Nov-2023 22:13                   -", pad(44)),
            format!("<a href=\"zdir/\">zdir/</a>{} 14-Nov-2023 22:13                   -", pad(45)),
            format!("<a href=\"B.txt\">B.txt</a>{} 14-Nov-2023 22:13                  35", pad(45)),
            format!("<a href=\"a.txt\">a.txt</a>{} 14-Nov-2023 22:13                  35", pad(45)),
        ]
    );
    assert_eq!(lines(&[], &OPTIONS), [""; 0]);
}

#[test]
fn names_are_escaped() {
    let table: &[(&[u8], &str)] = &[
        (b"a<b>&\"c'.txt", "<a href=\"a%3Cb%3E%26%22c%27.txt\">a&lt;b&gt;&amp;&quot;c'.txt</a>"),
        (b"q?#%:;+ ~", "<a href=\"q%3F%23%25%3A%3B%2B%20~\">q?#%:;+ ~</a>"),
        (b"tab\there\x01\x1f\x7f", "<a href=\"tab%09here%01%1F%7F\">tab\there\x01\x1f\x7f</a>"),
        (b"nl\nx", "<a href=\"nl%0Ax\">nl\nx</a>"),
    ];
    for &(name, expected) in table {
        let spaces = " ".repeat(NAME_WIDTH - name.len());
        let expected = format!("{expected}{spaces} 14-Nov-2023 22:13                   7");
        assert_eq!(line(file(name, 7), &OPTIONS), expected);
    }
}

#[test]
fn long_names_are_cut() {
    let shown = |name: &[u8], is_dir, utf8| {
        let entry = Entry { is_dir, ..file(name, 1) };
        let text = render(b"/", &mut [entry], &Options { utf8, ..OPTIONS });
        let from = text.windows(2).rposition(|pair| pair == b"\">").unwrap() + 2;
        let to = text.windows(6).position(|six| six == b" 14-No").unwrap();
        text[from..to].to_vec()
    };
    let rep = |text: &str, n: usize| text.repeat(n);
    let table: &[(String, bool, bool, String)] = &[
        (rep("x", 49), false, false, rep("x", 49) + "</a> "),
        (rep("x", 50), false, false, rep("x", 50) + "</a>"),
        (rep("x", 51), false, false, rep("x", 47) + "..&gt;</a>"),
        (rep("e", 49), true, false, rep("e", 49) + "/</a>"),
        (rep("d", 50), true, false, rep("d", 50) + "</a>"),
        (rep("f", 51), true, false, rep("f", 47) + "..&gt;</a>"),
        (rep("<", 51), false, true, rep("&lt;", 47) + "..&gt;</a>"),
        (rep("y", 46) + "<<<<<<", false, false, rep("y", 46) + "&lt;..&gt;</a>"),
        (rep("\u{e9}", 50), false, true, rep("\u{e9}", 50) + "</a>"),
        (rep("\u{e9}", 51), false, true, rep("\u{e9}", 47) + "..&gt;</a>"),
        (rep("\u{1f600}z", 25), false, true, rep("\u{1f600}z", 25) + "</a>"),
        ("caf\u{e9}".into(), false, true, "caf\u{e9}</a>".to_string() + &rep(" ", 46)),
        ("caf\u{e9}".into(), false, false, "caf\u{e9}</a>".to_string() + &rep(" ", 45)),
    ];
    for (name, is_dir, utf8, expected) in table {
        assert_eq!(String::from_utf8_lossy(&shown(name.as_bytes(), *is_dir, *utf8)), *expected);
    }
    let cut = [&"\u{e9}".repeat(23).into_bytes()[..], b"\xc3..&gt;</a>"].concat();
    assert_eq!(shown("\u{e9}".repeat(51).as_bytes(), false, false), cut);
    let not_utf8 = [&b"bad\xe9utf</a>"[..], " ".repeat(43).as_bytes()].concat();
    assert_eq!(shown(b"bad\xe9utf", false, true), not_utf8);
}

#[test]
fn rough_sizes() {
    let options = Options { exact_size: false, ..OPTIONS };
    let table: &[(u64, &str)] = &[
        (0, "      0"),
        (9999, "   9999"),
        (10_000, "    10K"),
        (10_751, "    10K"),
        (10_752, "    11K"),
        (1_048_575, "  1024K"),
        (1_048_576, "     1M"),
        (1_572_863, "     1M"),
        (1_572_864, "     2M"),
        ((1 << 30) - 1, "  1024M"),
        (1 << 30, "     1G"),
        ((1 << 33) + (1 << 29) - 1, "     8G"),
        ((1 << 33) + (1 << 29), "     9G"),
    ];
    for &(size, expected) in table {
        assert!(line(file(b"s", size), &options).ends_with(&format!(" 14-Nov-2023 22:13 {expected}")), "{size}");
    }
    assert!(line(folder(b"d"), &options).ends_with("22:13       -"));
}

#[test]
fn local_times() {
    let options = Options { offset_minutes: 120, ..OPTIONS };
    assert!(line(file(b"s", 1), &options).contains(" 15-Nov-2023 00:13 "));
}

#[test]
fn json_and_its_callback() {
    let options = Options { format: Format::Json, ..OPTIONS };
    assert_eq!(listing(&[], &options), "[\r\n]");
    let other = Entry { is_file: false, ..file(b"broken", 12) };
    let entries = [file(b"quo\"te\\back\t\x01\x1f\x7f\n", 77), other, folder(b"d")];
    assert_eq!(
        listing(&entries, &options),
        "[\r\n{ \"name\":\"d\", \"type\":\"directory\", \"mtime\":\"Tue, 14 Nov 2023 22:13:20 GMT\" },\r\n\
         { \"name\":\"broken\", \"type\":\"other\", \"mtime\":\"Tue, 14 Nov 2023 22:13:20 GMT\" },\r\n\
         { \"name\":\"quo\\\"te\\\\back\\t\\u0001\\u001F\x7f\\n\", \"type\":\"file\", \
         \"mtime\":\"Tue, 14 Nov 2023 22:13:20 GMT\", \"size\":77 }\r\n]"
    );
    let options = Options { format: Format::Jsonp, callback: Some(b"foo.b_9"), ..OPTIONS };
    assert_eq!(listing(&[], &options), "/* callback */\r\nfoo.b_9([\r\n]);");
    assert_eq!(listing(&[], &Options { callback: None, ..options }), "[\r\n]");
    assert_eq!(callback(Some(b"")), Ok(None));
    assert_eq!(callback(Some(b"a..b")), Ok(Some(&b"a..b"[..])));
    for wrong in ["foo[1]", "a%20b", "x-y"] {
        assert_eq!(callback(Some(wrong.as_bytes())), Err("client sent invalid callback name"));
    }
    assert_eq!(content_type(Format::Jsonp, Some(b"f")), "application/javascript");
    assert_eq!(content_type(Format::Jsonp, None), "application/json");
}

#[test]
fn xml() {
    let options = Options { format: Format::Xml, ..OPTIONS };
    assert_eq!(listing(&[], &options), "<?xml version=\"1.0\"?>\r\n<list>\r\n</list>\r\n");
    let other = Entry { is_file: false, ..file(b"broken", 12) };
    assert_eq!(
        listing(&[file(b"a<b", 35), other, folder(b"d")], &options),
        "<?xml version=\"1.0\"?>\r\n<list>\r\n<directory mtime=\"2023-11-14T22:13:20Z\">d</directory>\r\n\
         <file mtime=\"2023-11-14T22:13:20Z\" size=\"35\">a&lt;b</file>\r\n\
         <other mtime=\"2023-11-14T22:13:20Z\">broken</other>\r\n</list>\r\n"
    );
}

#[test]
fn a_directory_is_read() {
    let directory = std::env::temp_dir().join(format!("daemun-autoindex-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("folder")).unwrap();
    std::fs::write(directory.join("a"), "abc").unwrap();
    std::fs::write(directory.join(".hidden"), "").unwrap();
    for (target, name) in [("/nonexistent", "broken"), ("folder", "link"), ("loop", "loop")] {
        std::os::unix::fs::symlink(target, directory.join(name)).unwrap();
    }
    let mut entries = read(&directory).unwrap();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let found: Vec<_> =
        entries.iter().map(|entry| (String::from_utf8_lossy(&entry.name).into_owned(), kind(entry))).collect();
    let expected =
        [("a", "file"), ("broken", "other"), ("folder", "directory"), ("link", "directory"), ("loop", "other")];
    assert_eq!(found, expected.map(|(name, kind)| (name.to_string(), kind)));
    assert_eq!((entries[0].size, entries[1].size), (3, 12));
    assert_eq!(status(&read(&directory.join("a")).unwrap_err()), 404);
    assert_eq!(status(&read(&directory.join("none")).unwrap_err()), 404);
    std::fs::remove_dir_all(&directory).unwrap();
}
