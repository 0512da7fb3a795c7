//! `ssl_ciphers`: OpenSSL's cipher strings (ciphers(1)) over the suites of TLS 1.2 that there are here. What names only
//! suites that are not here is told; what no OpenSSL knows is refused.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::*;

use super::names;

/// Whether a suite is one with ChaCha20.
pub fn is_chacha(number: u16) -> bool {
    matches!(number, 0x1303 | 0xcca8 | 0xcca9)
}

/// How quick a suite is where there is AES in hardware: the quickest first.
pub fn rank(number: u16) -> u8 {
    match number {
        0x1301 | 0xc02b | 0xc02f => 0,
        0x1302 | 0xc02c | 0xc030 => 1,
        _ => 2,
    }
}

/// Whether of the suites that there are here a client puts one with ChaCha20 first.
pub fn wants_chacha(offered: &[u16]) -> bool {
    let known = |number: &&u16| rank(**number) < 2 || is_chacha(**number);
    offered.iter().find(known).is_some_and(|first| is_chacha(*first))
}

/// A suite of TLS 1.2, and the words of cipher strings that mean it.
struct Suite {
    name: &'static str,
    words: &'static [&'static str],
    suite: SupportedCipherSuite,
    /// Of the key, in bits, for `@STRENGTH`.
    bits: u16,
}

macro_rules! suite {
    ($name:literal $suite:ident $bits:literal $($word:literal)*) => {
        Suite { name: $name, words: &[$($word),*], suite: $suite, bits: $bits }
    };
}

/// In OpenSSL's order.
#[rustfmt::skip]
static SUITES: &[Suite] = &[
    suite!("ECDHE-ECDSA-AES256-GCM-SHA384" TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 256 "aECDSA" "ECDSA" "AES256" "AES" "AESGCM" "SHA384"),
    suite!("ECDHE-RSA-AES256-GCM-SHA384" TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 256 "aRSA" "RSA" "AES256" "AES" "AESGCM" "SHA384"),
    suite!("ECDHE-ECDSA-CHACHA20-POLY1305" TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 256 "aECDSA" "ECDSA" "CHACHA20"),
    suite!("ECDHE-RSA-CHACHA20-POLY1305" TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 256 "aRSA" "RSA" "CHACHA20"),
    suite!("ECDHE-ECDSA-AES128-GCM-SHA256" TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 128 "aECDSA" "ECDSA" "AES128" "AES" "AESGCM" "SHA256"),
    suite!("ECDHE-RSA-AES128-GCM-SHA256" TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 128 "aRSA" "RSA" "AES128" "AES" "AESGCM" "SHA256"),
];

/// Words that mean all of them.
const ALL: &[&str] =
    &["ALL", "HIGH", "TLSv1.2", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH", "DEFAULT", "FIPS", "COMPLEMENTOFDEFAULT"];

/// Words of OpenSSL for what is not here.
#[rustfmt::skip]
const NONE: &[&str] = &[
    "3DES", "ADH", "AECDH", "AESCCM", "AESCCM8", "ARIA", "ARIA128", "ARIA256", "ARIAGCM", "CAMELLIA", "CAMELLIA128",
    "CAMELLIA256", "CBC", "COMPLEMENTOFALL", "DES", "DH", "DHE", "DSS", "EDH", "EXP", "EXPORT", "EXPORT40", "EXPORT56", "GOST94",
    "GOST89MAC", "IDEA", "KRB5", "LOW", "MD5", "MEDIUM", "NULL", "PSK", "RC2", "RC4", "SEED", "SHA", "SHA1", "SRP", "SSLv2", "SSLv3",
    "SUITEB128", "SUITEB128ONLY", "SUITEB192", "TLSv1", "TLSv1.0", "TLSv1.3", "aDH", "aDSS", "aGOST", "aGOST01", "aNULL", "aPSK",
    "aECDH", "aSRP", "eNULL", "kDH", "kDHE", "kDHEPSK", "kDHd", "kDHr", "kECDH", "kECDHEPSK", "kECDHe", "kECDHr", "kEDH", "kGOST", "kPSK", "kRSA",
    "kRSAPSK", "kSRP", "DHEPSK", "ECDHEPSK", "RSAPSK", "AESCBC", "CHACHA20POLY1305", "STRENGTH",
];

/// What a cipher string comes to.
pub struct Chosen {
    /// In the order of preference.
    pub suites: Vec<SupportedCipherSuite>,
    /// Suites that are named and not here.
    pub left_out: Vec<String>,
}

/// Evaluates a string; the error is a word that nobody knows.
pub fn choose(text: &str) -> Result<Chosen, String> {
    let mut active: Vec<&Suite> = Vec::new();
    let mut killed: Vec<&str> = Vec::new();
    let mut left_out = Vec::new();
    for element in text.split([':', ',', ' ', ';']).filter(|element| !element.is_empty()) {
        if let Some(command) = element.strip_prefix('@') {
            match command {
                "STRENGTH" => active.sort_by_key(|suite| std::cmp::Reverse(suite.bits)),
                _ if command.starts_with("SECLEVEL=") => {}
                _ => return Err(element.to_owned()),
            }
            continue;
        }
        let (rule, words) = match element.as_bytes()[0] {
            rule @ (b'!' | b'-' | b'+') => (rule, &element[1..]),
            _ => (0, element),
        };
        let found = matching(words, &mut left_out, rule == 0)?;
        match rule {
            0 => {
                for suite in found {
                    let has = |list: &[&str]| list.contains(&suite.name);
                    if !has(&killed) && !active.iter().any(|other| other.name == suite.name) {
                        active.push(suite);
                    }
                }
            }
            b'+' => {
                let (moved, mut rest): (Vec<_>, Vec<_>) =
                    active.into_iter().partition(|suite| found.iter().any(|other| other.name == suite.name));
                rest.extend(moved);
                active = rest;
            }
            _ => {
                active.retain(|suite| !found.iter().any(|other| other.name == suite.name));
                if rule == b'!' {
                    killed.extend(found.iter().map(|suite| suite.name));
                }
            }
        }
    }
    Ok(Chosen { suites: active.into_iter().map(|suite| suite.suite).collect(), left_out })
}

/// The suites that all words of `A+B` mean.
fn matching(words: &str, left_out: &mut Vec<String>, wanted: bool) -> Result<Vec<&'static Suite>, String> {
    let mut found: Vec<&'static Suite> = SUITES.iter().collect();
    for word in words.split('+') {
        if ALL.contains(&word) {
            continue;
        }
        if SUITES.iter().any(|suite| suite.name == word || suite.words.contains(&word)) {
            found.retain(|suite| suite.name == word || suite.words.contains(&word));
        } else if NONE.contains(&word) {
            found.clear();
        } else if is_name(word) {
            found.clear();
            // Those of TLS 1.3 are there anyway.
            if wanted && !word.starts_with("TLS_") && !left_out.iter().any(|other| other == word) {
                left_out.push(word.to_owned());
            }
        } else {
            return Err(word.to_owned());
        }
    }
    Ok(found)
}

/// Whether a word is the name of some suite: one that OpenSSL 3 has, or made of the same parts as older ones were.
fn is_name(word: &str) -> bool {
    #[rustfmt::skip]
    const PARTS: &[&str] = &[
        "ECDHE", "ECDH", "DHE", "EDH", "DH", "ADH", "AECDH", "RSA", "ECDSA", "DSS", "PSK", "SRP", "KRB5", "EXP", "EXP1024", "AES128", "AES256",
        "AES", "GCM", "CCM", "CCM8", "CBC", "CBC3", "DES", "RC2", "RC4", "IDEA", "SEED", "CAMELLIA128", "CAMELLIA256", "ARIA128", "ARIA256",
        "CHACHA20", "POLY1305", "SHA", "SHA256", "SHA384", "MD5", "NULL", "3DES", "GOST2001", "GOST94", "GOST89", "D", "40", "56", "64", "128",
    ];
    let old = word.contains('-') && word.split('-').all(|part| PARTS.contains(&part));
    old || names::is_suite(word)
}

/// The suites of TLS 1.3 in OpenSSL's order.
pub fn tls13() -> Vec<SupportedCipherSuite> {
    vec![TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256]
}

/// The suites of TLS 1.3 that a list names; the error is nginx's reason.
pub fn choose_tls13(text: &str) -> Result<(Vec<SupportedCipherSuite>, Vec<String>), String> {
    let (mut suites, mut left_out) = (Vec::new(), Vec::new());
    for name in text.split(':').filter(|name| !name.is_empty()) {
        match tls13().into_iter().find(|suite| names::suite(suite.suite().into()) == Some(name)) {
            Some(suite) => suites.push(suite),
            None if name.starts_with("TLS_") && names::is_suite(name) => left_out.push(name.to_owned()),
            None => return Err("no cipher match".into()),
        }
    }
    Ok((suites, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(text: &str) -> String {
        let chosen = choose(text).unwrap();
        let short = |suite: &SupportedCipherSuite| {
            let name = super::names::suite(suite.suite().into()).unwrap();
            let signed = if name.contains("ECDSA") { "e" } else { "r" };
            let cipher = ["AES256", "AES128", "CHACHA20"].into_iter().find(|cipher| name.contains(cipher)).unwrap();
            format!("{signed}{}", &cipher[cipher.len() - 3..])
        };
        let names: Vec<String> = chosen.suites.iter().map(short).collect();
        format!("{} | {}", names.join(" "), chosen.left_out.len())
    }

    #[test]
    fn strings_are_evaluated_as_by_openssl() {
        let all = "e256 r256 eA20 rA20 e128 r128 | 0";
        for (text, chosen) in [
            ("HIGH:!aNULL:!MD5", all),
            ("DEFAULT", all),
            ("ALL:!ADH:!EXPORT56:RC4+RSA:+HIGH:+MEDIUM:+LOW:+SSLv2:+EXP", all),
            ("EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH", "e256 r256 e128 r128 | 0"),
            ("ECDHE+CHACHA20:ECDHE+AES128:ECDHE+AES:!aECDSA", "rA20 r128 r256 | 0"),
            ("AES128:AES256:@STRENGTH", "e256 r256 e128 r128 | 0"),
            ("AES128:AES256:+AES128:-aECDSA:aECDSA", "r256 r128 e256 eA20 e128 | 0"),
            ("!AES128:ALL", "e256 r256 eA20 rA20 | 0"),
            ("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:DES-CBC3-SHA:!DSS@SECLEVEL=0", "r128 | 2"),
            ("kRSA", " | 0"),
        ] {
            let text = text.replace("@SECLEVEL", ":@SECLEVEL");
            assert_eq!(names_of(&text), chosen, "{text}");
        }
        assert_eq!(choose("ECDHE:TYPO").err(), Some("TYPO".into()));
        assert_eq!(choose("ECDHE-RSA-AES129-SHA").err(), Some("ECDHE-RSA-AES129-SHA".into()));
    }

    #[test]
    fn the_lists_that_are_recommended_pass() {
        let intermediate = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
            ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
            DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305";
        assert_eq!(names_of(intermediate), "e128 r128 e256 r256 eA20 rA20 | 3");
        let old = format!(
            "{intermediate}:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-SHA256:AES128-GCM-SHA256:\
             AES256-SHA256:AES128-SHA:DES-CBC3-SHA"
        );
        assert_eq!(names_of(&old), "e128 r128 e256 r256 eA20 rA20 | 10");
    }

    #[test]
    fn tls_1_3_has_a_list_of_its_own() {
        let (suites, left_out) = choose_tls13("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256").unwrap();
        assert_eq!((suites.len(), left_out.len()), (1, 1));
        assert!(choose_tls13("NOPE").is_err());
    }
}
