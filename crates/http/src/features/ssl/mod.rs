//! `ssl_*`: TLS for clients. What the directives say; `tls` makes of it what handshakes are done with.

pub mod client;
mod directives;
mod names;
pub mod variables;

use std::path::PathBuf;
use std::sync::Arc;

use conf::At;

use crate::tls::certificates::Place;
use crate::variables::Template;
use crate::zone::Zone;

pub use directives::{ROWS, certificate_cache, passwords, place, protocols, source};

/// `ssl_ciphers` where it is not said.
pub const USUAL_CIPHERS: &str = "HIGH:!aNULL:!MD5";

/// What holds in a server.
#[derive(Clone)]
pub struct Settings {
    pub certificates: Vec<Source>,
    pub keys: Vec<Source>,
    /// Passphrases of keys.
    pub passwords: Arc<Vec<Vec<u8>>>,
    /// How long certificates whose names have variables are kept.
    pub kept: Kept,
    pub protocols: Protocols,
    /// An OpenSSL cipher string.
    pub ciphers: Arc<str>,
    /// `None`: it is not said.
    pub prefer_server_ciphers: Option<bool>,
    /// OpenSSL's names of groups.
    pub curves: Arc<str>,
    /// `ssl_conf_command`: names and values.
    pub commands: Arc<Vec<(String, String)>>,
    pub session_cache: SessionCache,
    /// In seconds.
    pub session_timeout: u64,
    pub session_tickets: bool,
    pub ticket_keys: Arc<Vec<PathBuf>>,
    pub client_certificate: Option<PathBuf>,
    pub trusted_certificate: Option<PathBuf>,
    pub verify: Verify,
    pub verify_depth: usize,
    pub crl: Option<PathBuf>,
    pub stapling: bool,
    pub stapling_file: Option<PathBuf>,
    /// Who is asked for the answer to send along; `None`: whom the certificate names.
    pub stapling_responder: Option<Arc<str>>,
    /// Answers are checked before they are sent along.
    pub stapling_verify: bool,
    pub ocsp: Ocsp,
    /// Who is asked about clients' certificates; `None`: whom these name.
    pub ocsp_responder: Option<Arc<str>>,
    /// Where it is kept what they said.
    pub ocsp_cache: Option<Arc<Zone>>,
    pub dhparam: Option<PathBuf>,
    pub reject_handshake: bool,
    pub early_data: bool,
    pub key_log: Option<PathBuf>,
    pub compression: bool,
    /// The longest record, in bytes.
    pub buffer_size: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            certificates: Vec::new(),
            keys: Vec::new(),
            passwords: Arc::default(),
            kept: Kept::default(),
            protocols: Protocols::default(),
            ciphers: USUAL_CIPHERS.into(),
            prefer_server_ciphers: None,
            curves: "auto".into(),
            commands: Arc::default(),
            session_cache: SessionCache::None,
            session_timeout: 300,
            session_tickets: true,
            ticket_keys: Arc::default(),
            client_certificate: None,
            trusted_certificate: None,
            verify: Verify::Off,
            verify_depth: 1,
            crl: None,
            stapling: false,
            stapling_file: None,
            stapling_responder: None,
            stapling_verify: false,
            ocsp: Ocsp::Off,
            ocsp_responder: None,
            ocsp_cache: None,
            dhparam: None,
            reject_handshake: false,
            early_data: false,
            key_log: None,
            compression: false,
            buffer_size: 16 * 1024,
        }
    }
}

/// A certificate or a key, as it is named.
#[derive(Clone, Debug)]
pub struct Source {
    /// As it was typed.
    pub text: Arc<str>,
    /// Where it is, unless that depends on the client.
    pub place: Place,
    /// Its name has variables.
    pub template: Option<Arc<Template>>,
    pub at: At,
    /// Where relative names begin.
    pub base: Arc<PathBuf>,
}

/// `ssl_certificate_cache`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// So many pairs at most; 0: none.
    pub most: usize,
    /// Unused for so many seconds, one is dropped.
    pub inactive: u64,
    /// For so many seconds nobody looks at the files again.
    pub valid: u64,
}

impl Default for Kept {
    fn default() -> Kept {
        // nginx reads files for each handshake; here they are read again when they have changed.
        Kept { most: 100, inactive: 60, valid: 0 }
    }
}

/// `ssl_protocols`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    pub tls12: bool,
    pub tls13: bool,
    /// Older ones are named, too.
    pub older: bool,
}

impl Default for Protocols {
    fn default() -> Protocols {
        Protocols { tls12: true, tls13: true, older: false }
    }
}

/// `ssl_session_cache`
#[derive(Clone)]
pub enum SessionCache {
    Off,
    /// Clients are told that sessions may be used again, but none is.
    None,
    /// In each worker: so many.
    Builtin(usize),
    /// In memory that all workers share.
    Shared(Arc<Zone>),
}

/// `ssl_ocsp`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ocsp {
    Off,
    /// For a client's certificate and those between it and its root.
    On,
    Leaf,
}

/// `ssl_verify_client`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    Off,
    On,
    Optional,
    OptionalNoCa,
}
