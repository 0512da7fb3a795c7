//! Configuration text: what is accepted is written out, and formatted, and read back as the same; formatting twice
//! changes nothing more; values never overflow.
#![no_main]

use conf::{Directive, Loader, NoFiles, Source};
use libfuzzer_sys::fuzz_target;

/// Every include is a file with these contents.
struct Same(String);

impl Loader for Same {
    fn load(&mut self, _: &str) -> Result<Vec<Source>, String> {
        Ok(vec![Source { name: "included".into(), text: self.0.clone() }])
    }
}

fn same(a: &[Directive], b: &[Directive]) -> bool {
    let words = |d: &Directive| -> Vec<String> {
        std::iter::once(&d.name).chain(&d.args).map(|word| word.text.clone()).collect()
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            let blocks = match (&a.block, &b.block) {
                (Some(a), Some(b)) => same(a, b),
                (None, None) => true,
                _ => false,
            };
            words(a) == words(b) && blocks
        })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = conf::read("fuzz", text, &mut NoFiles);
    assert!(parsed.errors.iter().all(|error| !error.to_string().is_empty() && error.nginx().contains(" in fuzz:")));
    let alone = conf::parse_alone("fuzz", text);
    match &alone {
        Ok(tree) => {
            let written: String = tree.iter().map(ToString::to_string).collect();
            // Escapes make words longer, and there is a limit to them.
            if text.len() < 2000 {
                let again = conf::parse_alone("written", &written).expect("what is written can be read");
                assert!(same(tree, &again), "{written}");
            }
            let formatted = conf::format("fuzz", text).expect("what can be read is formatted");
            let again = conf::parse_alone("formatted", &formatted).expect("what is formatted can be read");
            assert!(same(tree, &again), "{formatted}");
            assert_eq!(conf::format("formatted", &formatted).as_deref(), Ok(&formatted[..]));
        }
        Err(errors) => {
            assert!(!errors.is_empty() && !parsed.errors.is_empty());
            assert_eq!(conf::format("fuzz", text).as_ref(), Err(errors));
        }
    }
    let _ = conf::parse_flag("-g", text, &mut NoFiles);
    if text.matches("include").count() < 2 {
        let _ = conf::parse("fuzz", text, &mut Same(text.to_owned()));
    }
    let _ = (conf::size(text), conf::number(text), conf::matches(text, "some-name.conf"));
    assert!(conf::size(text).is_none_or(|size| conf::offset(text) == Some(size)));
    assert!(conf::time_s(text).is_none_or(|s| conf::signed_time_s(text) == i64::try_from(s).ok()));
    let _ = conf::time_ms(text);
    let _ = conf::nearest(&text[..text.floor_char_boundary(64)], ["listen", "server_name", "location"]);
});
