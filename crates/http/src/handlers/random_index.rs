//! `random_index`: one of a directory's files, by lot.

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// A name drawn from the regular files of `directory`; names that begin with a dot do not take part. Links count as
/// what they lead to.
/// `random` is any number, evenly spread. `None`: there is no such file.
pub fn choose(directory: &Path, random: u64) -> io::Result<Option<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_vec();
        if name.starts_with(b".") {
            continue;
        }
        // A file that has gone, or a link that leads nowhere, is no error.
        let is_file = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file()),
            Ok(kind) => kind.is_file(),
            Err(_) => false,
        };
        if is_file {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    let at = (u128::from(random) * names.len() as u128) >> 64;
    Ok(Some(names.swap_remove(at as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_are_drawn() {
        let directory = std::env::temp_dir().join(format!("daemun-random-index-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("folder")).unwrap();
        assert_eq!(choose(&directory, 7).unwrap(), None);
        for name in ["a", "b", ".hidden"] {
            std::fs::write(directory.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("gone", directory.join("link")).unwrap();
        let mut drawn: Vec<_> = [0, u64::MAX].iter().map(|&n| choose(&directory, n).unwrap().unwrap()).collect();
        drawn.sort();
        assert_eq!(drawn, [b"a".to_vec(), b"b".to_vec()]);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(choose(&directory, 7).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
