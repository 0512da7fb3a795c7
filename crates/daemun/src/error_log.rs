//! The error log. It lives in the engine, which logs too.

pub use http::log::error::{ErrorLog, Level};
