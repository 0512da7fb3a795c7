//! What went wrong in a handshake, in OpenSSL's words where it has some for it, as nginx's log has them.

use rustls::{Error, InvalidMessage, PeerIncompatible};

/// OpenSSL's names of alerts (RFC 8446 section 6), by their numbers.
#[rustfmt::skip]
const ALERTS: &[(u8, &str)] = &[
    (10, "sslv3 alert unexpected message"),
    (20, "sslv3 alert bad record mac"),
    (21, "tlsv1 alert decryption failed"),
    (22, "tlsv1 alert record overflow"),
    (30, "sslv3 alert decompression failure"),
    (40, "sslv3 alert handshake failure"),
    (41, "sslv3 alert no certificate"),
    (42, "sslv3 alert bad certificate"),
    (43, "sslv3 alert unsupported certificate"),
    (44, "sslv3 alert certificate revoked"),
    (45, "sslv3 alert certificate expired"),
    (46, "sslv3 alert certificate unknown"),
    (47, "sslv3 alert illegal parameter"),
    (48, "tlsv1 alert unknown ca"),
    (49, "tlsv1 alert access denied"),
    (50, "tlsv1 alert decode error"),
    (51, "tlsv1 alert decrypt error"),
    (60, "tlsv1 alert export restriction"),
    (70, "tlsv1 alert protocol version"),
    (71, "tlsv1 alert insufficient security"),
    (80, "tlsv1 alert internal error"),
    (86, "tlsv1 alert inappropriate fallback"),
    (90, "tlsv1 alert user cancelled"),
    (100, "tlsv1 alert no renegotiation"),
    (109, "tlsv13 alert missing extension"),
    (110, "tlsv1 unsupported extension"),
    (111, "tlsv1 certificate unobtainable"),
    (112, "tlsv1 unrecognized name"),
    (113, "tlsv1 bad certificate status response"),
    (114, "tlsv1 bad certificate hash value"),
    (115, "tlsv1 alert unknown psk identity"),
    (116, "tlsv13 alert certificate required"),
    (120, "tlsv1 alert no application protocol"),
];

/// The reason of an alert begins here.
const ALERT: u32 = 1000;

fn openssl(reason: u32, words: &str) -> String {
    format!("error:{:08X}:SSL routines::{words}", 20 << 23 | reason)
}

/// The words for an error.
pub fn of(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => {
            let number = u8::from(*alert);
            match ALERTS.binary_search_by_key(&number, |(number, _)| *number) {
                Ok(index) => {
                    format!("{}:SSL alert number {number}", openssl(ALERT + u32::from(number), ALERTS[index].1))
                }
                Err(_) => error.to_string(),
            }
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            openssl(267, "wrong version number")
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => openssl(193, "no shared cipher"),
        Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => {
            openssl(118, "no suitable signature algorithm")
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => openssl(258, "unsupported protocol"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn words_are_openssls() {
        assert!(ALERTS.is_sorted_by_key(|(number, _)| *number));
        for (error, words) in [
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40",
            ),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "error:0A00045C:SSL routines::tlsv13 alert certificate required:SSL alert number 116",
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "error:0A00010B:SSL routines::wrong version number",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "error:0A0000C1:SSL routines::no shared cipher",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
                "error:0A000102:SSL routines::unsupported protocol",
            ),
        ] {
            assert_eq!(of(&error), words);
        }
    }
}
