//! What a server does handshakes with: made of its settings when the configuration is read, and made anew when its
//! files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use super::certificates::{self, Certificates, Place};
use super::files::{KeyFile, Watched};
use super::named::Named;
use super::ocsp::Responder;
use super::ocsp::clients::Clients;
use super::ocsp::staple::Staple;
use super::plan::Plan;
use super::sessions::{Forgetful, Shared};
use super::tickets::Tickets;
use super::verify::{Asked, Purpose, Verifier};
use super::{pem, tickets};
use crate::features::ssl::{Ocsp, SessionCache, Settings, Source, Verify};

/// A server's TLS.
pub struct Server {
    settings: Arc<Settings>,
    /// What outlives a change of files: where sessions are.
    kept: Kept,
    current: RwLock<Arc<Loaded>>,
    watched: Mutex<Watched>,
    /// Certificates whose names have variables, by the names of their files.
    named: Named,
}

struct Kept {
    sessions: Arc<dyn StoresServerSessions>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

/// What its files had in them.
pub struct Loaded {
    usual: Pair,
    /// For clients that put ChaCha20 first; `None`: all are alike.
    chacha: Option<Pair>,
    /// Who vouches for clients, if these are asked for certificates.
    pub verifier: Option<Verifier>,
    /// Who must say that clients' certificates are good.
    pub clients: Option<Clients>,
    /// Certificates of its own that responders are asked for.
    pub staples: Vec<Arc<Staple>>,
    pub warnings: Vec<String>,
    files: Vec<PathBuf>,
}

/// For connections that are offered HTTP/1 only, and for those that are offered HTTP/2, too.
struct Pair {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

impl Loaded {
    /// What a handshake is done by. `chacha`: the client puts ChaCha20 first.
    pub fn config(&self, http2: bool, chacha: bool) -> &Arc<ServerConfig> {
        let pair = self.chacha.as_ref().filter(|_| chacha).unwrap_or(&self.usual);
        if http2 { &pair.http2 } else { &pair.http1 }
    }
}

impl Server {
    /// Loads all that the settings name.
    pub fn new(settings: &Arc<Settings>) -> Result<Server, String> {
        tickets::prepare();
        let plan = Plan::new(settings)?;
        let kept = Kept::new(settings, &plan)?;
        let loaded = load(settings, plan, &kept)?;
        let watched = Watched::new(&loaded.files);
        Ok(Server {
            settings: settings.clone(),
            kept,
            current: RwLock::new(Arc::new(loaded)),
            watched: Mutex::new(watched),
            named: Named::default(),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What holds now.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether files have changed, and loads them; the error says why the old ones are kept, once for each change.
    pub fn refresh(&self) -> Result<bool, String> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.look() {
            return Ok(false);
        }
        let loaded = Plan::new(&self.settings).and_then(|plan| load(&self.settings, plan, &self.kept))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(true)
    }

    /// Whether what is shown depends on the client.
    pub fn is_variable(&self) -> bool {
        self.settings.certificates.iter().chain(&self.settings.keys).any(|source| source.template.is_some())
    }

    /// The configuration for certificates that are named only now: `name` computes names.
    pub fn config_for(
        &self,
        config: &ServerConfig,
        mut name: impl FnMut(&Source) -> Place,
    ) -> Result<Arc<ServerConfig>, String> {
        let mut own = Vec::new();
        for (certificate, key) in self.settings.certificates.iter().zip(&self.settings.keys) {
            let (passwords, kept) = (&self.settings.passwords, self.settings.kept);
            own.push(self.named.get(name(certificate), name(key), passwords, kept)?);
        }
        let mut config = config.clone();
        config.cert_resolver = Arc::new(Certificates::new(own, Vec::new()));
        Ok(Arc::new(config))
    }
}

impl Kept {
    fn new(settings: &Settings, plan: &Plan) -> Result<Kept, String> {
        let identity = identity(settings);
        let sessions: Arc<dyn StoresServerSessions> = match &settings.session_cache {
            SessionCache::Off => Arc::new(rustls::server::NoServerSessionStorage {}),
            SessionCache::None => Arc::new(Forgetful),
            SessionCache::Builtin(most) => ServerSessionMemoryCache::new(*most),
            SessionCache::Shared(zone) => Arc::new(Shared::new(zone.clone(), identity, settings.session_timeout)),
        };
        let mut files = Vec::new();
        for path in settings.ticket_keys.iter() {
            let bytes =
                certificates::read(path).map_err(|why| format!("open() \"{}\" failed ({why})", path.display()))?;
            if !matches!(bytes.len(), 48 | 80) {
                return Err(format!("\"{}\" must be 48 or 80 bytes", path.display()));
            }
            files.push(bytes);
        }
        let tickets = plan.tickets.then(|| {
            let tickets = Tickets::new(identity, settings.session_timeout, &files);
            Arc::new(tickets) as Arc<dyn ProducesTickets>
        });
        Ok(Kept { sessions, tickets })
    }
}

/// What servers have in common that take each other's sessions.
fn identity(settings: &Settings) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    for source in settings.certificates.iter().chain(&settings.keys) {
        add(source.text.as_bytes());
    }
    add(format!("{:?} {}", settings.verify, settings.verify_depth).as_bytes());
    for path in [&settings.client_certificate, &settings.trusted_certificate, &settings.crl] {
        add(path.as_ref().map_or(b"", |path| path.as_os_str().as_encoded_bytes()));
    }
    let mut identity = [0; 32];
    identity.copy_from_slice(context.finish().as_ref());
    identity
}

/// Files while they are read.
#[derive(Default)]
pub(super) struct Files(Vec<PathBuf>);

impl Files {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.0.push(path.to_owned());
        certificates::read(path)
    }

    fn note(&mut self, place: &Place) {
        if let Place::File(path) = place {
            self.0.push(path.clone());
        }
    }
}

fn load(settings: &Settings, mut plan: Plan, kept: &Kept) -> Result<Loaded, String> {
    let mut files = Files::default();
    let mut warnings = std::mem::take(&mut plan.warnings);
    let stapled = match &settings.stapling_file {
        Some(path) if settings.stapling => {
            Some(files.read(path).map_err(|why| format!("BIO_new_file(\"{}\") failed ({why})", path.display()))?)
        }
        _ => None,
    };
    let mut own = Vec::new();
    for (certificate, key) in settings.certificates.iter().zip(&settings.keys) {
        if certificate.template.is_some() || key.template.is_some() {
            continue;
        }
        files.note(&certificate.place);
        files.note(&key.place);
        let mut certified = certificates::load(&certificate.place, &key.place, &settings.passwords)?;
        certified.ocsp.clone_from(&stapled);
        if let Some(expired) = certificates::expired(&certified) {
            warnings.push(format!("certificate \"{}\" {expired}", certificate.place.shown()));
        }
        own.push(Arc::new(certified));
    }
    let chacha = plan.for_chacha();
    let provider = Arc::new(plan.provider);
    let verifier = verifier(settings, &provider, &mut files)?;
    if let Some(path) = &settings.dhparam {
        dhparam(path, &mut files)?;
        warnings.push("\"ssl_dhparam\" has no effect: DHE ciphers are not supported".into());
    }
    let mut staples = Vec::new();
    if settings.stapling && stapled.is_none() {
        let known = verifier.as_ref().map(|(_, _, known)| known.clone());
        let trusted = match (known, &settings.trusted_certificate) {
            (Some(known), _) => known,
            (None, Some(path)) => authorities(path, &mut files)?,
            (None, None) => Vec::new(),
        };
        let fixed = settings.certificates.iter().zip(&settings.keys);
        let fixed = fixed.filter(|(certificate, key)| certificate.template.is_none() && key.template.is_none());
        for ((certificate, _), own) in fixed.zip(&own) {
            let (shown, said) = (certificate.place.shown(), settings.stapling_responder.as_deref());
            let algorithms = provider.signature_verification_algorithms;
            match Staple::new(&shown, own.clone(), said, &trusted, settings.stapling_verify, algorithms) {
                Ok(staple) => staples.push(Some(Arc::new(staple))),
                Err(why) => {
                    warnings.push(why);
                    staples.push(None);
                }
            }
        }
    }
    let clients = clients(settings, &provider, verifier.as_ref().map(|(_, _, known)| &known[..]))?;
    let none = matches!(settings.session_cache, SessionCache::Off | SessionCache::None);
    let early = settings.early_data && kept.tickets.is_none() && !none;
    if settings.early_data && !early {
        warnings.push(
            "\"ssl_early_data\" has no effect without \"ssl_session_tickets off\" and a \"ssl_session_cache\"".into(),
        );
    }
    let key_log = settings.key_log.as_deref().map(KeyFile::open).transpose()?;
    let own = Arc::new(Certificates::new(own, staples.clone()));
    let names = verifier.as_ref().map(|(_, names, _)| names);
    let pair = |provider: Arc<CryptoProvider>| -> Result<Pair, String> {
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&plan.versions)
            .map_err(|error| format!("SSL_CTX_new() failed ({error})"))?;
        let asked = match names {
            None => builder.with_no_client_auth(),
            Some(names) => builder.with_client_cert_verifier(Arc::new(Asked {
                names: names.clone(),
                algorithms: provider.signature_verification_algorithms,
            })),
        };
        let mut config = asked.with_cert_resolver(own.clone());
        config.alpn_protocols = protocols(&[b"http/1.1", b"http/1.0", b"http/0.9"]);
        config.ignore_client_order = plan.prefer;
        config.max_fragment_size = Some(settings.buffer_size.clamp(64, 16 * 1024) as usize + 5);
        // One is enough for a client that comes back: it gets another one then.
        config.send_tls13_tickets = 1;
        config.session_storage = kept.sessions.clone();
        config.cert_decompressors = Vec::new();
        if !settings.compression {
            config.cert_compressors = Vec::new();
        }
        if let Some(tickets) = &kept.tickets {
            config.ticketer = tickets.clone();
        }
        if early {
            config.max_early_data_size = 16 * 1024;
            // They are answered before the client has said its last.
            config.send_half_rtt_data = true;
        }
        if let Some(file) = &key_log {
            config.key_log = file.clone();
        }
        let mut http2 = config.clone();
        http2.alpn_protocols = protocols(&[b"h2", b"http/1.1", b"http/1.0", b"http/0.9"]);
        Ok(Pair { http1: Arc::new(config), http2: Arc::new(http2) })
    };
    let chacha = chacha.map(|provider| pair(Arc::new(provider))).transpose()?;
    let usual = pair(provider.clone())?;
    Ok(Loaded {
        usual,
        chacha,
        verifier: verifier.map(|(verifier, _, _)| verifier),
        clients,
        staples: staples.into_iter().flatten().collect(),
        warnings,
        files: files.0,
    })
}

fn protocols(names: &[&[u8]]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.to_vec()).collect()
}

/// Whom to ask about certificates of clients, which these authorities vouch for.
fn clients(
    settings: &Settings,
    provider: &CryptoProvider,
    authorities: Option<&[CertificateDer<'static>]>,
) -> Result<Option<Clients>, String> {
    let leaf = match (settings.ocsp, settings.verify) {
        (Ocsp::Off, _) => return Ok(None),
        (_, Verify::OptionalNoCa) => {
            return Err("\"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\"".into());
        }
        (ocsp, _) => ocsp == Ocsp::Leaf,
    };
    let said = settings.ocsp_responder.as_deref().map(Responder::parse).transpose();
    let responder =
        said.map_err(|(why, what)| format!("{why} in OCSP responder \"{what}\" in \"ssl_ocsp_responder\""))?;
    let Some(authorities) = authorities else { return Ok(None) };
    Ok(Some(Clients {
        leaf,
        responder,
        cache: settings.ocsp_cache.clone(),
        known: provider.signature_verification_algorithms,
        authorities: authorities.to_vec(),
    }))
}

/// Who vouches for clients, which names clients are told, and the certificates of all authorities.
#[expect(clippy::type_complexity, reason = "it is taken apart at once")]
fn verifier(
    settings: &Settings,
    provider: &Arc<CryptoProvider>,
    files: &mut Files,
) -> Result<Option<(Verifier, Vec<rustls::DistinguishedName>, Vec<CertificateDer<'static>>)>, String> {
    let mut read = |path: &Option<PathBuf>| match path {
        Some(path) => authorities(path, files),
        None => Ok(Vec::new()),
    };
    let trusted = read(&settings.trusted_certificate)?;
    let mut known = if settings.verify == Verify::Off { Vec::new() } else { read(&settings.client_certificate)? };
    let names = known.iter().filter_map(subject).collect();
    known.extend(trusted);
    let revoked = match &settings.crl {
        Some(path) => revoked(path, files)?,
        None => Vec::new(),
    };
    if settings.verify == Verify::Off {
        return Ok(None);
    }
    if settings.verify != Verify::OptionalNoCa && known.is_empty() {
        return Err("no ssl_client_certificate for ssl_verify_client".into());
    }
    let verifier = Verifier::new(Purpose::Clients, known.clone(), revoked, settings.verify_depth, provider)
        .map_err(|why| format!("the certificates for \"ssl_verify_client\" cannot be used ({why})"))?;
    Ok(Some((verifier, names, known)))
}

/// The certificates of authorities in a file.
pub(super) fn authorities(path: &Path, files: &mut Files) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: &str| format!("SSL_CTX_load_verify_locations(\"{}\") failed ({why})", path.display());
    let text = files.read(path).map_err(|why| failed(&why))?;
    let found = certificates::parse(&text).map_err(|pem::Broken| failed("bad end line"))?;
    if found.is_empty() || found.iter().any(|one| x509_parser::parse_x509_certificate(one).is_err()) {
        return Err(failed("no certificate or crl found"));
    }
    Ok(found)
}

/// The lists of revoked certificates in a file.
pub(super) fn revoked(path: &Path, files: &mut Files) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let failed = |why: &str| format!("X509_LOOKUP_load_file(\"{}\") failed ({why})", path.display());
    let text = files.read(path).map_err(|why| failed(&why))?;
    let sections = pem::sections(&text).map_err(|pem::Broken| failed("bad end line"))?;
    let lists: Vec<_> = sections.into_iter().filter(|section| section.label == "X509 CRL").collect();
    if lists.is_empty() || lists.iter().any(|list| x509_parser::parse_x509_crl(&list.bytes).is_err()) {
        return Err(failed("no certificate or crl found"));
    }
    Ok(lists.into_iter().map(|list| CertificateRevocationListDer::from(list.bytes)).collect())
}

fn dhparam(path: &Path, files: &mut Files) -> Result<(), String> {
    let text = files.read(path).map_err(|why| format!("BIO_new_file(\"{}\") failed ({why})", path.display()))?;
    let found =
        pem::sections(&text).is_ok_and(|all| all.iter().any(|section| section.label.ends_with("DH PARAMETERS")));
    if found {
        return Ok(());
    }
    Err(format!("PEM_read_bio_DHparams(\"{}\") failed (no start line: Expecting: DH PARAMETERS)", path.display()))
}

fn subject(certificate: &CertificateDer<'static>) -> Option<rustls::DistinguishedName> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(rustls::DistinguishedName::from(parsed.subject().as_raw().to_vec()))
}
