//! Configuration text: what is accepted is written out and read back as the same; values never overflow.
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
    match conf::parse("fuzz", text, &mut NoFiles) {
        Ok(tree) => {
            let written: String = tree.iter().map(ToString::to_string).collect();
            let again = conf::parse("written", &written, &mut NoFiles).expect("what is written can be read");
            assert!(same(&tree, &again), "{written}");
        }
        Err(errors) => assert!(!errors.is_empty() && errors.iter().all(|error| !error.to_string().is_empty())),
    }
    if text.matches("include").count() < 2 {
        let _ = conf::parse("fuzz", text, &mut Same(text.to_owned()));
    }
    let _ = (conf::size(text), conf::time_ms(text), conf::matches(text, "some-name.conf"));
    let _ = conf::nearest(&text[..text.floor_char_boundary(64)], ["listen", "server_name", "location"]);
});
