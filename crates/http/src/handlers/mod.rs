//! Content handlers: what answers a request once its location is known.

pub mod app;
pub mod errors;
pub mod files;
