//! Tests of the parser: what is read, and what is refused with which words.

use super::*;
use crate::{At, NoFiles};

/// The tree in one line: words joined by `|`, statements ended by `;`, blocks in braces.
fn shape(directives: &[Directive]) -> String {
    let one = |directive: &Directive| {
        let words = std::iter::once(&directive.name).chain(&directive.args);
        let words: Vec<&str> = words.map(|word| word.text.as_str()).collect();
        let words = words.join("|");
        match &directive.block {
            Some(block) => format!("{words}{{{}}}", shape(block)),
            None => format!("{words};"),
        }
    };
    directives.iter().map(one).collect()
}

#[test]
fn trees() {
    let table = [
        ("", ""),
        ("# only a comment", ""),
        ("a;", "a;"),
        ("a b  c\n\td ;", "a|b|c|d;"),
        ("a{}", "a{}"),
        ("a { b; c { d; } }", "a{b;c{d;}}"),
        ("a b#c; #d;\ne;", "a|b#c;e;"),
        ("a 'b c' \"d;{}\";", "a|b c|d;{};"),
        ("a \"\" '';", "a||;"),
        ("a b'c\"d;", "a|b'c\"d;"),
        (r#"a "b\"c" 'd\'e' "f\\g";"#, r#"a|b"c|d'e|f\g;"#),
        (r"a \d+\.html$ b\ c \; ;", r"a|\d+\.html$|b\ c|\;;"),
        (r"a 'x\ty' x\ny;", "a|x\ty|x\ny;"),
        (r#"a \"b\";"#, r#"a|"b";"#),
        ("a ${b}c $d{ }", "a|${b}c|$d{}"),
        ("a ${b};", "a|${b};"),
        ("a ${{b;", "a|${{b;"),
        ("a $\\{b};", "a|$\\{b};"),
        ("a b}c;", "a|b}c;"),
        ("if ($a = \"b\") { c; }", "if|($a|=|b|){c;}"),
        ("location ~ \\.php$ { return 404; }", "location|~|\\.php${return|404;}"),
        ("\u{feff}a;", "a;"),
        ("a \u{e9}\u{1f600};", "a|\u{e9}\u{1f600};"),
        ("a\r\nb\r\n;\r\n", "a|b;"),
    ];
    for (text, expected) in table {
        match parse("t", text, &mut NoFiles) {
            Ok(tree) => assert_eq!(shape(&tree), expected, "{text:?}"),
            Err(errors) => panic!("{text:?}: {}", errors[0]),
        }
    }
}

#[test]
fn errors_point() {
    let table = [
        (";", "t:1:1: unexpected \";\"\n  hint: a directive begins with its name"),
        ("{", "t:1:1: unexpected \"{\"\n  hint: the name of the block is missing before it"),
        ("a;\n}", "t:2:1: unexpected \"}\""),
        ("a {\n  b }", "t:2:5: unexpected \"}\"\n  hint: \";\" is missing after \"b\""),
        ("a", "t:1:2: unexpected end of file, expecting \";\" or \"}\"\n  hint: \";\" is missing after \"a\" at t:1:1"),
        (
            "a ",
            "t:1:3: unexpected end of file, expecting \";\" or \"}\"\n  hint: \";\" is missing after \"a\" at t:1:1",
        ),
        ("a {\n b;\n", "t:3:1: unexpected end of file, expecting \"}\"\n  hint: \"a\" at t:1:1 is not closed"),
        ("a 'b", "t:1:5: unexpected end of file, expecting \";\" or \"}\"\n  hint: the ' at t:1:3 is not closed"),
        ("a 'b'c;", "t:1:6: unexpected \"c\"\n  hint: after a closing quote comes a space, \";\" or \"{\""),
        ("\u{e9} ;\n a 'b'#;", "t:2:7: unexpected \"#\"\n  hint: after a closing quote comes a space, \";\" or \"{\""),
        ("include a;", "t:1:9: cannot include \"a\" here"),
    ];
    for (text, expected) in table {
        let errors = parse("t", text, &mut NoFiles).expect_err(text);
        assert_eq!(errors[0].to_string(), expected, "{text:?}");
    }
}

/// What nginx says, to the letter.
#[test]
fn errors_in_nginx_words() {
    let long = "x".repeat(5000);
    let table = [
        ("a;\n}\n".to_owned(), "unexpected \"}\" in t:2"),
        ("\n{\n".to_owned(), "unexpected \"{\" in t:2"),
        ("a;\n;".to_owned(), "unexpected \";\" in t:2"),
        ("a {\nb }".to_owned(), "unexpected \"}\" in t:2"),
        ("a\nb\n".to_owned(), "unexpected end of file, expecting \";\" or \"}\" in t:3"),
        ("a \"\n\n".to_owned(), "unexpected end of file, expecting \";\" or \"}\" in t:3"),
        ("a {\n\n".to_owned(), "unexpected end of file, expecting \"}\" in t:3"),
        ("a \"b\"c;".to_owned(), "unexpected \"c\" in t:1"),
        ("include\n x\n;".to_owned(), "cannot include \"x\" here in t:3"),
        ("include\n;".to_owned(), "invalid number of arguments in \"include\" directive in t:2"),
        ("\"include\" x {}".to_owned(), "directive \"include\" is not terminated by \";\" in t:1"),
        (format!("\na \"{long}\n\";"), "too long parameter, probably missing terminating \"\"\" character in t:2"),
        (format!("\na '{long}';"), "too long parameter, probably missing terminating \"'\" character in t:2"),
        (format!("a\n123456789{long};"), "too long parameter \"123456789x...\" started in t:2"),
    ];
    for (text, expected) in table {
        let errors = parse("t", &text, &mut NoFiles).expect_err(&text);
        assert_eq!(errors.iter().map(Diagnostic::nginx).collect::<Vec<_>>(), [expected], "{text:?}");
    }
    // A comment may be as long as it likes.
    assert!(parse("t", &format!("#{long}\na {};", &long[..4000]), &mut NoFiles).is_ok());
}

#[test]
fn command_line_directives() {
    let tree = parse_flag("-g", "daemon off; user x;", &mut NoFiles).unwrap();
    assert_eq!(shape(&tree), "daemon|off;user|x;");
    assert_eq!(tree[0].at(), &At::Flag("-g".into()));
    for (text, expected) in [
        ("a", "unexpected end of parameter, expecting \";\" in command line"),
        ("a {}", "block directives are not supported in -g option in command line"),
        ("}", "unexpected \"}\" in command line"),
    ] {
        assert_eq!(parse_flag("-g", text, &mut NoFiles).unwrap_err()[0].nginx(), expected);
    }
}

#[test]
fn what_can_be_read_is_read() {
    let parsed = read("t", "a; ; b { c }\nd { e; f 'x'y; }", &mut NoFiles);
    assert_eq!(shape(&parsed.tree), "a;b{}d{e;}");
    let errors: Vec<_> = parsed.errors.iter().map(Diagnostic::nginx).collect();
    assert_eq!(errors, ["unexpected \";\" in t:1", "unexpected \"}\" in t:1", "unexpected \"y\" in t:2"]);
    assert_eq!(shape(&parse_alone("t", "a; include x;").unwrap()), "a;include|x;");
}

#[test]
fn directives_know_their_lines() {
    let tree = parse("t", "a\nb\n;\nc\n{\n}\n", &mut NoFiles).unwrap();
    assert_eq!(tree.iter().map(|it| (it.line, it.close)).collect::<Vec<_>>(), [(3, 3), (5, 6)]);
}

#[test]
fn deep_blocks_are_refused() {
    let errors = parse("t", &"a{".repeat(100_000), &mut NoFiles).expect_err("too deep");
    assert_eq!(errors[0].message, "blocks stand too deep in each other");
}

/// Files in memory.
struct Files(Vec<(&'static str, &'static str)>);

impl Loader for Files {
    fn load(&mut self, pattern: &str) -> Result<Vec<Source>, String> {
        let found = self.0.iter().filter(|(name, _)| crate::matches(pattern, name));
        Ok(found.map(|&(name, text)| Source { name: name.to_owned(), text: text.to_owned() }).collect())
    }
}

#[test]
fn included_files_stand_where_they_are_included() {
    let mut files = Files(vec![("1.conf", "x;"), ("2.conf", "y { include z; }"), ("z", "deep;")]);
    let tree = parse("t", "a; b { include *.conf; c; }", &mut files).unwrap();
    assert_eq!(shape(&tree), "a;b{x;y{deep;}c;}");
    let block = tree[1].block.as_ref().unwrap();
    assert_eq!(block[0].at().to_string(), "1.conf:1:1");
}

#[test]
fn errors_of_several_files_are_told_together() {
    let mut files = Files(vec![("1", "x"), ("2", "}"), ("me", "include me;")]);
    let errors = parse("t", "include [12]; include me; include; }", &mut files).expect_err("four errors");
    let texts: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.at, error.message)).collect();
    assert_eq!(
        texts,
        [
            "1:1:2: unexpected end of file, expecting \";\" or \"}\"",
            "2:1:1: unexpected \"}\"",
            "me:1:9: \"me\" is included too deep; does it include itself?",
            "t:1:27: invalid number of arguments in \"include\" directive",
            "t:1:36: unexpected \"}\"",
        ]
    );
}

#[test]
fn what_is_written_is_read_back() {
    let text = "\u{feff}\u{feff}z; a 'b c' \"\" \\; x\\\\y '#' '}';\nl { m \"q\\\"\\t\"; }\n";
    let tree = parse("t", text, &mut NoFiles).unwrap();
    let written: String = tree.iter().map(ToString::to_string).collect();
    let again = parse("t", &written, &mut NoFiles).unwrap();
    assert_eq!(shape(&tree), shape(&again), "{written}");
}
