//! Directives that belong to no feature: about requests, connections and answers in general.

pub mod answers;
pub mod connections;
pub mod requests;
