//! One end of a TLS connection as rustls has it: the server's or the client's. They differ in type only; what is done
//! with them is written once, for both.

use std::io::{self, ErrorKind};

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, ReadEarlyData, UnbufferedConnectionCommon,
    UnbufferedStatus,
};

use super::PIECE;

/// Bytes of a ServerHello that are random.
pub(super) const RANDOM: usize = 32;

/// This side of a connection.
#[expect(clippy::large_enum_variant, reason = "the small one is rare, and the large one is in a box already")]
pub enum Session {
    /// Clients come to it: nearly all are, so the other is the one that is elsewhere.
    Server(UnbufferedServerConnection),
    /// It goes to a server.
    Client(Box<UnbufferedClientConnection>),
}

/// Where what comes out of a look at ciphertext goes.
pub(super) struct Turn<'a> {
    /// Plaintext, until it has `full` bytes.
    pub buf: &'a mut Vec<u8>,
    pub full: usize,
    /// Plaintext beyond that.
    pub ahead: &'a mut Vec<u8>,
    /// What the protocol has to say.
    pub output: &'a mut Vec<u8>,
    /// What a ServerHello of ours has of the session.
    pub hello: &'a mut Box<[u8]>,
    pub ended: &'a mut bool,
}

impl Turn<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.full.saturating_sub(self.buf.len()));
        self.buf.extend_from_slice(&bytes[..len]);
        self.ahead.extend_from_slice(&bytes[len..]);
    }
}

impl Session {
    pub fn state(&self) -> &CommonState {
        match self {
            Session::Server(session) => session,
            Session::Client(session) => session,
        }
    }

    /// Looks at ciphertext; gives how much of it is done with.
    pub(super) fn process(&mut self, input: &mut [u8], turn: &mut Turn<'_>) -> Result<usize, rustls::Error> {
        match self {
            Session::Server(session) => process(session, input, turn),
            Session::Client(session) => process(session, input, turn),
        }
    }

    /// Encrypts into what lies behind `into.1`; gives where that ends.
    pub(super) fn seal(
        &mut self,
        input: &mut [u8],
        plain: &[u8],
        into: (&mut Vec<u8>, usize),
        ended: &mut bool,
    ) -> io::Result<usize> {
        match self {
            Session::Server(session) => seal(session, input, plain, into, ended),
            Session::Client(session) => seal(session, input, plain, into, ended),
        }
    }

    /// The alert that says what went wrong, if there is one.
    pub(super) fn last_words(&mut self, output: &mut Vec<u8>) {
        match self {
            Session::Server(session) => last_words(session, output),
            Session::Client(session) => last_words(session, output),
        }
    }

    /// The alert that says that nothing more follows.
    pub(super) fn say_goodbye(&mut self, input: &mut [u8], output: &mut Vec<u8>) {
        match self {
            Session::Server(session) => say_goodbye(session, input, output),
            Session::Client(session) => say_goodbye(session, input, output),
        }
    }
}

/// What rustls has for each side by itself.
trait Side: Sized {
    /// It is the one that says ServerHello.
    const ANSWERS: bool;

    fn step<'c, 'i>(
        session: &'c mut UnbufferedConnectionCommon<Self>,
        input: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self>;

    /// Takes data that came before the handshake's end; gives how many bytes of the input are done with.
    fn early(traffic: ReadEarlyData<'_, '_, Self>, turn: &mut Turn<'_>) -> Result<usize, rustls::Error>;
}

impl Side for ServerConnectionData {
    const ANSWERS: bool = true;

    fn step<'c, 'i>(
        session: &'c mut UnbufferedConnectionCommon<Self>,
        input: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self> {
        session.process_tls_records(input)
    }

    fn early(mut traffic: ReadEarlyData<'_, '_, Self>, turn: &mut Turn<'_>) -> Result<usize, rustls::Error> {
        let mut discard = 0;
        while let Some(record) = traffic.next_record() {
            let record = record?;
            discard += record.discard;
            turn.take(record.payload);
        }
        Ok(discard)
    }
}

impl Side for ClientConnectionData {
    const ANSWERS: bool = false;

    fn step<'c, 'i>(
        session: &'c mut UnbufferedConnectionCommon<Self>,
        input: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self> {
        session.process_tls_records(input)
    }

    fn early(_: ReadEarlyData<'_, '_, Self>, _: &mut Turn<'_>) -> Result<usize, rustls::Error> {
        Ok(0)
    }
}

fn process<S: Side>(
    session: &mut UnbufferedConnectionCommon<S>,
    input: &mut [u8],
    turn: &mut Turn<'_>,
) -> Result<usize, rustls::Error> {
    let notes = S::ANSWERS && session.is_handshaking();
    let mut done = 0;
    loop {
        let UnbufferedStatus { mut discard, state, .. } = S::step(session, &mut input[done..]);
        let mut last = false;
        match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    turn.take(record.payload);
                }
            }
            ConnectionState::ReadEarlyData(traffic) => discard += S::early(traffic, turn)?,
            ConnectionState::EncodeTlsData(mut data) => {
                let at = turn.output.len();
                encode(&mut data, turn.output);
                if notes {
                    note_hello(&turn.output[at..], turn.hello);
                }
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => *turn.ended = true,
            ConnectionState::Closed => {
                *turn.ended = true;
                last = true;
            }
            _ => last = true,
        }
        done += discard;
        if last {
            return Ok(done);
        }
    }
}

fn seal<S: Side>(
    session: &mut UnbufferedConnectionCommon<S>,
    input: &mut [u8],
    plain: &[u8],
    (into, mut at): (&mut Vec<u8>, usize),
    ended: &mut bool,
) -> io::Result<usize> {
    if into.len() <= at {
        into.resize(at + PIECE + PIECE / 8, 0);
    }
    loop {
        // What waits in the input is no whole message, or it would have been looked at.
        match S::step(session, input).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => match traffic.encrypt(plain, &mut into[at..]) {
                Ok(written) => return Ok(at + written),
                Err(EncryptError::InsufficientSize(needed)) => into.resize(at + needed.required_size, 0),
                Err(EncryptError::EncryptExhausted) => return Err(io::Error::other("the keys are used up")),
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => match data.encode(&mut into[at..]) {
                Ok(written) => at += written,
                Err(EncodeError::InsufficientSize(needed)) => {
                    into.resize(at + needed.required_size, 0);
                    match data.encode(&mut into[at..]) {
                        Ok(written) => at += written,
                        Err(_) => return Err(ErrorKind::InvalidData.into()),
                    }
                }
                Err(EncodeError::AlreadyEncoded) => {}
            },
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => *ended = true,
            Ok(_) => return Err(ErrorKind::BrokenPipe.into()),
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }
}

fn last_words<S: Side>(session: &mut UnbufferedConnectionCommon<S>, output: &mut Vec<u8>) {
    if let Ok(ConnectionState::EncodeTlsData(mut data)) = S::step(session, &mut []).state {
        encode(&mut data, output);
    }
}

fn say_goodbye<S: Side>(session: &mut UnbufferedConnectionCommon<S>, input: &mut [u8], output: &mut Vec<u8>) {
    let mut alert = [0; 64];
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = S::step(session, input).state
        && let Ok(len) = traffic.queue_close_notify(&mut alert)
    {
        output.extend_from_slice(&alert[..len]);
    }
}

/// Appends what the protocol has to say.
fn encode<D>(data: &mut EncodeTlsData<'_, D>, output: &mut Vec<u8>) {
    let at = output.len();
    output.resize(at + 1024, 0);
    loop {
        match data.encode(&mut output[at..]) {
            Ok(written) => return output.truncate(at + written),
            Err(EncodeError::InsufficientSize(needed)) => output.resize(at + needed.required_size, 0),
            Err(EncodeError::AlreadyEncoded) => return output.truncate(at),
        }
    }
}

/// Notes what a record with a ServerHello has of the session (RFC 8446 section 4.1.3); the last one counts.
fn note_hello(record: &[u8], noted: &mut Box<[u8]>) {
    /// Before it: the heads of record and message, the version.
    const START: usize = 5 + 4 + 2;
    if let [22, _, _, _, _, 2, ..] = record
        && let Some(len) = record.get(START + RANDOM)
    {
        let end = START + RANDOM + 1 + usize::from(*len);
        let mut hello = record[START..START + RANDOM].to_vec();
        hello.extend_from_slice(record.get(START + RANDOM + 1..end).unwrap_or_default());
        *noted = hello.into();
    }
}
