//! `daemun cert dev`: a certificate for development.

use std::path::{Path, PathBuf};

use rcgen::KeyPair;

use super::authority::{self, Authority};
use super::facts::{self, Facts, Unreadable};
use super::{day, files, names, problem, quoted, trust, usage};
use crate::settings::Exit;
use crate::sys::reason;

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked<'a> {
    out: Option<&'a str>,
    force: bool,
    names: Vec<&'a str>,
}

fn parse<'a>(words: &[&'a str]) -> Result<Asked<'a>, Exit> {
    let mut asked = Asked::default();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word {
            "--force" | "-f" => asked.force = true,
            "--out" | "-o" => asked.out = Some(words.next().ok_or_else(|| usage("`--out` needs a directory"))?),
            "--" => asked.names.extend(words.by_ref()),
            _ if word.starts_with("--out=") => asked.out = word.strip_prefix("--out="),
            _ if word.starts_with('-') => return Err(usage(&format!("`daemun cert dev` has no option `{word}`"))),
            name => asked.names.push(name),
        }
    }
    Ok(asked)
}

/// Runs it; gives what is to be printed.
pub fn run(words: &[&str]) -> Result<String, Exit> {
    let asked = parse(words)?;
    let names = names::normal(&asked.names).map_err(|why| usage(&why))?;
    let directory = authority::directory(&|name| std::env::var(name).ok());
    let directory = directory.ok_or_else(|| {
        problem("there is no place for the local authority: you have no home", Some("set `XDG_DATA_HOME`"))
    })?;
    let out = PathBuf::from(asked.out.unwrap_or_default());
    let stem = names.first().map(|name| names::stem(name)).unwrap_or_default();
    let (path, key_path) = (out.join(format!("{stem}.pem")), out.join(format!("{stem}-key.pem")));
    if !asked.force {
        replaceable(&path, &key_path)?;
    }
    let authority = Authority::open(&directory)?;
    let made =
        authority.certify(&names).map_err(|error| problem(format!("cannot make the certificate: {error}"), None))?;
    let write = || {
        if !out.as_os_str().is_empty() {
            std::fs::create_dir_all(&out)?;
        }
        let key = files::prepare(&key_path, &made.key, 0o600)?;
        let certificate = files::prepare(&path, &made.certificate, 0o644)?;
        key.place()?;
        certificate.place()
    };
    write().map_err(|error: std::io::Error| {
        problem(format!("cannot write {}: {}", path.display(), reason(&error)), Some("`--out DIR` writes elsewhere"))
    })?;
    let (certificate, key) = (quoted(&path), quoted(&key_path));
    Ok(format!(
        "made {certificate} and {key}\n  for {}\n  until {}\n\nServe with them:\n  \
         daemun MODULE --certfile {certificate} --keyfile {key}\n\n{}",
        names.join(", "),
        day(made.not_after),
        trust::text(&authority.path, authority.is_new, names.first().map_or("localhost", String::as_str)),
    ))
}

/// Refuses to write over what this command did not make.
fn replaceable(path: &Path, key_path: &Path) -> Result<(), Exit> {
    let refuse = |path: &Path, why: &str| {
        let what = format!("{} is there already{why}", path.display());
        problem(what, Some("`--out DIR` writes elsewhere, `--force` overwrites it"))
    };
    let facts = match facts::read(path) {
        Err(Unreadable::Missing(_)) => None,
        Err(Unreadable::Other(_)) => return Err(refuse(path, ", and this command did not make it")),
        Ok(contents) => match contents.chain.first().and_then(|der| Facts::of(der)) {
            Some(facts) if facts.is_ours() && contents.chain.len() == 1 && contents.key.is_none() => Some(facts),
            _ => return Err(refuse(path, ", and this command did not make it")),
        },
    };
    let key = match facts::read(key_path) {
        Err(Unreadable::Missing(_)) => return Ok(()),
        Err(Unreadable::Other(_)) => None,
        Ok(contents) => contents.key,
    };
    let pair = key.and_then(|key| KeyPair::try_from(key.as_slice()).ok());
    match (facts, pair) {
        (Some(facts), Some(pair)) if facts.is_of(&pair) => Ok(()),
        (Some(_), _) => Err(refuse(key_path, &format!(", and it is not the key of {}", path.display()))),
        (None, _) => Err(refuse(key_path, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_names_may_be_mixed() {
        let parsed = |line: &'static str| parse(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        assert_eq!(parsed(""), Asked::default());
        let all = Asked { out: Some("d"), force: true, names: vec!["a", "b"] };
        assert_eq!(parsed("a --out d -f b"), all);
        assert_eq!(parsed("--out=d --force -- a b"), all);
        assert!(parse(&["--out"]).unwrap_err().message.contains("needs a directory"));
        assert!(parse(&["--days", "3"]).unwrap_err().message.contains("no option `--days`"));
    }
}
