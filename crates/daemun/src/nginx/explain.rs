//! `daemun explain -c nginx.conf METHOD URL`: what a configuration does with a request, step by step, and why. Nothing
//! listens and nobody is asked: files are looked at as the user who runs it sees them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use conf::{At, Diagnostic, Directive};
use http::config::Config;
use http::log::error::{ErrorLog, Style};
use http::phases::explain::{Asked, Explained, explain};

use super::inherited::{self, Inherited};
use super::{Flags, Layout, Program, read};

const USAGE: &str =
    "usage: daemun explain [-c FILE] [-p PREFIX] [-g DIRECTIVES] [-H 'NAME: VALUE']... [--from ADDRESS] [METHOD] URL";

/// What a command line asks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Question {
    /// Those of nginx's flags that say which configuration.
    flags: Vec<OsString>,
    fields: Vec<String>,
    from: Option<IpAddr>,
    method: String,
    url: String,
}

/// Runs it; gives the exit code.
pub fn run(args: &[OsString]) -> i32 {
    let question = match Question::parse(args) {
        Ok(question) => question,
        Err(why) => {
            Program::Daemun.say_plain(&format!("{why}\n{USAGE}"));
            return 2;
        }
    };
    match answer(&question) {
        Ok(text) => {
            crate::print(&text);
            0
        }
        Err(Problem::Configuration(problems)) => {
            Program::Daemun.diagnose(&problems);
            1
        }
        Err(Problem::Other(why)) => {
            Program::Daemun.say_plain(&why);
            1
        }
    }
}

enum Problem {
    Configuration(Vec<Diagnostic>),
    Other(String),
}

impl From<String> for Problem {
    fn from(why: String) -> Problem {
        Problem::Other(why)
    }
}

fn answer(question: &Question) -> Result<String, Problem> {
    let flags = Flags::parse(&question.flags)?;
    let here = std::env::current_dir().unwrap_or_default();
    let layout = Layout::new(&flags, &here, false);
    let read = read::read(&layout, &flags);
    if !read.errors.is_empty() {
        return Err(Problem::Configuration(read.errors));
    }
    let config = crate::face::built(&read.tree, &layout).map_err(Problem::Configuration)?.config;
    let asked = question.asked(&config)?;
    let log = ErrorLog::new(Style::Nginx, Vec::new());
    let explained = explain(&config, &log, &asked)?;
    let scheme = if asked.secure { "https" } else { "http" };
    let target = String::from_utf8_lossy(&asked.head);
    let target = target.split(' ').nth(1).unwrap_or_default();
    let title =
        format!("{} {scheme}://{}:{}{target} from {}", question.method, asked.host, asked.port, asked.client.ip());
    let folder = layout.file.parent().unwrap_or(Path::new("/"));
    Ok(tell(&title, &explained, &inherited::of(&read.tree, &explained.block), folder))
}

impl Question {
    fn parse(args: &[OsString]) -> Result<Question, String> {
        let mut question = Question::default();
        let mut words = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy();
            let mut value = || args.next().cloned().ok_or_else(|| format!("option \"{text}\" requires a value"));
            match &*text {
                "-c" | "-p" | "-g" => {
                    let value = value()?;
                    question.flags.extend([arg.clone(), value]);
                }
                "-H" => {
                    let field = value()?.to_string_lossy().into_owned();
                    if !field.contains(':') || field.contains(['\r', '\n']) {
                        return Err(format!("\"{field}\" is no field: NAME: VALUE"));
                    }
                    question.fields.push(field);
                }
                "--from" => {
                    let address = value()?.to_string_lossy().into_owned();
                    question.from = Some(address.parse().map_err(|_| format!("\"{address}\" is no address"))?);
                }
                option if option.starts_with('-') => return Err(format!("invalid option: \"{option}\"")),
                word => words.push(word.to_owned()),
            }
        }
        (question.method, question.url) = match &words[..] {
            [url] => ("GET".to_owned(), url.clone()),
            [method, url] => (method.clone(), url.clone()),
            _ => return Err("a URL is missing, or there are several".to_owned()),
        };
        Ok(question)
    }

    /// The request. A URL without a host is for the first address that the configuration listens at.
    fn asked(&self, config: &Config) -> Result<Asked, String> {
        use http::config::listen::Address::{Inet, Unix};
        let first = config.listens.iter().find_map(|listener| match listener.listen.address {
            Inet(address) => Some((address, listener.listen.options.ssl)),
            Unix(_) => None,
        });
        let url = self.url.as_str();
        let (secure, authority, target) = match url.split_once("://") {
            Some((scheme, rest)) => {
                let secure = match scheme.to_ascii_lowercase().as_str() {
                    "http" => false,
                    "https" => true,
                    other => return Err(format!("\"{other}\" is neither http nor https")),
                };
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (secure, rest[..end].to_owned(), rest[end..].to_owned())
            }
            None if url.starts_with('/') => {
                let (address, secure) = first.ok_or("the configuration listens at no address")?;
                let host = if address.ip().is_unspecified() { "localhost".into() } else { host_of(address) };
                (secure, format!("{host}:{}", address.port()), url.to_owned())
            }
            None => return Err(format!("\"{url}\" is no URL: http://HOST/PATH, https://HOST/PATH or /PATH")),
        };
        let usual = if secure { 443 } else { 80 };
        let colon = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let (host, port) = match colon {
            Some(at) => {
                let port =
                    authority[at + 1..].parse().map_err(|_| format!("\"{}\" is no port", &authority[at + 1..]))?;
                (&authority[..at], port)
            }
            None => (authority.as_str(), usual),
        };
        if host.is_empty() || authority.contains(' ') || target.contains([' ', '\r', '\n']) {
            return Err(format!("\"{url}\" is no URL"));
        }
        let target = match target.split('#').next().unwrap_or_default() {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            target => target.to_owned(),
        };
        let mut head = format!("{} {target} HTTP/1.1\r\n", self.method);
        if !self.fields.iter().any(|field| is_host(field)) {
            let port = if port == usual { String::new() } else { format!(":{port}") };
            let _ = write!(head, "Host: {host}{port}\r\n");
        }
        for field in &self.fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let client = SocketAddr::new(self.from.unwrap_or(IpAddr::from([127, 0, 0, 1])), 0);
        Ok(Asked { secure, host: host.to_owned(), port, head: head.into_bytes(), client })
    }
}

fn is_host(field: &str) -> bool {
    field.split(':').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("host"))
}

fn host_of(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() }
}

/// A place as `FILE:LINE`; files in the folder of the configuration go by their names.
fn place(at: &At, folder: &Path) -> String {
    match at {
        At::File { name, line, .. } => {
            let name = Path::new(&**name);
            format!("{}:{line}", name.strip_prefix(folder).unwrap_or(name).display())
        }
        other => other.to_string(),
    }
}

/// The whole text.
fn tell(title: &str, explained: &Explained, inherited: &Inherited, folder: &Path) -> String {
    let mut rows = Vec::new();
    for (number, note) in explained.notes.iter().enumerate() {
        let at = note.at.as_ref().map(|at| place(at, folder)).unwrap_or_default();
        rows.push((format!("{:>3}. {:<12} {}", number + 1, note.what, note.text), at));
    }
    let mut out = format!("{title}\n\n");
    table(&mut out, &rows);
    if !inherited.blocks.is_empty() {
        out.push_str("\nIn force\n");
        let mut rows = Vec::new();
        for it in &inherited.blocks {
            rows.push((format!("     {:<12} {}", "block", opening(it)), place(it.at(), folder)));
        }
        for it in &inherited.held {
            let but =
                if is_left_out(it, explained.status) { "  (not with this status: it is not `always`)" } else { "" };
            rows.push((format!("     {:<12} {}{but}", it.name.text, arguments(it)), place(it.at(), folder)));
        }
        for (it, by) in &inherited.dropped {
            let because = format!("{} has its own", opening(by));
            rows.push((
                format!("     {:<12} {} {} ({because})", "not", it.name.text, arguments(it)),
                place(it.at(), folder),
            ));
        }
        table(&mut out, &rows);
    }
    let _ = write!(out, "\nAnswer\n     {:<12} {}\n", "by", explained.handler);
    if let Some(status) = explained.status {
        let _ = writeln!(out, "     {:<12} {status} {}", "status", explained.reason);
    }
    for field in &explained.fields {
        let _ = writeln!(out, "     {:<12} {field}", "field");
    }
    out
}

/// Whether a field of the configuration's is not in an answer because of the status.
fn is_left_out(it: &Directive, status: Option<u16>) -> bool {
    let adds = matches!(it.name.text.as_str(), "add_header" | "add_trailer");
    let always = it.args.get(2).is_some_and(|word| word.text == "always");
    adds && !always && status.is_some_and(|status| !http::exchange::response::is_usual(status))
}

/// Lines with the places in a column of their own, unless a line is too long for that.
fn table(out: &mut String, rows: &[(String, String)]) {
    const WIDEST: usize = 90;
    let lengths = rows.iter().filter(|(_, at)| !at.is_empty()).map(|(text, _)| text.chars().count());
    let width = lengths.filter(|length| *length <= WIDEST).max().unwrap_or(0);
    for (text, at) in rows {
        let line = if at.is_empty() { text.clone() } else { format!("{text:<width$}  {at}") };
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// A block as it begins: `location /a/`.
fn opening(it: &Directive) -> String {
    format!("{} {}", it.name.text, arguments(it)).trim_end().to_owned()
}

fn arguments(it: &Directive) -> String {
    let words = it.args.iter().map(|word| if word.quoted { format!("\"{}\"", word.text) } else { word.text.clone() });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Question, String> {
        Question::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line() {
        let question = parse("-c a.conf -p /x POST http://a/ -H X:1 --from ::1 -H Host:b").unwrap();
        assert_eq!(question.flags, ["-c", "a.conf", "-p", "/x"]);
        assert_eq!((question.method.as_str(), question.url.as_str()), ("POST", "http://a/"));
        assert_eq!(question.fields, ["X:1", "Host:b"]);
        assert_eq!(question.from, Some("::1".parse().unwrap()));
        assert_eq!(parse("/a").unwrap().method, "GET");
        for (line, why) in [
            ("", "a URL is missing, or there are several"),
            ("GET /a /b", "a URL is missing, or there are several"),
            ("-c", "option \"-c\" requires a value"),
            ("-x /a", "invalid option: \"-x\""),
            ("-H X /a", "\"X\" is no field: NAME: VALUE"),
            ("--from me /a", "\"me\" is no address"),
        ] {
            assert_eq!(parse(line).unwrap_err(), why, "{line}");
        }
    }

    #[test]
    fn places_are_short_in_the_folder() {
        let at = |name: &str| At::File { name: name.into(), line: 3, column: 5 };
        assert_eq!(place(&at("/etc/a/b.conf"), Path::new("/etc")), "a/b.conf:3");
        assert_eq!(place(&at("/srv/b.conf"), Path::new("/etc")), "/srv/b.conf:3");
    }
}
