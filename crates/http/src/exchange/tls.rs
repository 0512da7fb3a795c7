//! What a connection's TLS handshake came to, for variables, applications and logs.

/// Facts of one TLS connection: made once, shared by its requests.
#[derive(Debug, Default)]
pub struct TlsInfo {
    /// As OpenSSL writes it: `TLSv1.3`.
    pub protocol: &'static str,
    /// The number of the protocol version on the wire: 0x0304.
    pub version: u16,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'static str,
    /// Its number in TLS's registry.
    pub cipher_suite: u16,
    /// The name that the client asked for (SNI), as sent.
    pub server_name: Option<Box<str>>,
    /// The server that has it, by index.
    pub server: Option<u32>,
    /// The server whose certificates and rules the handshake was done by, by index.
    pub by: u32,
    /// The protocol that ALPN chose.
    pub alpn: Option<Box<[u8]>>,
    /// The key exchange group, OpenSSL's name.
    pub curve: Option<&'static str>,
    /// The session's identifier.
    pub session_id: Box<[u8]>,
    /// The client's cipher suites and groups, by their numbers.
    pub ciphers: Box<[u16]>,
    pub groups: Box<[u16]>,
    /// The session was used before.
    pub resumed: bool,
    /// The client's certificate and those that it sent along, DER, its own first.
    pub client_chain: Vec<Box<[u8]>>,
    /// What came of checking it: `NONE`, `SUCCESS`, `FAILED:reason`.
    pub client_verify: Box<str>,
    /// Its number at OpenSSL; 0: nothing is wrong.
    pub verify_error: u16,
    /// The certificate that this side showed, PEM.
    pub own_certificate: Option<std::sync::Arc<str>>,
}
