//! Passwords as other programs have stored them: htpasswd, openssl passwd, crypt(3) of libxcrypt, bcrypt and argon2-cffi
//! of Python; and files.

use proptest::prelude::*;

use super::credentials;
use super::file::Passwords;
use super::stored::Stored;

const SHORT: &str = "secret";
const LONG: &str = "a longer password, with spaces and ünïcode";

/// A password and what is stored of it.
const VECTORS: &[(&str, &str)] = &[
    (SHORT, "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"),
    (LONG, "$apr1$abcdefgh$wGwDJYeSKBp5HD5XbLbLh0"),
    ("", "$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie."),
    (SHORT, "$1$xyz$Qia9Wq6FxQkYcwNWMk/RM0"),
    (LONG, "$1$xyz$bAdsiZ3kWowKXlDNrKmJ00"),
    ("", "$1$xyz$kjXWClpYD0.j9bPLUk/Ii."),
    (SHORT, "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA"),
    (LONG, "$5$saltsalt$bM4jKobOfkNF2As4aBtG6jxnFlAt9rTYnwGEofum7o7"),
    (SHORT, "$5$rounds=1000$abcdefgh$XIppta5rT8zJUu4vAOKQXrwq9uY4Ijlz6VjyOmkx5i4"),
    ("", "$5$rounds=1000$abcdefgh$GkBTClnHKE8dKvOznb7VazxXnS.36rgDH/r3khMCLaB"),
    (SHORT, "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"),
    (
        SHORT,
        "$6$rounds=1500$sixteen.chars.16$yC9GqVQE6vFNICILTKmrMpxyLR0RKdfpTlbYmzsen42XNh0k7JjkSqgtFonkYIPKbvLuDqeBAPvl.\
         oNaIPAcI0",
    ),
    (
        LONG,
        "$6$rounds=1500$sixteen.chars.16$/tDcvKLlhnT6PpRy7ptHbSDCCirZvZtp4RFmwsUYi0ZTzX3/O0fBtKsHQUNqa7JVFjDdfmVSYQkC2iZ\
         QhR63./",
    ),
    (SHORT, "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
    (LONG, "{SHA}yL78gSBbwH6PS/GfDA0bSqYipcg="),
    ("", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    (SHORT, "{SSHA}dxbpMuOXt9qgASRP6lGC8T2JJ6VzYWx0AP8xMg=="),
    (LONG, "{SSHA}qF7FzjAoYiK23cs/yaMOKJizS1xzYWx0AP8xMg=="),
    ("", "{SSHA}TO4Sy2lYEU4w+OsPYG50mVONEh9zYWx0AP8xMg=="),
    (SHORT, "{PLAIN}secret"),
    ("", "{PLAIN}"),
    (SHORT, "$2y$04$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG"),
    (LONG, "$2y$04$vwRbbTUZRYN4fOOmLeQGP.vvZVuBtRtTS9heJ/QXLpvX2VdnbPL3q"),
    ("", "$2y$04$mlt774Rj/kWAytoPKSVkHOjDWsjsiZJV0UakEOiarUBkSDBDmBv1y"),
    (SHORT, "$2a$04$l313ScoJsDXSn4ZnNDkD7uQ0maHCfcCRiWCGrbsSuBJEOrIo4Iw6S"),
    (SHORT, "$2b$05$DRKj4oWBi1rEKBuUJq1quuPey95A94CAObE1CuWd54jQodontnkqe"),
    (SHORT, "$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg"),
    (SHORT, "$argon2i$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$j6HrtIuQS2njIlS/QgN3LA"),
    (SHORT, "$argon2d$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$h9b5T5GNHDZGUwP8t4lsbQ"),
    (LONG, "$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$/uCFVmw0oBci3DoiUY12bg"),
    ("", "$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$f9saFXbRp2K8uqchGq9ovg"),
];

fn check(stored: &str, password: &[u8]) -> Result<bool, &'static str> {
    Stored::parse(stored.as_bytes()).and_then(|stored| stored.is(password))
}

#[test]
fn passwords_of_other_programs_are_right_and_no_others() {
    for (password, stored) in VECTORS {
        assert_eq!(check(stored, password.as_bytes()), Ok(true), "{password} {stored}");
        for wrong in ["Secret", "secret ", "secre", "x", "secret\0"] {
            assert_eq!(check(stored, wrong.as_bytes()), Ok(false), "{wrong} {stored}");
        }
        let longest = vec![b'x'; 64 * 1024];
        assert_eq!(check(stored, &longest), Ok(false), "{stored}");
    }
}

#[test]
fn a_cost_that_would_hold_up_the_server_is_refused() {
    for stored in [
        "$2y$31$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG",
        "$2b$16$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG",
        "$5$rounds=999999999$abcdefgh$XIppta5rT8zJUu4vAOKQXrwq9uY4Ijlz6VjyOmkx5i4",
        "$6$rounds=1000001$saltsalt$x",
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg",
        "$argon2id$v=19$m=262144,t=17,p=1$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg",
        "$argon2id$v=19$m=8,t=4294967295,p=1$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg",
        "$argon2id$v=19$m=64,t=1,p=65$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg",
    ] {
        let why = Stored::parse(stored.as_bytes()).err().unwrap_or("taken");
        assert!(why.contains("too high") || why.contains("too many"), "{stored}: {why}");
    }
}

#[test]
fn what_is_not_understood_is_told() {
    for (stored, why) in [
        ("", "its format is not supported"),
        ("abNANd1rDfiNc", "its format is not supported"),
        ("$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9", "its format is not supported"),
        ("$2x$04$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG", "its format is not supported"),
        ("2y$", "its format is not supported"),
        ("x$6$saltsalt$x", "its format is not supported"),
        ("$apr1$abc", "it is no MD5-crypt"),
        ("$2y$04$ZaYca1exxuJO7r7S9", "it is no bcrypt"),
        ("$2y$0é$", "it is no bcrypt"),
        ("$2y$+4$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG", "it is no bcrypt"),
        ("$2y$03$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG", "it is no bcrypt"),
        ("$6$", "it is no SHA-crypt"),
        ("$6$salt", "it is no SHA-crypt"),
        ("$6$rounds=10$salt$x", "it has too few rounds"),
        ("$6$rounds=x$salt$x", "it is no SHA-crypt"),
        ("{SHA}*", "it is no base64"),
        ("{SHA}", "it is too short"),
        ("{SSHA}YWJj", "it is too short"),
        ("{SHA}dxbpMuOXt9qgASRP6lGC8T2JJ6VzYWx0AP8xMg==", "it is too long"),
        ("$argon2id$", "it is no Argon2"),
        ("$argon2id$v=18$m=64,t=2,p=2$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg", "it is no Argon2"),
        ("$argon2id$v=19$t=2,m=64,p=2$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg", "it is no Argon2"),
        ("$argon2id$v=19$m=64,t=0,p=2$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg", "it is no Argon2"),
        ("$argon2id$v=19$m=64,t=2,p=2$c2Fs$OutnjDNO4CBxGKXIxqDwbg", "it is no Argon2"),
        ("$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$", "it is no Argon2"),
    ] {
        let told = check(stored, b"secret").err().unwrap_or("nothing");
        assert!(told.starts_with(why), "{stored}: {told}");
    }
}

#[test]
fn lines_are_read_as_nginx_reads_them() {
    let text = b"# a comment: x\n\n\r\nalice:one\nbob:two:a comment\r\ncarol:three\r\nalice:four\nno colon\n:five\n #d:six\nlast:seven";
    let passwords = Passwords::parse(text);
    for (user, stored) in [
        ("alice", Some("one")),
        ("bob", Some("two")),
        ("carol", Some("three")),
        ("# a comment", None),
        ("no colon", None),
        (" #d", Some("six")),
        ("last", Some("seven")),
        ("nobody", None),
    ] {
        assert_eq!(passwords.of(user.as_bytes()), stored.map(str::as_bytes), "{user}");
    }
}

#[test]
fn credentials_are_a_name_and_a_password() {
    for (value, expected) in [
        ("Basic YWxpY2U6c2VjcmV0", Some(("alice", "secret"))),
        ("basic   YWxpY2U6c2VjcmV0", Some(("alice", "secret"))),
        ("Basic YTo=", Some(("a", ""))),
        ("Basic YTpiOmM", Some(("a", "b:c"))),
        ("Basic", None),
        ("Basic ", None),
        ("Basic OmE=", None),
        ("Basic YQ==", None),
        ("Basic *", None),
        ("Bearer YWxpY2U6c2VjcmV0", None),
        ("", None),
    ] {
        let expected = expected.map(|(user, password)| (user.as_bytes().to_vec(), password.as_bytes().to_vec()));
        assert_eq!(credentials(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn a_file_is_read_again_when_it_has_changed() {
    let path = std::env::temp_dir().join(format!("daemun-passwords-{}", std::process::id()));
    let name = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    let of = |user: &str| super::file::open(name).unwrap().of(user.as_bytes()).map(<[u8]>::to_vec);
    let missing = super::file::open(name).err().map(|failed| (failed.call, failed.error.raw_os_error()));
    assert_eq!(missing, Some(("open", Some(libc::ENOENT))));
    for content in ["a:1", "a:2", "b:1", "a:longer"] {
        std::fs::write(&path, content).unwrap();
        let (user, stored) = content.split_once(':').unwrap();
        assert_eq!(of(user), Some(stored.as_bytes().to_vec()));
        assert_eq!(of("c"), None);
    }
    std::fs::remove_file(&path).unwrap();
    assert!(super::file::open(name).is_err());
    let folder = std::env::temp_dir();
    let folder = super::file::open(std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str())).unwrap_err();
    assert_eq!((folder.call, folder.error.raw_os_error()), ("pread", Some(libc::EISDIR)));
}

proptest! {
    #[test]
    fn any_file_is_read(text in proptest::collection::vec(any::<u8>(), 0..200), user in "[a-z]{0,3}") {
        if let Some(stored) = Passwords::parse(&text).of(user.as_bytes()) {
            prop_assert!(stored.iter().all(|byte| !b":\r\n".contains(byte)));
        }
    }

    #[test]
    fn what_is_stored_may_be_anything(
        start in prop::sample::select(vec!["", "{SHA}", "{SSHA}", "$apr1$", "$6$", "$5$rounds=", "$2y$04$", "$argon2id$v=19$m=64,"]),
        rest in "[a-z0-9$=,/.é]{0,60}",
    ) {
        let stored = format!("{start}{rest}");
        if let Ok(parsed) = Stored::parse(stored.as_bytes()) {
            let _ = parsed.is(b"secret");
        }
    }
}
