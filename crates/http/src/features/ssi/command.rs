//! The commands: which parameters they take, and where they may stand.

use super::parse::{Command, Parameter, show_all};

/// A command and its parameters, checked. Values are as they were written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known<'a> {
    Include {
        file: Option<&'a [u8]>,
        uri: Option<&'a [u8]>,
        wait: Option<&'a [u8]>,
        set: Option<&'a [u8]>,
        stub: Option<&'a [u8]>,
    },
    Echo {
        variable: &'a [u8],
        default: Option<&'a [u8]>,
        encoding: Option<&'a [u8]>,
    },
    Config {
        errmsg: Option<&'a [u8]>,
        timefmt: Option<&'a [u8]>,
    },
    Set {
        variable: &'a [u8],
        value: &'a [u8],
    },
    If(&'a [u8]),
    Elif(&'a [u8]),
    Else,
    Endif,
    Block(&'a [u8]),
    Endblock,
}

/// Where in `if ... else ... endif` something stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Branch {
    #[default]
    Outside,
    If,
    Else,
}

/// What there is to a name.
pub struct Kind {
    keys: &'static [&'static str],
    /// So many of the keys, from the first on, must be there.
    required: usize,
    /// The latest branch in which it may stand; `None`: anywhere.
    pub within: Option<Branch>,
}

/// So many parameters a command may have.
const MAX_PARAMETERS: usize = 16;

/// The kind of the command `name`; `None`: there is no such command.
pub fn kind(name: &[u8]) -> Option<Kind> {
    let (keys, required, within): (&'static [&'static str], _, _) = match name {
        b"include" => (&["file", "virtual", "wait", "set", "stub"], 0, None),
        b"echo" => (&["var", "default", "encoding"], 1, None),
        b"config" => (&["errmsg", "timefmt"], 0, None),
        b"set" => (&["var", "value"], 2, None),
        b"if" => (&["expr"], 1, None),
        b"elif" => (&["expr"], 1, Some(Branch::If)),
        b"else" => (&[], 0, Some(Branch::If)),
        b"endif" => (&[], 0, Some(Branch::Else)),
        b"block" => (&["name"], 1, None),
        b"endblock" => (&[], 0, None),
        _ => return None,
    };
    Some(Kind { keys, required, within })
}

impl Kind {
    /// Checks the parameters of a command of this kind. The error is for the log.
    pub fn check<'a>(&self, command: &'a Command) -> Result<Known<'a>, String> {
        let name = show_all(&command.name);
        if command.parameters.len() > MAX_PARAMETERS {
            return Err(format!("too many SSI command parameters: \"{name}\""));
        }
        let mut values: [Option<&[u8]>; 5] = [None; 5];
        for Parameter { key, value } in &command.parameters {
            let shown = || show_all(key);
            let Some(at) = self.keys.iter().position(|known| known.as_bytes() == key) else {
                return Err(format!("invalid parameter name: \"{}\" in \"{name}\" SSI command", shown()));
            };
            if values[at].replace(value).is_some() {
                return Err(format!("duplicate \"{}\" parameter in \"{name}\" SSI command", shown()));
            }
        }
        if let Some(at) = (0..self.required).find(|&at| values[at].is_none()) {
            return Err(format!("mandatory \"{}\" parameter is absent in \"{name}\" SSI command", self.keys[at]));
        }
        let required = |at: usize| values[at].unwrap_or_default();
        Ok(match command.name.as_slice() {
            b"include" => {
                let [file, uri, wait, set, stub] = values;
                Known::Include { file, uri, wait, set, stub }
            }
            b"echo" => Known::Echo { variable: required(0), default: values[1], encoding: values[2] },
            b"config" => Known::Config { errmsg: values[0], timefmt: values[1] },
            b"set" => Known::Set { variable: required(0), value: required(1) },
            b"if" => Known::If(required(0)),
            b"elif" => Known::Elif(required(0)),
            b"else" => Known::Else,
            b"endif" => Known::Endif,
            b"block" => Known::Block(required(0)),
            _ => Known::Endblock,
        })
    }
}

impl Command {
    /// The command as it is kept within a block.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<!--#");
        out.extend_from_slice(&self.name);
        for Parameter { key, value } in &self.parameters {
            out.push(b' ');
            out.extend_from_slice(key);
            out.extend_from_slice(b"=\"");
            out.extend_from_slice(value);
            out.push(b'"');
        }
        out.extend_from_slice(b" -->");
    }
}
