//! The client behind a trusted proxy: its address, scheme and host, as X-Forwarded-* or Forwarded (RFC 7239) say.

use wire::forwarded::{Families, Reader, Schemes, Trusted};

use crate::config::Settings;
use crate::exchange::{Peer, Request};

/// Whose word is taken, and what it looks like.
pub struct Forwarded {
    trusted: Trusted,
    schemes: Schemes,
}

impl Forwarded {
    /// What the settings say; `None`: nobody is trusted. The error says which entry is wrong.
    pub fn new(settings: &Settings) -> Result<Option<Forwarded>, String> {
        let trusted = Trusted::parse(&settings.forwarded_allow_ips)?;
        let schemes = Schemes::new(settings.secure_scheme_headers.iter().cloned());
        Ok((!trusted.is_empty()).then_some(Forwarded { trusted, schemes }))
    }

    /// Takes a trusted proxy's word for who the client is. `Err`: its fields contradict each other.
    pub fn apply(&self, request: &mut Request) -> Result<(), &'static str> {
        let trusted = match request.peer {
            Peer::Inet(address) => self.trusted.address(address.ip()),
            // Who may open the socket is told by its permissions, as under Gunicorn.
            Peer::Unix => true,
        };
        if !trusted {
            return Ok(());
        }
        let mut reader = Reader::new(&self.schemes, Families::XForwardedFirst);
        for field in &request.head.fields {
            reader.add(field.name.of(&request.buf), field.value.of(&request.buf));
        }
        let claims = reader.claims(&self.trusted).map_err(|_| "its fields for the scheme contradict each other")?;
        if let Some((address, port)) = claims.client {
            request.peer = Peer::Inet((address, port).into());
        }
        if let Some(secure) = claims.secure {
            request.secure = secure;
        }
        if claims.host.is_some() {
            request.host = claims.host;
        }
        Ok(())
    }
}
