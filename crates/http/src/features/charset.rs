//! `charset`: the charset that answers say they are in, and their recoding from `source_charset`.

use std::sync::Arc;

use conf::{At, Diagnostic};

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::media_types::MediaTypes;
use crate::config::row::Action::{Set, Table};
use crate::config::row::Row;
use crate::exchange::ResponseHead;
use crate::stage::charset::{Builder, Charset, Recoder};
use crate::variables::{Scope, Variable};

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    to: Name,
    from: Name,
    types: MediaTypes,
    override_charset: bool,
}

#[derive(Clone, Default)]
enum Name {
    #[default]
    Off,
    Fixed(Arc<str>),
    Variable(Arc<Variable>),
}

impl Default for Settings {
    fn default() -> Self {
        let types = [
            "text/html",
            "text/xml",
            "text/plain",
            "text/vnd.wap.wml",
            "application/javascript",
            "application/rss+xml",
        ];
        Settings { to: Name::Off, from: Name::Off, types: MediaTypes::of(&types), override_charset: false }
    }
}

impl Settings {
    pub fn is_on(&self) -> bool {
        !matches!(self.to, Name::Off)
    }

    /// Whether bodies are recoded, in subrequests, too.
    pub fn has_source(&self) -> bool {
        !matches!(self.from, Name::Off)
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("charset", HSLI, (1, 1), "CHARSET | $VARIABLE | off", "off",
        "The charset that Content-Type names. If `source_charset` is another one, the body is recoded.",
        Set(|s| {
            let name = name(s)?;
            s.settings().charset.to = if s.text(0) == "off" { Name::Off } else { name };
            check_later(s);
            Ok(())
        })),
    Row::new("charset_map", H, (2, 2), "CHARSET CHARSET { CODE CODE; ... }", "",
        "How one charset is recoded to another and back: bytes in hexadecimal, or bytes of UTF-8 if the second is that.",
        Table(map)).repeats(),
    Row::new("charset_types", HSL, (1, usize::MAX), "TYPE ... | *",
        "text/html text/xml text/plain text/vnd.wap.wml application/javascript application/rss+xml",
        "Media types of answers that `charset` is for, beside text/html.",
        Set(|s| {
            let mut types = s.settings().charset.types.clone();
            types.set(s)?;
            s.settings().charset.types = types;
            Ok(())
        })).repeats(),
    Row::new("override_charset", HSLI, (1, 1), "on | off", "off",
        "Whether `charset` is for an application's answers that name a charset, too.",
        Set(|s| s.set_flag(|settings| &mut settings.charset.override_charset))),
    Row::new("source_charset", HSLI, (1, 1), "CHARSET | $VARIABLE", "", "The charset that bodies are in.",
        Set(|s| {
            let name = name(s)?;
            s.settings().charset.from = name;
            check_later(s);
            Ok(())
        })),
];

fn name(s: &mut Setter<'_>) -> Result<Name, Diagnostic> {
    let text = s.text(0).to_owned();
    match text.strip_prefix('$') {
        None => Ok(Name::Fixed(known(s, &text))),
        Some("") => Err(s.wrong(format!("invalid variable name \"{text}\""))),
        Some(name) => {
            let variable = Variable::of(name, &s.it.name.at, &mut s.make.registry);
            Ok(Name::Variable(Arc::new(variable)))
        }
    }
}

/// A charset by its name as it was first written.
fn known(s: &mut Setter<'_>, name: &str) -> Arc<str> {
    if let Some(known) = s.make.charsets.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return known.clone();
    }
    let name: Arc<str> = name.into();
    s.make.charsets.push(name.clone());
    name
}

fn map(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let mut builder = Builder::new(s.text(0), s.text(1)).map_err(|why| s.wrong(why))?;
    for line in s.it.block.iter().flatten() {
        let mut words = vec![line.name.text.as_str()];
        words.extend(line.args.iter().map(|word| word.text.as_str()));
        if let Err(why) = builder.line(&words) {
            s.make.problems.push(Diagnostic::of(line, why));
        }
    }
    let map = builder.build();
    for name in [map.names().0, map.names().1] {
        known(s, name);
    }
    if s.make.charset_maps.iter().any(|other| other.is_same_pair(&map)) {
        return Err(s.wrong(map.duplicate()));
    }
    s.make.charset_maps.push(map);
    Ok(())
}

/// Once everything is read, all fixed pairs must have a map.
fn check_later(s: &mut Setter<'_>) {
    let at = s.it.clone();
    let first = s.make.locations.len();
    s.make.after.push(Box::new(move |make| {
        // The blocks that this directive may hold for come after it.
        for location in make.locations.iter().skip(first) {
            let settings = &location.settings.charset;
            if let (Name::Fixed(from), Name::Fixed(to)) = (&settings.from, &settings.to)
                && let Err(why) = Recoder::find(&make.charset_maps, from, to)
            {
                // As nginx, which finds it out when all is read.
                let problem = Diagnostic::new(At::Default, why).hint(format!("see {}", at.name.at));
                if !make.problems.iter().any(|other| other.message == problem.message) {
                    make.problems.push(problem);
                }
            }
        }
    }));
}

/// There is no value where there must be one: nothing can be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoValue;

/// What is done with an answer.
enum Plan {
    Nothing,
    /// The head names it.
    Name(Vec<u8>),
    /// The head names it, and the body is recoded.
    Recode(Vec<u8>, Recoder),
}

/// Whether the answer's body would change its length.
pub fn changes_length(scope: &mut Scope<'_>, head: &ResponseHead) -> bool {
    match plan(scope, head, None) {
        Ok(Plan::Recode(_, recoder)) => !recoder.keeps_length(),
        _ => false,
    }
}

/// Whether the answer, of a type without charset, will be in UTF-8.
pub fn is_utf8(scope: &mut Scope<'_>, head: &ResponseHead) -> bool {
    match plan(scope, head, None) {
        Ok(Plan::Name(name) | Plan::Recode(name, _)) => name.eq_ignore_ascii_case(b"utf-8"),
        _ => false,
    }
}

/// The answer's Content-Type with the charset that it will name.
pub fn content_type(scope: &mut Scope<'_>, head: &ResponseHead) -> Vec<u8> {
    let mut content_type = head.content_type.clone();
    if let Ok(Plan::Name(name) | Plan::Recode(name, _)) = plan(scope, head, None)
        && own(&content_type).is_none()
    {
        content_type.extend_from_slice(b"; charset=");
        content_type.extend_from_slice(&name);
    }
    content_type
}

/// Names the charset in a head, and has the body recoded. `forced`: the charset that the application wants in place of
/// the configured one.
pub fn apply(scope: &mut Scope<'_>, head: &mut ResponseHead, forced: Option<&[u8]>) -> Result<(), NoValue> {
    let (name, recoder) = match plan(scope, head, forced)? {
        Plan::Nothing => {
            if !scope.request.route.subrequest {
                scope.request.route.charset = own(&head.content_type).map(Into::into);
            }
            return Ok(());
        }
        Plan::Name(name) => (name, None),
        Plan::Recode(name, recoder) => (name, Some(recoder)),
    };
    if !scope.request.route.subrequest {
        // Old browsers would take it for the charset of the page that they are sent to.
        let moved = matches!(head.status, 301 | 302);
        if !moved && !name.is_empty() && (own(&head.content_type).is_none() || recoder.is_some() || forced.is_some()) {
            head.content_type.truncate(head.media_type().len());
            head.content_type.extend_from_slice(b"; charset=");
            head.content_type.extend_from_slice(&name);
        }
        scope.request.route.charset = Some(name.into());
    }
    if let Some(recoder) = recoder {
        if !recoder.keeps_length() {
            head.remove("accept-ranges");
        }
        head.stages.push(Box::new(Charset::new(recoder)));
    }
    Ok(())
}

fn plan(scope: &mut Scope<'_>, head: &ResponseHead, forced: Option<&[u8]>) -> Result<Plan, NoValue> {
    let settings = scope.settings();
    let settings = &settings.charset;
    let Some(to) = target(scope, head, settings, forced)? else { return Ok(Plan::Nothing) };
    let from = match (own(&head.content_type), &settings.from) {
        (Some(own), _) => own.to_vec(),
        (None, Name::Off) => return Ok(Plan::Name(to)),
        (None, Name::Fixed(name)) => name.as_bytes().to_vec(),
        (None, Name::Variable(variable)) => value(variable, scope)?,
    };
    if from.eq_ignore_ascii_case(&to) {
        return Ok(Plan::Name(to));
    }
    if head.find("content-encoding").is_some_and(|coding| !coding.is_empty()) {
        return Ok(Plan::Nothing);
    }
    let (source, charset) = (String::from_utf8_lossy(&from), String::from_utf8_lossy(&to));
    match Recoder::find(&scope.config.charset_maps, &source, &charset) {
        Ok(Some(recoder)) => Ok(Plan::Recode(to, recoder)),
        Ok(None) => Ok(Plan::Name(to)),
        Err(why) => {
            let (config, log) = (scope.config, scope.log);
            scope.request.error(config, log, format_args!("{why}"));
            Ok(Plan::Nothing)
        }
    }
}

/// The charset that an answer is to be in; `None`: it is left alone.
fn target(
    scope: &mut Scope<'_>,
    head: &ResponseHead,
    settings: &Settings,
    forced: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, NoValue> {
    if head.content_type.is_empty() {
        return Ok(None);
    }
    if scope.request.route.subrequest {
        return Ok(scope.request.route.charset.as_ref().map(|charset| charset.to_vec()));
    }
    if let Some(forced) = forced.filter(|forced| !forced.is_empty()) {
        return Ok(Some(forced.to_vec()));
    }
    let chosen = match own(&head.content_type) {
        Some(_) => settings.override_charset,
        None => settings.types.has(head.media_type()),
    };
    match &settings.to {
        Name::Off => Ok(None),
        _ if !chosen => Ok(None),
        Name::Fixed(name) => Ok(Some(name.as_bytes().to_vec())),
        Name::Variable(variable) => value(variable, scope).map(Some),
    }
}

fn value(variable: &Variable, scope: &mut Scope<'_>) -> Result<Vec<u8>, NoValue> {
    let mut out = Vec::new();
    if !variable.write(scope, &mut out) {
        return Err(NoValue);
    }
    out.retain(|&byte| byte > b' ' && byte != 0x7f && byte != b';');
    Ok(out)
}

/// The charset that a Content-Type names.
fn own(content_type: &[u8]) -> Option<&[u8]> {
    content_type.split(|&byte| byte == b';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.trim_ascii().split_at_checked(8)?;
        name.eq_ignore_ascii_case(b"charset=").then(|| unquoted(value.trim_ascii()))
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charset_of_a_type() {
        for (text, expected) in [
            ("text/html", None),
            ("text/html; charset=utf-8", Some("utf-8")),
            ("text/html;a=b; Charset=\"koi8-r\" ", Some("koi8-r")),
            ("text/html; charset", None),
        ] {
            assert_eq!(own(text.as_bytes()), expected.map(str::as_bytes), "{text}");
        }
    }
}
