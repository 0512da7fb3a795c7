//! Tests of the formatter: what it makes of examples, and what holds for any text.

use super::*;
use crate::Directive;

fn words(directives: &[Directive]) -> Vec<(Vec<&str>, Option<usize>)> {
    let mut out = Vec::new();
    for directive in directives {
        let line = std::iter::once(&directive.name).chain(&directive.args).map(|word| word.text.as_str());
        out.push((line.collect(), directive.block.as_ref().map(Vec::len)));
        out.extend(words(directive.block.as_deref().unwrap_or_default()));
    }
    out
}

/// Formats, and checks that formatting again changes nothing and that the text says the same.
fn checked(text: &str) -> String {
    let once = format("t", text).unwrap_or_else(|errors| panic!("{text:?}: {}", errors[0]));
    assert_eq!(format("t", &once).expect("what was formatted is formatted"), once, "{text:?}");
    let before = parse_alone("t", text).expect("was formatted");
    let after = parse_alone("t", &once).expect("was formatted");
    assert_eq!(words(&before), words(&after), "{text:?}\n{once}");
    once
}

#[test]
fn examples() {
    let table = [
        ("", ""),
        ("\n\n", ""),
        ("a;", "a;\n"),
        ("  a   b\tc ;d;", "a b c;\nd;\n"),
        ("a{b;c{d;}}", "a {\n    b;\n    c {\n        d;\n    }\n}\n"),
        ("a\n{\n}\n", "a {}\n"),
        ("a {# b\n}", "a { # b\n}\n"),
        ("a{b{}}", "a {\n    b {}\n}\n"),
        ("a;\n\n\n\nb;\n\n", "a;\n\nb;\n"),
        ("a {\n\n  b;\n\n}\n\nc;", "a {\n    b;\n}\n\nc;\n"),
        ("# one  \n#two\r\na; # three\n\n# four", "# one\n#two\na; # three\n\n# four\n"),
        (
            "a {# one\n\n# two\nb; # three\n# four\n} # five",
            "a { # one\n    # two\n    b; # three\n    # four\n} # five\n",
        ),
        ("a # one\n{ # two\nb; }", "a { # one\n    # two\n    b;\n}\n"),
        ("a\n# one\n; # two", "a;\n# one\n# two\n"),
        ("a b # one\n  # two\n c;", "a b # one\n    # two\n    c;\n"),
        ("a 'b c'  \"d\";", "a 'b c' \"d\";\n"),
        ("if ($a = \"b\") {}", "if ($a = \"b\") {}\n"),
        ("log_format main 'a '\n                'b'\n;", "log_format main 'a '\n    'b';\n"),
        ("http { server_name a.com\n b.com c.com\n; }", "http {\n    server_name a.com\n        b.com c.com;\n}\n"),
        ("a 'x  \n   y'  z;", "a 'x  \n   y' z;\n"),
        ("a \\ b\\;\\{ ;", "a \\ b\\;\\{;\n"),
        ("\u{feff}a;\r\nb;\r\n", "a;\nb;\n"),
        ("\u{feff}\u{feff}a;", "\u{feff}\u{feff}a;\n"),
        ("include x/*.conf;", "include x/*.conf;\n"),
    ];
    for (text, expected) in table {
        assert_eq!(checked(text), expected, "{text:?}");
    }
}

#[test]
fn broken_text_is_not_formatted() {
    for text in ["a", "a {", "}", "a 'b'c;", ";", "a \"b", "a { b }"] {
        assert!(!format("t", text).expect_err(text).is_empty());
    }
}

#[test]
fn any_text_keeps_its_meaning() {
    const PARTS: [&str; 30] = [
        "a",
        "b;",
        ";",
        " {",
        "}",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        "# c\n",
        " # d\n",
        "#",
        "\"q w\"",
        "'q;'",
        "\"",
        "'",
        "\\",
        "\\\"",
        "$",
        "${",
        "${v}",
        ")",
        "(",
        "location ",
        " ;\n",
        "{\n",
        "}\n",
        "\u{e9}",
    ];
    // Deterministic: xorshift.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut accepted = 0;
    for _ in 0..60_000 {
        let mut text = String::new();
        let mut open = 0;
        for _ in 0..next(14) {
            let part = PARTS[next(PARTS.len())];
            open += part.matches('{').count();
            text.push_str(part);
        }
        text.push_str([";", "\n;", "", "# e\n;"][next(4)]);
        for _ in 0..next(open + 1) {
            text.push('}');
        }
        if format("t", &text).is_ok() {
            accepted += 1;
            checked(&text);
        }
    }
    assert!(accepted > 5_000, "only {accepted} texts were accepted");
}
