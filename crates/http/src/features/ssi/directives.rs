//! The directives of SSI, and which answers are pages.

use crate::config::arguments::check;
use crate::config::context::sets::*;
use crate::config::media_types::MediaTypes;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::Row;
use crate::exchange::ResponseHead;
use crate::variables::Scope;

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    on: bool,
    pub silent_errors: bool,
    /// Bytes that a parameter of a command may have.
    pub value_length: usize,
    types: MediaTypes,
    last_modified: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            on: false,
            silent_errors: false,
            value_length: super::DEFAULT_VALUE_LENGTH,
            types: MediaTypes::default(),
            last_modified: false,
        }
    }
}

impl Settings {
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether answers of that type are pages.
    pub fn is_for(&self, media_type: &[u8]) -> bool {
        self.on && self.types.has(media_type)
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "ssi",
        HSLI,
        (1, 1),
        "on | off",
        "off",
        "Runs the SSI commands in answers.",
        Set(|s| s.set_flag(|settings| &mut settings.ssi.on)),
    ),
    Row::new(
        "ssi_last_modified",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether Last-Modified and (as a weak one) ETag of pages stay.",
        Set(|s| s.set_flag(|settings| &mut settings.ssi.last_modified)),
    ),
    Row::new(
        "ssi_min_file_chunk",
        HSL,
        (1, 1),
        "SIZE",
        "1k",
        "Parts of answers are not copied here; without effect.",
        Tuning(check::size),
    ),
    Row::new(
        "ssi_silent_errors",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether nothing stands for a command that is wrong.",
        Set(|s| s.set_flag(|settings| &mut settings.ssi.silent_errors)),
    ),
    Row::new(
        "ssi_types",
        HSL,
        (1, usize::MAX),
        "TYPE ... | *",
        "text/html",
        "Media types of pages, beside text/html.",
        Set(|s| {
            let mut types = s.settings().ssi.types.clone();
            types.set(s)?;
            s.settings().ssi.types = types;
            Ok(())
        }),
    )
    .repeats(),
    Row::new(
        "ssi_value_length",
        HSL,
        (1, 1),
        "LENGTH",
        "256",
        "The longest parameter of a command, in bytes.",
        Set(|s| {
            let length = s.size(0)?;
            s.settings().ssi.value_length = usize::try_from(length).unwrap_or(usize::MAX);
            Ok(())
        }),
    ),
];

/// Whether the answer is a page.
pub fn applies(scope: &Scope<'_>, head: &ResponseHead) -> bool {
    head.length != Some(0) && scope.settings().ssi.is_for(head.media_type())
}

/// Has the commands in a page run.
pub fn apply(scope: &Scope<'_>, head: &mut ResponseHead) {
    if !applies(scope, head) {
        return;
    }
    if !scope.request.route.subrequest {
        head.change_body(scope.settings().ssi.last_modified);
    }
    head.assembly.get_or_insert_default().ssi = true;
}
