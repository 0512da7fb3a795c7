//! The engine: a configuration tree and a stream in, answered requests out.
//!
//! `conn → phases → handlers → {exchange, app, config} → wire/conf`: nothing points left. Only `conn`, `engine` and
//! `runtime` name the async runtime, only `sys` has `unsafe`. It knows no language: an application is `app::App`.

pub mod app;
pub mod config;
pub mod conn;
pub mod engine;
pub mod exchange;
pub mod handlers;
pub mod log;
pub mod phases;
pub mod runtime;
pub mod slots;
pub mod sys;
