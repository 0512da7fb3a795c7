//! Opening files below a directory, wherever symbolic links lead.

use std::ffi::CString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Not to wait for the other end of a FIFO, not to get a terminal.
const FLAGS: i32 = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;

/// `struct open_how` of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn path_of(path: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path))
}

/// Opens a file for reading.
pub fn open(path: &[u8]) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(FLAGS).open(path_of(path))
}

/// What is known of a file, links followed.
pub fn metadata(path: &[u8]) -> io::Result<Metadata> {
    path_of(path).metadata()
}

/// What is known of a file or a link.
pub fn link_metadata(path: &[u8]) -> io::Result<Metadata> {
    path_of(path).symlink_metadata()
}

/// The path with all links resolved.
pub fn real_path(path: &[u8]) -> io::Result<Vec<u8>> {
    path_of(path).canonicalize().map(|path| path.into_os_string().into_vec())
}

/// Whether an error says that there is no such file.
pub fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG))
}

/// Opens an absolute path for reading if no part of it, from the byte `from` on, is a symbolic link: if the last is one,
/// the error is ELOOP, and ENOTDIR if one before it is.
pub fn open_without_links(path: &[u8], from: usize) -> io::Result<File> {
    let (directory, name) = path.split_at(from.min(path.len()));
    let top = open(if directory.is_empty() { b"/" } else { directory })?;
    let name = name.iter().position(|&byte| byte != b'/').map_or(&b"."[..], |start| &name[start..]);
    openat2(&top, name, libc::RESOLVE_NO_SYMLINKS).map_err(|error| {
        let last = || link_metadata(path).is_ok_and(|found| found.file_type().is_symlink());
        if error.raw_os_error() == Some(libc::ELOOP) && !last() {
            return io::Error::from_raw_os_error(libc::ENOTDIR);
        }
        error
    })
}

/// Opens `path`, relative to `root`, for reading; ENOENT if it is, or leads, outside of `root`.
pub fn open_beneath(root: &File, path: &[u8]) -> io::Result<File> {
    match openat2_beneath(root, path) {
        // EXDEV: an absolute link, which may lead back inside. ENOSYS, EPERM: no such system call, or a filter that
        // does not know it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOSYS | libc::EPERM)) => {
            open_and_check(root, path)
        }
        other => other,
    }
}

/// The kernel sees to it that every step stays beneath.
fn openat2_beneath(root: &File, path: &[u8]) -> io::Result<File> {
    openat2(root, path, libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS)
}

fn openat2(root: &File, path: &[u8], resolve: u64) -> io::Result<File> {
    let path = CString::new(path)?;
    let how = OpenHow { flags: FLAGS as u64, mode: 0, resolve };
    // EAGAIN: something was renamed meanwhile, so that the kernel cannot be sure.
    for _ in 0..8 {
        // SAFETY: `path` and `how` outlive the call, and its size argument is the size of `how`.
        let fd = unsafe {
            libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<OpenHow>())
        };
        if fd >= 0 {
            // SAFETY: the call has just opened this descriptor, and nobody else has it.
            return Ok(unsafe { File::from_raw_fd(fd as i32) });
        }
        let error = io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            return Err(error);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Finds the file first, without opening it, looks where it is, and opens just that file then.
fn open_and_check(root: &File, path: &[u8]) -> io::Result<File> {
    let inside = PathBuf::from(std::ffi::OsStr::from_bytes(path));
    let found = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(descriptor(root).join(inside))?;
    let (top, place) = (std::fs::read_link(descriptor(root))?, std::fs::read_link(descriptor(&found))?);
    if !place.starts_with(top) {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    OpenOptions::new().read(true).custom_flags(FLAGS).open(descriptor(&found))
}

/// The name that an open file has in /proc.
fn descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_nowhere_outside() {
        let base = std::env::temp_dir().join(format!("daemun-open-{}", std::process::id()));
        let root = base.join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(base.join("secret"), "secret").unwrap();
        fs::write(root.join("a"), "a").unwrap();
        symlink("../a", root.join("sub/up")).unwrap();
        symlink(root.join("a"), root.join("absolute")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(base.join("secret"), root.join("absolute-out")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let top = File::open(&root).unwrap();
        for open in [open_beneath, open_and_check] {
            for path in ["a", "sub/up", "absolute"] {
                let mut text = String::new();
                open(&top, path.as_bytes()).unwrap().read_to_string(&mut text).unwrap();
                assert_eq!(text, "a", "{path}");
            }
            for path in ["out", "absolute-out", "../secret", "loop", "missing", "a/b", "/etc/passwd/x", "nul\0"] {
                assert!(open(&top, path.as_bytes()).is_err(), "{path}");
            }
        }
        assert!(open_beneath(&top, b"/etc/passwd").is_err());
        fs::remove_dir_all(base).unwrap();
    }
}
