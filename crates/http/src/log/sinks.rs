//! All open log targets of a configuration, each opened once, however many directives name it.

use std::path::Path;
use std::sync::Arc;

use super::sink::{Sink, open_failed};
use super::target::{Place, Target};

/// What stands in the way of a target.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// The directive is wrong; nginx names its line.
    Directive(String),
    /// The system refused; nginx names no line.
    System(String),
}

/// The targets, in the order they were opened.
#[derive(Default)]
pub struct Sinks {
    all: Vec<(Place, Arc<Sink>)>,
}

impl Sinks {
    /// The sink of a target; relative paths are below `prefix`. A file has one buffer: two directives that want
    /// different ones contradict each other, and one that wants none uses the other's.
    pub fn open(&mut self, target: &Target, prefix: &Path) -> Result<Arc<Sink>, Problem> {
        let place = target.place.below(prefix);
        if let Some((_, sink)) = self.all.iter().find(|(known, _)| *known == place) {
            match (sink.buffering(), target.buffering) {
                (_, None) => {}
                (None, wanted) => sink.set_buffering(wanted),
                (Some(has), Some(wanted)) if has == wanted => {}
                _ => {
                    let message = format!("access_log \"{}\" already defined with conflicting parameters", target.name);
                    return Err(Problem::Directive(message));
                }
            }
            return Ok(sink.clone());
        }
        let sink = Arc::new(Sink::open(target, prefix).map_err(Problem::System)?);
        self.all.push((place, sink.clone()));
        Ok(sink)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Sink>> {
        self.all.iter().map(|(_, sink)| sink)
    }

    /// [`Sink::tick`] of each; gives the failures to tell of.
    pub fn tick(&self, now: u64) -> impl Iterator<Item = String> {
        self.iter().filter_map(move |sink| sink.tick(now))
    }

    /// Writes what is held back.
    pub fn flush(&self) {
        self.iter().for_each(|sink| sink.flush());
    }

    /// Opens all files anew under their names; gives what failed, in nginx's words.
    pub fn reopen(&self) -> Vec<String> {
        let failed = self.all.iter().filter_map(|(place, sink)| match (sink.reopen(), place) {
            (Err(error), Place::File(path)) => Some(open_failed(path, &error)),
            _ => None,
        });
        failed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_once_and_has_one_buffer() {
        let folder = std::env::temp_dir().join(format!("daemun-sinks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut sinks = Sinks::default();
        let mut open = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            sinks.open(&Target::access(&words).unwrap().unwrap().target, &folder)
        };
        let full = format!("{}/x.log", folder.display());
        let first = open("x.log").unwrap();
        let second = open(&format!("{full} combined buffer=4k")).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.buffering().map(|rules| rules.size), Some(4096));
        open("x.log combined buffer=4k").unwrap();
        open("x.log combined").unwrap();
        let conflict = "access_log \"x.log\" already defined with conflicting parameters";
        for line in ["x.log combined buffer=8k", "x.log combined buffer=4k gzip", "x.log combined buffer=4k flush=1s"] {
            assert_eq!(open(line).err(), Some(Problem::Directive(conflict.into())), "{line}");
        }
        assert!(!Arc::ptr_eq(&first, &open("y.log").unwrap()));
        assert!(matches!(open("no/x.log"), Err(Problem::System(_))));
        assert_eq!(sinks.iter().count(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(sinks.reopen().len(), 2);
    }
}
