//! What the master hands to a worker.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use http::slots::Slot;
use socket2::Socket;

use crate::error_log::ErrorLog;
use crate::settings::{Bind, Settings};

/// A worker's beginnings. The worker owns all of it.
pub struct WorkerContext {
    /// Its settings.
    pub settings: Settings,
    /// Where it accepts.
    pub listeners: Vec<Listener>,
    /// The rows of all workers; those in use are among the first.
    pub slots: &'static [Slot],
    /// The row of this worker.
    pub slot: usize,
    /// Where it writes [`READY`] once it serves, and may write [`DRAINING`] when it wants to be replaced.
    pub ready: OwnedFd,
    /// The error log; reopening it is each process's own business.
    pub log: Arc<ErrorLog>,
    /// Which of the workers it is, from 0: a worker that takes another one's place has the same number.
    pub seat: usize,
    /// How many workers were started before it, and itself.
    pub age: u64,
    /// The master's process; 0: there is none, this process is all there is.
    pub master_pid: i32,
    /// No worker of this master has been ready yet.
    pub first: bool,
}

/// What a worker writes to [`WorkerContext::ready`] once it serves.
pub const READY: u8 = b'R';
/// What it may write there when it takes no more requests and wants to be replaced. The state in its slot says the
/// same, but is looked at only once a second.
pub const DRAINING: u8 = b'D';

/// A listening socket, non-blocking.
pub struct Listener {
    /// The socket.
    pub socket: Socket,
    /// Where it is bound.
    pub address: Address,
    /// As in the settings: `127.0.0.1:8000`.
    pub name: String,
    /// The settings' word that it came from.
    pub(super) bind: Bind,
    /// The file of a unix socket that this server made, by device and inode.
    pub(super) file: Option<(u64, u64)>,
}

/// Where a socket is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A unix socket; empty if it has no name.
    Unix(PathBuf),
}

impl Listener {
    /// As in Gunicorn's log: `http://127.0.0.1:8000` or `unix:/run/app.sock`.
    pub fn url(&self, tls: bool) -> String {
        match &self.address {
            Address::Tcp(address) => format!("http{}://{address}", if tls { "s" } else { "" }),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}
