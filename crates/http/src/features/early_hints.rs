//! `early_hints`: whether clients get the answers of status 103 (RFC 8297) that servers send before their own.

use std::sync::Arc;

use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{MANY, Row};
use crate::variables::{Scope, Template};

/// What holds in a block: the conditions, one of which must hold.
#[derive(Clone, Default)]
pub struct Settings {
    conditions: Option<Arc<[Template]>>,
}

/// The table, by name.
pub const ROWS: &[Row] = &[Row::new(
    "early_hints",
    HSL,
    (1, MANY),
    "STRING ...",
    "",
    "Answers of status 103 are passed to clients while a STRING is neither empty nor `0`. For example `$http_sec_fetch_mode`: older \
     clients of HTTP/1.1 may not know such answers.",
    Set(|s| {
        let before = s.block.settings.early_hints.conditions.clone().filter(|_| !s.first);
        let mut all = before.map(|all| all.to_vec()).unwrap_or_default();
        for index in 0..s.count() {
            all.push(s.template(index)?);
        }
        s.settings().early_hints.conditions = Some(all.into());
        Ok(())
    }),
)
.repeats()];

/// Whether the client of this request gets them.
pub fn wanted(scope: &mut Scope<'_>) -> bool {
    let Some(conditions) = scope.settings().early_hints.conditions.clone() else { return false };
    conditions.iter().any(|condition| condition.is_true(scope))
}
