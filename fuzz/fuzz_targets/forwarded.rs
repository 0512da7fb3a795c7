//! Fields of proxies: never an address, a scheme or a host that does not stand in them; lists of trusted proxies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::forwarded::{Families, Reader, Schemes, Trusted};
use wire::h1::is_host;

const NAMES: [&str; 6] = [
    "forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Ssl",
    "X-Forwarded-Protocol",
];

fuzz_target!(|input: (&str, Vec<(u8, &[u8])>)| {
    let (trusted, fields) = input;
    let trusted = match Trusted::parse(trusted) {
        Ok(trusted) => trusted,
        Err(message) => {
            assert!(message.contains('`'));
            Trusted::default()
        }
    };
    let schemes = Schemes::default();
    for families in [Families::XForwarded, Families::Forwarded, Families::ForwardedFirst] {
        let mut reader = Reader::new(&schemes, families);
        for (name, value) in &fields {
            reader.add(NAMES[usize::from(*name) % NAMES.len()].as_bytes(), value);
        }
        let Ok(claims) = reader.claims(&trusted) else { continue };
        assert!(claims.host.is_none_or(|host| is_host(&host)));
        if let Some((ip, _)) = claims.client {
            assert_eq!(ip, ip.to_canonical());
            // Beyond what the proxies say, a client adds to the left; that changes nothing, unless all are trusted.
            if families == Families::XForwarded && !trusted.address(ip) {
                let mut spoofed = Reader::new(&schemes, families);
                spoofed.add(b"x-forwarded-for", b"6.6.6.6, garbage");
                for (name, value) in &fields {
                    spoofed.add(NAMES[usize::from(*name) % NAMES.len()].as_bytes(), value);
                }
                assert_eq!(spoofed.claims(&trusted).map(|claims| claims.client), Ok(claims.client));
            }
        }
    }
});
