//! Messages to the server's frames: one each, not masked.

use super::deflate::Deflater;
use super::frame::{self, CONTROL};
use super::{Params, is_close_code};

/// Shorter messages are sent as they are: there is little to gain, and the time is better spent. They are no part of
/// what compressed messages refer to, on either side.
const SMALL: usize = 64;

/// The encoder of one connection.
pub struct Encoder {
    deflater: Option<Deflater>,
}

impl Encoder {
    /// `deflate`: what was agreed on, if permessage-deflate was.
    pub fn new(deflate: Option<&Params>) -> Encoder {
        Encoder { deflater: deflate.map(Deflater::new) }
    }

    /// Appends a text message.
    pub fn text(&mut self, out: &mut Vec<u8>, text: &str) {
        self.message(out, frame::TEXT, text.as_bytes());
    }

    /// Appends a binary message.
    pub fn binary(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        self.message(out, frame::BINARY, bytes);
    }

    /// Appends a ping; of the payload, the first 125 bytes.
    pub fn ping(&mut self, out: &mut Vec<u8>, payload: &[u8]) {
        plain(out, frame::PING, &payload[..payload.len().min(CONTROL)]);
    }

    /// Appends a pong; of the payload, the first 125 bytes.
    pub fn pong(&mut self, out: &mut Vec<u8>, payload: &[u8]) {
        plain(out, frame::PONG, &payload[..payload.len().min(CONTROL)]);
    }

    /// Appends a close frame. The reason is cut to what fits, at the end of a character. A code that must not stand in a
    /// frame (1005 "none was sent", 1006, 1015, and those that nobody may use) is left out, and the reason with it.
    pub fn close(&mut self, out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
        let Some(code) = code.filter(|&code| is_close_code(code)) else {
            return plain(out, frame::CLOSE, &[]);
        };
        let mut len = reason.len().min(CONTROL - 2);
        while !reason.is_char_boundary(len) {
            len -= 1;
        }
        out.extend_from_slice(&[frame::CLOSE, len as u8 + 2]);
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(&reason.as_bytes()[..len]);
    }

    fn message(&mut self, out: &mut Vec<u8>, first: u8, payload: &[u8]) {
        if let Some(deflater) = &mut self.deflater
            && payload.len() >= SMALL
        {
            // What is compressed is shorter, so its header is not longer than this.
            let start = out.len();
            let room = frame::header_size(payload.len());
            out.extend_from_slice(&frame::header(0, 0)[..room]);
            if deflater.compress(payload, out) {
                let len = out.len() - start - room;
                let size = frame::header_size(len);
                out.copy_within(start + room.., start + size);
                out.truncate(start + size + len);
                out[start..start + size].copy_from_slice(&frame::header(first | frame::COMPRESSED, len)[..size]);
                return;
            }
            out.truncate(start);
        }
        plain(out, first, payload);
    }
}

fn plain(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    let size = frame::header_size(payload.len());
    out.reserve(size + payload.len());
    out.extend_from_slice(&frame::header(first, payload.len())[..size]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Encoder::new(Some(&Params::default())), &mut out);
        out
    }

    #[test]
    fn frames() {
        assert_eq!(bytes(|e, out| e.text(out, "Hello")), b"\x81\x05Hello");
        assert_eq!(bytes(|e, out| e.text(out, "")), b"\x81\x00");
        assert_eq!(bytes(|e, out| e.binary(out, b"\x00")), b"\x82\x01\x00");
        assert_eq!(bytes(|e, out| e.ping(out, b"")), b"\x89\x00");
        assert_eq!(bytes(|e, out| e.pong(out, &[7; 300])), [&b"\x8a\x7d"[..], &[7; 125]].concat());
        assert_eq!(bytes(|e, out| e.text(out, &"a".repeat(63)))[..2], *b"\x81\x3f");
        // Compressed from 64 bytes on.
        assert_eq!(bytes(|e, out| e.text(out, &"a".repeat(64)))[0], 0xc1);
        let mut out = Vec::new();
        Encoder::new(None).binary(&mut out, &[0; 70_000]);
        assert_eq!(out[..10], *b"\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x70");
        assert_eq!(out.len(), 70_010);
    }

    #[test]
    fn closing() {
        for (code, reason, expected) in [
            (None, "", &b"\x88\x00"[..]),
            (None, "not said", b"\x88\x00"),
            (Some(1000), "", b"\x88\x02\x03\xe8"),
            (Some(1001), "bye", b"\x88\x05\x03\xe9bye"),
            (Some(4999), "", b"\x88\x02\x13\x87"),
            (Some(1005), "", b"\x88\x00"),
            (Some(1006), "x", b"\x88\x00"),
            (Some(1015), "", b"\x88\x00"),
            (Some(0), "", b"\x88\x00"),
            (Some(5000), "", b"\x88\x00"),
        ] {
            assert_eq!(bytes(|e, out| e.close(out, code, reason)), expected, "{code:?}");
        }
        for (reason, len) in [("a".repeat(200), 123), ("\u{e4}".repeat(100), 122), ("\u{1f600}".repeat(31), 120)] {
            let frame = bytes(|e, out| e.close(out, Some(1011), &reason));
            assert_eq!(frame[..4], [0x88, len + 2, 3, 243]);
            assert!(std::str::from_utf8(&frame[4..]).is_ok_and(|sent| sent.len() == usize::from(len)));
        }
    }
}
