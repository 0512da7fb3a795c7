//! `daemun help [NAME]`: a directive of the configuration language, a flag of nginx's command line, or a setting.

use std::ffi::OsString;
use std::fmt::Write as _;

use http::config::reference;

use super::Program;
use super::version::FLAGS;
use crate::settings::{self, table};

/// Prints it; gives the exit code.
pub fn run(args: &[OsString]) -> i32 {
    let Some(name) = args.first().map(|name| name.to_string_lossy().into_owned()) else {
        crate::print(&format!("{}\n{HOW}", settings::help().trim_end()));
        return 0;
    };
    match explain(&name) {
        Some(text) => {
            crate::print(&text);
            0
        }
        None => {
            let kind = if name.starts_with('$') { "variable" } else { "directive and no option" };
            let hint = near(&name).map(|near| format!("\n  hint: did you mean `{near}`?")).unwrap_or_default();
            Program::Daemun.say_plain(&format!("no {kind} is called `{name}`{hint}"));
            1
        }
    }
}

const HOW: &str = "
Commands:
  daemun cert dev           make a certificate for development; `daemun cert` tells more
  daemun cert show FILE     what a file of certificates has
  daemun explain -c FILE URL  how a request goes through a configuration file
  daemun fmt FILE           a configuration file in its usual form
  daemun help               this

Of the configuration language and of all options:
  daemun help DIRECTIVE     what a directive does, for example `daemun help try_files`
  daemun help '$VARIABLE'   what a variable stands for, for example `daemun help '$request_uri'`
  daemun help --OPTION      what an option does, for example `daemun help --workers`
";

/// The name that is nearest to one that nothing has.
fn near(name: &str) -> Option<String> {
    if let Some(variable) = reference::suggest(name).filter(|_| name.starts_with('$')) {
        return Some(format!("${variable}"));
    }
    let bare = name.trim_start_matches('-').replace('-', "_");
    let near = if name.starts_with('-') { None } else { reference::suggest(&bare).map(str::to_owned) };
    near.or_else(|| conf::nearest(&bare, table::rows().map(|row| row.name)).map(str::to_owned))
}

/// All that goes by this name; `None`: nothing does.
fn explain(name: &str) -> Option<String> {
    let mut out = String::new();
    out.push_str(&reference::help(name).unwrap_or_default());
    for (flag, what) in FLAGS {
        let names = flag.split(' ').next().unwrap_or_default();
        if names.split(',').any(|flag| flag == name) {
            let _ = writeln!(out, "{flag}  (nginx's command line)\n\n    {what}");
        }
    }
    let bare = name.trim_start_matches('-').replace('-', "_");
    let short = |row: &table::Row| row.short.is_some_and(|short| name == format!("-{short}"));
    let named = |row: &&table::Row| row.name == bare || row.options().any(|option| option == name) || short(row);
    for row in table::rows().filter(named) {
        let options: Vec<&str> = row.options().collect();
        let _ = writeln!(out, "{} {}  (setting `{}`)\n\n{}", options.join(", "), row.meta, row.name, row.doc);
    }
    Some(out).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_flags_and_settings_are_explained() {
        assert!(explain("add_header").unwrap().starts_with("add_header "));
        assert!(explain("-t").unwrap().contains("test the configuration"));
        assert!(explain("--bind").unwrap().contains("setting `bind`"));
        assert!(explain("$request_uri").unwrap().starts_with("$request_uri\n"));
        assert_eq!(explain("no-such-thing"), None);
        for (name, nearest) in [("$request_ury", "$request_uri"), ("try_file", "try_files"), ("--worker", "workers")] {
            assert_eq!(near(name).as_deref(), Some(nearest));
        }
    }
}
