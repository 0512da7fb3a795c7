//! The directives of `upstream` blocks.

use std::sync::Arc;

use conf::{Diagnostic, Directive};

use super::balance::Load;
use super::peer::Peer;
use super::queue;
use super::spec::{Balance, Keepalive, Server, Upstream, Written, literal};
use super::sticky::{Cookie, Expires, LONGEST_ROUTE, Learn, Sticky, same_site};
use crate::config::Settings;
use crate::config::build::{Maker, Setter};
use crate::config::context::Context;
use crate::config::context::sets::*;
use crate::config::keyed;
use crate::config::row::Action::{Open, Set};
use crate::config::row::{MANY, Row};
use crate::variables::Template;
use crate::zone::{LEAST_PAGES, PAGE, Use, Zone};

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("hash", U, (1, 2), "KEY [consistent]", "", "A server is chosen by the hash of KEY, so that requests with the same one go to the same server. With `consistent` (ketama), \
         when a server comes or goes only few keys move.", Set(hash)).repeats(),
    Row::new("ip_hash", U, (0, 0), "", "", "A server is chosen by the client's address: the first three octets of an IPv4 address, all of an IPv6 one.",
        Set(|s| method(s, Balance::IpHash))).repeats(),
    Row::new("keepalive", U, (1, 2), "NUMBER [local]", "32 local", "How many idle connections a worker keeps to the servers of the group; 0 = none. With `local`, a connection \
         carries only requests of the location that it was made for.", Set(keepalive)),
    Row::new("keepalive_requests", U, (1, 1), "NUMBER", "1000", "How many requests one connection may carry.",
        Set(|s| { draft(s).keepalive.requests = u32::try_from(s.number(0)?).unwrap_or(u32::MAX); Ok(()) })),
    Row::new("keepalive_time", U, (1, 1), "TIME", "1h", "How old a connection may be when it gets another request.",
        Set(|s| { draft(s).keepalive.time = s.ms(0)?; Ok(()) })),
    Row::new("keepalive_timeout", U, (1, 1), "TIME", "60s", "How long an idle connection is kept.",
        Set(|s| { draft(s).keepalive.timeout = s.ms(0)?; Ok(()) })),
    Row::new("least_conn", U, (0, 0), "", "", "The server with the fewest requests in progress for its weight is chosen; among equals, they take turns.",
        Set(|s| method(s, Balance::Least(Load::Conns)))).repeats(),
    Row::new("least_time", U, (1, 2), "header | last_byte [inflight]", "", "The server is chosen whose answers take the least time on average (to the end of their heads, or of the whole), \
         times the requests it would have in progress, for its weight; among equals, they take turns. With `inflight`, requests in progress that \
         take longer already count.", Set(least_time)).repeats(),
    Row::new("queue", U, (1, 2), "NUMBER [timeout=TIME]", "", "How many requests of a worker wait, and for how long (60s), when no server of the group can be asked at the moment. Those beyond are answered 502.", Set(set_queue)),
    Row::new("random", U, (0, 2), "[two [least_conn | least_time=header | least_time=last_byte]]", "", "A server is chosen by chance and weight. With `two`, of two servers chosen so, the one with fewer \
         requests for its weight, or with shorter times.", Set(random)).repeats(),
    Row::new("server", U, (1, MANY), "ADDRESS [PARAMETER ...]", "", "A server of the group: `HOST`, `HOST:PORT` (80 without a port), `unix:PATH`; a host with several addresses is as many servers. `weight=1`; \
         `max_conns=0`, the most requests at a time; `max_fails=1` failures in `fail_timeout=10s` make it unavailable for as long; `backup`, asked only when no \
         other can be; `down`; `drain`, only for clients that are bound to it; `route=NAME`, what `sticky` binds them by; `slow_start=0`, in what time its weight \
         comes back after it was unavailable; `resolve`, its name is looked up again while the server runs; `service=NAME`, by SRV records.", Set(server)).repeats(),
    Row::new("state", U, (1, 1), "FILE", "", "A file with the group's `server` directives, in their place. It is read at the start and at a reload, and may be missing: then the \
         group has no servers.", Set(state)),
    Row::new("sticky", U, (2, MANY), "cookie NAME [expires=TIME|max] [domain=NAME] [path=PATH] [httponly] [secure] [samesite=strict|lax|none|$VARIABLE] | route $VARIABLE ... | \
         learn create=$VARIABLE lookup=$VARIABLE zone=NAME:SIZE [timeout=TIME] [header] [sync]", "", "A client stays with the server that it was sent to first: by a cookie of ours; by a variable that has the server's \
         `route`; or by a session that an answer creates and requests name, kept in shared memory for a time without use (10m). `sync` has no effect.", Set(sticky)),
    Row::new("upstream", H, (1, 1), "NAME { ... }", "", "A group of servers, that `proxy_pass http://NAME` and its kin pass requests on to. They take turns by weight unless the block \
         says otherwise.", Open(Context::Upstream)).repeats(),
    Row::new("zone", U, (1, 2), "NAME [SIZE]", "", "Shared memory, in which the workers know of each other's requests to the servers, and of failures. Without it each worker knows its own.", Set(zone)).repeats(),
];

/// What a block has said so far.
#[derive(Default)]
pub struct Draft {
    servers: Vec<Server>,
    /// Some of them are wrong, which was told.
    wrong: bool,
    balance: Balance,
    /// A method was named.
    has_method: bool,
    keepalive: Keepalive,
    zone: Option<Arc<Zone>>,
    sticky: Option<Sticky>,
    queue: Option<queue::Spec>,
    state: bool,
}

fn draft<'a>(s: &'a mut Setter<'_>) -> &'a mut Draft {
    &mut s.block.own.upstream
}

fn parameter(word: &str) -> String {
    format!("invalid parameter \"{word}\"")
}

fn method(s: &mut Setter<'_>, balance: Balance) -> Result<(), Diagnostic> {
    if std::mem::replace(&mut draft(s).has_method, true) {
        let warning = s.wrong("load balancing method redefined");
        s.make.warn(warning);
    }
    draft(s).balance = balance;
    Ok(())
}

fn hash(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let consistent = match s.text(1) {
        _ if s.count() == 1 => false,
        "consistent" => true,
        other => return Err(s.wrong(parameter(other))),
    };
    let key = s.template(0)?;
    method(s, Balance::Hash { key, consistent })
}

fn least_time(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let whole = whole(s.text(0)).ok_or_else(|| s.wrong(parameter(s.text(0))))?;
    let inflight = match s.text(1) {
        _ if s.count() == 1 => false,
        "inflight" => true,
        other => return Err(s.wrong(parameter(other))),
    };
    method(s, Balance::Least(Load::Time { whole, inflight }))
}

/// What time is meant: `header` or `last_byte`.
fn whole(word: &str) -> Option<bool> {
    match word {
        "header" => Some(false),
        "last_byte" => Some(true),
        _ => None,
    }
}

fn random(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let load = match (s.text(0), s.text(1)) {
        _ if s.count() == 0 => None,
        ("two", "least_conn") => Some(Load::Conns),
        ("two", _) if s.count() == 1 => Some(Load::Conns),
        ("two", other) => {
            let whole = other.strip_prefix("least_time=").and_then(whole);
            Some(Load::Time { whole: whole.ok_or_else(|| s.wrong(parameter(other)))?, inflight: false })
        }
        (other, _) => return Err(s.wrong(parameter(other))),
    };
    method(s, Balance::Random(load))
}

fn keepalive(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let text = s.text(0);
    let most =
        conf::number(text).ok_or_else(|| s.wrong(format!("invalid value \"{text}\" in \"keepalive\" directive")))?;
    let local = match s.text(1) {
        _ if s.count() == 1 => false,
        "local" => true,
        other => return Err(s.wrong(parameter(other))),
    };
    let keepalive = &mut draft(s).keepalive;
    keepalive.most = usize::try_from(most).unwrap_or(usize::MAX);
    keepalive.local = local;
    Ok(())
}

fn set_queue(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let text = s.text(0);
    let most = conf::number(text).filter(|most| *most > 0);
    let most = most.ok_or_else(|| s.wrong(format!("invalid value \"{text}\" in \"queue\" directive")))?;
    let mut timeout = 60_000;
    if let Some(word) = s.it.args.get(1) {
        let value = word.text.strip_prefix("timeout=").and_then(conf::time_ms);
        timeout = value.ok_or_else(|| s.wrong(parameter(&word.text)))?;
    }
    draft(s).queue = Some(queue::Spec { most: usize::try_from(most).unwrap_or(usize::MAX), timeout });
    Ok(())
}

fn zone(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let (name, size) = (s.text(0).to_owned(), s.text(1));
    if name.is_empty() {
        return Err(s.wrong("invalid zone name \"\""));
    }
    let bytes = match s.count() {
        1 => 0,
        _ => conf::size(size).ok_or_else(|| s.wrong(format!("invalid zone size \"{size}\"")))?,
    };
    if s.count() == 2 && bytes < LEAST_PAGES * PAGE {
        return Err(s.wrong(format!("zone \"{name}\" is too small")).hint("the smallest is 32k"));
    }
    let zone = s.make.zones.declare(&name, bytes, Use::Servers).map_err(|why| s.wrong(why))?;
    draft(s).zone = Some(zone);
    Ok(())
}

fn server(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let it = s.it;
    let found = read_server(it, &s.block.own.upstream.balance, s.make);
    let draft = draft(s);
    draft.wrong |= found.is_err();
    draft.servers.push(found?);
    Ok(())
}

/// A `server` directive, of a group that is balanced so as far as is known.
fn read_server(it: &Directive, balance: &Balance, make: &mut Maker) -> Result<Server, Diagnostic> {
    let wrong = |message: String| Diagnostic::of(it, message);
    let (url, parameters) = match &it.args[..] {
        [url, parameters @ ..] => (url.text.as_str(), parameters),
        [] => return Err(wrong("invalid number of arguments in \"server\" directive".to_owned())),
    };
    let mut server = Server::new(Peer::new(url), "", &it.name.at);
    let by_key = matches!(balance, Balance::Hash { .. } | Balance::IpHash | Balance::Random(_));
    for word in parameters {
        let text = word.text.as_str();
        let invalid = || wrong(parameter(text));
        let number = |value: &str| conf::number(value).and_then(|value| u32::try_from(value).ok()).ok_or_else(invalid);
        let unsupported = |what: &str| {
            if by_key { Err(wrong(format!("balancing method does not support parameter \"{what}\""))) } else { Ok(()) }
        };
        let peer = &mut server.peer;
        match text.split_once('=').unwrap_or((text, "")) {
            ("weight", value) => {
                peer.weight = Some(number(value)?).filter(|weight| *weight > 0).ok_or_else(invalid)?;
                server.has_weight = true;
            }
            ("max_conns", value) => peer.max_conns = number(value)?,
            ("max_fails", value) => peer.max_fails = number(value)?,
            ("fail_timeout", value) => peer.fail_timeout = conf::time_s(value).ok_or_else(invalid)?,
            ("slow_start", value) => {
                unsupported("slow_start")?;
                peer.slow_start = conf::time_ms(value).ok_or_else(invalid)?;
            }
            ("route", value) if !value.is_empty() => {
                if value.len() > LONGEST_ROUTE {
                    return Err(invalid().hint(format!("a route may have {LONGEST_ROUTE} bytes")));
                }
                if !value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"')) {
                    return Err(invalid().hint("a route stands in cookies"));
                }
                server.route = value.into();
            }
            ("service", value) if !value.is_empty() => server.service = Some(value.into()),
            ("backup", _) if text == "backup" => {
                unsupported("backup")?;
                server.backup = true;
            }
            ("down", _) if text == "down" => peer.down = true,
            ("drain", _) if text == "drain" => peer.drain = true,
            ("resolve", _) if text == "resolve" => server.resolve = true,
            _ => return Err(invalid()),
        }
    }
    let written = Written::parse(url).map_err(|why| wrong(format!("{why} in upstream \"{url}\"")))?;
    let mut port = None;
    match &written {
        Written::Unix(path) => {
            server.host = path.clone();
            server.resolve = false;
        }
        Written::Host { host, port: given } => {
            server.host = host.clone();
            server.resolve &= literal(host).is_none();
            port = *given;
        }
    }
    server.port = port.unwrap_or(80);
    if server.service.is_some() {
        if !server.resolve {
            return Err(wrong(format!("service upstream \"{url}\" requires \"resolve\" parameter")));
        }
        if port.is_some() {
            return Err(wrong(format!("service upstream \"{url}\" may not have port")));
        }
        return Ok(server);
    }
    match written.look_up(80) {
        Ok(addresses) => server.addresses = addresses,
        // It is looked up again.
        Err(why) if server.resolve => make.warn(wrong(format!("{why} in upstream \"{url}\""))),
        Err(why) => return Err(wrong(format!("{why} in upstream \"{url}\""))),
    }
    Ok(server)
}

fn state(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let path = s.path(0);
    let name = path.display().to_string();
    draft(s).state = true;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(s.wrong(format!("cannot read \"{name}\": {error}"))),
    };
    let lines = conf::parse_alone(&name, &text).map_err(|problems| {
        problems.into_iter().next().unwrap_or_else(|| s.wrong(format!("cannot read \"{name}\"")))
    })?;
    for line in &lines {
        if line.name.text != "server" || line.block.is_some() {
            return Err(Diagnostic::of(line, format!("\"{}\" directive is not allowed here", line.name.text)));
        }
        let found = read_server(line, &s.block.own.upstream.balance, s.make)?;
        draft(s).servers.push(found);
    }
    Ok(())
}

fn sticky(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let found = match s.text(0) {
        "cookie" => Sticky::Cookie(cookie(s)?),
        "route" => {
            let count = s.count();
            Sticky::Route((1..count).map(|index| variable(s, s.text(index).to_owned())).collect::<Result<_, _>>()?)
        }
        "learn" => Sticky::Learn(learn(s)?),
        other => return Err(s.wrong(parameter(other)).hint("one of: cookie, route, learn")),
    };
    draft(s).sticky = Some(found);
    Ok(())
}

fn variable(s: &mut Setter<'_>, text: String) -> Result<Template, Diagnostic> {
    if !text.starts_with('$') {
        return Err(s.wrong(format!("invalid variable name \"{text}\"")));
    }
    s.compile(&text)
}

fn cookie(s: &mut Setter<'_>) -> Result<Cookie, Diagnostic> {
    let name = s.text(1);
    if !wire::h1::encode::is_token(name.as_bytes()) {
        return Err(s.wrong(format!("\"{name}\" is not the name of a cookie")));
    }
    let mut cookie = Cookie {
        name: name.into(),
        expires: Expires::Session,
        domain: None,
        path: None,
        httponly: false,
        secure: false,
        samesite: None,
    };
    let words: Vec<String> = s.it.args.iter().skip(2).map(|word| word.text.clone()).collect();
    for word in &words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("expires", "max") => cookie.expires = Expires::Max,
            ("expires", value) => {
                let seconds = conf::time_s(value).ok_or_else(|| s.wrong(parameter(word)))?;
                cookie.expires = Expires::After(seconds);
            }
            ("domain", value) if !value.is_empty() => cookie.domain = Some(s.compile(value)?),
            ("path", value) if !value.is_empty() => cookie.path = Some(s.compile(value)?),
            ("samesite", value) if value.starts_with('$') || same_site(value.as_bytes()).is_some() => {
                cookie.samesite = Some(s.compile(value)?);
            }
            ("httponly", _) if word == "httponly" => cookie.httponly = true,
            ("secure", _) if word == "secure" => cookie.secure = true,
            _ => return Err(s.wrong(parameter(word))),
        }
    }
    Ok(cookie)
}

fn learn(s: &mut Setter<'_>) -> Result<Learn, Diagnostic> {
    let (mut create, mut lookup) = (Vec::new(), Vec::new());
    let (mut zone, mut timeout, mut header) = (None, 600, false);
    let words: Vec<String> = s.it.args.iter().skip(1).map(|word| word.text.clone()).collect();
    for word in &words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("create", value) => create.push(variable(s, value.to_owned())?),
            ("lookup", value) => lookup.push(variable(s, value.to_owned())?),
            ("zone", _) => zone = Some(keyed::name_and_size(s, word)?),
            ("timeout", value) => timeout = conf::time_s(value).ok_or_else(|| s.wrong(parameter(word)))?,
            ("header", _) if word == "header" => header = true,
            // There are no other machines that it could be shared with.
            ("sync", _) if word == "sync" => {}
            _ => return Err(s.wrong(parameter(word))),
        }
    }
    let missing = |what: &str| s.wrong(format!("\"sticky learn\" must have \"{what}\" parameter"));
    if create.is_empty() {
        return Err(missing("create"));
    }
    if lookup.is_empty() {
        return Err(missing("lookup"));
    }
    let (name, size) = zone.ok_or_else(|| missing("zone"))?;
    let zone = s.make.zones.declare(&name, size, Use::Bound).map_err(|why| s.wrong(why))?;
    Ok(Learn { create, lookup, zone, timeout, header })
}

/// The end of a block.
pub fn close(make: &mut Maker, it: &Directive, settings: &Settings, draft: Draft) {
    let name = it.args.first().map_or("", |word| word.text.as_str());
    let wrong = |message: String| Diagnostic::of(it, message);
    if make.upstreams.has_block(name) {
        make.problems.push(wrong(format!("duplicate upstream \"{name}\"")));
        return;
    }
    let own = it.block.iter().flatten().any(|line| line.name.text == "server");
    if draft.state && own {
        make.problems.push(wrong("\"server\" directive cannot be used along with \"state\"".to_owned()));
    }
    if !draft.state && !draft.wrong {
        if draft.servers.is_empty() && !own {
            make.problems.push(wrong("no servers are inside upstream".to_owned()).line(it.close));
        } else if !draft.servers.is_empty() && draft.servers.iter().all(|server| server.backup) {
            make.problems.push(wrong(format!("no servers in upstream \"{name}\"")));
        }
    }
    let Draft { servers, balance, keepalive, zone, sticky, queue, .. } = draft;
    let sticky = sticky.map(Arc::new);
    let (resolver, resolver_timeout) = (settings.resolver.clone(), settings.resolver_timeout);
    if resolver.is_none() && servers.iter().any(|server| server.resolve) {
        let message = format!("no resolver defined to resolve names at run time in upstream \"{name}\"");
        make.problems.push(wrong(message));
    }
    let group = Upstream {
        servers,
        balance,
        keepalive,
        zone,
        sticky,
        queue,
        resolver,
        resolver_timeout,
        ..Upstream::new(name, &it.name.at)
    };
    if let Some(zone) = &group.zone
        && !zone.want(2 * group.room() + 4)
    {
        let message = format!("zone \"{}\" is too small", zone.name);
        make.problems.push(wrong(message).hint("its servers have no room in it"));
    }
    make.upstreams.add(group);
}

#[cfg(test)]
mod tests;
