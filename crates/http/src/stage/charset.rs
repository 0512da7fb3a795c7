//! Recoding of a body from one charset to another, with tables from `charset_map`.
//!
//! A charset is one byte per character, or UTF-8. What a table does not name becomes `?`, or in a body that comes from
//! UTF-8 a reference `&#NNNN;`.

use std::sync::Arc;

/// A `charset_map` block, ready to be used in both directions.
pub struct Map {
    from: String,
    to: String,
    tables: Tables,
}

enum Tables {
    /// Both have one byte per character.
    Bytes { there: Arc<[u8; 256]>, back: Arc<[u8; 256]> },
    /// The second is UTF-8.
    Utf8 { there: Arc<Sequences>, back: Arc<Pages> },
}

/// What stands for each byte in UTF-8: a length of 1 to 3, then so many bytes.
struct Sequences([[u8; 4]; 256]);

/// The byte for each character up to U+FFFF, by pages of 256; 0: none.
struct Pages(Vec<Option<Box<[u8; 256]>>>);

/// Makes a `Map` from the lines of a block.
pub struct Builder {
    from: String,
    to: String,
    table: Table,
}

enum Table {
    Bytes { there: Box<[u8; 256]>, back: Box<[u8; 256]> },
    Utf8 { there: Box<[[u8; 4]; 256]>, back: Vec<Option<Box<[u8; 256]>>> },
}

impl Builder {
    /// For `charset_map from to`. The error is nginx's, or ours where nginx would go wrong later.
    pub fn new(from: &str, to: &str) -> Result<Builder, String> {
        if from.eq_ignore_ascii_case(to) {
            return Err(format!("\"charset_map\" between the same charsets \"{from}\" and \"{to}\""));
        }
        if is_utf8(from) {
            return Err(format!("\"charset_map\" from \"{from}\": let UTF-8 be the second charset"));
        }
        let ascii = |at: usize| if at < 128 { at as u8 } else { b'?' };
        let table = if is_utf8(to) {
            let mut page = Box::new([0; 256]);
            let mut back = vec![None; 256];
            for (at, byte) in page.iter_mut().enumerate().take(128) {
                *byte = at as u8;
            }
            back[0] = Some(page);
            Table::Utf8 { there: Box::new(std::array::from_fn(|at| [1, ascii(at), 0, 0])), back }
        } else {
            let same = || Box::new(std::array::from_fn(ascii));
            Table::Bytes { there: same(), back: same() }
        };
        Ok(Builder { from: from.to_string(), to: to.to_string(), table })
    }

    /// Takes a line of the block. A later line for the same byte replaces an earlier one.
    pub fn line(&mut self, words: &[&str]) -> Result<(), String> {
        let &[source, target] = words else { return Err("invalid parameters number".into()) };
        let invalid = |value: &str| format!("invalid value \"{value}\"");
        let byte = hex(source).ok_or_else(|| invalid(source))?;
        match &mut self.table {
            Table::Bytes { there, back } => {
                let other = hex(target).ok_or_else(|| invalid(target))?;
                there[byte as usize] = other;
                back[other as usize] = byte;
            }
            Table::Utf8 { there, back } => {
                let (sequence, character) = sequence(target).ok_or_else(|| invalid(target))?;
                there[byte as usize] = sequence;
                back[character as usize >> 8].get_or_insert_with(|| Box::new([0; 256]))[character as usize & 0xff] =
                    byte;
            }
        }
        Ok(())
    }

    /// Ends the block.
    pub fn build(self) -> Map {
        let tables = match self.table {
            Table::Bytes { there, back } => Tables::Bytes { there: Arc::from(there), back: Arc::from(back) },
            Table::Utf8 { there, back } => {
                Tables::Utf8 { there: Arc::new(Sequences(*there)), back: Arc::new(Pages(back)) }
            }
        };
        Map { from: self.from, to: self.to, tables }
    }
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf-8")
}

/// A byte in hexadecimal; leading zeros are allowed.
fn hex(text: &str) -> Option<u8> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if all_digits { u8::from_str_radix(text, 16).ok() } else { None }
}

/// A sequence of UTF-8 in hexadecimal, at most three bytes, and the character that it begins with.
fn sequence(text: &str) -> Option<([u8; 4], u32)> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > 6 {
        return None;
    }
    let mut out = [(digits.len() / 2) as u8, 0, 0, 0];
    for (byte, pair) in out[1..].iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex(std::str::from_utf8(pair).ok()?)?;
    }
    match decode(&out[1..=digits.len() / 2]) {
        (_, Decoded::Character(character)) if character <= 0xffff => Some((out, character)),
        _ => None,
    }
}

impl Map {
    /// The charsets, as they were written.
    pub fn names(&self) -> (&str, &str) {
        (&self.from, &self.to)
    }

    /// Whether both maps are between the same charsets: the second is refused then (`duplicate`).
    pub fn is_same_pair(&self, other: &Map) -> bool {
        let same = |one: &str, two: &str| one.eq_ignore_ascii_case(two);
        (same(&self.from, &other.from) && same(&self.to, &other.to))
            || (same(&self.from, &other.to) && same(&self.to, &other.from))
    }

    /// nginx's message when a second map is between the same charsets.
    pub fn duplicate(&self) -> String {
        format!("duplicate \"charset_map\" between \"{}\" and \"{}\"", self.from, self.to)
    }

    /// A recoder from `source` to `charset` if this map is between these.
    fn recoder(&self, source: &str, charset: &str) -> Option<Recoder> {
        let is = |one: &str, other: &str| source.eq_ignore_ascii_case(one) && charset.eq_ignore_ascii_case(other);
        let (forward, backward) = (is(&self.from, &self.to), is(&self.to, &self.from));
        Some(Recoder(match &self.tables {
            Tables::Bytes { there, .. } if forward => Way::Bytes(Arc::clone(there)),
            Tables::Bytes { back, .. } if backward => Way::Bytes(Arc::clone(back)),
            Tables::Utf8 { there, .. } if forward => Way::ToUtf8(Arc::clone(there)),
            Tables::Utf8 { back, .. } if backward => Way::FromUtf8(Arc::clone(back)),
            _ => return None,
        }))
    }
}

/// The way from one charset to another, found at load; cheap to clone.
#[derive(Clone)]
pub struct Recoder(Way);

#[derive(Clone)]
enum Way {
    Bytes(Arc<[u8; 256]>),
    ToUtf8(Arc<Sequences>),
    FromUtf8(Arc<Pages>),
}

impl Recoder {
    /// How to recode a body of `source` to `charset`; `None`: they are the same. The error is nginx's.
    pub fn find(maps: &[Map], source: &str, charset: &str) -> Result<Option<Recoder>, String> {
        if source.eq_ignore_ascii_case(charset) {
            return Ok(None);
        }
        match maps.iter().find_map(|map| map.recoder(source, charset)) {
            Some(recoder) => Ok(Some(recoder)),
            None => Err(format!("no \"charset_map\" between the charsets \"{source}\" and \"{charset}\"")),
        }
    }

    /// Whether a body's length stays what it was.
    pub fn keeps_length(&self) -> bool {
        matches!(self.0, Way::Bytes(_))
    }
}

/// The stage: one for each body.
pub struct Charset {
    recoder: Recoder,
    /// The beginning of a sequence whose end has not come yet; less than four bytes.
    held: Vec<u8>,
}

impl Charset {
    pub fn new(recoder: Recoder) -> Charset {
        Charset { recoder, held: Vec::new() }
    }

    /// Whether a body's length stays what it was.
    pub fn keeps_length(&self) -> bool {
        self.recoder.keeps_length()
    }

    /// Takes a part of the body and appends it recoded.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match &self.recoder.0 {
            Way::Bytes(table) => out.extend(input.iter().map(|&byte| table[byte as usize])),
            Way::ToUtf8(table) => {
                out.reserve(input.len());
                for &byte in input {
                    let [len, sequence @ ..] = &table.0[byte as usize];
                    out.extend_from_slice(&sequence[..usize::from(*len)]);
                }
            }
            Way::FromUtf8(pages) => {
                let mut rest = input;
                while !self.held.is_empty() {
                    let Some((&first, others)) = rest.split_first() else { return };
                    rest = others;
                    self.held.push(first);
                    if let (len, decoded @ (Decoded::Character(_) | Decoded::Invalid)) = decode(&self.held) {
                        decoded.write(pages, out);
                        let left = self.held.split_off(len);
                        self.held.clear();
                        // What an invalid sequence leaves is looked at as if it came now.
                        recode(&left, pages, &mut self.held, out);
                    }
                }
                recode(rest, pages, &mut self.held, out);
            }
        }
    }

    /// Ends the body. A sequence that is not complete is left out, as nginx does.
    pub fn end(&mut self, _out: &mut Vec<u8>) {
        self.held.clear();
    }
}

/// Recodes `input` from UTF-8; the beginning of a sequence at its end goes to `held`.
fn recode(input: &[u8], pages: &Pages, held: &mut Vec<u8>, out: &mut Vec<u8>) {
    let mut rest = input;
    while !rest.is_empty() {
        let plain = rest.iter().position(|&byte| byte >= 0x80).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if rest.is_empty() {
            return;
        }
        let (len, decoded) = decode(rest);
        if decoded == Decoded::Incomplete {
            held.extend_from_slice(rest);
            return;
        }
        decoded.write(pages, out);
        rest = &rest[len..];
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decoded {
    Character(u32),
    Invalid,
    /// More bytes are needed.
    Incomplete,
}

impl Decoded {
    fn write(self, pages: &Pages, out: &mut Vec<u8>) {
        let Decoded::Character(character) = self else {
            out.push(b'?');
            return;
        };
        let page = pages.0.get(character as usize >> 8).and_then(Option::as_ref);
        match page.map_or(0, |page| page[character as usize & 0xff]) {
            0 => out.extend_from_slice(format!("&#{character};").as_bytes()),
            byte => out.push(byte),
        }
    }
}

/// Decodes the character that `text` (not empty) begins with, and says how many bytes it takes. nginx is lax here:
/// surrogates are let through, a byte from 0xC0 on may continue a sequence, and a byte below 0x80 in the place of one
/// that continues is swallowed. An ASCII character is no sequence.
fn decode(text: &[u8]) -> (usize, Decoded) {
    let lead = text[0];
    let (more, bits, least) = match lead {
        0xc2..=0xdf => (1, lead & 0x1f, 0x80),
        0xe0..=0xef => (2, lead & 0x0f, 0x800),
        0xf0..=0xf7 => (3, lead & 0x07, 0x10000),
        _ => return (1, Decoded::Invalid),
    };
    let Some(others) = text.get(1..=more) else { return (text.len(), Decoded::Incomplete) };
    let mut character = u32::from(bits);
    for (at, &byte) in others.iter().enumerate() {
        if byte < 0x80 {
            return (at + 2, Decoded::Invalid);
        }
        character = character << 6 | u32::from(byte & 0x3f);
    }
    let valid = (least..=0x10ffff).contains(&character);
    (more + 1, if valid { Decoded::Character(character) } else { Decoded::Invalid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(from: &str, to: &str, lines: &[[&str; 2]]) -> Map {
        let mut builder = Builder::new(from, to).unwrap();
        for line in lines {
            builder.line(line).unwrap();
        }
        builder.build()
    }

    fn run(map: Map, source: &str, charset: &str, body: &[u8], chunk: usize) -> Vec<u8> {
        let recoder = Recoder::find(&[map], source, charset).unwrap().unwrap();
        let (mut stage, mut out) = (Charset::new(recoder), Vec::new());
        for part in body.chunks(chunk) {
            stage.feed(part, &mut out);
            assert!(stage.held.len() < 4);
        }
        stage.end(&mut out);
        out
    }

    const KOI8: &[[&str; 2]] = &[["80", "E282AC"], ["E1", "D0B0"], ["e2", "D0b1"], ["E1", "D0B1"]];

    #[test]
    fn from_utf8() {
        let table: &[(&[u8], &[u8])] = &[
            (b"abc", b"abc"),
            (b"caf\xd0\xb0 \xd0\xb1x", b"caf\xe1 \xe1x"),
            (b"\xe2\x82\xac", b"\x80"),
            (b"\xd0\x96", b"&#1046;"),
            (b"\xf0\x9f\x98\x80", b"&#128512;"),
            (b"abc\xd0", b"abc"),
            (b"a\xd0b c", b"a? c"),
            (b"\xc0\xafx", b"??x"),
            (b"\xe2ABC", b"?BC"),
            (b"\xf0ABCD", b"?BCD"),
            (b"\xed\xa0\x80", b"&#55296;"),
            (b"\xf4\x90\x80\x80z", b"?z"),
            (b"\x80\x81", b"??"),
            (b"\xd0\xf0\xb1", b"\xe1?"),
            (b"\xf7\xbf\xbf\xbf!", b"?!"),
            (b"\xe0\x80\x80x", b"?x"),
            // nginx 1.22 takes these for the beginning of four bytes; later ones do as we.
            (b"\xff\xfeab", b"??ab"),
            (b"\xf8\x88\x80z", b"???z"),
        ];
        for &(body, expected) in table {
            for chunk in 1..=body.len() {
                let found = run(map("koi8", "utf-8", KOI8), "utf-8", "KOI8", body, chunk);
                assert_eq!(found, expected, "{body:?} by {chunk}: {}", String::from_utf8_lossy(&found));
            }
        }
    }

    #[test]
    fn to_utf8_and_between_bytes() {
        let body = [65, 0x80, 0x81, 0x82, 0xe1, 0xff];
        assert_eq!(run(map("koi8", "UTF-8", KOI8), "koi8", "utf-8", &body, 2), b"A\xe2\x82\xac??\xd0\xb1?");
        let lines = &[["80", "88"], ["81", "89"], ["41", "42"]];
        assert_eq!(run(map("k", "w", lines), "k", "w", &body, 2), b"B\x88\x89???");
        assert_eq!(run(map("k", "w", lines), "w", "k", &body, 2), b"A?????");
    }

    #[test]
    fn wrong_lines() {
        let table: &[(&str, &[&str], &str)] = &[
            ("utf-8", &["80"], "invalid parameters number"),
            ("utf-8", &["80", "41", "42"], "invalid parameters number"),
            ("utf-8", &["zz", "41"], "invalid value \"zz\""),
            ("utf-8", &["100", "41"], "invalid value \"100\""),
            ("utf-8", &["80", "41"], "invalid value \"41\""),
            ("utf-8", &["80", "E282A"], "invalid value \"E282A\""),
            ("utf-8", &["80", "F09F9880"], "invalid value \"F09F9880\""),
            ("utf-8", &["80", ""], "invalid value \"\""),
            ("utf-8", &["80", "D041"], "invalid value \"D041\""),
            ("utf-8", &["", "C3A9"], "invalid value \"\""),
            ("utf-8", &["80", "g1"], "invalid value \"g1\""),
            ("y", &["80", "zz"], "invalid value \"zz\""),
            ("y", &["80", "100"], "invalid value \"100\""),
        ];
        for &(to, words, error) in table {
            assert_eq!(Builder::new("x", to).unwrap().line(words), Err(error.to_string()), "{words:?}");
        }
        for (to, words) in [("utf-8", ["0080", "C3A9"]), ("utf-8", ["7F", "C3A9"]), ("y", ["80", "0041"])] {
            assert_eq!(Builder::new("x", to).unwrap().line(&words), Ok(()), "{words:?}");
        }
    }

    #[test]
    fn wrong_maps() {
        let error = Builder::new("x", "X").err().unwrap();
        assert_eq!(error, "\"charset_map\" between the same charsets \"x\" and \"X\"");
        assert!(Builder::new("utf-8", "x").is_err());
        let (one, other) = (map("x", "y", &[]), map("Y", "x", &[]));
        assert!(one.is_same_pair(&other));
        assert_eq!(other.duplicate(), "duplicate \"charset_map\" between \"Y\" and \"x\"");
        let error = Recoder::find(&[one], "a", "b").err().unwrap();
        assert_eq!(error, "no \"charset_map\" between the charsets \"a\" and \"b\"");
        assert!(Recoder::find(&[], "a", "A").is_ok_and(|recoder| recoder.is_none()));
    }
}
