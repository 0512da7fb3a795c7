//! The table of a `split_clients`: a text falls into a share, always into the same one.
//!
//! Shares are nginx's to the last bit, so that a client stays in its group when the server changes.

/// A share: hundredths of a percent, or what is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// 1 to as many as a number holds; over 10000 is refused when the shares are added up.
    Hundredths(u32),
    /// `*`
    Rest,
}

impl Share {
    /// Reads `*` or a percentage with up to two decimals.
    pub fn parse(text: &str) -> Result<Share, String> {
        if text == "*" {
            return Ok(Share::Rest);
        }
        match text.strip_suffix('%').and_then(hundredths) {
            Some(number) if number > 0 => Ok(Share::Hundredths(number)),
            _ => Err(format!("invalid percent value \"{text}\"")),
        }
    }
}

/// Reads a decimal number with up to two places behind the point.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return None;
    }
    format!("{whole}{part:0<2}").parse().ok()
}

/// Shares with their values.
pub struct SplitClients<V> {
    /// Hashes below the number are in the share; `None`: all that are left.
    parts: Vec<(Option<u32>, V)>,
}

impl<V> SplitClients<V> {
    /// Adds the shares up, in the order of the file.
    pub fn build(shares: impl IntoIterator<Item = (Share, V)>) -> Result<SplitClients<V>, String> {
        let (mut sum, mut limit) = (0u64, 0u32);
        let mut parts = Vec::new();
        for (share, value) in shares {
            let below = match share {
                Share::Hundredths(number) => {
                    sum += u64::from(number);
                    limit = limit.wrapping_add((u64::from(number) * u64::from(u32::MAX) / 10_000) as u32);
                    Some(limit)
                }
                Share::Rest => {
                    sum = 10_000;
                    None
                }
            };
            if sum > 10_000 {
                return Err("percent total is greater than 100%".to_owned());
            }
            parts.push((below, value));
        }
        Ok(SplitClients { parts })
    }

    /// The value of the share into which `key` falls. `None` if it falls into none: the variable is empty.
    pub fn find(&self, key: &[u8]) -> Option<&V> {
        let hash = murmur2(key);
        self.parts.iter().find(|(below, _)| below.is_none_or(|below| hash < below)).map(|(_, value)| value)
    }
}

/// MurmurHash2 with the seed 0.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = word.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte)).wrapping_mul(M);
        k = (k ^ k >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash = (hash ^ rest.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte))).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(shares: &[(&str, &'static str)]) -> Result<SplitClients<&'static str>, String> {
        let shares: Result<Vec<_>, String> =
            shares.iter().map(|(share, value)| Ok((Share::parse(share)?, *value))).collect();
        SplitClients::build(shares?)
    }

    #[test]
    fn percentages() {
        for (text, expected) in [
            ("*", Some(Share::Rest)),
            ("1%", Some(Share::Hundredths(100))),
            ("0.5%", Some(Share::Hundredths(50))),
            (".5%", Some(Share::Hundredths(50))),
            ("33.33%", Some(Share::Hundredths(3333))),
            ("5.%", Some(Share::Hundredths(500))),
            ("0.01%", Some(Share::Hundredths(1))),
            ("200%", Some(Share::Hundredths(20000))),
            ("0%", None),
            ("0.00%", None),
            ("%", None),
            (".%", None),
            ("1.555%", None),
            ("1.5.5%", None),
            ("-1%", None),
            ("+1%", None),
            ("1", None),
            ("", None),
            ("**", None),
            ("99999999999%", None),
        ] {
            let expected = expected.ok_or_else(|| format!("invalid percent value \"{text}\""));
            assert_eq!(Share::parse(text), expected);
        }
    }

    #[test]
    fn hashes() {
        for (key, hash) in [
            ("", 0),
            ("a", 0x9268_5f5e),
            ("ab", 0x1aa1_4063),
            ("abc", 0x1357_7c9b),
            ("abcd", 0x2687_3021),
            ("127.0.0.1", 0xb613_1d91),
            ("The quick brown fox", 0x5b36_1318),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn more_than_all() {
        for shares in [&["50%", "50.01%"][..], &["*", "1%"], &["200%"], &["100%", "0.01%", "*"]] {
            let shares: Vec<_> = shares.iter().map(|share| (*share, "")).collect();
            assert_eq!(build(&shares).err().as_deref(), Some("percent total is greater than 100%"), "{shares:?}");
        }
        assert!(build(&[("100%", ""), ("*", "")]).is_ok());
        assert!(build(&[("*", ""), ("*", "")]).is_ok());
    }

    #[test]
    fn shares_are_as_big_as_they_say() {
        let split = build(&[("10%", "a"), ("0.5%", "b"), ("*", "c")]).unwrap();
        let half = build(&[("50%", "a")]).unwrap();
        let keys: Vec<String> = (0..100_000).map(|number| format!("10.{}.{}", number / 256, number % 256)).collect();
        let count = |split: &SplitClients<&'static str>, value: Option<&str>| {
            keys.iter().filter(|key| split.find(key.as_bytes()).copied() == value).count()
        };
        for (split, value, expected) in
            [(&split, Some("a"), 10_000), (&split, Some("b"), 500), (&split, Some("c"), 89_500), (&half, None, 50_000)]
        {
            let number = count(split, value);
            assert!(number.abs_diff(expected) < 100 + expected / 50, "{value:?}: {number}");
        }
    }
}
