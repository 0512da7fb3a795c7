//! The table of settings: one row for each of Gunicorn 27's settings, for each of Uvicorn's that Gunicorn does not have,
//! and for each of Daemun's own. A row is the only place where a setting's name, options, type, default and
//! documentation stand; the command line, `--help`, `--print-config`, the variables `UVICORN_...`, the checks of the
//! configuration file, the keywords of `daemun.run` and the reference page are made from it.
//!
//! To add a setting: add its row to the file of its section, a field to [`super::Settings`], and a line to
//! `super::ready`.

mod hooks;
mod logging;
mod mechanics;
mod network;
mod own;
mod processes;
mod uvicorn;

use crate::host::SettingValue;

/// One setting.
pub struct Row {
    /// As in the configuration file.
    pub name: &'static str,
    /// Long options, the usual one first. They may be cut short while they stay unambiguous.
    pub flags: &'static [&'static str],
    /// Uvicorn's long options for it, where they are others. Cutting them short must not make Gunicorn's ambiguous.
    pub uvicorn_flags: &'static [&'static str],
    /// Uvicorn's name for it: `UVICORN_` and this in capitals is its variable. Empty where Uvicorn does not have it.
    pub keyword: &'static str,
    /// Whether the configuration file may have it. It is Python: a name as common as `port` is its own business there.
    pub in_file: bool,
    /// Short option.
    pub short: Option<char>,
    /// What stands for the value in the help; empty for switches.
    pub meta: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What holds when nobody says anything.
    pub default: Default,
    /// The first sentence is the help; all of it goes to the reference.
    pub doc: &'static str,
    /// How far Daemun goes along.
    pub support: Support,
}

/// The type of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// An option without a value, which says yes.
    Switch,
    /// An option without a value, which says no.
    Off,
    /// Two options without a value: the first says yes, the second no.
    YesNo,
    /// A whole number between two bounds, both allowed.
    Int(i64, i64),
    /// Seconds, with a fraction or without, from 0 to this.
    Seconds(i64),
    /// A number that is octal with a leading zero.
    Mode,
    /// Text, without the white space around it.
    Text,
    /// Text, taken as it is and never shown.
    Secret,
    /// Several texts; the option may stand several times.
    List,
    /// Several texts in one value, with commas between them.
    Commas,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `on` or `off`; in the configuration file also a boolean.
    OnOff,
    /// A user or a group: a name or a number.
    Account,
    /// A table of texts; in the configuration file only.
    Dict,
    /// A function; in the configuration file only.
    Hook,
}

/// A default, as a constant.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// Nothing.
    None,
    /// A boolean.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A number that may have a fraction.
    Float(f64),
    /// A text.
    Text(&'static str),
    /// Several texts.
    List(&'static [&'static str]),
    /// A table.
    Dict(&'static [(&'static str, &'static str)]),
}

/// How far Daemun goes along with a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Support {
    /// It does what it says.
    Full,
    /// Accepted; it means nothing here, and needs no word about it.
    Silent,
    /// Accepted without effect; one warning says why.
    Warn(&'static str),
    /// Known, and to come. On the command line an error, in the configuration file a warning.
    Later,
    /// Known, and to come; but running on without it would not be what was asked for, so it is an error everywhere.
    Refuse,
    /// Known, and not to come; the same. Why, and what to do.
    Cannot(&'static str, &'static str),
}

/// A chapter of the help and of the reference.
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Its settings.
    pub rows: &'static [Row],
}

/// All settings, in the order of the help.
pub static SECTIONS: &[Section] = &[
    Section { title: "Daemun", rows: own::DAEMUN },
    Section { title: "Uvicorn", rows: uvicorn::UVICORN },
    Section { title: "Config File", rows: own::CONFIG_FILE },
    Section { title: "Server Socket", rows: network::SERVER_SOCKET },
    Section { title: "Worker Processes", rows: processes::WORKER_PROCESSES },
    Section { title: "Security", rows: network::SECURITY },
    Section { title: "Debugging", rows: own::DEBUGGING },
    Section { title: "Server Mechanics", rows: mechanics::SERVER_MECHANICS },
    Section { title: "Logging", rows: logging::LOGGING },
    Section { title: "Process Naming", rows: processes::PROCESS_NAMING },
    Section { title: "SSL", rows: network::SSL },
    Section { title: "HTTP/2", rows: network::HTTP2 },
    Section { title: "Server Hooks", rows: hooks::SERVER_HOOKS },
    Section { title: "Control", rows: processes::CONTROL },
    Section { title: "Dirty Arbiters", rows: hooks::DIRTY_ARBITERS },
    Section { title: "Dirty Arbiter Hooks", rows: hooks::DIRTY_ARBITER_HOOKS },
];

/// All settings.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    SECTIONS.iter().flat_map(|section| section.rows)
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}

/// The setting that `daemun.run` knows by this keyword: its name, or Uvicorn's name for it.
pub fn find_keyword(keyword: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == keyword || !row.keyword.is_empty() && row.keyword == keyword)
}

impl Row {
    /// A row without options, fully supported; the methods below add to it.
    const fn new(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Row {
        Row {
            name,
            flags: &[],
            uvicorn_flags: &[],
            keyword: "",
            in_file: true,
            short: None,
            meta: "",
            kind,
            default,
            doc,
            support: Support::Full,
        }
    }

    /// Uvicorn has it too: its name there, and its options where they are others.
    const fn uvicorn(mut self, keyword: &'static str, flags: &'static [&'static str]) -> Row {
        self.keyword = keyword;
        self.uvicorn_flags = flags;
        self
    }

    /// The configuration file cannot have it.
    const fn not_in_file(mut self) -> Row {
        self.in_file = false;
        self
    }

    const fn flags(mut self, flags: &'static [&'static str]) -> Row {
        self.flags = flags;
        self
    }

    const fn short(mut self, short: char) -> Row {
        self.short = Some(short);
        self
    }

    const fn meta(mut self, meta: &'static str) -> Row {
        self.meta = meta;
        self
    }

    const fn silent(mut self) -> Row {
        self.support = Support::Silent;
        self
    }

    const fn warn(mut self, why: &'static str) -> Row {
        self.support = Support::Warn(why);
        self
    }

    const fn later(mut self) -> Row {
        self.support = Support::Later;
        self
    }

    const fn refuse(mut self) -> Row {
        self.support = Support::Refuse;
        self
    }

    const fn cannot(mut self, why: &'static str, instead: &'static str) -> Row {
        self.support = Support::Cannot(why, instead);
        self
    }

    /// Whether the option takes a value.
    pub fn takes_value(&self) -> bool {
        !matches!(self.kind, Kind::Switch | Kind::Off | Kind::YesNo)
    }

    /// All long options, the usual one first; none when only the configuration file has it.
    pub fn options(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.flags.iter().chain(self.uvicorn_flags).copied()
    }

    /// Whether the command line has it.
    pub fn has_option(&self) -> bool {
        self.options().next().is_some()
    }

    /// The option as a user writes it, or the name where there is none.
    pub fn option(&self) -> &'static str {
        self.options().next().unwrap_or(self.name)
    }

    /// Uvicorn's environment variable, if there is one.
    pub fn variable(&self) -> Option<String> {
        (!self.keyword.is_empty()).then(|| format!("UVICORN_{}", self.keyword.to_ascii_uppercase()))
    }

    /// The documentation's first sentence.
    pub fn summary(&self) -> &'static str {
        self.doc.split_once(". ").map_or(self.doc, |(first, _)| first).trim_end_matches('.')
    }
}

impl Default {
    /// The default as a value.
    pub fn value(&self) -> SettingValue {
        match *self {
            Default::None => SettingValue::None,
            Default::Bool(value) => SettingValue::Bool(value),
            Default::Int(value) => SettingValue::Int(value),
            Default::Float(value) => SettingValue::Float(value),
            Default::Text(value) => SettingValue::Str(value.into()),
            Default::List(values) => {
                SettingValue::List(values.iter().map(|value| SettingValue::Str((*value).into())).collect())
            }
            Default::Dict(values) => SettingValue::Dict(
                values.iter().map(|(key, value)| ((*key).into(), SettingValue::Str((*value).into()))).collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_options_are_unique() {
        let mut seen = HashSet::from(["--help".to_string(), "--version".into(), "-h".into(), "-v".into()]);
        for row in rows() {
            assert!(seen.insert(row.name.into()), "{} stands twice", row.name);
            for flag in row.options() {
                assert!(flag.starts_with("--") && seen.insert(flag.into()), "{flag} stands twice");
            }
            if let Some(short) = row.short {
                assert!(seen.insert(format!("-{short}")), "-{short} stands twice");
                assert!(!row.flags.is_empty(), "-{short} has no long option");
            }
            if !row.keyword.is_empty() {
                assert!(seen.insert(row.variable().unwrap()), "{} stands twice", row.keyword);
                let other = find(row.keyword).is_some_and(|other| other.name != row.name);
                assert!(!other, "{} is another setting's name", row.keyword);
            }
            if row.kind == Kind::YesNo {
                let options: Vec<_> = row.options().collect();
                assert!(options.len() == 2 && options[1].starts_with("--no-"), "{}: {options:?}", row.name);
            }
        }
    }

    #[test]
    fn all_of_gunicorns_settings_are_known() {
        assert_eq!(rows().count(), 120 + own::DAEMUN.len() + uvicorn::UVICORN.len());
        for name in ["wsgi_app", "proc_name", "limit_request_field_size", "dirty_worker_exit", "control_socket_disable"]
        {
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn all_of_uvicorns_options_are_known() {
        let known = "host port uds fd reload reload-dir reload-include reload-exclude reload-delay workers loop http \
                     http2 ws ws-max-size ws-max-queue ws-ping-interval ws-ping-timeout ws-per-message-deflate \
                     lifespan interface env-file log-config log-level access-log no-access-log use-colors \
                     no-use-colors proxy-headers no-proxy-headers server-header no-server-header date-header \
                     no-date-header forwarded-allow-ips root-path limit-concurrency backlog limit-max-requests \
                     limit-max-requests-jitter timeout-keep-alive timeout-graceful-shutdown \
                     timeout-worker-healthcheck ssl-keyfile ssl-certfile ssl-keyfile-password ssl-version \
                     ssl-cert-reqs ssl-ca-certs ssl-ciphers header app-dir h11-max-incomplete-event-size \
                     reset-contextvars factory";
        for name in known.split_whitespace() {
            let flag = format!("--{name}");
            let row = rows().find(|row| row.options().any(|option| option == flag));
            assert!(row.is_some_and(|row| !row.keyword.is_empty()), "{flag}");
        }
    }

    #[test]
    fn every_setting_is_documented() {
        for row in rows() {
            let name = row.name;
            assert!(row.doc.ends_with('.') && row.doc.len() > 15, "{name}: {}", row.doc);
            assert!(row.summary().len() < 130, "{name}: the first sentence is too long for the help");
            assert_eq!(row.takes_value() && row.has_option(), !row.meta.is_empty(), "{name}: metavar");
            assert!(row.in_file || row.has_option(), "{name}: nobody can set it");
            if let Support::Warn(why) = row.support {
                assert!(!why.ends_with('.') && !why.is_empty(), "{name}: {why}");
            }
        }
    }

    #[test]
    fn defaults_are_values_of_their_settings() {
        for row in rows() {
            let default = row.default.value();
            if default != SettingValue::None {
                let checked = row.check(&default).unwrap_or_else(|why| panic!("{}: {why}", row.name));
                assert_eq!(checked, default, "{}: the default is not in its normal form", row.name);
            }
        }
    }
}
