//! Content handlers: what answers a request once its location is known.
//!
//! `files` and `index` answer from directories, `app` has an application answer, `empty_gif` and `stub_status` answer of
//! themselves; `answer` is the way of every answer to the sender, `error_page` what an error looks like.

pub mod accel;
pub mod answer;
pub mod app;
pub mod autoindex;
pub mod empty_gif;
pub mod error_page;
pub mod errors;
pub mod files;
pub mod grpc;
pub mod index;
pub mod proxy;
pub mod random_index;
pub mod stub_status;

/// What a handler came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// The answer is with the sender.
    Done,
    /// It is not for this handler.
    Declined,
    /// To be answered with the page of this status.
    Status(u16),
    /// A redirect of the server's own, to be completed with scheme and host.
    Redirect(u16, Vec<u8>),
    /// The request goes on with another URI, with its arguments.
    Internal(Vec<u8>, Option<Vec<u8>>),
}
