//! `proxy_ssl_*` and its like: TLS to servers. What the directives say; `tls::client` makes of it what handshakes are
//! done with.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use conf::{At, Diagnostic};
use rustls::sign::CertifiedKey;

use crate::config::Handler;
use crate::config::build::{Maker, Setter};
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{Action, MANY, Row};
use crate::features::ssl::{Kept, Protocols, Source, certificate_cache, passwords, place, protocols, source};
use crate::handlers::proxy::Pass;
use crate::handlers::proxy::family::Family;
pub use crate::tls::client::Client;
use crate::tls::client::without_port;
use crate::variables::{Scope, Template};

/// What holds in a block.
#[derive(Clone, Debug)]
pub struct Settings {
    pub certificate: Option<Source>,
    pub certificate_key: Option<Source>,
    /// How long certificates are kept whose names have variables.
    pub kept: Kept,
    /// Passphrases of the key.
    pub passwords: Arc<Vec<Vec<u8>>>,
    /// An OpenSSL cipher string.
    pub ciphers: Arc<str>,
    pub protocols: Protocols,
    /// Names and values of OpenSSL's commands.
    pub commands: Arc<Vec<(String, String)>>,
    pub crl: Option<PathBuf>,
    pub key_log: Option<PathBuf>,
    /// `None`: the host of the URL.
    pub name: Option<Arc<Template>>,
    /// Servers are told the name.
    pub server_name: bool,
    pub session_reuse: bool,
    pub trusted_certificate: Option<PathBuf>,
    pub verify: bool,
    pub verify_depth: usize,
    /// Where the first of these directives stands.
    pub(crate) at: At,
    pub(crate) made: Made,
}

/// What connections are made with. A copy of settings has none: it will be changed.
#[derive(Debug, Default)]
pub(crate) struct Made(OnceLock<Option<Arc<Client>>>);

impl Clone for Made {
    fn clone(&self) -> Made {
        Made::default()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            certificate: None,
            certificate_key: None,
            kept: Kept::default(),
            passwords: Arc::default(),
            ciphers: "DEFAULT".into(),
            protocols: Protocols::default(),
            commands: Arc::default(),
            crl: None,
            key_log: None,
            name: None,
            server_name: false,
            session_reuse: true,
            trusted_certificate: None,
            verify: false,
            verify_depth: 1,
            at: At::Default,
            made: Made::default(),
        }
    }
}

impl Settings {
    /// What connections are made with; `None`: no block that has these settings passes requests on by TLS.
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.made.0.get()?.as_ref()
    }

    /// Loads all that they name, once for all blocks that share them. `prefix`: of the directives.
    fn prepare(&self, make: &mut Maker, prefix: &str) {
        self.made.0.get_or_init(|| match Client::new(self, prefix) {
            Ok((client, warnings)) => {
                for warning in warnings {
                    make.warn(self.problem(warning));
                }
                Some(Arc::new(client))
            }
            Err(message) => {
                make.problems.push(self.problem(message));
                None
            }
        });
    }

    /// What a connection to a host asks for and shows. The error is for the log; the request gets 500.
    pub fn face(&self, scope: &mut Scope<'_>, host: &[u8]) -> Result<Face, String> {
        let name = self.name.as_ref().map_or_else(|| host.to_vec(), |name| name.value(scope));
        let mut face = Face::new(&name);
        let (Some(certificate), Some(key), Some(client)) = (&self.certificate, &self.certificate_key, self.client())
        else {
            return Ok(face);
        };
        if certificate.template.is_none() && key.template.is_none() {
            return Ok(face);
        }
        let mut named = |source: &Source| match &source.template {
            None => source.text.to_string(),
            Some(template) => String::from_utf8_lossy(&template.value(scope)).into_owned(),
        };
        let texts = [named(certificate), named(key)];
        if texts[0].is_empty() {
            return Ok(face);
        }
        let own = client.named(place(&texts[0], &certificate.base), place(&texts[1], &key.base), self)?;
        face.show(own, &texts);
        Ok(face)
    }

    /// nginx finds these out when all is read, and names no place; where the directives begin is told beside it.
    fn problem(&self, message: String) -> Diagnostic {
        let problem = Diagnostic::new(At::Default, message);
        match &self.at {
            At::Default => problem,
            at => problem.hint(format!("it is for connections to servers, see {at}")),
        }
    }
}

/// What a connection to a server asks for and shows.
pub struct Face {
    /// Without a port.
    pub name: Box<[u8]>,
    /// The certificate that is shown, if it depends on the request.
    pub own: Option<Arc<CertifiedKey>>,
    identity: Box<[u8]>,
}

impl Face {
    /// `name`: with or without a port.
    pub fn new(name: &[u8]) -> Face {
        let name = without_port(name);
        Face { name: name.into(), own: None, identity: name.into() }
    }

    fn show(&mut self, own: Arc<CertifiedKey>, texts: &[String]) {
        let mut identity = self.name.to_vec();
        for text in texts {
            identity.push(0);
            identity.extend_from_slice(text.as_bytes());
        }
        (self.own, self.identity) = (Some(own), identity.into());
    }

    /// What connections must have in common to be used for each other's requests.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }
}

/// Loads what blocks need that may pass requests on by TLS, when the whole configuration is read.
pub fn prepare(make: &mut Maker) {
    for index in 0..make.locations.len() {
        let location = &make.locations[index];
        let settings = location.settings.clone();
        let Handler::Proxy(pass) = location.handler else { continue };
        match make.passes.get(pass as usize).filter(|pass| pass.may_be_secure()) {
            Some(Pass { family: Family::Proxy, .. }) => settings.proxy.policy.tls.prepare(make, "proxy_"),
            Some(Pass { family: Family::Grpc, .. }) => settings.grpc.policy.tls.prepare(make, "grpc_"),
            None => {}
        }
    }
}

/// The settings of a family in a block.
type Own = for<'a> fn(&'a mut Setter<'_>) -> &'a mut Settings;

fn proxy<'a>(s: &'a mut Setter<'_>) -> &'a mut Settings {
    let proxy = Arc::make_mut(&mut s.settings().proxy);
    Arc::make_mut(&mut Arc::make_mut(&mut proxy.policy).tls)
}

fn grpc<'a>(s: &'a mut Setter<'_>) -> &'a mut Settings {
    let grpc = Arc::make_mut(&mut s.settings().grpc);
    Arc::make_mut(&mut Arc::make_mut(&mut grpc.policy).tls)
}

/// The directives of a family.
macro_rules! rows {
    ($prefix:literal, $own:ident) => {
        [
            Row::new(concat!($prefix, "ssl_certificate"), HSL, (1, 1), "FILE | data:TEXT", "",
                "The certificate that is shown to servers that ask for one, in PEM, followed by those that lead to its root. \
                 `data:` is followed by the certificate itself. With variables, the file is chosen for each request.",
                Set(|s| file(s, $own, |own| &mut own.certificate))),
            Row::new(concat!($prefix, "ssl_certificate_cache"), HSL, (1, 3), "off | max=NUMBER [inactive=TIME] [valid=TIME]",
                "off", "How certificates are kept whose names have variables: so many, dropped when unused for so long, and not \
                 looked at again for so long. With `off` the files are looked at for each connection.",
                Set(|s| {
                    let kept = certificate_cache(s)?;
                    $own(s).kept = kept;
                    Ok(())
                })),
            Row::new(concat!($prefix, "ssl_certificate_key"), HSL, (1, 1), "FILE | data:TEXT", "",
                "The key of the certificate that is shown to servers, in PEM.",
                Set(|s| file(s, $own, |own| &mut own.certificate_key))),
            Row::new(concat!($prefix, "ssl_ciphers"), HSL, (1, 1), "CIPHERS", "DEFAULT",
                "The ciphers of TLS 1.2 for connections to servers, as OpenSSL lists them; see `ssl_ciphers`.",
                Set(|s| set(s, $own, |s, own| { own.ciphers = s.text(0).into(); Ok(()) }))),
            Row::new(concat!($prefix, "ssl_conf_command"), HSL, (2, 2), "NAME VALUE", "",
                "A command of OpenSSL's configuration for connections to servers; see `ssl_conf_command`.",
                Set(|s| command(s, $own))).repeats(),
            Row::new(concat!($prefix, "ssl_crl"), HSL, (1, 1), "FILE", "",
                "Lists of certificates that servers may not have any more, in PEM: one of each authority in a chain.",
                Set(|s| set(s, $own, |s, own| { own.crl = path(s); Ok(()) }))),
            Row::new(concat!($prefix, "ssl_key_log"), HSL, (1, 1), "FILE", "",
                "A file that the keys of connections to servers are written to, for looking at what goes over the wire.",
                Set(|s| set(s, $own, |s, own| { own.key_log = path(s); Ok(()) }))),
            Row::new(concat!($prefix, "ssl_name"), HSL, (1, 1), "NAME", "the host of the URL",
                "The name that a server's certificate must have, and that the server is told by SNI. May have variables.",
                Set(|s| {
                    let name = Arc::new(s.template(0)?);
                    $own(s).name = Some(name);
                    Ok(())
                })),
            Row::new(concat!($prefix, "ssl_password_file"), HSL, (1, 1), "FILE", "",
                "Passphrases of the key, one a line; they are tried one after another.",
                Set(|s| {
                    let passwords = passwords(s)?;
                    $own(s).passwords = passwords;
                    Ok(())
                })),
            Row::new(concat!($prefix, "ssl_protocols"), HSL, (1, MANY), "PROTOCOL ...", "TLSv1.2 TLSv1.3",
                "The protocols for connections to servers: TLSv1.2, TLSv1.3. Older ones may be named and are left out with a \
                 warning.",
                Set(|s| {
                    let before = $own(s).protocols;
                    $own(s).protocols = protocols(s, before)?;
                    Ok(())
                })).repeats(),
            Row::new(concat!($prefix, "ssl_server_name"), HSL, (1, 1), "on | off", "off",
                "Whether servers are told the name by SNI.",
                Set(|s| set(s, $own, |s, own| { own.server_name = s.flag()?; Ok(()) }))),
            Row::new(concat!($prefix, "ssl_session_reuse"), HSL, (1, 1), "on | off", "on",
                "Whether sessions with a server are used again for its next connections.",
                Set(|s| set(s, $own, |s, own| { own.session_reuse = s.flag()?; Ok(()) }))),
            Row::new(concat!($prefix, "ssl_trusted_certificate"), HSL, (1, 1), "FILE", "",
                "Certificates of authorities, in PEM, that those of servers are checked with.",
                Set(|s| set(s, $own, |s, own| { own.trusted_certificate = path(s); Ok(()) }))),
            Row::new(concat!($prefix, "ssl_verify"), HSL, (1, 1), "on | off", "off",
                "Whether certificates of servers are checked: their chains, their time, their names.",
                Set(|s| set(s, $own, |s, own| { own.verify = s.flag()?; Ok(()) }))),
            Row::new(concat!($prefix, "ssl_verify_depth"), HSL, (1, 1), "NUMBER", "1",
                "How many certificates may stand between a server's and its root.",
                Set(|s| set(s, $own, |s, own| { own.verify_depth = s.number(0)? as usize; Ok(()) }))),
        ]
    };
}

#[rustfmt::skip]
pub const PROXY: &[Row] = &rows!("proxy_", proxy);
#[rustfmt::skip]
pub const GRPC: &[Row] = &rows!("grpc_", grpc);
/// Its requests are not passed on yet.
#[rustfmt::skip]
pub const UWSGI: &[Row] = &later(rows!("uwsgi_", proxy));

const fn later<const N: usize>(mut rows: [Row; N]) -> [Row; N] {
    let mut at = 0;
    while at < N {
        rows[at].action = Action::Later("requests are not passed on");
        at += 1;
    }
    rows
}

/// Notes something in the settings of a family.
fn set(
    s: &mut Setter<'_>,
    own: Own,
    note: fn(&Setter<'_>, &mut Settings) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    let mut settings = own(s).clone();
    note(s, &mut settings)?;
    if matches!(settings.at, At::Default) {
        settings.at = s.it.name.at.clone();
    }
    *own(s) = settings;
    Ok(())
}

/// Relative names count from the configuration file; `None`: the name is empty.
fn path(s: &Setter<'_>) -> Option<PathBuf> {
    (!s.text(0).is_empty()).then(|| s.make.place.conf.join(s.text(0)))
}

fn file(s: &mut Setter<'_>, own: Own, field: fn(&mut Settings) -> &mut Option<Source>) -> Result<(), Diagnostic> {
    let named = if s.text(0).is_empty() { None } else { Some(source(s)?) };
    let at = s.it.name.at.clone();
    let settings = own(s);
    *field(settings) = named;
    settings.at = at;
    Ok(())
}

fn command(s: &mut Setter<'_>, own: Own) -> Result<(), Diagnostic> {
    let command = (s.text(0).to_owned(), s.text(1).to_owned());
    let first = s.first;
    let commands = Arc::make_mut(&mut own(s).commands);
    if first {
        commands.clear();
    }
    commands.push(command);
    Ok(())
}
