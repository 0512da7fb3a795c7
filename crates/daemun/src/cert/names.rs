//! The names and addresses that a certificate is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What `localhost` stands for.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Names and addresses in their usual form, none twice. `localhost` brings its addresses along; it is what is meant if
/// nothing is said.
pub fn normal(asked: &[&str]) -> Result<Vec<String>, String> {
    let asked = if asked.is_empty() { &LOOPBACK[..1] } else { asked };
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for name in asked {
        add(one(name)?);
    }
    if asked.iter().any(|name| name.eq_ignore_ascii_case(LOOPBACK[0])) {
        LOOPBACK.iter().for_each(|name| add((*name).to_owned()));
    }
    Ok(names)
}

fn one(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                Err(format!("`{text}` is where a server listens, and no address that a client goes to"))
            }
            _ => Ok(address.to_string()),
        };
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.contains("://") || name.contains('/') {
        return Err(format!("`{text}` is more than a name: leave out what is before and behind it"));
    }
    if name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        return Err(format!("`{text}`: a certificate is for a name, whatever the port: leave the port out"));
    }
    if !name.is_ascii() {
        return Err(format!("`{text}`: write it as browsers send it, with `xn--`"));
    }
    let labels = name.strip_prefix("*.").unwrap_or(&name);
    if labels.len() > 253 || !labels.split('.').all(is_label) {
        return Err(format!("`{text}` is not the name of a host"));
    }
    if labels.len() < name.len() && !labels.contains('.') {
        return Err(format!("`{text}`: browsers take `*.` only before a name of two parts, as in `*.shop.test`"));
    }
    Ok(name)
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

/// What the files of a certificate are called.
pub fn stem(name: &str) -> String {
    name.replace('*', "_wildcard").replace(':', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_put_into_their_usual_form() {
        assert_eq!(normal(&[]).unwrap(), ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(normal(&["Shop.Test.", "LOCALHOST"]).unwrap(), ["shop.test", "localhost", "127.0.0.1", "::1"]);
        assert_eq!(normal(&["[::1]", "10.0.0.1", "::1"]).unwrap(), ["::1", "10.0.0.1"]);
        assert_eq!(normal(&["*.shop.test", "my_db.test"]).unwrap(), ["*.shop.test", "my_db.test"]);
        assert_eq!((stem("*.shop.test"), stem("::1")), ("_wildcard.shop.test".into(), "__1".into()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (name, why) in [
            ("https://shop.test", "more than a name"),
            ("localhost:8000", "leave the port out"),
            ("käse.test", "xn--"),
            ("0.0.0.0", "where a server listens"),
            ("a b", "not the name of a host"),
            ("", "not the name of a host"),
            ("-a.test", "not the name of a host"),
            ("a..b", "not the name of a host"),
            ("a.*.b", "not the name of a host"),
            ("*.test", "two parts"),
            ("../x", "more than a name"),
        ] {
            let said = normal(&[name]).unwrap_err();
            assert!(said.contains(why), "{name}: {said}");
        }
    }
}
