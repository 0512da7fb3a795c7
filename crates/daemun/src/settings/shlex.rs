//! Splits a text into words as a POSIX shell does, for `GUNICORN_CMD_ARGS`: quotes and backslashes count, nothing is
//! expanded.

/// The words of a text, or what is wrong with it.
pub fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => quoted(&mut chars, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut chars, '"', word.get_or_insert_default())?,
            '\\' => {
                let escaped = chars.next().ok_or("nothing follows the last backslash")?;
                word.get_or_insert_default().push(escaped);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Reads up to the closing quote. Within double quotes a backslash escapes itself and the quote.
fn quoted(chars: &mut std::str::Chars, quote: char, word: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "a quote is not closed";
    loop {
        match chars.next().ok_or(OPEN)? {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => match chars.next().ok_or(OPEN)? {
                escaped @ ('\\' | '"') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  -w 4\t--reload\n", &["-w", "4", "--reload"]),
            ("--name 'a b' --env \"X=\\\"1\\\" \\n\"", &["--name", "a b", "--env", "X=\"1\" \\n"]),
            ("a\\ b ''", &["a b", ""]),
            ("pre'mid'\"end\"", &["premidend"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), *words, "{text}");
        }
    }

    #[test]
    fn what_is_left_open_is_an_error() {
        assert_eq!(split("'a"), Err("a quote is not closed"));
        assert_eq!(split("\"a"), Err("a quote is not closed"));
        assert_eq!(split("a\\"), Err("nothing follows the last backslash"));
    }
}
