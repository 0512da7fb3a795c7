//! What settings say of protocols, ciphers and groups, in rustls' terms. What there is not here is warned of; what is
//! wrong, or leaves nothing, is an error in nginx's words.

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use super::{ciphers, groups};
use crate::features::ssl::{Settings, USUAL_CIPHERS};

/// What handshakes are done by.
pub struct Plan {
    pub provider: CryptoProvider,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// The server's order of ciphers holds.
    pub prefer: bool,
    pub tickets: bool,
    /// Nobody has said whose order holds.
    own_order: bool,
    /// The suites of TLS 1.3 are said.
    said13: bool,
    /// Clients that put ChaCha20 first are to have it, though the server's order holds.
    chacha: bool,
    pub warnings: Vec<String>,
}

/// Commands of OpenSSL that are warned of.
#[rustfmt::skip]
const WITHOUT_EFFECT: &[&str] = &[
    "signaturealgorithms", "clientsignaturealgorithms", "recordpadding", "verifymode", "verifycafile", "verifycapath", "chaincafile",
    "chaincapath", "requestcafile", "requestcapath", "clientcafile", "clientcapath", "dhparameters", "numtickets", "antireplay", "certificate",
    "privatekey", "serverinfofile", "verifycastore", "chaincastore", "requestcastore", "txcertificatecompression", "rxcertificatecompression",
];

/// Options that hold anyway, or change nothing.
#[rustfmt::skip]
const OPTIONS_WITHOUT_EFFECT: &[&str] = &[
    "bugs", "compression", "norenegotiation", "noresumptiononrenegotiation", "unsafelegacyrenegotiation", "unsafelegacyserverconnect",
    "encryptthenmac", "allownodhekex", "middleboxcompat", "antireplay", "extendedmastersecret", "canames", "ktls",
    "ecdhsingle", "dhsingle", "emptyfragments", "strictcertcheck", "txcertificatecompression", "rxcertificatecompression", "ktlstxzerocopysendfile",
    "ignoreunexpectedeof", "prefernodhekex",
];

struct Wanted {
    ciphers: String,
    suites13: Vec<SupportedCipherSuite>,
    curves: String,
    tls12: bool,
    tls13: bool,
}

impl Plan {
    pub fn new(settings: &Settings) -> Result<Plan, String> {
        let protocols = settings.protocols;
        let mut wanted = Wanted {
            ciphers: settings.ciphers.to_string(),
            suites13: ciphers::tls13(),
            curves: settings.curves.to_string(),
            tls12: protocols.tls12,
            tls13: protocols.tls13,
        };
        let mut plan = Plan {
            provider: aws_lc_rs::default_provider(),
            versions: Vec::new(),
            prefer: settings.prefer_server_ciphers.unwrap_or(true),
            tickets: settings.session_tickets,
            own_order: settings.prefer_server_ciphers.is_none(),
            said13: false,
            chacha: false,
            warnings: Vec::new(),
        };
        for (name, value) in settings.commands.iter() {
            let failed = |why: &str| format!("SSL_CONF_cmd(\"{name}\", \"{value}\") failed ({why})");
            plan.command(&mut wanted, name, value).map_err(|why| failed(&why))?;
        }
        if !wanted.tls12 && !wanted.tls13 {
            return Err("no protocol is left: only TLSv1.2 and TLSv1.3 are supported".into());
        }
        if wanted.tls13 {
            plan.versions.push(&version::TLS13);
        }
        if wanted.tls12 {
            plan.versions.push(&version::TLS12);
        }
        plan.suites(&wanted)?;
        plan.groups(&wanted.curves)?;
        Ok(plan)
    }

    /// The same for clients that put ChaCha20 first, if they are to have it.
    pub fn for_chacha(&self) -> Option<CryptoProvider> {
        let has_it = self.own_order || (self.prefer && self.chacha);
        if !has_it {
            return None;
        }
        let mut provider = self.provider.clone();
        provider.cipher_suites.sort_by_key(|suite| !ciphers::is_chacha(suite.suite().into()));
        Some(provider)
    }

    fn suites(&mut self, wanted: &Wanted) -> Result<(), String> {
        let text = &wanted.ciphers;
        let failed = |why: &str| format!("SSL_CTX_set_cipher_list(\"{text}\") failed ({why})");
        let chosen = ciphers::choose(text).map_err(|word| failed(&format!("\"{word}\" is no cipher of OpenSSL's")))?;
        if chosen.suites.is_empty() && wanted.tls12 {
            return Err(failed("no cipher match: of TLSv1.2 there are those with ECDHE and AES-GCM or ChaCha20 here"));
        }
        if !chosen.left_out.is_empty() && wanted.tls12 {
            self.warnings.push(format!(
                "\"ssl_ciphers\": {} not supported and left out: {}",
                if chosen.left_out.len() == 1 { "one is" } else { "some are" },
                chosen.left_out.join(", ")
            ));
        }
        // AES-128 is as good as AES-256 for all that is known, and the handshake, whose hash goes with it, is quicker.
        let quickest = |suites: &mut Vec<SupportedCipherSuite>| {
            suites.sort_by_key(|suite| ciphers::rank(suite.suite().into()));
        };
        let (mut suites, mut suites12) = (Vec::new(), chosen.suites);
        if wanted.tls13 {
            suites.extend_from_slice(&wanted.suites13);
            if self.own_order && !self.said13 {
                quickest(&mut suites);
            }
        }
        if wanted.tls12 {
            if self.own_order && text == USUAL_CIPHERS {
                quickest(&mut suites12);
            }
            suites.append(&mut suites12);
        }
        self.provider.cipher_suites = suites;
        Ok(())
    }

    fn groups(&mut self, text: &str) -> Result<(), String> {
        let failed = |why: &str| format!("SSL_CTX_set1_curves_list(\"{text}\") failed ({why})");
        let chosen = groups::choose(text).map_err(|name| failed(&format!("group '{name}' cannot be set")))?;
        if chosen.groups.is_empty() {
            return Err(failed("none of them is supported here: X25519, prime256v1, secp384r1, X25519MLKEM768 are"));
        }
        if !chosen.left_out.is_empty() {
            let names = chosen.left_out.join(", ");
            self.warnings.push(format!("\"ssl_ecdh_curve\": not supported and left out: {names}"));
        }
        self.provider.kx_groups = chosen.groups;
        Ok(())
    }

    /// `ssl_conf_command`
    fn command(&mut self, wanted: &mut Wanted, name: &str, value: &str) -> Result<(), String> {
        let mut without_effect = |what: &str| {
            self.warnings.push(format!("\"ssl_conf_command {name} {value}\": {what} has no effect here"));
        };
        match name.to_ascii_lowercase().as_str() {
            "ciphersuites" => {
                let (suites, left_out) = ciphers::choose_tls13(value)?;
                if suites.is_empty() && wanted.tls13 {
                    return Err("no cipher match".into());
                }
                if !left_out.is_empty() {
                    without_effect(&left_out.join(", "));
                }
                wanted.suites13 = suites;
                self.said13 = true;
            }
            "cipherstring" => wanted.ciphers = value.to_owned(),
            "curves" | "groups" => wanted.curves = value.to_owned(),
            "minprotocol" => match rank(value)? {
                4 => wanted.tls12 = false,
                0..=3 => {}
                _ => return Err("bad value".into()),
            },
            "maxprotocol" => match rank(value)? {
                0 | 4 => {}
                3 => wanted.tls13 = false,
                _ => (wanted.tls12, wanted.tls13) = (false, false),
            },
            "protocol" => {
                for word in value.split(',').map(str::trim) {
                    let (on, word) = match word.as_bytes().first() {
                        Some(b'-') => (false, &word[1..]),
                        Some(b'+') => (true, &word[1..]),
                        _ => (true, word),
                    };
                    match word {
                        "TLSv1.2" => wanted.tls12 = on,
                        "TLSv1.3" => wanted.tls13 = on,
                        "ALL" => (wanted.tls12, wanted.tls13) = (on, on),
                        "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => {}
                        _ => return Err("bad value".into()),
                    }
                }
            }
            "options" => {
                for word in value.split(',').map(str::trim) {
                    let (on, word) = match word.as_bytes().first() {
                        Some(b'-') => (false, &word[1..]),
                        Some(b'+') => (true, &word[1..]),
                        _ => (true, word),
                    };
                    match word.to_ascii_lowercase().as_str() {
                        "serverpreference" => (self.prefer, self.own_order) = (on, false),
                        "sessionticket" => self.tickets = on,
                        "norenegotiation" => {}
                        "prioritizechacha" => self.chacha = on,
                        other if OPTIONS_WITHOUT_EFFECT.contains(&other) => {
                            self.warnings.push(format!("\"ssl_conf_command Options {word}\" has no effect here"));
                        }
                        _ => return Err("bad value".into()),
                    }
                }
            }
            other if WITHOUT_EFFECT.contains(&other) => without_effect("it"),
            _ => return Err("unknown cmd name".into()),
        }
        Ok(())
    }
}

/// Protocols in their order; 0: none.
fn rank(name: &str) -> Result<u8, String> {
    match name {
        "None" => Ok(0),
        "SSLv3" | "TLSv1" => Ok(1),
        "TLSv1.1" => Ok(2),
        "TLSv1.2" => Ok(3),
        "TLSv1.3" => Ok(4),
        _ => Err("bad value".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::features::ssl::Protocols;

    fn plan(commands: &[(&str, &str)]) -> Result<String, String> {
        let commands = commands.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let plan = Plan::new(&Settings { commands: Arc::new(commands), ..Settings::default() })?;
        let (suites, groups) = (plan.provider.cipher_suites.len(), plan.provider.kx_groups.len());
        Ok(format!("{} {suites} {groups} {} {}", plan.versions.len(), plan.prefer, plan.warnings.len()))
    }

    #[test]
    fn commands_of_openssl_are_mapped() {
        for (name, value, came) in [
            ("Ciphersuites", "TLS_AES_128_GCM_SHA256", "2 7 4 true 0"),
            ("CipherString", "AES256", "2 5 4 true 0"),
            ("groups", "X25519:P-521", "2 9 1 true 1"),
            ("MinProtocol", "TLSv1.3", "1 3 4 true 0"),
            ("MaxProtocol", "TLSv1.2", "1 6 4 true 0"),
            ("Protocol", "-TLSv1.3", "1 6 4 true 0"),
            ("Options", "PrioritizeChaCha,ServerPreference,KTLS", "2 9 4 true 1"),
            ("SignatureAlgorithms", "RSA+SHA256", "2 9 4 true 1"),
        ] {
            assert_eq!(plan(&[(name, value)]).as_deref(), Ok(came), "{name} {value}");
        }
        for (name, value, why) in [
            ("Foo", "bar", "SSL_CONF_cmd(\"Foo\", \"bar\") failed (unknown cmd name)"),
            ("Ciphersuites", "NOPE", "SSL_CONF_cmd(\"Ciphersuites\", \"NOPE\") failed (no cipher match)"),
            ("Options", "x", "SSL_CONF_cmd(\"Options\", \"x\") failed (bad value)"),
            ("MaxProtocol", "TLSv1", "no protocol is left: only TLSv1.2 and TLSv1.3 are supported"),
        ] {
            assert_eq!(plan(&[(name, value)]).err().as_deref(), Some(why));
        }
    }

    #[test]
    fn the_quickest_comes_first_unless_an_order_is_said() {
        let first = |settings: &Settings| {
            let plan = Plan::new(settings).unwrap();
            let name = |provider: &CryptoProvider| super::super::names::suite(provider.cipher_suites[0].suite().into());
            (name(&plan.provider), plan.for_chacha().and_then(|provider| name(&provider)))
        };
        let (aes_128, aes_256, chacha) =
            (Some("TLS_AES_128_GCM_SHA256"), Some("TLS_AES_256_GCM_SHA384"), Some("TLS_CHACHA20_POLY1305_SHA256"));
        assert_eq!(first(&Settings::default()), (aes_128, chacha));
        for order in [true, false] {
            let said = Settings { prefer_server_ciphers: Some(order), ..Settings::default() };
            assert_eq!(first(&said), (aes_256, None));
        }
    }

    #[test]
    fn what_leaves_nothing_is_refused() {
        let with = |ciphers: &str, protocols: Protocols| {
            Plan::new(&Settings { ciphers: ciphers.into(), protocols, ..Settings::default() }).map(drop)
        };
        let older = Protocols { tls12: false, tls13: false, older: true };
        assert!(with("HIGH", older).is_err());
        assert!(
            with("kRSA", Protocols::default()).unwrap_err().starts_with("SSL_CTX_set_cipher_list(\"kRSA\") failed")
        );
        assert!(with("kRSA", Protocols { tls12: false, ..Protocols::default() }).is_ok());
    }
}
