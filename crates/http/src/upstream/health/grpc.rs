//! The question that gRPC has for health (`grpc.health.v1.Health/Check`), and its answer: two messages of Protocol
//! Buffers, each with a single field.

use super::matching::Part;

/// Which service is asked for, and what the answer must say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grpc {
    /// Empty: the server as a whole. At most 127 bytes.
    pub service: Box<str>,
    /// The status of the call; with 0, it must be said that the service is there.
    pub status: u8,
}

/// The longest name of a service, in bytes.
pub const LONGEST: usize = 127;
/// Where the question goes.
pub const PATH: &str = "/grpc.health.v1.Health/Check";
/// Its head, for the fields that servers get.
pub const HEAD: &[u8] = b"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\
    Content-Type: application/grpc\r\nUser-Agent: daemun\r\n\r\n";

/// `SERVING`
const SERVING: u64 = 1;

/// The question: not compressed, its length, field 1.
pub fn message(service: &str) -> Vec<u8> {
    let service = service.as_bytes().get(..service.len().min(LONGEST)).unwrap_or_default();
    let mut message = Vec::new();
    if !service.is_empty() {
        message.extend_from_slice(&[1 << 3 | 2, service.len() as u8]);
        message.extend_from_slice(service);
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// Whether an answer is good; what was looked at.
pub fn judge(status: u16, code: Option<&[u8]>, message: &[u8], expected: u8) -> Result<&'static str, Part> {
    if status != 200 {
        return Err(Part::Status);
    }
    let code = code.and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.trim().parse::<u8>().ok());
    if code != Some(expected) {
        return Err(Part::GrpcStatus);
    }
    if expected == 0 && serving(message) != Some(SERVING) {
        return Err(Part::GrpcStatus);
    }
    Ok(Part::GrpcStatus.checking())
}

/// Field 1 of the answer, a number; the last one counts.
fn serving(framed: &[u8]) -> Option<u64> {
    let (head, rest) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(head.get(1..)?.try_into().ok()?) as usize;
    if head.first() != Some(&0) {
        return None;
    }
    let mut message = rest.get(..length)?;
    let mut found = 0;
    while !message.is_empty() {
        let key = number(&mut message)?;
        match key & 7 {
            0 => {
                let value = number(&mut message)?;
                if key >> 3 == 1 {
                    found = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(number(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(found)
}

/// A number of 7 bits a byte, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("ab"), [0, 0, 0, 0, 4, 10, 2, b'a', b'b']);
    }

    #[test]
    fn answers() {
        let good = Ok("checking grpc status code");
        let bad = Err(Part::GrpcStatus);
        for (status, code, message, expected, result) in [
            (200, Some(&b"0"[..]), &[0, 0, 0, 0, 2, 8, 1][..], 0, good),
            (200, Some(b"0"), &[0, 0, 0, 0, 2, 8, 2], 0, bad),
            (200, Some(b"0"), &[0, 0, 0, 0, 0], 0, bad),
            (200, Some(b"0"), &[], 0, bad),
            (200, None, &[0, 0, 0, 0, 2, 8, 1], 0, bad),
            (200, Some(b"12"), &[], 0, bad),
            (200, Some(b"12"), &[], 12, good),
            (500, Some(b"0"), &[0, 0, 0, 0, 2, 8, 1], 0, Err(Part::Status)),
            // Fields that are not known are skipped.
            (200, Some(b"0"), &[0, 0, 0, 0, 6, 18, 2, 9, 9, 8, 1], 0, good),
            (200, Some(b"0"), &[0, 0, 0, 0, 3, 18, 200, 1], 0, bad),
            (200, Some(b"0"), &[1, 0, 0, 0, 2, 8, 1], 0, bad),
        ] {
            assert_eq!(judge(status, code, message, expected), result, "{code:?} {message:?}");
        }
    }
}
