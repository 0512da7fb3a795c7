//! Quoted strings (RFC 9110 section 5.6.4).

use std::borrow::Cow;

/// What the quoted string at the start of `text` stands for, and what follows it. `None` if there is none, or no end.
pub fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|b| matches!(b, b'"' | b'\\'))?;
    if text[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    // With escapes in it, it has to be copied.
    let (mut value, mut rest) = (text[..end].to_vec(), &text[end..]);
    loop {
        match rest {
            [b'"', behind @ ..] => return Some((Cow::Owned(value), behind)),
            [b'\\', escaped, behind @ ..] => {
                value.push(*escaped);
                rest = behind;
            }
            [] | [b'\\'] => return None,
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (text, expected) in [
            ("\"\"", Some(("", ""))),
            ("\"abc\"; d", Some(("abc", "; d"))),
            ("\"a\\\"b\\\\c\\d\"\"", Some(("a\"b\\cd", "\""))),
            ("\"\\a\"", Some(("a", ""))),
            ("", None),
            ("abc", None),
            ("\"", None),
            ("\"abc", None),
            ("\"abc\\", None),
            ("\"abc\\\"", None),
        ] {
            let found = quoted(text.as_bytes());
            let found = found.as_ref().map(|(value, rest)| (&value[..], *rest));
            assert_eq!(found, expected.map(|(value, rest)| (value.as_bytes(), rest.as_bytes())), "{text}");
        }
    }
}
