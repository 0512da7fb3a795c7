//! Where nginx's face finds its files when the command line does not say: two layouts.
//!
//! *System*: as Debian builds nginx, for the machine's own configuration (`/etc/nginx`), and for a program that is
//! called `nginx`. *Local*, for everything else: the prefix is `-p`, or the current directory, and the names in it are
//! those of nginx as it is built without options. Where there is no `logs` there, nothing is logged to files and no pid
//! file is written unless the configuration says so.

use std::path::{Path, PathBuf};

use super::flags::Flags;

const SYSTEM_PREFIX: &str = "/usr/share/nginx";
const SYSTEM_FOLDER: &str = "/etc/nginx";
const SYSTEM_FILE: &str = "/etc/nginx/nginx.conf";

/// All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What relative paths in the configuration count from.
    pub prefix: PathBuf,
    /// The configuration file; `include` counts from its directory.
    pub file: PathBuf,
    pub pid: Option<PathBuf>,
    /// `stderr` or a path.
    pub error_log: String,
    /// `None`: there is no log unless the configuration names one.
    pub access_log: Option<PathBuf>,
}

impl Layout {
    /// For a command line. `here` is the current directory, `nginx` whether the program is called so.
    pub fn new(flags: &Flags, here: &Path, nginx: bool) -> Layout {
        let file = flags.file.as_ref().map(PathBuf::from);
        let of_the_machine = match &file {
            None => Path::new(SYSTEM_FILE).exists(),
            Some(file) => file.starts_with(SYSTEM_FOLDER),
        };
        let mut layout = if flags.prefix.is_none() && (nginx || of_the_machine) {
            Layout::system(file.unwrap_or_else(|| SYSTEM_FILE.into()))
        } else {
            let prefix = flags.prefix.as_ref().map_or_else(|| here.to_path_buf(), |prefix| here.join(prefix));
            Layout::local(prefix, file)
        };
        if let Some(target) = &flags.error_log {
            layout.error_log = target.to_string_lossy().into_owned();
        }
        layout
    }

    fn system(file: PathBuf) -> Layout {
        let prefix = PathBuf::from(SYSTEM_PREFIX);
        Layout {
            file: prefix.join(file),
            prefix,
            pid: Some("/run/nginx.pid".into()),
            error_log: "stderr".into(),
            access_log: Some("/var/log/nginx/access.log".into()),
        }
    }

    fn local(prefix: PathBuf, file: Option<PathBuf>) -> Layout {
        let default = || {
            let file = Path::new("conf/nginx.conf");
            if prefix.join(file).exists() { file } else { Path::new("nginx.conf") }.to_path_buf()
        };
        let logs = Some(prefix.join("logs")).filter(|logs| logs.is_dir());
        let log = |name: &str| logs.as_ref().map(|logs| logs.join(name));
        Layout {
            file: prefix.join(file.unwrap_or_else(default)),
            pid: log("nginx.pid"),
            error_log: log("error.log").map_or_else(|| "stderr".into(), |log| log.display().to_string()),
            access_log: log("access.log"),
            prefix,
        }
    }

    /// A path of the configuration.
    pub fn path(&self, text: &str) -> PathBuf {
        self.prefix.join(text)
    }

    /// As `-V` tells it.
    pub fn arguments(&self) -> Vec<String> {
        let or_none = |path: &Option<PathBuf>| path.as_ref().map_or_else(|| "off".into(), |p| p.display().to_string());
        vec![
            format!("--prefix={}", self.prefix.display()),
            format!("--conf-path={}", self.file.display()),
            format!("--pid-path={}", or_none(&self.pid)),
            format!("--error-log-path={}", self.error_log),
            format!("--http-log-path={}", or_none(&self.access_log)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(prefix: Option<&str>, file: Option<&str>, nginx: bool) -> Layout {
        let flags = Flags { prefix: prefix.map(Into::into), file: file.map(Into::into), ..Flags::default() };
        Layout::new(&flags, Path::new("/here"), nginx)
    }

    #[test]
    fn files_are_found_from_the_prefix() {
        for (prefix, file, nginx, root, found) in [
            (None, Some("a.conf"), false, "/here", "/here/a.conf"),
            (Some("p"), Some("a.conf"), false, "/here/p", "/here/p/a.conf"),
            (Some("/p/"), None, false, "/p/", "/p/nginx.conf"),
            (Some("/p"), Some("/x/a.conf"), true, "/p", "/x/a.conf"),
            (None, Some("/etc/nginx/b.conf"), false, SYSTEM_PREFIX, "/etc/nginx/b.conf"),
            (None, None, true, SYSTEM_PREFIX, SYSTEM_FILE),
        ] {
            let layout = layout(prefix, file, nginx);
            assert_eq!((layout.prefix.to_str(), layout.file.to_str()), (Some(root), Some(found)));
        }
        let local = layout(None, Some("a.conf"), false);
        assert_eq!((local.pid, local.error_log.as_str(), local.access_log), (None, "stderr", None));
    }
}
