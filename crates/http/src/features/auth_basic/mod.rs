//! `auth_basic`: a name and a password (RFC 7617), held against a file as `htpasswd` writes it.
//!
//! `file` reads such files, `stored` knows the formats of passwords (`md5_crypt` one of them), `desk` checks those that
//! take their time.

mod desk;
pub mod file;
mod md5_crypt;
pub mod stored;
#[cfg(test)]
mod tests;

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::base64;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::{Peer, Request};
use crate::log::{self, Level};
use crate::variables::{Scope, Template};
use stored::Stored;

pub use desk::{Attempt, Outcome};

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    realm: Option<Arc<Template>>,
    file: Option<Arc<Template>>,
    /// Where relative names begin.
    folder: Arc<[u8]>,
}

impl Settings {
    /// Whether clients may have to say who they are.
    pub fn is_on(&self) -> bool {
        self.file.is_some() && self.realm.as_ref().is_some_and(|realm| realm.as_fixed() != Some(b"off"))
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "auth_basic",
        HSLX,
        (1, 1),
        "REALM | off",
        "off",
        "Lets only those in who tell a name and a password of `auth_basic_user_file`; others are answered 401, and \
         browsers show their users REALM. May have variables; a value of `off` asks nobody.",
        Set(|s| {
            let realm = Arc::new(s.template(0)?);
            s.settings().auth_basic.realm = Some(realm.clone());
            warn_of_no_file(s, realm);
            Ok(())
        }),
    ),
    Row::new(
        "auth_basic_user_file",
        HSLX,
        (1, 1),
        "FILE",
        "",
        "The names and passwords for `auth_basic`, lines of `NAME:PASSWORD`. Passwords are stored as bcrypt (`$2y$`), \
         `$argon2id$`, SHA-crypt (`$5$`, `$6$`), MD5-crypt (`$apr1$`, `$1$`), `{SSHA}`, `{SHA}` or `{PLAIN}`. Relative \
         names begin at the folder of the configuration; may have variables. A changed file counts from the next \
         request on.",
        Set(|s| {
            let folder: Arc<[u8]> = s.make.place.conf.as_os_str().as_bytes().into();
            let file = Arc::new(s.template(0)?);
            let settings = &mut s.settings().auth_basic;
            (settings.file, settings.folder) = (Some(file), folder);
            Ok(())
        }),
    ),
];

/// As in nginx, a realm without a file protects nothing; nobody means that.
fn warn_of_no_file(s: &mut Setter<'_>, realm: Arc<Template>) {
    if realm.as_fixed() == Some(b"off") {
        return;
    }
    let warning = s.wrong("\"auth_basic\" without \"auth_basic_user_file\" lets everybody in");
    s.make.after.push(Box::new(move |make| {
        let open = make.locations.iter().any(|location| {
            let settings = &location.settings.auth_basic;
            settings.file.is_none() && settings.realm.as_ref().is_some_and(|own| Arc::ptr_eq(own, &realm))
        });
        if open {
            make.warn(warning);
        }
    }));
}

/// What a request's credentials come to.
pub enum Step {
    /// Nobody asks for any.
    Declined,
    Granted,
    /// It is answered with this status.
    Refused(u16),
    /// The password is to be checked, and what comes of it told.
    Check(Box<(Attempt, Pending)>),
}

/// What it takes to tell what came of a password.
pub struct Pending {
    user: Vec<u8>,
    realm: Vec<u8>,
    file: Vec<u8>,
}

/// Looks at a request's credentials, as far as that takes no time.
pub fn begin(scope: &mut Scope<'_>) -> Step {
    let settings = &scope.settings().auth_basic;
    let (Some(realm), Some(template)) = (&settings.realm, &settings.file) else { return Step::Declined };
    let realm = realm.value(scope);
    if realm == b"off" {
        return Step::Declined;
    }
    let Some((user, password)) = scope.request.field("authorization").and_then(credentials) else {
        let message = format_args!("no user/password was provided for basic authentication");
        scope.request.log(Level::Info, scope.config, scope.log, message);
        return challenge(scope.request, &realm);
    };
    let file = name(template, &settings.folder, scope);
    if template.as_fixed().is_none() && goes_up(&file[settings.folder.len().min(file.len())..]) {
        let file = String::from_utf8_lossy(&file);
        scope.request.error(scope.config, scope.log, format_args!("\"{file}\" leads out of its folder"));
        return Step::Refused(403);
    }
    let passwords = match file::open(&file) {
        Ok(passwords) => passwords,
        Err(failed) => return unreadable(scope, &file, &failed),
    };
    let named = String::from_utf8_lossy(&user);
    let Some(stored) = passwords.of(&user) else {
        let file = String::from_utf8_lossy(&file);
        let message = format_args!("user \"{named}\" was not found in \"{file}\"");
        scope.request.error(scope.config, scope.log, message);
        return challenge(scope.request, &realm);
    };
    let parsed = Stored::parse(stored);
    let outcome = match &parsed {
        Ok(parsed) if parsed.takes_time(&password) => {
            let source = match scope.request.peer {
                Peer::Inet(address) => Some(address.ip()),
                Peer::Unix => None,
            };
            let attempt = Attempt { user: user.clone(), password, stored: stored.to_vec(), source };
            return Step::Check(Box::new((attempt, Pending { user, realm, file })));
        }
        Ok(parsed) => match parsed.is(&password) {
            Ok(true) => Outcome::Right,
            Ok(false) => Outcome::Wrong,
            Err(why) => Outcome::Unusable(why),
        },
        Err(why) => Outcome::Unusable(why),
    };
    conclude(scope, &Pending { user, realm, file }, outcome)
}

/// Has a password checked, beside everything else.
pub async fn check(attempt: Attempt) -> Outcome {
    desk::check(attempt).await
}

/// What follows from it.
pub fn conclude(scope: &mut Scope<'_>, pending: &Pending, outcome: Outcome) -> Step {
    let (config, log) = (scope.config, scope.log);
    let (user, file) = (String::from_utf8_lossy(&pending.user), String::from_utf8_lossy(&pending.file));
    match outcome {
        Outcome::Right => Step::Granted,
        Outcome::Wrong => {
            scope.request.error(config, log, format_args!("user \"{user}\": password mismatch"));
            challenge(scope.request, &pending.realm)
        }
        Outcome::Unusable(why) => {
            let message =
                format_args!("user \"{user}\": password mismatch, the one in \"{file}\" cannot be used: {why}");
            scope.request.error(config, log, message);
            challenge(scope.request, &pending.realm)
        }
        Outcome::Busy => {
            let message = format_args!("user \"{user}\": too many passwords are waiting to be checked");
            scope.request.error(config, log, message);
            Step::Refused(503)
        }
    }
}

/// Asks the client who it is.
fn challenge(request: &mut Request, realm: &[u8]) -> Step {
    let mut value = b"Basic realm=\"".to_vec();
    value.extend(realm.iter().filter(|&&byte| byte >= b' ' && byte != 0x7f || byte == b'\t'));
    value.push(b'"');
    request.route.kept.push(("WWW-Authenticate".into(), value));
    Step::Refused(401)
}

/// The file's whole name.
fn name(template: &Template, folder: &[u8], scope: &mut Scope<'_>) -> Vec<u8> {
    let mut path = template.value(scope);
    if !path.starts_with(b"/") {
        path.splice(0..0, folder.iter().copied().chain([b'/']));
    }
    path
}

/// Whether a path that a request has had a part in has a part that is `..`.
fn goes_up(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|part| part == b"..")
}

/// A file that cannot be read lets nobody in.
fn unreadable(scope: &mut Scope<'_>, file: &[u8], failed: &file::Failed) -> Step {
    let missing = failed.error.raw_os_error() == Some(libc::ENOENT);
    let (level, status) = if missing { (Level::Error, 403) } else { (Level::Critical, 500) };
    let (file, why) = (String::from_utf8_lossy(file), log::errno_text(&failed.error));
    let message = format_args!("{}() \"{file}\" failed ({why})", failed.call);
    scope.request.log(level, scope.config, scope.log, message);
    Step::Refused(status)
}

/// Name and password of a value of Authorization.
fn credentials(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let digits = &rest[rest.iter().position(|&byte| byte != b' ')?..];
    let mut user = base64::decode(base64::unpadded(digits), base64::STANDARD)?;
    let colon = memchr::memchr(b':', &user).filter(|&colon| colon > 0)?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

/// Tells what would be asked, for `explain`.
pub fn tell(scope: &mut Scope<'_>) {
    let settings = &scope.settings().auth_basic;
    let (Some(realm), Some(template)) = (&settings.realm, &settings.file) else { return };
    let realm = realm.value(scope);
    if realm == b"off" {
        return;
    }
    let file = name(template, &settings.folder, scope);
    let (realm, file) = (String::from_utf8_lossy(&realm), String::from_utf8_lossy(&file));
    scope.request.note("auth_basic", None, || format!("a name and a password of {file} are asked for \"{realm}\""));
}
