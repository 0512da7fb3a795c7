//! What may happen to a request before it is answered, and to its answer, one file or folder each.

pub mod access;
pub mod addition;
pub mod bodies;
pub mod charset;
pub mod error_page;
pub mod expires;
pub mod forwarded;
pub mod geo;
pub mod headers;
pub mod map;
pub mod realip;
pub mod referer;
pub mod rewrite;
pub mod secure_link;
pub mod split_clients;
pub mod ssi;
pub mod sub_filter;
pub mod userid;
