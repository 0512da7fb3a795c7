//! The directives of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use conf::Diagnostic;

use super::{Kept, Ocsp, Protocols, SessionCache, Settings, Source, Verify};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::{MANY, Row};
use crate::tls::certificates::{self, Place};
use crate::zone::Use;

/// The least memory of a cache of sessions, in bytes: eight pages.
const LEAST_CACHE: u64 = 8 * 4096;
/// Sessions in a worker's own cache.
const BUILTIN: usize = 20 * 1024;

/// The table, by name.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row::new("ssl_buffer_size", HS, (1, 1), "SIZE", "16k",
        "The longest record: so much of an answer is encrypted as one piece that the client can only decrypt as a whole. At \
         most 16k.",
        Set(|s| { own(s).buffer_size = s.size(0)?; Ok(()) })),
    Row::new("ssl_certificate", HS, (1, 1), "FILE | data:TEXT", "",
        "The server's certificate in PEM, followed by those that lead to its root. May stand several times for keys of \
         different kinds (RSA, ECDSA): each client is shown the first that it can check. With variables, the file is chosen \
         for each handshake. `data:` is followed by the certificate itself. A file that has changed is taken up within \
         seconds.",
        Set(|s| {
            let source = source(s)?;
            let first = s.first;
            let certificates = &mut own(s).certificates;
            if first {
                certificates.clear();
            }
            certificates.push(source);
            Ok(())
        })).repeats(),
    Row::new("ssl_certificate_cache", HS, (1, 3), "off | max=NUMBER [inactive=TIME] [valid=TIME]", "off",
        "How certificates whose names have variables are kept: so many, dropped when unused for so long, and not looked at \
         again for so long. With `off` the files are looked at in each handshake.",
        Set(|s| { let kept = certificate_cache(s)?; own(s).kept = kept; Ok(()) })),
    Row::new("ssl_certificate_compression", HS, (1, 1), "on | off", "off",
        "Whether certificates are compressed (zlib) for clients that can read them so.",
        Set(|s| { own(s).compression = s.flag()?; Ok(()) })),
    Row::new("ssl_certificate_key", HS, (1, 1), "FILE | data:TEXT", "",
        "The key of the certificate, in PEM; of several, each belongs to the `ssl_certificate` in the same place.",
        Set(|s| {
            let source = source(s)?;
            let first = s.first;
            let keys = &mut own(s).keys;
            if first {
                keys.clear();
            }
            keys.push(source);
            Ok(())
        })).repeats(),
    Row::new("ssl_certificate_key_password", HS, (1, 1), "PASSWORD", "",
        "A passphrase of keys. Who can read the configuration reads it: `ssl_password_file` is the better place. It is here for what \
         the command line says.",
        Set(|s| {
            let password = s.text(0).as_bytes().to_vec();
            Arc::make_mut(&mut own(s).passwords).push(password);
            Ok(())
        })),
    Row::new("ssl_ciphers", HS, (1, 1), "CIPHERS", "HIGH:!aNULL:!MD5",
        "The ciphers of TLS 1.2, as OpenSSL lists them. There are those with ECDHE and AES-GCM or ChaCha20; others are left out \
         with a warning.",
        Set(|s| { own(s).ciphers = s.text(0).into(); Ok(()) })),
    Row::new("ssl_client_certificate", HS, (1, 1), "FILE", "",
        "Certificates of authorities, in PEM, that those of clients are checked with; clients are told of them.",
        Set(|s| { own(s).client_certificate = Some(path(s)); Ok(()) })),
    Row::new("ssl_conf_command", HS, (2, 2), "NAME VALUE", "",
        "A command of OpenSSL's configuration: Ciphersuites, CipherString, Groups (Curves), MinProtocol, MaxProtocol, Protocol, and the \
         Options ServerPreference and SessionTicket work; others are warned of.",
        Set(|s| {
            let command = (s.text(0).to_owned(), s.text(1).to_owned());
            let first = s.first;
            let commands = Arc::make_mut(&mut own(s).commands);
            if first {
                commands.clear();
            }
            commands.push(command);
            Ok(())
        })).repeats(),
    Row::new("ssl_crl", HS, (1, 1), "FILE", "",
        "Lists of certificates that clients may not have any more, in PEM: one of each authority in a chain.",
        Set(|s| { own(s).crl = Some(path(s)); Ok(()) })),
    Row::new("ssl_dhparam", HS, (1, 1), "FILE", "",
        "Parameters for DHE ciphers. There are none of these here: the file is checked, and a warning given.",
        Set(|s| { own(s).dhparam = Some(path(s)); Ok(()) })),
    Row::new("ssl_early_data", HS, (1, 1), "on | off", "off",
        "Whether requests are taken and answered that a client sends before the handshake's end (TLS 1.3, of a session that \
         it had before). Somebody may have recorded and sent them again: for these `$ssl_early_data` is `1`, and what must \
         not be done twice is to be answered 425 then. Needs a session cache and `ssl_session_tickets off`: a session in the \
         cache can be used once, so that within its reach nothing is taken twice.",
        Set(|s| { own(s).early_data = s.flag()?; Ok(()) })),
    Row::new("ssl_ecdh_curve", HS, (1, 1), "CURVES", "auto",
        "Groups for the exchange of keys, by preference: X25519, prime256v1 (P-256), secp384r1 (P-384), X25519MLKEM768, \
         SecP256r1MLKEM768.",
        Set(|s| { own(s).curves = s.text(0).into(); Ok(()) })),
    Row::new("ssl_ech_file", HS, (1, 1), "FILE", "",
        "Keys for encrypted ClientHello, which there is not here: clients go on without it, with a warning.",
        Set(|s| {
            let warning = s.wrong("\"ssl_ech_file\" is ignored: encrypted ClientHello is not supported");
            s.make.warn(warning);
            Ok(())
        })).repeats(),
    Row::new("ssl_key_log", HS, (1, 1), "FILE", "",
        "A file that the keys of connections are written to, for looking at what goes over the wire.",
        Set(|s| { own(s).key_log = Some(path(s)); Ok(()) })),
    Row::new("ssl_object_cache_inheritable", crate::config::context::sets::M, (1, 1), "on | off", "on",
        "Whether certificates that did not change are kept over a reload; without effect.",
        Tuning(crate::config::arguments::check::flag)),
    Row::new("ssl_ocsp", HS, (1, 1), "on | off | leaf", "off",
        "Whether the issuers of clients' certificates are asked, by OCSP, if these are still good: for all in the chain, or only for \
         the client's own (`leaf`). Clients whose certificates are not, or of which that cannot be found out, are refused as those \
         with other bad ones.",
        Set(|s| {
            let ocsp = s.one_of(0, &[("on", Ocsp::On), ("off", Ocsp::Off), ("leaf", Ocsp::Leaf)])?;
            own(s).ocsp = ocsp;
            Ok(())
        })),
    Row::new("ssl_ocsp_cache", HS, (1, 1), "off | shared:NAME:SIZE", "off",
        "Memory that all workers share for what responders said of clients' certificates. Without it they are asked at each handshake.",
        Set(ocsp_cache)),
    Row::new("ssl_ocsp_responder", HS, (1, 1), "URL", "",
        "Who is asked by OCSP about certificates of clients, in place of the responders that these name. `http://` only.",
        Set(|s| {
            let url = (!s.text(0).is_empty()).then(|| s.text(0).into());
            own(s).ocsp_responder = url;
            Ok(())
        })),
    Row::new("ssl_password_file", HS, (1, 1), "FILE", "",
        "Passphrases of keys, one a line; they are tried one after another.",
        Set(|s| { let passwords = passwords(s)?; own(s).passwords = passwords; Ok(()) })),
    Row::new("ssl_prefer_server_ciphers", HS, (1, 1), "on | off", "",
        "Whether the server's order of ciphers holds, or the client's. Where it is not said, the server takes the quickest: AES-128, \
         then AES-256; and ChaCha20 for clients that put it first, because they have no AES in hardware.",
        Set(|s| { own(s).prefer_server_ciphers = Some(s.flag()?); Ok(()) })),
    Row::new("ssl_protocols", HS, (1, MANY), "PROTOCOL ...", "TLSv1.2 TLSv1.3",
        "The protocols: TLSv1.2, TLSv1.3. Older ones may be named and are left out with a warning.",
        Set(|s| { let before = own(s).protocols; own(s).protocols = protocols(s, before)?; Ok(()) })).repeats(),
    Row::new("ssl_reject_handshake", HS, (1, 1), "on | off", "off",
        "Whether handshakes for this server are refused: in the default server, for names that no server has.",
        Set(|s| { own(s).reject_handshake = s.flag()?; Ok(()) })),
    Row::new("ssl_session_cache", HS, (1, 2), "off | none | builtin[:NUMBER] [shared:NAME:SIZE]", "none",
        "Where sessions are kept that clients come back to without a ticket: in each worker (`builtin`), or in memory that all \
         workers share.",
        Set(session_cache)),
    Row::new("ssl_session_ticket_key", HS, (1, 1), "FILE", "",
        "A file of 48 or 80 random bytes that keys for tickets are made of, so that several machines take each other's. Of several, \
         the first seals. Without, the server has keys of its own, which change every eight hours.",
        Set(|s| {
            let file = path(s);
            let first = s.first;
            let keys = Arc::make_mut(&mut own(s).ticket_keys);
            if first {
                keys.clear();
            }
            keys.push(file);
            Ok(())
        })).repeats(),
    Row::new("ssl_session_tickets", HS, (1, 1), "on | off", "on",
        "Whether clients get tickets to come back to their sessions with.",
        Set(|s| { own(s).session_tickets = s.flag()?; Ok(()) })),
    Row::new("ssl_session_timeout", HS, (1, 1), "TIME", "5m",
        "How long a session may be used again; with tickets at most a day.",
        Set(|s| { own(s).session_timeout = s.seconds(0)?; Ok(()) })),
    Row::new("ssl_stapling", HS, (1, 1), "on | off", "off",
        "Whether an OCSP answer is sent along with the certificate: from `ssl_stapling_file`, or else the responder that the certificate \
         names is asked, in the background. The issuer's certificate must be in the file of the certificate or in \
         `ssl_trusted_certificate`.",
        Set(|s| { own(s).stapling = s.flag()?; Ok(()) })),
    Row::new("ssl_stapling_file", HS, (1, 1), "FILE", "",
        "The OCSP answer to send, in DER.",
        Set(|s| { own(s).stapling_file = Some(path(s)); Ok(()) })),
    Row::new("ssl_stapling_responder", HS, (1, 1), "URL", "",
        "Who is asked for the OCSP answer to send along, in place of the responder that the certificate names. `http://` only.",
        Set(|s| {
            let url = (!s.text(0).is_empty()).then(|| s.text(0).into());
            own(s).stapling_responder = url;
            Ok(())
        })),
    Row::new("ssl_stapling_verify", HS, (1, 1), "on | off", "off",
        "Whether an OCSP answer must be signed by the certificate's issuer, or by somebody to whom that one gave the right, and the \
         issuer be vouched for by `ssl_trusted_certificate`, before it is sent along.",
        Set(|s| { own(s).stapling_verify = s.flag()?; Ok(()) })),
    Row::new("ssl_trusted_certificate", HS, (1, 1), "FILE", "",
        "Certificates of authorities for checks, which clients are not told of.",
        Set(|s| { own(s).trusted_certificate = Some(path(s)); Ok(()) })),
    Row::new("ssl_verify_client", HS, (1, 1), "on | off | optional | optional_no_ca", "off",
        "Whether clients must have a certificate, may have one, or may have one that nobody known vouches for. Who has none or a bad \
         one is answered 400, which `error_page` knows as 496 and 495.",
        Set(|s| {
            let words =
                [("off", Verify::Off), ("on", Verify::On), ("optional", Verify::Optional), ("optional_no_ca", Verify::OptionalNoCa)];
            own(s).verify = s.one_of(0, &words)?;
            Ok(())
        })),
    Row::new("ssl_verify_depth", HS, (1, 1), "NUMBER", "1",
        "How many certificates may stand between a client's and its root.",
        Set(|s| { own(s).verify_depth = s.number(0)? as usize; Ok(()) })),
];

fn own<'a>(s: &'a mut Setter<'_>) -> &'a mut Settings {
    Arc::make_mut(&mut s.server().ssl)
}

/// Relative names count from the configuration file.
fn path(s: &Setter<'_>) -> PathBuf {
    s.make.place.conf.join(s.text(0))
}

/// Reads the name of a certificate or a key.
pub fn source(s: &mut Setter<'_>) -> Result<Source, Diagnostic> {
    let text = s.text(0).to_owned();
    let base = Arc::new(s.make.place.conf.clone());
    let template = if text.contains('$') { Some(Arc::new(s.compile(&text)?)) } else { None };
    Ok(Source { place: place(&text, &base), text: text.into(), template, at: s.it.name.at.clone(), base })
}

/// Where a name leads.
pub fn place(text: &str, base: &std::path::Path) -> Place {
    match text.strip_prefix("data:") {
        Some(data) => Place::Data(data.into()),
        None => Place::File(base.join(text)),
    }
}

/// Reads how certificates are kept.
pub fn certificate_cache(s: &Setter<'_>) -> Result<Kept, Diagnostic> {
    if s.text(0) == "off" && s.count() == 1 {
        return Ok(Kept::default());
    }
    let mut kept = Kept { most: 0, inactive: 10, valid: 60 };
    for word in &s.it.args {
        let invalid = || s.wrong(format!("invalid parameter \"{}\"", word.text));
        let (name, value) = word.text.split_once('=').ok_or_else(invalid)?;
        match name {
            "max" => kept.most = value.parse().ok().filter(|most| *most > 0).ok_or_else(invalid)?,
            "inactive" => kept.inactive = conf::time_s(value).ok_or_else(invalid)?,
            "valid" => kept.valid = conf::time_s(value).ok_or_else(invalid)?,
            _ => return Err(invalid()),
        }
    }
    if kept.most == 0 {
        return Err(s.wrong("\"ssl_certificate_cache\" must have the \"max\" parameter"));
    }
    Ok(kept)
}

/// Reads a file of passphrases.
pub fn passwords(s: &Setter<'_>) -> Result<Arc<Vec<Vec<u8>>>, Diagnostic> {
    let file = path(s);
    let text =
        certificates::read(&file).map_err(|why| s.wrong(format!("open() \"{}\" failed ({why})", file.display())))?;
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(Arc::new(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()))
}

/// Adds the protocols that a directive names to those that lines of it before have named.
pub fn protocols(s: &mut Setter<'_>, before: Protocols) -> Result<Protocols, Diagnostic> {
    let none = Protocols { tls12: false, tls13: false, older: false };
    let mut protocols = if s.first { none } else { before };
    for word in &s.it.args {
        match word.text.as_str() {
            "TLSv1.2" => protocols.tls12 = true,
            "TLSv1.3" => protocols.tls13 = true,
            "SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1" => protocols.older = true,
            other => return Err(s.wrong(format!("invalid value \"{other}\""))),
        }
    }
    if protocols.older {
        let name = s.name();
        let warning =
            s.wrong(format!("\"{name}\": only TLSv1.2 and TLSv1.3 are supported, older protocols are left out"));
        s.make.warn(warning);
    }
    Ok(protocols)
}

fn ocsp_cache(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let text = s.text(0).to_owned();
    let cache = if text == "off" {
        None
    } else {
        let invalid = || s.wrong(format!("invalid OCSP cache \"{text}\""));
        let named = text.strip_prefix("shared:").and_then(|rest| rest.split_once(':'));
        let (name, size) = named.filter(|(name, _)| !name.is_empty()).ok_or_else(invalid)?;
        let size = conf::size(size).ok_or_else(invalid)?;
        if size < LEAST_CACHE {
            return Err(s.wrong(format!("OCSP cache \"{text}\" is too small")));
        }
        Some(s.make.zones.declare(name, size, Use::Responses).map_err(|why| s.wrong(why))?)
    };
    own(s).ocsp_cache = cache;
    Ok(())
}

fn session_cache(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let mut cache = None;
    for word in &s.it.args {
        let text = word.text.as_str();
        let invalid = || s.wrong(format!("invalid session cache \"{text}\""));
        cache = Some(match (text, text.split(':').collect::<Vec<_>>().as_slice()) {
            ("off", _) => SessionCache::Off,
            ("none", _) => SessionCache::None,
            // With both, nginx looks into the worker's own first; all workers' is enough.
            (_, ["builtin", ..]) if matches!(cache, Some(SessionCache::Shared(..))) => continue,
            ("builtin", _) => SessionCache::Builtin(BUILTIN),
            (_, ["builtin", number]) => SessionCache::Builtin(number.parse().map_err(|_| invalid())?),
            (_, ["shared", name, size]) if !name.is_empty() => {
                let size = conf::size(size).ok_or_else(invalid)?;
                if size < LEAST_CACHE {
                    return Err(s.wrong(format!("session cache \"{text}\" is too small")));
                }
                let zone = s.make.zones.declare(name, size, Use::Sessions).map_err(|why| s.wrong(why))?;
                SessionCache::Shared(zone)
            }
            _ => return Err(invalid()),
        });
    }
    if let Some(cache) = cache {
        own(s).session_cache = cache;
    }
    Ok(())
}
