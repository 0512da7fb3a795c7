//! What `include` names: the loader, the one on disk, and file name patterns as glob(3) reads them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::lexer::{Kind, Lexer, Origin};

/// One file of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// As diagnostics show it.
    pub name: String,
    pub text: String,
}

/// Finds the files that `include` names.
pub trait Loader {
    /// The files that `pattern` stands for, in order of their names. A pattern with wildcards may match none; a plain
    /// name must exist. The error is a sentence for the diagnostic.
    fn load(&mut self, pattern: &str) -> Result<Vec<Source>, String>;
}

/// A loader without files: every `include` fails.
pub struct NoFiles;

impl Loader for NoFiles {
    fn load(&mut self, pattern: &str) -> Result<Vec<Source>, String> {
        Err(format!("cannot include \"{pattern}\" here"))
    }
}

/// Files on disk; relative names count from the directory of the main configuration file, as in nginx.
pub struct Disk {
    pub prefix: PathBuf,
}

impl Loader for Disk {
    fn load(&mut self, pattern: &str) -> Result<Vec<Source>, String> {
        let full = self.prefix.join(pattern);
        let paths = if pattern.contains(['*', '?', '[']) { glob(&full)? } else { vec![full] };
        paths.iter().map(|path| read_file(path)).collect()
    }
}

/// Reads one file; the error is nginx's sentence: `open() "/etc/x" failed (2: No such file or directory)`.
pub fn read_file(path: &Path) -> Result<Source, String> {
    let name = path.display().to_string();
    let mut file = fs::File::open(path).map_err(|error| failed("open()", &name, &error))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| failed("pread()", &name, &error))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            if let Some(line) = replaced(&text) {
                return Err(format!("\"{name}\" is not UTF-8 text, see its line {line}"));
            }
            text
        }
    };
    Ok(Source { name, text })
}

/// The line of the first word with a replaced character; old comments may be in any character set.
fn replaced(text: &str) -> Option<u32> {
    let mut lexer = Lexer::new(Origin::File("".into()), text);
    loop {
        // The parser tells of errors.
        let piece = lexer.piece().ok()?;
        match piece.kind {
            Kind::End => return None,
            Kind::Comment => {}
            _ if piece.raw.contains(char::REPLACEMENT_CHARACTER) => return Some(piece.start.0),
            _ => {}
        }
    }
}

/// `CALL "NAME" failed (CODE: TEXT)`.
fn failed(call: &str, name: &str, error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => {
            let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
            format!("{call} \"{name}\" failed ({code}: {text})")
        }
        None => format!("{call} \"{name}\" failed ({text})"),
    }
}

/// The paths that match, sorted. Directories that cannot be read match nothing, as in glob(3).
fn glob(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut paths = vec![PathBuf::new()];
    for part in pattern.components() {
        let Some(text) = part.as_os_str().to_str() else { return Err("file name pattern is not UTF-8".to_owned()) };
        if !text.contains(['*', '?', '[']) {
            for path in &mut paths {
                path.push(part);
            }
            continue;
        }
        let mut next = Vec::new();
        for path in &paths {
            let directory = if path.as_os_str().is_empty() { Path::new(".") } else { path.as_path() };
            let Ok(entries) = fs::read_dir(directory) else { continue };
            let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            next.extend(names.filter(|name| matches(text, name)).map(|name| path.join(name)));
        }
        paths = next;
    }
    // A link that leads nowhere is found, so that its file is missed.
    paths.retain(|path| path.symlink_metadata().is_ok());
    paths.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(paths)
}

/// Whether a file name matches a pattern with `*`, `?`, `[a-z]`, `[!a-z]` and `\` before a character that stands for
/// itself. A dot at the start is only matched by a dot.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // On a mismatch the last `*` takes one character more; earlier ones never need to.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            p += 1;
            star = Some((p, n));
            continue;
        }
        if n == name.len() {
            return p == pattern.len();
        }
        let taken = if p < pattern.len() { one(&pattern[p..], name[n]) } else { None };
        match (taken, star) {
            (Some(len), _) => {
                p += len;
                n += 1;
            }
            (None, Some((after, from))) => {
                p = after;
                n = from + 1;
                star = Some((after, n));
            }
            (None, None) => return false,
        }
    }
}

/// How much of `pattern` (not a `*`) stands for `c`, if it does.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['[', ..] => match class(pattern, c) {
            Some((true, len)) => Some(len),
            Some((false, _)) => None,
            None => (c == '[').then_some(1),
        },
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

/// `[...]`: whether `c` is in it, and its length. `None`: it is not closed, so `[` stands for itself.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let close = start + 1 + pattern.get(start + 1..)?.iter().position(|&c| c == ']')?;
    let mut inside = &pattern[start..close];
    let mut found = false;
    while let [first, rest @ ..] = inside {
        if let ['-', last, rest @ ..] = rest {
            found |= (*first..=*last).contains(&c);
            inside = rest;
        } else {
            found |= *first == c;
            inside = rest;
        }
    }
    Some((found != negated, close + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("*.conf", "a.conf"),
            ("*", ""),
            ("a*b*c", "aXbbYc"),
            ("?.conf", "a.conf"),
            ("[a-c]1", "b1"),
            ("[!a-c]1", "d1"),
            ("[]]", "]"),
            ("[a", "[a"),
            ("\\*", "*"),
            (".*", ".hidden"),
            ("*é", "caf\u{e9}"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.conf", "a.conf~"),
            ("*", ".hidden"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a-c]", "a"),
            ("a*b", "ac"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn disk_reads_patterns_in_order() {
        let prefix = std::env::temp_dir().join(format!("conf-include-{}", std::process::id()));
        fs::create_dir_all(prefix.join("sites")).unwrap();
        for name in ["b.conf", "a.conf", "c.txt", ".d.conf"] {
            fs::write(prefix.join("sites").join(name), name).unwrap();
        }
        fs::write(prefix.join("latin1.conf"), b"# \xe9\na \xe9;").unwrap();
        fs::write(prefix.join("comment.conf"), b"a; # \xe9\n").unwrap();
        let mut disk = Disk { prefix: prefix.clone() };
        let names: Vec<_> = disk.load("sites/*.conf").unwrap().into_iter().map(|source| source.name).collect();
        assert_eq!(names, ["a.conf", "b.conf"].map(|name| prefix.join("sites").join(name).display().to_string()));
        assert_eq!(disk.load("nothing/*.conf"), Ok(vec![]));
        let missing = format!("open() \"{}/missing.conf\" failed (2: No such file or directory)", prefix.display());
        assert_eq!(disk.load("missing.conf"), Err(missing));
        let directory = format!("pread() \"{}/sites\" failed (21: Is a directory)", prefix.display());
        assert_eq!(disk.load("sites"), Err(directory));
        assert!(disk.load("latin1.conf").unwrap_err().ends_with("is not UTF-8 text, see its line 2"));
        assert_eq!(disk.load("comment.conf").unwrap()[0].text, "a; # \u{fffd}\n");
        std::os::unix::fs::symlink("nowhere", prefix.join("sites/z.conf")).unwrap();
        assert!(disk.load("sites/*.conf").unwrap_err().ends_with("z.conf\" failed (2: No such file or directory)"));
        fs::remove_dir_all(prefix).unwrap();
    }
}
