//! The directives, and the variables that they make.

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::sys;
use crate::variables::{Scope, Template};

/// What holds in a block: a link with its expression, or a secret.
#[derive(Clone, Default)]
pub struct Settings {
    link: Option<Arc<Template>>,
    md5: Option<Arc<Template>>,
    secret: Option<Arc<str>>,
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "secure_link",
        HSL,
        (1, 1),
        "HASH[,TIME]",
        "",
        "What a link claims: a hash in base64url, and when it ends in seconds since 1970. `$secure_link` is `1` if the hash is the MD5 of \
         `secure_link_md5`, `0` if the time is over, and else empty.",
        Set(|s| {
            let text = own(s)?;
            s.settings().secure_link.link = Some(text);
            Ok(())
        }),
    ),
    Row::new(
        "secure_link_md5",
        HSL,
        (1, 1),
        "EXPRESSION",
        "",
        "What the hash of `secure_link` is made of; `$secure_link_expires` is the time.",
        Set(|s| {
            let text = own(s)?;
            s.settings().secure_link.md5 = Some(text);
            Ok(())
        }),
    ),
    Row::new(
        "secure_link_secret",
        L,
        (1, 1),
        "WORD",
        "",
        "Links are `/PREFIX/HASH/LINK`, HASH the MD5 of LINK and WORD in hexadecimal; `$secure_link` is LINK then, or else empty.",
        Set(|s| {
            if s.block.has("secure_link") || s.block.has("secure_link_md5") {
                return Err(mixed(s));
            }
            let secret = s.text(0).into();
            s.settings().secure_link = Settings { secret: Some(secret), ..Settings::default() };
            Ok(())
        }),
    ),
];

/// The argument of a directive that takes the place of a secret around it.
fn own(s: &mut Setter<'_>) -> Result<Arc<Template>, Diagnostic> {
    if s.block.has("secure_link_secret") {
        return Err(mixed(s));
    }
    s.settings().secure_link.secret = None;
    s.template(0).map(Arc::new)
}

fn mixed(s: &Setter<'_>) -> Diagnostic {
    s.wrong("\"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\"")
}

/// Computes something that may have any variable in it but those that follow from it: then there is none.
fn guarded<R>(scope: &mut Scope<'_>, compute: impl FnOnce(&mut Scope<'_>) -> Option<R>) -> Option<R> {
    /// So many evaluations deep, a variable follows from itself.
    const DEEPEST: u8 = 32;
    let depth = scope.request.route.depth;
    if depth >= DEEPEST {
        return None;
    }
    // Half the way at once: a text that names itself twice would else be evaluated without end.
    scope.request.route.depth = depth + DEEPEST / 2;
    let value = compute(scope);
    scope.request.route.depth = depth;
    value
}

/// `$secure_link`
pub fn link(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    let settings = &scope.settings().secure_link;
    if let Some(secret) = &settings.secret {
        let link = super::link(scope.request.target_uri(), secret.as_bytes());
        out.extend_from_slice(link.unwrap_or_default());
        return link.is_some();
    }
    let (Some(link), Some(md5)) = (&settings.link, &settings.md5) else { return false };
    let verdict = guarded(scope, |scope| {
        let value = link.value(scope);
        let claim = super::claim(&value)?;
        let expression = md5.value(scope);
        claim.verify(&expression, sys::time::coarse_seconds())
    });
    out.extend_from_slice(verdict.unwrap_or_default().as_bytes());
    verdict.is_some()
}

/// `$secure_link_expires`
pub fn expires(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    let Some(link) = &scope.settings().secure_link.link else { return false };
    let time = guarded(scope, |scope| super::claim(&link.value(scope))?.expires.map(<[u8]>::to_vec));
    out.extend_from_slice(time.as_deref().unwrap_or_default());
    time.is_some()
}
