//! Whole pages, beside what nginx 1.22.1 makes of them.

use std::sync::Arc;

use super::*;

/// `{E}` in the table.
const ERROR: &str = "[an error occurred while processing the directive]";

/// A request for /ssi/page.html with a query, on a server with a few pages.
#[derive(Default)]
struct Request {
    log: Vec<String>,
    main: bool,
}

impl Context for Request {
    fn variable(&mut self, name: &str) -> Option<Vec<u8>> {
        let value = match name {
            "arg_q" => "%3Ca%26%22%27%2B%20b/%C3%A9%3E",
            "arg_e" => "",
            "arg_z" => "zed",
            "arg_p" => "/x",
            "arg_c" => "c",
            "arg_r" => "z.d",
            _ => return None,
        };
        self.main.then(|| value.into())
    }

    fn clock(&mut self) -> Clock {
        Clock { unix: 1_795_276_739, offset_minutes: 60, zone: "CET".into() }
    }

    /// The few patterns that the pages use.
    fn find(&mut self, pattern: &[u8], subject: &[u8]) -> Result<Option<Found>, String> {
        let groups: &[Option<&str>] = match (pattern, subject) {
            (b"(", _) => return Err("pcre2_compile() failed: missing closing parenthesis in \"(\"".into()),
            (b"z" | b"", b"zed") => &[Some("z")],
            (b"z.d", b"zed") => &[Some("zed")],
            (b"(e)d" | b"(?<Tail>e)d", b"zed") => &[Some("ed"), Some("e")],
            (b"(x)?(e)(y)?", b"zed") => &[Some("e"), None, Some("e"), None],
            _ => return Ok(None),
        };
        let owned: Vec<Option<Vec<u8>>> = groups.iter().map(|group| group.map(Into::into)).collect();
        let names = if pattern.starts_with(b"(?<") { vec![("Tail".into(), owned[1].clone())] } else { vec![] };
        Ok(Some(Found { groups: owned, names }))
    }

    fn log(&mut self, message: &str) {
        self.log.push(message.into());
    }
}

/// The body of a page that is included; empty if there is none.
fn page(path: &[u8]) -> &'static str {
    match path {
        b"/inc.html" => "INC",
        b"/ssi/inc.html" => "SSIINC",
        b"/up" => "upbody",
        b"/vset.html" => "<!--#set var=\"inner\" value=\"in\"-->",
        b"/vshow.html" => "<!--#echo var=\"inner\"-->",
        b"/ssi/self.html" => "s<!--#include virtual=\"/ssi/self.html\"-->",
        _ => "",
    }
}

fn run(text: &[u8], path: &[u8], depth: u32, shared: &mut Shared, cx: &mut Request) -> String {
    let mut interpreter = Interpreter::new(Arc::from(text), path, depth, DEFAULT_VALUE_LENGTH, false);
    let mut out = String::new();
    loop {
        let include = match interpreter.next(shared, cx) {
            Step::Bytes(bytes) => {
                out.push_str(std::str::from_utf8(&bytes).unwrap());
                continue;
            }
            Step::Include(include) => include,
            Step::End => return out,
        };
        let was_main = std::mem::take(&mut cx.main);
        let mut body = run(page(&include.path).as_bytes(), &include.path, depth + 1, shared, cx);
        if let (true, Some(stub)) = (body.is_empty(), &include.stub) {
            body = run(stub, &include.path, depth + 1, shared, cx);
        }
        cx.main = was_main;
        if include.set.is_some() {
            interpreter.resume_with(body.into(), shared);
        } else {
            out.push_str(&body);
        }
    }
}

fn main_page(text: &str) -> (String, Vec<String>) {
    let mut cx = Request { main: true, ..Request::default() };
    let out = run(text.as_bytes(), b"/ssi/page.html", 0, &mut Shared::default(), &mut cx);
    (out, cx.log)
}

/// A page, what nginx sends, and the first line in its log.
const PAGES: &[(&str, &str, &str)] = &[
    (r#"a<!--#echo var="x" -->b"#, "a(none)b", ""),
    (r#"<!--#echo var="arg_q"-->"#, "%3Ca%26%22%27%2B%20b/%C3%A9%3E", ""),
    (r#"<!--#echo var="arg_q" encoding="none"-->"#, "%3Ca%26%22%27%2B%20b/%C3%A9%3E", ""),
    (
        r#"<!--#echo var="arg_q" encoding="url"--><!--#echo var="arg_q"-->"#,
        "%253Ca%2526%2522%2527%252B%2520b/%25C3%25A9%253E%253Ca%2526%2522%2527%252B%2520b/%25C3%25A9%253E",
        "",
    ),
    (r#"<!--#echo var="nope" default="d<"-->"#, "d&lt;", ""),
    (r#"<!--#echo var="nope" default=""-->|"#, "|", ""),
    (
        r#"<!--#echo var="arg_q" encoding="bad"-->"#,
        "%3Ca%26%22%27%2B%20b/%C3%A9%3E",
        r#"unknown encoding "bad" in the "echo" command"#,
    ),
    (r#"<!--# echo var="arg_e" -->|"#, "|", ""),
    ("<!--#nosuch-->", "{E}", r#"invalid SSI command: "nosuch""#),
    ("<!--#echo-->", "{E}", r#"mandatory "var" parameter is absent in "echo" SSI command"#),
    (r#"<!--#echo var="a" var="b"-->"#, "{E}", r#"duplicate "var" parameter in "echo" SSI command"#),
    (r#"<!--#echo foo="a"-->"#, "{E}", r#"invalid parameter name: "foo" in "echo" SSI command"#),
    ("<!--#echo var=x-->", "{E}", r#"unexpected "x" symbol before value of "var" parameter in "echo" SSI command"#),
    (
        r#"<!--#echo var="x"y-->z"#,
        "{E}z",
        r#"unexpected "y" symbol after "x" value of "var" parameter in "echo" SSI command"#,
    ),
    (r#"<!--#echo var="x" - -->z-->w"#, "{E}z-->w", r#"unexpected " " symbol in "echo" SSI command"#),
    (r#"<!-- comment --><!--x--><!-#<<!--#echo var="arg_e"-->"#, "<!-- comment --><!--x--><!-#<", ""),
    (r#"<!--#echo-var="arg_e"-->"#, "{E}", r#"unexpected "v" symbol in "echo" SSI command"#),
    ("<!--#", "", ""),
    (r#"a<!--#echo var=""#, "a", ""),
    ("a<!--", "a", ""),
    ("a<!--#echo", "a", ""),
    (r#"<!--#echo var="x" -->-->"#, "(none)-->", ""),
    ("<!--#echo var='arg_z' -->", "zed", ""),
    (r#"<!--#echo var = "arg_z" -->"#, "zed", ""),
    (r#"<!--#echo var="arg_z"-->"#, "zed", ""),
    (r#"<!--#ECHO var="arg_z"-->"#, "{E}", r#"invalid SSI command: "ECHO""#),
    (r#"<!--#echo var="ARG_Z"-->"#, "zed", ""),
    (r#"<!--#set var="A" value="v$arg_z"--><!--#echo var="a"-->"#, "vzed", ""),
    (
        r#"<!--#set var="a" value="\$x \" \\ \n ${arg_z}y"--><!--#echo var="a" encoding="none"-->"#,
        r#"$x " \ \n zedy"#,
        "",
    ),
    (r#"<!--#set var="a" value="\$x \" \\ \n y"--><!--#echo var="a" encoding="none"-->"#, r#"$x " \ \n y"#, ""),
    (r#"<!--#set var="a" value="$"-->"#, "{E}", r#"invalid variable name in "$""#),
    (r#"<!--#set var="a" value="${x"-->"#, "{E}", r#"the closing bracket in "x" variable is missing"#),
    (r#"<!--#set var="a" value="$-"-->"#, "{E}", r#"invalid variable name in "$-""#),
    (r#"<!--#set var="a" value="1"--><!--#set var="a" value="$a$a"--><!--#echo var="a"-->"#, "11", ""),
    (r#"<!--#set var="a" value=""-->[<!--#echo var="a"-->]"#, "[]", ""),
    (r#"<!--#set var="a"-->"#, "{E}", r#"mandatory "value" parameter is absent in "set" SSI command"#),
    (r#"<!--#set var="a" value="$nope."-->[<!--#echo var="a"-->]"#, "[.]", ""),
    (r#"<!--#if expr="$arg_z" -->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (r#"<!--#if expr="$nope" -->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (r#"<!--#if expr="$arg_z = zed" -->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (r#"<!--#if expr="$arg_z=zed" -->Y<!--#elif expr="a"-->E<!--#else-->N<!--#endif-->"#, "Y", ""),
    (
        r#"<!--#if expr="$arg_z != zed" -->Y<!--#elif expr="a"-->E<!--#elif expr="b"-->E2<!--#else-->N<!--#endif-->"#,
        "E",
        "",
    ),
    (
        r#"<!--#if expr="$arg_z = /^(z)(?P<rest>.*)$/" --><!--#echo var="1"-->,<!--#echo var="rest"-->,<!--#echo var="0"-->,<!--#echo var="3"--><!--#endif-->"#,
        "{E}(none),(none),(none),(none){E}",
        r#"invalid variable name in "^(z)(?P<rest>.*)$""#,
    ),
    (r#"<!--#if expr="$arg_z = /Q/" -->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (
        r#"<!--#if expr="$arg_z = /(/" -->Y<!--#else-->N<!--#endif-->"#,
        "{E}Y{E}N{E}",
        r#"pcre2_compile() failed: missing closing parenthesis in "(""#,
    ),
    (
        r#"<!--#if expr="$arg_z = /x" -->Y<!--#else-->N<!--#endif-->"#,
        "{E}Y{E}N{E}",
        r#"invalid expression in "$arg_z = /x""#,
    ),
    (r#"<!--#if expr="$arg_p = \/x" -->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (r#"<!--#if expr="ABC = abc" -->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (
        r#"<!--#if expr="$arg_z ~ x" -->Y<!--#else-->N<!--#endif-->"#,
        "{E}Y{E}N{E}",
        r#"invalid expression in "$arg_z ~ x""#,
    ),
    (
        r#"<!--#if expr="a" -->1<!--#if expr="b"-->2<!--#endif-->3<!--#else-->4<!--#endif-->5"#,
        "1{E}23{E}4{E}5",
        r#"the "if" command inside the "if" command"#,
    ),
    (
        r#"<!--#if expr="$nope" -->1<!--#if expr="b"-->2<!--#else-->3<!--#endif-->4<!--#else-->5<!--#endif-->6"#,
        "34{E}5{E}6",
        r#"invalid context of SSI command: "else""#,
    ),
    ("<!--#else-->x", "{E}x", r#"invalid context of SSI command: "else""#),
    ("<!--#endif-->x", "{E}x", r#"invalid context of SSI command: "endif""#),
    (
        r#"<!--#if expr="a"-->1<!--#else-->2<!--#else-->3<!--#endif-->4"#,
        "1{E}4",
        r#"invalid context of SSI command: "else""#,
    ),
    (
        r#"<!--#if expr="a"-->1<!--#else-->2<!--#elif expr="c"-->3<!--#endif-->4"#,
        "1{E}4",
        r#"invalid context of SSI command: "elif""#,
    ),
    (r#"<!--#if expr="$nope"--><!--#nosuch--><!--#echo-->1<!--#endif-->2"#, "2", ""),
    (r#"<!--#if expr=""-->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (r#"<!--#if expr="$arg_z = z*" -->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (r#"<!--#if expr="$arg_z = $arg_z" -->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (r#"<!--#if expr="$arg_z = 'zed'" -->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (r#"<!--#if expr="$arg_z   =   zed  " -->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (
        r#"<!--#if expr="$arg_z = /^zed$/ " -->Y<!--#else-->N<!--#endif-->"#,
        "{E}Y{E}N{E}",
        r#"invalid expression in "$arg_z = /^zed$/ ""#,
    ),
    (r#"<!--#if expr="$arg_z = /" -->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (r#"<!--#if expr="$arg_z = //" -->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (r#"<!--#if expr="$arg_z = /$arg_r/" -->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (r#"<!--#if expr="$arg_z ="-->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (r#"<!--#if expr="$arg_z !"-->Y<!--#else-->N<!--#endif-->"#, "{E}Y{E}N{E}", r#"invalid expression in "$arg_z !""#),
    (r#"<!--#if expr="$arg_z != /x/"-->Y<!--#else-->N<!--#endif-->"#, "Y", ""),
    (r#"<!--#config errmsg="ERR"--><!--#nosuch-->"#, "ERR", r#"invalid SSI command: "nosuch""#),
    ("<!--#config-->x", "x", ""),
    (r#"<!--#include virtual="/inc.html" stub="none"-->"#, "{E}", r#""stub"="none" for "include" not found"#),
    (r#"<!--#include virtual="/inc.html"-->"#, "INC", ""),
    (r#"<!--#include file="inc.html"-->"#, "SSIINC", ""),
    (r#"<!--#include virtual="inc.html?a=b"-->"#, "SSIINC", ""),
    (r#"<!--#include virtual="/in$arg_c.html"-->"#, "INC", ""),
    ("<!--#include-->", "{E}", r#"no parameter in "include" SSI command"#),
    (r#"<!--#include file="a" virtual="b"-->"#, "{E}", r#"inclusion may be either virtual="b" or file="a""#),
    (r#"<!--#include virtual="/inc.html" wait="yes"-->"#, "INC", ""),
    (r#"<!--#include virtual="/inc.html" wait="maybe"-->"#, "{E}", r#"invalid value "maybe" in the "wait" parameter"#),
    (r#"<!--#include file="inc.html" wait="yes"-->"#, "{E}", r#""wait" cannot be used with file="inc.html""#),
    (r#"[<!--#include virtual="/up" set="v"-->]<!--#echo var="v"-->"#, "[]upbody", ""),
    (r#"[<!--#include virtual="/inc.html" set="v"-->]<!--#echo var="v"-->"#, "[]INC", ""),
    (r#"<!--#include virtual="/../x"-->"#, "{E}", r#"unsafe URI "/../x" was detected"#),
    (r#"<!--#include virtual=""-->"#, "{E}", r#"unsafe URI "" was detected"#),
    (r#"<!--#block name="b"-->1<!--#block name="c"-->2<!--#endblock-->3<!--#endblock-->4"#, "34", ""),
    ("<!--#endblock-->x", "x", ""),
    (r#"<!--#if expr="$nope"-->1<!--#endblock-->2<!--#endif-->3"#, "23", ""),
    ("<!--#block-->x<!--#endblock-->y", "{E}xy", r#"mandatory "name" parameter is absent in "block" SSI command"#),
    (
        "<!--#abcdefghijklmnopqrstuvwxyzabcdefgh-->",
        "{E}",
        r#"the "abcdefghijklmnopqrstuvwxyzabcdefg..." SSI command is too long"#,
    ),
    (
        r#"<!--#echo abcdefghijklmnopqrstuvwxyzabcdefgh="1"-->"#,
        "{E}",
        r#"too long "abcdefghijklmnopqrstuvwxyzabcdefg..." parameter in "echo" SSI command"#,
    ),
    ("<!--#echo -->", "{E}", r#"mandatory "var" parameter is absent in "echo" SSI command"#),
    ("<!--# -->x", "", r#"unexpected ">" symbol in "-" SSI command"#),
    ("<!--#-->x", "", r#"unexpected ">" symbol in "-" SSI command"#),
    ("<!--# - -->x", "{E}x", r#"invalid SSI command: "-""#),
    (
        r#"<!--#echo var="arg_z" default="a" encoding="none" default2="x"-->"#,
        "{E}",
        r#"invalid parameter name: "default2" in "echo" SSI command"#,
    ),
    (
        r#"<!--#set a="1" a2="1" a3="1" a4="1" a5="1" a6="1" a7="1" a8="1" a9="1" b="1" b1="1" b2="1" b3="1" b4="1" b5="1" b6="1" b7="1"-->"#,
        "{E}",
        r#"too many SSI command parameters: "set""#,
    ),
    (r#"<!--#echo var="arg_z" --!>x-->y"#, "{E}y", r#"unexpected "!" symbol in "echo" SSI command"#),
    (r#"<!--#echo var="arg_z" --->x-->y"#, "{E}y", r#"unexpected "-" symbol in "echo" SSI command"#),
    ("<!--#echo var-->x", "{E}x", r#"unexpected "-" symbol after "var" parameter in "echo" SSI command"#),
    ("<!--#echo var -->x", "{E}x", r#"unexpected "-" symbol after "var" parameter in "echo" SSI command"#),
    ("<!--#echo var=-->x", "{E}x", r#"unexpected "-" symbol before value of "var" parameter in "echo" SSI command"#),
    ("<!--#echo var=\"arg_z\"\t\r\n-->y", "zedy", ""),
    (
        r#"<!--#if expr="$arg_z = /z/"--><!--#endif--><!--#if expr="$arg_z = /(e)d/"--><!--#echo var="1"-->,<!--#set var="1" value="Q"--><!--#echo var="1"--><!--#endif-->"#,
        "e,e",
        "",
    ),
    (
        r#"<!--#if expr="$arg_z = /(x)?(e)(y)?/"-->[<!--#echo var="1"-->][<!--#echo var="2"-->][<!--#echo var="3"-->]<!--#endif-->"#,
        "[][e][(none)]",
        "",
    ),
    (r#"<!--#if expr="{a}"-->Y<!--#endif-->"#, "Y", ""),
    (r#"<!--#if expr="\$arg_z"-->Y<!--#else-->N<!--#endif-->"#, "{E}Y{E}N{E}", r#"invalid expression in "\$arg_z""#),
    (r#"<!--#if expr="$arg_z=\"zed\""-->Y<!--#else-->N<!--#endif-->"#, "N", ""),
    (r#"<!--#set var='b' value='q"r'--><!--#echo var='b'-->"#, "q&quot;r", ""),
    (r#"<!--#set var='b' value='q\'r'--><!--#echo var='b'-->"#, "q'r", ""),
    (r#"<!--#set var="0" value="q"-->[<!--#echo var='0'-->]"#, "[q]", ""),
];

#[test]
fn pages_come_out_as_from_nginx() {
    for &(text, expected, message) in PAGES {
        let (found, log) = main_page(text);
        assert_eq!(found, expected.replace("{E}", ERROR), "{text}");
        assert_eq!(log.first().map_or("", String::as_str), message, "{text}");
    }
}

#[test]
fn blocks_stand_in_for_empty_answers() {
    let table: &[(&str, &str)] = &[
        (
            r#"<!--#block name="b"-->stub <!--#echo var="arg_z"--> x<!--#endblock-->[<!--#include virtual="/404" stub="b"-->]"#,
            "[stub (none) x]",
        ),
        (
            r#"<!--#block name="b"-->stub<!--#endblock-->[<!--#include virtual="/empty.html" stub="b"--><!--#include virtual="/inc.html" stub="b"-->]"#,
            "[stubINC]",
        ),
        (
            r#"<!--#block name="b"-->1<!--#if expr="a"-->2<!--#endif-->3<!--#endblock-->[<!--#include virtual="/404x" stub="b"-->]"#,
            "[123]",
        ),
    ];
    for &(text, expected) in table {
        assert_eq!(main_page(text), (expected.to_string(), vec![]), "{text}");
    }
}

#[test]
fn variables_are_shared_by_all_pages_of_a_request() {
    let (found, _) = main_page(r#"<!--#set var="inner" value="outer"--><!--#include virtual="/vshow.html"-->"#);
    assert_eq!(found, "outer");
    let (found, _) = main_page(r#"<!--#include virtual="/vset.html"--><!--#echo var="inner"-->"#);
    assert_eq!(found, "in");
    let (found, _) = main_page(r#"<!--#if expr="$arg_z = /(?<Tail>e)d/"--><!--#echo var="tail"--><!--#endif-->"#);
    assert_eq!(found, "e");
}

#[test]
fn pages_that_include_themselves_end() {
    let (found, log) = main_page(r#"<!--#include virtual="/ssi/self.html"-->"#);
    assert_eq!(found, "s".repeat(51) + ERROR);
    assert_eq!(log, ["subrequests cycle while processing \"/ssi/self.html\""]);
}

#[test]
fn dates() {
    let table: &[(&str, &str)] = &[
        (r#"<!--#echo var="date_gmt"-->"#, "Saturday, 21-Nov-2026 15:58:59 GMT"),
        (r#"<!--#echo var="DATE_LOCAL"-->"#, "Saturday, 21-Nov-2026 16:58:59 CET"),
        (r#"<!--#config timefmt="%s"--><!--#echo var="date_local"-->"#, "1795276739"),
        (r#"<!--#config timefmt="%Y"--><!--#if expr="$date_gmt = 2026"-->ok<!--#endif-->"#, "ok"),
        (r#"<!--#config timefmt=""-->[<!--#echo var="date_gmt"-->]"#, "[{E}]"),
    ];
    for &(text, expected) in table {
        assert_eq!(main_page(text).0, expected.replace("{E}", ERROR), "{text}");
    }
}

#[test]
fn errors_may_be_silent() {
    let mut cx = Request::default();
    let page: Arc<[u8]> = Arc::from(&b"a<!--#nosuch-->b"[..]);
    let mut interpreter = Interpreter::new(page, b"/", 0, DEFAULT_VALUE_LENGTH, true);
    let mut shared = Shared::default();
    assert_eq!(interpreter.next(&mut shared, &mut cx), Step::Bytes(b"a".into()));
    assert_eq!(interpreter.next(&mut shared, &mut cx), Step::Bytes(b"b".into()));
    assert_eq!(interpreter.next(&mut shared, &mut cx), Step::End);
    assert_eq!(cx.log, ["invalid SSI command: \"nosuch\""]);
}
