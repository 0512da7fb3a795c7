//! `split_clients`: a variable that tells clients apart at random, the same client always the same way.

mod shares;

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::arguments;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Table;
use crate::config::row::Row;
use crate::variables::{Scope, Source, Template};
use shares::{Share, SplitClients};

/// What is hashed, and the values of the shares.
pub struct Split {
    key: Template,
    shares: SplitClients<Template>,
}

/// The table, by name.
pub const ROWS: &[Row] = &[Row::new(
    "split_clients",
    H,
    (2, 2),
    "TEXT $VARIABLE { SHARE% VALUE; ... }",
    "",
    "Makes a variable for trying something out with a share of the clients: TEXT (for example $remote_addr) \
         is hashed, and the VALUE is that of the share into which it falls, always the same for the same TEXT. \
         `*` is what is left.",
    Table(split),
)
.repeats()];

fn split(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let key = s.template(0)?;
    let name = arguments::new_variable(s.it, 1)?;
    let mut parts = Vec::new();
    for line in s.it.block.iter().flatten() {
        let [value] = &line.args[..] else {
            s.make.problems.push(Diagnostic::of(line, "invalid number of parameters in \"split_clients\""));
            continue;
        };
        let value = Template::compile(&value.text, &value.at, &mut s.make.registry);
        match (Share::parse(&line.name.text), value) {
            (Ok(share), Ok(value)) => parts.push((share, value)),
            (Err(message), _) | (_, Err(message)) => s.make.problems.push(Diagnostic::of(line, message)),
        }
    }
    let shares = SplitClients::build(parts).map_err(|why| s.wrong(why).line(s.it.close))?;
    s.make.registry.define(&name, Source::Split(Arc::new(Split { key, shares })), &s.it.name.at);
    Ok(())
}

impl Split {
    /// Appends the value.
    pub fn write(&self, scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
        let mut key = std::mem::take(&mut scope.request.route.scratch);
        key.clear();
        self.key.write(scope, &mut key);
        let found = self.shares.find(&key);
        scope.request.route.scratch = key;
        if let Some(value) = found {
            value.write(scope, out);
        }
        true
    }
}
