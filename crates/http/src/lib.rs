//! The engine: a configuration tree and a stream in, answered requests out.
//!
//! `conn → phases → handlers → {transport, app, engine, config, log} → exchange → wire/conf`: nothing points left. Only
//! `conn`, `transport` and `runtime` name the async runtime, only `sys` has `unsafe`. It knows no language: an
//! application is an `app::App`.

pub mod app;
pub mod base64;
pub mod config;
pub mod conn;
pub mod engine;
pub mod exchange;
pub mod features;
pub mod handlers;
pub mod identity;
pub mod log;
pub mod phases;
pub mod regex;
pub mod runtime;
pub mod slots;
pub mod stage;
pub mod sys;
pub mod tls;
pub mod transport;
pub mod upstream;
pub mod variables;
pub mod zone;
