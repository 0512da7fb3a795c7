//! WebSocket (RFC 6455), the server's side: the handshake's key, frames in and out, and permessage-deflate (RFC 7692).
//!
//! A [`Decoder`] turns the client's bytes into [`Event`]s, an [`Encoder`] turns messages into the server's frames. Both
//! are a few dozen bytes until they have something to hold, so that a connection that only waits costs nothing more:
//! what compression needs to work with is shared by all connections of a thread (`deflate.rs`, `inflate.rs`).
//!
//! The decoder fails as early as it can: a header at its first wrong bit, text at the first byte that no character
//! continues with, also in the middle of a frame; a message at the first byte that is too much.

mod decoder;
mod deflate;
mod encoder;
pub mod extension;
mod frame;
pub mod handshake;
mod inflate;
mod message;
#[cfg(test)]
mod tests;
mod utf8;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use extension::Params;

/// What a client sent, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The client closes; what it sends after this is dropped. The code and reason, if it gave any.
    Close(Option<(u16, String)>),
}

/// Why the connection is failed, and the close code that tells the client so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// 1002 (protocol), 1007 (not UTF-8, not deflate) or 1009 (too big).
    pub code: u16,
    /// A few words for the close frame and the log.
    pub reason: &'static str,
}

impl Fault {
    const fn protocol(reason: &'static str) -> Fault {
        Fault { code: 1002, reason }
    }

    const fn utf8() -> Fault {
        Fault { code: 1007, reason: "text is not UTF-8" }
    }

    const fn corrupt() -> Fault {
        Fault { code: 1007, reason: "message does not decompress" }
    }

    const fn too_big() -> Fault {
        Fault { code: 1009, reason: "message is too big" }
    }
}

/// Whether a close frame may carry `code`: those of RFC 6455 section 7.4 and the IANA registry that have a meaning on
/// the wire, and the ranges for libraries and applications.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
