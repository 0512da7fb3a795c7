//! What to do about a directive that is wrong: the guesses that fit more than one directive.

use conf::{At, Diagnostic, Directive};

use super::table;

/// For a name that no directive has.
pub fn unknown(name: &str) -> Option<String> {
    if name.ends_with(['$', ')', '/']) && name.contains('}') {
        return Some("a regular expression with `{` or `;` in it must stand in quotes".to_owned());
    }
    // nginx writes names in small letters, with `_`.
    let usual = name.to_ascii_lowercase().replace('-', "_");
    if usual != name && !table::find(&usual).is_empty() {
        return Some(format!("did you mean \"{usual}\"?"));
    }
    if let Some((first, _)) = name.split_once(char::is_whitespace)
        && !table::find(first).is_empty()
    {
        return Some(format!("the quotes make one word of it; \"{first}\" is the directive"));
    }
    conf::nearest(&usual, table::names()).map(|near| format!("did you mean \"{near}\"?"))
}

/// Adds the likely reason where an argument begins a line and has the name of a directive: the `;` before it is missing.
pub fn missing_end(mut problem: Diagnostic, it: &Directive) -> Diagnostic {
    let mut before = &it.name;
    for word in &it.args {
        let next_line = line(&word.at).zip(line(&before.at)).is_some_and(|(this, before)| this > before);
        if next_line && !word.quoted && !table::find(&word.text).is_empty() {
            let missing = format!("is there a \";\" missing before \"{}\"?", word.text);
            problem.hint = Some(missing);
            break;
        }
        before = word;
    }
    problem
}

fn line(at: &At) -> Option<u32> {
    match at {
        At::File { line, .. } => Some(*line),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Place};

    /// The hints of all problems of a configuration.
    fn hints(text: &str) -> Vec<String> {
        let read = conf::read("test", text, &mut conf::NoFiles);
        let problems = Config::build(&read.tree, &Place::default()).err().unwrap_or_default();
        problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.message, problem.hint.unwrap_or_default()))
            .collect()
    }

    fn one(text: &str) -> String {
        hints(text).into_iter().next().unwrap_or_default()
    }

    #[test]
    fn a_missing_semicolon_is_guessed() {
        let server = |inside: &str| format!("http {{ server {{\n{inside}\n}} }}");
        let missing = "is there a \";\" missing before \"server_name\"?";
        assert!(one(&server("listen 8080\nserver_name a;")).ends_with(missing));
        assert!(one(&server("root /srv\nserver_name a;")).ends_with(missing));
        assert!(!one(&server("root /srv server_name a;")).contains("missing"));
        assert!(!one(&server("root /srv\n'server_name' a;")).contains("missing"));
    }

    #[test]
    fn names_that_are_nearly_right() {
        for (text, hint) in [
            ("listne 80;", "did you mean \"listen\"?"),
            ("Listen 80;", "did you mean \"listen\"?"),
            ("Server-Name a;", "did you mean \"server_name\"?"),
            ("\"root html\";", "the quotes make one word of it; \"root\" is the directive"),
            ("location ~ ^/a{2}$ { }", "a regular expression with `{` or `;` in it must stand in quotes"),
        ] {
            let found = hints(&format!("http {{ server {{ {text} }} }}"));
            assert!(found.iter().any(|found| found.ends_with(hint)), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_variable_that_nothing_defines_is_told_with_its_place() {
        let found = one("http { server {\n return 200 $hsot; } }");
        assert_eq!(found, "unknown \"hsot\" variable: did you mean $host? it is used at test:2:2");
    }
}
