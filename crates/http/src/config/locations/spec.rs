//! What stands behind the word `location`: the modifier and the name, and what may stand inside what.

/// How a location says that it matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Modifier {
    /// `=`
    Exact,
    Prefix,
    /// `^~`
    PrefixNoRegex,
    /// `~`, or `~*` for one that takes capitals and small letters for the same
    Regex {
        caseless: bool,
    },
    /// `$variable`: tried after the regular expressions, for any path
    Predicate,
    /// `@name`: not for paths, the target of an internal redirect
    Named,
}

/// A location as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    pub modifier: Modifier,
    /// The path or pattern; a named one has its `@`.
    pub name: String,
}

impl Spec {
    /// Reads the arguments: a name, or a modifier and a name. They may be written as one: `=/path`.
    pub fn parse(first: &str, second: Option<&str>) -> Result<Spec, String> {
        let (modifier, name) = match second {
            Some(name) => {
                let modifier = modifier(first).ok_or_else(|| format!("invalid location modifier \"{first}\""))?;
                (modifier, name)
            }
            None => ["=", "^~", "~*", "~"]
                .iter()
                .find_map(|text| Some((modifier(text)?, first.strip_prefix(text)?)))
                .unwrap_or((plain(first), first)),
        };
        Ok(Spec { modifier, name: name.to_owned() })
    }

    /// Whether this one may stand in `outer`; the error is nginx's.
    pub fn inside(&self, outer: &Spec) -> Result<(), String> {
        let (name, around) = (&self.name, &outer.name);
        match (outer.modifier, self.modifier) {
            (Modifier::Exact, _) => {
                Err(format!("location \"{name}\" cannot be inside the exact location \"{around}\""))
            }
            (Modifier::Named, _) => {
                Err(format!("location \"{name}\" cannot be inside the named location \"{around}\""))
            }
            (_, Modifier::Named) => Err(format!("named location \"{name}\" can be on the server level only")),
            (_, Modifier::Regex { .. } | Modifier::Predicate) | (Modifier::Predicate, _) => Ok(()),
            _ if name.starts_with(around.as_str()) => Ok(()),
            _ => Err(format!("location \"{name}\" is outside location \"{around}\"")),
        }
    }

    /// A warning for a path inside a regular expression: nginx takes it and never finds it.
    pub fn never_found(&self, outer: &Spec) -> Option<String> {
        let (name, around) = (&self.name, &outer.name);
        let is_regex = |spec: &Spec| matches!(spec.modifier, Modifier::Regex { .. });
        (is_regex(outer) && !is_regex(self) && self.modifier != Modifier::Predicate)
            .then(|| format!("location \"{name}\" inside the regular expression \"{around}\" is never found"))
    }
}

fn plain(name: &str) -> Modifier {
    match name.as_bytes().first() {
        Some(b'@') => Modifier::Named,
        Some(b'$') => Modifier::Predicate,
        _ => Modifier::Prefix,
    }
}

fn modifier(text: &str) -> Option<Modifier> {
    match text {
        "=" => Some(Modifier::Exact),
        "^~" => Some(Modifier::PrefixNoRegex),
        "~" => Some(Modifier::Regex { caseless: false }),
        "~*" => Some(Modifier::Regex { caseless: true }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers() {
        let regex = |caseless| Modifier::Regex { caseless };
        for (first, second, modifier, name) in [
            ("/a", None, Modifier::Prefix, "/a"),
            ("", None, Modifier::Prefix, ""),
            ("=", Some("/a"), Modifier::Exact, "/a"),
            ("=/a", None, Modifier::Exact, "/a"),
            ("^~", Some("/a"), Modifier::PrefixNoRegex, "/a"),
            ("^~/a", None, Modifier::PrefixNoRegex, "/a"),
            ("~", Some("a$"), regex(false), "a$"),
            ("~a$", None, regex(false), "a$"),
            ("~*", Some("a$"), regex(true), "a$"),
            ("~*a$", None, regex(true), "a$"),
            ("~*", None, regex(true), ""),
            ("@a", None, Modifier::Named, "@a"),
            ("$a", None, Modifier::Predicate, "$a"),
            ("=", Some("@a"), Modifier::Exact, "@a"),
        ] {
            let spec = Spec { modifier, name: name.to_owned() };
            assert_eq!(Spec::parse(first, second), Ok(spec), "{first} {second:?}");
        }
        for first in ["~~", "==", "/a", "", "^", "@"] {
            let message = format!("invalid location modifier \"{first}\"");
            assert_eq!(Spec::parse(first, Some("/a")), Err(message));
        }
    }

    #[test]
    fn what_may_stand_inside() {
        for (outer, inner, message) in [
            ("/a", "/a", None),
            ("/a", "/a/b", None),
            ("/a", "=/a", None),
            ("^~/a", "^~/ab", None),
            ("/a", "~x", None),
            ("~x", "~y", None),
            ("~/a", "/a/b", None),
            ("/a", "/b", Some("location \"/b\" is outside location \"/a\"")),
            ("/a/", "/a", Some("location \"/a\" is outside location \"/a/\"")),
            ("/a", "=/b", Some("location \"/b\" is outside location \"/a\"")),
            (r"~\.php$", "/a", Some(r#"location "/a" is outside location "\.php$""#)),
            ("=/a", "/a/b", Some("location \"/a/b\" cannot be inside the exact location \"/a\"")),
            ("@a", "/a/b", Some("location \"/a/b\" cannot be inside the named location \"@a\"")),
            ("/a", "@b", Some("named location \"@b\" can be on the server level only")),
        ] {
            let (outer, inner) = (Spec::parse(outer, None).unwrap(), Spec::parse(inner, None).unwrap());
            assert_eq!(inner.inside(&outer).err().as_deref(), message);
            let warned = inner.never_found(&outer).is_some();
            assert_eq!(warned, outer.modifier == Modifier::Regex { caseless: false } && inner.name.starts_with('/'));
        }
    }
}
