//! `resolver` and `resolver_timeout`.

use std::net::SocketAddr;
use std::sync::Arc;

use conf::Diagnostic;

use super::Resolver;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::{MANY, Row};
use crate::upstream::spec::{Address, Written};

/// The port of DNS.
const PORT: u16 = 53;
/// `resolver_timeout` where none is said, in ms.
pub const TIMEOUT: u64 = 30_000;

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "resolver",
        HSL.or(U),
        (1, MANY),
        "ADDRESS[:PORT] ... [valid=TIME] [ipv4=on|off] [ipv6=on|off] [status_zone=ZONE]",
        "",
        "The DNS servers that names are looked up at while the server runs: those in variables of `proxy_pass`, and \
         those of servers with `resolve`. They are asked in turn. Answers are kept for as long as they say, or for \
         TIME with `valid`. `ipv4=off` and `ipv6=off` leave addresses of that kind out. `status_zone` is without effect.",
        Set(resolver),
    ),
    Row::new(
        "resolver_timeout",
        HSL.or(U),
        (1, 1),
        "TIME",
        "30s",
        "How long looking up a name may take.",
        Set(|s| s.set_ms(|settings| &mut settings.resolver_timeout)),
    ),
];

fn resolver(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let (mut servers, mut valid, mut v4, mut v6) = (Vec::new(), None, true, true);
    for word in &s.it.args {
        let text = word.text.as_str();
        let invalid = || Diagnostic::new(word.at.clone(), format!("invalid parameter: {text}"));
        let flag = |value: &str| match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(invalid()),
        };
        if let Some(time) = text.strip_prefix("valid=") {
            let time = conf::time_s(time).filter(|_| !time.is_empty()).ok_or_else(invalid)?;
            valid = Some(time).filter(|time| *time > 0);
        } else if let Some(value) = text.strip_prefix("ipv4=") {
            v4 = flag(value)?;
        } else if let Some(value) = text.strip_prefix("ipv6=") {
            v6 = flag(value)?;
        } else if text.starts_with("status_zone=") {
            let message = format!("parameter \"{text}\" is without effect, resolvers are not counted");
            s.make.warn(Diagnostic::new(word.at.clone(), message));
        } else {
            let found = addresses(text);
            servers.extend(
                found.map_err(|why| Diagnostic::new(word.at.clone(), format!("{why} in resolver \"{text}\"")))?,
            );
        }
    }
    if !v4 && !v6 {
        return Err(s.wrong("\"ipv4\" and \"ipv6\" cannot both be \"off\""));
    }
    if servers.is_empty() {
        return Err(s.wrong("no name servers defined"));
    }
    s.settings().resolver = Some(Arc::new(Resolver::new(servers, valid, v4, v6)));
    Ok(())
}

/// The addresses of a DNS server, with nginx's words for what is wrong. Names are looked up in the system's way.
fn addresses(text: &str) -> Result<Vec<SocketAddr>, &'static str> {
    let found = Written::parse(text)?.look_up(PORT)?;
    let inet = |address| match address {
        Address::Inet(address) => Ok(address),
        Address::Unix(_) => Err("invalid host"),
    };
    found.into_iter().map(inet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Place};

    fn problem(line: &str) -> Option<String> {
        let tree = conf::parse_alone("test", &format!("http {{ server {{ {line} }} }}")).unwrap();
        Config::build(&tree, &Place::default()).err().map(|problems| problems[0].message.clone())
    }

    #[test]
    fn nginx_says_what_is_wrong() {
        for (line, why) in [
            ("resolver valid=1s;", "no name servers defined"),
            ("resolver 127.0.0.1 valid=x;", "invalid parameter: valid=x"),
            ("resolver 127.0.0.1 valid=;", "invalid parameter: valid="),
            ("resolver 127.0.0.1 valid=10ms;", "invalid parameter: valid=10ms"),
            ("resolver 127.0.0.1 ipv6=yes;", "invalid parameter: ipv6=yes"),
            ("resolver 127.0.0.1 ipv4=off ipv6=off;", "\"ipv4\" and \"ipv6\" cannot both be \"off\""),
            ("resolver 127.0.0.1:0;", "invalid port in resolver \"127.0.0.1:0\""),
            ("resolver 127.0.0.1:;", "invalid port in resolver \"127.0.0.1:\""),
            ("resolver ::1;", "invalid port in resolver \"::1\""),
            ("resolver :53;", "no host in resolver \":53\""),
            ("resolver \"\";", "no host in resolver \"\""),
            ("resolver [::1;", "invalid host in resolver \"[::1\""),
            ("resolver [zz];", "invalid IPv6 address in resolver \"[zz]\""),
            ("resolver 127.0.0.1/24;", "invalid host in resolver \"127.0.0.1/24\""),
            ("resolver 127.0.0.1; resolver 127.0.0.1;", "\"resolver\" directive is duplicate"),
            ("resolver_timeout x;", "\"resolver_timeout\" directive invalid value"),
        ] {
            assert_eq!(problem(line).as_deref(), Some(why), "{line}");
        }
    }

    #[test]
    fn blocks_have_the_resolver_around_them() {
        let text = "http { resolver 127.0.0.1 [::1]:5353 valid=0; resolver_timeout 1s; server { listen 1; location / { } \
                    location /x { resolver 127.0.0.2:54 127.0.0.3 valid=1m ipv6=off; } } }";
        let tree = conf::parse_alone("test", text).unwrap();
        let config = Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{problems:?}")).config;
        let of = |name: &str| {
            let location = config.locations.iter().find(|location| &*location.name == name).unwrap();
            (location.settings.resolver.clone().unwrap(), location.settings.resolver_timeout)
        };
        let (outer, timeout) = of("/");
        assert_eq!(timeout, 1000);
        assert_eq!((outer.valid, outer.v6), (None, true));
        let servers: Vec<String> = outer.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["127.0.0.1:53", "[::1]:5353"]);
        let (inner, _) = of("/x");
        assert_eq!((inner.valid, inner.v6, inner.servers.len()), (Some(60), false, 2));
    }
}
