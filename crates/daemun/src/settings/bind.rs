//! Addresses to listen at, as `--bind` takes them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::config::listen::Listen;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A host name or address, and a port. An empty host is every IPv4 address.
    Tcp {
        /// Without the brackets of an IPv6 address.
        host: String,
        /// 0 lets the kernel choose.
        port: u16,
    },
    /// A unix socket. One that begins with `@` is in Linux's abstract namespace.
    Unix(PathBuf),
    /// A socket that is open already.
    Fd(i32),
    /// What a `listen` of nginx's language asks for.
    Listen(Listening),
}

/// A `listen` and, with `reuseport`, which of its sockets: each worker has its own.
#[derive(Clone, Debug)]
pub struct Listening {
    pub listen: Arc<Listen>,
    pub shard: Option<usize>,
}

/// The address is what counts: a reload keeps the socket when only options change.
impl PartialEq for Listening {
    fn eq(&self, other: &Listening) -> bool {
        self.listen.address == other.listen.address && self.shard == other.shard
    }
}

impl Eq for Listening {}

const DEFAULT_PORT: u16 = 8000;

impl Bind {
    /// Reads an address. The error completes a sentence that begins with where the address stands.
    pub fn parse(text: &str) -> Result<Bind, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err("`unix:` needs the path of a socket, as in `unix:/run/app.sock`".into());
            }
            return Ok(Bind::Unix(path.into()));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return match number.parse() {
                Ok(number) if number >= 0 => Ok(Bind::Fd(number)),
                _ => Err(format!("`{number}` is not the number of a descriptor")),
            };
        }
        let address = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| format!("`{text}`: `]` is missing"))?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(format!("`{host}` is not an IPv6 address"));
                }
                match (rest.strip_prefix(':'), rest) {
                    (Some(port), _) => (host, Some(port)),
                    (None, "") => (host, None),
                    _ => return Err(format!("`{text}`: after `]` comes `:PORT`")),
                }
            }
            None if address.contains("://") => {
                return Err(format!("`{text}` is a URL: write only `HOST:PORT`"));
            }
            None if address.matches(':').count() > 1 => {
                return Err(format!("`{text}`: an IPv6 address stands in brackets, as in `[::1]:8000`"));
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None if !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_digit()) => {
                    return Err(format!("`{text}` has no host: write `:{text}` for this port on every address"));
                }
                None => (address, None),
            },
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => parse_port(port)?,
        };
        if let Some(odd) = host.chars().find(|part| part.is_whitespace() || part.is_control() || *part == '/') {
            return Err(format!("`{text}`: a host name does not contain {odd:?}"));
        }
        Ok(Bind::Tcp { host: host.to_ascii_lowercase(), port })
    }

    /// The same with a relative path begun at `base`.
    pub fn below(self, base: &Path) -> Bind {
        match self {
            Bind::Unix(path) if !path.as_os_str().as_encoded_bytes().starts_with(b"@") => Bind::Unix(base.join(path)),
            other => other,
        }
    }
}

/// Reads the number of a port.
pub fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(format!("`{text}` is not a port number (0 to 65535)")),
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Bind::Tcp { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Bind::Tcp { host, port } if host.is_empty() => write!(out, "0.0.0.0:{port}"),
            Bind::Tcp { host, port } => write!(out, "{host}:{port}"),
            Bind::Unix(path) => write!(out, "unix:{}", path.display()),
            Bind::Fd(number) => write!(out, "fd://{number}"),
            Bind::Listen(listening) => out.write_str(&listening.listen.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_gunicorn_reads_them() {
        for (text, shown) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            (":8080", "0.0.0.0:8080"),
            ("", "0.0.0.0:8000"),
            ("LocalHost", "localhost:8000"),
            ("tcp://0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:90", "[::1]:90"),
            ("[::]", "[::]:8000"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("unix:a.sock", "unix:a.sock"),
            ("fd://3", "fd://3"),
        ] {
            assert_eq!(Bind::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        for (text, why) in [
            ("a:b", "`b` is not a port number (0 to 65535)"),
            ("a:65536", "`65536` is not a port number (0 to 65535)"),
            ("a:", "`` is not a port number (0 to 65535)"),
            ("8000", "`8000` has no host: write `:8000` for this port on every address"),
            ("::1", "`::1`: an IPv6 address stands in brackets, as in `[::1]:8000`"),
            ("[::1", "`[::1`: `]` is missing"),
            ("[::1]80", "`[::1]80`: after `]` comes `:PORT`"),
            ("[x]:80", "`x` is not an IPv6 address"),
            ("fd://x", "`x` is not the number of a descriptor"),
            ("unix:", "`unix:` needs the path of a socket, as in `unix:/run/app.sock`"),
            ("http://x:80", "`http://x:80` is a URL: write only `HOST:PORT`"),
            ("a b:1", "`a b:1`: a host name does not contain ' '"),
        ] {
            assert_eq!(Bind::parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn relative_sockets_begin_at_the_directory() {
        let below = |text: &str| Bind::parse(text).unwrap().below(Path::new("/srv")).to_string();
        assert_eq!(below("unix:a.sock"), "unix:/srv/a.sock");
        assert_eq!(below("unix:/a.sock"), "unix:/a.sock");
        assert_eq!(below("unix:@a"), "unix:@a");
    }
}
