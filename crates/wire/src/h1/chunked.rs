//! The chunked transfer coding (RFC 9112 section 7.1), decoded strictly.
//!
//! Rules: a size is 1 to 16 hexadecimal digits and nothing else; extensions are read past, checked and bounded over the
//! whole body; every line ends with CRLF; trailers are bounded, and those that would change the meaning of the message
//! are dropped (RFC 9110 section 6.5.1).

use super::scan::{control, is_control, token_len, trim};
use super::{Known, Refusal};

/// Bytes of chunk extensions that one body may have.
const EXTENSIONS: usize = 4096;

/// What follows in the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chunk {
    /// The first `consumed` bytes were framing, and all that can be used now; feed more behind the rest.
    More { consumed: usize },
    /// Drop `skip` bytes of framing; the `len` > 0 bytes behind them are body. Then call again with what follows.
    Data { skip: usize, len: usize },
    /// The body and its trailers ended after `consumed` bytes.
    End { consumed: usize },
}

/// The decoder of one body. It keeps no body bytes: it points into the caller's.
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of extensions seen so far.
    extensions: usize,
    /// The trailer line that is being received.
    line: Vec<u8>,
    /// Bytes of trailers seen so far.
    trailer_bytes: usize,
    limit_trailers: usize,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Named by what it expects next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A digit of the size, `digits` of which have been read.
    Size {
        size: u64,
        digits: u8,
    },
    /// The rest of the line after the size: nothing, or extensions.
    Extension {
        size: u64,
    },
    /// LF of the size line.
    SizeLf {
        size: u64,
    },
    /// `left` > 0 bytes of body.
    Data {
        left: u64,
    },
    /// CR after a chunk.
    DataCr,
    /// LF after a chunk.
    DataLf,
    /// A trailer line, or the blank one that ends the body.
    Trailer,
    /// LF of that line.
    TrailerLf,
    Done,
}

impl ChunkedDecoder {
    /// `limit_trailers`: bytes that all trailer lines together may have.
    pub fn new(limit_trailers: usize) -> Self {
        ChunkedDecoder {
            state: State::Size { size: 0, digits: 0 },
            extensions: 0,
            line: Vec::new(),
            trailer_bytes: 0,
            limit_trailers,
            trailers: Vec::new(),
        }
    }

    /// The trailer fields, once the end was reached. Names as sent.
    pub fn trailers(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.trailers
    }

    /// The trailer fields, taken out.
    pub fn take_trailers(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        std::mem::take(&mut self.trailers)
    }

    /// Looks at `input` and tells how many bytes to drop and what follows. After a refusal the message is lost.
    pub fn decode(&mut self, input: &[u8]) -> Result<Chunk, Refusal> {
        let mut at = 0;
        loop {
            if let State::Data { left } = self.state {
                let available = input.len() - at;
                if available == 0 {
                    return Ok(Chunk::More { consumed: at });
                }
                let len = usize::try_from(left).map_or(available, |left| left.min(available));
                let left = left - len as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                return Ok(Chunk::Data { skip: at, len });
            }
            if self.state == State::Done {
                return Ok(Chunk::End { consumed: at });
            }
            let Some(&byte) = input.get(at) else { return Ok(Chunk::More { consumed: at }) };
            at += 1;
            self.state = self.step(byte)?;
        }
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == 16 {
                    return Err(Refusal::ChunkSize);
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                let size = size << 4 | u64::from(digit);
                // No file is longer; what is added to such a number must not overflow anywhere.
                if size > i64::MAX as u64 {
                    return Err(Refusal::ChunkSize);
                }
                Ok(State::Size { size, digits: digits + 1 })
            }
            (State::Size { size, digits: 1.. }, b'\r') => Ok(State::SizeLf { size }),
            (State::Size { size, digits: 1.. }, b';') => {
                self.extension_byte()?;
                Ok(State::Extension { size })
            }
            (State::Size { .. }, _) => Err(Refusal::ChunkSize),

            (State::Extension { size }, b'\r') => Ok(State::SizeLf { size }),
            (State::Extension { .. }, byte) if is_control(byte) => Err(Refusal::ChunkExtension),
            (State::Extension { size }, _) => {
                self.extension_byte()?;
                Ok(State::Extension { size })
            }

            (State::SizeLf { size: 0 }, b'\n') => Ok(State::Trailer),
            (State::SizeLf { size }, b'\n') => Ok(State::Data { left: size }),
            (State::SizeLf { .. }, _) => Err(Refusal::BareCr),

            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { size: 0, digits: 0 }),
            (State::DataCr | State::DataLf, _) => Err(Refusal::ChunkEnd),

            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::Trailer, b'\n') => Err(Refusal::BareLf),
            (State::Trailer, byte) => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > self.limit_trailers {
                    return Err(Refusal::TrailersTooLarge);
                }
                self.line.push(byte);
                Ok(State::Trailer)
            }
            (State::TrailerLf, b'\n') if self.line.is_empty() => Ok(State::Done),
            (State::TrailerLf, b'\n') => {
                self.trailer()?;
                Ok(State::Trailer)
            }
            (State::TrailerLf, _) => Err(Refusal::BareCr),

            // `decode` handles these itself.
            (State::Data { .. } | State::Done, _) => Ok(self.state),
        }
    }

    fn extension_byte(&mut self) -> Result<(), Refusal> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS { Err(Refusal::ChunkExtension) } else { Ok(()) }
    }

    /// Checks and keeps the trailer line that was received.
    fn trailer(&mut self) -> Result<(), Refusal> {
        let line = std::mem::take(&mut self.line);
        let name_len = token_len(&line);
        if name_len == 0 || line.get(name_len) != Some(&b':') || control(&line, 0).is_some() {
            return Err(Refusal::Trailer);
        }
        let name = &line[..name_len];
        if !is_forbidden(name) {
            self.trailers.push((name.to_vec(), trim(&line[name_len + 1..]).to_vec()));
        }
        Ok(())
    }
}

/// Fields that must not come after the body: framing, routing, authentication, and what says how to read the content.
fn is_forbidden(name: &[u8]) -> bool {
    matches!(
        Known::of(name),
        Known::Host
            | Known::ContentLength
            | Known::TransferEncoding
            | Known::ContentType
            | Known::ContentEncoding
            | Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::Trailer
            | Known::Upgrade
            | Known::Expect
            | Known::Range
            | Known::IfRange
            | Known::MaxForwards
            | Known::CacheControl
            | Known::Authorization
            | Known::ProxyAuthorization
            | Known::Cookie
            | Known::Forwarded
            | Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedPort
            | Known::XForwardedPrefix
            | Known::XForwardedProto
            | Known::XForwardedServer
            | Known::XRealIp
    ) || name.eq_ignore_ascii_case(b"content-range")
        || name.eq_ignore_ascii_case(b"set-cookie")
}
