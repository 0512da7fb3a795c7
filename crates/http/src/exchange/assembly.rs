//! What is to be done with an answer that is put together of several.

use std::sync::Arc;

use super::Request;

/// What the answer is made of beside its own body.
#[derive(Default)]
pub struct Assembly {
    /// Paths of what comes before and after it.
    pub before: Option<Arc<[u8]>>,
    pub after: Option<Arc<[u8]>>,
    /// It is a page with commands (SSI).
    pub ssi: bool,
    /// The request as it was when the head came, where an application has the request itself.
    pub request: Option<Box<Request>>,
}
