//! `daemun fmt [--check] FILE...`: configuration files in their usual form. `-` is standard input.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::Program;

/// Runs it; gives the exit code: 1 when something is wrong, or with `--check`, not in its form.
pub fn run(args: &[OsString]) -> i32 {
    let check = args.iter().any(|arg| arg == "--check");
    let files: Vec<&OsString> = args.iter().filter(|arg| *arg != "--check").collect();
    if files.is_empty() || files.iter().any(|file| file.to_string_lossy().starts_with("--")) {
        Program::Daemun.say_plain("usage: daemun fmt [--check] FILE...");
        return 2;
    }
    let mut code = 0;
    for file in files {
        if let Err(why) = one(file, check) {
            if !why.is_empty() {
                let _ = writeln!(std::io::stderr(), "{why}");
            }
            code = 1;
        }
    }
    code
}

/// Formats one file; the error is to be printed.
fn one(file: &OsString, check: bool) -> Result<(), String> {
    let stdin = file == "-";
    let (name, text) = if stdin {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| format!("daemun: cannot read standard input: {}", crate::sys::reason(&error)))?;
        ("stdin".to_owned(), text)
    } else {
        let source = conf::read_file(Path::new(file)).map_err(|why| format!("daemun: {why}"))?;
        (source.name, source.text)
    };
    let formatted = conf::format(&name, &text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    if check {
        return if formatted == text { Ok(()) } else { Err(format!("{name}: not formatted")) };
    }
    if stdin {
        let _ = std::io::stdout().write_all(formatted.as_bytes());
        return Ok(());
    }
    if formatted == text {
        return Ok(());
    }
    replace(Path::new(file), &formatted)
        .map_err(|error| format!("daemun: cannot write \"{name}\": {}", crate::sys::reason(&error)))
}

/// Writes a file whole or not at all. A link stays one: what it points to is replaced.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let new = path.with_extension(format!("fmt-{}", std::process::id()));
    let written = std::fs::write(&new, text)
        .and_then(|()| std::fs::set_permissions(&new, std::fs::metadata(&path)?.permissions()))
        .and_then(|()| std::fs::rename(&new, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}
