//! Another protocol on the two connections (RFC 9110 section 7.8): bytes go both ways as they come, until both sides
//! have ended, one fails, or nothing moves for too long.

use std::future::poll_fn;
use std::task::{Context, Poll};

use wire::h1::encode;
use wire::ws::handshake;

use crate::sys;
use crate::transport::Conn;
use crate::transport::sender::Sender;
use crate::upstream::pool::Link;

/// Bytes of one direction that are on their way at most.
const PIECE: usize = 16 * 1024;

pub struct Tunnel {
    pub link: Link,
    /// For the server, and how much of it is written.
    pub up: Vec<u8>,
    pub up_done: usize,
    /// The client, and the server, have ended their side.
    client_ended: bool,
    server_ended: bool,
    /// Bytes from and to the server.
    pub received: u64,
    pub sent: u64,
    /// What reading from the server came to.
    pub failure: Option<std::io::Error>,
}

/// Turns the text of a request into one for a WebSocket (RFC 6455 section 4.1): what a client of HTTP/2 asked for in
/// another way (RFC 8441). What the server has to answer its key with is returned.
pub fn ask(head: &mut Vec<u8>) -> [u8; 28] {
    let mut asked = Vec::with_capacity(head.len() + 128);
    for (number, line) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let name = memchr::memchr(b':', line).map_or(line, |colon| &line[..colon]);
        let own = ["connection", "upgrade", "sec-websocket-key"];
        match line {
            // Other versions of the protocol have no such request.
            _ if number == 0 => {
                let end = memchr::memrchr(b' ', line).unwrap_or(line.len());
                asked.extend_from_slice(&line[..end]);
                asked.extend_from_slice(b" HTTP/1.1\r\n");
            }
            b"\r\n" => {}
            _ if own.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes())) => {}
            _ => asked.extend_from_slice(line),
        }
    }
    let random = [sys::random::number().to_ne_bytes(), sys::random::number().to_ne_bytes()].concat();
    let key = handshake::key(&random);
    encode::field(&mut asked, b"Upgrade", b"websocket");
    encode::field(&mut asked, b"Connection", b"Upgrade");
    encode::field(&mut asked, b"Sec-WebSocket-Key", &key);
    asked.extend_from_slice(b"\r\n");
    *head = asked;
    handshake::accept(&key)
}

/// Whether the text of a request asks for another protocol.
pub fn is_asked(head: &[u8]) -> bool {
    head.split(|&byte| byte == b'\n').any(|line| {
        line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"upgrade:")) && !line[8..].trim_ascii().is_empty()
    })
}

/// Why it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Complete,
    Client,
    Server,
    TooLong,
    Stopping,
}

impl Tunnel {
    /// `up`: what the client has sent already.
    pub fn new(link: Link, up: Vec<u8>) -> Tunnel {
        Tunnel { link, up, up_done: 0, client_ended: false, server_ended: false, received: 0, sent: 0, failure: None }
    }

    /// Until it ends. `timeout`: in ms.
    pub async fn run(&mut self, conn: &mut Conn, sender: &mut Sender, timeout: u64) -> Ended {
        conn.arm(timeout);
        poll_fn(|cx| {
            let mut moved = false;
            match self.poll(cx, conn, sender, &mut moved) {
                Poll::Ready(ended) => return Poll::Ready(ended),
                Poll::Pending if moved => conn.arm(timeout),
                Poll::Pending => {}
            }
            if conn.expired() {
                return Poll::Ready(Ended::TooLong);
            }
            if conn.engine.is_stopping() {
                return Poll::Ready(Ended::Stopping);
            }
            conn.watch.register(cx);
            Poll::Pending
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>, conn: &mut Conn, sender: &mut Sender, moved: &mut bool) -> Poll<Ended> {
        for _ in 0..32 {
            let mut again = false;
            // To the client.
            let flushed = match sender.poll_flush(cx, &mut conn.stream, &mut again) {
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::Client),
                other => other.is_ready(),
            };
            if flushed && !self.server_ended {
                let mut bytes = Vec::with_capacity(PIECE);
                match self.link.stream.poll_read(cx, &mut bytes, PIECE) {
                    Poll::Pending => {}
                    Poll::Ready(Err(error)) => {
                        self.failure = Some(error);
                        return Poll::Ready(Ended::Server);
                    }
                    Poll::Ready(Ok(0)) => self.server_ended = true,
                    Poll::Ready(Ok(read)) => {
                        self.received += read as u64;
                        sender.raw(|out| out.extend_from_slice(&bytes));
                        again = true;
                    }
                }
            }
            // To the server.
            while self.up_done < self.up.len() {
                match self.link.stream.poll_write(cx, &self.up[self.up_done..]) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(written @ 1..)) => {
                        self.up_done += written;
                        self.sent += written as u64;
                        again = true;
                    }
                    Poll::Ready(_) => return Poll::Ready(Ended::Server),
                }
            }
            if self.up_done == self.up.len() {
                self.up.clear();
                self.up_done = 0;
                if self.link.stream.poll_flush(cx).map(|done| done.is_err()) == Poll::Ready(true) {
                    return Poll::Ready(Ended::Server);
                }
                if !self.client_ended {
                    self.up.reserve(PIECE);
                    match conn.stream.poll_read(cx, &mut self.up, PIECE) {
                        Poll::Pending => self.up = Vec::new(),
                        Poll::Ready(Err(_)) => return Poll::Ready(Ended::Client),
                        Poll::Ready(Ok(0)) => self.client_ended = true,
                        Poll::Ready(Ok(_)) => again = true,
                    }
                }
            }
            *moved |= again;
            // As nginx: when one side has ended and what it sent is written, the tunnel ends.
            if (self.server_ended && sender.is_flushed()) || (self.client_ended && self.up.is_empty()) {
                return Poll::Ready(Ended::Complete);
            }
            if !again {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_becomes_one_for_a_websocket() {
        let text =
            b"GET /a HTTP/1.0\r\nHost: h\r\nConnection: close\r\nX-A: b\r\nupgrade: x\r\nSec-WebSocket-Key: k\r\n\r\n";
        let mut head = text.to_vec();
        let accept = ask(&mut head);
        let start =
            b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ";
        let rest = head.strip_prefix(&start[..]).expect("the fields");
        let key = rest.strip_suffix(b"\r\n\r\n").expect("the end");
        assert!(handshake::is_key(key));
        assert_eq!(handshake::accept(key), accept);
        assert!(is_asked(&head) && !is_asked(b"GET / HTTP/1.1\r\nUpgrade:\r\nX-Upgrade: a\r\n\r\n"));
    }
}
