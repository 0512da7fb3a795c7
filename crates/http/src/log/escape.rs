//! What a variable's value becomes in a line of the access log: `log_format`'s `escape=default|json|none`.

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// `\xHH` for quotes, backslashes, control characters and what is not ASCII; a value that is not there is `-`.
    #[default]
    Default,
    /// As within a JSON string; bytes from 0x7f on stay.
    Json,
    /// As it is.
    None,
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

impl Escaping {
    /// The value of `escape=`. `None`: it is none of the three.
    pub fn parse(word: &str) -> Option<Escaping> {
        match word {
            "default" => Some(Escaping::Default),
            "json" => Some(Escaping::Json),
            "none" => Some(Escaping::None),
            _ => None,
        }
    }

    /// Makes a variable's value, which is `out` from `start` on, what it is in a line. Not `found`: the variable has no
    /// value here, which is not the same as an empty one.
    pub fn finish(self, out: &mut Vec<u8>, start: usize, found: bool) {
        match self {
            _ if !found => {
                out.truncate(start);
                if self == Escaping::Default {
                    out.push(b'-');
                }
            }
            Escaping::Default => escape(out, start, |byte| matches!(byte, b'"' | b'\\' | ..0x20 | 0x7f..), hex),
            Escaping::Json => escape(out, start, |byte| matches!(byte, b'"' | b'\\' | ..0x20), json),
            Escaping::None => {}
        }
    }
}

/// Leaves plain bytes as they are and lets `write` write the special ones. Nearly all values are plain.
fn escape(out: &mut Vec<u8>, start: usize, special: impl Fn(&u8) -> bool, write: impl Fn(&mut Vec<u8>, u8)) {
    let Some(first) = out[start..].iter().position(&special) else { return };
    let value = out.split_off(start + first);
    let mut rest = value.as_slice();
    while let Some(at) = rest.iter().position(&special) {
        out.extend_from_slice(&rest[..at]);
        write(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// RFC 8259 section 7.
fn json(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(escaping: Escaping, value: &[u8]) -> Vec<u8> {
        let mut out = [b"\"", value].concat();
        escaping.finish(&mut out, 1, true);
        out.split_off(1)
    }

    /// What nginx 1.22 logs for a request body of all 256 bytes.
    #[test]
    fn every_byte_is_written_as_nginx_writes_it() {
        let all: Vec<u8> = (0..=255).collect();
        let plain = |from: u8, to: u8| (from..=to).map(char::from).collect::<String>();
        let coded = |from: u8, to: u8| (from..=to).map(|byte| format!("\\x{byte:02X}")).collect::<String>();
        let middle = [plain(b' ', b'!'), "\\x22".into(), plain(b'#', b'['), "\\x5C".into(), plain(b']', b'~')].concat();
        let expected = [coded(0, 31), middle, coded(127, 255)].concat();
        assert_eq!(String::from_utf8(written(Escaping::Default, &all)).unwrap(), expected);

        let mut expected = b"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000B\\f\\r\\u000E\\u000F\
            \\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001A\\u001B\\u001C\\u001D\\u001E\\u001F !\\\""
            .to_vec();
        expected.extend((b'#'..=b'[').chain(*b"\\\\").chain(b']'..=255));
        assert_eq!(written(Escaping::Json, &all), expected);
        assert_eq!(written(Escaping::None, &all), all);
    }

    #[test]
    fn a_value_that_is_not_there_is_a_dash_and_an_empty_one_is_empty() {
        for (escaping, missing) in [(Escaping::Default, "-"), (Escaping::Json, ""), (Escaping::None, "")] {
            let mut out = b"a".to_vec();
            escaping.finish(&mut out, 1, false);
            assert_eq!(&out[1..], missing.as_bytes());
            assert_eq!(written(escaping, b""), b"");
        }
    }
}
