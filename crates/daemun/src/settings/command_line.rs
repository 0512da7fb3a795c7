//! The command line: clap's parser over the table, and messages of our own for what it does not take. As with
//! Gunicorn, long options may be cut short while they stay unambiguous, and the last of several values counts. Uvicorn
//! does not let its own be cut short, so that they make none of Gunicorn's ambiguous here.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::table::{self, Kind, Row};
use super::{Exit, PROGRAM};
use crate::host::SettingValue;
use conf::nearest;

/// What stands on a command line.
pub(super) struct CommandLine {
    /// The values of options, as text.
    pub values: Vec<Typed>,
    /// The application.
    pub app: Option<String>,
    /// What else is asked for.
    pub ask: Option<Ask>,
}

/// An option with its value.
pub(super) struct Typed {
    pub row: &'static Row,
    pub value: SettingValue,
    /// Which of the setting's options it was.
    pub option: &'static str,
}

/// Options that print something in place of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Help,
    Version,
}

/// Reads arguments, the program's name not among them. `place` tells where they stand if not on the command line.
pub(super) fn parse(args: &[OsString], place: &str) -> Result<CommandLine, Exit> {
    let (args, typed) = complete(args);
    let matches = command().try_get_matches_from(args).map_err(|error| refuse(&error, place))?;
    let given = |id: &str| matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
    let ask = match () {
        () if given("help") => Some(Ask::Help),
        () if given("version") => Some(Ask::Version),
        () => None,
    };
    let mut values = Vec::new();
    for row in table::rows().filter(|row| row.has_option()) {
        let no = row.options().nth(1).filter(|no| row.kind == Kind::YesNo && given(no));
        if given(row.name) || no.is_some() {
            let option = typed.get(row.name).copied().unwrap_or(row.option());
            let value = if no.is_some() { SettingValue::Bool(false) } else { value(row, &matches) };
            values.push(Typed { row, value, option });
        }
    }
    Ok(CommandLine { values, app: matches.get_one::<String>("app").cloned(), ask })
}

/// Writes options out that are cut short. Also tells which option each setting has been given by.
fn complete(args: &[OsString]) -> (Vec<OsString>, HashMap<&'static str, &'static str>) {
    let mut typed = HashMap::new();
    let mut only_options = true;
    let mut one = |arg: &OsString| -> OsString {
        only_options &= arg != "--";
        let Some(text) = arg.to_str().filter(|text| only_options && text.starts_with("--")) else { return arg.clone() };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let option = match begun(name).as_slice() {
            [option] => *option,
            _ => return arg.clone(),
        };
        if let Some(row) = table::rows().find(|row| row.options().any(|own| own == option)) {
            typed.insert(row.name, option);
        }
        value.map_or_else(|| option.into(), |value| format!("{option}={value}").into())
    };
    let args = args.iter().map(&mut one).collect();
    (args, typed)
}

/// The options that `name` is, or may be the beginning of.
fn begun(name: &str) -> Vec<&'static str> {
    let first = || table::rows().flat_map(|row| row.flags).copied().chain(["--help", "--version"]);
    let others = || table::rows().flat_map(|row| row.uvicorn_flags).copied();
    if let Some(exact) = first().chain(others()).find(|flag| *flag == name) {
        return vec![exact];
    }
    let beginning = |flag: &&str| name.len() > 2 && flag.starts_with(name);
    let found: Vec<_> = first().filter(beginning).collect();
    if found.is_empty() { others().filter(beginning).collect() } else { found }
}

fn command() -> Command {
    let switch =
        |id: &'static str, short: char| Arg::new(id).long(id).short(short).action(ArgAction::SetTrue).exclusive(false);
    Command::new(PROGRAM)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(switch("help", 'h'))
        .arg(switch("version", 'v'))
        .arg(Arg::new("app"))
        .args(table::rows().filter(|row| row.has_option()).flat_map(arguments))
}

/// An argument for all options of a setting; for those that say yes and no, one each.
fn arguments(row: &'static Row) -> Vec<Arg> {
    let mut options = row.options();
    let usual = options.next().expect("invariant: only rows with options come here");
    if row.kind == Kind::YesNo {
        let no = options.next().expect("invariant: there is an option that says no");
        let switch = |id: &'static str, flag: &'static str, other: &'static str| {
            Arg::new(id).long(&flag[2..]).action(ArgAction::SetTrue).overrides_with(other)
        };
        return vec![switch(row.name, usual, no), switch(no, no, row.name)];
    }
    let mut arg = Arg::new(row.name).long(&usual[2..]).aliases(options.map(|flag| &flag[2..]));
    if let Some(short) = row.short {
        arg = arg.short(short);
    }
    vec![match row.kind {
        Kind::Switch | Kind::Off | Kind::YesNo => arg.action(ArgAction::SetTrue),
        Kind::List => arg.action(ArgAction::Append),
        // Alone it says `auto`, as with Gunicorn.
        _ if row.name == "proxy_protocol" => arg.num_args(0..=1).default_missing_value("auto"),
        Kind::Int(..) | Kind::Seconds(_) | Kind::Mode | Kind::Account => {
            arg.action(ArgAction::Set).allow_negative_numbers(true)
        }
        _ => arg.action(ArgAction::Set),
    }]
}

fn value(row: &Row, matches: &ArgMatches) -> SettingValue {
    let texts = || matches.get_many::<String>(row.name).into_iter().flatten().cloned().map(SettingValue::Str);
    match row.kind {
        Kind::Switch | Kind::YesNo => SettingValue::Bool(true),
        Kind::Off => SettingValue::Bool(false),
        Kind::List => SettingValue::List(texts().collect()),
        _ => texts().next_back().unwrap_or(SettingValue::None),
    }
}

/// What is wrong with a command line, and what may have been meant. All of it ends with code 2.
fn refuse(error: &clap::Error, place: &str) -> Exit {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.split(' ').next().unwrap_or_default(),
        _ => "",
    };
    let (what, hint) = match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => unknown(argument),
        ErrorKind::UnknownArgument => (
            format!("unexpected argument `{argument}`"),
            Some("there is one application; options come with `-` or `--`".to_string()),
        ),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            (format!("`{argument}` needs a value"), None)
        }
        ErrorKind::TooManyValues => (format!("`{argument}` takes no value"), None),
        ErrorKind::InvalidUtf8 => ("an argument is not valid UTF-8".into(), None),
        _ => (error.to_string().trim().trim_start_matches("error: ").to_string(), None),
    };
    Exit::new(2, format!("{what}{place}"), hint.or_else(|| Some(format!("`{PROGRAM} --help` lists all options"))))
}

fn unknown(argument: &str) -> (String, Option<String>) {
    let name = argument.split('=').next().unwrap_or(argument);
    let flags = || table::rows().flat_map(Row::options).chain(["--help", "--version"]);
    let begun = begun(name);
    if begun.len() > 1 {
        return (format!("`{name}` is ambiguous"), Some(format!("it may be {}", super::value::alternatives(&begun))));
    }
    let hint = nearest(name, flags()).map(|near| format!("did you mean `{near}`?"));
    (format!("unknown option `{name}`"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<CommandLine, Exit> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&args, "")
    }

    fn text(line: &str, name: &str) -> Option<SettingValue> {
        let line = read(line).unwrap();
        line.values.into_iter().find(|typed| typed.row.name == name).map(|typed| typed.value)
    }

    fn str(text: &str) -> SettingValue {
        SettingValue::Str(text.into())
    }

    #[test]
    fn options_are_written_in_every_usual_way() {
        for line in ["-w 4", "-w4", "--workers 4", "--workers=4", "-w 2 -w 4", "app -w 4", "-w 4 app"] {
            assert_eq!(text(line, "workers"), Some(str("4")), "{line}");
        }
        assert_eq!(
            text("-b a --bind b --bind=c", "bind"),
            Some(SettingValue::List(vec![str("a"), str("b"), str("c")]))
        );
        assert_eq!(text("--limit-request-field_size 5", "limit_request_field_size"), Some(str("5")));
        assert_eq!(text("--limit-request-line 5", "limit_request_line"), Some(str("5")));
        assert_eq!(text("--log-file -", "errorlog"), Some(str("-")));
        assert_eq!(text("--time=4", "timeout"), Some(str("4")), "cut short");
        assert_eq!(text("--timeout -1", "timeout"), Some(str("-1")));
        assert_eq!(text("--reload", "reload"), Some(SettingValue::Bool(true)));
        assert_eq!(text("--no-sendfile", "sendfile"), Some(SettingValue::Bool(false)));
        assert_eq!(text("--access-log --no-access-log app", "access_log"), Some(SettingValue::Bool(false)), "the last");
        assert_eq!(text("--no-access-log --access-log app", "access_log"), Some(SettingValue::Bool(true)), "the last");
        assert_eq!(
            text("--header A:1 --header B:2", "headers"),
            Some(SettingValue::List(vec![str("A:1"), str("B:2")]))
        );
        assert_eq!(text("app", "reload"), None);
        assert_eq!(text("-DR", "daemon"), Some(SettingValue::Bool(true)));
        assert_eq!(read("-w 4 shop.wsgi").unwrap().app.as_deref(), Some("shop.wsgi"));
        assert_eq!(read("-- shop.wsgi").unwrap().app.as_deref(), Some("shop.wsgi"));
        assert_eq!(read("app --help").unwrap().ask, Some(Ask::Help));
        assert_eq!(read("-v").unwrap().ask, Some(Ask::Version));
    }

    #[test]
    fn options_may_be_cut_short_and_uvicorns_make_none_of_gunicorns_ambiguous() {
        assert_eq!(text("--timeo 4", "timeout"), Some(str("4")), "not --timeout-keep-alive");
        assert_eq!(text("--timeout-k=4", "keepalive"), Some(str("4")));
        assert_eq!(text("--access-logfi x", "accesslog"), Some(str("x")));
        assert_eq!(text("--no-access app", "access_log"), Some(SettingValue::Bool(false)));
        refused("--log-conf x", "daemun: `--log-conf` is ambiguous\nhint: it may be --log-config or --log-config-json");
        assert_eq!(read("--hel").unwrap().ask, Some(Ask::Help));
        assert_eq!(read("-- --timeo").unwrap().app.as_deref(), Some("--timeo"));
        assert_eq!(text("--log-file x", "errorlog"), Some(str("x")));
    }

    #[test]
    fn every_option_of_the_table_is_taken() {
        for row in table::rows() {
            for flag in row.options() {
                let line = if row.takes_value() { format!("{flag}=1 app") } else { format!("{flag} app") };
                let read = read(&line).unwrap_or_else(|exit| panic!("{line}: {}", exit.message));
                let found = read.values.iter().find(|typed| typed.row.name == row.name);
                assert_eq!(found.map(|typed| typed.option), Some(flag), "{line}");
                assert_eq!(read.app.as_deref(), Some("app"), "{line}");
            }
        }
    }

    #[track_caller]
    fn refused(line: &str, message: &str) {
        let exit = read(line).err().expect("refused");
        assert_eq!((exit.code, exit.message.as_str()), (2, message), "{line}");
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_nearest_name() {
        refused("--worksers 4 app", "daemun: unknown option `--worksers`\nhint: did you mean `--workers`?");
        refused("--biind=x app", "daemun: unknown option `--biind`\nhint: did you mean `--bind`?");
        refused("--database app", "daemun: unknown option `--database`\nhint: `daemun --help` lists all options");
        refused("-x app", "daemun: unknown option `-x`\nhint: `daemun --help` lists all options");
        refused(
            "a b",
            "daemun: unexpected argument `b`\nhint: there is one application; options come with `-` or `--`",
        );
        refused("app -w", "daemun: `--workers` needs a value\nhint: `daemun --help` lists all options");
        refused("--reload=1", "daemun: `--reload` takes no value\nhint: `daemun --help` lists all options");
        refused(
            "--limit-request 1",
            "daemun: `--limit-request` is ambiguous\n\
             hint: it may be --limit-request-line, --limit-request-fields or --limit-request-field_size",
        );
    }
}
