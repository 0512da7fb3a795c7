//! The file with the master's process number.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::sys::{process, reason};

/// A file that this process wrote.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    pid: i32,
}

impl Pidfile {
    /// Gives an error if a living process is named in the file. A file that was left behind is no obstacle.
    pub fn check(path: &Path) -> Result<(), String> {
        match read(path) {
            Some(pid) if pid != std::process::id() as i32 && process::exists(pid) => {
                Err(format!("already running as process {pid}, says the pid file `{}`", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Writes the file, whole or not at all.
    pub fn create(path: &Path) -> Result<Pidfile, String> {
        Self::check(path)?;
        Self::take(path).map_err(|error| format!("cannot write the pid file `{}`: {}", path.display(), reason(&error)))
    }

    /// Writes the file whoever is named in it, as nginx does: what keeps two servers apart is their addresses.
    pub fn take(path: &Path) -> io::Result<Pidfile> {
        let pid = std::process::id() as i32;
        let new = path.with_extension(format!("new-{pid}"));
        fs::write(&new, format!("{pid}\n"))
            .and_then(|()| fs::set_permissions(&new, Permissions::from_mode(0o644)))
            .and_then(|()| fs::rename(&new, path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&new);
            })?;
        Ok(Pidfile { path: path.into(), pid })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file another name, and back.
    pub fn rename(&mut self, path: PathBuf) -> io::Result<()> {
        fs::rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// Removes the file, unless another process has taken it over.
    pub fn remove(self) {
        if read(&self.path) == Some(self.pid) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn read(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_left_behind_is_taken_over_and_a_living_one_is_not() {
        let path = std::env::temp_dir().join(format!("daemun-pidfile-{}", std::process::id()));
        for left in ["", "x", "999999999\n"] {
            fs::write(&path, left).unwrap();
            Pidfile::create(&path).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let file = Pidfile::create(&path).expect("one's own number is no obstacle");

        fs::write(&path, "1\n").unwrap();
        let why = Pidfile::create(&path).unwrap_err();
        assert_eq!(why, format!("already running as process 1, says the pid file `{}`", path.display()));
        file.remove();
        assert!(path.exists(), "another's file stays");
        fs::remove_file(&path).unwrap();
        assert!(Pidfile::create(Path::new("/nowhere/x.pid")).unwrap_err().ends_with(": no such file or directory"));
    }
}
