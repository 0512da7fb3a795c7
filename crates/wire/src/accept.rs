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

    /// The weight of a coding that is asked for by its own name: neither `*` nor `x-gzip` counts, as in nginx.
    pub fn named(&self, coding: &[u8]) -> u16 {
        let mut items = list(self.value.unwrap_or_default()).map(weighted);
        items.find(|(name, _)| name.eq_ignore_ascii_case(coding)).map_or(0, |(_, weight)| weight)
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
