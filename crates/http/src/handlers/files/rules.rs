//! What may be opened: symbolic links, hidden names; and how long what was found is believed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use conf::Diagnostic;

use super::Root;
use crate::config::arguments::check;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::Row;
use crate::sys;
use crate::variables::{Scope, Template};

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    pub symlinks: Symlinks,
    /// Where checking of links begins: a directory above the file; `None`: at the root directory.
    pub links_from: Option<std::sync::Arc<Template>>,
    /// Names that begin with a dot are served.
    pub hidden: bool,
    /// How long what was found is believed, in ms; 0: it is looked at each time.
    pub valid: u64,
    /// `open_file_cache_valid`, in ms.
    pub valid_for: u64,
    /// A file that was not found is believed for as long.
    pub errors: bool,
    pub gzip_static: Static,
    pub brotli_static: Static,
    pub zstd_static: Static,
    /// A compressed file beside another is another representation: it has a tag of its own, and Vary.
    pub distinct: bool,
}

/// What is done about symbolic links on the way to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Symlinks {
    Follow,
    /// None are followed.
    Off,
    /// Only those that belong to the owner of what they lead to.
    IfOwner,
    /// Those that stay below the directory.
    Beneath,
}

/// Compressed files beside the one that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Static {
    Off,
    On,
    /// Whatever the client accepts.
    Always,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            symlinks: Symlinks::Follow,
            links_from: None,
            hidden: true,
            valid: 0,
            valid_for: 60_000,
            errors: false,
            gzip_static: Static::Off,
            brotli_static: Static::Off,
            zstd_static: Static::Off,
            distinct: false,
        }
    }
}

impl Settings {
    /// Whether compressed files are looked for.
    pub fn has_packed(&self) -> bool {
        [self.gzip_static, self.brotli_static, self.zstd_static].iter().any(|on| *on != Static::Off)
    }

    /// `defaults modern;`
    pub fn modern() -> Settings {
        Settings {
            gzip_static: Static::On,
            brotli_static: Static::On,
            zstd_static: Static::On,
            distinct: true,
            valid: 1000,
            ..Settings::default()
        }
    }
}

const STATIC: &[(&str, Static)] = &[("off", Static::Off), ("on", Static::On), ("always", Static::Always)];

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "alias",
        L,
        (1, 1),
        "DIRECTORY",
        "",
        "The directory that stands for the location's prefix: only what follows the prefix in the path of a \
         request is added to it. In a location with a regular expression it is the whole file's name.",
        Set(Root::set),
    ),
    Row::new(
        "brotli_static",
        HSL,
        (1, 1),
        "on | off | always",
        "off",
        "Whether FILE.br is sent in place of FILE to clients that accept it.",
        Set(|s| {
            let value = s.one_of(0, STATIC)?;
            s.settings().files.brotli_static = value;
            Ok(())
        }),
    ),
    Row::new(
        "disable_symlinks",
        HSL,
        (1, 2),
        "off | on | if_not_owner | outside [from=PART]",
        "off",
        "Which symbolic links are not followed: none, all, those of another owner than what they lead to, or those that lead out of \
         the directory. PART is a directory up to which links are not looked at.",
        Set(symlinks),
    ),
    Row::new(
        "gzip_static",
        HSL,
        (1, 1),
        "on | off | always",
        "off",
        "Whether FILE.gz is sent in place of FILE to clients that accept it.",
        Set(|s| {
            let value = s.one_of(0, STATIC)?;
            s.settings().files.gzip_static = value;
            Ok(())
        }),
    ),
    Row::new(
        "hidden_files",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether files whose names begin with a dot are served (`.well-known` always is).",
        Set(|s| s.set_flag(|x| &mut x.files.hidden)),
    ),
    Row::new(
        "open_file_cache",
        HSL,
        (1, 2),
        "off | max=NUMBER [inactive=TIME]",
        "off",
        "Whether what is known of a file is believed for a while, see `open_file_cache_valid`. How much is kept is limited by memory here.",
        Set(cache),
    ),
    Row::new(
        "open_file_cache_errors",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether that a file does not exist is remembered, too, see `open_file_cache`.",
        Set(|s| s.set_flag(|x| &mut x.files.errors)),
    ),
    Row::new(
        "open_file_cache_min_uses",
        HSL,
        (1, 1),
        "NUMBER",
        "1",
        "It is checked and has no effect here: how often a file is used does not matter.",
        Tuning(check::number),
    ),
    Row::new(
        "open_file_cache_valid",
        HSL,
        (1, 1),
        "TIME",
        "60s",
        "How long what is known of a file is used before it is looked at again, see `open_file_cache`.",
        Set(|s| {
            let ms = s.seconds(0)?.saturating_mul(1000);
            s.settings().files.valid_for = ms;
            if s.block.settings.files.valid != 0 {
                s.settings().files.valid = ms.max(1);
            }
            Ok(())
        }),
    ),
    Row::new(
        "root",
        HSLI,
        (1, 1),
        "DIRECTORY",
        "html",
        "The directory that holds the files: the whole path of a request is added to it. May have variables.",
        Set(Root::set),
    ),
    Row::new(
        "zstd_static",
        HSL,
        (1, 1),
        "on | off | always",
        "off",
        "Whether FILE.zst is sent in place of FILE to clients that accept it.",
        Set(|s| {
            let value = s.one_of(0, STATIC)?;
            s.settings().files.zstd_static = value;
            Ok(())
        }),
    ),
];

fn symlinks(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let mut value = None;
    let mut from = None;
    for index in 0..s.count() {
        match s.text(index) {
            "off" if s.count() == 1 => value = Some(Symlinks::Follow),
            "on" => value = Some(Symlinks::Off),
            "if_not_owner" => value = Some(Symlinks::IfOwner),
            "outside" => value = Some(Symlinks::Beneath),
            word => match word.strip_prefix("from=") {
                Some(part) if !part.is_empty() => {
                    let part = part.to_owned();
                    from = Some(std::sync::Arc::new(s.compile(&part)?));
                }
                _ => return Err(s.wrong(format!("invalid parameter \"{word}\""))),
            },
        }
    }
    let Some(value) = value else {
        return Err(s.wrong("\"disable_symlinks\" must have \"off\", \"on\" or \"if_not_owner\" parameter"));
    };
    s.settings().files.symlinks = value;
    s.settings().files.links_from = from;
    Ok(())
}

fn cache(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let mut max = None;
    for index in 0..s.count() {
        let word = s.text(index);
        if word == "off" {
            s.settings().files.valid = 0;
            return Ok(());
        }
        if let Some(number) = word.strip_prefix("max=") {
            max = number.parse::<u64>().ok().filter(|max| *max > 0);
            if max.is_some() {
                continue;
            }
        } else if let Some(time) = word.strip_prefix("inactive=")
            && conf::time_s(time).is_some()
        {
            continue;
        }
        return Err(s.wrong(format!("invalid \"open_file_cache\" parameter \"{word}\"")));
    }
    if max.is_none() {
        return Err(s.wrong("\"open_file_cache\" must have the \"max\" parameter"));
    }
    let files = &mut s.settings().files;
    files.valid = files.valid_for.max(1);
    Ok(())
}

/// From which byte on symbolic links count in a path; see `disable_symlinks from=`.
pub fn links_from(scope: &mut Scope<'_>, path: &[u8]) -> usize {
    let Some(template) = &scope.settings().files.links_from else { return 0 };
    let part = template.value(scope);
    if path.starts_with(&part) { part.len() } else { 0 }
}

/// Whether a name in the path below the root is hidden.
pub fn is_hidden(below: &[u8]) -> bool {
    below.split(|&b| b == b'/').any(|part| part.starts_with(b".") && part != b".well-known")
}

/// Opens a file by its path; so many bytes of it are the root, and links count from the byte `from` on.
pub fn open(path: &[u8], root: usize, from: usize, settings: &Settings) -> io::Result<File> {
    let below = path.get(root..).unwrap_or_default();
    if !settings.hidden && is_hidden(below) {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    match settings.symlinks {
        Symlinks::Follow => sys::open::open(path),
        Symlinks::Off => sys::open::open_without_links(path, from),
        Symlinks::IfOwner => {
            check_owners(path, from)?;
            sys::open::open(path)
        }
        Symlinks::Beneath => {
            let (directory, name) = path.split_at(root.min(path.len()));
            let top = sys::open::open(if directory.is_empty() { b"/" } else { directory })?;
            let name = name.strip_prefix(b"/").unwrap_or(name);
            sys::open::open_beneath(&top, if name.is_empty() { b"." } else { name })
        }
    }
}

/// What is known of a file, under the same rules; without opening it where that can be.
pub fn metadata(path: &[u8], root: usize, from: usize, settings: &Settings) -> io::Result<Metadata> {
    if !settings.hidden && is_hidden(path.get(root..).unwrap_or_default()) {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    match settings.symlinks {
        Symlinks::Follow => sys::open::metadata(path),
        Symlinks::IfOwner => {
            check_owners(path, from)?;
            sys::open::metadata(path)
        }
        Symlinks::Off | Symlinks::Beneath => open(path, root, from, settings)?.metadata(),
    }
}

/// Every link on the way must belong to the owner of what it leads to.
fn check_owners(path: &[u8], from: usize) -> io::Result<()> {
    let mut end = from.max(1);
    while end <= path.len() {
        end = memchr::memchr(b'/', &path[end..]).map_or(path.len(), |slash| end + slash);
        let part = &path[..end];
        let link = sys::open::link_metadata(part)?;
        if link.file_type().is_symlink() && sys::open::metadata(part)?.uid() != link.uid() {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        end += 1;
    }
    Ok(())
}
