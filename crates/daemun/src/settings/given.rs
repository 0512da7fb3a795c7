//! Settings as typed: what each source says about each setting, the stronger source winning, and where that stands.

use std::collections::BTreeMap;

use super::command_line::Typed;
use super::table::{self, Kind, Row, Support};
use super::{Exit, Face, bind};
use crate::host::SettingValue;
use conf::nearest;

/// Values of settings and where they stand. Those that nobody gave have the table's default.
#[derive(Clone, Default)]
pub(super) struct Given {
    entries: BTreeMap<&'static str, (SettingValue, Origin)>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Where a value stands; the later variants are the stronger ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nowhere: it follows from what the program is called.
    Face,
    /// A variable of the environment that many servers know.
    Variable(&'static str),
    /// One of Uvicorn's variables.
    Uvicorn(String),
    /// The configuration file of that name.
    File(String),
    /// `GUNICORN_CMD_ARGS`, with this option.
    Arguments(&'static str),
    /// The command line, with this option.
    CommandLine(&'static str),
    /// This keyword of `daemun.run`.
    Call(String),
}

impl Origin {
    /// The place of a setting's value, for messages.
    fn place(&self, row: &Row) -> String {
        match self {
            Origin::Face => format!("`{}`", row.option()),
            Origin::Variable(name) => format!("`${name}`"),
            Origin::Uvicorn(name) => format!("`${name}`"),
            Origin::File(file) => format!("`{}` in {file}", row.name),
            Origin::Arguments(option) => format!("`{option}` in $GUNICORN_CMD_ARGS"),
            Origin::CommandLine(option) => format!("`{option}`"),
            Origin::Call(keyword) => format!("`{keyword}` of daemun.run()"),
        }
    }

    fn strength(&self) -> u8 {
        match self {
            Origin::Face => 1,
            Origin::Variable(_) => 2,
            Origin::Uvicorn(_) => 3,
            Origin::File(_) => 4,
            Origin::Arguments(_) => 5,
            Origin::CommandLine(_) | Origin::Call(_) => 6,
        }
    }
}

impl Given {
    /// Takes what holds when nobody says anything.
    pub fn take_face(&mut self, face: Face) -> Result<(), Exit> {
        face.defaults().into_iter().try_for_each(|(name, value)| self.set(name, value, Origin::Face))
    }

    /// Takes the variables that Gunicorn knows, too.
    pub fn take_environment(&mut self, face: Face, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Exit> {
        let variable = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        if let Some(workers) = variable("WEB_CONCURRENCY") {
            self.set("workers", SettingValue::Str(workers), Origin::Variable("WEB_CONCURRENCY"))?;
        }
        if let Some(proxies) = variable("FORWARDED_ALLOW_IPS") {
            self.set("forwarded_allow_ips", SettingValue::Str(proxies), Origin::Variable("FORWARDED_ALLOW_IPS"))?;
        }
        if !face.has_gunicorns_surroundings() {
            return Ok(());
        }
        if let Some(port) = variable("PORT") {
            let port = bind::parse_port(port.trim()).map_err(|why| Exit::new(1, format!("`$PORT`: {why}"), None))?;
            self.set("bind", SettingValue::Str(format!("0.0.0.0:{port}")), Origin::Variable("PORT"))?;
        }
        if let Some(sendfile) = variable("SENDFILE") {
            let yes = ["y", "1", "yes", "true"].contains(&sendfile.trim().to_ascii_lowercase().as_str());
            self.set("sendfile", SettingValue::Bool(yes), Origin::Variable("SENDFILE"))?;
        }
        Ok(())
    }

    /// Takes Uvicorn's variables: one for each of its options. Those of several values have spaces between them, or
    /// colons if they are paths.
    pub fn take_uvicorns_variables(&mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Exit> {
        for row in table::rows() {
            let Some(name) = row.variable() else { continue };
            let Some(text) = env(&name).filter(|value| !value.trim().is_empty()) else { continue };
            let value = match row.kind {
                Kind::List if row.name == "reload_dirs" => list_of(text.split(':')),
                Kind::List => list_of(text.split_whitespace()),
                _ => SettingValue::Str(text),
            };
            self.set(row.name, value, Origin::Uvicorn(name))?;
        }
        Ok(())
    }

    /// Takes what `daemun.run` was called with.
    pub fn take_call(&mut self, values: Vec<(String, SettingValue)>) -> Result<(), Exit> {
        for (keyword, value) in values {
            let row = table::find_keyword(&keyword).ok_or_else(|| {
                let near = nearest(&keyword, table::rows().flat_map(|row| [row.name, row.keyword]));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                Exit::new(2, format!("daemun.run() knows no setting `{keyword}`"), hint)
            })?;
            self.set(row.name, value, Origin::Call(keyword))?;
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
                "a configuration file is Python here, as Gunicorn's is; `daemun -c FILE` without an application \
                 reads nginx's language"
                    .to_string()
            });
            Exit::new(1, format!("cannot load the configuration file `{shown}`\n{}", why.trim_end()), hint)
        })?;
        for (name, value) in names {
            match table::find(&name) {
                Some(row) if row.in_file => self.set(row.name, value, Origin::File(shown.clone()))?,
                Some(_) => {}
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
        if let Some(near) = nearest(name, table::rows().filter(|row| row.in_file).map(|row| row.name)) {
            self.warnings.push(format!("`{name}` in {file} is no setting and is ignored: did you mean `{near}`?"));
        }
    }

    /// Takes the options of a command line; `origin` tells which one it is.
    pub fn take_line(&mut self, values: Vec<Typed>, origin: impl Fn(&'static str) -> Origin) -> Result<(), Exit> {
        values.into_iter().try_for_each(|typed| self.set(typed.row.name, typed.value, origin(typed.option)))
    }

    /// Lets one setting say what another one has said in other words; it stands where that one stands.
    pub fn translate(&mut self, from: &'static str, to: &'static str, value: SettingValue) {
        let origin = match self.entries.get(from) {
            Some((_, origin)) => origin.clone(),
            None => Origin::Face,
        };
        self.entries.insert(to, (value, origin));
    }

    /// How strong the source of a setting is; 0 if nobody has said anything.
    pub fn strength(&self, name: &str) -> u8 {
        self.entries.get(name).map_or(0, |(_, origin)| origin.strength())
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
                return Err(Exit::new(code, format!("{place} is not supported yet"), None));
            }
            Support::Cannot(why, instead) if changed => {
                return Err(Exit::new(1, format!("{place} cannot be used: {why}"), Some(instead.to_owned())));
            }
            Support::Warn(_) | Support::Later | Support::Refuse | Support::Cannot(..) => {}
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

    /// The value of a number that may have a fraction.
    pub fn float(&self, name: &str) -> f64 {
        match self.value(name) {
            SettingValue::Float(number) => number,
            _ => 0.0,
        }
    }

    /// The value of a table, in its order.
    pub fn pairs(&self, name: &str) -> Vec<(String, SettingValue)> {
        match self.value(name) {
            SettingValue::Dict(items) => items,
            _ => Vec::new(),
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

fn list_of<'a>(items: impl Iterator<Item = &'a str>) -> SettingValue {
    SettingValue::List(items.filter(|item| !item.is_empty()).map(|item| SettingValue::Str(item.into())).collect())
}
