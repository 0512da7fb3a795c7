//! `expires`: how long clients may keep an answer.

mod values;

use std::sync::Arc;

use conf::Diagnostic;
use wire::date;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::ResponseHead;
use crate::exchange::response::is_usual;
use crate::sys;
use crate::variables::{Scope, Template};
use values::Expires;

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    value: Value,
}

impl Settings {
    pub fn is_on(&self) -> bool {
        !matches!(self.value, Value::Off)
    }
}

#[derive(Clone, Default)]
enum Value {
    #[default]
    Off,
    Fixed(Expires),
    /// A text with variables, and whether `modified` stood before it.
    Computed(Arc<Template>, bool),
}

/// The table, by name.
pub const ROWS: &[Row] = &[Row::new(
    "expires",
    HSLI,
    (1, 2),
    "[modified] TIME | @TIME-OF-DAY | epoch | max | off",
    "off",
    "How long clients may use their copy of an answer without asking again: adds the fields Expires and \
         Cache-Control. `epoch` and negative times forbid it, `max` is ten years, `@TIME-OF-DAY` is until then, \
         and with `modified` the time counts from the file's last change. May have variables.",
    Set(set),
)];

fn set(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let modified = s.count() == 2;
    if modified && s.text(0) != "modified" {
        return Err(s.invalid().hint("two arguments are `modified` and a time"));
    }
    let text = s.text(s.count() - 1).to_owned();
    let value = if text.contains('$') {
        Value::Computed(Arc::new(s.compile(&text)?), modified)
    } else {
        match Expires::parse(&text, modified) {
            Ok(Expires::Off) => Value::Off,
            Ok(expires) => Value::Fixed(expires),
            Err(why) => return Err(s.wrong(format!("\"expires\" directive {why}"))),
        }
    };
    s.settings().expires.value = value;
    Ok(())
}

/// Adds the fields to a head.
pub fn apply(scope: &mut Scope<'_>, head: &mut ResponseHead) {
    if !is_usual(head.status) {
        return;
    }
    let expires = match &scope.settings().expires.value {
        Value::Off => return,
        Value::Fixed(expires) => *expires,
        Value::Computed(template, modified) => {
            let mut text = Vec::new();
            scope.with_head(head, |scope| template.write(scope, &mut text));
            let text = String::from_utf8_lossy(&text);
            Expires::parse(&text, *modified).unwrap_or_default()
        }
    };
    let now = sys::time::coarse_seconds();
    let modified = head.find("last-modified").and_then(date::parse);
    let Some(values) = expires.values(now, modified, sys::time::local_offset_minutes(now)) else { return };
    head.replace("Expires", &values.expires);
    head.replace("Cache-Control", values.cache_control.as_bytes());
}
