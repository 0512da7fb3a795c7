//! Regular expressions as nginx has them: PCRE2 over bytes, UTF mode off, with the JIT where there is one.
//!
//! What is wrong with a pattern is said in nginx's words. A subject comes from a client, so a match has limits: one that
//! runs into them is neither "yes" nor "no" ([`Matched::Failed`]). It knows nothing of locations, names or variables.

use std::sync::{Arc, Mutex, PoisonError};

use pcre2::bytes::{CaptureLocations, RegexBuilder};

/// Steps that a match may take: some tens of milliseconds. A pattern can ask for less with `(*LIMIT_MATCH=…)`.
const MATCH_LIMIT: &str = "1000000";
/// KiB that a match may take where there is no JIT.
const HEAP_LIMIT: &str = "20000";
/// Bytes of stack for the JIT's code: enough for a URI of some thousand bytes under `(a|b)*`. Taken when needed.
const JIT_STACK: usize = 256 * 1024;

/// What came of a match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Matched {
    Yes,
    No,
    /// A limit was reached: nobody knows. The text says which one.
    Failed(String),
}

/// A compiled pattern. One may be used by many threads.
pub struct Regex {
    pattern: Box<str>,
    names: Box<[(Arc<str>, usize)]>,
    groups: usize,
    code: pcre2::bytes::Regex,
    /// Room for the offsets of a match: as many as there ever were matches at the same time.
    spare: Mutex<Vec<CaptureLocations>>,
}

impl Regex {
    /// Compiles `pattern`. The error is nginx's: what is wrong, in what, and where.
    pub fn new(pattern: &str, caseless: bool) -> Result<Regex, String> {
        let limits = format!("(*LIMIT_MATCH={MATCH_LIMIT})(*LIMIT_HEAP={HEAP_LIMIT})");
        let code = RegexBuilder::new()
            .caseless(caseless)
            .jit_if_available(true)
            .max_jit_stack_size(Some(JIT_STACK))
            .build(&format!("{limits}{pattern}"))
            .map_err(|error| explain(&error, pattern, limits.len()))?;
        let names = code.capture_names().iter().enumerate();
        let names = names.filter_map(|(group, name)| Some((name.as_deref()?.into(), group))).collect();
        Ok(Regex {
            pattern: pattern.into(),
            names,
            groups: code.captures_len() - 1,
            code,
            spare: Mutex::new(Vec::new()),
        })
    }

    /// The text it was made from.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The named groups, `(?<name>…)` and `(?P<name>…)`, each with its number.
    pub fn names(&self) -> &[(Arc<str>, usize)] {
        &self.names
    }

    /// How many groups there are, without the whole match, which is number 0.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether it matches somewhere in `subject`; a failure is a "no".
    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.run(subject, None) == Matched::Yes
    }

    /// Whether it matches somewhere in `subject`, and if so, what its groups matched. A failure is a "no". `captures`
    /// stay as they are if it does not match.
    pub fn find(&self, subject: &[u8], captures: &mut Captures) -> bool {
        self.run(subject, Some(captures)) == Matched::Yes
    }

    /// The same, for those who have to tell a failure from a "no": a rule that guards something must not be passed by
    /// making it fail.
    pub fn matched(&self, subject: &[u8], captures: &mut Captures) -> Matched {
        self.run(subject, Some(captures))
    }

    fn run(&self, subject: &[u8], captures: Option<&mut Captures>) -> Matched {
        let mut room = self.spare().pop().unwrap_or_else(|| self.code.capture_locations());
        let matched = match self.code.captures_read(&mut room, subject) {
            Ok(Some(_)) => {
                if let Some(captures) = captures {
                    captures.keep(subject, (0..room.len()).map(|group| room.get(group)));
                    captures.keep_named(&self.names);
                }
                Matched::Yes
            }
            Ok(None) => Matched::No,
            Err(error) => {
                let subject = String::from_utf8_lossy(subject);
                Matched::Failed(format!("pcre2_match() failed: {} on \"{subject}\" using \"{self}\"", error.code()))
            }
        };
        self.spare().push(room);
        matched
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<CaptureLocations>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Regex {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.pattern)
    }
}

impl std::fmt::Debug for Regex {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Regex({:?})", self.pattern)
    }
}

/// nginx's words for a pattern that does not compile; `before` is the length of what we put before it.
fn explain(error: &pcre2::Error, pattern: &str, before: usize) -> String {
    let text = error.to_string();
    let Some(offset) = error.offset() else { return format!("pcre2_compile() failed: {text} in \"{pattern}\"") };
    let lead = format!("PCRE2: error compiling pattern at offset {offset}: ");
    let what = text.strip_prefix(&lead).unwrap_or(&text);
    let at = offset.saturating_sub(before).min(pattern.len());
    let rest = String::from_utf8_lossy(&pattern.as_bytes()[at..]);
    match rest.as_ref() {
        "" => format!("pcre2_compile() failed: {what} in \"{pattern}\""),
        rest => format!("pcre2_compile() failed: {what} in \"{pattern}\" at \"{rest}\""),
    }
}

/// What the groups of the last match matched, with a copy of the subject, so that it stands when the subject has
/// changed. What a named group matched stays until a group of that name matches again. Made to be used again: it keeps
/// its room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Captures {
    subject: Vec<u8>,
    /// Start and end of each group, the whole match first. A group that took no part has the end before the start.
    groups: Vec<(usize, usize)>,
    /// In the order in which they came; few.
    named: Vec<(Arc<str>, Vec<u8>)>,
}

impl Captures {
    /// What group `number` matched; 0 is the whole match.
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        let &(start, end) = self.groups.get(number)?;
        self.subject.get(start..end)
    }

    /// What the group `name` matched, in the last match of an expression that has such a group; empty if it took no
    /// part in that match. Names are the same in any case.
    pub fn named(&self, name: &str) -> Option<&[u8]> {
        self.named.iter().find(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// Forgets the numbered groups; what named ones matched stays.
    pub fn forget_groups(&mut self) {
        self.groups.clear();
    }

    /// Forgets all matches.
    pub fn clear(&mut self) {
        self.subject.clear();
        self.groups.clear();
        self.named.clear();
    }

    fn keep(&mut self, subject: &[u8], groups: impl Iterator<Item = Option<(usize, usize)>>) {
        self.subject.clear();
        self.subject.extend_from_slice(subject);
        self.groups.clear();
        self.groups.extend(groups.map(|group| group.unwrap_or((1, 0))));
    }

    fn keep_named(&mut self, names: &[(Arc<str>, usize)]) {
        for (name, group) in names {
            let at = self.named.iter().position(|(there, _)| there.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
                self.named.push((Arc::clone(name), Vec::new()));
                self.named.len() - 1
            });
            let (start, end) = self.groups[*group];
            let value = &mut self.named[at].1;
            value.clear();
            value.extend_from_slice(self.subject.get(start..end).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str) -> Regex {
        Regex::new(pattern, false).unwrap()
    }

    #[test]
    fn groups_and_names() {
        let regex = regex(r"^/(?<user>\w+)/(?P<page>\d+)?(x)?$");
        assert_eq!(regex.groups(), 3);
        assert_eq!(regex.names(), [("user".into(), 1), ("page".into(), 2)]);
        let mut captures = Captures::default();
        assert!(regex.find(b"/ann/", &mut captures));
        assert_eq!(captures.get(0), Some(&b"/ann/"[..]));
        assert_eq!(captures.get(1), Some(&b"ann"[..]));
        assert_eq!((captures.get(2), captures.get(3), captures.get(4)), (None, None, None));
        assert!(regex.find(b"/bob/12x", &mut captures));
        assert_eq!((captures.get(2), captures.get(3)), (Some(&b"12"[..]), Some(&b"x"[..])));
        // A "no" leaves the last match.
        assert!(!regex.find(b"nothing", &mut captures));
        assert_eq!(captures.get(1), Some(&b"bob"[..]));
        captures.clear();
        assert_eq!(captures.get(0), None);
    }

    #[test]
    fn a_match_replaces_the_one_before() {
        let mut captures = Captures::default();
        assert!(regex("(a)(b)").find(b"ab", &mut captures));
        assert!(regex("c").find(b"abc", &mut captures));
        assert_eq!((captures.get(0), captures.get(1)), (Some(&b"c"[..]), None));
        assert!(regex("(c)?$").find(b"", &mut captures));
        assert_eq!((captures.get(0), captures.get(1)), (Some(&b""[..]), None));
    }

    #[test]
    fn a_named_group_stays() {
        let mut captures = Captures::default();
        let named = |captures: &Captures, name: &str| captures.named(name).map(|value| value.to_vec());
        assert!(regex("^(?<host>.)").find(b"ab", &mut captures));
        assert!(regex("^/(?<page>.)(?<rest>.)?").find(b"/xy", &mut captures));
        assert_eq!(named(&captures, "host"), Some(b"a".to_vec()));
        assert_eq!(named(&captures, "rest"), Some(b"y".to_vec()));
        assert!(regex("^/(?<page>.)(?<rest>.)?").find(b"/z", &mut captures));
        assert!(!regex("^/(?<page>x)").find(b"/y", &mut captures));
        assert!(regex("(.)$").find(b"other", &mut captures));
        assert_eq!(named(&captures, "page"), Some(b"z".to_vec()));
        assert_eq!(named(&captures, "rest"), Some(b"".to_vec()));
        assert_eq!(named(&captures, "none"), None);
        captures.clear();
        assert_eq!(named(&captures, "page"), None);
    }

    #[test]
    fn it_works_on_bytes() {
        for (pattern, caseless, subject, expected) in [
            ("a", false, &b"xA"[..], false),
            ("a", true, b"xA", true),
            ("^.$", false, "ü".as_bytes(), false),
            ("^..$", false, "ü".as_bytes(), true),
            ("^.$", false, b"\xff", true),
            ("ü", true, "Ü".as_bytes(), false),
            ("^a\\0b$", false, b"a\0b", true),
            ("a$", false, b"a\n", true),
            ("a$", false, b"a\nb", false),
            ("^b", false, b"a\nb", false),
            ("", false, b"", true),
            ("(*UTF)^.$", false, "ü".as_bytes(), true),
            ("(?i)A", false, b"a", true),
        ] {
            let regex = Regex::new(pattern, caseless).unwrap();
            assert_eq!(regex.is_match(subject), expected, "{pattern} {subject:?}");
        }
    }

    #[test]
    fn mistakes_are_told_as_nginx_tells_them() {
        for (pattern, message) in [
            ("(", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
            ("a)b", "pcre2_compile() failed: unmatched closing parenthesis in \"a)b\" at \")b\""),
            ("[", "pcre2_compile() failed: missing terminating ] for character class in \"[\""),
            ("*", "pcre2_compile() failed: quantifier does not follow a repeatable item in \"*\""),
        ] {
            let told = Regex::new(pattern, false).unwrap_err();
            assert!(told.starts_with(message), "{pattern}: {told}");
        }
        let told = Regex::new("(?<a>x)(?<a>y)", false).unwrap_err();
        assert!(told.contains("two named subpatterns have the same name"), "{told}");
        assert!(told.ends_with("in \"(?<a>x)(?<a>y)\" at \"y)\""), "{told}");
    }

    #[test]
    fn a_hostile_subject_does_not_run_for_ever() {
        let begun = std::time::Instant::now();
        let subject = [&b"a".repeat(200)[..], b"!"].concat();
        let mut captures = Captures::default();
        for pattern in [r"^(a+)+$", r"^(a|a)*$", r"^(a|aa)+$", r"^(.*)*x$|^(a?){200}b"] {
            let regex = regex(pattern);
            let matched = regex.matched(&subject, &mut captures);
            assert!(matches!(matched, Matched::Failed(_) | Matched::No), "{pattern}: {matched:?}");
            assert!(!regex.find(&subject, &mut captures));
        }
        assert!(matches!(regex("^(a+)+$").matched(&subject, &mut captures), Matched::Failed(_)));
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        assert_eq!(captures, Captures::default());
    }

    #[test]
    fn a_long_subject_is_no_failure() {
        let subject = [&b"ab".repeat(2000)[..], b"c"].concat();
        assert!(regex("^(a|b)*c$").is_match(&subject));
    }

    #[test]
    fn many_threads_use_one() {
        let regex = regex("^(.)(.)$");
        std::thread::scope(|scope| {
            for letter in b'a'..b'e' {
                let regex = &regex;
                scope.spawn(move || {
                    let mut captures = Captures::default();
                    for _ in 0..1000 {
                        assert!(regex.find(&[letter, b'1'], &mut captures));
                        assert_eq!(captures.get(1), Some(&[letter][..]));
                    }
                });
            }
        });
    }
}
