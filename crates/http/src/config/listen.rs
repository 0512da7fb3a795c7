//! `listen`: the address as nginx reads it, and the options of the socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use conf::{At, Diagnostic, Word};

/// The port where none is named.
const DEFAULT_PORT: u16 = 80;
/// What the kernel has room for in the path of a unix socket, the zero at its end included.
const MAX_UNIX_PATH: usize = 108;

/// A socket to listen at: one for each distinct address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: Address,
    pub options: Options,
    /// As nginx prints it: `0.0.0.0:80`.
    pub text: String,
    /// The first directive that names it.
    pub at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Inet(SocketAddr),
    Unix(PathBuf),
}

/// As nginx prints it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a `listen` asks of its socket. Sizes are bytes, times seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub backlog: Option<i32>,
    pub rcvbuf: Option<usize>,
    pub sndbuf: Option<usize>,
    pub fastopen: Option<i32>,
    pub deferred: bool,
    /// Each worker has a socket of its own, and the kernel shares the connections out.
    pub reuseport: bool,
    /// `[::]` takes no IPv4 connections.
    pub ipv6only: bool,
    pub bind: bool,
    pub so_keepalive: Option<KeepAlive>,
    pub proxy_protocol: bool,
    pub ssl: bool,
    pub quic: bool,
    pub http2: bool,
    pub setfib: Option<u32>,
    pub accept_filter: Option<String>,
    pub multipath: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            backlog: None,
            rcvbuf: None,
            sndbuf: None,
            fastopen: None,
            deferred: false,
            reuseport: false,
            ipv6only: true,
            bind: false,
            so_keepalive: None,
            proxy_protocol: false,
            ssl: false,
            quic: false,
            http2: false,
            setfib: None,
            accept_filter: None,
            multipath: false,
        }
    }
}

/// `so_keepalive`; what is `None` is the kernel's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    pub on: bool,
    /// Seconds of silence before the first probe.
    pub idle: Option<u64>,
    /// Seconds between probes.
    pub interval: Option<u64>,
    pub count: Option<u32>,
}

/// One `listen` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Several for a range of ports, or a name with several addresses.
    pub addresses: Vec<Address>,
    pub default_server: bool,
    pub options: Options,
    /// The options of the socket itself that were given: only one `listen` of an address may have them.
    pub set: Vec<&'static str>,
}

/// Reads the arguments of a `listen`. Names are resolved.
pub fn parse(words: &[Word]) -> Result<Parsed, Diagnostic> {
    let Some((address, parameters)) = words.split_first() else {
        return Err(Diagnostic::new(At::Default, "invalid number of arguments in \"listen\" directive"));
    };
    let addresses = addresses(&address.text).map_err(|why| {
        let message = format!("{why} in \"{}\" of the \"listen\" directive", address.text);
        Diagnostic::new(address.at.clone(), message)
    })?;
    let mut parsed = Parsed { addresses, default_server: false, options: Options::default(), set: Vec::new() };
    for word in parameters {
        parameter(&word.text, &mut parsed).map_err(|message| Diagnostic::new(word.at.clone(), message))?;
    }
    if parsed.options.quic
        && let Some(other) = incompatible_with_quic(&parsed.options)
    {
        let message = format!("\"{other}\" parameter is incompatible with \"quic\"");
        return Err(Diagnostic::new(address.at.clone(), message));
    }
    Ok(parsed)
}

fn incompatible_with_quic(options: &Options) -> Option<&'static str> {
    [
        (options.backlog.is_some(), "backlog"),
        (options.fastopen.is_some(), "fastopen"),
        (options.deferred, "deferred"),
        (options.so_keepalive.is_some(), "so_keepalive"),
        (options.ssl, "ssl"),
        (options.http2, "http2"),
        (options.proxy_protocol, "proxy_protocol"),
    ]
    .into_iter()
    .find_map(|(on, name)| on.then_some(name))
}

fn parameter(text: &str, parsed: &mut Parsed) -> Result<(), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    // nginx shows the whole parameter.
    let invalid = |what: &str| Err(format!("invalid {what} \"{text}\""));
    let options = &mut parsed.options;
    let set = match (name, value) {
        ("default_server" | "default", None) => {
            parsed.default_server = true;
            return Ok(());
        }
        ("ssl", None) => return on(&mut options.ssl),
        ("http2", None) => return on(&mut options.http2),
        ("proxy_protocol", None) => return on(&mut options.proxy_protocol),
        ("quic", None) => return on(&mut options.quic),
        ("bind", None) => {
            options.bind = true;
            "bind"
        }
        ("deferred", None) => {
            options.deferred = true;
            "deferred"
        }
        ("reuseport", None) => {
            options.reuseport = true;
            "reuseport"
        }
        ("multipath", None) => {
            options.multipath = true;
            "multipath"
        }
        ("backlog", Some(value)) => match number(value).filter(|backlog| *backlog > 0) {
            Some(backlog) => {
                options.backlog = Some(backlog);
                "backlog"
            }
            None => return invalid("backlog"),
        },
        ("fastopen", Some(value)) => match number(value) {
            Some(queue) => {
                options.fastopen = Some(queue);
                "fastopen"
            }
            None => return invalid("fastopen"),
        },
        ("rcvbuf", Some(value)) => match size(value) {
            Some(size) => {
                options.rcvbuf = Some(size);
                "rcvbuf"
            }
            None => return invalid("rcvbuf"),
        },
        ("sndbuf", Some(value)) => match size(value) {
            Some(size) => {
                options.sndbuf = Some(size);
                "sndbuf"
            }
            None => return invalid("sndbuf"),
        },
        // Another system's; nginx says so and goes on.
        ("accept_filter", Some(value)) => {
            options.accept_filter = Some(value.to_owned());
            return Ok(());
        }
        ("ipv6only", Some(value @ ("on" | "off"))) => {
            options.ipv6only = value == "on";
            "ipv6only"
        }
        ("so_keepalive", Some(value)) => match keep_alive(value) {
            Some(keep_alive) => {
                options.so_keepalive = Some(keep_alive);
                "so_keepalive"
            }
            None => return Err(format!("invalid so_keepalive value: \"{value}\"")),
        },
        _ => return invalid("parameter"),
    };
    options.bind = true;
    parsed.set.push(set);
    Ok(())
}

fn on(flag: &mut bool) -> Result<(), String> {
    *flag = true;
    Ok(())
}

/// A number without a sign.
fn number(text: &str) -> Option<i32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn size(text: &str) -> Option<usize> {
    conf::size(text).and_then(|size| usize::try_from(size).ok())
}

/// `on`, `off`, or `[IDLE]:[INTERVAL]:[COUNT]` with at least one of them.
fn keep_alive(text: &str) -> Option<KeepAlive> {
    let whole = |on| KeepAlive { on, idle: None, interval: None, count: None };
    match text {
        "on" => return Some(whole(true)),
        "off" => return Some(whole(false)),
        _ => {}
    }
    let mut parts = text.split(':');
    let [idle, interval, count] = [parts.next()?, parts.next().unwrap_or(""), parts.next().unwrap_or("")];
    if parts.next().is_some() || [idle, interval, count].iter().all(|part| part.is_empty()) {
        return None;
    }
    let seconds = |text: &str| match text {
        "" => Some(None),
        text => conf::time_s(text).filter(|seconds| *seconds > 0).map(Some),
    };
    let count = match count {
        "" => None,
        count => Some(number(count).and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0)?),
    };
    Some(KeepAlive { on: true, idle: seconds(idle)?, interval: seconds(interval)?, count })
}

/// The addresses that a text stands for; the error begins nginx's message.
fn addresses(text: &str) -> Result<Vec<Address>, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.len() {
            0 => Err("no path in the unix domain socket"),
            MAX_UNIX_PATH.. => Err("too long path in the unix domain socket"),
            _ => Ok(vec![Address::Unix(path.into())]),
        };
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("invalid host")?;
        let ports = match rest.strip_prefix(':') {
            Some(port) => ports(port)?,
            None if rest.is_empty() => DEFAULT_PORT..=DEFAULT_PORT,
            None => return Err("invalid host"),
        };
        if host.is_empty() {
            return Err("no host");
        }
        let host: Ipv6Addr = host.parse().map_err(|_| "invalid IPv6 address")?;
        return Ok(each(&[host.into()], ports));
    }
    if text.contains(['/', '?']) {
        return Err("invalid host");
    }
    let (host, ports) = match text.split_once(':') {
        Some((host, port)) => (host, ports(port)?),
        None if is_port_only(text) => ("*", ports(text)?),
        None => (text, DEFAULT_PORT..=DEFAULT_PORT),
    };
    match host {
        "" => Err("no host"),
        "*" => Ok(each(&[Ipv4Addr::UNSPECIFIED.into()], ports)),
        host => match host.parse::<Ipv4Addr>() {
            Ok(host) => Ok(each(&[host.into()], ports)),
            Err(_) => Ok(each(&resolve(host)?, ports)),
        },
    }
}

/// Whether it is a number, or two with a dash between them.
fn is_port_only(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').map_or(is_number(text), |(first, last)| is_number(first) && is_number(last))
}

/// `PORT` or `FIRST-LAST`.
fn ports(text: &str) -> Result<std::ops::RangeInclusive<u16>, &'static str> {
    let one = |text: &str| match text.parse::<u16>() {
        Ok(port @ 1..) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err("invalid port"),
    };
    match text.split_once('-') {
        None => one(text).map(|port| port..=port),
        Some((first, last)) => {
            let (first, last) = (one(first)?, one(last)?);
            if last < first { Err("invalid port range") } else { Ok(first..=last) }
        }
    }
}

fn each(hosts: &[IpAddr], ports: std::ops::RangeInclusive<u16>) -> Vec<Address> {
    let ports = |host: &IpAddr| {
        let host = *host;
        ports.clone().map(move |port| Address::Inet(SocketAddr::new(host, port)))
    };
    hosts.iter().flat_map(ports).collect()
}

/// All addresses of a name, IPv4 first as in nginx.
fn resolve(name: &str) -> Result<Vec<IpAddr>, &'static str> {
    let found = (name, 0).to_socket_addrs().map_err(|_| "host not found")?;
    let mut all: Vec<IpAddr> = Vec::new();
    for address in found {
        if !all.contains(&address.ip()) {
            all.push(address.ip());
        }
    }
    all.sort_by_key(IpAddr::is_ipv6);
    if all.is_empty() { Err("host not found") } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Parsed, String> {
        let words: Vec<Word> = line.split(' ').map(|word| Word::new(word, At::Default)).collect();
        parse(&words).map_err(|diagnostic| diagnostic.message)
    }

    #[test]
    fn addresses_are_read_as_nginx_reads_them() {
        for (line, shown) in [
            ("80", "0.0.0.0:80"),
            ("*:8080", "0.0.0.0:8080"),
            ("*", "0.0.0.0:80"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:81", "127.0.0.1:81"),
            ("[::]:80", "[::]:80"),
            ("[::1]", "[::1]:80"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("8000-8002", "0.0.0.0:8000 0.0.0.0:8001 0.0.0.0:8002"),
            ("[::1]:1-2", "[::1]:1 [::1]:2"),
        ] {
            let addresses = read(line).unwrap_or_else(|why| panic!("{line}: {why}")).addresses;
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            assert_eq!(texts.join(" "), shown, "{line}");
        }
        let localhost = read("localhost:8080").unwrap().addresses;
        assert_eq!(localhost[0].to_string(), "127.0.0.1:8080");
    }

    #[test]
    fn a_bad_address_is_refused_in_nginxs_words() {
        for (line, why) in [
            ("80x:", "invalid port in \"80x:\" of the \"listen\" directive"),
            ("0", "invalid port in \"0\" of the \"listen\" directive"),
            ("127.0.0.1:65536", "invalid port in \"127.0.0.1:65536\" of the \"listen\" directive"),
            ("9-8", "invalid port range in \"9-8\" of the \"listen\" directive"),
            (":80", "no host in \":80\" of the \"listen\" directive"),
            ("[]:80", "no host in \"[]:80\" of the \"listen\" directive"),
            ("[::1", "invalid host in \"[::1\" of the \"listen\" directive"),
            ("[x]", "invalid IPv6 address in \"[x]\" of the \"listen\" directive"),
            ("a/b", "invalid host in \"a/b\" of the \"listen\" directive"),
            ("unix:", "no path in the unix domain socket in \"unix:\" of the \"listen\" directive"),
            ("no-such-host.invalid:1", "host not found in \"no-such-host.invalid:1\" of the \"listen\" directive"),
        ] {
            assert_eq!(read(line).unwrap_err(), why);
        }
    }

    #[test]
    fn options_are_read_and_remembered() {
        let line = "80 default_server ssl backlog=10 rcvbuf=8k deferred reuseport ipv6only=off fastopen=3 \
                    so_keepalive=30m::10 proxy_protocol";
        let parsed = read(line).unwrap();
        assert!(parsed.default_server && parsed.options.ssl && parsed.options.proxy_protocol && parsed.options.bind);
        let options = parsed.options;
        assert_eq!((options.backlog, options.rcvbuf, options.fastopen), (Some(10), Some(8192), Some(3)));
        assert!(options.deferred && options.reuseport && !options.ipv6only);
        let expected = KeepAlive { on: true, idle: Some(1800), interval: None, count: Some(10) };
        assert_eq!(options.so_keepalive, Some(expected));
        let set = ["backlog", "rcvbuf", "deferred", "reuseport", "ipv6only", "fastopen", "so_keepalive"];
        assert_eq!(parsed.set, set);
        assert!(read("80 default_server").unwrap().set.is_empty());
    }

    #[test]
    fn bad_options_are_refused_in_nginxs_words() {
        for (line, why) in [
            ("80 backlog=x", "invalid backlog \"backlog=x\""),
            ("80 backlog=0", "invalid backlog \"backlog=0\""),
            ("80 rcvbuf=x", "invalid rcvbuf \"rcvbuf=x\""),
            ("80 ipv6only=maybe", "invalid parameter \"ipv6only=maybe\""),
            ("80 setfib=1", "invalid parameter \"setfib=1\""),
            ("8-9-10", "host not found in \"8-9-10\" of the \"listen\" directive"),
            ("80 so_keepalive=1:2:3:4", "invalid so_keepalive value: \"1:2:3:4\""),
            ("80 so_keepalive=::", "invalid so_keepalive value: \"::\""),
            ("80 speed=1", "invalid parameter \"speed=1\""),
            ("80 default_server=1", "invalid parameter \"default_server=1\""),
        ] {
            assert_eq!(read(line).unwrap_err(), why);
        }
    }
}
