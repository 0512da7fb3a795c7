//! What connections to servers are made with: from settings to rustls' configuration. The certificate of a server is
//! taken as it is unless it is to be checked; then the reasons against it are OpenSSL's, as nginx tells them.
//!
//! Sessions are used again with the same server under the same name. So each pair has its store and its check of names;
//! there are so many pairs at most.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, ProtocolVersion, SignatureScheme};

use super::certificates::{self, Place};
use super::files::KeyFile;
use super::host;
use super::named::Named;
use super::plan::Plan;
use super::server::{Files, authorities, revoked};
use super::verify::{self, Purpose, Verifier, signed};
use crate::features::ssl;
use crate::upstream::tls::{Face, Settings};

/// Pairs of a server and a name that are remembered.
const MOST: usize = 512;
/// Sessions of one of them; TLS 1.3 uses each once.
const SESSIONS: usize = 8;

/// What connections to servers are made with, for one set of settings. Workers have their own: it is made before they
/// are.
pub struct Client {
    base: ClientConfig,
    verifier: Option<Arc<Verifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Servers are told the name.
    tells_name: bool,
    reuses: bool,
    known: Mutex<Known>,
    /// Certificates that are shown, where that depends on the request.
    named: Named,
}

#[derive(Default)]
struct Known {
    /// By the name, the server's address, and where the certificate that is shown lies in memory: each of these keeps it.
    pairs: HashMap<(Box<[u8]>, Box<str>, usize), Pair>,
    uses: u64,
}

/// A server under a name.
struct Pair {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
    used: u64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Loads all that the settings name; gives warnings, too. `prefix`: of the directives.
    pub fn new(settings: &Settings, prefix: &str) -> Result<(Client, Vec<String>), String> {
        let ours = |text: String| text.replace("\"ssl_", &format!("\"{prefix}ssl_"));
        let mut plan = Plan::new(&ssl::Settings {
            protocols: settings.protocols,
            ciphers: settings.ciphers.clone(),
            commands: settings.commands.clone(),
            ..ssl::Settings::default()
        })
        .map_err(ours)?;
        let mut warnings: Vec<String> = std::mem::take(&mut plan.warnings).into_iter().map(ours).collect();
        let mut files = Files::default();
        let provider = Arc::new(plan.provider);
        let algorithms = provider.signature_verification_algorithms;
        let known = match &settings.trusted_certificate {
            Some(path) if settings.verify => authorities(path, &mut files)?,
            _ => Vec::new(),
        };
        let verifier = if settings.verify {
            if settings.trusted_certificate.is_none() {
                return Err(format!("no {prefix}ssl_trusted_certificate for {prefix}ssl_verify"));
            }
            let lists = settings.crl.as_deref().map(|path| revoked(path, &mut files)).transpose()?.unwrap_or_default();
            let verifier = Verifier::new(Purpose::Servers, known, lists, settings.verify_depth, &provider)
                .map_err(|why| format!("the certificates for \"{prefix}ssl_verify\" cannot be used ({why})"))?;
            Some(Arc::new(verifier))
        } else {
            None
        };
        let nameless = Check { verifier: None, algorithms, name: Box::default() };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&plan.versions)
            .map_err(|error| format!("SSL_CTX_new() failed ({error})"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(nameless));
        let mut base = match (&settings.certificate, &settings.certificate_key) {
            (None, _) => builder.with_no_client_auth(),
            (Some(certificate), None) => {
                let shown = certificate.place.shown();
                return Err(format!("no \"{prefix}ssl_certificate_key\" is defined for certificate \"{shown}\""));
            }
            (Some(certificate), Some(key)) if certificate.template.is_some() || key.template.is_some() => {
                builder.with_no_client_auth()
            }
            (Some(certificate), Some(key)) => {
                let own = certificates::load(&certificate.place, &key.place, &settings.passwords).map_err(ours)?;
                if let Some(expired) = certificates::expired(&own) {
                    warnings.push(format!("certificate \"{}\" {expired}", certificate.place.shown()));
                }
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
        };
        base.resumption = Resumption::disabled();
        base.cert_compressors = Vec::new();
        base.cert_decompressors = Vec::new();
        if let Some(path) = &settings.key_log {
            base.key_log = KeyFile::open(path)?;
        }
        let client = Client {
            base,
            verifier,
            algorithms,
            tells_name: settings.server_name,
            reuses: settings.session_reuse,
            known: Mutex::default(),
            named: Named::default(),
        };
        Ok((client, warnings))
    }

    /// A certificate whose name depends on the request.
    pub fn named(&self, certificate: Place, key: Place, settings: &Settings) -> Result<Arc<CertifiedKey>, String> {
        self.named.get(certificate, key, &settings.passwords, settings.kept)
    }

    /// What the handshake with a server is done by; `peer` is the server's address.
    pub fn begin(&self, face: &Face, peer: &str) -> (Arc<ClientConfig>, ServerName<'static>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.uses += 1;
        let used = known.uses;
        let shown = face.own.as_ref().map_or(0, |own| Arc::as_ptr(own) as usize);
        let key = (face.name.clone(), Box::from(peer), shown);
        if let Some(pair) = known.pairs.get_mut(&key) {
            pair.used = used;
            return (pair.config.clone(), pair.server.clone());
        }
        if known.pairs.len() >= MOST {
            // All that were not used since half of the others were go: that is done once in many times.
            let mut ages: Vec<u64> = known.pairs.values().map(|pair| pair.used).collect();
            let (_, median, _) = ages.select_nth_unstable(MOST / 2);
            let median = *median;
            known.pairs.retain(|_, pair| pair.used > median);
        }
        let pair = self.pair(face, used);
        let made = (pair.config.clone(), pair.server.clone());
        known.pairs.insert(key, pair);
        made
    }

    fn pair(&self, face: &Face, used: u64) -> Pair {
        let name = &*face.name;
        let mut config = self.base.clone();
        if let Some(own) = &face.own {
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(own.clone()));
        }
        if self.reuses {
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
        }
        let check = Check { verifier: self.verifier.clone(), algorithms: self.algorithms, name: name.into() };
        config.dangerous().set_certificate_verifier(Arc::new(check));
        // No address is told, nor what is no name by DNS (RFC 6066 section 3).
        let told = if self.tells_name && host::address(name).is_none() { dns_name(name) } else { None };
        config.enable_sni = told.is_some();
        let server = told.map_or_else(nobody, ServerName::DnsName);
        Pair { config: Arc::new(config), server, used }
    }
}

fn dns_name(name: &[u8]) -> Option<DnsName<'static>> {
    let text = std::str::from_utf8(name).ok()?;
    DnsName::try_from(text.to_owned()).ok()
}

/// rustls wants to know whom it speaks to, for its store of sessions, of which each pair has one.
fn nobody() -> ServerName<'static> {
    ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]))
}

/// A name without the port that follows it.
pub fn without_port(name: &[u8]) -> &[u8] {
    let start = match name.first() {
        Some(b'[') => name.iter().position(|byte| *byte == b']').unwrap_or(0),
        _ => 0,
    };
    let colon = name[start..].iter().position(|byte| *byte == b':');
    colon.map_or(name, |colon| &name[..start + colon])
}

/// Why a server's certificate is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// OpenSSL's number and words.
    Untrusted(u16, &'static str),
    /// It is not one for this name.
    WrongName(Box<str>),
}

impl Refused {
    /// What is behind an error of a handshake.
    pub fn of(error: &Error) -> Option<&Refused> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(refused))) => refused.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Untrusted(number, words) => write!(f, "{number}:{words}"),
            Refused::WrongName(name) => write!(f, "not for {name}"),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// Looks at the certificates of one server under one name.
struct Check {
    /// `None`: any is taken, if only its key signs the handshake.
    verifier: Option<Arc<Verifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    name: Box<[u8]>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        along: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(verifier) = &self.verifier else { return Ok(ServerCertVerified::assertion()) };
        let chain: Vec<CertificateDer<'_>> =
            std::iter::once(own).chain(along).map(|one| CertificateDer::from(one.as_ref())).collect();
        verifier.check(&chain, now).map_err(|(number, words)| Refused::Untrusted(number, words))?;
        if !verify::parsed(own).is_some_and(|own| host::fits(&own, &self.name)) {
            return Err(Refused::WrongName(String::from_utf8_lossy(&self.name).into()).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        with: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed(&self.algorithms, message, certificate, with, ProtocolVersion::TLSv1_2)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        with: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed(&self.algorithms, message, certificate, with, ProtocolVersion::TLSv1_3)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.mapping.iter().map(|(scheme, _)| *scheme).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_part_of_names() {
        for (name, without) in [
            ("a.example:443", "a.example"),
            ("a.example", "a.example"),
            ("[::1]:443", "[::1]"),
            ("[::1]", "[::1]"),
            ("[::1", "["),
            ("", ""),
        ] {
            assert_eq!(without_port(name.as_bytes()), without.as_bytes(), "{name}");
        }
    }

    #[test]
    fn pairs_are_remembered_up_to_a_number() {
        let (client, _) = Client::new(&Settings::default(), "proxy_").unwrap();
        let (first, _) = client.begin(&Face::new(b"a"), "1");
        assert!(Arc::ptr_eq(&first, &client.begin(&Face::new(b"a:1"), "1").0));
        assert!(!Arc::ptr_eq(&first, &client.begin(&Face::new(b"a"), "2").0));
        for n in 0..3 * MOST {
            client.begin(&Face::new(n.to_string().as_bytes()), "1");
            assert!(client.known.lock().unwrap().pairs.len() <= MOST);
        }
        assert!(!Arc::ptr_eq(&first, &client.begin(&Face::new(b"a"), "1").0));
    }

    #[test]
    fn only_names_are_told() {
        let settings = Settings { server_name: true, ..Settings::default() };
        let (client, _) = Client::new(&settings, "proxy_").unwrap();
        for (name, told) in
            [("a.example", true), ("a_b", true), ("127.0.0.1", false), ("[::1]", false), ("a b", false), ("", false)]
        {
            assert_eq!(client.begin(&Face::new(name.as_bytes()), "").0.enable_sni, told, "{name}");
        }
        let (silent, _) = Client::new(&Settings::default(), "proxy_").unwrap();
        assert!(!silent.begin(&Face::new(b"a.example"), "").0.enable_sni);
    }

    #[test]
    fn what_is_missing_is_told() {
        let place = || {
            let (place, base) = (Place::File("/c.pem".into()), Arc::default());
            Some(ssl::Source { text: "/c.pem".into(), place, template: None, at: conf::At::Default, base })
        };
        for (settings, why) in [
            (Settings { verify: true, ..Settings::default() }, "no proxy_ssl_trusted_certificate for proxy_ssl_verify"),
            (
                Settings { certificate: place(), ..Settings::default() },
                "no \"proxy_ssl_certificate_key\" is defined for certificate \"/c.pem\"",
            ),
        ] {
            assert_eq!(Client::new(&settings, "proxy_").err().as_deref(), Some(why));
        }
    }
}
