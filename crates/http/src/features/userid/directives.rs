//! The directives.

use std::sync::Arc;

use conf::Diagnostic;

use super::{Cookie, Expires, Version};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::variables::{Source, VarId};

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    pub(super) mode: Mode,
    pub(super) cookie: Arc<Cookie>,
    /// What the field P3P says; `None`: there is none.
    pub(super) p3p: Option<Arc<str>>,
    /// What stands for the service in identifiers.
    pub(super) service: Option<u32>,
    /// `$uid_reset`, which a configuration may set.
    pub(super) reset: Option<VarId>,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mode {
    #[default]
    Off,
    /// Identifiers are read, and not made.
    Log,
    Made(Version),
}

impl Settings {
    /// Whether answers may get a cookie.
    pub fn is_on(&self) -> bool {
        matches!(self.mode, Mode::Made(_))
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "userid",
        HSL,
        (1, 1),
        "on | v1 | log | off",
        "off",
        "Whether clients get a cookie that they are known by. `log` only reads one: `$uid_got`.",
        Set(|s| {
            let modes = [
                ("off", Mode::Off),
                ("log", Mode::Log),
                ("v1", Mode::Made(Version::One)),
                ("on", Mode::Made(Version::Two)),
            ];
            let mode = s.one_of(0, &modes)?;
            let reset = s.make.registry.define("uid_reset", Source::Assigned, &s.it.name.at);
            let settings = &mut s.settings().userid;
            (settings.mode, settings.reset) = (mode, Some(reset));
            Ok(())
        }),
    ),
    Row::new(
        "userid_domain",
        HSL,
        (1, 1),
        "NAME | none",
        "none",
        "The cookie's domain.",
        Set(|s| {
            let text = unless_none(s, "none");
            cookie(s).domain = text;
            Ok(())
        }),
    ),
    Row::new(
        "userid_expires",
        HSL,
        (1, 1),
        "TIME | max | off",
        "off",
        "When the cookie ends: after a time, at the end of 2037, or with the session.",
        Set(|s| {
            let expires = match s.text(0) {
                "off" => Expires::Off,
                "max" => Expires::Max,
                _ => Expires::After(s.seconds(0)?),
            };
            cookie(s).expires = expires;
            Ok(())
        }),
    ),
    Row::new(
        "userid_flags",
        HSL,
        (1, 3),
        "off | FLAG ...",
        "off",
        "Attributes of the cookie: `secure`, `httponly`, `samesite=strict`, `samesite=lax`, `samesite=none`.",
        Set(|s| {
            let words: Vec<&str> = s.it.args.iter().map(|word| word.text.as_str()).collect();
            let flags = super::flags(&words).map_err(|word| s.wrong(format!("invalid value \"{word}\"")))?;
            cookie(s).flags = flags;
            Ok(())
        }),
    ),
    Row::new(
        "userid_mark",
        HSL,
        (1, 1),
        "LETTER | DIGIT | = | off",
        "off",
        "A sign in the cookie; a client whose cookie has another one is sent it again.",
        Set(|s| {
            let mark = super::mark(s.text(0)).map_err(|why| s.wrong(format!("\"userid_mark\" directive {why}")))?;
            cookie(s).mark = mark;
            Ok(())
        }),
    ),
    Row::new(
        "userid_name",
        HSL,
        (1, 1),
        "NAME",
        "uid",
        "The cookie's name.",
        Set(|s| {
            let name = s.text(0).to_owned();
            if !wire::h1::encode::is_token(name.as_bytes()) {
                return Err(s.wrong(format!("\"{name}\" is not the name of a cookie")));
            }
            cookie(s).name = name;
            Ok(())
        }),
    ),
    Row::new(
        "userid_p3p",
        HSL,
        (1, 1),
        "STRING | none",
        "none",
        "A field P3P that is sent with the cookie.",
        Set(|s| {
            let text = unless_none(s, "none");
            clean(s, &text)?;
            s.settings().userid.p3p = Some(text).filter(|text| !text.is_empty()).map(Into::into);
            Ok(())
        }),
    ),
    Row::new(
        "userid_path",
        HSL,
        (1, 1),
        "PATH",
        "/",
        "The cookie's path.",
        Set(|s| {
            let text = unless_none(s, "");
            clean(s, &text)?;
            cookie(s).path = text;
            Ok(())
        }),
    ),
    Row::new(
        "userid_service",
        HSL,
        (1, 1),
        "NUMBER",
        "the server's address",
        "A number in identifiers by which servers that make them are told apart.",
        Set(|s| {
            let number = u32::try_from(s.number(0)?).map_err(|_| s.wrong("invalid number"))?;
            s.settings().userid.service = Some(number);
            Ok(())
        }),
    ),
];

fn cookie<'a>(s: &'a mut Setter<'_>) -> &'a mut Cookie {
    Arc::make_mut(&mut s.settings().userid.cookie)
}

/// The argument, or nothing if it is the word for that.
fn unless_none(s: &Setter<'_>, none: &str) -> String {
    if s.text(0) == none { String::new() } else { s.text(0).to_owned() }
}

/// Whether a text may stand in a field.
fn clean(s: &Setter<'_>, text: &str) -> Result<(), Diagnostic> {
    if wire::h1::encode::is_field_value(text.as_bytes()) { Ok(()) } else { Err(s.invalid()) }
}
