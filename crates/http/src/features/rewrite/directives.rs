//! The directives, and how their arguments are compiled.

use conf::Diagnostic;

use super::{Condition, FileTest, Op, Return, Rewrite, Target, Then};
use crate::config::Pattern;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::variables::{Source, Template};

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("break", REWRITE, (0, 0), "", "", "Ends the commands (`rewrite`, `set`, `if`, `return`) of this block; the request stays in its location.",
        Set(|s| { push(s, Op::Break); Ok(()) })).repeats(),
    Row::new("return", REWRITE, (1, 2), "CODE [TEXT] | CODE URL | URL", "",
        "Answers at once with this status, and for a redirect (301, 302, 303, 307, 308) the URL, otherwise the \
         TEXT as the body. A URL alone is a redirect with 302. 444 closes the connection without an answer.", Set(set_return)).repeats(),
    Row::new("rewrite", REWRITE, (2, 3), "REGEX REPLACEMENT [last | break | redirect | permanent]", "",
        "Changes a URI that the regular expression matches. `last` looks for a location anew, `break` stays, `redirect` and \
         `permanent` send the client there. The request's arguments follow, unless REPLACEMENT ends with `?`.",
        Set(set_rewrite)).repeats(),
    Row::new("rewrite_log", HREWRITE, (1, 1), "on | off", "off", "Whether what `rewrite` and `if` do is reported in the error log, at the level `notice`.",
        Set(|s| s.set_flag(|x| &mut x.rewrite_log))),
    Row::new("set", REWRITE, (2, 2), "$VARIABLE VALUE", "", "Gives a variable a value; the VALUE may have other variables in it.", Set(set_variable)).repeats(),
    Row::new("uninitialized_variable_warn", HREWRITE, (1, 1), "on | off", "on",
        "Whether the use of a variable that has no value yet is reported in the error log.",
        Set(|s| s.set_flag(|x| &mut x.uninitialized_variable_warn))),
];

fn push(s: &mut Setter<'_>, op: Op) -> usize {
    s.block.own.script.ops.push(op);
    s.block.own.script.ops.len() - 1
}

fn set_variable(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let Some(name) = s.text(0).strip_prefix('$').filter(|name| !name.is_empty()) else {
        return Err(s.wrong(format!("invalid variable name \"{}\"", s.text(0))));
    };
    let name = name.to_ascii_lowercase();
    let target = match name.as_str() {
        "args" => Target::Args,
        "limit_rate" => Target::LimitRate,
        name if crate::variables::is_built_in(name) => {
            return Err(s.wrong(format!("the duplicate \"{name}\" variable")));
        }
        name => Target::Own(s.make.registry.define(name, Source::Assigned, &s.it.name.at)),
    };
    let value = s.template(1)?;
    push(s, Op::Set { target, value });
    Ok(())
}

fn set_return(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let first = s.text(0);
    let digits = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
    let (status, text) = match (digits, s.count()) {
        (false, 1) if ["http://", "https://", "$scheme"].iter().any(|start| first.starts_with(start)) => {
            (302, Some(s.template(0)?))
        }
        (false, _) => return Err(s.wrong(format!("invalid return code \"{first}\""))),
        (true, count) => {
            let status = first.parse::<u16>().ok().filter(|status| *status <= 999);
            let status = status.ok_or_else(|| s.wrong(format!("invalid return code \"{first}\"")))?;
            (status, if count > 1 { Some(s.template(1)?) } else { None })
        }
    };
    push(s, Op::Return(Return { status, text }));
    Ok(())
}

fn set_rewrite(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let text = s.text(0).to_owned();
    let pattern = Pattern::compile(&text, false, s)?;
    let replacement = s.text(1).to_owned();
    let elsewhere = ["http://", "https://", "$scheme"].iter().any(|start| replacement.starts_with(start));
    let then = match s.text(2) {
        "" if elsewhere => Then::Redirect(302),
        "" => Then::GoOn,
        "last" => Then::Last,
        "break" => Then::Break,
        "redirect" => Then::Redirect(302),
        "permanent" => Then::Redirect(301),
        other => return Err(s.wrong(format!("invalid parameter \"{other}\""))),
    };
    let then = if elsewhere && !matches!(then, Then::Redirect(_)) { Then::Redirect(302) } else { then };
    let (text, keep_args) = match replacement.strip_suffix('?') {
        Some(text) => (text, false),
        None => (replacement.as_str(), true),
    };
    let (path, args) = match text.split_once('?') {
        Some((path, args)) => (s.compile(path)?, Some(s.compile(args)?)),
        None => (s.compile(text)?, None),
    };
    push(s, Op::Rewrite(Box::new(Rewrite { pattern, path, args, keep_args, then })));
    Ok(())
}

/// Compiles the condition of an `if`; gives its place in the script.
pub fn open_if(s: &mut Setter<'_>) -> Result<usize, Diagnostic> {
    let condition = condition(s)?;
    Ok(push(s, Op::If { condition, inner: super::Script::default(), location: None }))
}

fn condition(s: &mut Setter<'_>) -> Result<Condition, Diagnostic> {
    let mut words: Vec<String> = s.it.args.iter().map(|word| word.text.clone()).collect();
    let invalid = |s: &Setter<'_>, text: &str| s.wrong(format!("invalid condition \"{text}\""));
    let first = words[0].clone();
    if !first.starts_with('(') {
        return Err(invalid(s, &first));
    }
    words[0].remove(0);
    if words[0].is_empty() {
        words.remove(0);
    }
    let Some(last) = words.last_mut() else { return Err(invalid(s, &first)) };
    if !last.ends_with(')') {
        return Err(invalid(s, &last.clone()));
    }
    last.pop();
    if last.is_empty() {
        words.pop();
    }
    let Some(first) = words.first().cloned() else { return Err(invalid(s, ")")) };
    if first.len() > 1 && first.starts_with('$') {
        let subject = s.compile(&first)?;
        return match &words[1..] {
            [] => Ok(Condition::True(subject)),
            [operator, right] => match operator.as_str() {
                "=" => Ok(Condition::Equal { left: subject, right: s.compile(right)?, negated: false }),
                "!=" => Ok(Condition::Equal { left: subject, right: s.compile(right)?, negated: true }),
                "~" | "~*" | "!~" | "!~*" => {
                    let pattern = Pattern::compile(right, operator.ends_with('*'), s)?;
                    Ok(Condition::Match { subject, pattern, negated: operator.starts_with('!') })
                }
                other => Err(s.wrong(format!("unexpected \"{other}\" in condition"))),
            },
            _ => Err(invalid(s, &first)),
        };
    }
    let (negated, test) = match first.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, first.as_str()),
    };
    let test = match test {
        "-f" => FileTest::File,
        "-d" => FileTest::Directory,
        "-e" => FileTest::Exists,
        "-x" => FileTest::Executable,
        _ => return Err(invalid(s, &first)),
    };
    match &words[1..] {
        [path] => {
            let path: Template = s.compile(path)?;
            Ok(Condition::File { path, test, negated })
        }
        _ => Err(invalid(s, &first)),
    }
}
