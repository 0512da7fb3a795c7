//! `sub_filter`: strings in bodies that are replaced.

use std::sync::{Arc, OnceLock};

use crate::config::context::sets::*;
use crate::config::media_types::MediaTypes;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::ResponseHead;
use crate::stage::sub::{Patterns, Sub};
use crate::variables::{Scope, Template};

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    filters: Option<Arc<Filters>>,
    once: bool,
    types: MediaTypes,
    last_modified: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { filters: None, once: true, types: MediaTypes::default(), last_modified: false }
    }
}

impl Settings {
    pub fn is_on(&self) -> bool {
        self.filters.is_some()
    }
}

/// What is looked for and what replaces it, in order.
#[derive(Clone, Default)]
struct Filters {
    pairs: Vec<(Template, Template)>,
    /// Made from the pairs when they are first needed, unless they have variables.
    patterns: OnceLock<Arc<Patterns>>,
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("sub_filter", HSL, (2, 2), "STRING REPLACEMENT", "",
        "Replaces a string in answers, without regard to case. A block that has one of its own does not have those around it.",
        Set(|s| {
            if s.text(0).is_empty() {
                return Err(s.wrong("empty search pattern"));
            }
            let pair = (s.template(0)?, s.template(1)?);
            let first = s.first;
            let filters = s.settings().sub_filter.filters.get_or_insert_default();
            let filters = Arc::make_mut(filters);
            if first {
                filters.pairs.clear();
            }
            filters.pairs.push(pair);
            filters.patterns = OnceLock::new();
            Ok(())
        })).repeats(),
    Row::new("sub_filter_last_modified", HSL, (1, 1), "on | off", "off",
        "Whether Last-Modified and (as a weak one) ETag stay where something may be replaced.",
        Set(|s| s.set_flag(|settings| &mut settings.sub_filter.last_modified))),
    Row::new("sub_filter_once", HSL, (1, 1), "on | off", "on", "Whether each string is replaced once only.",
        Set(|s| s.set_flag(|settings| &mut settings.sub_filter.once))),
    Row::new("sub_filter_types", HSL, (1, usize::MAX), "TYPE ... | *", "text/html",
        "Media types of answers in which strings are replaced, beside text/html.",
        Set(|s| {
            let mut types = s.settings().sub_filter.types.clone();
            types.set(s)?;
            s.settings().sub_filter.types = types;
            Ok(())
        })).repeats(),
];

/// The patterns for this answer; `None`: it is left alone.
fn patterns(scope: &mut Scope<'_>, head: &ResponseHead) -> Option<Arc<Patterns>> {
    let settings = &scope.settings().sub_filter;
    let filters = settings.filters.as_ref()?;
    if head.length == Some(0) || !settings.types.has(head.media_type()) {
        return None;
    }
    let texts =
        |scope: &mut Scope<'_>| -> Vec<Vec<u8>> { filters.pairs.iter().map(|pair| pair.0.value(scope)).collect() };
    let make = |texts: Vec<Vec<u8>>| {
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        Arc::new(Patterns::new(&texts))
    };
    let patterns = if filters.pairs.iter().all(|pair| pair.0.as_fixed().is_some()) {
        filters.patterns.get_or_init(|| make(texts(scope))).clone()
    } else {
        make(texts(scope))
    };
    (!patterns.is_empty()).then_some(patterns)
}

/// Whether something would be looked for in the answer.
pub fn applies(scope: &mut Scope<'_>, head: &ResponseHead) -> bool {
    patterns(scope, head).is_some()
}

/// Has strings replaced in the answer's body.
pub fn apply(scope: &mut Scope<'_>, head: &mut ResponseHead) {
    let Some(patterns) = patterns(scope, head) else { return };
    let settings = &scope.settings().sub_filter;
    let pairs = settings.filters.iter().flat_map(|filters| &filters.pairs);
    let replacements = pairs.map(|pair| scope.with_head(head, |scope| pair.1.value(scope))).collect();
    if !scope.request.route.subrequest {
        let length = head.length;
        head.change_body(settings.last_modified);
        // The sender makes it go; until then it tells how much is to come.
        head.length = length;
    }
    head.stages.push(Box::new(Sub::new(patterns, replacements, settings.once)));
}
