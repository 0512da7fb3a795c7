//! `add_header`, `add_trailer`: fields that the configuration adds to answers.

use std::sync::Arc;

use conf::Diagnostic;
use wire::h1::encode;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::ResponseHead;
use crate::exchange::response::is_usual;
use crate::variables::{Scope, Template};

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    headers: List,
    trailers: List,
    /// The encoded lines of `headers`, where they are the same for every answer.
    fixed: Option<Arc<[u8]>>,
    /// The same, where they are so for every answer of a usual status, and for every other one.
    usual: Option<(Arc<[u8]>, Arc<[u8]>)>,
}

/// The fields of one of the two directives.
#[derive(Clone, Default)]
struct List {
    /// Those that hold.
    all: Arc<Vec<Added>>,
    /// Those of this block.
    own: Arc<Vec<Added>>,
    /// Those of the block around it.
    outer: Arc<Vec<Added>>,
    inherit: Inherit,
}

impl List {
    /// What holds until now belongs to the block around.
    fn begin(&mut self) {
        self.outer = std::mem::take(&mut self.all);
        self.own = Arc::default();
    }

    fn choose(&mut self) {
        self.all = match (self.own.is_empty(), self.inherit) {
            (true, Inherit::Off) => Arc::default(),
            (true, _) => self.outer.clone(),
            (false, Inherit::Merge) => Arc::new(self.own.iter().chain(&*self.outer).cloned().collect()),
            (false, _) => self.own.clone(),
        };
    }
}

impl Settings {
    /// Whether fields may follow bodies.
    pub fn has_trailers(&self) -> bool {
        !self.trailers.all.is_empty()
    }

    /// Lines for every answer, already encoded.
    pub fn fixed(&self) -> Option<&[u8]> {
        self.fixed.as_deref()
    }

    /// Whether something is to be added that is not the same for every answer.
    pub fn is_computed(&self) -> bool {
        self.fixed.is_none() && !self.headers.all.is_empty()
    }

    /// Whether inner blocks have nothing of this one.
    pub fn ends_here(&self) -> bool {
        let ends = |list: &List| list.inherit == Inherit::Off && !list.all.is_empty();
        ends(&self.headers) || ends(&self.trailers)
    }

    /// Leaves behind what inner blocks do not have.
    pub fn enter(&mut self) {
        for list in [&mut self.headers, &mut self.trailers] {
            if list.inherit == Inherit::Off {
                list.all = Arc::default();
            }
        }
        self.fix();
    }

    /// Encodes what can be encoded now.
    fn fix(&mut self) {
        (self.fixed, self.usual) = (None, None);
        let all = &self.headers.all;
        let (mut usual, mut always) = (Vec::new(), Vec::new());
        for added in all.iter() {
            let Some(value) = added.value.as_fixed().filter(|_| added.place() == Place::Line) else { return };
            if value.is_empty() {
                continue;
            }
            encode::field(&mut usual, added.name.as_bytes(), value);
            if added.always {
                encode::field(&mut always, added.name.as_bytes(), value);
            }
        }
        if !usual.is_empty() && usual == always {
            self.fixed = Some(always.into());
        } else {
            self.usual = Some((usual.into(), always.into()));
        }
    }
}

/// A field to be added.
#[derive(Clone)]
pub struct Added {
    name: Box<str>,
    value: Template,
    /// Whatever the status.
    always: bool,
}

/// What an added field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// One more line.
    Line,
    /// It takes the place of what the answer has.
    LastModified,
    ETag,
    Server,
    Date,
}

impl Added {
    fn place(&self) -> Place {
        let is = |name: &str| self.name.eq_ignore_ascii_case(name);
        match self.name.len() {
            4 if is("etag") => Place::ETag,
            4 if is("date") => Place::Date,
            6 if is("server") => Place::Server,
            13 if is("last-modified") => Place::LastModified,
            _ => Place::Line,
        }
    }

    /// Whether it is for answers of this status.
    fn is_for(&self, status: u16) -> bool {
        self.always || is_usual(status)
    }
}

/// What a block that has fields of its own does with those of the block around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Inherit {
    /// Its own take their place.
    #[default]
    On,
    /// It has none of them in any case.
    Off,
    /// Its own come after them.
    Merge,
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("add_header", HSLI, (2, 3), "NAME VALUE [always]", "",
        "Adds a field to answers of status 200, 201, 204, 206, 301, 302, 303, 304, 307 and 308, or with `always` to all. A block \
         that has one of its own does not have those around it, see `add_header_inherit`. An empty value adds nothing.",
        Set(|s| add(s, "add_header_inherit", |settings| &mut settings.headers))).repeats(),
    Row::new("add_header_inherit", HSLI, (1, 1), "on | off | merge", "on",
        "Whether a block has the `add_header` fields of the block around it: `on`, if it has none of its own; \
         `off`, never; `merge`, in addition to its own.",
        Set(|s| inherit(s, "add_header", |settings| &mut settings.headers))),
    Row::new("add_trailer", HSLI, (2, 3), "NAME VALUE [always]", "", "Adds a field behind the body of answers that are sent in chunks. Its arguments are those of \
         `add_header`.",
        Set(|s| add(s, "add_trailer_inherit", |settings| &mut settings.trailers))).repeats(),
    Row::new("add_trailer_inherit", HSLI, (1, 1), "on | off | merge", "on", "Whether a block has the trailer fields of the block around it, see `add_header_inherit`.",
        Set(|s| inherit(s, "add_trailer", |settings| &mut settings.trailers))),
];

/// `other`: the directive that may have begun the block's list.
fn inherit(s: &mut Setter<'_>, other: &str, list: fn(&mut Settings) -> &mut List) -> Result<(), Diagnostic> {
    let inherit = s.one_of(0, &[("on", Inherit::On), ("off", Inherit::Off), ("merge", Inherit::Merge)])?;
    let begins = !s.block.has(other);
    let settings = &mut s.settings().headers;
    let list = list(settings);
    if begins {
        list.begin();
    }
    list.inherit = inherit;
    list.choose();
    settings.fix();
    Ok(())
}

/// The same.
fn add(s: &mut Setter<'_>, other: &str, list: fn(&mut Settings) -> &mut List) -> Result<(), Diagnostic> {
    let added = added(s)?;
    let begins = s.first && !s.block.has(other);
    let settings = &mut s.settings().headers;
    let list = list(settings);
    if begins {
        list.begin();
    }
    Arc::make_mut(&mut list.own).push(added);
    list.choose();
    settings.fix();
    Ok(())
}

fn added(s: &mut Setter<'_>) -> Result<Added, Diagnostic> {
    let name = s.text(0).to_owned();
    if !encode::is_token(name.as_bytes()) {
        return Err(s.wrong(format!("\"{name}\" is not the name of a header field")));
    }
    if !encode::is_field_value(s.text(1).as_bytes()) {
        return Err(s.wrong(format!("the value of \"{name}\" has a line break or a control character in it")));
    }
    let always = match s.text(2) {
        "" if s.count() == 2 => false,
        "always" => true,
        other => return Err(s.wrong(format!("invalid parameter \"{other}\""))),
    };
    Ok(Added { name: name.into(), value: s.template(1)?, always })
}

/// Adds the fields to a head.
pub fn apply(scope: &mut Scope<'_>, head: &mut ResponseHead) {
    let settings = &scope.settings().headers;
    if !settings.is_computed() {
        return;
    }
    if let Some((usual, always)) = &settings.usual {
        head.fields.extend_from_slice(if is_usual(head.status) { usual } else { always });
    } else if settings.fixed.is_none() {
        compute(scope, head, &settings.headers.all);
    }
}

fn compute(scope: &mut Scope<'_>, head: &mut ResponseHead, all: &[Added]) {
    // Beside nginx's own two fields, theirs are sent, too.
    let replaces = !scope.settings().nginx_pages;
    let status = head.status;
    let mut value = Vec::new();
    for added in all.iter().filter(|added| added.is_for(status)) {
        value.clear();
        scope.with_head(head, |scope| added.value.write(scope, &mut value));
        clean(&mut value);
        match added.place() {
            Place::LastModified => head.remove("last-modified"),
            Place::ETag => head.remove("etag"),
            Place::Server => head.has_server |= replaces && !value.is_empty(),
            Place::Date => head.has_date |= replaces && !value.is_empty(),
            Place::Line => {}
        }
        if !value.is_empty() {
            encode::field(&mut head.fields, added.name.as_bytes(), &value);
        }
    }
}

/// A variable may have brought what no field may have.
fn clean(value: &mut Vec<u8>) {
    value.retain(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\t');
}

/// Whether fields are to follow the body of an answer of that status.
pub fn has_trailers(scope: &Scope<'_>, status: u16) -> bool {
    scope.settings().headers.trailers.all.iter().any(|added| added.is_for(status))
}

/// The trailer fields of an answer of that status, as encoded lines.
pub fn trailers(scope: &mut Scope<'_>, status: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let mut value = Vec::new();
    for added in scope.settings().headers.trailers.all.iter().filter(|added| added.is_for(status)) {
        value.clear();
        added.value.write(scope, &mut value);
        clean(&mut value);
        if !value.is_empty() {
            encode::field(&mut out, added.name.as_bytes(), &value);
        }
    }
    out
}
