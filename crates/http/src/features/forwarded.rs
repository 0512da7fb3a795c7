//! The client behind a trusted proxy: its address, scheme and host, as X-Forwarded-* or Forwarded (RFC 7239) say.

use wire::forwarded::{Families, Reader, Schemes, Trusted};

use crate::config::ServerSettings;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::{Peer, Request};

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "forwarded_allow_ips",
        HS,
        (1, 1),
        "ADDRESSES",
        "",
        "Proxies whose word is taken for a client's address and scheme: addresses and networks with commas between them, or `*`.",
        Set(|s| {
            let text = s.text(0).to_owned();
            s.server().forwarded_allow_ips = text;
            Ok(())
        }),
    ),
    Row::new(
        "request_field_size",
        HS,
        (1, 1),
        "SIZE",
        "8190",
        "The longest field line of a request; more is answered 431. 0 = only the whole head is limited.",
        Set(|s| {
            let n = s.size(0)? as usize;
            s.server().limits.field_size = n;
            Ok(())
        }),
    ),
    Row::new(
        "request_line_size",
        HS,
        (1, 1),
        "SIZE",
        "8190",
        "The longest request line; more is answered 414. 0 = only the whole head is limited.",
        Set(|s| {
            let n = s.size(0)? as usize;
            s.server().limits.line = n;
            Ok(())
        }),
    ),
    Row::new(
        "secure_scheme_header",
        HS,
        (2, 2),
        "NAME VALUE",
        "",
        "A field by which a trusted proxy says that its client came by TLS.",
        Set(|s| {
            let (name, value) = (s.text(0).to_owned(), s.text(1).to_owned());
            let first = s.first;
            let list = &mut s.server().secure_scheme_headers;
            if first {
                list.clear();
            }
            list.push((name, value));
            Ok(())
        }),
    )
    .repeats(),
];

/// Whose word is taken, and what it looks like.
pub struct Forwarded {
    trusted: Trusted,
    schemes: Schemes,
}

impl Forwarded {
    /// What the settings say; `None`: nobody is trusted. The error says which entry is wrong.
    pub fn new(settings: &ServerSettings) -> Result<Option<Forwarded>, String> {
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
            request.connected = Some(request.peer);
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
