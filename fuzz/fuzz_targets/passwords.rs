//! Files of passwords: whatever stands in them, a line is found only under its own name, and what a stored password
//! asks for is either done at once or refused.
#![no_main]

use http::features::auth_basic::file::Passwords;
use http::features::auth_basic::stored::Stored;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (file, password) = input;
    let passwords = Passwords::parse(file);
    for line in file.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let Some(text) = passwords.of(&line[..colon]) else {
            assert!(line.starts_with(b"#") || line.starts_with(b"\r"));
            continue;
        };
        assert!(text.iter().all(|byte| !b":\r\n".contains(byte)));
        check(text, password);
    }
    check(file, password);
});

fn check(text: &[u8], password: &[u8]) {
    let Ok(stored) = Stored::parse(text) else { return };
    // What is slow is bounded, but not so that a fuzzer could run it often.
    if !stored.is_slow() && stored.is(password) == Ok(true) {
        assert!(stored.is(&[password, b"x"].concat()) != Ok(true));
    }
}
