//! What one request and its answer are, free of the protocol that carried them.
//!
//! `request` is what a client asked, `response` what it is told, `chunk` the pieces a body is made of, and
//! `stream` a request body that is still arriving while it is read.

pub mod chunk;
pub mod request;
pub mod response;
pub mod stream;

pub use chunk::{Chunk, FileSlice, Foreign};
pub use request::{Local, Peer, Request, RequestBody};
pub use response::ResponseHead;
pub use stream::BodyStream;
