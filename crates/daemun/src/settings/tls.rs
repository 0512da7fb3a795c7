//! TLS: what the settings of the section `SSL` say together. Whether files can be read and fit together is the engine's
//! to check, where the configuration takes them.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Exit;
use super::given::Given;
use super::ready::refuse;

/// How connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The file of the key; it may be the same one.
    pub key: PathBuf,
    /// What the key is encrypted with.
    pub password: Option<Secret>,
    /// Whose certificates clients may have.
    pub authorities: Option<PathBuf>,
    pub clients: Clients,
    /// As OpenSSL writes them.
    pub ciphers: Option<String>,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    NotAsked,
    Asked,
    Required,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What the settings say; `None`: connections are not encrypted.
pub(super) fn tls(given: &mut Given, base: &Path) -> Result<Option<Tls>, Exit> {
    let path = |given: &Given, name| given.optional(name).map(|path| base.join(path));
    let clients = match given.int("cert_reqs") {
        0 => Clients::NotAsked,
        1 => Clients::Asked,
        _ => Clients::Required,
    };
    let Some(certificate) = path(given, "certfile") else {
        if given.optional("keyfile").is_some() {
            let hint = "`--certfile` names the certificate; `daemun cert dev` makes one for development";
            return Err(refuse(given, "keyfile", "a key alone is not enough for TLS", Some(hint)));
        }
        if clients != Clients::NotAsked {
            let why = "clients have certificates only with TLS, and there is no `certfile`";
            return Err(refuse(given, "cert_reqs", why, None));
        }
        for name in ["ca_certs", "ciphers", "ssl_keyfile_password"] {
            if given.optional(name).is_some() {
                let place = given.place(name);
                given.warnings.push(format!("{place} has no effect without `--certfile`"));
            }
        }
        return Ok(None);
    };
    let authorities = path(given, "ca_certs");
    if clients != Clients::NotAsked && authorities.is_none() {
        let hint = "`--ca-certs` names a file of authorities, in PEM";
        return Err(refuse(given, "cert_reqs", "nobody is named whose certificates clients may have", Some(hint)));
    }
    if clients == Clients::NotAsked && authorities.is_some() {
        let place = given.place("ca_certs");
        given.warnings.push(format!("{place} has no effect: `--cert-reqs` asks clients for no certificate"));
    }
    Ok(Some(Tls {
        key: path(given, "keyfile").unwrap_or_else(|| certificate.clone()),
        certificate,
        password: given.optional("ssl_keyfile_password").map(Secret),
        authorities: authorities.filter(|_| clients != Clients::NotAsked),
        clients,
        ciphers: given.optional("ciphers"),
    }))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::tests::{Line, file, line, refused, str};
    use super::*;
    use crate::host::SettingValue as Value;

    #[test]
    fn both_grammars_say_the_same() {
        let gunicorn = line("app --certfile /c.pem --keyfile /k.pem --ca-certs /a.pem --cert-reqs 2 --ciphers HIGH");
        let uvicorn = "app --ssl-certfile /c.pem --ssl-keyfile /k.pem --ssl-ca-certs /a.pem --ssl-cert-reqs 2 \
                       --ssl-ciphers HIGH";
        let tls = gunicorn.settings().tls.unwrap();
        assert_eq!(Some(&tls), line(uvicorn).settings().tls.as_ref());
        assert_eq!((tls.certificate, tls.key), (PathBuf::from("/c.pem"), PathBuf::from("/k.pem")));
        assert_eq!((tls.authorities, tls.clients), (Some("/a.pem".into()), Clients::Required));
        assert_eq!(tls.ciphers.as_deref(), Some("HIGH"));
        let env: &[_] = &[("UVICORN_SSL_CERTFILE", "/c.pem"), ("UVICORN_SSL_KEYFILE_PASSWORD", " a b ")];
        let tls = Line { args: "app", env, ..Line::default() }.settings().tls.unwrap();
        assert_eq!(tls.password, Some(Secret(" a b ".into())), "a password is taken as it is");
        let tls = file(&[("certfile", str("/c.pem")), ("cert_reqs", Value::Int(0))]).settings().tls.unwrap();
        assert_eq!(tls.key, tls.certificate, "one file may have both");
        assert_eq!(line("app").settings().tls, None);
    }

    #[test]
    fn what_could_weaken_security_is_refused() {
        refused(
            "app --keyfile k.pem",
            1,
            "daemun: `--keyfile`: a key alone is not enough for TLS\n\
             hint: `--certfile` names the certificate; `daemun cert dev` makes one for development",
        );
        refused(
            "app --certfile c.pem --cert-reqs 2",
            1,
            "daemun: `--cert-reqs`: nobody is named whose certificates clients may have\n\
             hint: `--ca-certs` names a file of authorities, in PEM",
        );
        refused(
            "app --ssl-cert-reqs 1",
            1,
            "daemun: `--ssl-cert-reqs`: clients have certificates only with TLS, and there is no `certfile`",
        );
        refused("app --cert-reqs 3", 1, "daemun: `--cert-reqs`: must be at most 2, not 3");
        let hook = file(&[("ssl_context", Value::Callable("ssl_context".into()))]);
        let (code, message) = hook.refused();
        assert_eq!(code, 1);
        assert!(message.starts_with("daemun: `ssl_context` in Cargo.toml cannot be used: "), "{message}");
        assert!(message.contains("`certfile`") && message.contains("ssl_protocols"), "{message}");
    }

    #[test]
    fn what_has_no_effect_is_told() {
        for (args, warning) in [
            ("app --ciphers HIGH", "`--ciphers` has no effect without `--certfile`"),
            (
                "app --certfile c --ca-certs a",
                "`--ca-certs` has no effect: `--cert-reqs` asks clients for no certificate",
            ),
            ("app --ssl-version 5", "`--ssl-version` has no effect: it is deprecated, and Gunicorn ignores it, too"),
            (
                "app --do-handshake-on-connect",
                "`--do-handshake-on-connect` has no effect: a handshake holds up no other client here",
            ),
        ] {
            assert_eq!(line(args).settings().warnings, [warning], "{args}");
        }
        assert!(line("app --suppress-ragged-eofs").settings().warnings.is_empty(), "that is the default");
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = line("app --certfile c --ssl-keyfile-password hunter2").settings();
        let printed = settings.print_config();
        assert!(!printed.contains("hunter2") && printed.contains("ssl_keyfile_password"), "{printed}");
        assert!(!format!("{:?}", settings.tls).contains("hunter2"));
        let shown: String = crate::face::shown::tree(&settings).iter().map(ToString::to_string).collect();
        assert!(!shown.contains("hunter2"), "{shown}");
        let built: String = crate::face::tree(&settings).iter().map(ToString::to_string).collect();
        assert!(built.contains("hunter2"));
    }
}
