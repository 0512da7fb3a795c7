//! How an application sees a request, where that is not what the client sent: its path after the configuration has had
//! it, the path that it is mounted under, the server's name.

use std::sync::Arc;

/// What an application is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The whole path, decoded.
    pub path: Vec<u8>,
    /// The path is what the client sent, so its spelling is too.
    pub as_sent: bool,
    /// What a proxy before this server has taken off the path, or may have; no slash at its end.
    pub outer: Arc<str>,
    /// The part of the path that is the application's place; no slash at its end.
    pub mount: Arc<str>,
    /// Name and port of the server; `None`: those of the socket.
    pub server: Option<(String, String)>,
}

impl Seen {
    /// The path that the application is mounted under, as clients see it.
    pub fn root(&self) -> String {
        [&*self.outer, &*self.mount].concat()
    }

    /// The path below that: PATH_INFO. A path that is elsewhere stays whole.
    pub fn below(&self) -> &[u8] {
        let prefix = if self.mount.is_empty() { &self.outer } else { &self.mount };
        let root = self.root();
        under(&self.path, root.as_bytes()).or_else(|| under(&self.path, prefix.as_bytes())).unwrap_or(&self.path)
    }

    /// A path with all that it is mounted under in front: `path` of ASGI. `path` is decoded or as sent.
    pub fn full(&self, path: &[u8]) -> Vec<u8> {
        if under(path, self.root().as_bytes()).is_some() {
            return path.to_vec();
        }
        match under(path, self.mount.as_bytes()) {
            Some(rest) => [self.outer.as_bytes(), self.mount.as_bytes(), rest].concat(),
            None => [self.outer.as_bytes(), self.mount.as_bytes(), path].concat(),
        }
    }
}

/// What follows a prefix that ends where a segment does.
fn under<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &str, outer: &str, mount: &str) -> Seen {
        Seen { path: path.into(), outer: outer.into(), mount: mount.into(), ..Seen::default() }
    }

    #[test]
    fn a_mount_is_taken_off_and_put_before() {
        for (path, outer, mount, root, below, full) in [
            ("/a/b", "", "", "", "/a/b", "/a/b"),
            ("/a/b", "", "/a", "/a", "/b", "/a/b"),
            ("/a", "", "/a", "/a", "", "/a"),
            ("/ab", "", "/a", "/a", "/ab", "/a/ab"),
            // A proxy has taken its part off, or has not.
            ("/b", "/out", "", "/out", "/b", "/out/b"),
            ("/out/b", "/out", "", "/out", "/b", "/out/b"),
            ("/a/b", "/out", "/a", "/out/a", "/b", "/out/a/b"),
        ] {
            let seen = seen(path, outer, mount);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!((seen.root().as_str(), text(seen.below()).as_str()), (root, below), "{path} {outer} {mount}");
            assert_eq!(text(&seen.full(path.as_bytes())), full, "{path} {outer} {mount}");
        }
    }
}
