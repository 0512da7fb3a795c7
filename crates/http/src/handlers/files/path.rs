//! `root` and `alias`: the file that a URI names.

use std::path::Path;

use conf::Diagnostic;

use crate::config::build::Setter;
use crate::variables::{Scope, Template};

/// Where files are.
#[derive(Clone, Debug, Default)]
pub struct Root {
    template: Template,
    /// What the directory takes the place of.
    alias: Alias,
    /// Where a relative value begins.
    prefix: std::sync::Arc<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Alias {
    /// Nothing: `root`.
    #[default]
    No,
    /// So many bytes at the start of the path.
    Prefix(usize),
    /// The path: the location is a regular expression.
    Whole,
}

impl Root {
    /// `html` below the installation's prefix.
    pub fn default_of(prefix: &Path) -> Root {
        use std::os::unix::ffi::OsStrExt;
        Root {
            template: Template::fixed(prefix.join("html").as_os_str().as_bytes()),
            alias: Alias::No,
            prefix: prefix.as_os_str().as_bytes().into(),
        }
    }

    /// Reads `root` or `alias`.
    pub fn set(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
        let is_alias = s.name() == "alias";
        let other = if is_alias { "root" } else { "alias" };
        if s.block.has(other) {
            let message = if is_alias {
                "\"alias\" directive is duplicate, \"root\" directive was specified earlier"
            } else {
                "\"root\" directive is duplicate, \"alias\" directive was specified earlier"
            };
            return Err(s.wrong(message));
        }
        let text = s.text(0).to_owned();
        if is_alias && s.block.own.location.spec.as_ref().is_some_and(|spec| spec.name.starts_with('@')) {
            return Err(s.wrong("the \"alias\" directive cannot be used inside the named location"));
        }
        for word in ["document_root", "realpath_root"] {
            if text.contains(&format!("${word}")) || text.contains(&format!("${{{word}}}")) {
                let name = s.name().to_owned();
                return Err(s.wrong(format!("the ${word} variable cannot be used in the \"{name}\" directive")));
            }
        }
        use std::os::unix::ffi::OsStrExt;
        let prefix: std::sync::Arc<[u8]> = s.make.place.prefix.as_os_str().as_bytes().into();
        let text = if is_alias { text.as_str() } else { text.trim_end_matches('/') };
        let full = if text.starts_with(['/', '$']) || text.is_empty() {
            text.to_owned()
        } else {
            s.make.path(text).display().to_string()
        };
        let template = s.compile(&full)?;
        let alias = match (is_alias, s.block.own.location.prefix()) {
            (false, _) => Alias::No,
            (true, Some(prefix)) => Alias::Prefix(prefix.len()),
            (true, None) => Alias::Whole,
        };
        s.settings().root = Root { template, alias, prefix };
        Ok(())
    }

    pub fn is_alias(&self) -> bool {
        self.alias != Alias::No
    }

    /// Whether it is an `alias` in a location with a regular expression.
    pub fn is_whole(&self) -> bool {
        self.alias == Alias::Whole
    }

    /// How many bytes of a path the directory stands for.
    pub fn replaced(&self) -> usize {
        match self.alias {
            Alias::Prefix(len) => len,
            Alias::No | Alias::Whole => 0,
        }
    }
}

/// Appends the directory, as $document_root has it.
pub fn root(scope: &mut Scope<'_>, out: &mut Vec<u8>) {
    let root = &scope.settings().root;
    let start = out.len();
    root.template.write(scope, out);
    if out.get(start) != Some(&b'/') {
        let mut full = root.prefix.to_vec();
        full.push(b'/');
        out.splice(start..start, full);
    }
}

/// Appends the file's path; gives how much of it is the root. `None`: `alias` cannot tell, because the URI was
/// rewritten to something that does not begin with the location; or the path leads out of its directory.
pub fn of(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    root(scope, out);
    let len = out.len() - start;
    let route = &scope.request.route;
    match scope.settings().root.alias {
        Alias::No => out.extend_from_slice(&scope.request.path),
        Alias::Whole if route.whole_path => out.extend_from_slice(&scope.request.path),
        Alias::Whole => {}
        Alias::Prefix(_) if route.stayed => return None,
        Alias::Prefix(taken) => out.extend_from_slice(scope.request.path.get(taken..)?),
    }
    (!leads_out(scope, &out[start..], len)).then_some(len)
}

/// Whether a path has `..` in what a request has brought into it: by `location /static { alias /srv/static/; }`, which
/// lacks a slash, by captures, or by variables. nginx would go there. So many bytes of it are the root.
pub fn leads_out(scope: &Scope<'_>, path: &[u8], root: usize) -> bool {
    let settings = &scope.settings().root;
    let fixed = settings.template.as_fixed().is_some();
    if fixed && settings.alias == Alias::No && !scope.request.route.rewritten {
        return false;
    }
    let from = if fixed { root.saturating_sub(1) } else { settings.template.fixed_start() };
    goes_up(path.get(from..).unwrap_or_default())
}

/// Whether a path has a part that is `..`.
pub fn goes_up(path: &[u8]) -> bool {
    let ends = |at: usize| matches!(path.get(at), None | Some(b'/'));
    (path.starts_with(b"..") && ends(2)) || memchr::memmem::find_iter(path, b"/..").any(|at| ends(at + 3))
}
