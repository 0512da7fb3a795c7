//! Texts with variables and escapes, expressions, and the URIs of what is included.

use super::parse::show_all;

/// The longest text that may come of one, in bytes: `set` may double a variable as often as a page likes.
pub const MAX_LENGTH: usize = 1 << 20;

/// `text` with variables replaced and escapes resolved. A backslash makes `\`, `'`, `"` and `$` plain, and
/// stands for itself before anything else. `variable` is asked for names in lower case; `Ok(None)` is left out.
pub fn evaluate(
    text: &[u8],
    mut variable: impl FnMut(&str) -> Result<Option<Vec<u8>>, String>,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => {
                match text.get(at + 1) {
                    Some(&byte @ (b'\\' | b'\'' | b'"' | b'$')) => out.push(byte),
                    Some(&byte) => out.extend_from_slice(&[b'\\', byte]),
                    None => {}
                }
                at += 2;
            }
            b'$' => {
                let (name, end) = name(text, at + 1)?;
                out.extend(variable(&name.to_ascii_lowercase())?.unwrap_or_default());
                at = end;
                if out.len() > MAX_LENGTH {
                    return Err(format!("too long value of \"{}\"", show_all(text)));
                }
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(out)
}

/// The name of the variable whose `$` stands before `at`, and where it ends.
fn name(text: &[u8], at: usize) -> Result<(String, usize), String> {
    let bracket = text.get(at) == Some(&b'{');
    let start = at + usize::from(bracket);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let len = text.get(start..).map_or(0, |rest| rest.iter().take_while(|byte| is_name(byte)).count());
    let end = start + len;
    let closed = !bracket || text.get(end) == Some(&b'}');
    if start >= text.len() || (closed && len == 0) {
        return Err(format!("invalid variable name in \"{}\"", show_all(text)));
    }
    let name = show_all(&text[start..end]);
    if !closed {
        return Err(format!("the closing bracket in \"{name}\" variable is missing"));
    }
    Ok((name, end + usize::from(bracket)))
}

/// An expression of `if`, taken apart; the texts are not evaluated yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expression {
    pub left: Vec<u8>,
    pub right: Right,
    pub negative: bool,
}

/// What the left side is compared with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Right {
    /// With nothing: it is to be not empty.
    Nothing,
    Text(Vec<u8>),
    Regex(Vec<u8>),
}

/// Takes an expression apart. The left side is in lower case, whatever it is; the right one goes to the very end.
/// `None`: it is none.
pub fn expression(text: &[u8]) -> Option<Expression> {
    let is_left = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'{' | b'}' | b'_' | b'"' | b'\'');
    let len = text.iter().take_while(|byte| is_left(byte)).count();
    let left = text[..len].to_ascii_lowercase();
    let rest = text[len..].trim_ascii_start_spaces();
    if rest.is_empty() {
        return Some(Expression { left, right: Right::Nothing, negative: false });
    }
    let (rest, negative) = match rest {
        [b'=', rest @ ..] => (rest, false),
        [b'!', b'=', rest @ ..] => (rest, true),
        _ => return None,
    };
    let right = match rest.trim_ascii_start_spaces() {
        [b'/', pattern @ .., b'/'] => Right::Regex(pattern.to_vec()),
        [b'/', _, ..] => return None,
        [b'\\', text @ ..] if text.starts_with(b"/") => Right::Text(text.to_vec()),
        text => Right::Text(text.to_vec()),
    };
    Some(Expression { left, right, negative })
}

trait Spaces {
    /// Without the spaces (and nothing else) at its start.
    fn trim_ascii_start_spaces(&self) -> &Self;
}

impl Spaces for [u8] {
    fn trim_ascii_start_spaces(&self) -> &[u8] {
        let spaces = self.iter().take_while(|&&byte| byte == b' ').count();
        &self[spaces..]
    }
}

/// The path (decoded) and the query of what is to be included, relative to the path `base`. The error is for the log.
pub fn target(uri: &[u8], base: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let unsafe_uri = |uri: &[u8]| format!("unsafe URI \"{}\" was detected", show_all(uri));
    let mut whole = Vec::new();
    if !uri.is_empty() && !uri.starts_with(b"/") {
        let folder = memchr::memrchr(b'/', base).map_or(0, |slash| slash + 1);
        whole.extend_from_slice(&base[..folder]);
    }
    whole.extend_from_slice(uri);
    let (path, query) = match memchr::memchr(b'?', &whole) {
        Some(mark) => (&whole[..mark], &whole[mark + 1..]),
        None => (&whole[..], &[][..]),
    };
    let is_safe = |path: &[u8]| {
        !path.is_empty() && !path.contains(&0) && path.split(|&byte| byte == b'/').all(|segment| segment != b"..")
    };
    if !is_safe(path) {
        return Err(unsafe_uri(&whole));
    }
    let mut decoded = Vec::new();
    wire::uri::unescape(path, wire::uri::Unescape::All, &mut decoded);
    if !is_safe(&decoded) {
        return Err(unsafe_uri(&whole));
    }
    Ok((decoded, query.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded() {
        let half = |_: &str| Ok(Some(vec![b'a'; MAX_LENGTH / 2]));
        assert_eq!(evaluate(b"$a$a", half).map(|text| text.len()), Ok(MAX_LENGTH));
        assert_eq!(evaluate(b"$a$a$a", half), Err("too long value of \"$a$a$a\"".into()));
    }

    #[test]
    fn targets() {
        let table: &[(&str, Option<(&str, &str)>)] = &[
            ("/a", Some(("/a", ""))),
            ("b?c=%41?", Some(("/x/b", "c=%41?"))),
            ("/a%20b", Some(("/a b", ""))),
            ("?a", Some(("/x/", "a"))),
            ("", None),
            ("/../a", None),
            ("../a", None),
            ("/a/..", None),
            ("/a/..?b", None),
            ("/%2e%2e/a", None),
            ("/a%00", None),
            ("/a..b/...", Some(("/a..b/...", ""))),
        ];
        for &(uri, expected) in table {
            let found = target(uri.as_bytes(), b"/x/y").ok();
            let expected = expected.map(|(path, query)| (path.as_bytes().to_vec(), query.as_bytes().to_vec()));
            assert_eq!(found, expected, "{uri}");
        }
        assert_eq!(target(b"/../x", b"/"), Err("unsafe URI \"/../x\" was detected".into()));
    }
}
