//! What the commands of a page see: the variables of its request, the clock, regular expressions, the log.

use super::{Clock, Context, Found};
use crate::regex::{Captures, Matched, Regex};
use crate::sys;
use crate::variables::{Scope, Variable};

/// The request that a page belongs to.
pub struct Page<'a> {
    pub scope: Scope<'a>,
}

impl Context for Page<'_> {
    fn variable(&mut self, name: &str) -> Option<Vec<u8>> {
        let variable = Variable::find(name, &self.scope.config.variables)?;
        let mut value = Vec::new();
        variable.write(&mut self.scope, &mut value).then_some(value)
    }

    fn clock(&mut self) -> Clock {
        let unix = sys::time::coarse_seconds();
        Clock { unix, offset_minutes: sys::time::local_offset_minutes(unix), zone: sys::time::local_zone(unix) }
    }

    fn find(&mut self, pattern: &[u8], subject: &[u8]) -> Result<Option<Found>, String> {
        let pattern = String::from_utf8_lossy(pattern);
        let regex = Regex::new(&pattern, false)?;
        let mut captures = Captures::default();
        match regex.matched(subject, &mut captures) {
            Matched::Yes => {}
            Matched::No => return Ok(None),
            Matched::Failed(why) => return Err(why),
        }
        let group = |number: usize| captures.get(number).map(<[u8]>::to_vec);
        let names = regex.names().iter().map(|(name, number)| (name.to_string(), group(*number)));
        Ok(Some(Found { groups: (0..=regex.groups()).map(group).collect(), names: names.collect() }))
    }

    fn log(&mut self, message: &str) {
        self.scope.request.error(
            self.scope.config,
            self.scope.log,
            format_args!("{message} while sending response to client"),
        );
    }
}
