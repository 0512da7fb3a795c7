//! Whether a certificate is one for a name (RFC 6125), as OpenSSL sees it: names of hosts with a wildcard in their first
//! label, addresses, and the subject's common name where there are no names of hosts.

use std::net::IpAddr;

use x509_parser::prelude::{GeneralName, X509Certificate};

/// `name`: of a host, or an address in text, IPv6 in brackets or not.
pub fn fits(certificate: &X509Certificate<'_>, name: &[u8]) -> bool {
    let Ok(names) = certificate.subject_alternative_name() else { return false };
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    if let Some(address) = address(name) {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        if names.iter().any(|one| matches!(one, GeneralName::IPAddress(there) if **there == *bytes)) {
            return true;
        }
    }
    let mut hosts = names.iter().filter_map(|one| match one {
        GeneralName::DNSName(host) => Some(host.as_bytes()),
        _ => None,
    });
    let mut any = false;
    if hosts.any(|host| {
        any = true;
        host_fits(host, name)
    }) {
        return true;
    }
    !any && certificate
        .subject()
        .iter_common_name()
        .any(|one| one.as_str().is_ok_and(|it| host_fits(it.as_bytes(), name)))
}

/// The address that a name is.
pub fn address(name: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(name).ok()?;
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text).parse().ok()
}

/// Whether a name in a certificate, which may have a wildcard, means a host.
fn host_fits(pattern: &[u8], host: &[u8]) -> bool {
    if pattern.is_empty() || host.is_empty() {
        return false;
    }
    let Some((before, behind)) = around_wildcard(pattern) else { return pattern.eq_ignore_ascii_case(host) };
    let Some(middle) = host.len().checked_sub(before.len() + behind.len()) else { return false };
    let (start, rest) = host.split_at(before.len());
    let (middle, end) = rest.split_at(middle);
    let whole_label = before.is_empty() && behind.first() == Some(&b'.');
    let may_be = if whole_label { !middle.is_empty() } else { !is_encoded(host) };
    may_be
        && start.eq_ignore_ascii_case(before)
        && end.eq_ignore_ascii_case(behind)
        && middle.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// What stands before and behind the `*` of a name, if it is one that counts: at the start or the end of the first of
/// three labels or more.
fn around_wildcard(pattern: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pattern.iter().position(|byte| *byte == b'*')?;
    let (before, behind) = (&pattern[..at], &pattern[at + 1..]);
    let mut labels = pattern.split(|byte| *byte == b'.');
    let first = labels.next()?;
    let beside = if first.first() == Some(&b'*') { &first[1..] } else { first.strip_suffix(b"*")? };
    let word = |label: &[u8]| {
        label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let mut others = 0;
    for label in labels {
        if label.is_empty() || !word(label) {
            return None;
        }
        others += 1;
    }
    (others >= 2 && word(beside) && !is_encoded(first)).then_some((before, behind))
}

/// Whether a label is one in another script (RFC 5890).
fn is_encoded(label: &[u8]) -> bool {
    label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_count_as_with_openssl() {
        for (pattern, host, fit) in [
            ("example.com", "EXAMPLE.com", true),
            ("example.com", "example.com.", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a-b.Example.COM", true),
            ("*.example.com", "xn--bcher-kva.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.com", "example.com", false),
            ("*", "localhost", false),
            ("f*.example.com", "foo.example.com", true),
            ("*o.example.com", "foo.example.com", true),
            ("f*o.example.com", "foo.example.com", false),
            ("*n--a.example.com", "xn--a.example.com", false),
            ("xn--*.example.com", "xn--a.example.com", false),
            ("a.*.example.com", "a.b.example.com", false),
            ("*.*.example.com", "a.b.example.com", false),
            ("**.example.com", "a.example.com", false),
            ("*.exa_mple.com", "a.exa_mple.com", false),
            ("my_host", "my_host", true),
            ("", "", false),
        ] {
            assert_eq!(host_fits(pattern.as_bytes(), host.as_bytes()), fit, "{pattern} {host}");
        }
    }

    #[test]
    fn addresses_are_read_with_brackets_or_without() {
        assert_eq!(address(b"127.0.0.1"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(address(b"[::1]"), address(b"::1"));
        assert_eq!((address(b"localhost"), address(b"[127.0.0.1")), (None, None));
    }
}
