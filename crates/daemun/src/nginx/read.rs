//! Reads a configuration: the flag `-g`, the file, and what it includes. All texts are kept for `-T`.

use std::path::Path;

pub use conf::Source;
use conf::{At, Diagnostic, Directive, Disk, Loader};

use super::flags::Flags;
use super::layout::Layout;

/// What was read.
pub struct Read {
    pub tree: Vec<Directive>,
    /// Each file once.
    pub sources: Vec<Source>,
    pub errors: Vec<Diagnostic>,
}

/// Reads the configuration of a command line, as far as it can be read.
pub fn read(layout: &Layout, flags: &Flags) -> Read {
    let folder = layout.file.parent().unwrap_or(Path::new("/"));
    let mut keeper = Keeper { disk: Disk { prefix: folder.to_path_buf() }, sources: Vec::new() };
    let mut read = Read { tree: Vec::new(), sources: Vec::new(), errors: Vec::new() };
    if let Some(globals) = &flags.globals {
        match conf::parse_flag("-g", &globals.to_string_lossy(), &mut keeper) {
            Ok(tree) => read.tree = tree,
            Err(errors) => read.errors = errors,
        }
    }
    match conf::read_file(&layout.file) {
        Ok(source) => {
            keeper.keep(&source);
            let parsed = conf::read(&source.name, &source.text, &mut keeper);
            read.tree.extend(parsed.tree);
            read.errors.extend(parsed.errors);
        }
        Err(why) => read.errors.push(Diagnostic::new(At::Default, why)),
    }
    read.sources = keeper.sources;
    read
}

struct Keeper {
    disk: Disk,
    sources: Vec<Source>,
}

impl Keeper {
    fn keep(&mut self, source: &Source) {
        if !self.sources.iter().any(|kept| kept.name == source.name) {
            self.sources.push(source.clone());
        }
    }
}

impl Loader for Keeper {
    fn load(&mut self, pattern: &str) -> Result<Vec<Source>, String> {
        let sources = self.disk.load(pattern)?;
        sources.iter().for_each(|source| self.keep(source));
        Ok(sources)
    }
}
