//! The tree: directives of words, each with the place it came from, and the diagnostics that point there.

use std::fmt;
use std::sync::Arc;

/// Where something was written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum At {
    /// In a file; line and column count from 1, columns in characters.
    File { name: Arc<str>, line: u32, column: u32 },
    /// On the command line, by this flag.
    Flag(Arc<str>),
    /// In a Python settings file, by this name.
    Setting { file: Arc<str>, name: Arc<str> },
    /// In this environment variable.
    Env(Arc<str>),
    /// Nowhere: it is the default.
    #[default]
    Default,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            At::Flag(flag) => f.write_str(flag),
            At::Setting { file, name } => write!(f, "`{name}` in {file}"),
            At::Env(name) => write!(f, "${name}"),
            At::Default => f.write_str("default"),
        }
    }
}

/// A name or an argument, escapes resolved.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Word {
    pub text: String,
    pub at: At,
    /// It stood in quotes.
    pub quoted: bool,
}

impl Word {
    /// A word that was not quoted.
    pub fn new(text: impl Into<String>, at: At) -> Self {
        Word { text: text.into(), at, quoted: false }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `name arg arg;` or `name arg { ... }`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Directive {
    pub name: Word,
    pub args: Vec<Word>,
    pub block: Option<Vec<Directive>>,
    /// The line of the `;` or `{` behind its words; 0: it is from no file. nginx names this line in its messages.
    pub line: u32,
    /// The line of the `}` of its block, or `line`. nginx names it for what it finds out after the block.
    pub close: u32,
}

impl Directive {
    /// A directive without arguments; `arg` and `block` add to it.
    pub fn new(name: impl Into<String>, at: At) -> Self {
        Directive { name: Word::new(name, at), ..Directive::default() }
    }

    /// Adds an argument, written where the directive was.
    #[must_use]
    pub fn arg(mut self, text: impl Into<String>) -> Self {
        let at = self.name.at.clone();
        self.args.push(Word::new(text, at));
        self
    }

    /// Adds an argument with a place of its own.
    #[must_use]
    pub fn word(mut self, word: Word) -> Self {
        self.args.push(word);
        self
    }

    /// Gives it a block, or adds to the one it has.
    #[must_use]
    pub fn block(mut self, directives: impl IntoIterator<Item = Directive>) -> Self {
        self.block.get_or_insert_default().extend(directives);
        self
    }

    /// Where it was written.
    pub fn at(&self) -> &At {
        &self.name.at
    }
}

/// Writes it as a configuration file has it, four spaces a level.
impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_directive(f, self, 0)
    }
}

fn write_directive(f: &mut fmt::Formatter<'_>, directive: &Directive, level: usize) -> fmt::Result {
    write!(f, "{:1$}", "", level * 4)?;
    write_word(f, &directive.name)?;
    for arg in &directive.args {
        f.write_str(" ")?;
        write_word(f, arg)?;
    }
    let Some(block) = &directive.block else { return f.write_str(";\n") };
    f.write_str(" {\n")?;
    for inner in block {
        write_directive(f, inner, level + 1)?;
    }
    writeln!(f, "{:1$}}}", "", level * 4)
}

/// Quotes where the text would not be read back as it is.
fn write_word(f: &mut fmt::Formatter<'_>, word: &Word) -> fmt::Result {
    let text = &word.text;
    let special = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '{' | '"' | '\'' | '\\');
    let plain =
        !text.is_empty() && !word.quoted && !text.starts_with(['#', '}', '\u{feff}']) && !text.contains(special);
    if plain {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            '\n' => f.write_str("\\n")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// How bad it is, by nginx's names of log levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Severity {
    /// The configuration cannot be used.
    #[default]
    Emerg,
    /// It can.
    Warn,
}

impl Severity {
    /// As it stands in brackets in a log.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Emerg => "emerg",
            Severity::Warn => "warn",
        }
    }
}

/// What is wrong, where, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnostic {
    pub at: At,
    /// The line that nginx names, if it is not that of `at`: it names the one on which a directive ends. 0: that of `at`.
    pub line: u32,
    pub message: String,
    pub hint: Option<String>,
    pub severity: Severity,
}

impl Diagnostic {
    pub fn new(at: At, message: impl Into<String>) -> Self {
        Diagnostic { at, message: message.into(), ..Diagnostic::default() }
    }

    /// About a whole directive; nginx names the line of its `;` or `{`.
    pub fn of(directive: &Directive, message: impl Into<String>) -> Self {
        Diagnostic::new(directive.name.at.clone(), message).line(directive.line)
    }

    /// About the argument `index` of a directive, or about the directive if it has no such argument.
    pub fn of_arg(directive: &Directive, index: usize, message: impl Into<String>) -> Self {
        let word = directive.args.get(index).unwrap_or(&directive.name);
        Diagnostic::new(word.at.clone(), message).line(directive.line)
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the line that nginx names.
    #[must_use]
    pub fn line(mut self, line: u32) -> Self {
        self.line = line;
        self
    }

    /// Makes it one that does not stop anything.
    #[must_use]
    pub fn warn(mut self) -> Self {
        self.severity = Severity::Warn;
        self
    }

    /// As nginx writes it, without the program's name and the level: `MESSAGE in FILE:LINE`. Without a place, the
    /// message alone.
    pub fn nginx(&self) -> String {
        match &self.at {
            At::File { name, line, .. } => {
                let line = if self.line == 0 { *line } else { self.line };
                format!("{} in {name}:{line}", self.message)
            }
            At::Default => self.message.clone(),
            At::Flag(_) | At::Setting { .. } | At::Env(_) => format!("{} in command line", self.message),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.severity == Severity::Warn { "warning: " } else { "" };
        write!(f, "{}: {warning}{}", self.at, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_people_say_them() {
        let file: Arc<str> = "nginx.conf".into();
        assert_eq!(At::File { name: file, line: 12, column: 5 }.to_string(), "nginx.conf:12:5");
        assert_eq!(At::Flag("--bind".into()).to_string(), "--bind");
        let setting = At::Setting { file: "gunicorn.conf.py".into(), name: "bind".into() };
        assert_eq!(setting.to_string(), "`bind` in gunicorn.conf.py");
        assert_eq!(At::Env("WEB_CONCURRENCY".into()).to_string(), "$WEB_CONCURRENCY");
        assert_eq!(At::Default.to_string(), "default");
    }

    #[test]
    fn a_diagnostic_points_and_hints() {
        let diagnostic = Diagnostic::new(At::Flag("--bnid".into()), "unknown option").hint("did you mean --bind?");
        assert_eq!(diagnostic.to_string(), "--bnid: unknown option\n  hint: did you mean --bind?");
    }

    #[test]
    fn nginx_names_the_line_on_which_a_directive_ends() {
        let at = |line| At::File { name: "/etc/nginx/nginx.conf".into(), line, column: 5 };
        let mut directive = Directive::new("listen", at(3)).word(Word::new("x", at(4)));
        directive.line = 6;
        assert_eq!(Diagnostic::new(at(3), "odd").nginx(), "odd in /etc/nginx/nginx.conf:3");
        assert_eq!(Diagnostic::of(&directive, "odd").hint("h").nginx(), "odd in /etc/nginx/nginx.conf:6");
        assert_eq!(Diagnostic::of_arg(&directive, 0, "odd").to_string(), "/etc/nginx/nginx.conf:4:5: odd");
        assert_eq!(Diagnostic::new(At::Flag("-g".into()), "odd").nginx(), "odd in command line");
        assert_eq!(Diagnostic::new(At::Default, "odd").warn().nginx(), "odd");
    }

    #[test]
    fn a_built_tree_is_written_as_a_file() {
        let at = || At::Flag("--static".into());
        let location =
            Directive::new("location", at()).arg("/static/").block([Directive::new("root", at()).arg("a b;")]);
        assert_eq!(location.to_string(), "location /static/ {\n    root \"a b;\";\n}\n");
        assert_eq!(location.args[0].at, at());
    }
}
