//! Groups of servers that requests are passed on to: which one gets a request, and how each is doing.
//!
//! `directives` are those of `upstream` blocks, `spec` is a group as they say it is, `group` the same at run time, with
//! the servers in `set`; `peer` is one server and its state, `balance` the methods of choosing, `sticky` binds clients to
//! servers, `queue` lets requests wait for one. `policy` is what the configuration says of passing requests on, whatever
//! the protocol, `tls` of TLS to them; `resolve` looks up names, `health` asks servers how they are.
//! `connect` makes connections, `pool` keeps them, `exchange` is a request on one, in `h1` or `h2`.

pub mod balance;
pub mod connect;
pub mod directives;
pub mod exchange;
pub mod group;
pub mod h1;
pub mod h2;
pub mod health;
pub mod peer;
pub mod policy;
pub mod pool;
pub mod queue;
pub mod resolve;
pub mod set;
pub mod spec;
pub mod sticky;
pub mod tls;

pub use group::{Chosen, Group, Search};
pub use peer::{Health, Member, Now, Times};
pub use set::Found;
pub use spec::{Address, Keepalive, Upstream, Upstreams};
