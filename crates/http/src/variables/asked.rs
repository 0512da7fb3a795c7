//! `$upstream_*` and `$proxy_*`: what is known of the servers that a request was passed on to. Each server that was
//! asked has its part of a value: `, ` stands between those of one group, ` : ` where an internal redirect led to
//! another; `-` is for what is not known.

use wire::h1::encode;

use super::getters::{number, present};
use super::scope::Scope;
use crate::config::Handler;
use crate::exchange::{Asked, Attempt, Request, ResponseHead};
use crate::handlers::proxy::Pass;
use crate::handlers::proxy::family::Family;
use crate::log;

fn asked<'r>(scope: &'r Scope<'_>) -> Option<&'r Asked> {
    scope.request.route.asked.as_deref()
}

/// One value for each server that was asked.
fn each(scope: &Scope<'_>, out: &mut Vec<u8>, mut one: impl FnMut(&Attempt, &mut Vec<u8>)) -> bool {
    let Some(asked) = asked(scope) else { return false };
    for (index, attempt) in asked.attempts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(if attempt.redirected { b" : " } else { b", " });
        }
        one(attempt, out);
    }
    !asked.attempts.is_empty()
}

fn time(ms: Option<u64>, out: &mut Vec<u8>) {
    match ms {
        Some(ms) => log::time::seconds_and_ms(out, ms),
        None => out.push(b'-'),
    }
}

pub(super) fn address(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    each(scope, out, |attempt, out| out.extend_from_slice(attempt.address.as_bytes()))
}

pub(super) fn status(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    if let Some(head) = own_answer(scope) {
        return number(out, head.status.into());
    }
    each(scope, out, |attempt, out| match attempt.status {
        0 => out.push(b'-'),
        status => encode::number(out, status.into()),
    })
}

pub(super) fn connect_time(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    each(scope, out, |attempt, out| time(attempt.connected, out))
}

pub(super) fn header_time(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    each(scope, out, |attempt, out| time(attempt.headed, out))
}

pub(super) fn response_time(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    each(scope, out, |attempt, out| time(attempt.ended, out))
}

pub(super) fn queue_time(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    match asked(scope).and_then(|asked| asked.queued) {
        Some(ms) => {
            log::time::seconds_and_ms(out, ms);
            true
        }
        None => false,
    }
}

pub(super) fn response_length(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    each(scope, out, |attempt, out| encode::number(out, attempt.length))
}

pub(super) fn received(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    each(scope, out, |attempt, out| encode::number(out, attempt.received))
}

pub(super) fn sent(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    each(scope, out, |attempt, out| encode::number(out, attempt.sent))
}

pub(super) fn server(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    let last = asked(scope).and_then(|asked| asked.attempts.last());
    last.is_some_and(|attempt| present(out, attempt.server.as_bytes()))
}

pub(super) fn proxy_host(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    passing(scope).is_some_and(|asked| present(out, &asked.host))
}

pub(super) fn proxy_port(scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
    passing(scope).is_some_and(|asked| present(out, &asked.port))
}

/// What is known of servers, as long as the request is where one is asked by HTTP.
fn passing<'r>(scope: &'r Scope<'_>) -> Option<&'r Asked> {
    asked(scope).filter(|_| pass(scope).is_some_and(|pass| pass.family == Family::Proxy))
}

/// The directive that passes requests on in the location.
fn pass<'a>(scope: &Scope<'a>) -> Option<&'a Pass> {
    match scope.location().handler {
        Handler::Proxy(number) => scope.config.passes.get(number as usize),
        _ => None,
    }
}

/// The answer of the server's own that a subrequest got: to whoever asked, it comes from upstream.
fn own_answer<'a>(scope: &Scope<'a>) -> Option<&'a ResponseHead> {
    if asked(scope).is_some() {
        return None;
    }
    scope.answer.filter(|_| scope.request.route.subrequest).map(|answer| answer.head)
}

/// Whether a field is the one that a variable means, which has `_` for `-` and lower case.
fn is_meant(field: &[u8], variable: &str) -> bool {
    let same = |(own, meant): (&u8, u8)| own.to_ascii_lowercase() == meant || (*own == b'-' && meant == b'_');
    field.len() == variable.len() && field.iter().zip(variable.bytes()).all(same)
}

/// Names and values of the fields of the last answer.
fn fields(request: &Request) -> impl Iterator<Item = (&[u8], &[u8])> {
    let asked = request.route.asked.as_deref();
    asked
        .into_iter()
        .flat_map(|asked| asked.fields.iter().map(|field| (field.name.of(&asked.head), field.value.of(&asked.head))))
}

/// All values of those that are meant, with `, ` between them.
fn joined<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>, name: &str, out: &mut Vec<u8>) -> bool {
    let mut found = false;
    for (_, value) in fields.filter(|(own, _)| is_meant(own, name)) {
        if std::mem::replace(&mut found, true) {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value);
    }
    found
}

pub(super) fn field(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    let Some(head) = own_answer(scope) else {
        let is_told = joined(fields(scope.request), name, out);
        // As nginx has it, every answer of HTTP has these two, if empty.
        let always = matches!(name, "server" | "date") && asked(scope).is_some_and(|asked| !asked.head.is_empty());
        return is_told || always;
    };
    match name {
        "content_length" => head.length.is_some_and(|length| number(out, length)),
        "content_type" | "last_modified" | "location" => {
            head.find(&name.replace('_', "-")).is_some_and(|value| present(out, value))
        }
        name => head.join(&name.replace('_', "-"), out),
    }
}

pub(super) fn trailer(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    let may = pass(scope).is_some_and(|pass| pass.family.policy(scope.settings()).pass_trailers);
    let trailers = asked(scope).filter(|_| may).map(|asked| &*asked.trailers).unwrap_or_default();
    joined(trailers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())), name, out)
}

pub(super) fn cookie(scope: &mut Scope<'_>, name: &str, out: &mut Vec<u8>) -> bool {
    let found = match own_answer(scope) {
        Some(head) => first_cookie(head.each(), name),
        None => first_cookie(fields(scope.request), name),
    };
    found.is_some_and(|value| present(out, value))
}

/// The value of the first cookie of that name that is set.
fn first_cookie<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>, name: &str) -> Option<&'f [u8]> {
    fields.filter(|(own, _)| own.eq_ignore_ascii_case(b"set-cookie")).find_map(|(_, cookie)| {
        let (own, value) = cookie.split_at_checked(name.len())?;
        let value = own.eq_ignore_ascii_case(name.as_bytes()).then_some(value)?.strip_prefix(b"=")?;
        value.split(|&byte| byte == b';').next()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use wire::h1::answer::{self, Answer};

    use crate::config::{Config, Handler, Place};
    use crate::exchange::{Asked, Attempt, Local, Request};
    use crate::log::ErrorLog;
    use crate::log::error::Style;
    use crate::variables::{Scope, Variable};

    fn attempt(address: &str, status: u16, times: [Option<u64>; 3], redirected: bool) -> Attempt {
        let [connected, headed, ended] = times;
        let address: Arc<str> = address.into();
        let (server, started) = (address.clone(), Instant::now());
        let (length, received, sent) = (5, 60, 70);
        Attempt { address, server, status, started, connected, headed, ended, length, received, sent, redirected }
    }

    /// The values of variables, `-` for none.
    fn values(conf: &str, asked: Option<Asked>, names: &[&str]) -> Vec<String> {
        let text = format!("http {{ server {{ location / {{ {conf} }} }} }}");
        let tree = conf::parse_alone("test", &text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let config = Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{problems:?}")).config;
        let local = Local { name: String::new(), port: String::new(), listen: 0, wildcard: false };
        let mut request = Request::new(0, Arc::new(local));
        let passes = |handler| matches!(handler, Handler::Proxy(_));
        let location = config.locations.iter().position(|location| passes(location.handler)).unwrap_or(0);
        request.route.location = location as u32;
        request.route.asked = asked.map(Box::new);
        let log = ErrorLog::new(Style::Nginx, Vec::new());
        let mut scope = Scope::new(&config, &mut request, &log);
        let value = |name: &&str| {
            let mut out = Vec::new();
            let found = Variable::find(name, &config.variables).unwrap().write(&mut scope, &mut out);
            if found { String::from_utf8(out).unwrap() } else { "-".to_owned() }
        };
        names.iter().map(value).collect()
    }

    const NAMES: [&str; 10] = [
        "upstream_addr",
        "upstream_status",
        "upstream_connect_time",
        "upstream_header_time",
        "upstream_response_time",
        "upstream_response_length",
        "upstream_bytes_sent",
        "upstream_last_server_name",
        "proxy_host",
        "proxy_port",
    ];

    #[test]
    fn a_value_for_each_server() {
        let asked = Asked {
            host: b"grp".to_vec(),
            port: b"80".to_vec(),
            attempts: vec![
                attempt("127.0.0.1:1", 502, [None, None, Some(3)], false),
                attempt("127.0.0.1:2", 504, [Some(0), None, Some(1100)], false),
                attempt("unix:/s", 0, [Some(12), Some(1010), None], true),
            ],
            ..Asked::default()
        };
        let found = values("proxy_pass http://127.0.0.1;", Some(asked), &NAMES);
        assert_eq!(
            found,
            [
                "127.0.0.1:1, 127.0.0.1:2 : unix:/s",
                "502, 504 : -",
                "-, 0.000 : 0.012",
                "-, - : 1.010",
                "0.003, 1.100 : -",
                "5, 5 : 5",
                "70, 70 : 70",
                "unix:/s",
                "grp",
                "80"
            ]
        );
        assert_eq!(values("proxy_pass http://127.0.0.1;", None, &NAMES), ["-"; 10]);
    }

    #[test]
    fn fields_cookies_and_trailers() {
        let mut asked = Asked { trailers: vec![(b"X-Sum".to_vec(), b"5".to_vec())], ..Asked::default() };
        asked.head =
            b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one: 2\r\nSet-Cookie: sid=a; Path=/\r\nSet-Cookie: sid=b\r\n\r\n"
                .to_vec();
        let mut parsed = Answer::new();
        answer::parse(&asked.head, 4096, &mut parsed).unwrap();
        asked.fields = parsed.fields;
        let names = [
            "upstream_http_x_one",
            "upstream_http_x_two",
            "upstream_http_server",
            "upstream_cookie_sid",
            "upstream_cookie_si",
            "upstream_trailer_x_sum",
        ];
        let found = |conf: &str| values(conf, Some(asked.clone()), &names);
        assert_eq!(found("proxy_pass http://127.0.0.1;"), ["1, 2", "-", "", "a", "-", "-"]);
        assert_eq!(found("proxy_pass http://127.0.0.1; proxy_pass_trailers on;")[5], "5");
    }
}
