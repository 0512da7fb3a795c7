//! Certificates of clients, and of servers. A client's: the handshake takes any whose key signed it, as nginx's does; what is wrong with one is
//! found out afterwards, so that the client can be told by an answer (495, 496). The reasons are OpenSSL's.
//!
//! webpki decides. It reads no certificates of version 1 and none of authorities as a client's own, which OpenSSL takes
//! and people make by hand: those are let in if a trusted root signed them itself.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::der;

/// Why a certificate is not accepted: OpenSSL's number and words.
pub type Reason = (u16, &'static str);

const NO_ISSUER_AT_ALL: Reason = (2, "unable to get issuer certificate");
const NO_CRL: Reason = (3, "unable to get certificate CRL");
const BAD_SIGNATURE: Reason = (7, "certificate signature failure");
const NOT_YET: Reason = (9, "certificate is not yet valid");
const EXPIRED: Reason = (10, "certificate has expired");
const CRL_EXPIRED: Reason = (12, "CRL has expired");
const SELF_SIGNED: Reason = (18, "self-signed certificate");
const SELF_SIGNED_ROOT: Reason = (19, "self-signed certificate in certificate chain");
const NO_ISSUER: Reason = (20, "unable to get local issuer certificate");
const NOT_VERIFIED: Reason = (21, "unable to verify the first certificate");
const REVOKED: Reason = (23, "certificate revoked");
const PURPOSE: Reason = (26, "unsuitable certificate purpose");
const CRITICAL: Reason = (34, "unhandled critical extension");
const UNSPECIFIED: Reason = (1, "unspecified certificate verification error");

/// A responder of OCSP does not say that it is good: no number of OpenSSL's.
pub const BY_OCSP: u16 = u16::MAX;

/// Whether `optional_no_ca` lets a certificate through: it is only that nobody known vouches for it.
pub fn is_only_unknown(reason: u16) -> bool {
    matches!(reason, 18 | 19 | 20 | 21 | 27)
}

/// What clients are asked for in the handshake.
pub struct Asked {
    /// Names of authorities that are told to clients.
    pub names: Vec<DistinguishedName>,
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asked({} names)", self.names.len())
    }
}

/// Whether the handshake is signed by the certificate's key.
pub fn signed(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    version: ProtocolVersion,
) -> Result<HandshakeSignatureValid, Error> {
    let bad = |why| Err(Error::InvalidCertificate(why));
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return bad(CertificateError::BadEncoding) };
    let Some(key) = der::Key::parse(parsed.public_key().raw) else { return bad(CertificateError::BadEncoding) };
    let newer = version == ProtocolVersion::TLSv1_3;
    use SignatureScheme::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
    if newer && matches!(signed.scheme, RSA_PKCS1_SHA256 | RSA_PKCS1_SHA384 | RSA_PKCS1_SHA512) {
        return bad(CertificateError::BadSignature);
    }
    let fitting = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
    // In TLS 1.3 a scheme names the curve, too: the first.
    let mut fitting = fitting.flat_map(|(_, list)| list.iter().take(if newer { 1 } else { list.len() }));
    let valid = fitting.any(|one| {
        one.public_key_alg_id().as_ref() == key.algorithm
            && one.verify_signature(key.bits, message, signed.signature()).is_ok()
    });
    if valid { Ok(HandshakeSignatureValid::assertion()) } else { bad(CertificateError::BadSignature) }
}

impl ClientCertVerifier for Asked {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    /// See `Verifier::check`, which comes afterwards.
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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

/// Whose certificates are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Clients,
    Servers,
}

/// What decides.
enum Judge {
    /// There is no root.
    Nobody,
    OfClients(Arc<dyn ClientCertVerifier>),
    OfServers(Arc<WebPkiServerVerifier>),
}

/// Who vouches for clients, or for servers.
pub struct Verifier {
    purpose: Purpose,
    webpki: Judge,
    /// Trusted: certificates that sign themselves.
    roots: Vec<CertificateDer<'static>>,
    /// Certificates that may stand between a client's and a root.
    between: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// So many certificates may stand between.
    depth: usize,
}

impl Verifier {
    /// `known`: certificates of authorities, roots and others; `revoked`: lists, none: nothing is looked up.
    pub fn new(
        purpose: Purpose,
        known: Vec<CertificateDer<'static>>,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        depth: usize,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier, String> {
        let (roots, between): (Vec<_>, Vec<_>) = known.into_iter().partition(|one| is_self_issued(one));
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let webpki = match purpose {
            _ if store.is_empty() => Judge::Nobody,
            Purpose::Clients => {
                let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider.clone());
                if !revoked.is_empty() {
                    builder = builder.with_crls(revoked.iter().cloned()).enforce_revocation_expiration();
                }
                Judge::OfClients(builder.build().map_err(|error| error.to_string())?)
            }
            Purpose::Servers => {
                let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
                if !revoked.is_empty() {
                    builder = builder.with_crls(revoked.iter().cloned()).enforce_revocation_expiration();
                }
                Judge::OfServers(builder.build().map_err(|error| error.to_string())?)
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Verifier { purpose, webpki, roots, between, revoked, algorithms, depth })
    }

    /// Whether a certificate is good, with those that came along; names are another matter.
    pub fn check(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Reason> {
        let (Some((own, along)), Some(leaf)) = (chain.split_first(), chain.first().and_then(parsed)) else {
            return Err(UNSPECIFIED);
        };
        if self.roots.contains(own) {
            return in_time(&leaf, now).and(if self.revoked.is_empty() { Ok(()) } else { Err(NO_CRL) });
        }
        let between: Vec<CertificateDer<'_>> = along.iter().chain(&self.between).cloned().collect();
        let verified = match &self.webpki {
            Judge::OfClients(webpki) => webpki.verify_client_cert(own, &between, now).map(drop),
            Judge::OfServers(webpki) => {
                // A name comes last: with the wrong one, all else is in order.
                use CertificateError::{NotValidForName, NotValidForNameContext};
                let nobody = ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]));
                match webpki.verify_server_cert(own, &between, &nobody, &[], now) {
                    Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => Ok(()),
                    other => other.map(drop),
                }
            }
            Judge::Nobody => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        let path = self.path(&leaf, along);
        let error = match verified {
            Ok(()) if path.len > self.depth => return Err(NO_ISSUER),
            Ok(()) => return path.root.map_or(Ok(()), |root| in_time(&root, now)),
            Err(Error::InvalidCertificate(error)) => error,
            Err(_) => return Err(UNSPECIFIED),
        };
        let unusual = leaf.version().0 == 0 || leaf.is_ca();
        Err(match error {
            CertificateError::BadEncoding | CertificateError::Other(_) if unusual => {
                return self
                    .check_by_hand(own, &leaf, now)
                    .map_err(|reason| reason.unwrap_or_else(|| self.unknown(&path)));
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => EXPIRED,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => NOT_YET,
            CertificateError::Revoked => REVOKED,
            CertificateError::UnknownRevocationStatus => NO_CRL,
            CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
                CRL_EXPIRED
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => PURPOSE,
            CertificateError::BadSignature => BAD_SIGNATURE,
            CertificateError::UnhandledCriticalExtension => CRITICAL,
            CertificateError::UnknownIssuer => match in_time(&leaf, now) {
                Err(reason) => reason,
                Ok(()) => self.unknown(&path),
            },
            _ => UNSPECIFIED,
        })
    }

    /// What OpenSSL says where no root is found.
    fn unknown(&self, path: &Path<'_>) -> Reason {
        if !self.revoked.is_empty() && path.ends_in_itself() { NO_CRL } else { path.reason() }
    }

    /// A certificate that webpki does not read, signed by a root itself; `None`: it is not.
    fn check_by_hand(
        &self,
        own: &CertificateDer<'_>,
        leaf: &X509Certificate<'_>,
        now: UnixTime,
    ) -> Result<(), Option<Reason>> {
        in_time(leaf, now)?;
        let mut roots = self.roots.iter().filter_map(|root| parsed(root));
        let root = roots.find(|root| root.subject().as_raw() == leaf.issuer().as_raw() && !std::ptr::eq(root, leaf));
        let root = root.ok_or(None)?;
        let key = der::Key::parse(root.public_key().raw).ok_or(Some(UNSPECIFIED))?;
        if !der::is_signed_by(own, &key, &self.algorithms) {
            return Err(Some(BAD_SIGNATURE));
        }
        in_time(&root, now)?;
        for extension in leaf.extensions() {
            use x509_parser::extensions::ParsedExtension as Parsed;
            match extension.parsed_extension() {
                Parsed::ExtendedKeyUsage(usage) if !self.is_meant(usage) => return Err(Some(PURPOSE)),
                Parsed::ExtendedKeyUsage(_)
                | Parsed::KeyUsage(_)
                | Parsed::BasicConstraints(_)
                | Parsed::SubjectAlternativeName(_) => {}
                _ if extension.critical => return Err(Some(CRITICAL)),
                _ => {}
            }
        }
        if self.revoked.is_empty() { Ok(()) } else { self.look_up(leaf, &key, now).map_err(Some) }
    }

    /// Whether a key may be used by those whose certificates these are.
    fn is_meant(&self, usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool {
        match self.purpose {
            Purpose::Clients => usage.client_auth || usage.any,
            Purpose::Servers => usage.server_auth || usage.any,
        }
    }

    /// Looks a certificate up in the list of its issuer.
    fn look_up(&self, leaf: &X509Certificate<'_>, key: &der::Key<'_>, now: UnixTime) -> Result<(), Reason> {
        use x509_parser::prelude::CertificateRevocationList;
        for der in &self.revoked {
            let Ok((_, list)) = CertificateRevocationList::from_der(der) else { continue };
            if list.issuer().as_raw() != leaf.issuer().as_raw() || !der::is_signed_by(der, key, &self.algorithms) {
                continue;
            }
            let due = list.next_update().map(|time| time.timestamp());
            if due.is_some_and(|due| due < seconds(now)) {
                return Err(CRL_EXPIRED);
            }
            let found = list.iter_revoked_certificates().any(|one| one.raw_serial() == leaf.raw_serial());
            return if found { Err(REVOKED) } else { Ok(()) };
        }
        Err(NO_CRL)
    }

    /// The way from a certificate to a root, by names alone.
    fn path<'a>(&'a self, leaf: &X509Certificate<'a>, along: &'a [CertificateDer<'a>]) -> Path<'a> {
        let mut path = Path { leaf_self_issued: self_issued(leaf), len: 0, root: None, last: None };
        let mut issuer = leaf.issuer().as_raw().to_vec();
        while path.len < 16 {
            let named = |der: &&'a CertificateDer<'a>| parsed(der).filter(|one| one.subject().as_raw() == issuer);
            if let Some(root) = self.roots.iter().find_map(|root| named(&root)) {
                path.root = Some(root);
                break;
            }
            let sent = along.iter().find_map(|one| named(&one)).map(|one| (one, false));
            let next = sent.or_else(|| self.between.iter().find_map(|one| named(&one)).map(|one| (one, true)));
            let Some((next, ours)) = next else { break };
            path.len += 1;
            let own = self_issued(&next);
            path.last = Some((own, ours));
            if own {
                break;
            }
            issuer = next.issuer().as_raw().to_vec();
        }
        path
    }
}

/// How far certificates lead.
struct Path<'a> {
    leaf_self_issued: bool,
    /// Certificates between the first and the root.
    len: usize,
    root: Option<X509Certificate<'a>>,
    /// The last of those: whether it signs itself, whether it is one of ours.
    last: Option<(bool, bool)>,
}

impl Path<'_> {
    fn ends_in_itself(&self) -> bool {
        self.leaf_self_issued || matches!(self.last, Some((true, _)))
    }

    /// What OpenSSL says of a way that leads nowhere.
    fn reason(&self) -> Reason {
        match self.last {
            None if self.leaf_self_issued => SELF_SIGNED,
            None => NOT_VERIFIED,
            Some((true, _)) => SELF_SIGNED_ROOT,
            Some((false, true)) => NO_ISSUER_AT_ALL,
            Some((false, false)) => NO_ISSUER,
        }
    }
}

pub fn parsed<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed)
}

fn self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

fn is_self_issued(der: &CertificateDer<'_>) -> bool {
    parsed(der).is_some_and(|certificate| self_issued(&certificate))
}

fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn in_time(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Reason> {
    let validity = certificate.validity();
    if seconds(now) < validity.not_before.timestamp() {
        Err(NOT_YET)
    } else if seconds(now) > validity.not_after.timestamp() {
        Err(EXPIRED)
    } else {
        Ok(())
    }
}
