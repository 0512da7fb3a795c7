//! The extension permessage-deflate: which offer is taken, and the answer (RFC 7692 sections 5 and 7.1; the grammar is
//! RFC 6455 section 9.1).

use std::borrow::Cow;
use std::fmt::Write;

use crate::h1::scan::token_len;
use crate::quoted::quoted;

const NAME: &[u8] = b"permessage-deflate";

/// The window that clients are asked to keep to where they let the server say (2 to this power). A connection holds as
/// much of what it received while compressed messages come in, so a smaller one is dearer to bandwidth and cheaper to
/// memory; for messages up to some KiB it makes no difference.
const CLIENT_WINDOW: u8 = 12;

/// What was agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params {
    /// The server's messages do not refer to those before.
    pub server_no_context_takeover: bool,
    /// The client's messages do not refer to those before.
    pub client_no_context_takeover: bool,
    /// How far back the server's messages may refer, as a power of two: 9 to 15. 0: the offer did not say, so the answer
    /// does not either, and it is 15.
    pub server_max_window_bits: u8,
    /// The same for the client's messages, 8 to 15, or 0.
    pub client_max_window_bits: u8,
}

impl Params {
    /// The value of the answer's Sec-WebSocket-Extensions.
    pub fn to_field(&self) -> String {
        let mut field = String::from("permessage-deflate");
        for (yes, name) in [
            (self.server_no_context_takeover, "; server_no_context_takeover"),
            (self.client_no_context_takeover, "; client_no_context_takeover"),
        ] {
            field.push_str(if yes { name } else { "" });
        }
        for (bits, name) in [
            (self.server_max_window_bits, "server_max_window_bits"),
            (self.client_max_window_bits, "client_max_window_bits"),
        ] {
            if bits != 0 {
                // Writing to a string does not fail.
                let _ = write!(field, "; {name}={bits}");
            }
        }
        field
    }

    /// The window of the server's messages, in bits. zlib has none of 8.
    pub(super) fn server_window(&self) -> u8 {
        if self.server_max_window_bits == 0 { 15 } else { self.server_max_window_bits.clamp(9, 15) }
    }

    /// The window of the client's messages, in bits. A client that agreed to 8 and uses zlib has one of 9.
    pub(super) fn client_window(&self) -> u8 {
        if self.client_max_window_bits == 0 { 15 } else { self.client_max_window_bits.clamp(9, 15) }
    }
}

/// Chooses from the values of the Sec-WebSocket-Extensions fields, in order: the first offer of permessage-deflate that
/// can be met. An offer with an unknown, repeated or invalid parameter is passed over, and so is one that restricts the
/// server to a window of 8 bits, which zlib cannot do. Behind something that is no list of extensions nothing is read.
pub fn negotiate<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<Params> {
    for field in fields {
        let mut reader = Reader(field);
        loop {
            reader.spaces();
            if reader.0.is_empty() {
                break;
            }
            // Lists may have empty members.
            if reader.eat(b',') {
                continue;
            }
            if let Some(params) = extension(&mut reader)? {
                return Some(params);
            }
        }
    }
    None
}

/// Reads one extension, up to the comma behind it: `Some(None)` if it is declined, `None` if it is malformed.
fn extension(reader: &mut Reader) -> Option<Option<Params>> {
    let mut offer = reader.token()?.eq_ignore_ascii_case(NAME).then(Offer::default);
    loop {
        reader.spaces();
        if reader.0.is_empty() || reader.eat(b',') {
            return Some(offer.and_then(Offer::answer));
        }
        if !reader.eat(b';') {
            return None;
        }
        reader.spaces();
        let name = reader.token()?;
        reader.spaces();
        let value = if reader.eat(b'=') {
            reader.spaces();
            Some(reader.value()?)
        } else {
            None
        };
        offer = offer.and_then(|offer| offer.with(name, value.as_deref()));
    }
}

/// The parameters of an offer.
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// 0: without a value; the server may choose.
    client_max_window_bits: Option<u8>,
}

impl Offer {
    /// With one parameter more; `None`: the offer is declined.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Offer> {
        let once = |flag: &mut bool| (value.is_none() && !std::mem::replace(flag, true)).then_some(());
        match name {
            b"server_no_context_takeover" => once(&mut self.server_no_context_takeover)?,
            b"client_no_context_takeover" => once(&mut self.client_no_context_takeover)?,
            b"server_max_window_bits" => {
                let bits = bits(value?).filter(|&bits| bits > 8)?;
                self.server_max_window_bits.replace(bits).is_none().then_some(())?;
            }
            b"client_max_window_bits" => {
                let bits = value.map_or(Some(0), bits)?;
                self.client_max_window_bits.replace(bits).is_none().then_some(())?;
            }
            _ => return None,
        }
        Some(self)
    }

    fn answer(self) -> Option<Params> {
        Some(Params {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits.unwrap_or(0),
            client_max_window_bits: match self.client_max_window_bits {
                None => 0,
                Some(0) => CLIENT_WINDOW,
                Some(bits) => bits.min(CLIENT_WINDOW),
            },
        })
    }
}

/// A number from 8 to 15, without leading zeros.
fn bits(text: &[u8]) -> Option<u8> {
    match text {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What is left of a field.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn spaces(&mut self) {
        while self.eat(b' ') || self.eat(b'\t') {}
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let (token, rest) = self.0.split_at(token_len(self.0));
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token, or one in quotes.
    fn value(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.0.first() != Some(&b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let (value, rest) = quoted(self.0)?;
        self.0 = rest;
        (!value.is_empty() && token_len(&value) == value.len()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[&str]) -> Option<String> {
        negotiate(fields.iter().map(|field| field.as_bytes())).map(|params| params.to_field())
    }

    #[test]
    fn offers() {
        const PLAIN: Option<&str> = Some("permessage-deflate");
        for (fields, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["permessage-deflate"], PLAIN),
            (&["Permessage-Deflate"], PLAIN),
            (&[" , permessage-deflate ,"], PLAIN),
            (&["x-webkit-deflate-frame, permessage-deflate"], PLAIN),
            (&["x-webkit-deflate-frame", "permessage-deflate"], PLAIN),
            (&["foo; a=1; b=\"c,\\\"; d\", permessage-deflate"], None),
            (&["foo; a=1; b=\"c\", permessage-deflate"], PLAIN),
            (&["foo"], None),
            // What browsers send.
            (&["permessage-deflate; client_max_window_bits"], Some("permessage-deflate; client_max_window_bits=12")),
            (
                &["permessage-deflate ;\tclient_max_window_bits = 10"],
                Some("permessage-deflate; client_max_window_bits=10"),
            ),
            (
                &["permessage-deflate; client_max_window_bits=\"1\\5\""],
                Some("permessage-deflate; client_max_window_bits=12"),
            ),
            (&["permessage-deflate; client_max_window_bits=8"], Some("permessage-deflate; client_max_window_bits=8")),
            (&["permessage-deflate; server_max_window_bits=15"], Some("permessage-deflate; server_max_window_bits=15")),
            (&["permessage-deflate; server_max_window_bits=9"], Some("permessage-deflate; server_max_window_bits=9")),
            (
                &[
                    "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; server_no_context_takeover",
                ],
                Some(
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=10",
                ),
            ),
            // The first that can be met.
            (
                &["permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10"],
                Some("permessage-deflate; server_max_window_bits=10"),
            ),
            (&["permessage-deflate; new_parameter", "permessage-deflate"], PLAIN),
            (&["permessage-deflate; server_max_window_bits=8"], None),
            // Values that are missing, superfluous, wrong or there twice.
            (&["permessage-deflate; server_max_window_bits"], None),
            (&["permessage-deflate; server_max_window_bits=16"], None),
            (&["permessage-deflate; server_max_window_bits=09"], None),
            (&["permessage-deflate; server_max_window_bits=+9"], None),
            (&["permessage-deflate; client_max_window_bits=7"], None),
            (&["permessage-deflate; client_max_window_bits=100"], None),
            (&["permessage-deflate; server_no_context_takeover=1"], None),
            (&["permessage-deflate; client_no_context_takeover=\"\""], None),
            (&["permessage-deflate; server_no_context_takeover; server_no_context_takeover"], None),
            (&["permessage-deflate; client_max_window_bits; client_max_window_bits=10"], None),
            (&["permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"], None),
            // No list of extensions.
            (&["permessage-deflate;"], None),
            (&["permessage-deflate; client_max_window_bits="], None),
            (&["permessage-deflate; client_max_window_bits=\"10"], None),
            (&["permessage-deflate client_max_window_bits"], None),
            (&["=, permessage-deflate"], None),
            (&["permessage-deflate\0"], None),
        ] {
            assert_eq!(answer(fields).as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn windows_are_what_zlib_can_do() {
        for (bits, server, client) in [(0, 15, 15), (8, 9, 9), (9, 9, 9), (12, 12, 12), (15, 15, 15), (99, 15, 15)] {
            let params = Params { server_max_window_bits: bits, client_max_window_bits: bits, ..Params::default() };
            assert_eq!((params.server_window(), params.client_window()), (server, client));
        }
    }
}
