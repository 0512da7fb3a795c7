//! PEM (RFC 7468), with the header lines of older keys (RFC 1421): sections of a file, decoded.

use crate::base64;

/// Larger files are none of ours, in bytes.
pub const LARGEST: u64 = 16 << 20;

/// One section of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// What stands after `BEGIN`.
    pub label: String,
    /// Its header lines: name and value.
    pub headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
}

/// A section that has no end, or is no base64.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// All sections of a text; what stands between them is passed over.
pub fn sections(text: &[u8]) -> Result<Vec<Section>, Broken> {
    let mut all = Vec::new();
    let mut open: Option<(String, Vec<(String, String)>, Vec<u8>)> = None;
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        let Some((label, headers, digits)) = &mut open else {
            if let Some(label) = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b"-----")) {
                open = Some((String::from_utf8_lossy(label).into_owned(), Vec::new(), Vec::new()));
            }
            continue;
        };
        if let Some(end) = line.strip_prefix(b"-----END ") {
            if end.strip_suffix(b"-----") != Some(label.as_bytes()) {
                return Err(Broken);
            }
            let bytes = base64::decode(base64::unpadded(digits), *b"+/").ok_or(Broken)?;
            all.push(Section { label: std::mem::take(label), headers: std::mem::take(headers), bytes });
            open = None;
        } else if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            let (name, value) = line.split_at(colon);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
            headers.push((text(name), text(&value[1..])));
        } else {
            digits.extend_from_slice(line);
        }
    }
    if open.is_some() { Err(Broken) } else { Ok(all) }
}

/// Writes a section, as OpenSSL does: 64 digits a line.
pub fn write(label: &str, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in bytes.chunks(48) {
        out.extend_from_slice(base64::encode(line).as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for len in [0, 1, 2, 3, 47, 48, 49, 200] {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut text = b"some words\r\n".to_vec();
            write("A B", &bytes, &mut text);
            let found = sections(&text).unwrap();
            assert_eq!(found, [Section { label: "A B".into(), headers: Vec::new(), bytes }]);
        }
    }

    #[test]
    fn headers_are_read_and_half_a_section_is_refused() {
        let text = b"-----BEGIN KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: X,00\r\n\r\nQUI=\r\n-----END KEY-----";
        let found = sections(text).unwrap();
        assert_eq!(found[0].bytes, b"AB");
        assert_eq!(found[0].headers[0], ("Proc-Type".to_owned(), "4,ENCRYPTED".to_owned()));
        assert_eq!(sections(&text[..text.len() - 8]), Err(Broken));
        assert_eq!(sections(b"-----BEGIN A-----\nQU*=\n-----END A-----\n"), Err(Broken));
        assert_eq!(sections(b""), Ok(Vec::new()));
    }
}
