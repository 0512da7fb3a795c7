//! The client's bytes to events: frames put together to messages, control frames in between (RFC 6455 section 5.4).

use super::frame::{self, Header, Opcode};
use super::inflate::Inflater;
use super::message::Message;
use super::{Event, Fault, Params, is_close_code};

/// The decoder of one connection.
pub struct Decoder {
    /// Bytes that one message may have; 0: any number.
    max: usize,
    state: State,
    message: Message,
    /// Whether that message is compressed.
    compressed: bool,
    inflater: Option<Inflater>,
}

/// Named by what it expects next.
#[derive(Clone, Copy)]
enum State {
    Header,
    /// Of a data frame, `left` bytes.
    Payload {
        left: u64,
        mask: [u8; 4],
        fin: bool,
    },
    /// Nothing: the client closed, or was wrong.
    End,
}

impl Decoder {
    /// `max_message`: bytes that one message may have, decompressed; 0 is any number. `deflate`: what was agreed on, if
    /// permessage-deflate was.
    pub fn new(max_message: usize, deflate: Option<&Params>) -> Decoder {
        Decoder {
            max: max_message,
            state: State::Header,
            message: Message::None,
            compressed: false,
            inflater: deflate.map(Inflater::new),
        }
    }

    /// Takes bytes from the front of `buf`: how many, and the event they completed. Call it again with the rest, until
    /// it gives no event; what it then leaves is the beginning of a header or of a control frame, less than 131 bytes.
    /// The payload of a data frame is taken off as it comes. Bytes that were taken are not the same afterwards: they
    /// were unmasked in place. After a fault, and after `Event::Close`, all that comes is taken and dropped.
    pub fn decode(&mut self, buf: &mut [u8]) -> Result<(usize, Option<Event>), Fault> {
        let mut at = 0;
        let result = self.advance(buf, &mut at);
        if matches!(result, Err(_) | Ok(Some(Event::Close(_)))) {
            *self = Decoder { state: State::End, ..Decoder::new(0, None) };
        }
        result.map(|event| (at, event))
    }

    /// Bytes of an incomplete message that are held.
    pub fn held(&self) -> usize {
        self.message.len()
    }

    /// Reads on at `buf[*at..]`, up to an event.
    fn advance(&mut self, buf: &mut [u8], at: &mut usize) -> Result<Option<Event>, Fault> {
        loop {
            match self.state {
                State::Header => {
                    let Some(header) = frame::parse(&buf[*at..], self.inflater.is_some())? else { return Ok(None) };
                    let payload = &mut buf[*at + header.size..];
                    // The whole payload, if it is there.
                    let payload = usize::try_from(header.len).ok().and_then(|len| payload.get_mut(..len));
                    let opcode = header.opcode;
                    if matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong) {
                        let Some(payload) = payload else { return Ok(None) };
                        frame::unmask(payload, header.mask);
                        *at += header.size + payload.len();
                        return control(opcode, payload).map(Some);
                    }
                    self.begin(&header)?;
                    *at += header.size;
                    if let Some(payload) = payload
                        && header.fin
                        && opcode != Opcode::Continuation
                        && !header.compressed
                    {
                        // The usual small message: looked at once, copied once.
                        self.message = Message::None;
                        frame::unmask(payload, header.mask);
                        *at += payload.len();
                        return whole(opcode, payload).map(Some);
                    }
                    self.state = State::Payload { left: header.len, mask: header.mask, fin: header.fin };
                }
                State::Payload { left, mut mask, fin } => {
                    let available = &mut buf[*at..];
                    let len = usize::try_from(left).map_or(available.len(), |left| left.min(available.len()));
                    if len == 0 && left > 0 {
                        return Ok(None);
                    }
                    let piece = &mut available[..len];
                    frame::unmask(piece, mask);
                    *at += len;
                    match &mut self.inflater {
                        Some(inflater) if self.compressed => inflater.feed(piece, &mut self.message, self.max)?,
                        _ => self.message.push(piece, self.max)?,
                    }
                    let left = left - len as u64;
                    if left > 0 {
                        mask.rotate_left(len % 4);
                        self.state = State::Payload { left, mask, fin };
                        continue;
                    }
                    self.state = State::Header;
                    if fin {
                        return self.finish();
                    }
                }
                State::End => {
                    *at = buf.len();
                    return Ok(None);
                }
            }
        }
    }

    /// Checks that a data frame may come now and is not too long, and begins a message with it or goes on with one.
    fn begin(&mut self, header: &Header) -> Result<(), Fault> {
        let message = match header.opcode {
            Opcode::Text => Message::Text(Default::default()),
            Opcode::Binary => Message::Binary(Vec::new()),
            _ => Message::None,
        };
        match (&self.message, &message) {
            (Message::None, Message::None) => return Err(Fault::protocol("continuation without a message")),
            (Message::None, _) => {
                self.message = message;
                self.compressed = header.compressed;
            }
            (_, Message::None) => {}
            _ => return Err(Fault::protocol("message inside another")),
        }
        let room = self.max.saturating_sub(self.message.len()) as u64;
        if self.max != 0 && !self.compressed && header.len > room {
            return Err(Fault::too_big());
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<Event>, Fault> {
        if let Some(inflater) = &mut self.inflater
            && self.compressed
        {
            inflater.finish(&mut self.message, self.max)?;
        }
        std::mem::take(&mut self.message).finish()
    }
}

/// A message in one frame.
fn whole(opcode: Opcode, payload: &[u8]) -> Result<Event, Fault> {
    if opcode == Opcode::Binary {
        return Ok(Event::Binary(payload.to_vec()));
    }
    match std::str::from_utf8(payload) {
        Ok(text) => Ok(Event::Text(text.to_owned())),
        Err(_) => Err(Fault::utf8()),
    }
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Event, Fault> {
    match (opcode, payload) {
        (Opcode::Ping, _) => Ok(Event::Ping(payload.to_vec())),
        (Opcode::Pong, _) => Ok(Event::Pong(payload.to_vec())),
        (_, []) => Ok(Event::Close(None)),
        (_, [_]) => Err(Fault::protocol("close code is cut short")),
        (_, &[high, low, ref reason @ ..]) => {
            let code = u16::from_be_bytes([high, low]);
            if !is_close_code(code) {
                return Err(Fault::protocol("invalid close code"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Fault::utf8())?;
            Ok(Event::Close(Some((code, reason.to_owned()))))
        }
    }
}
