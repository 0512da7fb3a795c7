//! Asking one server: over UDP from a port of its own that the kernel chose, and over TCP for what does not fit.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::message::{self, Answer, Kind};
use crate::sys;

/// The largest answer that is taken over UDP, in bytes; without EDNS servers send 512 at most.
const LARGEST: usize = 4096;
/// For an answer over TCP.
const TCP_LIMIT: Duration = Duration::from_secs(5);

/// Something asked, and its answer when it has come.
pub struct Asked {
    pub kind: Kind,
    pub answer: Option<Answer>,
}

/// Asks a server what is not answered yet and waits until all is, or until `limit` is over, or the server cannot be
/// reached, which is an error.
pub async fn ask(server: SocketAddr, name: &Name, asked: &mut [Asked], limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let mut open = Vec::with_capacity(asked.len());
    for (index, one) in asked.iter().enumerate().filter(|(_, one)| one.answer.is_none()) {
        let id = sys::random::number() as u16;
        let Some(question) = message::question(id, name, one.kind) else { continue };
        socket.send(&question).await?;
        open.push((index, id, question));
    }
    let mut buffer = vec![0; LARGEST];
    while !open.is_empty() {
        let Ok(got) = timeout_at(deadline, socket.recv(&mut buffer)).await else { return Ok(()) };
        let bytes = buffer.get(..got?).unwrap_or_default();
        let found = open.iter().enumerate().find_map(|(at, (index, id, _))| {
            message::answer(bytes, *id, name, asked.get(*index)?.kind).map(|answer| (at, answer))
        });
        let Some((at, mut answer)) = found else { continue };
        let (index, id, question) = open.swap_remove(at);
        let Some(one) = asked.get_mut(index) else { continue };
        if answer.truncated {
            let whole = over_tcp(server, &question);
            match timeout_at(Instant::now() + TCP_LIMIT, whole).await.ok().and_then(Result::ok) {
                Some(bytes) => match message::answer(&bytes, id, name, one.kind) {
                    Some(whole) if !whole.truncated => answer = whole,
                    _ => answer = Answer { code: 2, ..Answer::default() },
                },
                None => answer = Answer { code: 2, ..Answer::default() },
            }
        }
        one.answer = Some(answer);
    }
    Ok(())
}

/// RFC 1035, section 4.2.2: the length in two bytes before the message.
async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let mut out = Vec::with_capacity(question.len() + 2);
    out.extend_from_slice(&(question.len() as u16).to_be_bytes());
    out.extend_from_slice(question);
    stream.write_all(&out).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
