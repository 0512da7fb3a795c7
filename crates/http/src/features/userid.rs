//! `userid`: a cookie by which a client is known again (mod_uid's format): made, read, and written out.
//!
//! Who counts the sequence and knows the time and the server's address is the caller.

mod directives;
mod exchange;

pub use directives::{ROWS, Settings};
pub use exchange::{State, apply, got, prepare, set};

use crate::base64;
use crate::transport::clock;

/// The 16 bytes of an identifier: service, time, start and sequence, four bytes each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uid(pub [u8; 16]);

/// How new identifiers are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// `v1`: numbers as this machine stores them (little endian).
    One,
    /// `on`: numbers in network order.
    Two,
}

/// The first number of a worker's sequence.
pub fn first(version: Version) -> u32 {
    match version {
        Version::One => 1,
        Version::Two => 0x0303_0302,
    }
}

/// The number that follows `sequence`.
pub fn following(version: Version, sequence: u32) -> u32 {
    let next = sequence.wrapping_add(0x100);
    match version {
        Version::One => next,
        Version::Two => next.max(0x0303_0302),
    }
}

/// What tells workers apart: the microseconds at which this one started, and its process id.
pub fn start_value(microseconds: u32, pid: u32) -> u32 {
    ((microseconds / 20) << 16) | pid
}

/// The four bytes of the server's address that stand for the service under version 2 if `userid_service` does not
/// say: an IPv4 address, or the end of an IPv6 address. Zero for a Unix socket.
pub fn service_of(address: Option<std::net::IpAddr>) -> u32 {
    match address {
        Some(std::net::IpAddr::V4(address)) => u32::from(address),
        Some(std::net::IpAddr::V6(address)) => u128::from(address) as u32,
        None => 0,
    }
}

impl Uid {
    /// A new one; `now` in seconds since 1970.
    pub fn new(version: Version, service: u32, now: u32, start: u32, sequence: u32) -> Uid {
        let mut bytes = [0; 16];
        for (out, number) in bytes.chunks_exact_mut(4).zip([service, now, start, sequence]) {
            out.copy_from_slice(&match version {
                Version::One => number.to_le_bytes(),
                Version::Two => number.to_be_bytes(),
            });
        }
        Uid(bytes)
    }

    /// The identifier that a cookie's value begins with; of the value only 22 characters count. The error is nginx's
    /// line for the log, to be completed by the whole field.
    pub fn parse(value: &[u8]) -> Result<Uid, &'static str> {
        let digits = value.get(..22).ok_or("client sent too short userid cookie")?;
        decode(digits).map(Uid).ok_or("client sent invalid userid cookie")
    }

    /// Whether it counts as one: one whose sequence is zero does not.
    pub fn is_known(&self) -> bool {
        self.0[12..] != [0; 4]
    }

    /// `NAME=` and four numbers in hexadecimal, as this machine reads them: `$uid_got` and `$uid_set`.
    pub fn variable(&self, name: &str) -> String {
        let mut out = format!("{name}=");
        for word in self.0.chunks_exact(4) {
            let number = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            out.push_str(&format!("{number:08X}"));
        }
        out
    }

    /// 24 characters of base64.
    fn encode(&self) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::with_capacity(24);
        for group in self.0.chunks(3) {
            let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
            for at in 0..=group.len() {
                out.push(char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]));
            }
        }
        out.push_str("==");
        out
    }
}

fn decode(digits: &[u8]) -> Option<[u8; 16]> {
    // A padding in the midst ends the value; what is missing is zero.
    let digits = base64::unpadded(digits);
    let bytes = base64::decode(digits, base64::STANDARD)?;
    let mut out = [0; 16];
    out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    // A lone digit at the end says no byte at all.
    (digits.len() % 4 != 1).then_some(out)
}

/// When the cookie ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expires {
    /// With the session.
    #[default]
    Off,
    /// At the end of 2037.
    Max,
    /// So many seconds from now.
    After(u64),
}

/// What `userid_name`, `userid_domain` and the others say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cookie {
    pub name: String,
    /// Empty: none.
    pub domain: String,
    pub path: String,
    pub expires: Expires,
    /// The text of the flags, as `flags` makes it.
    pub flags: String,
    /// A letter, a digit or `=` in place of the first padding character, by which a cookie is known as up to date.
    pub mark: Option<u8>,
}

impl Default for Cookie {
    fn default() -> Cookie {
        Cookie {
            name: "uid".into(),
            domain: String::new(),
            path: "/".into(),
            expires: Expires::Off,
            flags: String::new(),
            mark: None,
        }
    }
}

impl Cookie {
    /// Whether a client that sent `value` gets a cookie again: it sent none that counts, or one without the mark.
    pub fn is_due(&self, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return true };
        if !Uid::parse(value).is_ok_and(|uid| uid.is_known()) {
            return true;
        }
        self.mark.is_some_and(|mark| !(value.len() > 23 && value[22] == mark && value[23] == b'='))
    }

    /// The value of Set-Cookie at `now`, in seconds since 1970.
    pub fn set(&self, uid: &Uid, now: u64) -> String {
        let mut out = format!("{}={}", self.name, uid.encode());
        if let Some(mark) = self.mark {
            out.truncate(out.len() - 2);
            out.push(char::from(mark));
            out.push('=');
        }
        match self.expires {
            Expires::Off => {}
            Expires::Max => out.push_str("; expires=Thu, 31-Dec-37 23:55:55 GMT"),
            Expires::After(seconds) => {
                out.push_str("; expires=");
                out.push_str(&clock::cookie_time(now.saturating_add(seconds)));
            }
        }
        if !self.domain.is_empty() {
            out.push_str("; domain=");
            out.push_str(&self.domain);
        }
        out.push_str("; path=");
        out.push_str(&self.path);
        out.push_str(&self.flags);
        out
    }
}

/// The text of `userid_flags`: any of `secure`, `httponly`, `samesite=strict|lax|none`, which come out in nginx's
/// order, and `off`, which adds nothing. The error is the word that is wrong.
pub fn flags<'a>(words: &[&'a str]) -> Result<String, &'a str> {
    let (mut secure, mut httponly, mut samesite) = ("", "", "");
    for &word in words {
        match word.to_ascii_lowercase().as_str() {
            "off" => {}
            "secure" => secure = "; secure",
            "httponly" => httponly = "; httponly",
            "samesite=strict" => samesite = "; samesite=strict",
            "samesite=lax" => samesite = "; samesite=lax",
            "samesite=none" => samesite = "; samesite=none",
            _ => return Err(word),
        }
    }
    Ok([secure, httponly, samesite].concat())
}

/// What `$uid_reset` asks for: an identifier that the client sent is not to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reset {
    No,
    Yes,
    /// And a line in the log is to say so.
    Logged,
}

/// Reads the value of `$uid_reset`.
pub fn reset(value: &[u8]) -> Reset {
    match value {
        b"" | b"0" => Reset::No,
        b"log" => Reset::Logged,
        _ => Reset::Yes,
    }
}

/// Reads the argument of `userid_mark`. The error is nginx's, without the name of the directive.
pub fn mark(value: &str) -> Result<Option<u8>, &'static str> {
    match value.as_bytes() {
        b"off" => Ok(None),
        &[byte] if byte.is_ascii_alphanumeric() || byte == b'=' => Ok(Some(byte)),
        _ => Err("value must be \"off\" or a single letter, digit or \"=\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_276_766;

    #[test]
    fn new_identifiers_are_those_of_nginx() {
        let address = Some("127.0.0.1".parse().unwrap());
        let start = 0xa6a5_1096;
        let two = Uid::new(Version::Two, service_of(address), NOW as u32, start, first(Version::Two));
        assert_eq!(two.variable("uid"), "uid=0100007FDEBF016B9610A5A602030303");
        assert_eq!(Cookie::default().set(&two, NOW), "uid=fwAAAWsBv96mpRCWAwMDAg==; path=/");
        let one = Uid::new(Version::One, 1, NOW as u32, start, first(Version::One));
        assert_eq!(one.variable("uid"), "uid=000000016B01BFDEA6A5109600000001");
        assert_eq!(Cookie::default().set(&one, NOW), "uid=AQAAAN6/AWuWEKWmAQAAAA==; path=/");
        assert_eq!(following(Version::Two, 0x0303_0302), 0x0303_0402);
        assert_eq!(following(Version::Two, 0xffff_ff02), 0x0303_0302);
        assert_eq!(following(Version::One, 0xffff_ff01), 1);
        assert_eq!(start_value(999_999, 4242), (49_999 << 16) | 4242);
    }

    #[test]
    fn cookies_with_all_there_is() {
        let uid = |sequence| Uid::new(Version::Two, u32::MAX, NOW as u32, 0xa6a5_1096, sequence);
        let cookie = Cookie {
            name: "n".into(),
            domain: ".e.com".into(),
            path: "/p".into(),
            expires: Expires::Max,
            ..Cookie::default()
        };
        assert_eq!(
            cookie.set(&uid(0x0303_0402), NOW),
            "n=/////2sBv96mpRCWAwMEAg==; expires=Thu, 31-Dec-37 23:55:55 GMT; domain=.e.com; path=/p"
        );
        let late = Cookie { expires: Expires::After(20 * 365 * 86_400), ..Cookie::default() };
        assert!(late.set(&uid(1), 1_795_277_085).contains("; expires=Fri, 16-Nov-2046 16:04:45 GMT; path=/"));
        let cookie = Cookie {
            expires: Expires::After(86_400),
            mark: Some(b'Z'),
            flags: flags(&["secure", "httponly", "samesite=lax"]).unwrap(),
            ..Cookie::default()
        };
        let uid = Uid::new(Version::Two, 0x7f00_0001, NOW as u32, 0xa6a5_1096, 0x0303_0502);
        assert_eq!(
            cookie.set(&uid, NOW),
            "uid=fwAAAWsBv96mpRCWAwMFAgZ=; expires=Sun, 22-Nov-26 15:59:26 GMT; path=/; secure; httponly; samesite=lax"
        );
    }

    #[test]
    fn cookies_are_read() {
        let uid = Uid::parse(b"fwAAAWdkAAAAAQACAwMDAgxx").unwrap();
        assert_eq!(uid.variable("uid"), "uid=0100007F000064670200010002030303");
        assert!(uid.is_known());
        assert!(!Uid::parse(b"AAAAAAAAAAAAAAAAAAAAAA==").unwrap().is_known());
        let ended = Uid::parse(b"fwAAAWdkAAAAAQACAwM=DAAAAAAAA").unwrap();
        assert_eq!(ended.variable("uid"), "uid=0100007F000064670200010000000303");
        assert_eq!(Uid::parse(b"-_AAAWdkAAAAAQACAwMDAg=="), Err("client sent invalid userid cookie"));
        assert_eq!(Uid::parse(b"short"), Err("client sent too short userid cookie"));
        assert_eq!(Uid::parse(b"!!!!!!!!!!!!!!!!!!!!!!!!"), Err("client sent invalid userid cookie"));
    }

    #[test]
    fn a_cookie_is_due_without_the_mark() {
        let plain = Cookie::default();
        let marked = Cookie { mark: Some(b'Z'), ..Cookie::default() };
        let table: &[(Option<&[u8]>, bool, bool)] = &[
            (None, true, true),
            (Some(b"fwAAAWdkAAAAAQACAwMDAg=="), false, true),
            (Some(b"fwAAAWdkAAAAAQACAwMDAgZ="), false, false),
            (Some(b"AAAAAAAAAAAAAAAAAAAAAA=="), true, true),
            (Some(b"short"), true, true),
        ];
        for &(value, for_plain, for_marked) in table {
            assert_eq!((plain.is_due(value), marked.is_due(value)), (for_plain, for_marked), "{value:?}");
        }
        let uid = Uid::parse(b"fwAAAWdkAAAAAQACAwMDAg==").unwrap();
        assert_eq!(marked.set(&uid, NOW), "uid=fwAAAWdkAAAAAQACAwMDAgZ=; path=/");
    }

    #[test]
    fn arguments() {
        assert_eq!(mark("off"), Ok(None));
        assert_eq!(mark("="), Ok(Some(b'=')));
        for wrong in ["ab", "-", ""] {
            assert_eq!(mark(wrong), Err("value must be \"off\" or a single letter, digit or \"=\""));
        }
        assert_eq!(flags(&["off"]), Ok(String::new()));
        assert_eq!(flags(&["samesite=lax", "off"]), Ok("; samesite=lax".into()));
        assert_eq!(flags(&["httponly", "SameSite=Lax", "Secure"]), Ok("; secure; httponly; samesite=lax".into()));
        assert_eq!(flags(&["secure", "foo"]), Err("foo"));
        assert_eq!(flags(&["samesite"]), Err("samesite"));
        assert_eq!(
            (reset(b""), reset(b"0"), reset(b"1"), reset(b"log")),
            (Reset::No, Reset::No, Reset::Yes, Reset::Logged)
        );
    }
}
