//! TLS for clients, and to servers: from `ssl_*` settings to what a handshake is done with. It knows files, certificates and rustls;
//! connections are `conn/secure.rs`, records on the wire `transport/tls.rs`.
//!
//! `server` is what a server has, made when the configuration is read and made anew when files change; `key` and `pem`
//! read files, `files` sees them change, `certificates` chooses what a client is shown (`named`
//! keeps what has variables in its name), `plan` (with `ciphers`, `groups`)
//! puts OpenSSL's words into rustls', `tickets` and `sessions` let clients come back, `verify` checks theirs, `info` is
//! what a handshake came to. `ocsp` asks whether certificates are still good, `client` is what connections to servers are made with, `host` looks for their names.
//! `words` tells what went wrong. `prepare` does it for a configuration.

pub mod certificates;
pub mod ciphers;
pub mod client;
mod der;
mod files;
mod groups;
mod host;
pub mod info;
pub mod key;
mod named;
pub mod names;
pub mod ocsp;
pub mod pem;
mod plan;
pub mod prepare;
pub mod server;
mod sessions;
pub mod tickets;
pub mod verify;
pub mod words;

pub use server::Server;
