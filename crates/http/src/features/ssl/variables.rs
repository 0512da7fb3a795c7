//! Variables of TLS: what the handshake came to, and the client's certificate.

use x509_parser::prelude::{ASN1Time, X509Certificate};

use super::names as dn;
use crate::exchange::TlsInfo;
use crate::tls::{names, pem};
use crate::variables::Scope;

/// What a variable is computed by; `false`: it has no value.
type Get = fn(&mut Scope<'_>, &mut Vec<u8>) -> bool;

/// Appends what there is of a connection with TLS.
fn of(s: &Scope<'_>, out: &mut Vec<u8>, write: impl FnOnce(&TlsInfo, &mut Vec<u8>)) -> bool {
    let Some(tls) = &s.request.tls else { return false };
    let before = out.len();
    write(tls, out);
    out.len() > before
}

/// The same of the client's certificate.
fn of_client(s: &Scope<'_>, out: &mut Vec<u8>, write: impl FnOnce(&X509Certificate<'_>, &mut Vec<u8>)) -> bool {
    of(s, out, |tls, out| {
        if let Some(Ok((_, parsed))) = tls.client_chain.first().map(|der| x509_parser::parse_x509_certificate(der)) {
            write(&parsed, out);
        }
    })
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(b"0123456789abcdef"[usize::from(digit)]);
        }
    }
}

pub const PROTOCOL: Get = |s, out| of(s, out, |tls, out| out.extend_from_slice(tls.protocol.as_bytes()));
pub const CIPHER: Get = |s, out| of(s, out, |tls, out| out.extend_from_slice(tls.cipher.as_bytes()));
pub const CIPHERS: Get =
    |s, out| of(s, out, |tls, out| out.extend_from_slice(names::list(&tls.ciphers, names::suite).as_bytes()));
pub const CURVE: Get = |s, out| of(s, out, |tls, out| out.extend_from_slice(tls.curve.unwrap_or_default().as_bytes()));
pub const EARLY_DATA: Get = |s, out| {
    if s.request.early {
        out.push(b'1');
    }
    s.request.early
};
pub const CURVES: Get =
    |s, out| of(s, out, |tls, out| out.extend_from_slice(names::list(&tls.groups, names::group).as_bytes()));
pub const SERVER_NAME: Get =
    |s, out| of(s, out, |tls, out| out.extend_from_slice(tls.server_name.as_deref().unwrap_or_default().as_bytes()));
pub const SESSION_ID: Get = |s, out| of(s, out, |tls, out| hex(&tls.session_id, out));
pub const SESSION_REUSED: Get = |s, out| of(s, out, |tls, out| out.push(if tls.resumed { b'r' } else { b'.' }));
pub const ALPN_PROTOCOL: Get =
    |s, out| of(s, out, |tls, out| out.extend_from_slice(tls.alpn.as_deref().unwrap_or_default()));
pub const CLIENT_VERIFY: Get = |s, out| of(s, out, |tls, out| out.extend_from_slice(tls.client_verify.as_bytes()));

/// PEM, with the line feed at its end or not.
fn certificate(tls: &TlsInfo) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(der) = tls.client_chain.first() {
        pem::write("CERTIFICATE", der, &mut text);
    }
    text
}

pub const CLIENT_RAW_CERT: Get = |s, out| of(s, out, |tls, out| out.append(&mut certificate(tls)));

/// For a field of a request, as it used to be done: a tab before each line but the first.
pub const CLIENT_CERT: Get = |s, out| {
    of(s, out, |tls, out| {
        for byte in certificate(tls).trim_ascii_end() {
            out.push(*byte);
            if *byte == b'\n' {
                out.push(b'\t');
            }
        }
    })
};

pub const CLIENT_ESCAPED_CERT: Get = |s, out| {
    of(s, out, |tls, out| {
        for byte in certificate(tls) {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                out.push(byte);
            } else {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
        }
    })
};

pub const CLIENT_S_DN: Get =
    |s, out| of_client(s, out, |client, out| out.extend_from_slice(dn::rfc2253(client.subject()).as_bytes()));
pub const CLIENT_I_DN: Get =
    |s, out| of_client(s, out, |client, out| out.extend_from_slice(dn::rfc2253(client.issuer()).as_bytes()));
pub const CLIENT_S_DN_LEGACY: Get =
    |s, out| of_client(s, out, |client, out| out.extend_from_slice(dn::legacy(client.subject()).as_bytes()));
pub const CLIENT_I_DN_LEGACY: Get =
    |s, out| of_client(s, out, |client, out| out.extend_from_slice(dn::legacy(client.issuer()).as_bytes()));

/// The serial number, hexadecimal.
pub(super) fn serial(client: &X509Certificate<'_>, out: &mut Vec<u8>) {
    let serial = client.raw_serial();
    let rest = if serial.len() > 1 { serial.strip_prefix(&[0]).unwrap_or(serial) } else { serial };
    for byte in rest {
        out.extend_from_slice(format!("{byte:02X}").as_bytes());
    }
}

pub const CLIENT_SERIAL: Get = |s, out| of_client(s, out, serial);

pub const CLIENT_FINGERPRINT: Get = |s, out| {
    of(s, out, |tls, out| {
        if let Some(der) = tls.client_chain.first() {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
            hex(digest.as_ref(), out);
        }
    })
};

/// `Nov  1 19:22:07 2026 GMT`
pub(super) fn time(time: &ASN1Time, out: &mut Vec<u8>) {
    let seconds = time.timestamp();
    let Ok(date) = u64::try_from(seconds) else { return };
    // `Sun, 01 Nov 2026 19:22:07 GMT`
    let text = wire::date::format(date);
    let day: &[u8] = if text[5] == b'0' { &[b' ', text[6]] } else { &text[5..7] };
    for part in [&text[8..11], b" ", day, b" ", &text[17..25], b" ", &text[12..16], b" GMT"] {
        out.extend_from_slice(part);
    }
}

pub const CLIENT_V_START: Get = |s, out| of_client(s, out, |client, out| time(&client.validity().not_before, out));
pub const CLIENT_V_END: Get = |s, out| of_client(s, out, |client, out| time(&client.validity().not_after, out));
pub const CLIENT_V_REMAIN: Get = |s, out| {
    of_client(s, out, |client, out| {
        let left = client.validity().not_after.timestamp() - crate::sys::time::coarse_seconds();
        wire::h1::encode::number(out, left.max(0) as u64 / 86_400);
    })
};
