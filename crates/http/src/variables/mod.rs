//! Variables: what `$name` in a configuration stands for, per request.
//!
//! `table` has the built-in ones, a row each; `registry` those that a configuration makes (`set`, `map`, `geo`,
//! captures); `template` is a text with variables in it, compiled once; `scope` is what a variable is computed from.

mod asked;
mod getters;
pub mod registry;
pub mod scope;
mod table;
pub mod template;

pub use registry::{Registry, Source, VarId};
pub use scope::{Answer, Scope, Value};
pub use template::Template;

/// A variable, resolved at load.
#[derive(Clone, Debug)]
pub enum Variable {
    /// A built-in one.
    Fixed(&'static table::Row),
    /// One of a family: `$arg_NAME`, `$http_NAME`.
    Member(&'static table::Family, Box<str>),
    /// One that the configuration makes.
    Own(VarId),
    /// `$1` to `$9`
    Capture(u8),
}

/// Whether a configuration may not define this name, because it is built in.
pub fn is_built_in(name: &str) -> bool {
    table::ROWS.iter().any(|row| row.name.eq_ignore_ascii_case(name))
}

/// The names of the built-in variables and families, for hints.
pub fn names() -> impl Iterator<Item = &'static str> + use<> {
    table::ROWS.iter().map(|row| row.name)
}

/// The built-in variables with their documentation; families as `arg_NAME`.
pub fn documentation() -> Vec<(String, &'static str)> {
    let rows = table::ROWS.iter().map(|row| (row.name.to_owned(), row.doc));
    let families = table::FAMILIES.iter().map(|family| (format!("{}NAME", family.prefix), family.doc));
    let set = table::SET.iter().map(|(name, doc)| ((*name).to_owned(), *doc));
    rows.chain(set).chain(families).collect()
}

impl Variable {
    /// What is called `name`, in any case; `registry` learns of names that are not built in.
    pub fn of(name: &str, at: &conf::At, registry: &mut Registry) -> Variable {
        let name = name.to_ascii_lowercase();
        let name = name.as_str();
        if let [digit @ b'1'..=b'9'] = name.as_bytes() {
            return Variable::Capture(digit - b'0');
        }
        if let Some(row) = table::ROWS.iter().find(|row| row.name == name) {
            return Variable::Fixed(row);
        }
        for family in table::FAMILIES {
            if let Some(member) = name.strip_prefix(family.prefix)
                && !member.is_empty()
                && !registry.is_own(name)
            {
                return Variable::Member(family, member.into());
            }
        }
        Variable::Own(registry.want(name, at))
    }

    /// What is called `name` in a configuration that is complete; `None`: it has no such variable.
    pub fn find(name: &str, registry: &Registry) -> Option<Variable> {
        if let [digit @ b'1'..=b'9'] = name.as_bytes() {
            return Some(Variable::Capture(digit - b'0'));
        }
        if let Some(row) = table::ROWS.iter().find(|row| row.name == name) {
            return Some(Variable::Fixed(row));
        }
        for family in table::FAMILIES {
            if let Some(member) = name.strip_prefix(family.prefix)
                && !member.is_empty()
                && !registry.is_own(name)
            {
                return Some(Variable::Member(family, member.into()));
            }
        }
        registry.find(name).map(Variable::Own)
    }

    /// Appends the value; `false`: there is none.
    pub fn write(&self, scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Variable::Fixed(row) => (row.get)(scope, out),
            Variable::Member(family, name) => (family.get)(scope, name, out),
            Variable::Own(id) => registry::write(*id, scope, out),
            Variable::Capture(number) => match scope.request.route.captures.get(usize::from(*number)) {
                Some(bytes) => {
                    out.extend_from_slice(bytes);
                    true
                }
                None => false,
            },
        }
    }
}
