//! Private keys: PKCS#8 (RFC 5208), PKCS#1, SEC 1, under a passphrase or not.

use aws_lc_rs::cipher;
use md5::{Digest, Md5};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use super::pem::{self, Section};

/// The key in a PEM text; `passwords` are tried one after another. The error is what nginx would say, with the reason.
pub fn read(text: &[u8], passwords: &[Vec<u8>]) -> Result<PrivateKeyDer<'static>, String> {
    let nothing = || "PEM_read_bio_PrivateKey() failed (no private key in it)".to_owned();
    let sections =
        pem::sections(text).map_err(|pem::Broken| "PEM_read_bio_PrivateKey() failed (bad end line)".to_owned())?;
    let mut keys = sections.into_iter().filter(|section| section.label.ends_with("PRIVATE KEY"));
    let section = keys.next().ok_or_else(nothing)?;
    if section.label == "ENCRYPTED PRIVATE KEY" {
        return encrypted(&section, passwords);
    }
    let encrypted = section.headers.iter().any(|(name, value)| name == "Proc-Type" && value.contains("ENCRYPTED"));
    let bytes = if encrypted { traditional(&section, passwords)? } else { section.bytes };
    match section.label.as_str() {
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(bytes).into()),
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(bytes).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(bytes).into()),
        other => Err(format!("PEM_read_bio_PrivateKey() failed (keys of the kind \"{other}\" are not supported)")),
    }
}

/// nginx asks at the terminal; a server that starts by itself cannot.
fn no_password() -> String {
    "PEM_read_bio_PrivateKey() failed (it is under a passphrase, and there is no \"ssl_password_file\")".to_owned()
}

fn bad_password() -> String {
    "PEM_read_bio_PrivateKey() failed (bad decrypt: no passphrase of \"ssl_password_file\" fits)".to_owned()
}

/// What cannot be read has a way out.
fn convert(what: &str) -> String {
    format!(
        "PEM_read_bio_PrivateKey() failed ({what} is not supported: convert it with \
         \"openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW\")"
    )
}

/// PKCS#8 under a passphrase.
fn encrypted(section: &Section, passwords: &[Vec<u8>]) -> Result<PrivateKeyDer<'static>, String> {
    let info =
        pkcs8::EncryptedPrivateKeyInfoRef::try_from(&section.bytes[..]).map_err(|_| convert("its encryption"))?;
    if passwords.is_empty() {
        return Err(no_password());
    }
    let found = passwords.iter().find_map(|password| info.decrypt(password).ok());
    let document = found.ok_or_else(bad_password)?;
    Ok(PrivatePkcs8KeyDer::from(document.as_bytes().to_vec()).into())
}

/// The older way: header lines say the cipher, and the key is a hash of passphrase and salt (`EVP_BytesToKey`).
fn traditional(section: &Section, passwords: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let info = section.headers.iter().find(|(name, _)| name == "DEK-Info").map(|(_, value)| value.as_str());
    let (name, salt) = info.and_then(|info| info.split_once(',')).ok_or_else(|| convert("its encryption"))?;
    let (algorithm, len) = match name {
        "AES-128-CBC" => (&cipher::AES_128, 16),
        "AES-256-CBC" => (&cipher::AES_256, 32),
        other => return Err(convert(other)),
    };
    let iv = hex(salt).ok_or_else(|| convert("its encryption"))?;
    if passwords.is_empty() {
        return Err(no_password());
    }
    let found = passwords.iter().find_map(|password| {
        let key = cipher::UnboundCipherKey::new(algorithm, &derived(password, &iv[..8], len)).ok()?;
        let mut bytes = section.bytes.clone();
        let context = cipher::DecryptionContext::Iv128(iv.into());
        let plain = cipher::PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?.decrypt(&mut bytes, context).ok()?;
        // The padding fits one wrong passphrase in 256; a key begins as a sequence.
        (plain.first() == Some(&0x30)).then(|| plain.to_vec())
    });
    found.ok_or_else(bad_password)
}

/// `EVP_BytesToKey` with MD5 and one round.
fn derived(password: &[u8], salt: &[u8], len: usize) -> Vec<u8> {
    let mut key: Vec<u8> = Vec::with_capacity(len);
    let mut last: Vec<u8> = Vec::new();
    while key.len() < len {
        let mut hash = Md5::new();
        hash.update(&last);
        hash.update(password);
        hash.update(salt);
        last = hash.finalize().to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(len);
    key
}

fn hex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
