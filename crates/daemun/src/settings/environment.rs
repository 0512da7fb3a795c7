//! The process's own surroundings as the settings want them: current directory and environment. Applied before the
//! application is loaded, and undone when a reload brings other settings.

use std::ffi::OsString;
use std::path::PathBuf;

use super::given::Given;
use super::{Exit, Settings, env_file};
use crate::sys;

/// Reads a file of variables, which `place` names; gives those that the environment does not have.
pub(super) fn read_file(
    path: &str,
    place: &str,
    env: &dyn Fn(&str) -> Option<String>,
    given: &mut Given,
) -> Result<Vec<(String, String)>, Exit> {
    let refuse = |why: String| Exit::new(1, format!("{place}: cannot read `{path}`: {why}"), None);
    let bytes = std::fs::read(path).map_err(|error| refuse(sys::reason(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8".into()))?;
    let file = env_file::parse(&text, env);
    for line in file.odd_lines {
        given.warnings.push(format!("{path}:{line} is not of the form NAME=VALUE and is skipped"));
    }
    Ok(file.variables.into_iter().filter(|(name, _)| env(name).is_none()).collect())
}

/// How things were before [`apply_environment`].
#[must_use = "a reload undoes it"]
pub struct Applied {
    directory: PathBuf,
    variables: Vec<(String, Option<OsString>)>,
}

/// Changes to the directory of the settings and sets their variables. To be called while there is one thread.
pub fn apply_environment(settings: &Settings) -> Result<Applied, Exit> {
    std::env::set_current_dir(&settings.chdir).map_err(|error| {
        let why = sys::reason(&error);
        Exit::new(
            1,
            format!("{}: cannot change to `{}`: {why}", settings.place("chdir"), settings.chdir.display()),
            None,
        )
    })?;
    let before = |(name, _): &(String, String)| (name.clone(), std::env::var_os(name));
    let variables = settings.raw_env.iter().map(before).collect();
    for (name, value) in &settings.raw_env {
        sys::set_variable(name, Some(value.as_ref()));
    }
    Ok(Applied { directory: settings.start_dir.clone(), variables })
}

impl Applied {
    /// Puts everything back, as far as it still exists.
    pub fn undo(self) {
        for (name, value) in self.variables.into_iter().rev() {
            sys::set_variable(&name, value.as_deref());
        }
        let _ = std::env::set_current_dir(self.directory);
    }
}
