//! Lists of media types, by which features choose answers: `sub_filter_types` and its kin.

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::build::Setter;

/// A list of types, or all.
#[derive(Clone)]
pub struct MediaTypes {
    /// `None`: all.
    list: Option<Arc<Vec<Box<str>>>>,
}

impl MediaTypes {
    pub fn of(types: &[&str]) -> MediaTypes {
        MediaTypes { list: Some(Arc::new(types.iter().map(|&one| one.into()).collect())) }
    }

    /// Whether a type, without parameters, is in the list. None is in no list.
    pub fn has(&self, media_type: &[u8]) -> bool {
        let same = |one: &str| media_type.eq_ignore_ascii_case(one.as_bytes());
        !media_type.is_empty() && self.list.as_ref().is_none_or(|list| list.iter().any(|one| same(one)))
    }

    /// Takes a directive's arguments. HTML is in every list.
    pub fn set(&mut self, s: &mut Setter<'_>) -> Result<(), Diagnostic> {
        if s.first {
            *self = MediaTypes::default();
        } else if self.list.is_none() {
            return Ok(());
        }
        for word in &s.it.args {
            if word.text == "*" {
                self.list = None;
                return Ok(());
            }
            let list = Arc::make_mut(self.list.get_or_insert_default());
            if list.iter().any(|one| one.eq_ignore_ascii_case(&word.text)) {
                s.make
                    .warn(Diagnostic::of(s.it, format!("duplicate MIME type \"{}\"", word.text.to_ascii_lowercase())));
            } else {
                list.push(word.text.as_str().into());
            }
        }
        Ok(())
    }
}

impl Default for MediaTypes {
    fn default() -> Self {
        MediaTypes::of(&["text/html"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_without_regard_to_case() {
        let types = MediaTypes::of(&["text/html", "text/CSS"]);
        assert!(types.has(b"TEXT/html") && types.has(b"text/css"));
        assert!(!types.has(b"text/htm") && !types.has(b""));
        let all = MediaTypes { list: None };
        assert!(all.has(b"a/b") && !all.has(b""));
    }
}
