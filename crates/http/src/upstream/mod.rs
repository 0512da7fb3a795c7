//! Groups of servers that requests are passed on to: which one gets a request, and how each is doing.
//!
//! `peer` is one server and its state, `balance` the methods of choosing.

pub mod balance;
pub mod peer;
