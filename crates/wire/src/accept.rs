//! Content negotiation: which of several codings of a content a client wants (RFC 9110 section 12.5.3).

use crate::h1::scan::{list, trim};

/// The weights an Accept-Encoding field gives to codings, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptEncoding<'f> {
    value: Option<&'f [u8]>,
}

impl<'f> AcceptEncoding<'f> {
    /// Of the field's value; without the field, only the identity is wanted.
    pub fn new(value: Option<&'f [u8]>) -> Self {
        AcceptEncoding { value }
    }

    /// The weight of a coding, 0 to 1000; 0 is "not acceptable". `x-gzip` is `gzip` (section 8.4.1.3).
    pub fn weight(&self, coding: &[u8]) -> u16 {
        let mut star = None;
        for item in list(self.value.unwrap_or_default()) {
            let (name, weight) = weighted(item);
            if name.eq_ignore_ascii_case(coding) || (coding == b"gzip" && name.eq_ignore_ascii_case(b"x-gzip")) {
                return weight;
            }
            if name == b"*" {
                star = Some(weight);
            }
        }
        // The identity is acceptable unless it is excluded, but comes after all that is asked for.
        let identity = coding.eq_ignore_ascii_case(b"identity");
        star.unwrap_or(u16::from(identity))
    }

    /// The weight of a coding as nginx reads the field: the first mention of its name counts, `*` and `x-gzip` do not,
    /// and what is malformed is "not acceptable".
    pub fn as_nginx(&self, coding: &[u8]) -> u16 {
        let value = self.value.unwrap_or_default();
        let mut from = 0;
        let after = loop {
            let rest = value.get(from..).unwrap_or_default();
            let Some(at) = rest.windows(coding.len()).position(|part| part.eq_ignore_ascii_case(coding)) else {
                return 0;
            };
            let at = from + at;
            from = at + coding.len();
            if at == 0 || matches!(value[at - 1], b',' | b' ') {
                break &value[from..];
            }
        };
        match after_spaces(after) {
            [] | [b',', ..] => 1000,
            [b';', parameter @ ..] => match after_spaces(parameter) {
                [] => 1000,
                [b'q' | b'Q', b'=', weight @ ..] => {
                    let end = weight.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(weight.len());
                    weight_as_nginx(&weight[..end])
                }
                _ => 0,
            },
            _ => 0,
        }
    }

    /// The index of the best of `codings`, which stand in the server's order of preference: the first of those with
    /// the highest weight. `None`: the client prefers none of them over the content as it is.
    pub fn best(&self, codings: &[&str]) -> Option<usize> {
        self.value?;
        let mut best: Option<(usize, u16)> = None;
        for (at, coding) in codings.iter().enumerate() {
            let weight = self.weight(coding.as_bytes());
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((at, weight));
            }
        }
        let (at, weight) = best?;
        (weight >= self.weight(b"identity")).then_some(at)
    }
}

/// What follows spaces; nothing else that is white counts.
fn after_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().position(|&byte| byte != b' ').unwrap_or(text.len())..]
}

/// A weight where nginx takes it for one: at most three digits behind the point, whose sum counts. With `1.` they must
/// all be 0.
fn weight_as_nginx(text: &[u8]) -> u16 {
    let (whole, fraction) = match text {
        [b'0', rest @ ..] => (0, rest),
        [b'1', rest @ ..] => (1000, rest),
        _ => return 0,
    };
    let digits = match fraction {
        [] => return whole,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return 0,
    };
    let scales = digits.iter().zip([100, 10, 1]);
    let value: u16 = whole + scales.map(|(digit, scale)| u16::from(digit - b'0') * scale).sum::<u16>();
    if value > 1000 { 0 } else { value }
}

/// A list member and its weight in thousandths; one that is malformed counts as 0.
fn weighted(item: &[u8]) -> (&[u8], u16) {
    let mut parts = item.split(|&b| b == b';').map(trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    (name, weight.map_or(1000, |text| thousandths(text).unwrap_or(0)))
}

/// `qvalue` of RFC 9110 section 12.4.2.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut value = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let mut scale = 100;
    for digit in fraction {
        if !digit.is_ascii_digit() {
            return None;
        }
        value += u16::from(digit - b'0') * scale;
        scale /= 10;
    }
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("0.5", Some(500)),
            ("0.001", Some(1)),
            ("1.000", Some(1000)),
            ("0.", Some(0)),
            ("1.001", None),
            ("2", None),
            ("0.0001", None),
            (".5", None),
            ("0.x", None),
            ("", None),
        ] {
            assert_eq!(thousandths(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn weights_as_nginx_reads_them() {
        for (value, expected) in [
            ("gzip", 1000),
            ("gzip,deflate", 1000),
            ("GZip", 1000),
            ("deflate, gzip", 1000),
            ("deflate,gzip;q=0.5", 500),
            ("gzip ; q=0.001", 1),
            ("gzip; Q=1.000", 1000),
            ("gzip;", 1000),
            ("gzip; ", 1000),
            ("gzip;q=0", 0),
            ("gzip;q=0.000", 0),
            ("gzip;q=0.", 0),
            ("gzip;q=1.", 1000),
            ("gzip;q=1.1", 0),
            ("gzip;q=2", 0),
            ("gzip;q=0.0001", 0),
            ("gzip;q=", 0),
            ("gzip;q", 0),
            ("gzip;q =1", 0),
            ("gzip;a=b", 0),
            ("gzip;q=0, gzip", 0),
            ("gzip x", 0),
            ("gzip\t", 0),
            ("x-gzip", 0),
            ("x-gzip, gzip", 1000),
            ("gzipped, gzip", 0),
            ("*", 0),
            ("", 0),
            ("gzi", 0),
        ] {
            assert_eq!(AcceptEncoding::new(Some(value.as_bytes())).as_nginx(b"gzip"), expected, "{value}");
        }
        assert_eq!(AcceptEncoding::new(None).as_nginx(b"gzip"), 0);
    }

    #[test]
    fn the_best_coding() {
        let codings = ["br", "zstd", "gzip"];
        for (value, expected) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZIP", Some("gzip")),
            ("gzip;q=1, br;q=0.5", Some("gzip")),
            ("gzip; q=0.5, br ;q=0.5", Some("br")),
            ("*", Some("br")),
            ("*;q=0", None),
            ("br;q=0, *", Some("zstd")),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
            ("identity;q=0, gzip;q=0.1", Some("gzip")),
            ("gzip;q=0", None),
            ("gzip;q=junk", None),
            ("deflate", None),
            ("", None),
        ] {
            let best = AcceptEncoding::new(Some(value.as_bytes())).best(&codings);
            assert_eq!(best.map(|at| codings[at]), expected, "{value}");
        }
        assert_eq!(AcceptEncoding::new(None).best(&codings), None);
    }
}
