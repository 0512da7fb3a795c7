//! Who issued a certificate, and whether that leads to somebody who is trusted.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;

use super::super::der;
use super::super::verify::parsed;

/// Certificates in a row, at most.
const LONGEST: usize = 16;

/// Whether one certificate is signed by the key of another, whose name it says.
pub fn is_issued_by(one: &[u8], issuer: &[u8], known: &WebPkiSupportedAlgorithms) -> bool {
    let (one_der, issuer_der) = (CertificateDer::from(one), CertificateDer::from(issuer));
    let (Some(child), Some(parent)) = (parsed(&one_der), parsed(&issuer_der)) else { return false };
    child.issuer().as_raw() == parent.subject().as_raw()
        && der::Key::parse(parent.public_key().raw).is_some_and(|key| der::is_signed_by(one, &key, known))
}

/// The issuer of a certificate among others.
pub fn issuer<'a>(
    one: &[u8],
    among: impl IntoIterator<Item = &'a CertificateDer<'a>>,
    known: &WebPkiSupportedAlgorithms,
) -> Option<&'a CertificateDer<'a>> {
    among.into_iter().find(|other| is_issued_by(one, other, known))
}

/// A certificate, its issuer, and so on to one that signs itself, or that has no issuer among the others.
pub fn path<'a>(
    own: &'a CertificateDer<'a>,
    among: &'a [CertificateDer<'a>],
    known: &WebPkiSupportedAlgorithms,
) -> Vec<&'a CertificateDer<'a>> {
    let mut path = vec![own];
    while let Some(last) = path.last().copied()
        && path.len() < LONGEST
        && !is_issued_by(last, last, known)
        && let Some(next) = issuer(last, among, known)
    {
        path.push(next);
    }
    path
}

/// Whether a certificate leads to one that is trusted and signs itself; each in its time.
pub fn is_trusted(
    own: &CertificateDer<'_>,
    trusted: &[CertificateDer<'_>],
    along: &[CertificateDer<'_>],
    known: &WebPkiSupportedAlgorithms,
    now: i64,
) -> bool {
    let among: Vec<CertificateDer<'_>> =
        trusted.iter().chain(along).map(|one| CertificateDer::from(one.as_ref())).collect();
    let path = path(own, &among, known);
    let in_time = |one: &CertificateDer<'_>| {
        parsed(one).is_some_and(|one| {
            let validity = one.validity();
            (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
        })
    };
    path.iter().all(|one| in_time(one))
        && path.last().is_some_and(|last| is_issued_by(last, last, known) && trusted.contains(last))
}
