//! The message that is being received, as far as it is there.

use super::utf8::Text;
use super::{Event, Fault};

/// A message in pieces.
#[derive(Default)]
pub enum Message {
    /// None has begun.
    #[default]
    None,
    Text(Text),
    Binary(Vec<u8>),
}

impl Message {
    /// Bytes held.
    pub fn len(&self) -> usize {
        match self {
            Message::None => 0,
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }

    /// What is held, in two parts.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        match self {
            Message::None => (&[], &[]),
            Message::Text(text) => text.parts(),
            Message::Binary(bytes) => (bytes, &[]),
        }
    }

    /// Appends a piece, unless the message would be longer than `max` (0: any length).
    pub fn push(&mut self, piece: &[u8], max: usize) -> Result<(), Fault> {
        if max != 0 && piece.len() > max.saturating_sub(self.len()) {
            return Err(Fault::too_big());
        }
        match self {
            Message::None => Ok(()),
            Message::Text(text) => text.push(piece),
            Message::Binary(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// The event that the whole message is.
    pub fn finish(self) -> Result<Option<Event>, Fault> {
        match self {
            Message::None => Ok(None),
            Message::Text(text) => text.finish().map(|text| Some(Event::Text(text))),
            Message::Binary(bytes) => Ok(Some(Event::Binary(bytes))),
        }
    }
}
