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
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(path.len());
    for &byte in path {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
            || matches!(byte, b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@');
        if plain {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
        }
    }
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
