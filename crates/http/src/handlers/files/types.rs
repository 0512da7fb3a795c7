//! `types`: media types by the ends of names.

use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Types {
    /// By extension in lower case.
    map: HashMap<Box<[u8]>, Arc<str>>,
}

impl Default for Types {
    /// nginx's three.
    fn default() -> Self {
        let mut types = Types::empty();
        for (extension, media_type) in [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")] {
            types.insert(extension, media_type);
        }
        types
    }
}

impl Types {
    pub fn empty() -> Types {
        Types { map: HashMap::new() }
    }

    /// All that this program knows.
    pub fn modern() -> Types {
        let mut types = Types::empty();
        for (extension, media_type) in wire::media::TYPES {
            types.insert(extension, &super::full_type(media_type));
        }
        types
    }

    /// Adds one; gives the type that the extension had.
    pub fn insert(&mut self, extension: &str, media_type: &str) -> Option<Arc<str>> {
        let extension = extension.to_ascii_lowercase().into_bytes();
        // Most types have several extensions.
        let known = self.map.values().find(|known| &***known == media_type).cloned();
        let media_type = known.unwrap_or_else(|| media_type.into());
        self.map.insert(extension.into(), media_type)
    }

    /// The type of a path; `None`: its end tells nothing.
    pub fn of(&self, path: &[u8]) -> Option<&Arc<str>> {
        let extension = extension(path)?;
        let mut lower = [0; 32];
        let lower = lower.get_mut(..extension.len())?;
        lower.copy_from_slice(extension);
        lower.make_ascii_lowercase();
        self.map.get(&*lower)
    }
}

/// What stands behind the last dot of the last part of a path; a part that begins with its only dot has none.
pub fn extension(path: &[u8]) -> Option<&[u8]> {
    let dot = memchr::memrchr2(b'.', b'/', path)?;
    let hidden = dot > 0 && path[dot - 1] == b'/';
    if path[dot] == b'/' || dot <= 1 || hidden { None } else { Some(&path[dot + 1..]) }
}
