//! `add_before_body`, `add_after_body`: answers of other locations round an answer.

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::media_types::MediaTypes;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::ResponseHead;
use crate::variables::Scope;

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    before: Option<Arc<[u8]>>,
    after: Option<Arc<[u8]>>,
    types: MediaTypes,
}

impl Settings {
    pub fn is_on(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "add_after_body",
        HSL,
        (1, 1),
        "URI",
        "",
        "Sends the answer to this URI, too, after the body. `\"\"`: none.",
        Set(|s| {
            s.settings().addition.after = uri(s);
            Ok(())
        }),
    ),
    Row::new(
        "add_before_body",
        HSL,
        (1, 1),
        "URI",
        "",
        "The same, before the body.",
        Set(|s| {
            s.settings().addition.before = uri(s);
            Ok(())
        }),
    ),
    Row::new(
        "addition_types",
        HSL,
        (1, usize::MAX),
        "TYPE ... | *",
        "text/html",
        "Media types of answers to which something is added, beside text/html.",
        Set(types),
    )
    .repeats(),
];

fn uri(s: &Setter<'_>) -> Option<Arc<[u8]>> {
    let text = s.text(0);
    (!text.is_empty()).then(|| text.as_bytes().into())
}

fn types(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let mut types = s.settings().addition.types.clone();
    types.set(s)?;
    s.settings().addition.types = types;
    Ok(())
}

/// Whether something is added to the answer.
pub fn applies(scope: &Scope<'_>, head: &ResponseHead) -> bool {
    let settings = &scope.settings().addition;
    settings.is_on() && head.status == 200 && !scope.request.route.subrequest && settings.types.has(head.media_type())
}

/// Has something added.
pub fn apply(scope: &Scope<'_>, head: &mut ResponseHead) {
    if !applies(scope, head) {
        return;
    }
    let settings = &scope.settings().addition;
    head.change_body(true);
    let assembly = head.assembly.get_or_insert_default();
    assembly.before = settings.before.clone();
    assembly.after = settings.after.clone();
}
