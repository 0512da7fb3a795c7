//! Paths: a decoded one begins with a slash, has no dot segments and no NUL, and decodes to itself when escaped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::uri::{Slashes, decode_path, escape_path, percent_decode};

fuzz_target!(|data: &[u8]| {
    let mut path = Vec::new();
    for slashes in [Slashes::Merge, Slashes::Keep] {
        if decode_path(data, slashes, &mut path).is_err() {
            continue;
        }
        assert!(path[0] == b'/' && !path.contains(&0));
        assert!(path.split(|&b| b == b'/').all(|part| part != b"." && part != b".."));
        assert!(slashes == Slashes::Keep || !path.windows(2).any(|pair| pair == b"//"));
        let (mut escaped, mut again) = (Vec::new(), Vec::new());
        escape_path(&path, &mut escaped);
        assert!(escaped.is_ascii());
        assert_eq!(decode_path(&escaped, slashes, &mut again), Ok(()));
        assert_eq!(again, path);
    }
    let mut decoded = Vec::new();
    percent_decode(data, &mut decoded);
    assert!(decoded.len() <= data.len());
});
