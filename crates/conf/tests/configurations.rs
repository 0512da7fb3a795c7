//! The configurations of `tests/config`, as far as the language goes: the real ones are read and formatted, the broken
//! ones whose syntax is wrong are refused with nginx's message, on nginx's line.

#![allow(clippy::unwrap_used)] // a test: what is wrong here is to end it

use std::fs;
use std::path::{Path, PathBuf};

use conf::{Directive, Disk};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config")
}

fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, wanted, out);
        } else if wanted(&entry) {
            out.push(entry);
        }
    }
}

/// Reads a file and what it includes.
fn load(path: &Path) -> conf::Parsed {
    let source = conf::read_file(path).unwrap();
    conf::read(&source.name, &source.text, &mut Disk { prefix: path.parent().unwrap().to_owned() })
}

fn words(directives: &[Directive], out: &mut Vec<String>) {
    for directive in directives {
        out.extend(std::iter::once(&directive.name).chain(&directive.args).map(|word| word.text.clone()));
        out.push(if directive.block.is_some() { "{" } else { ";" }.to_owned());
        words(directive.block.as_deref().unwrap_or_default(), out);
        out.push("}".to_owned());
    }
}

fn same(a: &str, b: &str) -> bool {
    let flat = |text| {
        let mut out = Vec::new();
        words(&conf::parse_alone("t", text).unwrap(), &mut out);
        out
    };
    flat(a) == flat(b)
}

#[test]
fn real_configurations_are_read() {
    let mut found = Vec::new();
    files(&folder(), &|path| path.ends_with("nginx.conf"), &mut found);
    assert!(found.len() > 20);
    for path in found {
        let parsed = load(&path);
        assert!(parsed.errors.is_empty(), "{}", parsed.errors[0]);
        // Written out as one file, as -T does, it is read back as the same.
        let written: String = parsed.tree.iter().map(ToString::to_string).collect();
        let again = conf::parse_alone("written", &written).unwrap();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        words(&parsed.tree, &mut before);
        words(&again, &mut after);
        assert_eq!(before, after, "{}", path.display());
    }
}

#[test]
fn real_configurations_are_formatted() {
    let mut found = Vec::new();
    let wanted = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy();
        (name.ends_with(".conf") || name.ends_with("_params") || name == "mime.types" || name == "default")
            && !name.starts_with('.')
            && path.parent().is_some_and(|parent| !parent.ends_with("broken"))
    };
    files(&folder(), &wanted, &mut found);
    assert!(found.len() > 40);
    for path in found {
        let text = conf::read_file(&path).unwrap().text;
        let name = path.display().to_string();
        let once = conf::format(&name, &text).unwrap_or_else(|errors| panic!("{}", errors[0]));
        assert_eq!(conf::format(&name, &once).as_deref(), Ok(&once[..]), "{name}");
        assert!(same(&text, &once), "{name}\n{once}");
        let comments = |text: &str| text.matches('#').count();
        assert_eq!(comments(&text), comments(&once), "{name}");
    }
}

#[test]
fn wrong_syntax_is_told_as_nginx_tells_it() {
    // What the others need is the table of directives.
    let ours = |message: &str| {
        message.starts_with("unexpected")
            || message.starts_with("too long parameter")
            || message.starts_with("open()")
            || message.contains("\"include\"")
    };
    let mut found = Vec::new();
    files(&folder().join("broken"), &|path| path.extension().is_some_and(|it| it == "expected"), &mut found);
    assert!(found.len() > 100);
    let mut checked = 0;
    for path in found {
        let expected = fs::read_to_string(&path).unwrap();
        let expected = expected.trim_end().split_once("] ").unwrap().1;
        let file = path.with_extension("conf");
        let of_syntax = ours(expected) && !expected.contains("condition");
        // What looks like a block to the language may not be one to nginx.
        let of_blocks = ["block-in-map"].iter().any(|name| file.to_string_lossy().contains(name));
        let parsed = load(&file);
        if !of_syntax || of_blocks {
            // An open brace may look like a block's; else the syntax is right.
            let looks_right = parsed.errors.is_empty() || file.to_string_lossy().contains("syntax-");
            assert!(looks_right, "{}: {}", file.display(), parsed.errors[0]);
            continue;
        }
        let name = file.display().to_string();
        let expected =
            expected.replace("{file}", &name).replace("{dir}", &file.parent().unwrap().display().to_string());
        assert_eq!(parsed.errors.first().map(conf::Diagnostic::nginx), Some(expected));
        checked += 1;
    }
    assert!(checked > 18, "only {checked}");
}
