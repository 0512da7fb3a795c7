//! Bytes: sans-IO codecs and the grammar of HTTP fields.
//!
//! Everything here turns bytes into values and values into bytes. There is no socket, no clock and no runtime: what
//! time it is, and where bytes come from, is told by the caller.
#![forbid(unsafe_code)]

pub mod accept;
pub mod cidr;
pub mod conditional;
pub mod date;
pub mod etag;
pub mod forwarded;
pub mod h1;
pub mod media;
pub mod proxy_protocol;
mod quoted;
pub mod range;
pub mod uri;
pub mod ws;
