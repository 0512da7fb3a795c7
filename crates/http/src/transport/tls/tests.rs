//! Both ends of the stream against each other, over a pair of sockets.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion};
use tokio::net::UnixStream;

use super::client::{Alpn, Failure};
use super::{Session, TlsStream};
use crate::features::ssl::{self, Protocols, Source};
use crate::tls::certificates::Place;
use crate::tls::client::Client;
use crate::transport::io::Stream;
use crate::upstream::tls::{Face, Settings};

/// For `server.example`, `*.names.example` and 127.0.0.1; signed by itself.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBuTCCAWCgAwIBAgIUDhsu4ZOgQxMqNaumwWsxzbcac14wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOc2VydmVyLmV4YW1wbGUwIBcNMjYxMTIxMjIxMTQ2WhgPMjEy
NjEwMjgyMjExNDZaMBkxFzAVBgNVBAMMDnNlcnZlci5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEM2wxkXva64m6MGTdE7FFfpQ7Nb0QJNluQWVg+5qC
uum9MQzWNOOX8/pmTMhb+JSygK2UbtDX30qsQDjdlUmY7qOBgzCBgDAdBgNVHQ4E
FgQUa1w9hNFHZIV2j8sZpv6L8vPfpv4wHwYDVR0jBBgwFoAUa1w9hNFHZIV2j8sZ
pv6L8vPfpv4wMAYDVR0RBCkwJ4IOc2VydmVyLmV4YW1wbGWCDyoubmFtZXMuZXhh
bXBsZYcEfwAAATAMBgNVHRMBAf8EAjAAMAoGCCqGSM49BAMCA0cAMEQCIEaAzGn+
E2nh78M2FF/7ZEcD3mdhNBdWcWbS7tc52dA2AiB03AusIDATPkH6/y7dfhCLJQXH
viSebNMBnmTMg13yIA==
-----END CERTIFICATE-----
";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgteslYQCxo2kCCIee
zkYt+eDB+0jJfH3qpTXzQ3rVAPOhRANCAAQzbDGRe9rribowZN0TsUV+lDs1vRAk
2W5BZWD7moK66b0xDNY045fz+mZMyFv4lLKArZRu0NffSqxAON2VSZju
-----END PRIVATE KEY-----
";
/// Has `cn.example` as its common name only, and is one of an authority.
const OLD_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBgDCCASegAwIBAgIUCG2BakfM61NYIWCxsY7Dly41NMwwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKY24uZXhhbXBsZTAgFw0yNjExMjEyMjExNDZaGA8yMTI2MTAy
ODIyMTE0NlowFTETMBEGA1UEAwwKY24uZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABLHmpzWhTqfNjW8DJc1AO/Gdfb7lNSH4MbmcWDYj9ZzpG2k6dtRg
whAFRSX7pIemxmhtdAa1bp+AXdNhOZ5KcNKjUzBRMB0GA1UdDgQWBBQYq9dU2GJk
5YW+PYfWsxDCYpCnmjAfBgNVHSMEGDAWgBQYq9dU2GJk5YW+PYfWsxDCYpCnmjAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIEtpFO9Zg6dyjZq4I1wj
B7n5xt/cu0OCTITas9VCOuZSAiBeh+F8cuGyDcDVb7EjkTWdln6CXA1QVlLpLDrD
wSU9cg==
-----END CERTIFICATE-----
";
const OLD_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRIMJqkwmx6TEBV10
+nU2iWuxmgEqHtU2O6vfH0mkeEWhRANCAASx5qc1oU6nzY1vAyXNQDvxnX2+5TUh
+DG5nFg2I/Wc6RtpOnbUYMIQBUUl+6SHpsZobXQGtW6fgF3TYTmeSnDS
-----END PRIVATE KEY-----
";

fn source(text: &str) -> Source {
    let place = Place::Data(text.into());
    Source { text: "data".into(), place, template: None, at: conf::At::Default, base: Arc::default() }
}

fn server(certificate: &str, key: &str, protocols: Protocols) -> Arc<crate::tls::Server> {
    let settings = ssl::Settings {
        certificates: vec![source(certificate)],
        keys: vec![source(key)],
        protocols,
        ..ssl::Settings::default()
    };
    Arc::new(crate::tls::Server::new(&Arc::new(settings)).unwrap())
}

/// A file that is gone with the value.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("daemun-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn client(settings: Settings) -> Client {
    Client::new(&settings, "proxy_").unwrap().0
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(future)
}

/// The server's end: it says all that it hears, and ends when the client does.
async fn echo(socket: UnixStream, server: Arc<crate::tls::Server>) -> Option<Vec<u8>> {
    let mut stream = TlsStream::new(Stream::Unix(socket));
    stream.start(server.current().config(true, false).clone(), &mut []).ok()?;
    poll_fn(|cx| stream.poll_handshake(cx)).await.ok()?;
    let mut heard = Vec::new();
    let mut buf = Vec::with_capacity(20_000);
    loop {
        buf.clear();
        match poll_fn(|cx| stream.poll_read(cx, &mut buf, usize::MAX)).await {
            Ok(0) | Err(_) => return Some(heard),
            Ok(_) => heard.extend_from_slice(&buf),
        }
        let mut done = 0;
        while done < buf.len() {
            done += poll_fn(|cx| stream.poll_write_vectored(cx, &[IoSlice::new(&buf[done..])])).await.ok()?;
        }
        poll_fn(|cx| stream.poll_flush(cx)).await.ok()?;
    }
}

async fn connect(client: &Client, server: &Arc<crate::tls::Server>, name: &str, alpn: Alpn) -> Result<Stream, Failure> {
    let (near, far) = UnixStream::pair().unwrap();
    tokio::spawn(echo(far, server.clone()));
    client.connect(Stream::Unix(near), &Face::new(name.as_bytes()), alpn).await
}

/// Says so many bytes and hears them.
async fn talk(stream: &mut Stream, len: usize) {
    let said: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
    let (mut done, mut heard) = (0, Vec::new());
    let mut buf = Vec::with_capacity(30_000);
    while heard.len() < len {
        poll_fn(|cx| {
            let mut moved = false;
            while done < len {
                match stream.poll_write(cx, &said[done..]) {
                    std::task::Poll::Ready(sent) => done += sent.unwrap(),
                    std::task::Poll::Pending => break,
                }
                moved = true;
            }
            let _ = stream.poll_flush(cx);
            buf.clear();
            match stream.poll_read(cx, &mut buf, usize::MAX) {
                std::task::Poll::Ready(read) => assert!(read.unwrap() > 0),
                std::task::Poll::Pending if !moved => return std::task::Poll::Pending,
                std::task::Poll::Pending => {}
            }
            std::task::Poll::Ready(())
        })
        .await;
        heard.extend_from_slice(&buf);
    }
    assert!(heard == said);
}

#[test]
fn both_ends_understand_each_other() {
    run(async {
        let only12 = Protocols { tls13: false, ..Protocols::default() };
        for (protocols, version) in
            [(Protocols::default(), ProtocolVersion::TLSv1_3), (only12, ProtocolVersion::TLSv1_2)]
        {
            let server = server(CERTIFICATE, KEY, protocols);
            let client = client(Settings::default());
            let mut stream = connect(&client, &server, "any:443", Alpn::H2).await.unwrap();
            let session = stream.tls().unwrap().session().unwrap();
            assert_eq!(session.protocol_version(), Some(version));
            assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
            for len in [1, 16 * 1024, 3_000_000] {
                talk(&mut stream, len).await;
            }
            let idle = stream.tls().unwrap();
            let owned = [&idle.input, &idle.ahead, &idle.output, &idle.held].map(|buf| buf.capacity());
            assert_eq!(owned, [0; 4], "an idle connection owns no memory");
            assert!(matches!(idle.session, Some(Session::Client(_))));
        }
    });
}

#[test]
fn sessions_are_used_again_unless_they_may_not_be() {
    run(async {
        let only12 = Protocols { tls13: false, ..Protocols::default() };
        for protocols in [Protocols::default(), only12] {
            for reuse in [true, false] {
                let server = server(CERTIFICATE, KEY, protocols);
                let client = client(Settings { session_reuse: reuse, ..Settings::default() });
                let mut kinds = Vec::new();
                for name in ["a", "a", "b"] {
                    let mut stream = connect(&client, &server, name, Alpn::None).await.unwrap();
                    talk(&mut stream, 10).await;
                    let kind = stream.tls().unwrap().session().unwrap().handshake_kind();
                    kinds.push(kind == Some(HandshakeKind::Resumed));
                }
                assert_eq!(kinds, [false, reuse, false]);
            }
        }
    });
}

#[test]
fn certificates_are_checked_when_that_is_wanted() {
    run(async {
        let trusted = File::new("trusted.pem", &format!("{CERTIFICATE}{OLD_CERTIFICATE}"));
        let other = File::new("other.pem", OLD_CERTIFICATE);
        let usual = server(CERTIFICATE, KEY, Protocols::default());
        let old = server(OLD_CERTIFICATE, OLD_KEY, Protocols::default());
        let known = |file: &File| {
            client(Settings { verify: true, trusted_certificate: Some(file.0.clone()), ..Settings::default() })
        };
        let (all, one) = (known(&trusted), known(&other));
        let wrong = |name: &str| Some(format!("upstream SSL certificate does not match \"{name}\""));
        let unknown = "upstream SSL certificate verify error: (18:self-signed certificate)";
        for (client, server, name, why) in [
            (&all, &usual, "server.example", None),
            (&all, &usual, "SERVER.example:8443", None),
            (&all, &usual, "a.names.example", None),
            (&all, &usual, "127.0.0.1:443", None),
            (&all, &usual, "[::1]:443", wrong("[::1]")),
            (&all, &usual, "names.example", wrong("names.example")),
            (&all, &usual, "cn.example", wrong("cn.example")),
            (&all, &old, "cn.example", None),
            (&all, &old, "other.example", wrong("other.example")),
            (&one, &old, "cn.example", None),
            (&one, &usual, "server.example", Some(unknown.to_owned())),
        ] {
            let connected = connect(client, server, name, Alpn::H1).await;
            assert_eq!(connected.err().map(|failure| failure.to_string()), why, "{name}");
        }
    });
}

#[test]
fn what_is_no_handshake_is_told() {
    run(async {
        let client = client(Settings::default());
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        let gone = client.connect(Stream::Unix(near), &Face::new(b"a"), Alpn::None).await.err().unwrap().to_string();
        assert!(gone.starts_with("SSL_do_handshake() failed (32: ") || gone.starts_with("peer closed"), "{gone}");
        let (near, far) = UnixStream::pair().unwrap();
        far.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let plain = client.connect(Stream::Unix(near), &Face::new(b"a"), Alpn::None).await.err().unwrap().to_string();
        assert!(plain.ends_with("failed (SSL: error:0A00010B:SSL routines::wrong version number)"), "{plain}");
        drop(far);
        let only13 = server(CERTIFICATE, KEY, Protocols { tls12: false, ..Protocols::default() });
        let older = Client::new(
            &Settings { protocols: Protocols { tls13: false, ..Protocols::default() }, ..Settings::default() },
            "proxy_",
        );
        let none = connect(&older.unwrap().0, &only13, "a", Alpn::None).await.err().unwrap().to_string();
        assert!(none.ends_with(":SSL routines::tlsv1 alert protocol version:SSL alert number 70)"), "{none}");
    });
}
