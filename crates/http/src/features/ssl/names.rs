//! Distinguished names as OpenSSL writes them: by RFC 2253, and in its older way.

use std::fmt::Write as _;

use x509_parser::x509::X509Name;

/// OpenSSL's short names of attributes.
#[rustfmt::skip]
const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"), ("2.5.4.4", "SN"), ("2.5.4.5", "serialNumber"), ("2.5.4.6", "C"), ("2.5.4.7", "L"), ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"), ("2.5.4.10", "O"), ("2.5.4.11", "OU"), ("2.5.4.12", "title"), ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"), ("2.5.4.16", "postalAddress"), ("2.5.4.17", "postalCode"), ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.20", "telephoneNumber"), ("2.5.4.41", "name"), ("2.5.4.42", "GN"), ("2.5.4.43", "initials"), ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"), ("2.5.4.46", "dnQualifier"), ("2.5.4.65", "pseudonym"), ("2.5.4.72", "role"),
    ("2.5.4.97", "organizationIdentifier"), ("0.9.2342.19200300.100.1.1", "UID"), ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.25", "DC"), ("1.2.840.113549.1.9.1", "emailAddress"), ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"), ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"), ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

fn short(oid: &str) -> Option<&'static str> {
    SHORT.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name)
}

/// ASN.1's BMPString: two bytes a character.
const BMP_STRING: u32 = 30;
/// UniversalString: four.
const UNIVERSAL_STRING: u32 = 28;
/// UTF8String.
const UTF8_STRING: u32 = 12;

/// RFC 2253: the last attribute first, separated by commas.
pub fn rfc2253(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for set in name.iter_rdn().collect::<Vec<_>>().into_iter().rev() {
        if !out.is_empty() {
            out.push(',');
        }
        for (index, attribute) in set.iter().enumerate() {
            if index > 0 {
                out.push('+');
            }
            let oid = attribute.attr_type().to_id_string();
            let value = attribute.attr_value();
            match short(&oid) {
                Some(short) => {
                    out.push_str(short);
                    out.push('=');
                    escaped(&text(value.tag().0, value.data), &mut out);
                }
                // What the attribute means is not known: its bytes.
                None => {
                    out.push_str(&oid);
                    out.push_str("=#");
                    for byte in der(value.tag().0, value.data) {
                        let _ = write!(out, "{byte:02X}");
                    }
                }
            }
        }
    }
    out
}

/// The value of a string in UTF-8.
fn text(tag: u32, data: &[u8]) -> Vec<u8> {
    let wide = |size: usize| {
        let characters = data.chunks(size).map(|part| {
            let number = part.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
            char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        characters.collect::<String>().into_bytes()
    };
    match tag {
        BMP_STRING => wide(2),
        UNIVERSAL_STRING => wide(4),
        UTF8_STRING => data.to_vec(),
        // One byte a character, which only above ASCII makes a difference.
        _ => data.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes(),
    }
}

fn der(tag: u32, data: &[u8]) -> Vec<u8> {
    let mut out = vec![tag as u8];
    match data.len() {
        len @ 0..0x80 => out.push(len as u8),
        len @ 0x80..0x100 => out.extend_from_slice(&[0x81, len as u8]),
        len => out.extend_from_slice(&[0x82, (len >> 8) as u8, len as u8]),
    }
    out.extend_from_slice(data);
    out
}

/// Escapes special characters with `\`, others that are not printable in hexadecimal.
fn escaped(text: &[u8], out: &mut String) {
    for (index, byte) in text.iter().enumerate() {
        let edge = index == 0 || index + 1 == text.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            b'#' if index == 0 => out.push_str("\\#"),
            b' ' if edge => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(*byte)),
            byte => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
}

/// `/C=DE/CN=x`, as OpenSSL did before RFC 2253.
pub fn legacy(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for attribute in name.iter_attributes() {
        let oid = attribute.attr_type().to_id_string();
        out.push('/');
        out.push_str(short(&oid).unwrap_or(&oid));
        out.push('=');
        for byte in attribute.attr_value().data {
            match byte {
                b' '..=b'~' => out.push(char::from(*byte)),
                byte => {
                    let _ = write!(out, "\\x{byte:02X}");
                }
            }
        }
    }
    out
}
