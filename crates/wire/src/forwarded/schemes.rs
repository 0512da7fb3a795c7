//! Which fields say that the client came over TLS, as Gunicorn's `secure_scheme_headers` does.

/// One field says that the client came over TLS, another that it did not: one of them did not come from the proxy. The
/// request is answered with 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contradiction;

/// Names of fields, and the value that means TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schemes {
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
    /// Of X-Forwarded-Proto: each proxy may have added its own.
    pub list: bool,
}

impl Schemes {
    /// Rules of (name, value); upper and lower case are the same in both.
    pub fn new<N: Into<String>, V: Into<String>>(rules: impl IntoIterator<Item = (N, V)>) -> Schemes {
        let rule = |(name, value): (N, V)| {
            let name = name.into().to_ascii_lowercase().into_bytes();
            Rule { list: name == b"x-forwarded-proto", name, value: value.into().into_bytes() }
        };
        Schemes { rules: rules.into_iter().map(rule).collect() }
    }
}

impl Default for Schemes {
    /// Gunicorn's.
    fn default() -> Self {
        Schemes::new([("x-forwarded-protocol", "ssl"), ("x-forwarded-proto", "https"), ("x-forwarded-ssl", "on")])
    }
}

impl Rule {
    /// What a value of the field says; `None` is nothing. X-Forwarded-Proto names schemes, and one that is unknown says
    /// nothing; any other field says no if it does not say yes.
    pub fn claim(&self, value: &[u8]) -> Option<bool> {
        if value.eq_ignore_ascii_case(&self.value) {
            return Some(true);
        }
        if self.list { is_secure(value) } else { Some(false) }
    }
}

/// Whether a scheme is one over TLS; `None` if it is not known.
pub(super) fn is_secure(scheme: &[u8]) -> Option<bool> {
    let among = |names: [&[u8]; 2]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    if among([b"https", b"wss"]) {
        Some(true)
    } else if among([b"http", b"ws"]) {
        Some(false)
    } else {
        None
    }
}
