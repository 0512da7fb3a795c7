//! Questions and answers of OCSP (RFC 6960 section 4), in DER. The words for what is wrong are nginx's.

use aws_lc_rs::digest;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::X509Certificate;

use super::super::der::{self, value};
use super::super::verify::parsed;
use super::chain;

/// The longest answer, in bytes.
pub const LARGEST: usize = 64 * 1024;
/// Certificates that may come with one.
const CERTIFICATES: usize = 8;
/// Clocks may differ by so many seconds.
const SLACK: i64 = 300;
/// The digest that certificates are named by: SHA-1, as nginx asks.
const SHA1: [u8; 7] = [0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// id-pkix-ocsp-basic
const BASIC: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// What a certificate is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    serial: Vec<u8>,
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

impl Id {
    pub fn of(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Id {
        Id {
            issuer_name: sha1(issuer.subject().as_raw()),
            issuer_key: sha1(&issuer.public_key().subject_public_key.data),
            serial: certificate.raw_serial().to_vec(),
        }
    }

    /// A CertID.
    pub fn encode(&self) -> Vec<u8> {
        let sequence = |contents: &[u8]| der::encoded(0x30, contents);
        let mut algorithm = SHA1.to_vec();
        algorithm.extend_from_slice(&[0x05, 0]);
        let mut contents = sequence(&algorithm);
        for (tag, part) in [(0x04, &self.issuer_name), (0x04, &self.issuer_key), (0x02, &self.serial)] {
            contents.extend(der::encoded(tag, part));
        }
        sequence(&contents)
    }

    /// An OCSPRequest.
    pub fn question(&self) -> Vec<u8> {
        // Request, list of requests, what may be signed, the whole.
        (0..4).fold(self.encode(), |inner, _| der::encoded(0x30, &inner))
    }

    /// Whether the contents of a CertID mean the same certificate.
    fn is(&self, contents: &[u8]) -> bool {
        let parts = || {
            let (0x30, algorithm, rest) = value(contents)? else { return None };
            let (0x04, name, rest) = value(rest)? else { return None };
            let (0x04, key, rest) = value(rest)? else { return None };
            let (0x02, serial, _) = value(rest)? else { return None };
            Some(
                algorithm.starts_with(&SHA1)
                    && (name, key, serial) == (&self.issuer_name, &self.issuer_key, &self.serial),
            )
        };
        parts() == Some(true)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Good,
    Revoked,
    Unknown,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Good => "good",
            Status::Revoked => "revoked",
            Status::Unknown => "unknown",
        }
    }
}

/// What a responder says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub status: Status,
    /// Until when, in seconds since 1970; `None`: it does not say.
    pub until: Option<i64>,
    /// The certificate's issuer says it itself.
    pub by_issuer: bool,
}

/// The parts of an answer.
struct Answer<'a> {
    /// What is signed, the algorithm, the signature, and what follows.
    basic: &'a [u8],
    responder: Responder<'a>,
    /// One after another.
    singles: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

/// By whom an answer is signed.
enum Responder<'a> {
    /// A distinguished name.
    Name(&'a [u8]),
    /// The digest of a key.
    Key(&'a [u8]),
}

/// Takes an answer for what it says of a certificate. It must be signed by the issuer, or by somebody to whom the issuer
/// has given that right; with `anybody`, by anyone whose certificate came along.
pub fn read(
    bytes: &[u8],
    id: &Id,
    issuer: &CertificateDer<'_>,
    anybody: bool,
    known: &WebPkiSupportedAlgorithms,
    now: i64,
) -> Result<Told, String> {
    let broken = || "d2i_OCSP_RESPONSE() failed".to_owned();
    let (0x30, contents, _) = value(bytes).ok_or_else(broken)? else { return Err(broken()) };
    let Some((0x0a, [status], rest)) = value(contents) else { return Err(broken()) };
    if *status != 0 {
        let word = match status {
            1 => "malformedrequest",
            2 => "internalerror",
            3 => "trylater",
            5 => "sigrequired",
            6 => "unauthorized",
            _ => "(UNKNOWN)",
        };
        return Err(format!("OCSP response not successful ({status}: {word})"));
    }
    let answer = basic(rest).ok_or_else(|| "OCSP_response_get1_basic() failed".to_owned())?;
    let by_issuer = answer.check(issuer, anybody, known, now);
    let by_issuer = by_issuer.map_err(|why| format!("OCSP_basic_verify() failed (SSL: {why})"))?;
    let (told, from) = answer.find(id).ok_or_else(|| "certificate status not found in the OCSP response".to_owned())?;
    if from > now + SLACK || told.until.is_some_and(|until| until < now - SLACK || until < from) {
        return Err("OCSP_check_validity() failed".to_owned());
    }
    Ok(Told { by_issuer, ..told })
}

/// Reads what follows the status of an answer.
fn basic(bytes: &[u8]) -> Option<Answer<'_>> {
    let (0xa0, bytes, _) = value(bytes)? else { return None };
    let (0x30, bytes, _) = value(bytes)? else { return None };
    let (0x06, kind, rest) = value(bytes)? else { return None };
    let (0x04, basic, _) = value(rest)? else { return None };
    let (0x30, parts, _) = value(basic)? else { return None };
    let (0x30, said, rest) = value(parts)? else { return None };
    let (0x30, _, rest) = value(rest)? else { return None };
    let (0x03, _, rest) = value(rest)? else { return None };
    let mut certificates = Vec::new();
    if let Some((0xa0, list, _)) = value(rest) {
        let (0x30, mut list, _) = value(list)? else { return None };
        while !list.is_empty() && certificates.len() < CERTIFICATES {
            let (_, _, rest) = value(list)?;
            certificates.push(&list[..list.len() - rest.len()]);
            list = rest;
        }
    }
    let said = match value(said)? {
        (0xa0, _, rest) => rest,
        _ => said,
    };
    let (responder, rest) = match value(said)? {
        (0xa1, name, rest) => (Responder::Name(name), rest),
        (0xa2, key, rest) => match value(key)? {
            (0x04, key, _) => (Responder::Key(key), rest),
            _ => return None,
        },
        _ => return None,
    };
    let (0x18, _, rest) = value(rest)? else { return None };
    let (0x30, singles, _) = value(rest)? else { return None };
    (kind == BASIC).then_some(Answer { basic, responder, singles, certificates })
}

impl Answer<'_> {
    /// Whether it is signed by the issuer, or else by somebody who may; the error is OpenSSL's words.
    fn check(
        &self,
        issuer: &CertificateDer<'_>,
        anybody: bool,
        known: &WebPkiSupportedAlgorithms,
        now: i64,
    ) -> Result<bool, &'static str> {
        let candidates = std::iter::once(issuer.as_ref()).chain(self.certificates.iter().copied());
        let mut why = "signer certificate not found";
        for candidate in candidates {
            let certificate = CertificateDer::from(candidate);
            let Some(signer) = parsed(&certificate).filter(|signer| self.is_by(signer)) else { continue };
            let key = der::Key::parse(signer.public_key().raw);
            if !key.is_some_and(|key| der::is_signed_by(self.basic, &key, known)) {
                why = "signature failure";
                continue;
            }
            if anybody || candidate == issuer.as_ref() {
                return Ok(candidate == issuer.as_ref());
            }
            if !chain::is_issued_by(candidate, issuer, known) {
                why = "certificate verify error";
                continue;
            }
            let validity = signer.validity();
            if !(validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) {
                why = "certificate has expired";
                continue;
            }
            if signer.extended_key_usage().is_ok_and(|usage| usage.is_some_and(|usage| usage.value.ocsp_signing)) {
                return Ok(false);
            }
            why = "missing ocspsigning usage";
        }
        Err(why)
    }

    fn is_by(&self, signer: &X509Certificate<'_>) -> bool {
        match self.responder {
            Responder::Name(name) => signer.subject().as_raw() == name,
            Responder::Key(key) => sha1(&signer.public_key().subject_public_key.data) == key,
        }
    }

    /// What is said of a certificate, and since when.
    fn find(&self, id: &Id) -> Option<(Told, i64)> {
        let mut singles = self.singles;
        while let Some((0x30, single, rest)) = value(singles) {
            singles = rest;
            let (0x30, about, rest) = value(single)? else { return None };
            if !id.is(about) {
                continue;
            }
            let (tag, _, rest) = value(rest)?;
            let status = match tag {
                0x80 => Status::Good,
                0xa1 => Status::Revoked,
                _ => Status::Unknown,
            };
            let (0x18, from, rest) = value(rest)? else { return None };
            let until = match value(rest) {
                Some((0xa0, until, _)) => match value(until)? {
                    (0x18, until, _) => Some(time(until)?),
                    _ => return None,
                },
                _ => None,
            };
            return Some((Told { status, until, by_issuer: false }, time(from)?));
        }
        None
    }
}

/// A GeneralizedTime as RFC 6960 has it, `20261121224122Z`, in seconds since 1970.
fn time(text: &[u8]) -> Option<i64> {
    let digits =
        text.strip_suffix(b"Z").filter(|digits| digits.len() == 14 && digits.iter().all(u8::is_ascii_digit))?;
    let number = |from: usize, len: usize| {
        digits[from..from + len].iter().fold(0i64, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(4, 2), number(6, 2));
    let (hour, minute, second) = (number(8, 2), number(10, 2), number(12, 2));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March, so that leap days are last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("19700101000000Z", Some(0)),
            ("20000229120000Z", Some(951_825_600)),
            ("20261121224122Z", Some(1_795_300_882)),
            ("20261321224122Z", None),
            ("202611212241Z", None),
            ("20261121224122+0100", None),
            ("2026112122412xZ", None),
        ] {
            assert_eq!(time(text.as_bytes()), seconds, "{text}");
        }
    }

    #[test]
    fn a_question_is_what_openssl_asks() {
        let id = Id { issuer_name: vec![1; 20], issuer_key: vec![2; 20], serial: vec![0, 0x80, 5] };
        let question = id.question();
        // Five sequences one in the other, then the algorithm.
        assert_eq!(question[..10], [0x30, 68, 0x30, 66, 0x30, 64, 0x30, 62, 0x30, 60]);
        assert_eq!(question[10..21], [0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0]);
        assert_eq!(question[question.len() - 5..], [2, 3, 0, 0x80, 5]);
        let (_, contents, _) = value(&question[8..]).unwrap();
        assert!(id.is(contents) && !Id { serial: vec![5], ..id }.is(contents));
    }

    const ISSUER: &str = "\
    MIIBgzCCASmgAwIBAgIUTdeQYIbEjbh/ND3n/xQJrHfPm/YwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEcm9vdDAeFw0yNjExMjEyMjQxMjFaFw\
    0yNzA5MTcyMjQxMjFaMA8xDTALBgNVBAMMBHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQaLfEWmR+IX4t0Ru5fCgNOiwAyRnmxxODg\
    9cf6Jt1Rh1FKaj6DZ/R1Db+/Q1T1SXR0eqv4BKSBbJ52GfGg1/Gfo2MwYTAdBgNVHQ4EFgQUIc0GXBad+OjESMRyQ8an6GRRZXswHwYDVR0jBB\
    gwFoAUIc0GXBad+OjESMRyQ8an6GRRZXswDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwCgYIKoZIzj0EAwIDSAAwRQIgRPo3LQdL\
    sAHj6jD1Of1nDOB+cc4zsG9ShxVqqZFhY14CIQCLyBWGWs/AmyDww4QYhx74DN5dY8tvEzp8yk/EJ8Ex7g==";
    const CERTIFICATE: &str = "\
    MIIBvDCCAWKgAwIBAgIUS2xWmXmfcsOyhwTCySZnUZb77ZcwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEcm9vdDAeFw0yNjExMjEyMjQxMjFaFw\
    0yNjEyMjEyMjQxMjFaMBExDzANBgNVBAMMBnNlcnZlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIjHyxDwlrb7gafTO5BJu3zgJNgtNTSo\
    JPNMqUT5ymiOA7DPuliihmlfuVSaPdZL8VT/9OFOZSvMGRWRH3fiChijgZkwgZYwCQYDVR0TBAIwADAUBgNVHREEDTALgglsb2NhbGhvc3QwMw\
    YIKwYBBQUHAQEEJzAlMCMGCCsGAQUFBzABhhdodHRwOi8vMTI3LjAuMC4xOjIzNDIwLzAdBgNVHQ4EFgQUIm1Te6Dd3GBMZelVxgq774Bu91Iw\
    HwYDVR0jBBgwFoAUIc0GXBad+OjESMRyQ8an6GRRZXswCgYIKoZIzj0EAwIDSAAwRQIhAKKD1MKxKrCpcQCjotNBavqpiWvS9/8gCkCaBkbNNM\
    QaAiAQL8yrEjU23vU7HJvOM1fV2mKnM2BxfgXHFGH7+C7BnA==";
    /// Signed by one to whom the issuer gave the right; from 1795301475 for ten years.
    const ANSWER: &str = "\
    MIICpgoBAKCCAp8wggKbBgkrBgEFBQcwAQEEggKMMIICiDCBn6ETMBExDzANBgNVBAMMBnNpZ25lchgPMjAyNjExMjEyMjUxMTVaMHcwdTBNMA\
    kGBSsOAwIaBQAEFGkqDOBkUl0EVJ1+gFzPmOutOb0vBBQhzQZcFp346MRIxHJDxqfoZFFlewIUS2xWmXmfcsOyhwTCySZnUZb77ZeAABgPMjAy\
    NjExMjEyMjUxMTVaoBEYDzIwMzYxMTE4MjI1MTE1WjAKBggqhkjOPQQDAgNHADBEAiBsAyOz8lYNjP3FgpMLP6PICcUeSuW4w+L6fWJ0JqW/Zw\
    IgYuTfNvCE6nB0eDK41hlDIqdLpCf5e0N+FHsnuL+ii2ygggGNMIIBiTCCAYUwggEqoAMCAQICFEtsVpl5n3LDsocEwskmZ1GW++2dMAoGCCqG\
    SM49BAMCMA8xDTALBgNVBAMMBHJvb3QwHhcNMjYxMTIxMjI0MTIyWhcNMjYxMjIxMjI0MTIyWjARMQ8wDQYDVQQDDAZzaWduZXIwWTATBgcqhk\
    jOPQIBBggqhkjOPQMBBwNCAATvdrhPmzMt9xLWHDl7vSuoV6da6T20CpI9vYUvfIajuzCZ7aQa/eFm6dNNPVfoC9rq3/dRYYcnkGJwhsVYRKNA\
    o2IwYDAJBgNVHRMEAjAAMBMGA1UdJQQMMAoGCCsGAQUFBwMJMB0GA1UdDgQWBBRPQtiyjTtT8Lg1hvzKdqSvJwtgVDAfBgNVHSMEGDAWgBQhzQ\
    ZcFp346MRIxHJDxqfoZFFlezAKBggqhkjOPQQDAgNJADBGAiEA0Sp45hGkvH4/J8Klz5XQLiqr6R5WcaeWArij6oMvjRgCIQDobnYcUT/PfAC0\
    Gnfrc1fQSk8qN8jCdHHrqra+HkhK/w==";
    const MADE: i64 = 1_795_301_475;

    fn bytes(text: &str) -> Vec<u8> {
        crate::base64::decode(crate::base64::unpadded(text.as_bytes()), crate::base64::STANDARD).unwrap()
    }

    #[test]
    fn an_answer_holds_for_its_certificate_in_its_time() {
        let known = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let (issuer, own) = (CertificateDer::from(bytes(ISSUER)), CertificateDer::from(bytes(CERTIFICATE)));
        let id = Id::of(&parsed(&own).unwrap(), &parsed(&issuer).unwrap());
        let mut answer = bytes(ANSWER);
        let read = |answer: &[u8], id: &Id, issuer: &CertificateDer<'_>, anybody: bool, now: i64| {
            read(answer, id, issuer, anybody, &known, now)
        };
        let told = read(&answer, &id, &issuer, false, MADE + 60).unwrap();
        assert_eq!((told.status, told.until, told.by_issuer), (Status::Good, Some(MADE + 3650 * 86_400), false));
        for (id, issuer, anybody, now, why) in [
            (&id, &issuer, false, MADE - 301, "OCSP_check_validity() failed"),
            (&id, &issuer, true, MADE + 3651 * 86_400, "OCSP_check_validity() failed"),
            // Its signer's own time is over before.
            (&id, &issuer, false, MADE + 3649 * 86_400, "OCSP_basic_verify() failed (SSL: certificate has expired)"),
            (&id, &own, false, MADE, "OCSP_basic_verify() failed (SSL: certificate verify error)"),
            (
                &Id { serial: vec![1], ..id.clone() },
                &issuer,
                false,
                MADE,
                "certificate status not found in the OCSP response",
            ),
        ] {
            assert_eq!(read(&answer, id, issuer, anybody, now).err().as_deref(), Some(why));
        }
        // Nothing that is changed or cut off says anything else.
        for at in 0..answer.len() {
            assert!(read(&answer[..at], &id, &issuer, false, MADE).is_err());
            for bit in 0..8 {
                answer[at] ^= 1 << bit;
                assert!(read(&answer, &id, &issuer, false, MADE).map_or(true, |read| read == told), "{at}");
                answer[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let id = Id { issuer_name: vec![1; 20], issuer_key: vec![2; 20], serial: vec![5] };
        let known = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let issuer = CertificateDer::from(vec![0x30, 0]);
        for (bytes, why) in [
            (&[][..], "d2i_OCSP_RESPONSE() failed"),
            (&[0x30, 3, 0x0a, 1][..], "d2i_OCSP_RESPONSE() failed"),
            (&[0x30, 3, 0x0a, 1, 6][..], "OCSP response not successful (6: unauthorized)"),
            (&[0x30, 3, 0x0a, 1, 0][..], "OCSP_response_get1_basic() failed"),
            (&[0x30, 5, 0x0a, 1, 0, 0xa0, 0][..], "OCSP_response_get1_basic() failed"),
        ] {
            assert_eq!(read(bytes, &id, &issuer, true, &known, 0), Err(why.to_owned()));
        }
    }
}
