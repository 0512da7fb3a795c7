//! TLS to servers: the handshake of the client's side (RFC 8446, RFC 5246). What it is done by is made of settings in
//! `tls::client`; the stream is the one that clients' connections have.

use std::fmt;
use std::future::poll_fn;

use rustls::client::UnbufferedClientConnection;

use super::{Failure as Broken, Session, TlsStream};
use crate::tls::certificates::system;
use crate::tls::client::{Client, Refused};
use crate::tls::words;
use crate::transport::io::Stream;
use crate::upstream::tls::Face;

/// The protocol that a server is asked to speak (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// It is not asked.
    None,
    H1,
    H2,
}

impl Alpn {
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Alpn::None => Vec::new(),
            Alpn::H1 => vec![b"http/1.1".to_vec()],
            Alpn::H2 => vec![b"h2".to_vec()],
        }
    }
}

/// Why there is no session; its text is what nginx logs.
#[derive(Debug)]
pub enum Failure {
    Closed,
    Socket(std::io::Error),
    /// OpenSSL's number and words.
    Untrusted(u16, &'static str),
    /// The certificate is another's.
    WrongName(Box<str>),
    Tls(rustls::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Closed => f.write_str("peer closed connection in SSL handshake"),
            Failure::Socket(error) => write!(f, "SSL_do_handshake() failed ({})", system(error)),
            Failure::Untrusted(number, words) => write!(f, "upstream SSL certificate verify error: ({number}:{words})"),
            Failure::WrongName(name) => write!(f, "upstream SSL certificate does not match \"{name}\""),
            Failure::Tls(error) => write!(f, "SSL_do_handshake() failed (SSL: {})", words::of(error)),
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Failure {
        match broken {
            Broken::Closed => Failure::Closed,
            Broken::Socket(error) => Failure::Socket(error),
            Broken::Tls(error) => match Refused::of(&error) {
                Some(Refused::Untrusted(number, words)) => Failure::Untrusted(*number, words),
                Some(Refused::WrongName(name)) => Failure::WrongName(name.clone()),
                None => Failure::Tls(error),
            },
        }
    }
}

impl Client {
    /// Does the handshake on a connected stream; limits of time are the caller's.
    pub async fn connect(&self, stream: Stream, face: &Face, alpn: Alpn) -> Result<Stream, Failure> {
        let (config, server) = self.begin(face, &stream.peer());
        let session = UnbufferedClientConnection::new_with_alpn(config, server, alpn.names()).map_err(Failure::Tls)?;
        let mut tls = Box::new(TlsStream::new(stream));
        tls.begin(Session::Client(Box::new(session)))?;
        poll_fn(|cx| tls.poll_handshake(cx)).await?;
        Ok(Stream::Tls(tls))
    }
}
