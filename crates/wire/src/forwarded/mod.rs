//! Who the client is behind proxies: X-Forwarded-For and its relatives, and Forwarded (RFC 7239).
//!
//! Anyone can send these fields, so they are read only where the peer itself is a trusted proxy (the caller checks that
//! with [`Trusted`]), and of what they list only the part that trusted proxies wrote. Each proxy appends to the right
//! the address it was spoken to from; so the list is walked from the right past the trusted addresses, and the first one
//! that is not trusted is the client. What follows to its left is hearsay.
//!
//! Garbage is never an address: what cannot be read ends the walk, and the client stays unknown.

mod element;
mod node;
mod reader;
mod schemes;
mod trusted;

pub use reader::{Claims, Families, Reader};
pub use schemes::{Contradiction, Schemes};
pub use trusted::Trusted;
