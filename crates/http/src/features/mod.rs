//! What may happen to a request before it is answered, and to its answer, one file or folder each.

pub mod access;
pub mod addition;
pub mod auth_basic;
pub mod auth_request;
pub mod bodies;
pub mod charset;
pub mod compression;
pub mod error_page;
pub mod expires;
pub mod forwarded;
pub mod geo;
pub mod headers;
pub mod http2;
pub mod limit_conn;
pub mod limit_req;
pub mod map;
pub mod realip;
pub mod referer;
pub mod rewrite;
pub mod secure_headers;
pub mod secure_link;
pub mod split_clients;
pub mod ssi;
pub mod ssl;
pub mod sub_filter;
pub mod userid;
