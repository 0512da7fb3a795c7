//! The body of a server's answer on its way to the client. What the client takes at once is never copied; what it does
//! not take waits in memory up to the size of the buffers, then in a file, so that the server is free as soon as it has
//! sent everything, however slow the client is. Without buffering, the server is read as the client takes.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use super::spool::Spool;
use super::upload::Upload;
use crate::config::Settings;
use crate::exchange::Chunk;
use crate::log::Level;
use crate::transport::Conn;
use crate::transport::rate::Rate;
use crate::transport::receive::Failure;
use crate::transport::sender::{COPY, Sender};
use crate::upstream::exchange::{Data, Exchange};
use crate::upstream::policy::Policy;

/// So often something is moved before others have their turn.
const TURNS: u32 = 32;

/// How an answer is taken from its server.
pub struct Manner<'a> {
    pub buffering: bool,
    /// Memory for what the client has not taken, in bytes.
    pub memory: usize,
    /// At most so much is read at once without buffering, in bytes.
    pub piece: usize,
    /// The most that goes to a file, in bytes.
    pub most_in_file: u64,
    /// They say where that file is.
    pub policy: &'a Policy,
    pub settings: &'a Settings,
    /// In ms.
    pub read_timeout: u64,
    pub send_timeout: u64,
    pub ignore_abort: bool,
}

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// All of it is with the sender, or sent.
    Complete,
    /// The client is gone.
    Gone,
    /// The client took nothing for too long.
    Slow,
    /// The server took too long, ended too early, or sent something malformed.
    Late,
    Broken(io::Error),
    /// A file could not be written.
    File(io::Error),
    /// The request's body could not be read to its end.
    Body(Failure),
    /// The worker ends at once.
    Stopping,
}

pub struct Relay<'a> {
    pub manner: &'a Manner<'a>,
    pub rate: Option<Rate>,
    /// Bytes of the body so far.
    pub length: u64,
    spool: Spool,
    /// Of a part that was asked for: bytes to be left out before it, and its length.
    pub part: Option<(u64, u64)>,
    /// What of the request is not sent yet.
    pub upload: Option<Upload<'a>>,
    /// Nobody is there any more to get it.
    deaf: bool,
    complete: bool,
    /// When the client, and the server, are too late; on the registry's clock.
    client_until: Option<u64>,
    server_until: Option<u64>,
}

impl<'a> Relay<'a> {
    pub fn new(manner: &'a Manner<'a>, rate: Option<Rate>) -> Relay<'a> {
        Relay {
            manner,
            rate,
            length: 0,
            spool: Spool::default(),
            part: None,
            upload: None,
            deaf: false,
            complete: false,
            client_until: None,
            server_until: None,
        }
    }

    /// Moves the body until all of it has come from the server.
    pub async fn run(&mut self, conn: &mut Conn, sender: &mut Sender, exchange: &mut Exchange) -> End {
        let end = poll_fn(|cx| self.poll(cx, conn, sender, exchange)).await;
        conn.watch.set_waiting(false);
        conn.arm(0);
        if self.deaf { End::Gone } else { end }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        sender: &mut Sender,
        exchange: &mut Exchange,
    ) -> Poll<End> {
        for _ in 0..TURNS {
            let mut moved = match self.send(cx, conn, sender, exchange) {
                Ok(sent) => sent,
                Err(end) => return Poll::Ready(end),
            };
            // First what is here already: a short answer leaves with its head, in one piece.
            match self.read(cx, conn, sender, exchange) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {}
            }
            if self.complete {
                // The rest is the sender's business; the server is free.
                if let Some(slice) = self.spool.take() {
                    sender.push(Chunk::File(slice));
                }
                return Poll::Ready(End::Complete);
            }
            match self.send(cx, conn, sender, exchange) {
                Ok(sent) => moved |= sent,
                Err(end) => return Poll::Ready(end),
            }
            if !moved {
                if let Poll::Ready(end) = self.write(cx, conn, sender, &mut moved) {
                    return Poll::Ready(end);
                }
                if !moved {
                    return self.wait(cx, conn, sender);
                }
            }
        }
        let _ = self.write(cx, conn, sender, &mut false);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what waits for the client.
    fn write(&mut self, cx: &mut Context<'_>, conn: &mut Conn, sender: &mut Sender, moved: &mut bool) -> Poll<End> {
        if self.deaf || sender.is_flushed() && self.spool.is_empty() {
            self.client_until = None;
            return Poll::Pending;
        }
        loop {
            if sender.is_flushed() {
                match self.spool.take() {
                    Some(slice) => sender.push(Chunk::File(slice)),
                    None => {
                        self.client_until = None;
                        self.spool.sent();
                        return Poll::Pending;
                    }
                }
            }
            let mut progress = false;
            let flushed = sender.poll_flush(cx, &mut conn.stream, &mut progress);
            if progress {
                *moved = true;
                self.client_until = None;
            }
            match flushed {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return self.client_gone(sender),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Sends what there is of the request; `true`: something was.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        sender: &mut Sender,
        exchange: &mut Exchange,
    ) -> Result<bool, End> {
        let Some(upload) = self.upload.as_mut().filter(|_| !self.deaf) else { return Ok(false) };
        upload.poll(cx, conn, sender, exchange).map_err(|failure| match failure {
            Failure::Gone => End::Gone,
            other => End::Body(other),
        })
    }

    fn client_gone(&mut self, sender: &mut Sender) -> Poll<End> {
        sender.broken = true;
        sender.clear_queue();
        if !self.manner.ignore_abort {
            return Poll::Ready(End::Gone);
        }
        self.deaf = true;
        self.client_until = None;
        Poll::Pending
    }

    /// Reads a piece from the server, if there is room for it.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        sender: &mut Sender,
        exchange: &mut Exchange,
    ) -> Poll<Result<(), End>> {
        let most = match self.room(sender) {
            0 => {
                self.server_until = None;
                return Poll::Pending;
            }
            most => most,
        };
        let allowed = match &mut self.rate {
            None => most,
            Some(rate) => match rate.poll(cx) {
                Poll::Ready(allowed) => most.min(usize::try_from(allowed).unwrap_or(usize::MAX)),
                Poll::Pending => {
                    // It is us who wait.
                    self.server_until = None;
                    return Poll::Pending;
                }
            },
        };
        match exchange.poll_data(cx, allowed) {
            Poll::Pending => {
                let now = conn.engine.registry.now();
                self.server_until.get_or_insert(now + self.manner.read_timeout);
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Broken(error))),
            Poll::Ready(Ok(Data::End)) => {
                self.complete = true;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(Data::Bytes)) => self.server_until = None,
        }
        let len = exchange.data().len();
        self.length += len as u64;
        if let Some(rate) = &mut self.rate {
            rate.sent(len as u64);
        }
        let delivered = self.deliver(conn, sender, exchange.data());
        exchange.consume(len);
        Poll::Ready(delivered)
    }

    /// How much may be read now.
    fn room(&self, sender: &Sender) -> usize {
        if self.deaf {
            return usize::MAX;
        }
        if !self.manner.buffering {
            // A head alone is no reason to wait.
            return if self.spool.is_empty() && sender.pending() < COPY { self.manner.piece } else { 0 };
        }
        if self.spool.is_empty() && sender.pending() < self.manner.memory {
            return usize::MAX;
        }
        usize::try_from(self.manner.most_in_file.saturating_sub(self.spool.len())).unwrap_or(usize::MAX)
    }

    /// Passes a piece on: to the client at once, or to where it waits.
    fn deliver(&mut self, conn: &mut Conn, sender: &mut Sender, bytes: &[u8]) -> Result<(), End> {
        let mut bytes = bytes;
        if let Some((skip, len)) = &mut self.part {
            let skipped = bytes.len().min(usize::try_from(*skip).unwrap_or(usize::MAX));
            *skip -= skipped as u64;
            bytes = &bytes[skipped..];
            bytes = &bytes[..bytes.len().min(usize::try_from(*len).unwrap_or(usize::MAX))];
            *len -= bytes.len() as u64;
        }
        if self.deaf || bytes.is_empty() {
            return Ok(());
        }
        if self.spool.is_empty() {
            if bytes.len() <= COPY {
                sender.copy(bytes);
                return Ok(());
            }
            while !bytes.is_empty() {
                match sender.write_through(bytes, &mut conn.stream) {
                    Ok(0) => break,
                    Ok(taken) => bytes = &bytes[taken..],
                    Err(_) => {
                        return match self.client_gone(sender) {
                            Poll::Ready(end) => Err(end),
                            Poll::Pending => Ok(()),
                        };
                    }
                }
            }
            let room = match self.manner.buffering && self.manner.most_in_file > 0 {
                true => self.manner.memory.saturating_sub(sender.pending()),
                false => usize::MAX,
            };
            let (now, later) = bytes.split_at(bytes.len().min(room));
            if !now.is_empty() {
                sender.push(Chunk::Bytes(now.to_vec()));
            }
            bytes = later;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let written = match &self.manner.policy.temp_path {
            Some(directory) => self.spool.write(bytes, directory),
            None => self.spool.write(bytes, &self.manner.settings.temporary()),
        };
        written.map_err(End::File)
    }

    /// Nothing moves: until the first limit of time.
    fn wait(&mut self, cx: &mut Context<'_>, conn: &mut Conn, sender: &Sender) -> Poll<End> {
        let now = conn.engine.registry.now();
        if conn.engine.is_stopping() {
            return Poll::Ready(End::Stopping);
        }
        if conn.watch.is_shed() {
            return Poll::Ready(End::Slow);
        }
        let blocked = !self.deaf && !sender.is_flushed() && !sender.must_pause();
        if blocked {
            self.client_until.get_or_insert(now + self.manner.send_timeout);
        } else {
            self.client_until = None;
            if !self.deaf && !self.manner.ignore_abort && conn.stream.poll_gone(cx) {
                return Poll::Ready(End::Gone);
            }
        }
        conn.watch.set_waiting(blocked);
        if self.client_until.is_some_and(|until| until <= now) {
            return Poll::Ready(End::Slow);
        }
        if self.server_until.is_some_and(|until| until <= now) {
            return Poll::Ready(End::Late);
        }
        if self.upload.as_ref().is_some_and(|upload| upload.is_late(now)) {
            return Poll::Ready(End::Late);
        }
        let upload = self.upload.as_ref().and_then(Upload::until);
        let next = [self.client_until, self.server_until, upload].into_iter().flatten().min();
        conn.arm(next.map_or(0, |until| (until - now).max(1)));
        conn.watch.register(cx);
        Poll::Pending
    }
}

impl End {
    /// What the error log is told, and how loud.
    pub fn tell(&self) -> Option<(Level, String)> {
        let told = match self {
            End::Complete | End::Stopping => return None,
            End::Gone => (Level::Info, "client prematurely closed connection".to_owned()),
            End::Slow => (Level::Info, "client timed out (110: Connection timed out)".to_owned()),
            End::Late => (Level::Error, super::ask::LATE.to_owned()),
            End::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                (Level::Error, "upstream prematurely closed connection".to_owned())
            }
            End::Broken(error) if error.kind() == io::ErrorKind::InvalidData => {
                (Level::Error, "upstream sent invalid chunked response".to_owned())
            }
            End::Broken(error) => (Level::Error, super::ask::failed("recv()", error)),
            End::Body(Failure::Gone) => (Level::Info, "client prematurely closed connection".to_owned()),
            End::Body(Failure::Refused(_, why)) => (Level::Info, why.clone()),
            End::File(error) => (Level::Critical, format!("an answer could not be written to a file: {error}")),
        };
        Some(told)
    }
}
