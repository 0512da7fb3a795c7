//! Runs the commands of a page, one step at a time: what is included may decide what follows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use wire::uri::{self, Escape};

use super::command::{self, Branch, Known};
use super::date::{self, Moment};
use super::parse::{self, Command, Piece, show_all};
use super::text::{self, Right};

/// What stands for a command that went wrong, until `config errmsg` says another.
const ERROR: &[u8] = b"[an error occurred while processing the directive]";

/// An included page may include another, so many deep.
pub const MAX_DEPTH: u32 = 51;

/// So many pages may be included for one request, at any depth.
pub const MAX_INCLUDES: u32 = 10_000;

/// The time, as the server has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Seconds since 1970.
    pub unix: i64,
    /// How many minutes local time is ahead of UTC.
    pub offset_minutes: i32,
    /// The name of the local time zone.
    pub zone: String,
}

/// A match of a regular expression.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The whole match, then the groups; `None`: the group took no part.
    pub groups: Vec<Option<Vec<u8>>>,
    /// The named groups.
    pub names: Vec<(String, Option<Vec<u8>>)>,
}

/// What a page asks of the request that it belongs to.
pub trait Context {
    /// The value of a variable; the name is in lower case. `None`: not found.
    fn variable(&mut self, name: &str) -> Option<Vec<u8>>;
    fn clock(&mut self) -> Clock;
    /// Searches `subject`. The error is for the log.
    fn find(&mut self, pattern: &[u8], subject: &[u8]) -> Result<Option<Found>, String>;
    /// Something in the page is wrong (level `error`).
    fn log(&mut self, message: &str);
}

/// What all pages of one request share: the main page and all that it includes.
#[derive(Default)]
pub struct Shared {
    /// Names are in lower case.
    variables: HashMap<Vec<u8>, Vec<u8>>,
    /// The groups of the last match, from `$0` on.
    captures: Vec<Vec<u8>>,
    /// The contents of all blocks, and the first one of each name.
    blocks: Vec<Vec<u8>>,
    block_names: HashMap<Vec<u8>, usize>,
    included: u32,
}

impl Shared {
    /// A variable that the page itself has: a group of the last match, or one that was set.
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        if let &[digit @ b'0'..=b'9'] = name
            && let Some(group) = self.captures.get(usize::from(digit - b'0'))
        {
            return Some(group);
        }
        self.variables.get(name).map(Vec::as_slice)
    }

    fn set(&mut self, name: &[u8], value: Vec<u8>) {
        self.variables.insert(name.to_ascii_lowercase(), value);
    }

    fn take(&mut self, found: Found) {
        let matched = found.groups.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.captures = found.groups.into_iter().take(matched).map(Option::unwrap_or_default).collect();
        for (name, value) in found.names {
            self.set(name.as_bytes(), value.unwrap_or_default());
        }
    }
}

/// A page to be fetched by a subrequest, in its place in the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Include {
    /// The path, decoded.
    pub path: Vec<u8>,
    /// The query; empty: none.
    pub query: Vec<u8>,
    /// It was named by `file=`.
    pub is_file: bool,
    /// What follows is not to be run before this is there. Holds for `set`, too.
    pub wait: bool,
    /// The variable that gets the body, by `Interpreter::resume_with`; nothing is sent then.
    pub set: Option<Vec<u8>>,
    /// What stands for the answer if it is empty or an error; it is a page of its own, run within the subrequest.
    pub stub: Option<Vec<u8>>,
}

/// What comes next.
#[derive(PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// A part of the answer.
    Bytes(Cow<'a, [u8]>),
    Include(Include),
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    None,
    Url,
    Entity,
}

/// A page that is being run.
pub struct Interpreter {
    page: Arc<[u8]>,
    pieces: std::vec::IntoIter<Piece>,
    /// The path of the page, by which relative includes go.
    path: Vec<u8>,
    /// 0 for the main page.
    depth: u32,
    silent_errors: bool,
    /// What is reached is sent.
    output: bool,
    /// A branch of this `if` has been sent.
    chosen: bool,
    branch: Branch,
    in_block: bool,
    encoding: Encoding,
    error: Vec<u8>,
    timefmt: Vec<u8>,
    /// The variable that waits for an included page.
    waiting: Option<Vec<u8>>,
}

impl Interpreter {
    /// For a page at `path` (decoded), `depth` subrequests below the main one; `value_length` is `ssi_value_length`.
    pub fn new(page: Arc<[u8]>, path: &[u8], depth: u32, value_length: usize, silent_errors: bool) -> Interpreter {
        let pieces = parse::parse(&page, value_length).into_iter();
        Interpreter {
            page,
            pieces,
            path: path.to_vec(),
            depth,
            silent_errors,
            output: true,
            chosen: false,
            branch: Branch::Outside,
            in_block: false,
            encoding: Encoding::Entity,
            error: ERROR.to_vec(),
            timefmt: date::DEFAULT_FORMAT.to_vec(),
            waiting: None,
        }
    }

    /// The format of dates that holds now, for whoever gives `$date_local` and `$date_gmt` to others.
    pub fn timefmt(&self) -> &[u8] {
        &self.timefmt
    }

    /// Gives the body of the page that was included with `set`; to be called before `next`. Without a body the variable
    /// keeps what it had.
    pub fn resume_with(&mut self, body: Vec<u8>, shared: &mut Shared) {
        if let Some(name) = self.waiting.take().filter(|_| !body.is_empty()) {
            shared.set(&name, body);
        }
    }

    /// Goes on to the next part.
    pub fn next(&mut self, shared: &mut Shared, cx: &mut dyn Context) -> Step<'_> {
        loop {
            let Some(piece) = self.pieces.next() else { return Step::End };
            let done = match piece {
                Piece::Text(range) if self.output => return Step::Bytes(Cow::Borrowed(&self.page[range])),
                Piece::Text(range) => {
                    if let (true, Some(block)) = (self.in_block, shared.blocks.last_mut()) {
                        block.extend_from_slice(&self.page[range]);
                    }
                    Ok(None)
                }
                Piece::Command(command) => self.command(&command, shared, cx),
                Piece::Broken(message) => Err(message),
                Piece::Unfinished(message) => {
                    cx.log(&message);
                    Ok(None)
                }
            };
            match done {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(message) => {
                    cx.log(&message);
                    if !self.silent_errors && !self.error.is_empty() {
                        return Step::Bytes(Cow::Owned(self.error.clone()));
                    }
                }
            }
        }
    }

    fn command(
        &mut self,
        command: &Command,
        shared: &mut Shared,
        cx: &mut dyn Context,
    ) -> Result<Option<Step<'static>>, String> {
        let Some(kind) = command::kind(&command.name) else {
            let message = || format!("invalid SSI command: \"{}\"", show_all(&command.name));
            return if self.output { Err(message()) } else { Ok(None) };
        };
        if !self.output && command.name != b"endblock" {
            if let (true, Some(block)) = (self.in_block, shared.blocks.last_mut()) {
                command.write(block);
                return Ok(None);
            }
            if kind.within.is_none() {
                return Ok(None);
            }
        }
        if kind.within.is_some_and(|latest| self.branch == Branch::Outside || self.branch > latest) {
            return Err(format!("invalid context of SSI command: \"{}\"", show_all(&command.name)));
        }
        match kind.check(command)? {
            known @ Known::Include { .. } => {
                self.include(known, shared, cx).map(|include| Some(Step::Include(include)))
            }
            Known::Echo { variable, default, encoding } => {
                let echoed = self.echo(variable, default, encoding, shared, cx)?;
                Ok(echoed.map(|bytes| Step::Bytes(Cow::Owned(bytes))))
            }
            Known::Config { errmsg, timefmt } => {
                if let Some(timefmt) = timefmt {
                    self.timefmt = timefmt.to_vec();
                }
                if let Some(errmsg) = errmsg {
                    self.error = errmsg.to_vec();
                }
                Ok(None)
            }
            Known::Set { variable, value } => {
                let value = self.evaluate(value, shared, cx)?;
                shared.set(variable, value);
                Ok(None)
            }
            Known::If(_) if self.branch != Branch::Outside => {
                Err("the \"if\" command inside the \"if\" command".into())
            }
            Known::If(expression) | Known::Elif(expression) => {
                if self.chosen {
                    self.output = false;
                    return Ok(None);
                }
                self.output = self.holds(expression, shared, cx)?;
                self.chosen = self.output;
                self.branch = Branch::If;
                Ok(None)
            }
            Known::Else => {
                self.output = !self.chosen;
                self.branch = Branch::Else;
                Ok(None)
            }
            Known::Endif => {
                (self.output, self.chosen, self.branch) = (true, false, Branch::Outside);
                Ok(None)
            }
            Known::Block(name) => {
                shared.block_names.entry(name.to_vec()).or_insert(shared.blocks.len());
                shared.blocks.push(Vec::new());
                (self.output, self.in_block) = (false, true);
                Ok(None)
            }
            // As in nginx this ends a branch that is not sent, too.
            Known::Endblock => {
                (self.output, self.in_block) = (true, false);
                Ok(None)
            }
        }
    }

    fn include(&mut self, known: Known, shared: &mut Shared, cx: &mut dyn Context) -> Result<Include, String> {
        let Known::Include { file, uri, wait, set, stub } = known else {
            return Err("no \"include\" SSI command".into());
        };
        let (named, is_file) = match (uri, file) {
            (Some(uri), Some(file)) => {
                let (uri, file) = (show_all(uri), show_all(file));
                return Err(format!("inclusion may be either virtual=\"{uri}\" or file=\"{file}\""));
            }
            (None, None) => return Err("no parameter in \"include\" SSI command".into()),
            (Some(uri), None) => (uri, false),
            (None, Some(file)) => (file, true),
        };
        if set.is_some() && stub.is_some() {
            return Err("\"set\" and \"stub\" cannot be used together in \"include\" SSI command".into());
        }
        let wait = match wait {
            Some(_) if is_file => return Err(format!("\"wait\" cannot be used with file=\"{}\"", show_all(named))),
            Some(word) if word.eq_ignore_ascii_case(b"yes") => true,
            Some(word) if word.eq_ignore_ascii_case(b"no") => false,
            Some(word) => return Err(format!("invalid value \"{}\" in the \"wait\" parameter", show_all(word))),
            None => is_file,
        };
        let uri = self.evaluate(named, shared, cx)?;
        let (path, query) = text::target(&uri, &self.path)?;
        let stub = match stub {
            Some(name) => match shared.block_names.get(name) {
                Some(&at) => Some(shared.blocks[at].clone()),
                None => return Err(format!("\"stub\"=\"{}\" for \"include\" not found", show_all(name))),
            },
            None => None,
        };
        if self.depth >= MAX_DEPTH {
            return Err(format!("subrequests cycle while processing \"{}\"", show_all(&path)));
        }
        if shared.included >= MAX_INCLUDES {
            return Err(format!("too many includes while processing \"{}\"", show_all(&path)));
        }
        shared.included += 1;
        if let Some(name) = set {
            // It is there, and empty, even if nothing comes of the subrequest.
            let name = name.to_ascii_lowercase();
            if shared.variable(&name).is_none() {
                shared.set(&name, Vec::new());
            }
            self.waiting = Some(name);
        } else {
            self.waiting = None;
        }
        Ok(Include { path, query, is_file, wait: wait || set.is_some(), set: self.waiting.clone(), stub })
    }

    fn echo(
        &mut self,
        variable: &[u8],
        default: Option<&[u8]>,
        encoding: Option<&[u8]>,
        shared: &Shared,
        cx: &mut dyn Context,
    ) -> Result<Option<Vec<u8>>, String> {
        let name = show_all(&variable.to_ascii_lowercase());
        let value = match self.variable(&name, shared, cx)? {
            Some(value) => value,
            None => default.unwrap_or(b"(none)").to_vec(),
        };
        if value.is_empty() {
            return Ok(None);
        }
        // The encoding holds for the commands that follow, too.
        match encoding {
            None => {}
            Some(b"none") => self.encoding = Encoding::None,
            Some(b"url") => self.encoding = Encoding::Url,
            Some(b"entity") => self.encoding = Encoding::Entity,
            Some(other) => cx.log(&format!("unknown encoding \"{}\" in the \"echo\" command", show_all(other))),
        }
        let mut out = Vec::with_capacity(value.len());
        match self.encoding {
            Encoding::None => return Ok(Some(value)),
            Encoding::Url => uri::escape(&value, Escape::Html, &mut out),
            Encoding::Entity => uri::escape_html(&value, &mut out),
        }
        Ok(Some(out))
    }

    /// Whether an expression holds.
    fn holds(&mut self, expression: &[u8], shared: &mut Shared, cx: &mut dyn Context) -> Result<bool, String> {
        let parts = text::expression(expression)
            .ok_or_else(|| format!("invalid expression in \"{}\"", show_all(expression)))?;
        let left = self.evaluate(&parts.left, shared, cx)?;
        let equal = match parts.right {
            Right::Nothing => return Ok(!left.is_empty()),
            Right::Text(right) => self.evaluate(&right, shared, cx)? == left,
            Right::Regex(pattern) => {
                let pattern = self.evaluate(&pattern, shared, cx)?;
                match cx.find(&pattern, &left)? {
                    Some(found) => {
                        shared.take(found);
                        true
                    }
                    None => false,
                }
            }
        };
        Ok(equal != parts.negative)
    }

    fn evaluate(&self, text: &[u8], shared: &Shared, cx: &mut dyn Context) -> Result<Vec<u8>, String> {
        text::evaluate(text, |name| self.variable(name, shared, cx))
    }

    /// The value of a variable of the page or of the request.
    fn variable(&self, name: &str, shared: &Shared, cx: &mut dyn Context) -> Result<Option<Vec<u8>>, String> {
        if let Some(value) = shared.variable(name.as_bytes()) {
            return Ok(Some(value.to_vec()));
        }
        let is_local = match name {
            "date_local" => true,
            "date_gmt" => false,
            _ => return Ok(cx.variable(name)),
        };
        let clock = cx.clock();
        let local = Moment { unix: clock.unix, offset_minutes: clock.offset_minutes, zone: &clock.zone };
        let moment = if is_local { local } else { Moment { unix: clock.unix, offset_minutes: 0, zone: "GMT" } };
        let date = date::format(&self.timefmt, moment);
        date.map(Some).ok_or_else(|| format!("timefmt \"{}\" makes no date", show_all(&self.timefmt)))
    }
}
