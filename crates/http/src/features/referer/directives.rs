//! The directive `valid_referers`, and `$invalid_referer`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use conf::Diagnostic;

use super::Referers;
use crate::config::arguments::check;
use crate::config::build::Setter;
use crate::config::context::Context;
use crate::config::context::sets::*;
use crate::config::names::ServerName;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::{MANY, Row};
use crate::variables::Scope;

/// What holds in a block; `None`: no referer is invalid.
pub type Settings = Option<Arc<Listed>>;

/// The arguments of a block, and what is built of them once the server's names are known.
#[derive(Default)]
pub struct Listed {
    words: Mutex<Vec<String>>,
    built: OnceLock<Referers>,
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "referer_hash_bucket_size",
        SL,
        (1, 1),
        "SIZE",
        "64",
        "Tables grow by themselves here; without effect.",
        Tuning(check::size),
    ),
    Row::new("referer_hash_max_size", SL, (1, 1), "NUMBER", "2048", "The same.", Tuning(check::number)),
    Row::new(
        "valid_referers",
        SL,
        (1, MANY),
        "none | blocked | server_names | NAME[/PATH] | ~REGEX ...",
        "",
        "Pages that requests may come from; else `$invalid_referer` is 1. `none` is a request without Referer, `blocked` one whose \
         Referer has no scheme.",
        Set(set),
    )
    .repeats(),
];

fn set(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let words = s.it.args.iter().map(|word| word.text.clone());
    if !s.first
        && let Some(listed) = &s.block.settings.referer
    {
        listed.words.lock().unwrap_or_else(PoisonError::into_inner).extend(words);
        return Ok(());
    }
    let listed = Arc::new(Listed { words: Mutex::new(words.collect()), built: OnceLock::new() });
    s.settings().referer = Some(listed.clone());
    // A server's place is taken after its own directives, those of its locations come later.
    let server = s.make.servers.len() - usize::from(s.block.context != Context::Server);
    let it = s.it.clone();
    s.make.after.push(Box::new(move |make| {
        let words = listed.words.lock().unwrap_or_else(PoisonError::into_inner);
        let unnamed: Vec<ServerName> = ServerName::parse("", "").into_iter().collect();
        let own: Vec<ServerName> = make.listens.names_of(server).cloned().collect();
        let names = if own.is_empty() { &unnamed } else { &own };
        match Referers::build(words.iter().map(String::as_str), names) {
            Ok(referers) => drop(listed.built.set(referers)),
            Err(why) => make.problems.push(Diagnostic::of(&it, why)),
        }
    }));
    Ok(())
}

/// `$invalid_referer`
pub fn invalid(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    let referers = scope.settings().referer.as_ref().and_then(|listed| listed.built.get());
    if referers.is_some_and(|referers| referers.invalid(scope.request.field("referer"))) {
        out.push(b'1');
    }
    true
}
