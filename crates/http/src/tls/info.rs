//! What a handshake came to.

use rustls::pki_types::UnixTime;
use rustls::server::ClientHello;
use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use super::certificates;
use super::names;
use super::server::Loaded;
use crate::exchange::TlsInfo;
use crate::transport::tls::TlsStream;

/// What a client said at first, as far as it is of use later.
pub fn hello(hello: &ClientHello<'_>) -> TlsInfo {
    TlsInfo {
        server_name: hello.server_name().map(Box::from),
        ciphers: hello.cipher_suites().iter().map(|suite: &CipherSuite| u16::from(*suite)).collect(),
        groups: hello.named_groups().unwrap_or_default().iter().map(|group: &NamedGroup| u16::from(*group)).collect(),
        own_certificate: None,
        ..TlsInfo::default()
    }
}

/// Adds the facts of the finished handshake.
pub fn finish(info: &mut TlsInfo, stream: &TlsStream, loaded: &Loaded) {
    let Some(session) = stream.session() else { return };
    let version = session.protocol_version();
    info.version = version.map_or(0, u16::from);
    info.protocol = match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    info.cipher_suite = session.negotiated_cipher_suite().map_or(0, |suite| suite.suite().into());
    info.cipher = names::suite(info.cipher_suite).unwrap_or("unknown");
    info.curve = session.negotiated_key_exchange_group().and_then(|group| names::group(group.name().into()));
    info.alpn = session.alpn_protocol().map(Box::from);
    info.resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    info.session_id = stream.session_id(version == Some(ProtocolVersion::TLSv1_3)).into();
    let chain = session.peer_certificates().unwrap_or_default();
    info.client_chain = chain.iter().map(|one| one.as_ref().into()).collect();
    info.client_verify = match &loaded.verifier {
        Some(verifier) if !chain.is_empty() => match verifier.check(chain, UnixTime::now()) {
            Ok(()) => "SUCCESS".into(),
            Err((number, reason)) => {
                info.verify_error = number;
                format!("FAILED:{reason}").into()
            }
        },
        _ => "NONE".into(),
    };
}

/// The certificate that the handshake shows: to be called right after its begin.
pub fn note_own(info: &mut TlsInfo) {
    info.own_certificate = certificates::shown();
}
