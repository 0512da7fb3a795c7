//! `secure_headers`: the fields that browsers want to hear to keep an application's users out of harm, in one line.
//!
//! They are those of Django's SecurityMiddleware and XFrameOptionsMiddleware, with their defaults, so that an
//! application and the files beside it say the same: X-Content-Type-Options (WHATWG Fetch section 3.6), X-Frame-Options
//! (RFC 7034), Referrer-Policy (W3C), Cross-Origin-Opener-Policy (WHATWG HTML section 7.1.3), and, over TLS only,
//! Strict-Transport-Security (RFC 6797).

use std::sync::Arc;

use conf::Diagnostic;
use wire::h1::encode;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::ResponseHead;

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings(Option<Arc<Secure>>);

/// The fields, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
struct Secure {
    fields: Vec<Field>,
    /// All lines, and all but those for TLS.
    all: Box<[u8]>,
    plain: Box<[u8]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: &'static str,
    line: Box<[u8]>,
    only_tls: bool,
}

/// The table.
pub const ROWS: &[Row] = &[Row::new(
    "secure_headers",
    HSL,
    (1, 3),
    "on | off [hsts=TIME | hsts=off] [frame=deny | frame=sameorigin | frame=off]",
    "off",
    "Adds the fields that keep browsers careful to all answers, errors too, each where the answer does not have it: \
     X-Content-Type-Options `nosniff`, X-Frame-Options `DENY`, Referrer-Policy `same-origin`, \
     Cross-Origin-Opener-Policy `same-origin`, and over TLS Strict-Transport-Security for a year, or for TIME. The \
     values are Django's defaults. An application or `add_header` that says something else wins.",
    Set(set),
)];

/// A year, in seconds.
const YEAR: u64 = 365 * 24 * 3600;

fn set(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let on = s.flag()?;
    let (mut hsts, mut frame) = (Some(YEAR), Some("DENY"));
    for index in 1..s.count() {
        match s.text(index).split_once('=') {
            Some(("hsts", "off")) => hsts = None,
            Some(("hsts", time)) => hsts = Some(conf::time_s(time).ok_or_else(|| s.invalid())?),
            Some(("frame", "off")) => frame = None,
            Some(("frame", "deny")) => frame = Some("DENY"),
            Some(("frame", "sameorigin")) => frame = Some("SAMEORIGIN"),
            _ => return Err(s.wrong(format!("invalid parameter \"{}\"", s.text(index)))),
        }
    }
    s.settings().secure_headers = Settings(on.then(|| Arc::new(Secure::new(hsts, frame))));
    Ok(())
}

impl Secure {
    fn new(hsts: Option<u64>, frame: Option<&str>) -> Secure {
        let hsts = hsts.map(|seconds| format!("max-age={seconds}"));
        let all = [
            ("X-Content-Type-Options", Some("nosniff")),
            ("X-Frame-Options", frame),
            ("Referrer-Policy", Some("same-origin")),
            ("Cross-Origin-Opener-Policy", Some("same-origin")),
            ("Strict-Transport-Security", hsts.as_deref()),
        ];
        let fields = all.into_iter().filter_map(|(name, value)| {
            let mut line = Vec::new();
            encode::field(&mut line, name.as_bytes(), value?.as_bytes());
            Some(Field { name, line: line.into(), only_tls: name.starts_with("Strict-") })
        });
        let fields: Vec<Field> = fields.collect();
        let lines = |tls: bool| -> Box<[u8]> {
            fields.iter().filter(|field| tls || !field.only_tls).flat_map(|field| &*field.line).copied().collect()
        };
        Secure { all: lines(true), plain: lines(false), fields }
    }

    /// Which of the fields these encoded lines have: a bit each.
    fn found(&self, lines: &[u8]) -> u8 {
        let mut found = 0;
        let mut rest = lines;
        while let Some(colon) = memchr::memchr(b':', rest) {
            let name = &rest[..colon];
            for (bit, field) in self.fields.iter().enumerate() {
                if field.name.len() == colon && field.name.as_bytes().eq_ignore_ascii_case(name) {
                    found |= 1 << bit;
                }
            }
            rest = memchr::memchr(b'\n', rest).map_or(&[], |end| &rest[end + 1..]);
        }
        found
    }

    fn add(&self, fields: &mut Vec<u8>, others: [&[u8]; 2], tls: bool) {
        let found = self.found(fields) | self.found(others[0]) | self.found(others[1]);
        if found == 0 {
            return fields.extend_from_slice(if tls { &self.all } else { &self.plain });
        }
        for (bit, field) in self.fields.iter().enumerate() {
            if found & 1 << bit == 0 && (tls || !field.only_tls) {
                fields.extend_from_slice(&field.line);
            }
        }
    }
}

impl Settings {
    /// Adds what a head does not have. `fixed`: lines that every answer has. `tls`: the client came by TLS.
    pub fn apply(&self, head: &mut ResponseHead, fixed: Option<&[u8]>, tls: bool) {
        if let Some(secure) = &self.0 {
            secure.add(&mut head.fields, [fixed.unwrap_or_default(), &head.last_fields], tls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(fields: &str, fixed: &str, tls: bool, secure: &Secure) -> Vec<String> {
        let mut out = fields.as_bytes().to_vec();
        secure.add(&mut out, [fixed.as_bytes(), b""], tls);
        let text = String::from_utf8(out.split_off(fields.len())).unwrap();
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn what_is_there_is_not_added() {
        let secure = Secure::new(Some(YEAR), Some("DENY"));
        let plain = [
            "X-Content-Type-Options: nosniff",
            "X-Frame-Options: DENY",
            "Referrer-Policy: same-origin",
            "Cross-Origin-Opener-Policy: same-origin",
        ];
        assert_eq!(added("", "", false, &secure), plain);
        assert_eq!(added("A: b\r\n", "", true, &secure)[4], "Strict-Transport-Security: max-age=31536000");
        assert_eq!(
            added("x-frame-options: SAMEORIGIN\r\n", "REFERRER-POLICY: x\r\n", false, &secure),
            [plain[0], plain[3]]
        );
        assert_eq!(added("A: X-Frame-Options: x\r\n", "", false, &secure), plain);
        let all = "X-Frame-Options:\r\n";
        assert_eq!(added(all, "", true, &Secure::new(None, None)).len(), 3);
        assert_eq!(added("strict-transport-security: max-age=0\r\n", "", true, &secure), plain);
    }
}
