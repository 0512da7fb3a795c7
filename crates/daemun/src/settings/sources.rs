//! The sources of settings, from the weakest to the strongest: what the program is called, the environment, Uvicorn's
//! variables, the configuration file, `GUNICORN_CMD_ARGS`, the command line or the call from Python.

use std::ffi::OsString;

use super::command_line::{self, Ask, CommandLine, Typed};
use super::given::{Given, Origin};
use super::{Action, Exit, Face, environment, help, ready, shlex, version};
use crate::host::SettingValue;

const DEFAULT_CONFIG: &str = "./gunicorn.conf.py";
/// The source of the settings that `daemun.run` was called with.
const CALL_SOURCE: &str = "call:";
/// Where an option stands that is not on the command line itself.
const ARGUMENTS: &str = " in $GUNICORN_CMD_ARGS";

/// Reads all sources of settings. `args` does not begin with the program's name; `face` is what that name says.
/// `read_config` gets a path, `python:MODULE` or `call:`, and gives the names that it defines.
pub fn from_command_line(
    face: Face,
    args: &[OsString],
    env: &dyn Fn(&str) -> Option<String>,
    read_config: &dyn Fn(&str) -> Result<Vec<(String, SettingValue)>, String>,
) -> Result<Action, Exit> {
    let line = command_line::parse(args, "")?;
    match line.ask {
        Some(Ask::Help) => return Ok(Action::Print(help())),
        Some(Ask::Version) => return Ok(Action::Print(version())),
        None => {}
    }
    let arguments = match env("GUNICORN_CMD_ARGS").filter(|_| face.has_gunicorns_surroundings()) {
        None => Vec::new(),
        Some(text) => {
            let words = shlex::split(&text).map_err(|why| Exit::new(2, format!("$GUNICORN_CMD_ARGS: {why}"), None))?;
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            command_line::parse(&words, ARGUMENTS)?.values
        }
    };
    let call = match face {
        Face::Call => read_config(CALL_SOURCE).map_err(|why| Exit::new(1, why, None))?,
        _ => Vec::new(),
    };
    let uvicorns = |name: &str| env(name).filter(|text| face.has_uvicorns_variables() && !text.is_empty());
    let spoken = Spoken { line: &line, arguments: &arguments, call: &call };
    let mut given = Given::default();
    let env_file = spoken
        .find("env_file")
        .or_else(|| uvicorns("UVICORN_ENV_FILE").map(|path| (path, "`$UVICORN_ENV_FILE`".to_string())));
    let variables = match env_file {
        Some((path, place)) => environment::read_file(&path, &place, env, &mut given)?,
        None => Vec::new(),
    };
    let unasked = || face.has_gunicorns_surroundings() && std::fs::exists(DEFAULT_CONFIG).unwrap_or(false);
    let config = spoken.find("config").map(|(source, _)| source);
    let config = config.or_else(|| unasked().then(|| DEFAULT_CONFIG.to_string()));

    let said = |name: &str| variables.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    given.take_face(face)?;
    given.take_environment(face, &|name| env(name).or_else(|| said(name)))?;
    if face.has_uvicorns_variables() {
        given.take_uvicorns_variables(env)?;
    }
    if let Some(source) = config {
        given.take_file(&source, read_config)?;
    }
    given.take_line(arguments, Origin::Arguments)?;
    given.take_line(line.values, Origin::CommandLine)?;
    given.take_call(call)?;

    let app = line.app.or_else(|| given.optional("wsgi_app")).or_else(|| uvicorns("UVICORN_APP"));
    let settings = ready::resolve(given, app, variables)?;
    Ok(match () {
        () if settings.given.switch("print_config") => Action::PrintConfig(settings),
        () if settings.given.switch("check_config") => Action::CheckConfig(settings),
        () => Action::Run(settings),
    })
}

/// What the user has said right here. In it stands where further settings are to be read from.
struct Spoken<'a> {
    line: &'a CommandLine,
    arguments: &'a [Typed],
    call: &'a [(String, SettingValue)],
}

impl Spoken<'_> {
    /// A text that is not empty, and its place for messages.
    fn find(&self, name: &str) -> Option<(String, String)> {
        let typed = |values: &[Typed], place: &str| {
            let typed = values.iter().find(|typed| typed.row.name == name)?;
            Some((typed.value.clone(), format!("`{}`{place}", typed.option)))
        };
        let passed = || {
            let (keyword, value) = self.call.iter().find(|(keyword, _)| keyword == name)?;
            Some((value.clone(), format!("`{keyword}` of daemun.run()")))
        };
        match typed(&self.line.values, "").or_else(passed).or_else(|| typed(self.arguments, ARGUMENTS))? {
            (SettingValue::Str(text), place) if !text.is_empty() => Some((text, place)),
            _ => None,
        }
    }
}
