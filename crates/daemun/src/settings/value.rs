//! Values as typed, checked against the type of their setting: the same rules for the command line (where everything
//! is text) and for the configuration file (where it is Python).

use super::table::{Kind, Row};
use crate::host::SettingValue;

impl Row {
    /// Checks a value and brings it into the normal form of the setting's type. The error completes a sentence that
    /// begins with where the value stands.
    pub fn check(&self, value: &SettingValue) -> Result<SettingValue, String> {
        use SettingValue::{Dict, Float, Int, List, None, Str};
        if *value == None {
            return Ok(self.default.value());
        }
        match self.kind {
            Kind::Switch | Kind::Off | Kind::YesNo => boolean(value).map(SettingValue::Bool),
            Kind::Seconds(most) => match fraction(value)? {
                number if number < 0.0 => Err(format!("must not be negative, not {}", show(value))),
                number if number > most as f64 => Err(format!("must be at most {most}, not {}", show(value))),
                number => Ok(Float(number)),
            },
            Kind::Int(low, high) => {
                let number = integer(value)?;
                if number < low {
                    return Err(format!("must be at least {low}, not {number}"));
                }
                if number > high {
                    return Err(format!("must be at most {high}, not {number}"));
                }
                Ok(Int(number))
            }
            Kind::Mode => match integer(value)? {
                number @ 0..=0o7777 => Ok(Int(number)),
                number => Err(format!("must be a mode between 0 and 07777, not {number}")),
            },
            Kind::Text | Kind::Commas => text(value).map(Str),
            Kind::Secret => match value {
                Str(secret) if !secret.contains('\0') => Ok(value.clone()),
                _ => Err("must be text".into()),
            },
            Kind::List => list(value, self.name == "static_files"),
            Kind::Choice(words) => {
                let word = text(value)?.to_ascii_lowercase();
                match words.contains(&word.as_str()) {
                    true => Ok(Str(word)),
                    false => Err(format!("must be {}, not `{word}`", alternatives(words))),
                }
            }
            Kind::OnOff => match boolean(value) {
                Ok(on) => Ok(Str(if on { "on" } else { "off" }.into())),
                Err(_) => Err(format!("must be on or off, not {}", show(value))),
            },
            Kind::Account => match value {
                Int(number) => Ok(Int(*number)),
                _ => text(value).map(Str),
            },
            Kind::Dict => match value {
                Dict(_) => Ok(value.clone()),
                List(items) if items.is_empty() => Ok(Dict(Vec::new())),
                _ => Err(format!("must be a dictionary, not {}", show(value))),
            },
            Kind::Hook => Ok(value.clone()),
        }
    }
}

/// `a, b or c`
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).into(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn boolean(value: &SettingValue) -> Result<bool, String> {
    match value {
        SettingValue::Bool(value) => Ok(*value),
        SettingValue::Str(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" | "t" | "y" => Ok(true),
            "false" | "off" | "no" | "0" | "f" | "n" => Ok(false),
            _ => Err(format!("must be True or False, not `{text}`")),
        },
        other => Err(format!("must be True or False, not {}", show(other))),
    }
}

fn integer(value: &SettingValue) -> Result<i64, String> {
    match value {
        SettingValue::Int(number) => Ok(*number),
        SettingValue::Bool(value) => Ok((*value).into()),
        SettingValue::Str(text) => {
            parse_integer(text.trim()).ok_or_else(|| format!("must be a whole number, not `{text}`"))
        }
        other => Err(format!("must be a whole number, not {}", show(other))),
    }
}

fn fraction(value: &SettingValue) -> Result<f64, String> {
    let number = match value {
        SettingValue::Float(number) => Some(*number),
        SettingValue::Int(number) => Some(*number as f64),
        SettingValue::Str(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| format!("must be a number, not {}", show(value)))
}

/// Reads a number as Python writes it, and also C's octal numbers: `12`, `1_000`, `0x1f`, `0o22`, `022`.
fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

fn text(value: &SettingValue) -> Result<String, String> {
    match value {
        SettingValue::Str(text) if text.contains('\0') => Err("must not contain a NUL byte".into()),
        SettingValue::Str(text) => Ok(text.trim().into()),
        other => Err(format!("must be text, not {}", show(other))),
    }
}

fn list(value: &SettingValue, pairs: bool) -> Result<SettingValue, String> {
    let items = match value {
        SettingValue::Str(one) if one.trim().is_empty() => Vec::new(),
        SettingValue::Str(_) => vec![text(value)?],
        SettingValue::List(items) => items.iter().map(text).collect::<Result<_, _>>()?,
        SettingValue::Dict(items) if pairs => {
            items.iter().map(|(key, value)| Ok(format!("{key}={}", text(value)?))).collect::<Result<_, String>>()?
        }
        other => return Err(format!("must be text or a list of texts, not {}", show(other))),
    };
    Ok(SettingValue::List(items.into_iter().map(SettingValue::Str).collect()))
}

/// A value in a message.
fn show(value: &SettingValue) -> String {
    match value {
        SettingValue::Str(text) => format!("`{text}`"),
        SettingValue::Callable(name) => format!("the function `{name}`"),
        SettingValue::Other(kind) => format!("a value of type `{kind}`"),
        SettingValue::Dict(_) => "a dictionary".into(),
        SettingValue::List(_) => "a list".into(),
        plain => format!("`{}`", python(plain)),
    }
}

/// A value as Python's `repr` writes it.
pub(super) fn python(value: &SettingValue) -> String {
    match value {
        SettingValue::None => "None".into(),
        SettingValue::Bool(true) => "True".into(),
        SettingValue::Bool(false) => "False".into(),
        SettingValue::Int(number) => number.to_string(),
        SettingValue::Float(number) => format!("{number:?}"),
        SettingValue::Str(text) => quoted(text),
        SettingValue::List(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        SettingValue::Dict(items) => {
            let items: Vec<_> =
                items.iter().map(|(key, value)| format!("{}: {}", quoted(key), python(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
        SettingValue::Callable(name) => format!("<{name}()>"),
        SettingValue::Other(kind) => format!("<{kind}>"),
    }
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for part in text.chars() {
        match part {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            part if part == quote => {
                out.push('\\');
                out.push(part);
            }
            part => out.push(part),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table::find;

    fn check(name: &str, value: SettingValue) -> Result<SettingValue, String> {
        find(name).unwrap().check(&value)
    }

    fn str(text: &str) -> SettingValue {
        SettingValue::Str(text.into())
    }

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, number) in
            [("12", 12), ("1_000", 1000), ("0x1F", 31), ("0o22", 18), ("022", 18), ("-5", -5), ("0", 0)]
        {
            assert_eq!(parse_integer(text), Some(number), "{text}");
        }
        for text in ["", "x", "1.5", "1_", "_1", "1__0", "0x", "0x-1", "--1", "1e3", "099"] {
            assert_eq!(parse_integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_bad_value_says_what_is_allowed() {
        assert_eq!(check("workers", str("x")), Err("must be a whole number, not `x`".into()));
        assert_eq!(check("workers", SettingValue::Int(0)), Err("must be at least 1, not 0".into()));
        assert_eq!(check("timeout", SettingValue::Float(1.5)), Err("must be a whole number, not `1.5`".into()));
        assert_eq!(check("front", str("both")), Err("must be auto, inline or thread, not `both`".into()));
        assert_eq!(check("ws_ping_interval", str("x")), Err("must be a number, not `x`".into()));
        assert_eq!(check("ws_ping_interval", str("nan")), Err("must be a number, not `nan`".into()));
        assert_eq!(check("ws_ping_interval", str("-1")), Err("must not be negative, not `-1`".into()));
        assert_eq!(
            check("ws_ping_interval", SettingValue::Int(90_000)),
            Err("must be at most 86400, not `90000`".into())
        );
        assert_eq!(check("reload", str("maybe")), Err("must be True or False, not `maybe`".into()));
        assert_eq!(check("bind", SettingValue::Int(80)), Err("must be text or a list of texts, not `80`".into()));
    }

    #[test]
    fn values_of_the_file_come_into_their_normal_form() {
        assert_eq!(check("bind", str(":80")), Ok(SettingValue::List(vec![str(":80")])));
        assert_eq!(check("workers", SettingValue::None), Ok(SettingValue::Int(1)));
        assert_eq!(check("request_buffering", SettingValue::Bool(false)), Ok(str("off")));
        assert_eq!(check("ws_ping_interval", str("1.5")), Ok(SettingValue::Float(1.5)));
        assert_eq!(check("ws_ping_timeout", SettingValue::Int(3)), Ok(SettingValue::Float(3.0)));
        assert_eq!(check("reload", str("1")), Ok(SettingValue::Bool(true)));
        assert_eq!(check("umask", str("022")), Ok(SettingValue::Int(18)));
        assert_eq!(
            check("static_files", SettingValue::Dict(vec![("/s".into(), str("d"))])),
            Ok(SettingValue::List(vec![str("/s=d")]))
        );
    }

    #[test]
    fn values_are_shown_as_python_shows_them() {
        let value =
            SettingValue::List(vec![str("a'b"), str("c\n"), SettingValue::Bool(true), SettingValue::Float(2.0)]);
        assert_eq!(python(&value), r#"["a'b", 'c\n', True, 2.0]"#);
    }
}
