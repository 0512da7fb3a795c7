//! Log lines to a syslog server, as nginx sends them: RFC 3164 over UDP or a unix datagram socket, one datagram a line.
//!
//! Sending never waits. What cannot be sent is lost; the next line tries again with a new socket.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, SockAddr, Socket, Type};

use super::level::Level;
use crate::sys;

/// In the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// `local7`.
const FACILITY: u8 = 23;
/// `info`.
const SEVERITY: u8 = 6;
/// nginx's: filters in syslog servers know the lines by it.
const TAG: &str = "nginx";
const PORT: u16 = 514;
/// `sun_path` holds this many bytes, its end included.
const LONGEST_PATH: usize = 108;

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    Inet(SocketAddr),
    Unix(PathBuf),
}

/// What `syslog:` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub server: Server,
    /// The server as it was written.
    pub name: String,
    pub facility: u8,
    /// Of the access log's lines; those of the error log have their own.
    pub severity: u8,
    pub tag: String,
    /// Whether the host's name is sent.
    pub hostname: bool,
}

impl Settings {
    /// Reads what stands behind `syslog:`. A server's name is looked up here. The error is in nginx's words.
    pub fn parse(text: &str) -> Result<Settings, String> {
        let (mut server, mut facility, mut severity, mut tag, mut hostname) = (None, None, None, None, true);
        for part in text.split(',') {
            if let Some(value) = part.strip_prefix("server=") {
                let found = find(value).map_err(|what| format!("{what} in syslog server \"{value}\""))?;
                once(&mut server, "server", (found, value.to_owned()))?;
            } else if let Some(value) = part.strip_prefix("facility=") {
                let number = FACILITIES.iter().position(|name| *name == value);
                let number = number.ok_or_else(|| format!("unknown syslog facility \"{value}\""))?;
                once(&mut facility, "facility", number as u8)?;
            } else if let Some(value) = part.strip_prefix("severity=") {
                let level = Level::ALL.into_iter().find(|level| level.nginx_name() == value);
                let level = level.ok_or_else(|| format!("unknown syslog severity \"{value}\""))?;
                once(&mut severity, "severity", level.severity())?;
            } else if let Some(value) = part.strip_prefix("tag=") {
                if value.len() > 32 {
                    return Err("syslog tag length exceeds 32".into());
                }
                if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                    return Err("syslog \"tag\" only allows alphanumeric characters and underscore".into());
                }
                once(&mut tag, "tag", value.to_owned())?;
            } else if part == "nohostname" {
                hostname = false;
            } else {
                return Err(format!("unknown syslog parameter \"{part}\""));
            }
        }
        let (server, name) = server.ok_or("no syslog server specified")?;
        Ok(Settings {
            server,
            name,
            facility: facility.unwrap_or(FACILITY),
            severity: severity.unwrap_or(SEVERITY),
            tag: tag.unwrap_or_else(|| TAG.to_owned()),
            hostname,
        })
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    if place.is_some() {
        return Err(format!("duplicate syslog \"{name}\""));
    }
    *place = Some(value);
    Ok(())
}

/// The address of `HOST[:PORT]`, `[IPV6][:PORT]` or `unix:PATH`.
fn find(text: &str) -> Result<Server, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.len() {
            0 => Err("no path in the unix domain socket"),
            LONGEST_PATH.. => Err("too long path in the unix domain socket"),
            _ => Ok(Server::Unix(path.into())),
        };
    }
    if text.contains('/') {
        return Err("invalid host");
    }
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err("invalid port"),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("invalid host")?;
        let host: Ipv6Addr = host.parse().map_err(|_| "invalid IPv6 address")?;
        let port = match rest.strip_prefix(':') {
            Some(text) => port(text)?,
            None if rest.is_empty() => PORT,
            None => return Err("invalid host"),
        };
        return Ok(Server::Inet((host, port).into()));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, text)) => (host, if host.is_empty() { PORT } else { port(text)? }),
        None => (text, PORT),
    };
    if host.is_empty() {
        return Err("no host");
    }
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    found.map(Server::Inet).ok_or("host not found")
}

/// A server that lines are sent to.
pub struct Syslog {
    settings: Settings,
    /// This host's name and a space; empty when it is not to be sent.
    host: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None`: not connected yet, or the last line could not be sent.
    socket: Option<Socket>,
    message: Vec<u8>,
}

impl Syslog {
    pub fn new(settings: Settings) -> Syslog {
        let host = if settings.hostname { sys::process::host_name() + " " } else { String::new() };
        Syslog { settings, host, state: Mutex::default() }
    }

    /// The server as it was written.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Sends one line, without its end. `severity`: 0 to 7, or else the configured one.
    pub fn send(&self, severity: Option<u8>, line: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { socket, message } = &mut *state;
        message.clear();
        self.header(message, severity.unwrap_or(self.settings.severity));
        message.extend_from_slice(line);
        // A refusal may be about an earlier datagram, and a server that was started anew needs a new socket.
        let again = socket.is_some();
        let sent = self.attempt(socket, message);
        match sent {
            Err(error) if again && error.kind() != io::ErrorKind::WouldBlock => self.attempt(socket, message),
            sent => sent,
        }
    }

    /// `<190>Nov 21 15:42:33 host tag: `
    fn header(&self, message: &mut Vec<u8>, severity: u8) {
        let priority = self.settings.facility * 8 + severity;
        message.push(b'<');
        message.extend_from_slice(itoa::Buffer::new().format(priority).as_bytes());
        message.push(b'>');
        message.extend_from_slice(&super::time::now().syslog);
        message.push(b' ');
        message.extend_from_slice(self.host.as_bytes());
        message.extend_from_slice(self.settings.tag.as_bytes());
        message.extend_from_slice(b": ");
    }

    /// Sends, over a new socket if there is none; lets the socket go when that fails.
    fn attempt(&self, socket: &mut Option<Socket>, message: &[u8]) -> io::Result<()> {
        let open = match socket.take() {
            Some(open) => open,
            None => connect(&self.settings.server)?,
        };
        let sent = open.send_with_flags(message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        // A server that is busy, or a line that is too long for a datagram, is no reason for another socket.
        let keep = match &sent {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EMSGSIZE),
        };
        if keep {
            *socket = Some(open);
        }
        sent.map(|_| ())
    }
}

fn connect(server: &Server) -> io::Result<Socket> {
    let (domain, address) = match server {
        Server::Inet(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Server::Unix(path) => (Domain::UNIX, SockAddr::unix(path as &Path)?),
    };
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn what_is_wrong_is_said_in_nginx_words() {
        for (text, what) in [
            ("", "unknown syslog parameter \"\""),
            ("server=", "no host in syslog server \"\""),
            ("server=127.0.0.1:0", "invalid port in syslog server \"127.0.0.1:0\""),
            ("server=127.0.0.1:99999", "invalid port in syslog server \"127.0.0.1:99999\""),
            ("server=127.0.0.1:", "invalid port in syslog server \"127.0.0.1:\""),
            ("server=127.0.0.1:+1", "invalid port in syslog server \"127.0.0.1:+1\""),
            ("server=127.0.0.1:514/x", "invalid host in syslog server \"127.0.0.1:514/x\""),
            ("server=:514", "no host in syslog server \":514\""),
            ("server=unix:", "no path in the unix domain socket in syslog server \"unix:\""),
            ("server=[::1", "invalid host in syslog server \"[::1\""),
            ("server=[::1]:", "invalid port in syslog server \"[::1]:\""),
            ("server=127.0.0.1,server=127.0.0.1", "duplicate syslog \"server\""),
            ("server=127.0.0.1,facility=KERN", "unknown syslog facility \"KERN\""),
            ("server=127.0.0.1,facility=kern,facility=kern", "duplicate syslog \"facility\""),
            ("server=127.0.0.1,severity=warning", "unknown syslog severity \"warning\""),
            ("server=127.0.0.1,tag=a-b", "syslog \"tag\" only allows alphanumeric characters and underscore"),
            ("server=127.0.0.1,tag=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "syslog tag length exceeds 32"),
            ("server=127.0.0.1,tag=a,tag=b", "duplicate syslog \"tag\""),
            ("server=127.0.0.1,nohost", "unknown syslog parameter \"nohost\""),
            ("server=127.0.0.1,", "unknown syslog parameter \"\""),
            ("facility=kern", "no syslog server specified"),
        ] {
            assert_eq!(Settings::parse(text), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_nginx() {
        let settings = Settings::parse("server=127.0.0.1").unwrap();
        assert_eq!(settings.server, Server::Inet("127.0.0.1:514".parse().unwrap()));
        assert_eq!((settings.facility, settings.severity, settings.hostname), (23, 6, true));
        assert_eq!(settings.tag, "nginx");
        let settings = Settings::parse("server=[::1]:5140,facility=local0,severity=debug,tag=,nohostname").unwrap();
        assert_eq!(settings.server, Server::Inet("[::1]:5140".parse().unwrap()));
        assert_eq!((settings.facility, settings.severity, settings.hostname), (16, 7, false));
        assert_eq!(settings.tag, "");
    }

    #[test]
    fn datagrams_look_as_nginx_writes_them() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let mut buffer = [0; 200];
        let mut received = |parameters: &str, severity| {
            let syslog = Syslog::new(Settings::parse(&format!("server=127.0.0.1:{port}{parameters}")).unwrap());
            syslog.send(severity, b"a line").unwrap();
            let length = server.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            // The time has 15 characters.
            let (head, rest) = text.split_once('>').unwrap();
            (head.to_owned(), rest[15..].to_owned())
        };
        let host = sys::process::host_name();
        assert_eq!(received("", None), ("<190".into(), format!(" {host} nginx: a line")));
        assert_eq!(received("", Some(2)), ("<186".into(), format!(" {host} nginx: a line")));
        let parameters = ",facility=local0,severity=debug,tag=,nohostname";
        assert_eq!(received(parameters, None), ("<135".into(), " : a line".into()));
    }

    #[test]
    fn a_server_that_comes_back_gets_lines_again() {
        let path = std::env::temp_dir().join(format!("daemun-syslog-{}", std::process::id()));
        let text = format!("server=unix:{},tag=t", path.display());
        let syslog = Syslog::new(Settings::parse(&text).unwrap());
        assert_eq!(syslog.send(None, b"one").unwrap_err().kind(), io::ErrorKind::NotFound);
        for _ in 0..2 {
            let server = UnixDatagram::bind(&path).unwrap();
            syslog.send(None, b"two").unwrap();
            let mut buffer = [0; 100];
            let length = server.recv(&mut buffer).unwrap();
            assert!(buffer[..length].ends_with(b" t: two"));
            drop(server);
            assert!(syslog.send(None, b"three").is_err());
            std::fs::remove_file(&path).unwrap();
        }
    }
}
