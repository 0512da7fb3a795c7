//! The header of the PROXY protocol: cut anywhere, it gives the same; what it points at lies in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::proxy_protocol::{LONGEST, named, parse, value};

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    for end in 0..data.len().min(300) {
        let cut = parse(&data[..end]);
        assert!(cut == Ok(None) || cut == whole);
    }
    let Ok(Some(header)) = whole else { return };
    assert!(header.len <= data.len().min(LONGEST) && header.values.end <= header.len);
    let values = &data[header.values];
    for kind in 0..=255 {
        assert!(value(values, kind).is_none_or(|value| value.len() <= values.len()));
    }
    for name in ["alpn", "ssl_version", "ssl_verify", "0xe0"] {
        let _ = named(values, name);
    }
});
