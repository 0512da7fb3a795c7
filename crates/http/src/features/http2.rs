//! `http2` and its kin: whether connections may speak HTTP/2, and with what limits. (What speaks it is `conn::h2`.)

use conf::Diagnostic;

use crate::config::arguments::{check, text};
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::Row;

/// The largest window (RFC 9113 section 6.9.1), in bytes.
const MOST_WINDOW: u64 = (1 << 31) - 1;
/// The limits of a frame's size (RFC 9113 section 4.2), in bytes.
const FRAMES: std::ops::RangeInclusive<u64> = 16 * 1024..=(1 << 24) - 1;
/// The piece of an answer's body in one frame, in bytes.
pub const CHUNK: usize = 8 * 1024;

/// What holds for a server's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Clients may speak it: those that choose it in the TLS handshake.
    pub on: bool,
    /// And those without TLS, that begin with its preface. `None`: the same.
    pub cleartext: Option<bool>,
    /// Requests of a connection at a time.
    pub streams: u32,
    /// Bytes of a body that a client may send before they are asked for.
    pub preread: u32,
    /// Bytes of the longest frame taken.
    pub frame: u32,
    /// Bytes of a head, names and values and 32 for each (RFC 9113 section 6.5.2). 0 = what the limits of heads allow.
    pub head: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { on: false, cleartext: None, streams: 128, preread: 64 * 1024, frame: 16 * 1024, head: 0 }
    }
}

impl Settings {
    /// Whether a connection without TLS may begin with the preface.
    pub fn in_clear(&self) -> bool {
        self.cleartext.unwrap_or(self.on)
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "http2",
        HS,
        (1, 1),
        "on | off",
        "off",
        "Whether clients may use HTTP/2: those that choose it in the TLS handshake, and without TLS those that begin with it.",
        Set(|s| {
            s.server().http2.on = s.flag()?;
            Ok(())
        }),
    ),
    Row::new(
        "http2_body_preread_size",
        HS,
        (1, 1),
        "SIZE",
        "64k",
        "How many bytes of a body a client may send before anything has asked for them, and how many may be under way later; 4k at least.",
        Set(|s| {
            let size = s.size(0)?;
            if size > MOST_WINDOW {
                return Err(s.wrong(format!("the maximum body preread buffer size is {MOST_WINDOW}")));
            }
            s.server().http2.preread = size as u32;
            Ok(())
        }),
    ),
    Row::new(
        "http2_chunk_size",
        HSL,
        (1, 1),
        "SIZE",
        "8k",
        "The longest piece of an answer's body in one frame: answers on one connection take turns with such pieces.",
        Set(|s| {
            let size = s.size(0)?;
            if size == 0 {
                return Err(s.wrong("the http2 chunk size cannot be zero"));
            }
            s.settings().http2_chunk_size = size.min(*FRAMES.end()) as usize;
            Ok(())
        }),
    ),
    Row::new(
        "http2_cleartext",
        HS,
        (1, 1),
        "on | off",
        "as http2",
        "Whether clients without TLS may begin with HTTP/2.",
        Set(|s| {
            s.server().http2.cleartext = Some(s.flag()?);
            Ok(())
        }),
    ),
    Row::new(
        "http2_idle_timeout",
        HS,
        (1, 1),
        "TIME",
        "3m",
        "Gone from nginx: `keepalive_timeout` is in its place.",
        Set(obsolete),
    )
    .repeats(),
    Row::new(
        "http2_max_concurrent_pushes",
        HS,
        (1, 1),
        "NUMBER",
        "10",
        "Gone from nginx: nothing is pushed.",
        Set(obsolete),
    )
    .repeats(),
    Row::new(
        "http2_max_concurrent_streams",
        HS,
        (1, 1),
        "NUMBER",
        "128",
        "How many requests a connection may have at a time; more are refused, and a client may try again.",
        Set(|s| {
            let n = s.number(0)?;
            s.server().http2.streams = u32::try_from(n).unwrap_or(u32::MAX);
            Ok(())
        }),
    ),
    Row::new(
        "http2_max_field_size",
        HS,
        (1, 1),
        "SIZE",
        "4k",
        "Gone from nginx: `large_client_header_buffers` is in its place.",
        Set(obsolete),
    )
    .repeats(),
    Row::new(
        "http2_max_frame_size",
        HS,
        (1, 1),
        "SIZE",
        "16k",
        "The longest frame that clients may send: 16k to 16m less one byte.",
        Set(|s| {
            let size = s.size(0)?;
            if !FRAMES.contains(&size) {
                return Err(s.wrong("the http2 frame size must be between 16k and 16777215"));
            }
            s.server().http2.frame = size as u32;
            Ok(())
        }),
    ),
    Row::new(
        "http2_max_header_list_size",
        HS,
        (1, 1),
        "SIZE",
        "0",
        "How many bytes the fields of a request may have, 32 added for each; 0 = what `large_client_header_buffers` has room for.",
        Set(|s| {
            let size = s.size(0)?;
            s.server().http2.head = u32::try_from(size).unwrap_or(u32::MAX);
            Ok(())
        }),
    ),
    Row::new(
        "http2_max_header_size",
        HS,
        (1, 1),
        "SIZE",
        "16k",
        "Gone from nginx: `large_client_header_buffers` is in its place.",
        Set(obsolete),
    )
    .repeats(),
    Row::new(
        "http2_max_requests",
        HS,
        (1, 1),
        "NUMBER",
        "1000",
        "Gone from nginx: `keepalive_requests` is in its place.",
        Set(obsolete),
    )
    .repeats(),
    Row::new(
        "http2_pool_size",
        HS,
        (1, 1),
        "SIZE",
        "4k",
        "Memory of a connection; without effect.",
        Tuning(check::size),
    ),
    Row::new("http2_push", HSL, (1, 1), "URI | off", "off", "Gone from nginx: nothing is pushed.", Set(obsolete))
        .repeats(),
    Row::new(
        "http2_push_preload",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Gone from nginx: nothing is pushed.",
        Set(obsolete),
    )
    .repeats(),
    Row::new(
        "http2_recv_buffer_size",
        H,
        (1, 1),
        "SIZE",
        "256k",
        "The buffer of a worker for requests; without effect.",
        Tuning(check::size),
    ),
    Row::new(
        "http2_recv_timeout",
        HS,
        (1, 1),
        "TIME",
        "30s",
        "Gone from nginx: `client_header_timeout` is in its place.",
        Set(obsolete),
    )
    .repeats(),
    Row::new(
        "http2_streams_index_size",
        HS,
        (1, 1),
        "NUMBER",
        "32",
        "A power of two, without effect.",
        Tuning(|it| {
            check::number(it)?;
            if conf::number(text(it, 0)).is_some_and(u64::is_power_of_two) {
                return Ok(());
            }
            Err(Diagnostic::of(it, "\"http2_streams_index_size\" directive must be a power of two"))
        }),
    ),
];

/// What nginx has no more: it says so.
fn obsolete(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = s.name().to_owned();
    let instead = match name.as_str() {
        "http2_idle_timeout" => "keepalive_timeout",
        "http2_max_field_size" | "http2_max_header_size" => "large_client_header_buffers",
        "http2_max_requests" => "keepalive_requests",
        "http2_recv_timeout" => "client_header_timeout",
        _ => "",
    };
    let message = match instead {
        "" => format!("the \"{name}\" directive is obsolete, ignored"),
        other => format!("the \"{name}\" directive is obsolete, use the \"{other}\" directive instead"),
    };
    let warning = s.wrong(message);
    s.make.warn(warning);
    Ok(())
}
