//! Logs: `error` for people, `access` a line per request in the format the operator gave, `format` that format.

pub mod access;
pub mod error;
pub mod format;

pub use access::AccessLog;
pub use error::ErrorLog;
pub use format::Format;
