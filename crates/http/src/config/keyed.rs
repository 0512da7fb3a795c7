//! Zones with a key, as `limit_req_zone` and `limit_conn_zone` declare them: the arguments they have in common, and the
//! key of a request.

use std::sync::{Arc, OnceLock};

use conf::Diagnostic;

use super::build::{Maker, Setter};
use crate::log::Level;
use crate::variables::{Scope, Template};
use crate::zone::hash::Hash;
use crate::zone::{LEAST_PAGES, Memory, PAGE, Use, Zone};

/// The levels that refused requests may be logged with.
pub const LEVELS: [(&str, Level); 4] =
    [("info", Level::Info), ("notice", Level::Notice), ("warn", Level::Warning), ("error", Level::Error)];

/// The status that refused requests are answered with.
pub fn status(s: &Setter<'_>) -> Result<u16, Diagnostic> {
    let status = s.number(0)?;
    if !(400..=599).contains(&status) {
        return Err(s.wrong("value must be between 400 and 599"));
    }
    Ok(status as u16)
}

/// What holds in a block: limits of one kind, and what becomes of requests beyond them.
#[derive(Clone)]
pub struct Limits<T> {
    pub limits: Arc<Vec<T>>,
    pub status: u16,
    pub level: Level,
    /// They are only counted and logged.
    pub dry_run: bool,
}

impl<T> Default for Limits<T> {
    fn default() -> Limits<T> {
        Limits { limits: Arc::default(), status: 503, level: Level::Error, dry_run: false }
    }
}

impl<T> Limits<T> {
    pub fn is_on(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Each in words, for `explain`.
    pub fn each(&self, words: impl Fn(&T) -> String) -> Vec<String> {
        let only = if self.dry_run { ", only counted (dry run)" } else { "" };
        self.limits.iter().map(|limit| words(limit) + only).collect()
    }
}

/// A zone with its key.
pub struct Keyed {
    zone: Arc<Zone>,
    key: OnceLock<Template>,
    /// As typed.
    text: OnceLock<String>,
    /// Thousandths of a request a second, where that means something.
    rate: OnceLock<u64>,
}

impl Keyed {
    pub fn name(&self) -> &str {
        &self.zone.name
    }

    /// The key as typed.
    pub fn text(&self) -> &str {
        self.text.get().map_or("", String::as_str)
    }

    /// Thousandths of a request a second, never 0.
    pub fn rate(&self) -> u64 {
        self.rate.get().copied().unwrap_or(1000).max(1)
    }

    /// The memory, if it is mapped, and the hash of the request's key in it. `None` where the key is empty, or longer
    /// than `longest` bytes, which is told.
    pub fn entry(&self, scope: &mut Scope<'_>, longest: usize) -> Option<(&Arc<Memory>, Hash)> {
        let key = self.key.get()?;
        let memory = self.zone.memory()?;
        let mut value = std::mem::take(&mut scope.request.route.scratch);
        value.clear();
        key.write(scope, &mut value);
        let hash = (!value.is_empty() && value.len() <= longest).then(|| memory.secret.hash(&value));
        if value.len() > longest {
            let (text, shown) = (self.text(), String::from_utf8_lossy(&value));
            let message = format_args!("the value of the \"{text}\" key is more than {longest} bytes: \"{shown}\"");
            scope.request.error(scope.config, scope.log, message);
        }
        scope.request.route.scratch = value;
        hash.map(|hash| (memory, hash))
    }
}

/// The zone of this name, whether or not it is declared yet.
pub fn find(make: &mut Maker, name: &str, size: u64, used_for: Use) -> Result<Arc<Keyed>, String> {
    let zone = make.zones.declare(name, size, used_for)?;
    if let Some(keyed) = make.keyed.iter().find(|keyed| Arc::ptr_eq(&keyed.zone, &zone)) {
        return Ok(keyed.clone());
    }
    let keyed = Arc::new(Keyed { zone, key: OnceLock::new(), text: OnceLock::new(), rate: OnceLock::new() });
    make.keyed.push(keyed.clone());
    Ok(keyed)
}

/// `zone=NAME:SIZE`
pub fn name_and_size(s: &Setter<'_>, word: &str) -> Result<(String, u64), Diagnostic> {
    let invalid = || s.wrong(format!("invalid zone size \"{word}\""));
    let (name, size) = word.strip_prefix("zone=").and_then(|rest| rest.split_once(':')).ok_or_else(invalid)?;
    let size = conf::size(size).ok_or_else(invalid)?;
    if size < LEAST_PAGES * PAGE {
        return Err(s.wrong(format!("zone \"{word}\" is too small")).hint("the smallest is 32k"));
    }
    Ok((name.to_owned(), size))
}

/// Declares a zone whose key is the first argument. `rate`: thousandths of a request a second.
pub fn declare(
    s: &mut Setter<'_>,
    zone: Option<(String, u64)>,
    rate: Option<u64>,
    used_for: Use,
) -> Result<(), Diagnostic> {
    let key = s.template(0)?;
    let Some((name, size)) = zone.filter(|(name, _)| !name.is_empty()) else {
        return Err(s.wrong(format!("\"{}\" must have \"zone\" parameter", s.name())));
    };
    let keyed = find(s.make, &name, size, used_for).map_err(|why| s.wrong(why))?;
    let text = s.text(0).to_owned();
    keyed
        .zone
        .bind(&text)
        .map_err(|bound| s.wrong(format!("{} \"{name}\" is already bound to key \"{bound}\"", s.name())))?;
    let _ = (keyed.key.set(key), keyed.text.set(text));
    if let Some(rate) = rate {
        let _ = keyed.rate.set(rate);
    }
    Ok(())
}
