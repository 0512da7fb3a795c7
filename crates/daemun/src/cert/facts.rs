//! What is in files of certificates and keys (PEM, RFC 7468), and what a certificate says (RFC 5280).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{KeyPair, PublicKeyData as _};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

use super::authority;
use crate::sys::reason;

/// Nobody has a longer file.
const MOST: u64 = 4 << 20;

/// What a file has.
#[derive(Default)]
pub struct Contents {
    /// Certificates, DER.
    pub chain: Vec<Vec<u8>>,
    /// The first private key, DER.
    pub key: Option<Vec<u8>>,
    /// There is a key, and a passphrase hides it.
    pub locked: bool,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// There is none.
    Missing(String),
    Other(String),
}

impl Unreadable {
    pub fn message(self) -> String {
        match self {
            Unreadable::Missing(why) | Unreadable::Other(why) => why,
        }
    }
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Contents, Unreadable> {
    let open = || {
        let file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST), &mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().map_err(|error: std::io::Error| {
        let why = format!("cannot read {}: {}", path.display(), reason(&error));
        if error.kind() == std::io::ErrorKind::NotFound { Unreadable::Missing(why) } else { Unreadable::Other(why) }
    })?;
    of_pem(&bytes).map_err(|why| Unreadable::Other(format!("{}: {why}", path.display())))
}

/// Reads the contents of a file.
pub fn of_pem(bytes: &[u8]) -> Result<Contents, String> {
    let mut contents = Contents::default();
    for block in Pem::iter_from_buffer(bytes) {
        let block = match block {
            Ok(block) => block,
            // OpenSSL's old way to hide a key: the block has headers of its own.
            Err(_) if contains(bytes, b"Proc-Type: 4,ENCRYPTED") => {
                contents.locked = true;
                break;
            }
            Err(_) => return Err("a block of it is cut off or damaged".to_owned()),
        };
        match block.label.as_str() {
            "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => contents.chain.push(block.contents),
            "ENCRYPTED PRIVATE KEY" => contents.locked = true,
            label if label.ends_with("PRIVATE KEY") && contents.key.is_none() => contents.key = Some(block.contents),
            _ => {}
        }
    }
    Ok(contents)
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// What a certificate says.
pub struct Facts {
    pub subject: String,
    pub issuer: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// What kind of key it has: `ECDSA P-256`.
    pub key: String,
    pub is_authority: bool,
    pub self_signed: bool,
    pub serial: String,
    /// The key, DER.
    pub public: Vec<u8>,
}

impl Facts {
    /// Reads a certificate; `None`: it is none.
    pub fn of(der: &[u8]) -> Option<Facts> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let mut names = Vec::new();
        if let Ok(Some(list)) = certificate.subject_alternative_name() {
            names.extend(list.value.general_names.iter().filter_map(name));
        }
        let validity = certificate.validity();
        Some(Facts {
            subject: shown(&certificate.subject().to_string()),
            issuer: shown(&certificate.issuer().to_string()),
            names,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            key: key(&certificate),
            is_authority: certificate.is_ca(),
            self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            serial: certificate.raw_serial_as_string(),
            public: certificate.public_key().raw.to_vec(),
        })
    }

    /// Whether a key belongs to it.
    pub fn is_of(&self, key: &KeyPair) -> bool {
        key.subject_public_key_info() == self.public
    }

    /// Whether an authority of this program has signed it.
    pub fn is_ours(&self) -> bool {
        self.issuer.contains(authority::NAME)
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some(shown(name)),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn key(certificate: &X509Certificate) -> String {
    let info = certificate.public_key();
    let algorithm = info.algorithm.algorithm.to_id_string();
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(_)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            let curve = curve.map(|oid| oid.to_id_string()).unwrap_or_default();
            let curve = match curve.as_str() {
                "1.2.840.10045.3.1.7" => "P-256",
                "1.3.132.0.34" => "P-384",
                "1.3.132.0.35" => "P-521",
                other => other,
            };
            format!("ECDSA {curve}")
        }
        _ => match algorithm.as_str() {
            "1.3.101.112" => "Ed25519".into(),
            "1.3.101.113" => "Ed448".into(),
            "1.2.840.113549.1.1.10" => "RSA-PSS".into(),
            other => other.into(),
        },
    }
}

/// Text of strangers, for a terminal.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_cannot_command_the_terminal() {
        assert_eq!(shown("a\x1b[2Jb"), "a\\u{1b}[2Jb");
    }

    #[test]
    fn what_is_no_pem_has_nothing_and_what_is_cut_off_is_an_error() {
        let none = of_pem(b"hello").unwrap();
        assert!(none.chain.is_empty() && none.key.is_none() && !none.locked);
        assert!(of_pem(b"-----BEGIN CERTIFICATE-----\nMIIB\n").is_err());
        assert!(Facts::of(b"no certificate").is_none());
    }
}
