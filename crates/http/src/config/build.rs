//! From the tree to the configuration: each block in two passes, its own directives first, then its inner blocks from
//! a clone of what it has set. So a child overrides, and what it does not set it has from its parent; there are no
//! merge functions.

use std::path::Path;
use std::sync::Arc;

use conf::{At, Diagnostic, Directive};

use super::table::{self, Action, Context, text, wrong};
use super::{AccessLogSpec, Config, Handler, Location, Settings};
use crate::features::forwarded::Forwarded;
use crate::handlers::files::Files;
use crate::log::Format;

/// What a block has set, or has from its parent.
#[derive(Clone, Default)]
pub struct Block {
    pub settings: Settings,
    pub access_log: Option<AccessLogSpec>,
}

/// A location while it is built.
pub struct LocationBuilder<'a> {
    prefix: String,
    apps: &'a mut Vec<String>,
    handler: Option<Handler>,
}

impl LocationBuilder<'_> {
    pub fn python_pass(&mut self, it: &Directive) -> Result<(), Diagnostic> {
        let spec = text(it, 0);
        let index = self.apps.iter().position(|app| app == spec).unwrap_or_else(|| {
            self.apps.push(spec.to_owned());
            self.apps.len() - 1
        });
        self.set(it, Handler::App(index))
    }

    pub fn alias(&mut self, it: &Directive) -> Result<(), Diagnostic> {
        let directory = Path::new(text(it, 0));
        let files = Files::open(directory, self.prefix.as_bytes()).map_err(|error| {
            let why = error.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            wrong(
                it,
                0,
                format!("cannot serve files from {}: {}", directory.display(), why.to_lowercase()),
                "it must be a directory that the server may read",
            )
        })?;
        self.set(it, Handler::Files(Box::new(files)))
    }

    fn set(&mut self, it: &Directive, handler: Handler) -> Result<(), Diagnostic> {
        if self.handler.replace(handler).is_some() {
            let message = format!("`{}`: location `{}` has a handler already", it.name.text, self.prefix);
            return Err(Diagnostic { at: it.name.at.clone(), message, hint: None });
        }
        Ok(())
    }
}

impl Config {
    /// Builds the configuration from its tree. All problems are found, not only the first.
    pub fn build(tree: &[Directive]) -> Result<Config, Vec<Diagnostic>> {
        let mut builder = Builder::default();
        let main = Block::default();
        for it in tree {
            if let Some(Action::Open(Context::Http)) = builder.row(it, None) {
                builder.http(it, &main);
            }
        }
        let forwarded = Forwarded::new(&builder.server.settings).unwrap_or_else(|message| {
            let at = builder.forwarded_at.take().unwrap_or(At::Default);
            builder.problems.push(Diagnostic { at, message, hint: None });
            None
        });
        if !builder.problems.is_empty() {
            return Err(builder.problems);
        }
        let mut locations = builder.locations;
        locations.sort_by_key(|location| std::cmp::Reverse(location.prefix.len()));
        let server = builder.server;
        Ok(Config {
            settings: Arc::new(server.settings),
            forwarded,
            locations,
            apps: builder.apps,
            access_log: server.access_log,
        })
    }
}

#[derive(Default)]
struct Builder {
    problems: Vec<Diagnostic>,
    apps: Vec<String>,
    locations: Vec<Location>,
    server: Block,
    /// Where `forwarded_allow_ips` stands.
    forwarded_at: Option<At>,
}

impl Builder {
    /// The row of a directive, if it may stand here and has the right number of arguments.
    fn row(&mut self, it: &Directive, context: Option<Context>) -> Option<&'static Action> {
        let name = &it.name.text;
        let mut problem = |message: String, hint: Option<String>| {
            self.problems.push(Diagnostic { at: it.name.at.clone(), message, hint });
        };
        let Some(row) = table::find(name) else {
            let near = conf::nearest(name, table::ROWS.iter().map(|row| row.name));
            problem(format!("unknown directive `{name}`"), near.map(|near| format!("did you mean `{near}`?")));
            return None;
        };
        let fits = context.map_or(row.contexts.is_empty(), |context| row.contexts.contains(&context));
        if !fits {
            problem(format!("`{name}` is not allowed here"), Some(format!("allowed in: {:?}", row.contexts)));
            return None;
        }
        if !(row.arguments.0..=row.arguments.1).contains(&it.args.len()) {
            problem(format!("invalid number of arguments in `{name}`"), Some(format!("syntax: {}", row.syntax)));
            return None;
        }
        if matches!(row.action, Action::Open(_)) != it.block.is_some() {
            problem(format!("`{name}` {} a block", if it.block.is_some() { "has no" } else { "needs" }), None);
            return None;
        }
        Some(&row.action)
    }

    /// Own directives of a block; gives its inner blocks.
    fn own<'a>(&mut self, it: &'a Directive, context: Context, block: &mut Block) -> Vec<&'a Directive> {
        let mut inner = Vec::new();
        for child in it.block.iter().flatten() {
            if child.name.text == "forwarded_allow_ips" {
                self.forwarded_at = Some(child.name.at.clone());
            }
            match self.row(child, Some(context)) {
                Some(Action::Set(set)) => {
                    if let Err(problem) = set(block, child) {
                        self.problems.push(problem);
                    }
                }
                Some(_) => inner.push(child),
                None => {}
            }
        }
        inner
    }

    fn http(&mut self, it: &Directive, parent: &Block) {
        let mut block = parent.clone();
        for server in self.own(it, Context::Http, &mut block) {
            self.server(server, &block);
        }
    }

    fn server(&mut self, it: &Directive, parent: &Block) {
        let mut block = parent.clone();
        for location in self.own(it, Context::Server, &mut block) {
            self.location(location, &block);
        }
        if let Some(spec) = &block.access_log
            && let Err(message) = Format::parse(&spec.format)
        {
            let at =
                it.block.iter().flatten().find(|child| child.name.text == "access_log").map(|child| &child.name.at);
            let at = at.unwrap_or(&it.name.at).clone();
            self.problems.push(Diagnostic { at, message: format!("access log format: {message}"), hint: None });
        }
        self.server = block;
    }

    fn location(&mut self, it: &Directive, parent: &Block) {
        let mut block = parent.clone();
        let mut apps = std::mem::take(&mut self.apps);
        let contents = self.own(it, Context::Location, &mut block);
        let mut builder = LocationBuilder { prefix: text(it, 0).to_owned(), apps: &mut apps, handler: None };
        for content in contents {
            if let Some(Action::Content(set)) = table::find(&content.name.text).map(|row| &row.action)
                && let Err(problem) = set(&mut builder, content)
            {
                self.problems.push(problem);
            }
        }
        let handler = builder.handler;
        self.apps = apps;
        match handler {
            Some(handler) => self.locations.push(Location { prefix: text(it, 0).as_bytes().to_vec(), handler }),
            None => {
                let message = format!("location `{}` has nothing that answers", text(it, 0));
                self.problems.push(Diagnostic { at: it.name.at.clone(), message, hint: None });
            }
        }
    }
}
