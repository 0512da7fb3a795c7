//! Whose command line it is. Gunicorn's and Uvicorn's options are all understood, whatever the program is called; the
//! face decides what holds when nobody says anything, and which of the surroundings count. nginx's command line is
//! another language: it is taken where the line can be nginx's and names neither an application nor a Python file.

use std::ffi::OsString;
use std::path::Path;

use super::command_line;
use crate::host::SettingValue;
use crate::nginx::Flags;

/// Whose place the program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Its own: Gunicorn's defaults; both servers' variables count.
    Daemun,
    /// `gunicorn`: Uvicorn's variables do not count.
    Gunicorn,
    /// `uvicorn`: Uvicorn's defaults; Gunicorn's file, variable and `$PORT` do not count.
    Uvicorn,
    /// `daemun.run` in Python: Uvicorn's defaults; only what is passed counts.
    Call,
    /// `nginx`: its command line and its configuration file.
    Nginx,
    /// No server: a command of the program's own.
    Command(Command),
}

/// A command of the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `daemun explain`
    Explain,
    /// `daemun fmt`
    Format,
    /// `daemun help`
    Help,
    /// `daemun cert`
    Cert,
}

/// What the program is called by `daemun.run`.
pub(super) const CALL: &str = "daemun.run";

impl Face {
    /// The face of a whole command line, and the arguments that belong to it. It is the name that the program is called
    /// by, or the first argument. (An application of such a name is written with a colon: `uvicorn:app`.)
    pub fn of(args: &[OsString]) -> (Face, &[OsString]) {
        let named = |name: &OsString| match name.to_str() {
            Some("gunicorn") => Some(Face::Gunicorn),
            Some("uvicorn") => Some(Face::Uvicorn),
            Some("nginx") => Some(Face::Nginx),
            _ => None,
        };
        let command = |name: &OsString| match name.to_str() {
            Some("explain") => Some(Face::Command(Command::Explain)),
            Some("fmt") => Some(Face::Command(Command::Format)),
            Some("help") => Some(Face::Command(Command::Help)),
            Some("cert") => Some(Face::Command(Command::Cert)),
            _ => None,
        };
        let Some((program, rest)) = args.split_first() else { return (Face::Daemun, args) };
        let name = Path::new(program).file_name().map(OsString::from).unwrap_or_default();
        match (named(&name), rest.first().and_then(named)) {
            _ if program == CALL => (Face::Call, rest),
            (Some(face), _) => (face, rest),
            (None, Some(face)) => (face, rest.get(1..).unwrap_or_default()),
            (None, None) => match rest.first().and_then(command) {
                Some(face) => (face, rest.get(1..).unwrap_or_default()),
                None if is_nginxs(rest) => (Face::Nginx, rest),
                None => (Face::Daemun, rest),
            },
        }
    }

    /// What holds here when nobody says anything, where it is not the table's default.
    pub(super) fn defaults(self) -> Vec<(&'static str, SettingValue)> {
        match self {
            Face::Daemun | Face::Gunicorn | Face::Nginx | Face::Command(_) => Vec::new(),
            Face::Uvicorn | Face::Call => {
                vec![("accesslog", SettingValue::Str("-".into())), ("keepalive", SettingValue::Int(5))]
            }
        }
    }

    /// Whether `gunicorn.conf.py`, `GUNICORN_CMD_ARGS` and `PORT` count unasked.
    pub(super) fn has_gunicorns_surroundings(self) -> bool {
        matches!(self, Face::Daemun | Face::Gunicorn)
    }

    /// Whether the variables `UVICORN_...` count.
    pub(super) fn has_uvicorns_variables(self) -> bool {
        matches!(self, Face::Daemun | Face::Uvicorn)
    }
}

/// Whether arguments are for nginx's face. A line that neither can take is nginx's if nothing in it looks like one for
/// Gunicorn: then nginx's message is the better one.
fn is_nginxs(args: &[OsString]) -> bool {
    if args.is_empty() {
        return false;
    }
    match Flags::parse(args) {
        Ok(flags) => !flags.file.is_some_and(|file| is_python(&file.to_string_lossy())),
        Err(_) => {
            let foreign = |arg: &OsString| {
                let text = arg.to_string_lossy();
                text.starts_with("--") || !text.starts_with('-')
            };
            !args.iter().any(foreign) && command_line::parse(args, "").is_err()
        }
    }
}

/// Whether `-c` names a configuration in Python.
fn is_python(file: &str) -> bool {
    file.ends_with(".py") || file.starts_with("python:") || file.starts_with("file:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_or_the_first_argument_says_whose_line_it_is() {
        for (line, face, rest) in [
            ("daemun app", Face::Daemun, "app"),
            ("daemun", Face::Daemun, ""),
            ("/usr/bin/uvicorn app --reload", Face::Uvicorn, "app --reload"),
            ("uvicorn gunicorn", Face::Uvicorn, "gunicorn"),
            ("daemun uvicorn app", Face::Uvicorn, "app"),
            ("daemun gunicorn", Face::Gunicorn, ""),
            ("bin/gunicorn -w 2 app", Face::Gunicorn, "-w 2 app"),
            ("daemun uvicorn:app", Face::Daemun, "uvicorn:app"),
            ("daemun -w 2 uvicorn", Face::Daemun, "-w 2 uvicorn"),
            ("daemun.run app", Face::Call, "app"),
            ("", Face::Daemun, ""),
            ("nginx", Face::Nginx, ""),
            ("/usr/sbin/nginx -t", Face::Nginx, "-t"),
            ("daemun nginx -s stop", Face::Nginx, "-s stop"),
            ("daemun -c nginx.conf", Face::Nginx, "-c nginx.conf"),
            ("daemun -t", Face::Nginx, "-t"),
            ("daemun -tq -p /srv", Face::Nginx, "-tq -p /srv"),
            ("daemun -c", Face::Nginx, "-c"),
            ("daemun -z", Face::Nginx, "-z"),
            ("daemun -c gunicorn.conf.py", Face::Daemun, "-c gunicorn.conf.py"),
            ("daemun -c python:conf", Face::Daemun, "-c python:conf"),
            ("daemun -c site.conf app", Face::Daemun, "-c site.conf app"),
            ("daemun app -t 5", Face::Daemun, "app -t 5"),
            ("daemun -t 5 app", Face::Daemun, "-t 5 app"),
            ("daemun -T app", Face::Daemun, "-T app"),
            ("daemun -b :8000", Face::Daemun, "-b :8000"),
            ("daemun --version", Face::Daemun, "--version"),
            ("daemun -x app", Face::Daemun, "-x app"),
            ("daemun fmt a.conf", Face::Command(Command::Format), "a.conf"),
            ("daemun explain -c a /b", Face::Command(Command::Explain), "-c a /b"),
            ("daemun help", Face::Command(Command::Help), ""),
            ("daemun cert dev", Face::Command(Command::Cert), "dev"),
            ("daemun cert:app", Face::Daemun, "cert:app"),
        ] {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let rest: Vec<OsString> = rest.split_whitespace().map(OsString::from).collect();
            assert_eq!(Face::of(&args), (face, rest.as_slice()), "{line}");
        }
    }
}
