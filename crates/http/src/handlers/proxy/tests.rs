//! Where requests go and what servers get, as nginx 1.22.1 does it; where Daemun means to differ, a row says so.

use std::sync::Arc;

use wire::h1::answer::{self as wire_answer, Answer};

use super::answer::{self, Mapped};
use super::request::{self, Body};
use super::target::{self, Pass, Target, Whom};
use crate::config::{Config, Handler, Place};
use crate::exchange::{Asked, Local, Request, ResponseHead};
use crate::log::ErrorLog;
use crate::log::error::Style;
use crate::phases::route::{self, From, Way};
use crate::variables::Scope;

/// Has `act` look at a request that has come to its `proxy_pass`. `server`: what is in the server's block.
pub fn with<R>(server: &str, head: &str, act: impl FnOnce(&mut Scope<'_>, &Pass) -> R) -> R {
    let text = format!("http {{ upstream Grp {{ server 127.0.0.1:81; }} server {{ server_name s.x; {server} }} }}");
    let tree = conf::parse_alone("test", &text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let config = Config::build(&tree, &Place::default()).unwrap_or_else(|problems| panic!("{problems:?}")).config;
    let local = Local { name: "127.0.0.1".to_owned(), port: "8080".to_owned(), listen: 0, wildcard: false };
    let mut request = Request::new(1024, Arc::new(local));
    request.buf.extend_from_slice(head.as_bytes());
    let limits = &config.first_settings(0).0.limits;
    wire::h1::parse(&request.buf, limits, &mut request.head).unwrap_or_else(|why| panic!("{head}: {why:?}"));
    route::enter(&config, 0, &mut request).unwrap();
    route::normalise(&config, &mut request).unwrap();
    let log = ErrorLog::new(Style::Nginx, Vec::new());
    let mut scope = Scope::new(&config, &mut request, &log);
    assert_eq!(route::run(&mut scope, From::Server), Way::Handler, "{head}");
    let Handler::Proxy(pass) = scope.location().handler else { panic!("{head}: no proxy_pass") };
    act(&mut scope, &config.passes[pass as usize])
}

fn target_of(server: &str, path: &str) -> Result<Target, String> {
    let (method, path) = path.split_once(' ').unwrap_or(("GET", path));
    with(server, &format!("{method} {path} HTTP/1.1\r\nHost: h.example:81\r\n\r\n"), target::of)
}

const B: &str = "http://127.0.0.1:23201";

#[test]
fn what_servers_are_asked_for() {
    let table: &[(&str, &[(&str, &str)])] = &[
        (
            "location /none/ { proxy_pass $B; }",
            &[
                ("/none/", "/none/"),
                ("/none/a%20b?x=1", "/none/a%20b?x=1"),
                ("/none//a/../b%2f?", "/none//a/../b%2f?"),
                ("/none/a%3fb", "/none/a%3fb"),
                ("/none/?a%20b", "/none/?a%20b"),
                ("/none/a\"b\\c{}|^", "/none/a\"b\\c{}|^"),
                ("http://other/none/x", "/none/x"),
            ],
        ),
        (
            "location /slash/ { proxy_pass $B/; }",
            &[
                ("/slash/", "/"),
                ("/slash/a%20b?x=1", "/a%20b?x=1"),
                ("/slash//a/../b%2fc?", "/b/c"),
                ("/slash/a%3fb%23%25", "/a%3Fb%23%25"),
                ("/slash/a\"b\\c{}|^", "/a\"b\\c{}|^"),
                ("/slash/%c3%a9", "/%C3%A9"),
                ("/slash/%22%5c", "/%22%5C"),
                ("/slash/a+b", "/a+b"),
                ("/slash/%41", "/A"),
                ("/slash/%0d%0aX:%20y", "/%0D%0AX:%20y"),
            ],
        ),
        (
            "location /ns { proxy_pass $B/x; }",
            &[("/ns", "/x"), ("/nsa", "/xa"), ("/ns?a=1", "/x?a=1"), ("/ns//x", "/x/x")],
        ),
        ("location /q/ { proxy_pass $B?k=v; }", &[("/q/", "?k=v"), ("/q/a?b=c", "?k=va?b=c")]),
        ("location /uq/ { proxy_pass $B/p?k=v; }", &[("/uq/a?b=c", "/p?k=va?b=c")]),
        (
            "location /brk/ { rewrite ^/brk/(.*)$ /new/$1 break; proxy_pass $B/uri/; }",
            &[("/brk/a%20b?x=1", "/new/a%20b?x=1"), ("/brk/a\"b", "/new/a%22b"), ("/brk/", "/new/")],
        ),
        (
            "location /brn/ { rewrite ^/brn/(.*)$ /new/$1 break; proxy_pass $B; }",
            &[("/brn/a%20b?x=1", "/new/a%20b?x=1"), ("/brn/a%3fb", "/new/a%3Fb")],
        ),
        (
            "location /bra/ { rewrite ^/bra/(.*)$ /new/$1?z=9 break; proxy_pass $B; }",
            &[("/bra/a?x=1", "/new/a?z=9&x=1")],
        ),
        (
            "location /last/ { rewrite ^/last/(.*)$ /slash/$1 last; } location /slash/ { proxy_pass $B/; }",
            &[("/last/a%20b?x=1", "/a%20b?x=1"), ("/last/a\"b", "/a%22b")],
        ),
        (
            "location /last/ { rewrite ^/last/(.*)$ /none/$1 last; } location /none/ { proxy_pass $B; }",
            &[("/last/a\"b%25", "/none/a%22b%25")],
        ),
        ("location = /exact { proxy_pass $B/other/; }", &[("/exact", "/other/"), ("/exact?x", "/other/?x")]),
        ("location ~ ^/re { proxy_pass $B; }", &[("/re/a%20b/../c?x", "/re/a%20b/../c?x")]),
        // nginx sends captures decoded, with which a client can make what it wants of the request.
        (
            "location ~ (?s)^/rv/(.*)$ { proxy_pass $B/z/$1; }",
            &[
                ("/rv/a", "/z/a"),
                ("/rv/", "/z/"),
                ("/rv/a%20b?x", "/z/a%20b"),
                ("/rv/a%20HTTP/1.1%0D%0AX:%20y", "/z/a%20HTTP/1.1%0D%0AX:%20y"),
            ],
        ),
        (
            "location /var/ { set $b 127.0.0.1:23201; proxy_pass http://$b; }",
            &[("/var/a%20b/../c?x", "/var/a%20b/../c?x")],
        ),
        ("location /varu/ { set $b 127.0.0.1:23201; proxy_pass http://$b/up; }", &[("/varu/a?x", "/up")]),
        (
            "location /varr/ { set $b 127.0.0.1:23201; proxy_pass http://$b$request_uri; }",
            &[("/varr/a%20b?x", "/varr/a%20b?x")],
        ),
        ("location /varq/ { set $b 127.0.0.1:23201; proxy_pass http://$b?k=v; }", &[("/varq/a?x", "/?k=v")]),
        (
            "location /vark/ { set $b 127.0.0.1:23201; rewrite ^/vark/(.*) /n/$1 break; proxy_pass http://$b/up; }",
            &[("/vark/a?x", "/up")],
        ),
        (
            "location /vakk/ { set $b 127.0.0.1:23201; rewrite ^/vakk/(.*) /n/$1 break; proxy_pass http://$b; }",
            &[("/vakk/a%20?x", "/n/a%20?x")],
        ),
        (
            "location /if/ { proxy_pass $B/yy/; if ($arg_a) { set $z 1; } }",
            &[("/if/a%20?a=1", "/yy/a%20?a=1"), ("/if/b", "/yy/b")],
        ),
        (
            "location /ifp/ { proxy_pass $B/yy/; if ($arg_a) { proxy_pass $B; } }",
            &[("/ifp/a%20?a=1", "/ifp/a%20?a=1"), ("/ifp/b", "/yy/b")],
        ),
        ("location /args/ { set $args p=q; proxy_pass $B/; }", &[("/args/x?a=1", "/x?p=q")]),
        ("location /argn/ { set $args p=q; proxy_pass $B; }", &[("/argn/x?a=1", "/argn/x?p=q")]),
        ("location /uu/ { proxy_pass http://unix:/s.sock:/base/; }", &[("/uu/x%20?a=1", "/base/x%20?a=1")]),
        (
            "location /uv/ { set $s /s.sock; proxy_pass http://unix:$s:/base/$uri; }",
            &[("/uv/x%20?a=1", "/base//uv/x%20")],
        ),
        (
            "location /lx/ { proxy_pass $B/lx2/; limit_except GET { proxy_pass $B; } }",
            &[("/lx/a%20", "/lx2/a%20"), ("POST /lx/a%20", "/lx/a%20")],
        ),
        ("location /sub/ { location /sub/in/ { proxy_pass $B/deep/; } }", &[("/sub/in/x", "/deep/x")]),
    ];
    for (server, asked) in table {
        let server = server.replace("$B", B);
        for (path, expected) in *asked {
            let target = target_of(&server, path).unwrap_or_else(|why| panic!("{server} {path}: {why}"));
            assert_eq!(String::from_utf8_lossy(&target.uri), *expected, "{server} {path}");
        }
    }
}

#[test]
fn who_is_asked() {
    let unix = || Whom::Address(crate::upstream::Address::Unix(std::path::Path::new("/s.sock").into()));
    let address = |text: &str| Whom::Address(crate::upstream::Address::Inet(text.parse().unwrap()));
    let name = |host: &str, port| Whom::Name { host: host.as_bytes().to_vec(), port };
    // Group 0 is the block, the one of this URL would be the next.
    for (url, host, port, whom) in [
        ("http://127.0.0.1:23201/x", "127.0.0.1:23201", "23201", Whom::Group(1)),
        ("http://127.0.0.1:80/x", "127.0.0.1", "80", Whom::Group(1)),
        ("https://127.0.0.1/x", "127.0.0.1", "443", Whom::Group(1)),
        ("https://127.0.0.1:80/x", "127.0.0.1:80", "80", Whom::Group(1)),
        ("HTTP://[::1]:81/b/", "[::1]:81", "81", Whom::Group(1)),
        ("http://[::1]/b/", "[::1]", "80", Whom::Group(1)),
        ("http://Grp/b", "Grp", "80", Whom::Group(0)),
        ("http://gRP", "gRP", "80", Whom::Group(0)),
        ("http://unix:/s.sock:/x", "localhost", "", Whom::Group(1)),
        ("http://${http_a}grp", "grp", "80", Whom::Group(0)),
        ("http://${http_a}grp:80", "grp", "80", name("grp", 80)),
        ("https://${http_a}grp:443/x", "grp", "443", name("grp", 443)),
        ("http://${http_a}127.0.0.1:1/x", "127.0.0.1:1", "1", address("127.0.0.1:1")),
        ("http://${http_a}[::1]?x", "[::1]", "80", address("[::1]:80")),
        ("http://${http_a}unix:/s.sock:/x", "localhost", "", unix()),
        ("${http_a}https://name.x/", "name.x", "443", name("name.x", 443)),
    ] {
        let target = target_of(&format!("location / {{ proxy_pass {url}; }}"), "/").unwrap();
        let found = (String::from_utf8_lossy(&target.host), String::from_utf8_lossy(&target.port), &target.whom);
        assert_eq!(found, (host.into(), port.into(), &whom), "{url}");
        assert_eq!(target.secure, url.contains("https"), "{url}");
    }
}

#[test]
fn groups_that_a_url_with_variables_names() {
    let server = "location /a { proxy_pass http://127.0.0.1:7001; } location /b { proxy_pass http://127.0.0.1; }
        location / { proxy_pass http://$arg_h; }";
    let whom = |host: &str| target_of(server, &format!("/?h={host}")).map(|target| target.whom);
    assert_eq!(whom("127.0.0.1:7001"), Ok(Whom::Group(1)));
    assert_eq!(whom("127.0.0.1"), Ok(Whom::Group(2)));
    assert_eq!(whom("127.0.0.1:80"), Ok(Whom::Group(2)));
    assert!(matches!(whom("127.0.0.1:7002"), Ok(Whom::Address(_))));
}

#[test]
fn urls_that_lead_nowhere() {
    for (url, why) in [
        ("ftp://127.0.0.1", "invalid URL prefix in \"ftp://127.0.0.1\""),
        ("http:///x", "no host in upstream \"/x\""),
        ("http://127.0.0.1:99999/x", "invalid port in upstream \"127.0.0.1:99999/x\""),
        ("http://127.0.0.1:1noslash", "invalid port in upstream \"127.0.0.1:1noslash\""),
        ("http://[::1", "invalid host in upstream \"[::1\""),
    ] {
        let server = format!("location / {{ proxy_pass ${{http_a}}{url}; }}");
        assert_eq!(target_of(&server, "/").err().as_deref(), Some(why), "{url}");
    }
    let spaced = target_of("location ~ ^/(.*) { proxy_pass http://$1/; }", "/a%20b").err();
    assert_eq!(spaced.as_deref(), Some("invalid host in upstream \"a b/\""));
}

#[test]
fn what_is_wrong_with_a_url() {
    let no_uri = "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, \
                  or inside \"if\" statement, or inside \"limit_except\" block";
    for (server, why) in [
        ("location / { proxy_pass http://; }", "no host in upstream \"\""),
        ("location / { proxy_pass http:///x; }", "no host in upstream \"/x\""),
        ("location / { proxy_pass http://:80; }", "no host in upstream \":80\""),
        ("location / { proxy_pass http://a:b; }", "invalid port in upstream \"a:b\""),
        ("location / { proxy_pass http://127.0.0.1:0; }", "invalid port in upstream \"127.0.0.1:0\""),
        ("location / { proxy_pass 127.0.0.1; }", "invalid URL prefix"),
        ("location / { proxy_pass ftp://x; }", "invalid URL prefix"),
        ("location / { proxy_pass http://[::1]x; }", "invalid host in upstream \"[::1]x\""),
        ("location / { proxy_pass http://[zz]:1; }", "invalid IPv6 address in upstream \"[zz]:1\""),
        ("location / { proxy_pass http://unix::/x; }", "no path in the unix domain socket in upstream \"unix::/x\""),
        ("location / { proxy_pass http://Grp:80; }", "upstream \"Grp\" may not have port 80"),
        ("location ~ x { proxy_pass http://127.0.0.1/x; }", no_uri),
        ("location @n { proxy_pass http://127.0.0.1/; }", no_uri),
        ("location / { if ($uri) { proxy_pass http://127.0.0.1/; } }", no_uri),
        ("location / { limit_except GET { proxy_pass http://127.0.0.1?a; } }", no_uri),
        (
            "location / { proxy_redirect default; }",
            "\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive",
        ),
        (
            "location / { proxy_pass http://$host; proxy_redirect default; }",
            "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables",
        ),
        ("proxy_redirect x;", "invalid parameter \"x\""),
        ("proxy_redirect off; proxy_redirect a b;", "\"proxy_redirect\" directive is duplicate"),
        ("proxy_redirect a b; proxy_redirect off;", "\"proxy_redirect\" directive is duplicate"),
        ("proxy_cookie_domain a b; proxy_cookie_domain off;", "\"proxy_cookie_domain\" directive is duplicate"),
        ("proxy_cookie_path off; proxy_cookie_path a b;", "\"proxy_cookie_path\" directive is duplicate"),
        ("proxy_cookie_flags a;", "invalid parameter \"a\""),
        ("proxy_http_version 3;", "invalid value \"3\""),
        ("proxy_set_header \"a b\" x;", "\"a b\" is not the name of a field"),
    ] {
        let text = format!("http {{ upstream Grp {{ server 127.0.0.1:81; }} server {{ {server} }} }}");
        let tree = conf::parse_alone("test", &text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let problems = Config::build(&tree, &Place::default()).err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem.message == why), "{server}: {problems:?}");
    }
}

/// The head that a server gets.
fn sent(proxy: &str, head: &str, body: Body) -> String {
    let server = format!("underscores_in_headers on; location / {{ {proxy} proxy_pass http://127.0.0.1:23203; }}");
    with(&server, head, |scope, pass| {
        let target = target::of(scope, pass).unwrap();
        let asked = Asked { host: target.host.clone(), port: target.port.clone(), ..Asked::default() };
        scope.request.route.asked = Some(Box::new(asked));
        let mut out = Vec::new();
        request::head(scope, &target, body, &mut out);
        let text = String::from_utf8(out).unwrap().replace("\r\n", "\n");
        text.strip_suffix("\n\n").unwrap_or_else(|| panic!("{text}")).to_owned()
    })
}

#[test]
fn the_fields_that_servers_get() {
    let get = "GET /x?m=abc HTTP/1.1\r\nHost: h.example:81\r\nconnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
               TE: trailers\r\nUpgrade: foo\r\nExpect: x\r\nProxy-Connection: a\r\nX-A: one\r\nx-a: two\r\nX_Under: u\r\n\
               Cookie: a=1\r\nX-Empty:\r\nX-Long:   spaced  \r\n\r\n";
    let host = "Host: 127.0.0.1:23203";
    let rest = "X-Hop: 1\nX-A: one\nx-a: two\nX_Under: u\nCookie: a=1\nX-Empty: \nX-Long: spaced";
    for (proxy, body, expected) in [
        ("", Body::None, format!("GET /x?m=abc HTTP/1.1\n{host}\n{rest}")),
        ("", Body::Length(3), format!("GET /x?m=abc HTTP/1.1\n{host}\nContent-Length: 3\n{rest}")),
        ("", Body::Chunked, format!("GET /x?m=abc HTTP/1.1\n{host}\nTransfer-Encoding: chunked\n{rest}")),
        ("proxy_http_version 1.0;", Body::Length(0), format!("GET /x?m=abc HTTP/1.0\n{host}\nConnection: close\nContent-Length: 0\n{rest}")),
        (
            "proxy_set_header X-New 1; proxy_set_header Host $host; proxy_set_header x-a $http_x_a-$proxy_host-$proxy_port;
             proxy_set_header X-New 2; proxy_set_header X-None \"\";",
            Body::None,
            "GET /x?m=abc HTTP/1.1\nX-New: 1\nHost: h.example\nx-a: one, two-127.0.0.1:23203-23203\nX-New: 2\nX-Hop: 1\nX_Under: u\n\
             Cookie: a=1\nX-Empty: \nX-Long: spaced".to_owned(),
        ),
        ("proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;", Body::None, format!("GET /x?m=abc HTTP/1.1\nUpgrade: foo\nConnection: upgrade\n{host}\n{rest}")),
        ("proxy_set_header Connection \"\"; proxy_http_version 1.0;", Body::None, format!("GET /x?m=abc HTTP/1.0\n{host}\n{rest}")),
        ("proxy_set_header Host \"\"; proxy_pass_request_headers off;", Body::None, "GET /x?m=abc HTTP/1.1".to_owned()),
        ("proxy_pass_request_headers off; proxy_set_header TE trailers;", Body::None, format!("GET /x?m=abc HTTP/1.1\nTE: trailers\n{host}")),
        ("proxy_pass_request_headers off; proxy_method PUT;", Body::None, format!("PUT /x?m=abc HTTP/1.1\n{host}")),
        ("proxy_pass_request_headers off; proxy_method $arg_m;", Body::None, format!("abc /x?m=abc HTTP/1.1\n{host}")),
        ("proxy_pass_request_headers off; proxy_method $arg_none;", Body::None, format!("GET /x?m=abc HTTP/1.1\n{host}")),
        // How the body is framed is not for the configuration to say.
        ("proxy_pass_request_headers off; proxy_set_header Content-Length \"\";", Body::Length(0), format!("GET /x?m=abc HTTP/1.1\n{host}")),
        ("proxy_pass_request_headers off; proxy_set_header Content-Length \"\";", Body::Length(3), format!("GET /x?m=abc HTTP/1.1\nContent-Length: 3\n{host}")),
        ("proxy_pass_request_headers off; proxy_set_header Content-Length 7; proxy_set_header Transfer-Encoding foo;", Body::None, format!("GET /x?m=abc HTTP/1.1\n{host}")),
        ("proxy_pass_request_headers off; proxy_set_header Content-Length 0;", Body::None, format!("GET /x?m=abc HTTP/1.1\nContent-Length: 0\n{host}")),
    ] {
        assert_eq!(sent(proxy, get, body), expected, "{proxy} {body:?}");
    }
}

#[test]
fn nothing_splits_a_request() {
    let text = sent(
        "proxy_pass_request_headers off; proxy_set_header X-P $uri; proxy_method $uri;",
        "GET /a%0d%0aB:%20c HTTP/1.1\r\nHost: h\r\n\r\n",
        Body::None,
    );
    assert_eq!(text, "GET /a%0d%0aB:%20c HTTP/1.1\nX-P: /a  B: c\nHost: 127.0.0.1:23203");
}

#[test]
fn another_protocol_without_more_being_said() {
    let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let host = "Host: 127.0.0.1:23203";
    for (proxy, head, expected) in [
        ("proxy_upgrade auto;", ask, format!("GET / HTTP/1.1\n{host}\nUpgrade: websocket\nConnection: upgrade")),
        ("", ask, format!("GET / HTTP/1.1\n{host}")),
        ("proxy_upgrade auto; proxy_set_header Connection \"\";", ask, format!("GET / HTTP/1.1\n{host}")),
        (
            "proxy_upgrade auto;",
            "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n",
            format!("GET / HTTP/1.1\n{host}"),
        ),
    ] {
        assert_eq!(sent(proxy, head, Body::None), expected, "{proxy}");
    }
}

/// What becomes of the head of an answer.
pub fn mapped(server: &str, path: &str, answer: &str) -> Mapped {
    with(server, &format!("GET {path} HTTP/1.1\r\nHost: h.example:81\r\n\r\n"), |scope, pass| {
        target::of(scope, pass).unwrap();
        let text = format!("HTTP/1.1 {}\r\n\r\n", answer.replace('\n', "\r\n"));
        let mut parsed = Answer::new();
        wire_answer::parse(text.as_bytes(), 16384, &mut parsed).unwrap().unwrap();
        answer::head(scope, pass, &parsed, text.as_bytes(), ResponseHead::default())
    })
}

#[test]
fn a_request_says_whether_its_connection_ends() {
    use super::request::says_close;
    assert!(says_close(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"));
    assert!(!says_close(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    assert!(!says_close(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nConnection: close\r\n"));
    assert!(says_close(b"GET / HTTP/1.1\r\nHost: a\r\nconnection: x, CLOSE\r\n\r\n"));
    assert!(!says_close(b"GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n"));
}
