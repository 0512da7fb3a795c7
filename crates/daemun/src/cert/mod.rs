//! `daemun cert`: certificates for development, signed by an authority that only this user has, and a look at
//! certificates of any origin. Nothing here serves TLS; the files that are written are what `--certfile` and
//! `ssl_certificate` take.

mod authority;
mod dev;
mod facts;
mod files;
mod names;
mod show;
mod trust;

use std::ffi::OsString;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use wire::date::Civil;

use crate::settings::Exit;

/// What `daemun cert` prints when nothing is asked of it.
pub const USAGE: &str = "\
usage: daemun cert dev [--out DIR] [--force] [NAME ...]
       daemun cert show FILE [KEY]

  dev   makes a certificate for the names and addresses, for development: `localhost`, 127.0.0.1 and ::1 if none is
        given. It is signed by an authority of your own, which the first call makes: once your browser trusts that one,
        it trusts all of them.
          --out DIR   write NAME.pem and NAME-key.pem there, not into the working directory
          --force     overwrite files that this command did not make
  show  tells whose certificate a file has, for which names, how long it is valid, and whether the key belongs to it.
";

/// Runs it; gives the exit code.
pub fn run(args: &[OsString]) -> i32 {
    let mut words = Vec::new();
    for arg in args {
        match arg.to_str() {
            Some(word) => words.push(word),
            None => return say(&usage(&format!("`{}` is not UTF-8", arg.to_string_lossy()))),
        }
    }
    let done = match words.split_first() {
        None | Some((&("--help" | "-h" | "help"), _)) => Ok(USAGE.to_owned()),
        Some((&"dev", rest)) => dev::run(rest),
        Some((&"show", rest)) => show::run(rest),
        Some((other, _)) => Err(usage(&format!("there is no `daemun cert {other}`"))),
    };
    match done {
        Ok(text) => {
            crate::print(&text);
            0
        }
        Err(exit) => say(&exit),
    }
}

fn say(exit: &Exit) -> i32 {
    // There is nowhere to tell of a failure.
    let _ = writeln!(std::io::stderr(), "{}", exit.message);
    exit.code
}

/// What was typed cannot be meant.
fn usage(why: &str) -> Exit {
    Exit::new(2, why, Some("`daemun cert` tells what there is".into()))
}

/// What was asked for cannot be done.
fn problem(what: impl AsRef<str>, hint: Option<&str>) -> Exit {
    Exit::new(1, what, hint.map(str::to_owned))
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// `2027-01-31`, UTC.
fn day(seconds: i64) -> String {
    let Civil { year, month, day, .. } = Civil::of(seconds);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A path as a shell takes it.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_can_be_pasted_into_a_shell() {
        for (path, text) in [("/a/b.pem", "/a/b.pem"), ("/a b", "'/a b'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quoted(std::path::Path::new(path)), text);
        }
        assert_eq!(day(1_800_000_000), "2027-01-15");
    }
}
