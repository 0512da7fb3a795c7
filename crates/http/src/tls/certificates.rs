//! The certificates of a server, and which of them a client is shown.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::ocsp::staple::Staple;
use super::{key, pem};

/// Where a certificate or a key is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    File(PathBuf),
    /// `data:`: the text itself.
    Data(Arc<str>),
}

impl Place {
    /// As nginx names it in messages.
    pub fn shown(&self) -> String {
        match self {
            Place::File(path) => path.display().to_string(),
            Place::Data(text) => format!("data:{text}"),
        }
    }

    /// Its text; the error is what nginx says of it.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Place::Data(text) => Ok(text.as_bytes().to_vec()),
            Place::File(path) => read(path).map_err(|why| format!("BIO_new_file() failed ({why})")),
        }
    }
}

/// Reads a file of a size that certificates may have; the error is the system's, with its number.
pub fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let tell = |error: std::io::Error| system(&error);
    let metadata = std::fs::metadata(path).map_err(tell)?;
    if !metadata.is_file() && !metadata.file_type().is_dir() {
        return Err("it is no regular file".into());
    }
    if metadata.len() > pem::LARGEST {
        return Err("it is too large".into());
    }
    std::fs::read(path).map_err(tell)
}

/// A system's error as nginx writes it: its number and text.
pub fn system(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => format!("{code}: {}", text.split(" (os error").next().unwrap_or_default()),
        None => text,
    }
}

/// The certificates in a text; empty: there are none.
pub fn parse(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Broken> {
    let is_certificate = |label: &str| matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE");
    let sections = pem::sections(text)?.into_iter().filter(|section| is_certificate(&section.label));
    Ok(sections.map(|section| CertificateDer::from(section.bytes)).collect())
}

/// Loads a certificate with its key; the error is a whole sentence in nginx's words.
pub fn load(certificate: &Place, key_place: &Place, passwords: &[Vec<u8>]) -> Result<CertifiedKey, String> {
    let refused = |why: &str| format!("cannot load certificate \"{}\": {why}", certificate.shown());
    let text = certificate.read().map_err(|why| refused(&why))?;
    let chain = parse(&text).map_err(|pem::Broken| refused("PEM_read_bio_X509() failed (bad end line)"))?;
    let Some(own) = chain.first() else {
        return Err(refused("PEM_read_bio_X509_AUX() failed (no start line: Expecting: TRUSTED CERTIFICATE)"));
    };
    for (index, one) in chain.iter().enumerate() {
        if x509_parser::parse_x509_certificate(one).is_err() {
            let call = if index == 0 { "PEM_read_bio_X509_AUX()" } else { "PEM_read_bio_X509()" };
            return Err(refused(&format!("{call} failed (it is no certificate)")));
        }
    }
    let refused_key = |why: &str| format!("cannot load certificate key \"{}\": {why}", key_place.shown());
    let text = key_place.read().map_err(|why| refused_key(&why))?;
    let der = key::read(&text, passwords).map_err(|why| refused_key(&why))?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
        .map_err(|error| refused_key(&format!("PEM_read_bio_PrivateKey() failed ({error})")))?;
    let certified = CertifiedKey::new(chain.clone(), key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        // webpki reads no certificates of version 1; those have their key compared by hand.
        Err(_) if same_key(own, &certified) => Ok(certified),
        Err(_) => Err(format!(
            "SSL_CTX_use_PrivateKey(\"{}\") failed (key values mismatch: it is not the key of certificate \"{}\")",
            key_place.shown(),
            certificate.shown()
        )),
    }
}

fn same_key(certificate: &CertificateDer<'_>, certified: &CertifiedKey) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    certified.key.public_key().is_some_and(|key| key.as_ref() == parsed.public_key().raw)
}

/// Whether a certificate's time is over, or has not come: in words.
pub fn expired(certified: &CertifiedKey) -> Option<&'static str> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certified.cert.first()?).ok()?;
    let now = crate::sys::time::coarse_seconds();
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        Some("has expired")
    } else if now < validity.not_before.timestamp() {
        Some("is not valid yet")
    } else {
        None
    }
}

/// What a server shows: of several certificates the first whose key can sign as the client wants it.
#[derive(Debug)]
pub struct Certificates {
    own: Vec<Arc<CertifiedKey>>,
    /// In PEM.
    texts: Vec<Arc<str>>,
    /// What is sent along with them, in their order; empty: nothing that is asked for.
    staples: Vec<Option<Arc<Staple>>>,
}

thread_local! {
    /// The one that was shown last.
    static SHOWN: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The certificate that the handshake which was just begun shows, in PEM.
pub fn shown() -> Option<Arc<str>> {
    SHOWN.with_borrow_mut(Option::take)
}

impl Certificates {
    pub fn new(own: Vec<Arc<CertifiedKey>>, staples: Vec<Option<Arc<Staple>>>) -> Certificates {
        let text = |one: &Arc<CertifiedKey>| {
            let mut text = Vec::new();
            pem::write("CERTIFICATE", one.cert.first().map_or(&[], |first| first.as_ref()), &mut text);
            String::from_utf8_lossy(&text).as_ref().into()
        };
        let texts = own.iter().map(text).collect();
        Certificates { own, texts, staples }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |one: &Arc<CertifiedKey>| one.key.choose_scheme(hello.signature_schemes()).is_some();
        let index = self.own.iter().position(fits).unwrap_or(0);
        SHOWN.with_borrow_mut(|shown| *shown = self.texts.get(index).cloned());
        if let Some(Some(staple)) = self.staples.get(index)
            && let Some(answered) = staple.answered(crate::sys::time::coarse_seconds())
        {
            return Some(answered);
        }
        self.own.get(index).cloned()
    }
}
