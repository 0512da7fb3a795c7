//! Whose command line it is. Gunicorn's and Uvicorn's options are all understood, whatever the program is called; the
//! face decides what holds when nobody says anything, and which of the surroundings count.

use std::ffi::OsString;
use std::path::Path;

use crate::host::SettingValue;

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
            _ => None,
        };
        let Some((program, rest)) = args.split_first() else { return (Face::Daemun, args) };
        let name = Path::new(program).file_name().map(OsString::from).unwrap_or_default();
        match (named(&name), rest.first().and_then(named)) {
            _ if program == CALL => (Face::Call, rest),
            (Some(face), _) => (face, rest),
            (None, Some(face)) => (face, rest.get(1..).unwrap_or_default()),
            (None, None) => (Face::Daemun, rest),
        }
    }

    /// What holds here when nobody says anything, where it is not the table's default.
    pub(super) fn defaults(self) -> Vec<(&'static str, SettingValue)> {
        match self {
            Face::Daemun | Face::Gunicorn => Vec::new(),
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
        ] {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let rest: Vec<OsString> = rest.split_whitespace().map(OsString::from).collect();
            assert_eq!(Face::of(&args), (face, rest.as_slice()), "{line}");
        }
    }
}
