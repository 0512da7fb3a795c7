//! Running a script.

use super::{Condition, FileTest, Op, Return, Rewrite, Script, Target, Then};
use crate::exchange::Request;
use crate::log::Level;
use crate::sys;
use crate::variables::{Scope, Template};
use wire::uri;

/// What a script came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On with the request. `true`: its URI has changed, so that a location must be looked for.
    GoOn(bool),
    /// A status, to be answered with its page.
    Status(u16),
    /// A body.
    Text(u16, Vec<u8>),
    /// A redirect to that place.
    Redirect(u16, Vec<u8>),
}

/// How one block ended.
enum Ended {
    Through,
    /// `break`, or `last`.
    Stopped,
    With(Outcome),
}

/// Runs a script. In a location, an `if` whose condition holds is the request's location from then on.
pub fn run(script: &Script, scope: &mut Scope<'_>) -> Outcome {
    if script.is_empty() {
        return Outcome::GoOn(false);
    }
    let mut changed = false;
    match block(script, scope, &mut changed) {
        Ended::With(outcome) => outcome,
        Ended::Through | Ended::Stopped => Outcome::GoOn(changed),
    }
}

fn block(script: &Script, scope: &mut Scope<'_>, changed: &mut bool) -> Ended {
    for op in &script.ops {
        match op {
            Op::Break => {
                *changed = false;
                return Ended::Stopped;
            }
            Op::Set { target, value } => set(*target, value, scope),
            Op::If { condition, inner, location } => {
                let holds = condition.holds(scope);
                let at = location.map(|location| &scope.config.location(location).at);
                let verdict = if holds { "true" } else { "false" };
                scope.request.note("if", at, || format!("({}) is {verdict}", describe(condition)));
                if holds {
                    if let Some(location) = location {
                        scope.enter(*location);
                    }
                    match block(inner, scope, changed) {
                        Ended::Through => {}
                        other => return other,
                    }
                }
            }
            Op::Rewrite(rewrite) => match self::rewrite(rewrite, scope, changed) {
                Ended::Through => {}
                other => return other,
            },
            Op::Return(it) => {
                scope.request.note("return", None, || match &it.text {
                    Some(text) => format!("{} {text}", it.status),
                    None => it.status.to_string(),
                });
                return Ended::With(self::answer(it, scope));
            }
        }
    }
    Ended::Through
}

fn describe(condition: &Condition) -> String {
    match condition {
        Condition::True(value) => value.to_string(),
        Condition::Equal { left, right, negated } => format!("{left} {} {right}", if *negated { "!=" } else { "=" }),
        Condition::Match { subject, pattern, negated } => {
            format!("{subject} {} {}", if *negated { "!~" } else { "~" }, pattern.regex.pattern())
        }
        Condition::File { path, test, negated } => format!("{}{test:?} {path}", if *negated { "not " } else { "" }),
    }
}

fn set(target: Target, value: &Template, scope: &mut Scope<'_>) {
    let value = value.value(scope);
    match target {
        Target::Own(id) => scope.assign(id, value),
        Target::Args => scope.request.route.args = Some(value),
        Target::LimitRate => {
            let rate = std::str::from_utf8(&value).ok().and_then(conf::size);
            match rate {
                Some(rate) => scope.request.route.limit_rate = Some(rate),
                None => {
                    let (config, log) = (scope.config, scope.log);
                    scope.request.error(config, log, format_args!("invalid $limit_rate \"{}\"", lossy(&value)));
                }
            }
        }
    }
}

fn answer(it: &Return, scope: &mut Scope<'_>) -> Outcome {
    if it.status < 400 || it.text.is_some() {
        scope.request.route.answering = it.status;
    }
    let text = it.text.as_ref().map(|text| text.value(scope));
    match (it.status, text) {
        (301 | 302 | 303 | 307 | 308, text) => Outcome::Redirect(it.status, text.unwrap_or_default()),
        // Without text, what is no error has an empty body; an error has its page.
        (status @ 400.., None) => Outcome::Status(status),
        (status @ 400.., Some(text))
            if text.is_empty() && it.text.as_ref().is_some_and(|t| t.as_fixed() == Some(b"")) =>
        {
            Outcome::Status(status)
        }
        (status, text) => Outcome::Text(status, text.unwrap_or_default()),
    }
}

fn rewrite(it: &Rewrite, scope: &mut Scope<'_>, changed: &mut bool) -> Ended {
    let path = std::mem::take(&mut scope.request.path);
    let found = it.pattern.find(&path, &mut scope.request.route);
    scope.request.path = path;
    if !found {
        log(scope, |request| format!("\"{}\" does not match \"{}\"", it.pattern.regex.pattern(), lossy(&request.path)));
        return Ended::Through;
    }
    log(scope, |request| format!("\"{}\" matches \"{}\"", it.pattern.regex.pattern(), lossy(&request.path)));
    let quoted = scope.request.is_quoted();
    let redirect = matches!(it.then, Then::Redirect(_));
    // Captures are of the decoded URI: where they leave the path they are escaped again.
    let mut path = Vec::new();
    write(&it.path, scope, quoted && redirect, &mut path);
    let args = it.args.as_ref().map(|args| {
        let mut out = Vec::new();
        write(args, scope, quoted, &mut out);
        out
    });
    let old = if it.keep_args { scope.request.query().unwrap_or_default().to_vec() } else { Vec::new() };
    if let Then::Redirect(status) = it.then {
        let mut location = path;
        if let Some(args) = &args {
            location.push(b'?');
            location.extend_from_slice(args);
        }
        let mut location = {
            let mut out = Vec::new();
            uri::unescape(&location, uri::Unescape::Redirect, &mut out);
            out
        };
        if !old.is_empty() {
            location.push(if args.is_some() { b'&' } else { b'?' });
            location.extend_from_slice(&old);
        }
        log(scope, |_| format!("rewritten redirect: \"{}\"", lossy(&location)));
        return Ended::With(Outcome::Redirect(status, location));
    }
    if path.is_empty() {
        let (config, errors) = (scope.config, scope.log);
        scope.request.error(config, errors, format_args!("the rewritten URI has a zero length"));
        return Ended::With(Outcome::Status(500));
    }
    match args {
        Some(mut args) => {
            if !old.is_empty() {
                args.push(b'&');
                args.extend_from_slice(&old);
            }
            scope.request.route.args = Some(args);
        }
        None if !it.keep_args => scope.request.route.args = Some(Vec::new()),
        None => {}
    }
    scope.request.path = path;
    let route = &mut scope.request.route;
    route.rewritten = true;
    route.internal = true;
    *changed = it.then != Then::Break;
    scope.request.route.stayed |= it.then == Then::Break;
    log(scope, |request| {
        format!(
            "rewritten data: \"{}\", args: \"{}\"",
            lossy(&request.path),
            lossy(request.query().unwrap_or_default())
        )
    });
    match it.then {
        Then::Last | Then::Break => Ended::Stopped,
        Then::GoOn | Then::Redirect(_) => Ended::Through,
    }
}

/// A template's value, with captures and variables as they go into a URI.
fn write(template: &Template, scope: &mut Scope<'_>, escape: bool, out: &mut Vec<u8>) {
    if !escape {
        return template.write(scope, out);
    }
    template.write_escaping_captures(scope, out);
}

/// Tells a step to `explain` and, with `rewrite_log`, to the error log. What is told is made only for them.
fn log(scope: &mut Scope<'_>, text: impl FnOnce(&Request) -> String) {
    let wanted = scope.settings().rewrite_log;
    if !wanted && scope.request.trace.is_none() {
        return;
    }
    let text = text(scope.request);
    if wanted {
        let (config, errors) = (scope.config, scope.log);
        scope.request.log(Level::Notice, config, errors, format_args!("{text}"));
    }
    scope.request.note("rewrite", None, || text);
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Condition {
    fn holds(&self, scope: &mut Scope<'_>) -> bool {
        match self {
            Condition::True(value) => value.is_true(scope),
            Condition::Equal { left, right, negated } => (left.value(scope) == right.value(scope)) != *negated,
            Condition::Match { subject, pattern, negated } => {
                let subject = subject.value(scope);
                let found = pattern.find(&subject, &mut scope.request.route);
                log(scope, |_| {
                    let does = if found { "matches" } else { "does not match" };
                    format!("\"{}\" {does} \"{}\"", pattern.regex.pattern(), lossy(&subject))
                });
                found != *negated
            }
            Condition::File { path, test, negated } => {
                let path = path.value(scope);
                test.holds(&path) != *negated
            }
        }
    }
}

impl FileTest {
    fn holds(self, path: &[u8]) -> bool {
        let Ok(metadata) = sys::open::metadata(path) else { return false };
        match self {
            FileTest::File => metadata.is_file(),
            FileTest::Directory => metadata.is_dir(),
            FileTest::Exists => true,
            FileTest::Executable => {
                use std::os::unix::fs::PermissionsExt;
                metadata.permissions().mode() & 0o100 != 0
            }
        }
    }
}
