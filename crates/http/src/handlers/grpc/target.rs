//! Where a request goes: `grpc_pass`, evaluated.

use std::net::SocketAddr;
use std::path::Path;

use super::directives::port;
use crate::handlers::proxy::target::own_uri;
use crate::handlers::proxy::{Pass, Target, To, Whom};
use crate::upstream::Address;
use crate::upstream::spec::{Written, literal};
use crate::variables::Scope;

/// Whether an address is to be spoken to by TLS, and the address.
pub fn scheme(url: &str) -> (bool, &str) {
    for (scheme, secure) in [("grpc://", false), ("grpcs://", true)] {
        if let Some((start, address)) = url.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return (secure, address);
        }
    }
    (false, url)
}

/// Where a request goes now. The error is for the log; the client gets 500.
pub fn of(scope: &mut Scope<'_>, pass: &Pass) -> Result<Target, String> {
    let (secure, whom, host, port) = match &pass.to {
        To::Group { index, host, port, .. } => (pass.secure, Whom::Group(*index), host.to_string(), port.to_string()),
        To::Dynamic(url) => {
            let url = url.value(scope);
            let url = std::str::from_utf8(&url).map_err(|_| "invalid URL".to_owned())?;
            let (secure, address) = scheme(url);
            let (whom, host) = whom(scope, address)?;
            (secure, whom, host, port(address).to_owned())
        }
    };
    let start = format!("{}{host}", pass.family.scheme(secure));
    Ok(Target {
        secure,
        whom,
        host: host.into_bytes(),
        port: port.into_bytes(),
        uri: own_uri(scope),
        keepalive: true,
        url_start: start.into_bytes(),
    })
}

/// Whom an address stands for that is known only now, and the name that servers are asked by.
fn whom(scope: &Scope<'_>, address: &str) -> Result<(Whom, String), String> {
    let wrong = |why: &str| format!("{why} in upstream \"{address}\"");
    match Written::parse(address).map_err(wrong)? {
        Written::Unix(path) => Ok((Whom::Address(Address::Unix(Path::new(&*path).into())), "localhost".to_owned())),
        Written::Host { host, port } => {
            if host.contains('/') {
                return Err(wrong("invalid host"));
            }
            let known = scope.config.upstreams.iter().position(|group| group.name.eq_ignore_ascii_case(&host));
            let whom = match (known, port) {
                (Some(index), None) => Whom::Group(index as u32),
                (_, None) => return Err(format!("no port in upstream \"{host}\"")),
                (_, Some(port)) => match literal(&host) {
                    Some(ip) => Whom::Address(Address::Inet(SocketAddr::new(ip, port))),
                    None => Whom::Name { host: host.as_bytes().to_vec(), port },
                },
            };
            Ok((whom, address.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_and_ports() {
        for (url, expected, its_port) in [
            ("grpc://a:1", (false, "a:1"), "1"),
            ("GRPCS://a:1", (true, "a:1"), "1"),
            ("a", (false, "a"), ""),
            ("[::1]", (false, "[::1]"), ""),
            ("[::1]:5", (false, "[::1]:5"), "5"),
        ] {
            assert_eq!((scheme(url), port(scheme(url).1)), (expected, its_port), "{url}");
        }
    }
}
