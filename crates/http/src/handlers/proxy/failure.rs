//! Why a server did not answer, and what that means for the request: nginx's rules of `proxy_next_upstream`.

use crate::upstream::policy::Next;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Connecting, sending or reading failed, or the connection ended too early.
    Error,
    /// The same, and it has done nothing with the request.
    Refused,
    Timeout,
    InvalidHeader,
    /// It answered with this status.
    Status(u16),
    /// `allow_upstream` does not let it be asked.
    Denied,
    /// No server of the group may be asked.
    NoLive,
}

impl Failure {
    /// What `proxy_next_upstream` calls it; `NOTHING`: nothing of that.
    pub fn condition(self) -> Next {
        match self {
            Failure::Error | Failure::Refused => Next::ERROR,
            Failure::Timeout => Next::TIMEOUT,
            Failure::InvalidHeader => Next::INVALID_HEADER,
            Failure::Status(status) => Next::of_status(status),
            Failure::Denied => Next::DENIED,
            Failure::NoLive => Next::NOTHING,
        }
    }

    /// The status for the client if no other server is asked.
    pub fn status(self) -> u16 {
        match self {
            Failure::Timeout => 504,
            Failure::Status(status) => status,
            Failure::Error | Failure::Refused | Failure::InvalidHeader | Failure::Denied | Failure::NoLive => 502,
        }
    }

    /// Whether it is the server's fault.
    pub fn counts(self) -> bool {
        !matches!(self, Failure::Status(403 | 404) | Failure::Denied)
    }
}

/// Why a request goes no further with a server.
pub enum Stop {
    Failed(Failure),
    /// The client is gone, or the worker is ending at once: there is nobody to answer.
    Gone,
    /// The request's own body could not be read.
    Body(crate::transport::receive::Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}
