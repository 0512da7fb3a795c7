//! `grpc_pass`: requests passed on to servers that speak gRPC over HTTP/2. The way they go is that of `proxy_pass`, see
//! `proxy`; here is what `directives` say, where one goes (`target`), and the head that servers get (`request`).

mod directives;
pub mod request;
pub mod target;

pub use directives::{ROWS, Settings};
