//! nginx's command line: its flags, read as it reads them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// What a command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-?`, `-h`
    pub help: bool,
    /// `-v`, and more of it with `-V`.
    pub version: bool,
    pub configure: bool,
    /// `-t`, and with the files shown, `-T`.
    pub test: bool,
    pub dump: bool,
    /// `-q`
    pub quiet: bool,
    /// `-s`
    pub signal: Option<Order>,
    /// `-p`
    pub prefix: Option<OsString>,
    /// `-e`
    pub error_log: Option<OsString>,
    /// `-c`
    pub file: Option<OsString>,
    /// `-g`
    pub globals: Option<OsString>,
}

/// What `-s` can tell a running master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Stop,
    Quit,
    Reload,
    Reopen,
}

impl Flags {
    /// Reads arguments, the program's name not among them. The error is nginx's, without the program's name.
    pub fn parse(args: &[OsString]) -> Result<Flags, String> {
        let mut flags = Flags::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let bytes = arg.as_bytes();
            let Some(mut letters) = bytes.strip_prefix(b"-") else {
                return Err(format!("invalid option: \"{}\"", arg.to_string_lossy()));
            };
            while let Some((letter, rest)) = letters.split_first() {
                letters = rest;
                match letter {
                    b'?' | b'h' => (flags.help, flags.version) = (true, true),
                    b'v' => flags.version = true,
                    b'V' => (flags.version, flags.configure) = (true, true),
                    b't' => flags.test = true,
                    b'T' => (flags.test, flags.dump) = (true, true),
                    b'q' => flags.quiet = true,
                    b'p' | b'e' | b'c' | b'g' | b's' => {
                        // What is left of the word, or else the next one.
                        let value = match std::mem::take(&mut letters) {
                            [] => args.next().cloned(),
                            value => Some(OsString::from_vec(value.to_vec())),
                        };
                        flags.set(*letter, value)?;
                    }
                    letter => return Err(format!("invalid option: \"{}\"", char::from(*letter))),
                }
            }
        }
        Ok(flags)
    }

    fn set(&mut self, letter: u8, value: Option<OsString>) -> Result<(), String> {
        let letter = char::from(letter);
        let (field, needs) = match letter {
            'p' => (&mut self.prefix, "directory name"),
            'e' => (&mut self.error_log, "file name"),
            'c' => (&mut self.file, "file name"),
            'g' => (&mut self.globals, "parameter"),
            _ => {
                let value = value.ok_or("option \"-s\" requires parameter")?;
                self.signal = Some(match value.to_str() {
                    Some("stop") => Order::Stop,
                    Some("quit") => Order::Quit,
                    Some("reload") => Order::Reload,
                    Some("reopen") => Order::Reopen,
                    _ => return Err(format!("invalid option: \"-s {}\"", value.to_string_lossy())),
                });
                return Ok(());
            }
        };
        *field = Some(value.ok_or_else(|| format!("option \"-{letter}\" requires {needs}"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, String> {
        Flags::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read_as_nginx_reads_them() {
        assert_eq!(parse(""), Ok(Flags::default()));
        assert_eq!(parse("-tq"), Ok(Flags { test: true, quiet: true, ..Flags::default() }));
        assert_eq!(parse("-c/file"), Ok(Flags { file: Some("/file".into()), ..Flags::default() }));
        let all = Flags {
            test: true,
            prefix: Some("dir".into()),
            file: Some("f".into()),
            error_log: Some("stderr".into()),
            globals: Some("a;".into()),
            ..Flags::default()
        };
        assert_eq!(parse("-tp dir -c f -e stderr -ga;"), Ok(all));
        assert_eq!(parse("-sreload").unwrap().signal, Some(Order::Reload));
        assert!(parse("-?").unwrap().help && parse("-V").unwrap().configure);
    }

    #[test]
    fn errors_are_nginxs() {
        for (line, why) in [
            ("-tz", "invalid option: \"z\""),
            ("foo", "invalid option: \"foo\""),
            ("-c", "option \"-c\" requires file name"),
            ("-p", "option \"-p\" requires directory name"),
            ("-g", "option \"-g\" requires parameter"),
            ("-e", "option \"-e\" requires file name"),
            ("-s", "option \"-s\" requires parameter"),
            ("-s foo", "invalid option: \"-s foo\""),
            ("--help", "invalid option: \"-\""),
        ] {
            assert_eq!(parse(line).unwrap_err(), why, "{line}");
        }
    }
}
