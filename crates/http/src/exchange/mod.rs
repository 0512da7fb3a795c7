//! What one request and its answer are, free of the protocol that carried them.
//!
//! `request` is what a client asked, `route` its way through the configuration, `seen` how an application sees it,
//! `response` what the client is told, `chunk` the pieces a body is made of, `assembly` what else an answer is put
//! together of, `stream` a request body that is still arriving while it is read, and `tls` what is known of the
//! connection's handshake. `asked` is what became of a request that was passed on.

mod asked;
pub mod assembly;
pub mod chunk;
mod report;
pub mod request;
pub mod response;
pub mod route;
mod seen;
pub mod stream;
pub mod tls;

pub use asked::{Asked, Attempt};
pub use assembly::Assembly;
pub use chunk::{Chunk, FileSlice, Foreign};
pub use request::{Local, Note, Peer, Request, RequestBody};
pub use response::ResponseHead;
pub use seen::Seen;
pub use stream::BodyStream;
pub use tls::TlsInfo;
