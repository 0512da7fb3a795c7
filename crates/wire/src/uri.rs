//! Paths of request targets: decoding, normalising, escaping (RFC 3986 sections 2 and 5.2.4).

/// Why a path is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadPath {
    /// It does not begin with a slash.
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    Escape,
    /// A NUL byte, as it is or escaped.
    Nul,
    /// `..` leads above the root.
    AboveRoot,
}

/// What happens to several slashes in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Slashes {
    /// They count as one.
    #[default]
    Merge,
    Keep,
}

/// Replaces `out` by the path that `raw` (without query) stands for: escapes decoded, then `.` and `..` resolved, so
/// that an escaped dot or slash counts as one. The result begins with `/` and has no dot segments in it.
pub fn decode_path(raw: &[u8], slashes: Slashes, out: &mut Vec<u8>) -> Result<(), BadPath> {
    out.clear();
    if raw.first() != Some(&b'/') {
        return Err(BadPath::NotAbsolute);
    }
    out.reserve(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let byte = match raw[at] {
            b'%' => {
                let byte = escaped(&raw[at..]).ok_or(BadPath::Escape)?;
                at += 2;
                byte
            }
            byte => byte,
        };
        at += 1;
        match byte {
            0 => return Err(BadPath::Nul),
            b'/' => {
                let has_slash = end_segment(out)? || (slashes == Slashes::Merge && out.ends_with(b"/"));
                if !has_slash {
                    out.push(b'/');
                }
            }
            byte => out.push(byte),
        }
    }
    end_segment(out)?;
    Ok(())
}

/// Resolves the last segment of `out` if it is `.` or `..`; if so, `out` ends with a slash now. `out` is empty or
/// begins with a slash.
fn end_segment(out: &mut Vec<u8>) -> Result<bool, BadPath> {
    if out.ends_with(b"/.") {
        out.pop();
        return Ok(true);
    }
    if out.ends_with(b"/..") {
        out.truncate(out.len() - 3);
        let parent = memchr::memrchr(b'/', out).ok_or(BadPath::AboveRoot)?;
        out.truncate(parent + 1);
        return Ok(true);
    }
    Ok(false)
}

/// The byte that `%XX` at the start of `text` stands for.
fn escaped(text: &[u8]) -> Option<u8> {
    let high = hex(*text.get(1)?)?;
    let low = hex(*text.get(2)?)?;
    Some(high << 4 | low)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Appends `raw` with its escapes decoded and nothing else changed; what is no escape stays as it is. This is what
/// `PATH_INFO` of PEP 3333 is made of.
pub fn percent_decode(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(percent) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..percent]);
        rest = &rest[percent..];
        match escaped(rest) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[3..];
            }
            None => {
                out.push(b'%');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
}

/// Appends a decoded path with all escaped that could not stand in a target as it is.
pub fn escape_path(path: &[u8], out: &mut Vec<u8>) {
    out.reserve(path.len());
    for &byte in path {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
            || matches!(byte, b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@');
        if plain {
            out.push(byte);
        } else {
            push_escaped(byte, out);
        }
    }
}

/// Where escaped text is to stand; this decides which bytes are escaped. The sets are nginx's. All of them escape
/// control characters, DEL, bytes above it and the space; each lists what else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Escape {
    /// A path, as in the Location of a redirect to a directory: also `"#%<>?\^{|}` and the backtick.
    Path,
    /// A value within a query, as captures put into one: as `Path`, and `&+;`.
    Query,
    /// One segment or name: all but letters, digits and `-._~`.
    Component,
    /// A link within HTML: as `Path`, and `'`, but not `?`.
    Html,
    /// The URL of a Refresh: as `Html` without `#%}`, and `~`.
    Refresh,
    /// A key of memcached: `%`, control characters and space only.
    Memcached,
}

impl Escape {
    /// Whether `byte` is to be escaped.
    pub fn applies(self, byte: u8) -> bool {
        if byte <= b' ' {
            return true;
        }
        if self == Escape::Memcached {
            return byte == b'%';
        }
        if byte >= 0x7f {
            return true;
        }
        match self {
            Escape::Component => !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')),
            Escape::Path => byte == b'?' || is_unsafe(byte),
            Escape::Query => matches!(byte, b'?' | b'&' | b'+' | b';') || is_unsafe(byte),
            Escape::Html => byte == b'\'' || is_unsafe(byte),
            Escape::Refresh => matches!(byte, b'\'' | b'~') || (is_unsafe(byte) && !matches!(byte, b'#' | b'%' | b'}')),
            Escape::Memcached => false,
        }
    }
}

/// What nginx escapes wherever it escapes at all.
fn is_unsafe(byte: u8) -> bool {
    matches!(byte, b'"' | b'#' | b'%' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Appends `text` with the bytes that may not stand there as they are as `%XX`.
pub fn escape(text: &[u8], place: Escape, out: &mut Vec<u8>) {
    out.reserve(text.len());
    for &byte in text {
        if place.applies(byte) {
            push_escaped(byte, out);
        } else {
            out.push(byte);
        }
    }
}

/// Appends `text` with `<>&"` as entities.
pub fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len());
    for &byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            byte => out.push(byte),
        }
    }
}

/// What is decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unescape {
    /// Every escape, in all of the text.
    All,
    /// Every escape up to the first `?`, be it escaped or not; the rest stays as it is.
    Uri,
    /// As `Uri`, but only what is safe in a Location: bytes above `%` and below DEL.
    Redirect,
}

/// Appends `text` decoded as nginx does. Of what is no escape, the `%` is dropped if no hexadecimal digit follows, and
/// all three bytes if only one does; an escape cut off by the end is dropped, too.
pub fn unescape(text: &[u8], what: Unescape, out: &mut Vec<u8>) {
    out.reserve(text.len());
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        if byte == b'?' && what != Unescape::All {
            out.extend_from_slice(&text[at..]);
            return;
        }
        if byte != b'%' {
            out.push(byte);
            at += 1;
            continue;
        }
        let Some(&first) = text.get(at + 1) else { return };
        if hex(first).is_none() {
            out.push(first);
            at += 2;
            continue;
        }
        if at + 2 >= text.len() {
            return;
        }
        let decoded = escaped(&text[at..]);
        at += 3;
        match (decoded, what) {
            (None, _) => {}
            (Some(b'?'), Unescape::Uri | Unescape::Redirect) => {
                out.push(b'?');
                out.extend_from_slice(&text[at..]);
                return;
            }
            (Some(byte), Unescape::Redirect) if byte <= b'%' || byte >= 0x7f => {
                out.extend_from_slice(&text[at - 3..at]);
            }
            (Some(byte), _) => out.push(byte),
        }
    }
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(raw: &[u8], slashes: Slashes) -> Result<Vec<u8>, BadPath> {
        let mut out = Vec::new();
        decode_path(raw, slashes, &mut out).map(|()| out)
    }

    #[test]
    fn paths() {
        let table: &[(&str, Result<&str, BadPath>)] = &[
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("/a//b///", Ok("/a/b/")),
            ("/a%20b", Ok("/a b")),
            ("/a%2fb", Ok("/a/b")),
            ("/a%252fb", Ok("/a%2fb")),
            ("/caf%c3%A9", Ok("/caf\u{e9}")),
            ("/.", Ok("/")),
            ("/./a/./b/.", Ok("/a/b/")),
            ("/a/..", Ok("/")),
            ("/a/../b", Ok("/b")),
            ("/a/b/../../c", Ok("/c")),
            ("/a/..b/.c/...", Ok("/a/..b/.c/...")),
            ("/a/%2e%2e/b", Ok("/b")),
            ("/a%2f..%2fb", Ok("/b")),
            ("/..", Err(BadPath::AboveRoot)),
            ("/../etc/passwd", Err(BadPath::AboveRoot)),
            ("/a/../../b", Err(BadPath::AboveRoot)),
            ("/%2e%2e/b", Err(BadPath::AboveRoot)),
            ("/a/..%2f..%2fb", Err(BadPath::AboveRoot)),
            ("//..", Err(BadPath::AboveRoot)),
            ("/a%00b", Err(BadPath::Nul)),
            ("/a\0b", Err(BadPath::Nul)),
            ("/a%", Err(BadPath::Escape)),
            ("/a%2", Err(BadPath::Escape)),
            ("/a%zz", Err(BadPath::Escape)),
            ("/a%+1", Err(BadPath::Escape)),
            ("", Err(BadPath::NotAbsolute)),
            ("a", Err(BadPath::NotAbsolute)),
            ("%2fa", Err(BadPath::NotAbsolute)),
            ("*", Err(BadPath::NotAbsolute)),
        ];
        for &(raw, expected) in table {
            assert_eq!(decode(raw.as_bytes(), Slashes::Merge), expected.map(|path| path.as_bytes().to_vec()), "{raw}");
        }
        assert_eq!(decode(b"/a//b", Slashes::Keep), Ok(b"/a//b".to_vec()));
        assert_eq!(decode(b"//a//../b", Slashes::Keep), Ok(b"//a/b".to_vec()));
    }

    #[test]
    fn decoding_keeps_what_is_no_escape() {
        let mut out = Vec::new();
        percent_decode(b"/a%20/..%2F%zz%4%", &mut out);
        assert_eq!(out, b"/a /../%zz%4%");
    }

    #[test]
    fn escaping() {
        let mut out = Vec::new();
        escape_path(b"/a b?c#d%\xe9\r\n\"<>", &mut out);
        assert_eq!(out, b"/a%20b%3Fc%23d%25%E9%0D%0A%22%3C%3E");
    }

    /// What stays as it is among the printable ASCII characters, as nginx answers.
    #[test]
    fn each_place_escapes_its_bytes() {
        let printable: Vec<u8> = (0x21..0x7f).collect();
        let table: &[(Escape, &str)] = &[
            (Escape::Path, "!$&'()*+,-./0123456789:;=@A-Z[]_a-z~"),
            (Escape::Query, "!$'()*,-./0123456789:=@A-Z[]_a-z~"),
            (Escape::Component, "-.0123456789A-Z_a-z~"),
            (Escape::Html, "!$&()*+,-./0123456789:;=?@A-Z[]_a-z~"),
            (Escape::Refresh, "!#$%&()*+,-./0123456789:;=?@A-Z[]_a-z}"),
        ];
        for &(place, expected) in table {
            let plain: Vec<u8> = printable.iter().copied().filter(|&byte| !place.applies(byte)).collect();
            let letters = |text: &str| text.replace("A-Z", "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
            let expected = letters(expected).replace("a-z", "abcdefghijklmnopqrstuvwxyz");
            assert_eq!(String::from_utf8_lossy(&plain), expected, "{place:?}");
            assert!((0..=0x20).chain(0x7f..=0xff).all(|byte| place.applies(byte)), "{place:?}");
        }
        assert!(!Escape::Memcached.applies(0xff) && !Escape::Memcached.applies(b'"'));
        let mut out = Vec::new();
        escape(b"a b%\xe9?", Escape::Query, &mut out);
        assert_eq!(out, b"a%20b%25%E9%3F");
    }

    #[test]
    fn html() {
        let mut out = Vec::new();
        escape_html(b"<a href=\"x\">&'\xe9</a>", &mut out);
        assert_eq!(out, b"&lt;a href=&quot;x&quot;&gt;&amp;'\xe9&lt;/a&gt;");
    }

    #[test]
    fn unescaping() {
        let table: &[(&str, Unescape, &str)] = &[
            ("a%zz%4zb%41%7e%20%25%3fc%41?d%41", Unescape::Redirect, "azzbA~%20%25?c%41?d%41"),
            ("a%zz%4zb%41%7e%20%25%3fc%41?d%41", Unescape::Uri, "azzbA~ %?c%41?d%41"),
            ("a%zz%4zb%41%7e%20%25%3fc%41?d%41", Unescape::All, "azzbA~ %?cA?dA"),
            ("a?%41", Unescape::Redirect, "a?%41"),
            ("a?%41", Unescape::All, "a?A"),
            ("a%", Unescape::All, "a"),
            ("a%4", Unescape::All, "a"),
            ("%%41", Unescape::All, "%41"),
        ];
        for &(text, what, expected) in table {
            let mut out = Vec::new();
            unescape(text.as_bytes(), what, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text} {what:?}");
        }
    }

    proptest! {
        #[test]
        fn no_dot_segments_remain(raw in "/([a./]|%2e|%2f|%41){0,20}") {
            for slashes in [Slashes::Merge, Slashes::Keep] {
                if let Ok(path) = decode(raw.as_bytes(), slashes) {
                    prop_assert_eq!(path[0], b'/');
                    prop_assert!(path.split(|&b| b == b'/').all(|segment| segment != b"." && segment != b".."));
                }
            }
        }

        #[test]
        fn escaping_and_decoding_undo_each_other(path in prop::collection::vec(any::<u8>(), 0..40)) {
            let (mut escaped, mut decoded) = (Vec::new(), Vec::new());
            escape_path(&path, &mut escaped);
            percent_decode(&escaped, &mut decoded);
            prop_assert_eq!(decoded, path);
        }
    }
}
