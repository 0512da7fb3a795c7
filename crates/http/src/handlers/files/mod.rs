//! Static files.

use std::io;
use std::path::Path;

use crate::conn::sender::Sender;
use crate::exchange::Request;
use crate::handlers::errors;

/// A directory that is served.
pub struct Files {}

impl Files {
    /// Opens `root`; requests below `prefix` (decoded path) are looked up in it.
    pub fn open(root: &Path, _prefix: &[u8]) -> io::Result<Files> {
        std::fs::read_dir(root)?;
        Ok(Files {})
    }
}

/// Answers a request: `request.path` is decoded and begins with the prefix.
pub fn serve(_files: &Files, _request: &Request, sender: &mut Sender) {
    errors::page(sender, 404, &[]);
}
