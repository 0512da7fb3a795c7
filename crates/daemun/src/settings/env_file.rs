//! Files of environment variables, `NAME=VALUE` in lines, read as python-dotenv reads them: comments, `export`, quotes
//! (in which a value may span lines), `${NAME}` and `${NAME:-DEFAULT}`.

/// What such a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EnvFile {
    /// In the file's order; a name may stand twice, and the last one counts.
    pub variables: Vec<(String, String)>,
    /// Lines that say nothing of this form, counted from 1.
    pub odd_lines: Vec<usize>,
}

/// Reads a file's text. What `env` knows already is what `${NAME}` stands for, before what the file says.
pub(super) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> EnvFile {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut file = EnvFile::default();
    loop {
        reader.skip(char::is_whitespace);
        if reader.rest.is_empty() {
            return file;
        }
        let line = reader.line;
        match reader.binding() {
            Some(Binding::Value(name, value)) => {
                let value = expand(&value, &|name| {
                    let said = || file.variables.iter().rev().find(|(other, _)| other == name);
                    env(name).or_else(|| said().map(|(_, value)| value.clone()))
                });
                file.variables.push((name, value));
            }
            // As python-dotenv has it, a name alone takes back what was said before.
            Some(Binding::Name(name)) => file.variables.retain(|(other, _)| *other != name),
            Some(Binding::Comment) => {}
            None => {
                file.odd_lines.push(line);
                reader.skip(|part| part != '\n' && part != '\r');
            }
        }
    }
}

enum Binding {
    Comment,
    Name(String),
    Value(String, String),
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Takes what `part` holds for; gives it.
    fn skip(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|next| !part(next)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }

    fn spaces(&mut self) -> &'a str {
        self.skip(|part| part.is_whitespace() && part != '\n' && part != '\r')
    }

    /// What a line says, if it is of the form; a value may take further lines.
    fn binding(&mut self) -> Option<Binding> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.take("export".len());
            self.spaces();
        }
        let name = match self.rest.chars().next() {
            Some('#') => return self.end().map(|()| Binding::Comment),
            Some('\'') => {
                let length = self.rest[1..].find('\'')?;
                self.take(length + 2).trim_matches('\'').to_string()
            }
            _ => self.skip(|part| part != '=' && part != '#' && !part.is_whitespace()).to_string(),
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        self.spaces();
        if !self.rest.starts_with('=') {
            return self.end().map(|()| Binding::Name(name));
        }
        self.take(1);
        let spaced = !self.spaces().is_empty();
        let value = match self.rest.chars().next() {
            Some('#') if spaced => String::new(),
            Some(quote @ ('\'' | '"')) => self.quoted(quote)?,
            _ => without_comment(self.skip(|part| part != '\n' && part != '\r')).to_string(),
        };
        self.end()?;
        (!value.contains('\0')).then_some(Binding::Value(name, value))
    }

    /// Reads from one quote to the other; nothing is taken if it is not there.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut value = String::new();
        let mut parts = self.rest.char_indices().skip(1);
        loop {
            match parts.next()? {
                (at, end) if end == quote => {
                    self.take(at + 1);
                    return Some(value);
                }
                (_, '\\') => {
                    let (_, escaped) = parts.next()?;
                    match escaped {
                        '\\' | '\'' => value.push(escaped),
                        _ if quote == '\'' => value.extend(['\\', escaped]),
                        '"' => value.push('"'),
                        'a' => value.push('\x07'),
                        'b' => value.push('\x08'),
                        'f' => value.push('\x0c'),
                        'n' => value.push('\n'),
                        'r' => value.push('\r'),
                        't' => value.push('\t'),
                        'v' => value.push('\x0b'),
                        other => value.extend(['\\', other]),
                    }
                }
                (_, other) => value.push(other),
            }
        }
    }

    /// Only a comment may follow on the line.
    fn end(&mut self) -> Option<()> {
        self.spaces();
        if self.rest.starts_with('#') {
            self.skip(|part| part != '\n' && part != '\r');
        }
        (self.rest.is_empty() || self.rest.starts_with(['\n', '\r'])).then_some(())
    }
}

/// A value without quotes, up to a `#` that follows a space.
fn without_comment(value: &str) -> &str {
    let comment = value
        .char_indices()
        .zip(value.chars().skip(1))
        .find(|((_, space), hash)| space.is_whitespace() && *hash == '#');
    comment.map_or(value, |((at, _), _)| &value[..at]).trim_end()
}

fn expand(value: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let inner = &rest[start + 2..];
        let Some(end) = inner.find('}') else { break };
        let (name, default) = match inner[..end].split_once(':') {
            None => (&inner[..end], ""),
            Some((name, default)) if default.starts_with('-') => (name, &default[1..]),
            Some(_) => {
                out.push_str(&rest[..start + 2]);
                rest = inner;
                continue;
            }
        };
        out.push_str(&rest[..start]);
        out.push_str(&lookup(name).unwrap_or_else(|| default.to_string()));
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> EnvFile {
        parse(text, &|name| (name == "HOME").then(|| "/root".to_string()))
    }

    #[track_caller]
    fn says(text: &str, variables: &[(&str, &str)]) {
        let expected: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
        assert_eq!(read(text), EnvFile { variables: expected, odd_lines: vec![] }, "{text:?}");
    }

    #[test]
    fn lines_are_read_as_python_dotenv_reads_them() {
        says("A=1\nB = 2 \r\nexport C=3", &[("A", "1"), ("B", "2"), ("C", "3")]);
        says("# a comment\n\n  A=b c # another\nB=#not\nC= # but here\n", &[("A", "b c"), ("B", "#not"), ("C", "")]);
        says("A=\nB\nexport=1\n", &[("A", ""), ("export", "1")]);
        says(r#"A='a\n\'b' # c"#, &[("A", r"a\n'b")]);
        says(r#"A="a\n\"b\"\x #c""#, &[("A", "a\n\"b\"\\x #c")]);
        says("A='one\ntwo'\nB=3", &[("A", "one\ntwo"), ("B", "3")]);
        says("'A B'=1", &[("A B", "1")]);
        says("\u{feff}A=1", &[("A", "1")]);
        says("A=a=b#c", &[("A", "a=b#c")]);
        says("PATH.x-y=ü", &[("PATH.x-y", "ü")]);
    }

    #[test]
    fn names_in_braces_stand_for_their_values() {
        says("A=1\nB=2\nA\nC", &[("B", "2")]);
        says("A=1\nB=${A}-${HOME}-${NONE}-${NONE:-x}-$A", &[("A", "1"), ("B", "1-/root--x-$A")]);
        says("HOME=/mine\nB=${HOME}", &[("HOME", "/mine"), ("B", "/root")]);
        says("B=${A:x} ${", &[("B", "${A:x} ${")]);
    }

    #[test]
    fn what_is_of_another_form_is_told_and_skipped() {
        let file = read("A=1\n=2\nC=\"x\" y\n'D=E'=1\nF=\0\nG=2\nB='open\nH=3");
        let expected = [("A", "1"), ("G", "2"), ("H", "3")].map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(file, EnvFile { variables: expected.to_vec(), odd_lines: vec![2, 3, 4, 5, 7] });
    }
}
