//! Frames: their headers, read and written, and the mask (RFC 6455 sections 5.2 and 5.3).

use super::Fault;

/// The longest payload of a control frame.
pub const CONTROL: usize = 125;

/// First bytes of the frames a server sends: FIN and the opcode.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;
/// RSV1: the message is compressed.
pub const COMPRESSED: u8 = 0x40;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// The header of a client's frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub fin: bool,
    pub compressed: bool,
    pub opcode: Opcode,
    pub mask: [u8; 4],
    /// Bytes of payload.
    pub len: u64,
    /// Bytes of the header itself.
    pub size: usize,
}

/// The header at the start of `buf`; `None` while it is incomplete and nothing in it is wrong yet. `deflate`: whether
/// permessage-deflate was negotiated. A length may be written longer than it needs to be: nobody reads it differently.
pub fn parse(buf: &[u8], deflate: bool) -> Result<Option<Header>, Fault> {
    let Some(&first) = buf.first() else { return Ok(None) };
    let opcode = match first & 0x0f {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => return Err(Fault::protocol("reserved opcode")),
    };
    let fin = first & 0x80 != 0;
    let compressed = first & COMPRESSED != 0;
    let starts_message = matches!(opcode, Opcode::Text | Opcode::Binary);
    if first & 0x30 != 0 || (compressed && !(deflate && starts_message)) {
        return Err(Fault::protocol("reserved bit is set"));
    }
    let control = !starts_message && opcode != Opcode::Continuation;
    if control && !fin {
        return Err(Fault::protocol("control frame is fragmented"));
    }

    let Some(&second) = buf.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(Fault::protocol("frame is not masked"));
    }
    let (len, size) = match second & 0x7f {
        126 | 127 if control => return Err(Fault::protocol("control frame is too long")),
        126 => {
            let Some(bytes) = buf.get(2..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), 8)
        }
        127 => {
            let Some(bytes) = buf.get(2..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            (u64::from_be_bytes(*bytes), 14)
        }
        len => (u64::from(len), 6),
    };
    if len > i64::MAX as u64 {
        return Err(Fault::protocol("frame length is negative"));
    }
    let Some(&mask) = buf.get(size - 4..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    Ok(Some(Header { fin, compressed, opcode, mask, len, size }))
}

/// Takes the mask off (or puts it on). `mask` begins with the byte for the first of `bytes`.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    // Sixteen bytes a step: this compiles to vector instructions. Byte order does not matter to an exclusive or.
    let wide = u128::from(u32::from_ne_bytes(mask)) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
    let (words, rest) = bytes.as_chunks_mut::<16>();
    for word in words {
        *word = (u128::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// How many bytes the header of an unmasked frame with `len` bytes of payload has.
pub fn header_size(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The header of an unmasked frame; only the first `header_size(len)` bytes count.
pub fn header(first: u8, len: usize) -> [u8; 10] {
    let mut header = [0; 10];
    header[0] = first;
    match len {
        0..=125 => header[1] = len as u8,
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let protocol = |reason| Err(Fault { code: 1002, reason });
        let mask = [1, 2, 3, 4];
        let text = Header { fin: true, compressed: false, opcode: Opcode::Text, mask, len: 0, size: 6 };
        let table: &[(&[u8], Result<Option<Header>, Fault>)] = &[
            (b"", Ok(None)),
            (b"\x81", Ok(None)),
            (b"\x81\x80\x01\x02\x03", Ok(None)),
            (b"\x81\x80\x01\x02\x03\x04", Ok(Some(text))),
            (b"\x01\xfd\x01\x02\x03\x04", Ok(Some(Header { fin: false, len: 125, ..text }))),
            (b"\x81\xfe\x00", Ok(None)),
            (b"\x81\xfe\x01\x02\x01\x02\x03\x04", Ok(Some(Header { len: 0x102, size: 8, ..text }))),
            (b"\x81\xfe\x00\x02\x01\x02\x03\x04", Ok(Some(Header { len: 2, size: 8, ..text }))),
            (
                b"\x81\xff\x00\x00\x00\x01\x02\x03\x04\x05\x01\x02\x03\x04rest",
                Ok(Some(Header { len: 0x1_0203_0405, size: 14, ..text })),
            ),
            (b"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00", protocol("frame length is negative")),
            (b"\x80\x80\x01\x02\x03\x04", Ok(Some(Header { opcode: Opcode::Continuation, ..text }))),
            (b"\x82\x80\x01\x02\x03\x04", Ok(Some(Header { opcode: Opcode::Binary, ..text }))),
            (b"\x88\x80\x01\x02\x03\x04", Ok(Some(Header { opcode: Opcode::Close, ..text }))),
            (b"\x89\x80\x01\x02\x03\x04", Ok(Some(Header { opcode: Opcode::Ping, ..text }))),
            (b"\x8a\xfd\x01\x02\x03\x04", Ok(Some(Header { opcode: Opcode::Pong, len: 125, ..text }))),
            (b"\x81\x00", protocol("frame is not masked")),
            (b"\x83", protocol("reserved opcode")),
            (b"\x87", protocol("reserved opcode")),
            (b"\x8b", protocol("reserved opcode")),
            (b"\x8f", protocol("reserved opcode")),
            (b"\x91", protocol("reserved bit is set")),
            (b"\xa1", protocol("reserved bit is set")),
            (b"\xc1", protocol("reserved bit is set")),
            (b"\x09", protocol("control frame is fragmented")),
            (b"\x89\xfe", protocol("control frame is too long")),
            (b"\x88\xff", protocol("control frame is too long")),
        ];
        for (bytes, expected) in table {
            assert_eq!(parse(bytes, false), *expected, "{bytes:x?}");
        }
        let compressed = Header { compressed: true, ..text };
        assert_eq!(parse(b"\xc1\x80\x01\x02\x03\x04", true), Ok(Some(compressed)));
        for first in [0xc0, 0xc8, 0xc9, 0xca, 0xd1, 0xe1] {
            assert_eq!(parse(&[first], true), protocol("reserved bit is set"), "{first:#x}");
        }
    }

    #[test]
    fn masks_at_any_length() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        for len in 0..70 {
            let mut bytes: Vec<u8> = (0..len).collect();
            unmask(&mut bytes, mask);
            let expected: Vec<u8> = (0..len).map(|i| i ^ mask[i as usize % 4]).collect();
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn lengths_are_written_as_short_as_they_go() {
        for (len, expected) in [
            (0, &b"\x81\x00"[..]),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (0xffff, b"\x81\x7e\xff\xff"),
            (0x1_0000, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            assert_eq!(&header(TEXT, len)[..header_size(len)], expected);
        }
    }
}
