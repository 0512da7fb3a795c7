//! The search, case by case, and compared with a plain reading of the rules.

use proptest::prelude::*;

use super::*;

/// A location in a few words: `=/a`, `^~/a`, `~a`, `/a/>` (with the redirect), and what stands inside.
#[derive(Clone, Debug)]
struct Written {
    text: String,
    inside: Vec<Written>,
}

fn one(text: &str, inside: &[Written]) -> Written {
    Written { text: text.to_owned(), inside: inside.to_vec() }
}

fn leaves(texts: &[&str]) -> Vec<Written> {
    texts.iter().map(|text| one(text, &[])).collect()
}

/// Values count the locations as they are written, from the outside in.
fn level<'w>(written: &'w [Written], values: &mut Vec<&'w str>) -> Result<Level<usize>, Duplicate<usize>> {
    let mut entries = Vec::new();
    for it in written {
        let value = values.len();
        values.push(&it.text);
        let nested = level(&it.inside, values)?;
        let text = it.text.trim_end_matches('>');
        let spec = Spec::parse(text, None).unwrap();
        let kind = match spec.modifier {
            Modifier::Exact => Kind::Exact,
            Modifier::PrefixNoRegex => Kind::PrefixNoRegex,
            Modifier::Regex { caseless } => Kind::Regex(Regex::new(&spec.name, caseless).unwrap()),
            _ => Kind::Prefix,
        };
        entries.push(Entry { kind, name: spec.name.into(), value, auto_redirect: it.text.ends_with('>'), nested });
    }
    Level::build(entries)
}

/// What `path` finds, as it is written; a redirect with an arrow.
fn found(written: &[Written], path: &str) -> String {
    let mut values = Vec::new();
    let level = level(written, &mut values).unwrap();
    match find(&level, path.as_bytes(), &mut Captures::default(), &mut |_| ()) {
        Hit::Found(value) => values[value].to_owned(),
        Hit::Redirect(value) => format!("-> {}", values[value]),
        Hit::Nothing => "nothing".to_owned(),
        Hit::Failed(what) => what,
    }
}

fn check(written: &[Written], cases: &[(&str, &str)]) {
    for (path, expected) in cases {
        assert_eq!(found(written, path), *expected, "{path}");
    }
}

#[test]
fn one_level() {
    let written = leaves(&["/", "=/", "/documents/", "^~/images/", r"~*\.(gif|jpg)$", "/img", "=/img/x.gif", "~^/doc"]);
    check(
        &written,
        &[
            ("/", "=/"),
            ("/index.html", "/"),
            ("/documents/a.html", "~^/doc"),
            ("/docs", "~^/doc"),
            ("/images/1.gif", "^~/images/"),
            ("/images", "/"),
            ("/documents/1.jpg", r"~*\.(gif|jpg)$"),
            ("/img/x.gif", "=/img/x.gif"),
            ("/img/x.GIF", r"~*\.(gif|jpg)$"),
            ("/img", "/img"),
            ("/imgs", "/img"),
            ("/IMG", "/"),
            ("", "nothing"),
            ("*", "nothing"),
        ],
    );
    check(&leaves(&["/a"]), &[("/b", "nothing"), ("/", "nothing"), ("/ab", "/a"), ("/a", "/a")]);
    check(&leaves(&[""]), &[("/b", ""), ("", "")]);
    check(&[], &[("/", "nothing")]);
    check(&leaves(&["=/a", "/a"]), &[("/a", "=/a"), ("/ab", "/a")]);
}

#[test]
fn names_that_share_their_beginning() {
    let written = leaves(&["/a", "/a/b", "/a/b/c", "/ab", "/a-b", "=/a/bc", "/a/b/cd/e"]);
    check(
        &written,
        &[
            ("/a/b/cc", "/a/b/c"),
            ("/a/b/cd", "/a/b/c"),
            ("/a/b/cd/f", "/a/b/c"),
            ("/a/b/cd/e", "/a/b/cd/e"),
            ("/a/bc", "=/a/bc"),
            ("/a/bcd", "/a/b"),
            ("/a/bd", "/a/b"),
            ("/a/", "/a"),
            ("/abc", "/ab"),
            ("/a-", "/a"),
            ("/a~", "/a"),
            ("/b", "nothing"),
        ],
    );
}

#[test]
fn nested_locations() {
    let written = [
        one("/", &leaves(&["~in-root", "/deep/er"])),
        one(
            "/a/",
            &[
                one("/a/b/", &leaves(&[r"~\.x$"])),
                one("~inner", &leaves(&["~deeper", "=/a/b/inner", "/a/b/"])),
                one("=/a/e", &[]),
            ],
        ),
        one("^~/quiet/", &[one("/quiet/x/", &[]), one(r"~\.y$", &[])]),
        one("/loud/", &leaves(&["^~/loud/x/"])),
        one(r"~\.[xyz]$", &leaves(&["~special"])),
    ];
    check(
        &written,
        &[
            ("/in-root", "~in-root"),
            ("/in-root.z", "~in-root"),
            ("/deep/er", "/deep/er"),
            ("/deep/er.z", r"~\.[xyz]$"),
            ("/a/1", "/a/"),
            ("/a/e", "=/a/e"),
            ("/a/b/1", "/a/b/"),
            ("/a/b/1.x", r"~\.x$"),
            ("/a/b/1.y", r"~\.[xyz]$"),
            ("/a/b/inner.y", "~inner"),
            ("/a/inner-deeper", "~deeper"),
            ("/a/1.z", r"~\.[xyz]$"),
            ("/a/special.z", "~special"),
            // A path inside a regular expression is never found.
            ("/a/b/inner", "~inner"),
            // `^~` holds for its own level, so not for what stands inside.
            ("/quiet/1.x", "^~/quiet/"),
            ("/quiet/1.y", r"~\.y$"),
            ("/quiet/x/1.z", "/quiet/x/"),
            // On a nested prefix it does not hold outside.
            ("/loud/x/1.z", r"~\.[xyz]$"),
            ("/loud/x/1", "^~/loud/x/"),
        ],
    );
}

#[test]
fn the_slash_at_the_end() {
    let written =
        leaves(&["/", "/app/>", "/own/>", "=/own", "/same/>", "/same", "/no/", "=/exact/>", "~^/app$", "/bare>"]);
    check(
        &written,
        &[
            ("/app", "-> /app/>"),
            ("/app/", "/app/>"),
            ("/ap", "/"),
            ("/app2", "/"),
            ("/own", "=/own"),
            ("/own/", "/own/>"),
            ("/same", "/same"),
            ("/no", "/"),
            ("/exact", "-> =/exact/>"),
            ("/exact/", "=/exact/>"),
            ("/exact/x", "/"),
            ("/bar", "/"),
        ],
    );
    check(&leaves(&["/app/>"]), &[("/app", "-> /app/>"), ("/", "nothing"), ("/app-1", "nothing")]);
    check(&leaves(&["/>"]), &[("", "-> />"), ("/", "/>")]);
    check(&[one("/", &leaves(&["/app/>", "/app-1", "/app.x"]))], &[("/app", "-> /app/>")]);
    check(&[one("~^/app", &leaves(&["/app/>"])), one("/", &[])], &[("/app", "~^/app"), ("/app/", "~^/app")]);
}

#[test]
fn locations_that_are_there_twice() {
    for (texts, expected) in [
        (&["/a", "/b", "/a"][..], Some((0, 2))),
        (&["/a", "^~/a"], Some((0, 1))),
        (&["=/a", "/a", "=/a"], Some((0, 2))),
        (&["=/a", "/a"], None),
        (&["~a", "~a"], None),
        (&["/a", "~/a"], None),
    ] {
        let duplicate = level(&leaves(texts), &mut Vec::new()).err();
        assert_eq!(duplicate, expected.map(|(first, second)| Duplicate { first, second }), "{texts:?}");
    }
}

#[test]
fn each_step_is_told() {
    let written = [one("/a/", &leaves(&["~x"])), one("~y", &[]), one("~z", &[]), one("^~/q/", &[]), one("=/e", &[])];
    let level = level(&written, &mut Vec::new()).unwrap();
    let steps = |path: &str| {
        let mut steps = Vec::new();
        find(&level, path.as_bytes(), &mut Captures::default(), &mut |step| steps.push(step));
        steps
    };
    let prefix = Step::Prefix { value: 0, no_regex: false };
    let regex = |value, pattern, matched| Step::Regex { value, pattern, matched };
    assert_eq!(steps("/a/z"), [prefix, regex(1, "x", false), regex(2, "y", false), regex(3, "z", true)]);
    assert_eq!(steps("/a/x"), [prefix, regex(1, "x", true)]);
    assert_eq!(steps("/q/y"), [Step::Prefix { value: 4, no_regex: true }, Step::RegexesSkipped(4)]);
    assert_eq!(steps("/e"), [Step::Exact(5)]);
}

#[test]
fn groups_are_those_of_the_last_match() {
    let written = [one("/", &[one("~^/(.)(.)", &leaves(&["~x(.)"]))])];
    let level = level(&written, &mut Vec::new()).unwrap();
    let mut captures = Captures::default();
    find(&level, b"/abc", &mut captures, &mut |_| ());
    assert_eq!((captures.get(1), captures.get(2)), (Some(&b"a"[..]), Some(&b"b"[..])));
    find(&level, b"/axc", &mut captures, &mut |_| ());
    assert_eq!((captures.get(1), captures.get(2)), (Some(&b"c"[..]), None));
}

#[test]
fn a_regex_that_fails_lets_nobody_pass() {
    let written = [one("/", &leaves(&["~^(/a|/a)*$"])), one("~secret", &[])];
    let path = "/a".repeat(100) + "!";
    assert!(found(&written, &path).starts_with("pcre2_match() failed"), "{}", found(&written, &path));
}

#[test]
fn many_locations_are_built_and_searched_fast() {
    let name = |number: usize| format!("/shop/part-{:04}/item-{number}/", number % 1000).into_bytes();
    let nested = |number: usize| {
        let mut name = b"/deep".to_vec();
        name.resize(5 + number, b'x');
        name
    };
    let entries = (0..20_000).map(name).chain((0..2_000).map(nested)).enumerate().map(|(value, name)| Entry {
        kind: Kind::Prefix,
        name,
        value,
        auto_redirect: true,
        nested: Level::default(),
    });
    let entries = entries.collect();
    let begun = std::time::Instant::now();
    let level = Level::build(entries).unwrap();
    let mut captures = Captures::default();
    for number in 0..20_000 {
        let path = [&name(number)[..], b"view"].concat();
        assert_eq!(find(&level, &path, &mut captures, &mut |_| ()), Hit::Found(number));
    }
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
}

/// The rules, read plainly: every location is looked at.
fn plain(written: &[Written], path: &str, in_regex: bool) -> Option<(String, bool)> {
    let is_regex = |spec: &Spec| matches!(spec.modifier, Modifier::Regex { .. });
    let parsed = || {
        let specs = written.iter().map(|it| (it, Spec::parse(&it.text, None).unwrap()));
        specs.filter(|(_, spec)| !in_regex || is_regex(spec))
    };
    if let Some((it, _)) = parsed().find(|(_, spec)| spec.modifier == Modifier::Exact && spec.name == path) {
        return Some((it.text.clone(), true));
    }
    let prefixes = parsed().filter(|(_, spec)| !is_regex(spec) && spec.modifier != Modifier::Exact);
    let longest = prefixes.filter(|(_, spec)| path.starts_with(&spec.name)).max_by_key(|(_, spec)| spec.name.len());
    let mut kept = None;
    if let Some((it, spec)) = &longest {
        kept = Some((it.text.clone(), false));
        match plain(&it.inside, path, false) {
            Some((text, true)) => return Some((text, true)),
            Some(inner) => kept = Some(inner),
            None => {}
        }
        if spec.modifier == Modifier::PrefixNoRegex {
            return kept;
        }
    }
    let regex =
        parsed().find(|(_, spec)| is_regex(spec) && Regex::new(&spec.name, false).unwrap().is_match(path.as_bytes()));
    if let Some((it, _)) = regex {
        let inner = plain(&it.inside, path, true).map(|(text, _)| text);
        return Some((inner.unwrap_or(it.text.clone()), true));
    }
    kept
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let text = || "(=|\\^~|~|)/[ab/]{0,4}";
    let leaf = text().prop_map(|text| one(&text, &[]));
    let tree = leaf.prop_recursive(3, 24, 6, move |inner| {
        (text(), prop::collection::vec(inner, 0..6)).prop_map(|(text, inside)| {
            let inside = if text.starts_with('=') { Vec::new() } else { inside };
            one(&text, &inside)
        })
    });
    prop::collection::vec(tree, 0..8)
}

proptest! {
    #[test]
    fn it_finds_what_the_rules_say(written in written(), paths in prop::collection::vec("/[ab/]{0,6}", 8)) {
        let mut values = Vec::new();
        if level(&written, &mut values).is_err() {
            return Ok(());
        }
        for path in &paths {
            let expected = plain(&written, path, false).map_or("nothing".to_owned(), |(text, _)| text);
            prop_assert_eq!(found(&written, path), expected, "{}", path);
        }
    }
}
