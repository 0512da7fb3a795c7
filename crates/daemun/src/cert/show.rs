//! `daemun cert show`: what a file of certificates has.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;

use super::facts::{self, Contents, Facts};
use super::{day, now, problem, usage};
use crate::settings::Exit;

const DAY: i64 = 86_400;

/// Runs it; gives what is to be printed.
pub fn run(words: &[&str]) -> Result<String, Exit> {
    let (path, key_path) = match words {
        [path] => (Path::new(path), None),
        [path, key] => (Path::new(path), Some(PathBuf::from(key))),
        _ => return Err(usage("`daemun cert show` needs a file, and perhaps that of the key")),
    };
    let contents = facts::read(path).map_err(|why| problem(why.message(), None))?;
    if contents.chain.is_empty() {
        let what = match contents.key.is_some() || contents.locked {
            true => "has a private key and no certificate",
            false => "has no certificate in PEM",
        };
        let hint = "`openssl x509 -inform der -in FILE` makes PEM of DER";
        return Err(problem(format!("{} {what}", path.display()), Some(hint)));
    }
    let mut out = String::new();
    let mut first = None;
    for (index, der) in contents.chain.iter().enumerate() {
        let Some(facts) = Facts::of(der) else {
            return Err(problem(format!("{}: certificate {} of it cannot be read", path.display(), index + 1), None));
        };
        describe(&mut out, path, index, &facts, now());
        first = first.or(Some(facts));
    }
    let key_path = key_path.or_else(|| beside(path)).filter(|_| contents.key.is_none() && !contents.locked);
    if let Some(facts) = first {
        match key_path {
            None => tell_key(&mut out, path, &contents, &facts),
            Some(key_path) => {
                let key = facts::read(&key_path).map_err(|why| problem(why.message(), None))?;
                tell_key(&mut out, &key_path, &key, &facts);
            }
        }
    }
    Ok(out)
}

/// Where the key is, if the files are called as `daemun cert dev` or certbot call them.
fn beside(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let certbots = stem.strip_prefix("fullchain").or_else(|| stem.strip_prefix("cert"));
    let certbots = certbots.map(|number| path.with_file_name(format!("privkey{number}.pem")));
    let ours = path.with_file_name(format!("{stem}-key.pem"));
    std::iter::once(ours).chain(certbots).find(|path| path.exists())
}

fn describe(out: &mut String, path: &Path, index: usize, facts: &Facts, now: i64) {
    let what = match (index, facts.is_authority) {
        (0, false) => "certificate",
        (_, true) if facts.self_signed => "root authority",
        (_, true) => "authority",
        _ => "certificate",
    };
    let _ = writeln!(out, "{} {}: {what}", path.display(), index + 1);
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<9}{text}");
    };
    line("subject", &facts.subject);
    if !facts.names.is_empty() {
        line("names", &facts.names.join(", "));
    }
    line("issuer", if facts.self_signed { "itself" } else { &facts.issuer });
    let days = (facts.not_after - now).div_euclid(DAY);
    let state = match () {
        () if now < facts.not_before => "not valid yet".to_owned(),
        () if now > facts.not_after => format!("EXPIRED {} days ago", (now - facts.not_after) / DAY),
        () => format!("{days} days left"),
    };
    line("valid", &format!("{} to {} ({state})", day(facts.not_before), day(facts.not_after)));
    line("key", &facts.key);
    line("serial", &facts.serial);
}

fn tell_key(out: &mut String, path: &Path, contents: &Contents, facts: &Facts) {
    let pair = contents.key.as_ref().map(|key| KeyPair::try_from(key.as_slice()));
    let _ = match pair {
        Some(Ok(pair)) if facts.is_of(&pair) => writeln!(out, "the key in {} belongs to it", path.display()),
        Some(Ok(_)) => writeln!(out, "the key in {} belongs to ANOTHER certificate", path.display()),
        Some(Err(_)) => writeln!(out, "the key in {} is of a kind that cannot be checked", path.display()),
        None if contents.locked => {
            writeln!(out, "the key in {} has a passphrase: it cannot be checked", path.display())
        }
        None => Ok(()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_told_in_days() {
        let facts = |not_before, not_after| Facts {
            subject: "CN=a".into(),
            issuer: "CN=b".into(),
            names: vec!["a.test".into()],
            not_before,
            not_after,
            key: "RSA 2048".into(),
            is_authority: false,
            self_signed: false,
            serial: "01".into(),
            public: Vec::new(),
        };
        for (from, to, words) in [
            (0, 10 * DAY, "1970-01-01 to 1970-01-11 (5 days left)"),
            (6 * DAY, 10 * DAY, "not valid yet"),
            (0, 3 * DAY - 1, "EXPIRED 2 days ago"),
        ] {
            let mut out = String::new();
            describe(&mut out, Path::new("a.pem"), 0, &facts(from, to), 5 * DAY);
            assert!(out.contains(words), "{out}");
        }
    }
}
