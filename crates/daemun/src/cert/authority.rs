//! The local authority: a certificate and a key in a directory of the user's, made once. Whoever has the key can pass for
//! any site to those who trust the certificate, so nobody else can read it.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{User, getuid};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::facts::{self, Facts};
use super::{files, now, problem};
use crate::settings::Exit;
use crate::sys::reason;

/// What it is called, before the user's and the machine's names. By this the certificates that were made here are known.
pub const NAME: &str = "Daemun development authority";
/// How long it is valid: ten years.
const DAYS: i64 = 3652;
/// How long its certificates are valid at most: what browsers take.
const LEAF_DAYS: i64 = 397;
const DAY: i64 = 86_400;
/// Clocks differ.
const EARLIER: i64 = 3600;

pub struct Authority {
    /// Its certificate's file: what is to be trusted.
    pub path: PathBuf,
    /// It was made just now.
    pub is_new: bool,
    issuer: Issuer<'static, KeyPair>,
    not_after: i64,
}

/// A new certificate and its key, PEM.
pub struct Made {
    pub certificate: String,
    pub key: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// Where it is: below `$XDG_DATA_HOME`, or below the user's home.
pub fn directory(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let home = || {
        let known = || User::from_uid(getuid()).ok().flatten().map(|user| user.dir);
        Some(env("HOME").and_then(absolute).or_else(known)?.join(".local/share"))
    };
    let data = env("XDG_DATA_HOME").and_then(absolute).or_else(home)?;
    Some(data.join("daemun/authority"))
}

impl Authority {
    /// The one in a directory; it is made if there is none.
    pub fn open(directory: &Path) -> Result<Authority, Exit> {
        let failed = |what: &str, path: &Path, error: &std::io::Error| {
            problem(format!("cannot {what} {}: {}", path.display(), reason(error)), None)
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).map_err(|error| failed("make", directory, &error))?;
        // Two calls at once make one authority.
        let opened = std::fs::File::open(directory).map_err(|error| failed("open", directory, &error))?;
        let _lock = Flock::lock(opened, FlockArg::LockExclusive)
            .map_err(|(_, error)| failed("lock", directory, &error.into()))?;
        let (path, key_path) = (directory.join("authority.pem"), directory.join("authority-key.pem"));
        if !path.exists() && !key_path.exists() {
            let made = make().map_err(|error| problem(format!("cannot make the authority: {error}"), None))?;
            let place = |path: &Path, text: &str, mode| files::prepare(path, text, mode)?.place();
            place(&key_path, &made.key, 0o600).map_err(|error| failed("write", &key_path, &error))?;
            place(&path, &made.certificate, 0o644).map_err(|error| failed("write", &path, &error))?;
            return Authority::read(&path, &key_path, true);
        }
        Authority::read(&path, &key_path, false)
    }

    fn read(path: &Path, key_path: &Path, is_new: bool) -> Result<Authority, Exit> {
        let broken = |why: String| {
            let directory = path.parent().unwrap_or(path).display();
            let hint = format!("remove {directory}, and the next call makes a new one, which is to be trusted anew");
            problem(format!("the local authority cannot be used: {why}"), Some(&hint))
        };
        let certificate = facts::read(path).map_err(|why| broken(why.message()))?;
        let key = facts::read(key_path).map_err(|why| broken(why.message()))?;
        let key = key.key.ok_or_else(|| broken(format!("{} has no private key", key_path.display())))?;
        let facts = certificate.chain.first().and_then(|der| Facts::of(der));
        let (Some(der), Some(facts)) = (certificate.chain.first(), facts) else {
            return Err(broken(format!("{} has no certificate", path.display())));
        };
        let pair =
            KeyPair::try_from(key.as_slice()).map_err(|error| broken(format!("{}: {error}", key_path.display())))?;
        if !facts.is_of(&pair) {
            return Err(broken(format!("{} is not the key of {}", key_path.display(), path.display())));
        }
        if facts.not_after <= now() + DAY {
            return Err(broken(format!("it is valid until {}", super::day(facts.not_after))));
        }
        let mode = std::fs::metadata(key_path).map_or(0o600, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            let why = format!("others can read {}, so it may be no secret any more", key_path.display());
            return Err(broken(why));
        }
        let issuer =
            Issuer::from_ca_cert_der(&der.as_slice().into(), pair).map_err(|error| broken(error.to_string()))?;
        Ok(Authority { path: path.to_path_buf(), is_new, issuer, not_after: facts.not_after })
    }

    /// Makes a server's certificate for names and addresses.
    pub fn certify(&self, names: &[String]) -> Result<Made, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        let not_before = now() - EARLIER;
        let not_after = (not_before + LEAF_DAYS * DAY - 1).min(self.not_after);
        valid(&mut params, not_before, not_after);
        params.distinguished_name.remove(DnType::CommonName);
        // 64 characters are the most that a common name has; clients read the alternative names anyway.
        if let Some(name) = names.first().filter(|name| name.len() <= 64) {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.distinguished_name.push(DnType::OrganizationName, "Daemun development certificate");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem(), not_after })
    }
}

fn make() -> Result<Made, rcgen::Error> {
    let user = User::from_uid(getuid()).ok().flatten().map(|user| user.name);
    let host = http::sys::process::host_name();
    let whose = format!("{}@{host}", user.unwrap_or_else(|| getuid().to_string()));
    // A common name has 64 characters at most.
    let name: String = format!("{NAME} {whose}").chars().take(64).collect();
    let mut params = CertificateParams::default();
    let not_before = now() - EARLIER;
    let not_after = not_before + DAYS * DAY;
    valid(&mut params, not_before, not_after);
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem(), not_after })
}

fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    let date = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.max(0) as u64);
    params.not_before = date(from);
    params.not_after = date(to);
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn it_is_in_the_users_data_directory() {
        let at = |data: &str, home: &str| {
            let (data, home) = (data.to_owned(), home.to_owned());
            directory(&move |name| match name {
                "XDG_DATA_HOME" => Some(data.clone()),
                _ => Some(home.clone()),
            })
        };
        assert_eq!(at("/data", "/home/a"), Some("/data/daemun/authority".into()));
        assert_eq!(at("relative", "/home/a"), Some("/home/a/.local/share/daemun/authority".into()));
    }

    #[test]
    fn it_is_made_once_and_its_certificates_name_it() {
        let directory = std::env::temp_dir().join(format!("daemun-authority-{}", std::process::id()));
        let authority = Authority::open(&directory).unwrap_or_else(|exit| panic!("{}", exit.message));
        assert!(authority.is_new);
        let again = Authority::open(&directory).unwrap_or_else(|exit| panic!("{}", exit.message));
        assert!(!again.is_new);
        let made = again.certify(&["shop.test".into(), "::1".into()]).unwrap();
        let read = facts::of_pem(made.certificate.as_bytes()).unwrap();
        let facts = Facts::of(&read.chain[0]).unwrap();
        assert!(facts.is_of(&KeyPair::from_pem(&made.key).unwrap()));
        assert_eq!(facts.names, ["shop.test", "::1"]);
        assert!(facts.issuer.contains(NAME) && facts.is_ours(), "{}", facts.issuer);
        assert!(facts.not_after - facts.not_before < LEAF_DAYS * DAY);

        let key = directory.join("authority-key.pem");
        std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        let message = Authority::open(&directory).err().unwrap().message;
        assert!(message.contains("others can read"), "{message}");
        std::fs::write(&key, "nothing").unwrap();
        let message = Authority::open(&directory).err().unwrap().message;
        assert!(message.contains("has no private key") && message.contains("hint: remove"), "{message}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
