//! What may happen to a request before it is answered, one file each.

pub mod forwarded;
