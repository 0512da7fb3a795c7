//! Settings as typed: what each source says about each setting, the later source winning, and where that stands.

use std::collections::BTreeMap;

use super::table::{self, Kind, Row, Support};
use super::{Exit, bind};
use crate::host::SettingValue;
use conf::nearest;

/// Values of settings and where they stand. Those that nobody gave have the table's default.
#[derive(Clone, Default)]
pub(super) struct Given {
    entries: BTreeMap<&'static str, (SettingValue, Origin)>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The environment's variable of that name.
    Variable(&'static str),
    /// The configuration file of that name.
    File(String),
    /// `GUNICORN_CMD_ARGS`.
    Arguments,
    /// The command line.
    CommandLine,
}

impl Origin {
    /// The place of a setting's value, for messages.
    fn place(&self, row: &Row) -> String {
        match self {
            Origin::Variable(name) => format!("`${name}`"),
            Origin::File(file) => format!("`{}` in {file}", row.name),
            Origin::Arguments => format!("`{}` in $GUNICORN_CMD_ARGS", row.option()),
            Origin::CommandLine => format!("`{}`", row.option()),
        }
    }
}

impl Given {
    /// Takes the variables that Gunicorn knows, too.
    pub fn take_environment(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Exit> {
        let variable = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        if let Some(port) = variable("PORT") {
            let port = bind::parse_port(port.trim()).map_err(|why| Exit::new(1, format!("`$PORT`: {why}"), None))?;
            self.set("bind", SettingValue::Str(format!("0.0.0.0:{port}")), Origin::Variable("PORT"))?;
        }
        if let Some(workers) = variable("WEB_CONCURRENCY") {
            self.set("workers", SettingValue::Str(workers), Origin::Variable("WEB_CONCURRENCY"))?;
        }
        if let Some(sendfile) = variable("SENDFILE") {
            let yes = ["y", "1", "yes", "true"].contains(&sendfile.trim().to_ascii_lowercase().as_str());
            self.set("sendfile", SettingValue::Bool(yes), Origin::Variable("SENDFILE"))?;
        }
        if let Some(proxies) = variable("FORWARDED_ALLOW_IPS") {
            self.warnings.push(format!(
                "`$FORWARDED_ALLOW_IPS` (`{proxies}`) is not supported yet: no proxy is trusted, and X-Forwarded-* \
                 fields are passed on without effect"
            ));
        }
        Ok(())
    }

    /// Takes the names that a configuration file defines. Names that are no settings are the file's own business.
    pub fn take_file(
        &mut self,
        source: &str,
        read_config: &dyn Fn(&str) -> Result<Vec<(String, SettingValue)>, String>,
    ) -> Result<(), Exit> {
        let path = source.strip_prefix("file:").unwrap_or(source);
        let shown = match path.strip_prefix("./") {
            Some(rest) => rest.to_string(),
            None => path.to_string(),
        };
        if !path.starts_with("python:")
            && let Err(error) = std::fs::File::open(path)
        {
            let why = crate::sys::reason(&error);
            return Err(Exit::new(1, format!("cannot read the configuration file `{shown}`: {why}"), None));
        }
        let names = read_config(path).map_err(|why| {
            let hint = path.ends_with(".conf").then(|| {
                "a configuration file is Python here, as Gunicorn's is; nginx's language is not read yet".to_string()
            });
            Exit::new(1, format!("cannot load the configuration file `{shown}`\n{}", why.trim_end()), hint)
        })?;
        for (name, value) in names {
            match table::find(&name) {
                Some(row) => self.set(row.name, value, Origin::File(shown.clone()))?,
                None => self.warn_of_near_miss(&name, &value, &shown),
            }
        }
        Ok(())
    }

    /// A name that is nearly a setting's is probably misspelt; but only a plain value can be meant as one.
    fn warn_of_near_miss(&mut self, name: &str, value: &SettingValue, file: &str) {
        if name.starts_with('_') || matches!(value, SettingValue::Callable(_) | SettingValue::Other(_)) {
            return;
        }
        if let Some(near) = nearest(name, table::rows().map(|row| row.name)) {
            self.warnings.push(format!("`{name}` in {file} is no setting and is ignored: did you mean `{near}`?"));
        }
    }

    /// Takes the options of a command line.
    pub fn take_line(&mut self, values: Vec<(&'static Row, SettingValue)>, origin: Origin) -> Result<(), Exit> {
        values.into_iter().try_for_each(|(row, value)| self.set(row.name, value, origin.clone()))
    }

    fn set(&mut self, name: &'static str, value: SettingValue, origin: Origin) -> Result<(), Exit> {
        let row = table::find(name).expect("invariant: the name comes from the table");
        let place = origin.place(row);
        let default = row.default.value();
        let value = match row.check(&value) {
            Ok(value) => value,
            // A value that is not used anyhow need not be right.
            Err(_) if row.support != Support::Full => value,
            Err(why) => return Err(Exit::new(1, format!("{place}: {why}"), None)),
        };
        let changed = value != default;
        match row.support {
            Support::Full | Support::Silent => {}
            Support::Warn(why) if changed => self.warnings.push(format!("{place} has no effect: {why}")),
            Support::Later if changed && matches!(origin, Origin::File(_)) => {
                let what = if row.kind == Kind::Hook { "hooks are" } else { "this is" };
                self.warnings.push(format!("{place} is ignored: {what} not supported yet"));
            }
            Support::Later | Support::Refuse if changed => {
                let code = if matches!(origin, Origin::File(_)) { 1 } else { 2 };
                let hint = match row.name {
                    "certfile" | "keyfile" | "ca_certs" | "cert_reqs" | "ciphers" => {
                        Some("let a proxy before this server speak TLS".to_string())
                    }
                    _ => None,
                };
                return Err(Exit::new(code, format!("{place} is not supported yet"), hint));
            }
            Support::Warn(_) | Support::Later | Support::Refuse => {}
        }
        self.entries.insert(name, (value, origin));
        Ok(())
    }

    /// The value of a setting.
    pub fn value(&self, name: &str) -> SettingValue {
        match self.entries.get(name) {
            Some((value, _)) => value.clone(),
            None => table::find(name).expect("invariant: the name comes from the table").default.value(),
        }
    }

    /// Where the value of a setting stands, for messages.
    pub fn place(&self, name: &str) -> String {
        match (table::find(name), self.entries.get(name)) {
            (Some(row), Some((_, origin))) => origin.place(row),
            (Some(row), None) => format!("`{}`", row.option()),
            (None, _) => format!("`{name}`"),
        }
    }

    /// The value of a switch.
    pub fn switch(&self, name: &str) -> bool {
        self.value(name) == SettingValue::Bool(true)
    }

    /// The value of a number; the table's check made it one.
    pub fn int(&self, name: &str) -> i64 {
        match self.value(name) {
            SettingValue::Int(number) => number,
            _ => 0,
        }
    }

    /// The value of a text; empty is as good as none.
    pub fn optional(&self, name: &str) -> Option<String> {
        match self.value(name) {
            SettingValue::Str(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The value of a text.
    pub fn text(&self, name: &str) -> String {
        self.optional(name).unwrap_or_default()
    }

    /// The value of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            SettingValue::List(items) => items
                .into_iter()
                .filter_map(|item| match item {
                    SettingValue::Str(text) => Some(text),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}
