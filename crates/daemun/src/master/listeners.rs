//! Listening sockets: opened, kept over a reload, taken over from systemd, and taken away at the end.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::context::{Address, Listener};
use super::options;
use crate::settings::{Bind, Settings};
use crate::sys::privileges::Identity;
use crate::sys::{self, reason};

/// Why an address cannot be listened at.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The address is in use: it may be free in a moment.
    pub in_use: bool,
    /// What failed, where it stands in the settings, and why.
    pub what: String,
    /// What to do.
    pub hint: Option<&'static str>,
}

/// Opens one address.
pub fn open(bind: &Bind, settings: &Settings) -> Result<Listener, Refused> {
    let opened = match bind {
        Bind::Tcp { host, port } => open_tcp(host, *port, settings),
        Bind::Unix(path) => open_unix(path, settings),
        Bind::Fd(number) => sys::inherited_socket(*number).map(|socket| (socket, None)),
        Bind::Listen(listening) => options::open(&listening.listen),
    };
    opened.and_then(|(socket, file)| ready(bind, socket, file)).map_err(|error| refused(bind, &error, settings))
}

fn ready(bind: &Bind, socket: Socket, file: Option<(u64, u64)>) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    let address = address(&socket)?;
    Ok(Listener { socket, address, name: bind.to_string(), bind: bind.clone(), file })
}

/// Listening sockets that this process was started with, to be found by their addresses.
#[derive(Default)]
pub struct Inherited(Vec<(Address, Socket)>);

impl Inherited {
    /// Those of an old master, whose variable `NGINX` holds their numbers, and those of systemd. The variables are to
    /// be removed then. Numbers that are no listening sockets are passed over.
    pub fn find(env: &dyn Fn(&str) -> Option<String>) -> Inherited {
        let own = env("NGINX").unwrap_or_default();
        let own = own.split([';', ':']).filter_map(|number| number.parse::<i32>().ok()).filter(|number| *number > 2);
        let systemds = from_systemd(env).unwrap_or_default().into_iter().filter_map(|bind| match bind {
            Bind::Fd(number) => Some(number),
            _ => None,
        });
        let sockets = own.chain(systemds).filter_map(|number| sys::inherited_socket(number).ok());
        Inherited(sockets.filter_map(|socket| Some((address(&socket).ok()?, socket))).collect())
    }

    /// Takes the socket of an address, if there is one.
    pub fn take(&mut self, bind: &Bind) -> Option<io::Result<Listener>> {
        let Bind::Listen(listening) = bind else { return None };
        let wanted = match &listening.listen.address {
            http::config::listen::Address::Inet(address) => Address::Tcp(*address),
            http::config::listen::Address::Unix(path) => Address::Unix(path.clone()),
        };
        let index = self.0.iter().position(|(address, _)| *address == wanted)?;
        let (address, socket) = self.0.remove(index);
        let file = match &address {
            Address::Unix(path) => identify(path).ok(),
            Address::Tcp(_) => None,
        };
        Some(options::apply(&listening.listen, &socket).and_then(|()| ready(bind, socket, file)))
    }
}

/// Opens all addresses of reloaded settings, those that are open already being kept.
pub fn reopen(binds: &[Bind], open_now: &[Listener], settings: &Settings) -> Result<Vec<Listener>, Refused> {
    binds
        .iter()
        .map(|bind| match open_now.iter().find(|listener| listener.bind == *bind) {
            Some(kept) => kept.duplicate(bind, settings.backlog).map_err(|error| refused(bind, &error, settings)),
            None => open(bind, settings),
        })
        .collect()
}

/// The sockets that systemd passes: descriptors from 3 on, if they are meant for this process.
pub fn from_systemd(env: &dyn Fn(&str) -> Option<String>) -> Option<Vec<Bind>> {
    let number = |name: &str| env(name)?.trim().parse::<i32>().ok();
    let count = number("LISTEN_FDS").filter(|count| (1..1024).contains(count))?;
    if number("LISTEN_PID")? != std::process::id() as i32 {
        return None;
    }
    Some((3..3 + count).map(Bind::Fd).collect())
}

impl Listener {
    /// Whether it is a worker's: with `reuseport` each has a socket of its own.
    pub(super) fn is_for(&self, seat: usize) -> bool {
        !matches!(&self.bind, Bind::Listen(listening) if listening.shard.is_some_and(|shard| shard != seat))
    }

    /// The same socket once more, for a process that has no master.
    pub(super) fn again(&self) -> io::Result<Listener> {
        let (name, bind, socket) = (self.name.clone(), self.bind.clone(), self.socket.try_clone()?);
        Ok(Listener { socket, address: self.address.clone(), name, bind, file: self.file })
    }

    /// The same socket once more, so that two generations of workers can have it.
    fn duplicate(&self, bind: &Bind, backlog: i32) -> io::Result<Listener> {
        let socket = self.socket.try_clone()?;
        match bind {
            Bind::Fd(_) => {}
            Bind::Listen(listening) => options::apply(&listening.listen, &socket)?,
            _ => socket.listen(backlog)?,
        }
        let (name, bind) = (self.name.clone(), bind.clone());
        Ok(Listener { socket, address: self.address.clone(), name, bind, file: self.file })
    }

    /// Takes away the file of a unix socket, if it is still the one that was made.
    pub fn unlink(&self) {
        if let (Address::Unix(path), Some(made)) = (&self.address, self.file)
            && identify(path).is_ok_and(|found| found == made)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn open_tcp(host: &str, port: u16, settings: &Settings) -> io::Result<(Socket, Option<(u64, u64)>)> {
    let address = resolve(host, port)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(settings.reuse_port)?;
    // Accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 connections, too, as with Gunicorn; unless there is a listener of its own for them.
        let taken = settings.bind.iter().any(|bind| {
            matches!(bind, Bind::Tcp { host, port: other } if *other == port && !host.contains(':') && port != 0)
        });
        socket.set_only_v6(taken)?;
    }
    socket.bind(&address.into())?;
    socket.listen(settings.backlog)?;
    Ok((socket, None))
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first());
    chosen.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn open_unix(path: &Path, settings: &Settings) -> io::Result<(Socket, Option<(u64, u64)>)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Some(name) = path.to_str().and_then(|path| path.strip_prefix('@')) {
        socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
        socket.listen(settings.backlog)?;
        return Ok((socket, None));
    }
    remove_stale(path)?;
    let before = umask(Mode::from_bits_truncate(settings.umask));
    let bound = SockAddr::unix(path).and_then(|address| socket.bind(&address));
    umask(before);
    bound?;
    let (user, group) = Identity::of(settings).owner();
    if nix::unistd::geteuid().is_root() && (user.is_some() || group.is_some()) {
        std::os::unix::fs::chown(path, user, group)?;
    }
    socket.listen(settings.backlog)?;
    Ok((socket, Some(identify(path)?)))
}

/// Takes away a socket that nobody listens at any more, and nothing else.
pub(super) fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name, which is no socket"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(io::Error::from_raw_os_error(libc::EADDRINUSE)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}

pub(super) fn identify(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn address(socket: &Socket) -> io::Result<Address> {
    let bound = SockRef::from(socket).local_addr()?;
    Ok(match bound.as_socket() {
        Some(address) => Address::Tcp(address),
        None => Address::Unix(match bound.as_abstract_namespace() {
            Some(name) => PathBuf::from(format!("@{}", String::from_utf8_lossy(name))),
            None => bound.as_pathname().map(Path::to_path_buf).unwrap_or_default(),
        }),
    })
}

pub(super) fn refused(bind: &Bind, error: &io::Error, settings: &Settings) -> Refused {
    let in_use = error.kind() == io::ErrorKind::AddrInUse;
    if let Bind::Listen(listening) = bind {
        let what = format!("bind() to {} failed ({})", listening.listen.text, sys::with_code(error));
        return Refused { in_use, what, hint: None };
    }
    let low_port = matches!(bind, Bind::Tcp { port: 1..1024, .. });
    let hint = match (bind, error.kind()) {
        (_, io::ErrorKind::AddrInUse) => Some("another process listens there: stop it, or choose another address"),
        (_, io::ErrorKind::PermissionDenied) if low_port => {
            Some("use a port above 1023, or start as root and set `--user`")
        }
        (_, io::ErrorKind::AddrNotAvailable) => {
            Some("no interface of this machine has that address: `0.0.0.0` stands for all")
        }
        (Bind::Unix(_), io::ErrorKind::PermissionDenied) => Some("the directory must be writable"),
        (Bind::Unix(_), io::ErrorKind::NotFound) => Some("create the directory first"),
        (Bind::Unix(_), io::ErrorKind::AlreadyExists) => Some("remove it, or choose another name"),
        (Bind::Fd(_), _) => Some("the program that starts this one must pass a listening socket under that number"),
        _ => None,
    };
    let what = format!("cannot listen on {bind} ({}): {}", settings.place("bind"), reason(error));
    Refused { in_use, what, hint }
}

/// Whether something answers at an address; for tests.
#[cfg(test)]
fn answers(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => std::net::TcpStream::connect(address).is_ok(),
        Address::Unix(path) => UnixStream::connect(path).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Action, Face, from_command_line};

    fn settings(line: &str) -> Settings {
        let args: Vec<_> = format!("app {line}").split_whitespace().map(std::ffi::OsString::from).collect();
        match from_command_line(Face::Daemun, &args, &|_| None, &|_| Ok(Vec::new())) {
            Ok(Action::Run(settings)) => settings,
            Ok(_) => panic!("it does not run"),
            Err(exit) => panic!("{}", exit.message),
        }
    }

    fn open_first(line: &str) -> Result<Listener, Refused> {
        let settings = settings(line);
        open(&settings.bind[0], &settings)
    }

    #[test]
    fn tcp_addresses_are_opened() {
        for line in ["-b 127.0.0.1:0", "-b :0", "-b localhost:0", "-b [::1]:0"] {
            let listener = open_first(line).unwrap_or_else(|refused| panic!("{}", refused.what));
            assert!(answers(&listener.address), "{line}");
        }
        assert_eq!(open_first("-b 127.0.0.1:0").unwrap().url(false).split(':').count(), 3);
    }

    #[test]
    fn an_address_in_use_is_told_apart() {
        let first = open_first("-b 127.0.0.1:0").unwrap();
        let Address::Tcp(address) = first.address else { panic!() };
        let line = format!("-b {address}");
        let refused = open_first(&line).err().unwrap();
        assert!(refused.in_use);
        assert_eq!(refused.what, format!("cannot listen on {address} (`--bind`): address already in use"));
        let foreign = open_first("-b 192.0.2.1:80").err().unwrap();
        assert!(!foreign.in_use && foreign.hint.unwrap().contains("`0.0.0.0` stands for all"), "{foreign:?}");
        assert!(open_first("-b no-such-host.invalid:80").is_err());
    }

    #[test]
    fn a_unix_socket_is_made_taken_over_and_removed() {
        let directory = std::env::temp_dir().join(format!("daemun-listeners-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("app.sock");
        let line = format!("-b unix:{}", path.display());

        let listener = open_first(&line).unwrap();
        assert!(answers(&listener.address));
        assert!(open_first(&line).err().unwrap().in_use, "somebody listens there");
        drop(listener);
        let taken_over = open_first(&line).expect("the file was left behind");
        taken_over.unlink();
        assert!(!path.exists());

        std::fs::write(&path, "precious").unwrap();
        let refused = open_first(&line).err().unwrap();
        assert!(refused.what.ends_with("there is a file of that name, which is no socket"), "{}", refused.what);
        taken_over.unlink();
        assert!(path.exists(), "another's file stays");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_reload_keeps_what_is_open() {
        let old = settings("-b 127.0.0.1:0");
        let now = [open(&old.bind[0], &old).unwrap()];
        let new = settings("-b 127.0.0.1:0 -b unix:@daemun-reload-test");
        let all = reopen(&new.bind, &now, &new).unwrap();
        assert_eq!(all[0].address, now[0].address);
        assert_eq!(all[1].url(false), "unix:@daemun-reload-test");
    }

    #[test]
    fn systemds_sockets_are_taken_only_by_whom_they_are_for() {
        let pid = std::process::id().to_string();
        let env = |pid: &str, count: &str| {
            let (pid, count) = (pid.to_string(), count.to_string());
            from_systemd(&move |name| match name {
                "LISTEN_PID" => Some(pid.clone()),
                "LISTEN_FDS" => Some(count.clone()),
                _ => None,
            })
        };
        assert_eq!(env(&pid, "2"), Some(vec![Bind::Fd(3), Bind::Fd(4)]));
        assert_eq!(env("1", "2"), None);
        assert_eq!(env(&pid, "0"), None);
    }
}
