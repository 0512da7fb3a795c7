//! A client's certificate in words, for applications: the same as the variables `$ssl_client_...` have.

use super::{names, variables};
use crate::exchange::TlsInfo;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its subject and its issuer, by RFC 2253 (and so RFC 4514).
    pub subject: String,
    pub issuer: String,
    /// Hexadecimal.
    pub serial: String,
    /// `Nov  1 19:22:07 2026 GMT`
    pub not_before: String,
    pub not_after: String,
}

/// The certificate that a client has shown; `None`: it has none that can be read.
pub fn of(info: &TlsInfo) -> Option<Client> {
    let (_, client) = x509_parser::parse_x509_certificate(info.client_chain.first()?).ok()?;
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    let validity = client.validity();
    Some(Client {
        subject: names::rfc2253(client.subject()),
        issuer: names::rfc2253(client.issuer()),
        serial: text(&|out| variables::serial(&client, out)),
        not_before: text(&|out| variables::time(&validity.not_before, out)),
        not_after: text(&|out| variables::time(&validity.not_after, out)),
    })
}
