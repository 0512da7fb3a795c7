//! `map`: a variable whose value follows from that of another text.

mod table;

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::arguments::{self, check};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::pattern;
use crate::config::row::Action::{Table, Tuning};
use crate::config::row::Row;
use crate::variables::{Scope, Source, Template};
pub use table::MapTable;

/// A map: what is looked up, and where.
pub struct Map {
    key: Template,
    table: MapTable<Template>,
    /// The value is computed each time.
    pub volatile: bool,
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "map",
        H,
        (2, 2),
        "TEXT $VARIABLE { SOURCE VALUE; ... }",
        "",
        "Makes a variable whose value depends on TEXT: it is the VALUE beside the SOURCE that TEXT equals. A \
         SOURCE may be a regular expression after `~` (or `~*`, without regard to case), or `default` for all \
         else; after a line `hostnames;` also a host with `*.` before or `.*` behind. With a line `volatile;` the \
         value is computed anew each time.",
        Table(map),
    )
    .repeats(),
    Row::new(
        "map_hash_bucket_size",
        H,
        (1, 1),
        "SIZE",
        "64",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
    Row::new(
        "map_hash_max_size",
        H,
        (1, 1),
        "NUMBER",
        "2048",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
];

fn map(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let key = s.template(0)?;
    let name = arguments::new_variable(s.it, 1)?;
    let mut table = MapTable::default();
    let mut volatile = false;
    for line in s.it.block.iter().flatten() {
        let source = line.name.text.as_str();
        let quoted = line.name.quoted;
        let problem = match &line.args[..] {
            [] if source == "hostnames" && !quoted => {
                table.hostnames();
                None
            }
            [] if source == "volatile" && !quoted => {
                volatile = true;
                None
            }
            [value] => match Template::compile(&value.text, &value.at, &mut s.make.registry) {
                Ok(value) => table.add(source, value).err(),
                Err(why) => Some(why),
            },
            _ => Some("invalid number of the map parameters".to_owned()),
        };
        if let Some(message) = problem {
            s.make.problems.push(Diagnostic::of(line, message));
        }
    }
    for regex in table.regexes() {
        pattern::announce(regex, &s.it.name.at, &mut s.make.registry);
    }
    let map = Map { key, table, volatile };
    s.make.registry.define(&name, Source::Map(Arc::new(map)), &s.it.name.at);
    Ok(())
}

impl Map {
    /// Appends the value, which is empty if the map has neither the source nor a default. It is always there.
    pub fn write(&self, scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
        let mut key = std::mem::take(&mut scope.request.route.scratch);
        key.clear();
        self.key.write(scope, &mut key);
        let found = self.table.find(&key, &mut scope.request.route.captures);
        scope.request.route.scratch = key;
        if let Some(value) = found {
            value.write(scope, out);
        }
        true
    }
}
