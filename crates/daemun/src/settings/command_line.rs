//! The command line: clap's parser over the table, and messages of our own for what it does not take. As with
//! Gunicorn, long options may be cut short while they stay unambiguous, and the last of several values counts.

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
    pub values: Vec<(&'static Row, SettingValue)>,
    /// The application.
    pub app: Option<String>,
    /// What else is asked for.
    pub ask: Option<Ask>,
}

/// Options that print something in place of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Help,
    Version,
}

/// Reads arguments, the program's name not among them. `place` tells where they stand if not on the command line.
pub(super) fn parse(args: &[OsString], place: &str) -> Result<CommandLine, Exit> {
    let matches = command().try_get_matches_from(args).map_err(|error| refuse(&error, place))?;
    let given = |id: &str| matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
    let ask = match () {
        () if given("help") => Some(Ask::Help),
        () if given("version") => Some(Ask::Version),
        () => None,
    };
    let rows = table::rows().filter(|row| !row.flags.is_empty() && given(row.name));
    let values = rows.map(|row| (row, value(row, &matches))).collect();
    Ok(CommandLine { values, app: matches.get_one::<String>("app").cloned(), ask })
}

fn command() -> Command {
    let switch =
        |id: &'static str, short: char| Arg::new(id).long(id).short(short).action(ArgAction::SetTrue).exclusive(false);
    Command::new(PROGRAM)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .args_override_self(true)
        .arg(switch("help", 'h'))
        .arg(switch("version", 'v'))
        .arg(Arg::new("app"))
        .args(table::rows().filter(|row| !row.flags.is_empty()).map(argument))
}

fn argument(row: &'static Row) -> Arg {
    let (usual, others) = row.flags.split_first().expect("invariant: only rows with options come here");
    let mut arg = Arg::new(row.name).long(&usual[2..]).aliases(others.iter().map(|flag| &flag[2..]));
    if let Some(short) = row.short {
        arg = arg.short(short);
    }
    match row.kind {
        Kind::Switch | Kind::Off => arg.action(ArgAction::SetTrue),
        Kind::List => arg.action(ArgAction::Append),
        // Alone it says `auto`, as with Gunicorn.
        _ if row.name == "proxy_protocol" => arg.num_args(0..=1).default_missing_value("auto"),
        Kind::Int(..) | Kind::Mode | Kind::Account => arg.action(ArgAction::Set).allow_negative_numbers(true),
        _ => arg.action(ArgAction::Set),
    }
}

fn value(row: &Row, matches: &ArgMatches) -> SettingValue {
    let texts = || matches.get_many::<String>(row.name).into_iter().flatten().cloned().map(SettingValue::Str);
    match row.kind {
        Kind::Switch => SettingValue::Bool(true),
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
    let flags = || table::rows().flat_map(|row| row.flags).copied().chain(["--help", "--version"]);
    let begun: Vec<&str> = flags().filter(|flag| name.len() > 2 && flag.starts_with(name)).collect();
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
        line.values.into_iter().find(|(row, _)| row.name == name).map(|(_, value)| value)
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
        assert_eq!(text("app", "reload"), None);
        assert_eq!(text("-DR", "daemon"), Some(SettingValue::Bool(true)));
        assert_eq!(read("-w 4 shop.wsgi").unwrap().app.as_deref(), Some("shop.wsgi"));
        assert_eq!(read("-- shop.wsgi").unwrap().app.as_deref(), Some("shop.wsgi"));
        assert_eq!(read("app --help").unwrap().ask, Some(Ask::Help));
        assert_eq!(read("-v").unwrap().ask, Some(Ask::Version));
    }

    #[test]
    fn every_option_of_the_table_is_taken() {
        for row in table::rows() {
            for flag in row.flags {
                let line = if row.takes_value() { format!("{flag}=1 app") } else { format!("{flag} app") };
                let read = read(&line).unwrap_or_else(|exit| panic!("{line}: {}", exit.message));
                assert!(read.values.iter().any(|(given, _)| given.name == row.name), "{line}");
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
