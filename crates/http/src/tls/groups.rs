//! `ssl_ecdh_curve`: groups for the exchange of keys by OpenSSL's names.

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{DEFAULT_KX_GROUPS, kx_group};

/// Names of OpenSSL for groups that are not here.
#[rustfmt::skip]
const NONE: &[&str] = &[
    "x448", "secp521r1", "p-521", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192", "brainpoolp256r1", "brainpoolp384r1",
    "brainpoolp512r1", "secp224r1", "p-224", "secp256k1", "secp384r1mlkem1024", "mlkem512",
];

/// What a list comes to.
pub struct Chosen {
    pub groups: Vec<&'static dyn SupportedKxGroup>,
    /// Groups that are named and not here.
    pub left_out: Vec<String>,
}

/// Reads a list; the error is a name that nobody knows.
pub fn choose(text: &str) -> Result<Chosen, String> {
    let mut chosen = Chosen { groups: Vec::new(), left_out: Vec::new() };
    for word in text.split([':', '/']).filter(|word| !word.is_empty()) {
        // OpenSSL 3.5 marks groups whose keys are sent at once, and such as may be missing.
        let name = word.trim_start_matches(['*', '?']).to_ascii_lowercase();
        let group = match name.as_str() {
            "auto" | "default" => {
                chosen.groups.extend_from_slice(DEFAULT_KX_GROUPS);
                continue;
            }
            "x25519" => kx_group::X25519,
            "prime256v1" | "secp256r1" | "p-256" => kx_group::SECP256R1,
            "secp384r1" | "p-384" => kx_group::SECP384R1,
            "x25519mlkem768" => kx_group::X25519MLKEM768,
            "secp256r1mlkem768" => kx_group::SECP256R1MLKEM768,
            "mlkem768" => kx_group::MLKEM768,
            "mlkem1024" => kx_group::MLKEM1024,
            other if NONE.contains(&other) => {
                chosen.left_out.push(word.to_owned());
                continue;
            }
            _ if word.starts_with('?') => continue,
            _ => return Err(word.to_owned()),
        };
        if !chosen.groups.iter().any(|other| other.name() == group.name()) {
            chosen.groups.push(group);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_several_names() {
        for (text, groups, left_out) in [
            ("auto", 4, 0),
            ("X25519:prime256v1:secp384r1", 3, 0),
            ("P-256:secp256r1", 1, 0),
            ("X25519MLKEM768:X448:secp521r1:x25519", 2, 2),
            ("?SomeNew:P-384", 1, 0),
        ] {
            let chosen = choose(text).unwrap();
            assert_eq!((chosen.groups.len(), chosen.left_out.len()), (groups, left_out), "{text}");
        }
        assert_eq!(choose("X25519:NOPE").err(), Some("NOPE".into()));
    }
}
