//! nginx's rewrite module: `rewrite`, `return`, `set`, `if`, `break`, compiled to a script that runs in the order of the
//! file, once for the server and then for each location that a request comes to.

mod directives;
mod run;

use crate::config::Pattern;
use crate::variables::{Template, VarId};

pub use directives::{ROWS, open_if};
pub use run::{Outcome, run};

/// The commands of a block.
#[derive(Clone, Default)]
pub struct Script {
    ops: Vec<Op>,
}

impl Script {
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Puts the contents of an `if` in their place. `location`: what holds once its condition did.
    pub fn fill(&mut self, slot: Option<usize>, script: Script, location: Option<u32>) {
        if let Some(Op::If { inner, location: place, .. }) = slot.and_then(|slot| self.ops.get_mut(slot)) {
            *inner = script;
            *place = location;
        }
    }
}

#[derive(Clone)]
enum Op {
    Set { target: Target, value: Template },
    If { condition: Condition, inner: Script, location: Option<u32> },
    Rewrite(Box<Rewrite>),
    Return(Return),
    Break,
}

/// What `set` may set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Own(VarId),
    Args,
    LimitRate,
}

#[derive(Clone)]
struct Rewrite {
    pattern: Pattern,
    /// The new path, and the arguments that the replacement brings itself.
    path: Template,
    args: Option<Template>,
    /// The request's arguments follow.
    keep_args: bool,
    then: Then,
}

/// What follows a rewrite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// The next command.
    GoOn,
    Last,
    Break,
    Redirect(u16),
}

#[derive(Clone)]
struct Return {
    status: u16,
    /// A body, or for a redirect where to.
    text: Option<Template>,
}

#[derive(Clone)]
enum Condition {
    True(Template),
    Equal { left: Template, right: Template, negated: bool },
    Match { subject: Template, pattern: Pattern, negated: bool },
    File { path: Template, test: FileTest, negated: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FileTest {
    File,
    Directory,
    Exists,
    Executable,
}
