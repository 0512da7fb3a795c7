//! A regular expression of the configuration. Its named groups are variables.

use std::sync::Arc;

use super::build::Setter;
use crate::exchange::route::Route;
use crate::regex::Regex;
use crate::variables::{Registry, Source, VarId};

#[derive(Clone)]
pub struct Pattern {
    pub regex: Arc<Regex>,
    /// The variables of its named groups.
    named: Arc<[VarId]>,
}

impl Pattern {
    /// Compiles; names of groups become variables.
    pub fn new(text: &str, caseless: bool, at: &conf::At, registry: &mut Registry) -> Result<Pattern, String> {
        let regex = Regex::new(text, caseless)?;
        let named = announce(&regex, at, registry);
        Ok(Pattern { regex: Arc::new(regex), named: named.into() })
    }

    /// The same, for a directive.
    pub fn compile(text: &str, caseless: bool, s: &mut Setter<'_>) -> Result<Pattern, conf::Diagnostic> {
        Pattern::new(text, caseless, &s.it.name.at, &mut s.make.registry).map_err(|why| s.wrong(why))
    }

    /// Whether it matches; if so, `route` has the captures from now on, and if not, none.
    pub fn find(&self, subject: &[u8], route: &mut Route) -> bool {
        let found = self.regex.find(subject, &mut route.captures);
        if found {
            self.named.iter().for_each(|id| route.forget(*id));
        } else {
            route.captures.forget_groups();
        }
        found
    }
}

/// Lets the named groups of a regular expression be variables, and gives them.
pub fn announce(regex: &Regex, at: &conf::At, registry: &mut Registry) -> Vec<VarId> {
    regex.names().iter().map(|(name, _)| registry.define(name, Source::Captured, at)).collect()
}
