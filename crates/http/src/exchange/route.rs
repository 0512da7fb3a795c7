//! Where a request is on its way through the configuration, and what it has picked up there.

use std::os::fd::RawFd;
use std::time::Instant;

use super::{Asked, Seen};
use crate::features::{limit_conn, limit_req, userid};
use crate::regex::Captures;
use crate::variables::{Value, VarId};

/// How often a request may change its URI or be redirected internally.
pub const MOST_CHANGES: u8 = 10;

/// The state of one request.
#[derive(Clone)]
pub struct Route {
    /// Index of the server.
    pub server: u32,
    /// Index of the location, or of the `if` block in it.
    pub location: u32,
    /// The query string, where it is not the request line's any more.
    pub args: Option<Vec<u8>>,
    /// The URI is not the one of the request line any more.
    pub rewritten: bool,
    /// Came here by a redirect of the configuration's own, so `internal` locations are open to it.
    pub internal: bool,
    /// The method counts as GET: an error page is fetched.
    pub get: bool,
    /// Of a subrequest, the method of the request that it is for, where that is not GET.
    pub main_method: Option<Box<[u8]>>,
    /// An error page was looked for already.
    pub error_page: bool,
    /// The status that the answer is to have, whatever the handler says; 0 = the handler's.
    pub status: u16,
    /// Changes of the URI that are left.
    pub changes: u8,
    /// A subrequest: of the answer only the body counts.
    pub subrequest: bool,
    /// The charset of the answer, once it is decided; of a subrequest, that of the answer it is for.
    pub charset: Option<Box<[u8]>>,
    /// The answer's body goes out as it is, whatever the configuration says.
    pub plain_body: bool,
    /// `try_files` found this with the location's `alias` in front already.
    pub whole_path: bool,
    /// A rewrite left the request in its location.
    pub stayed: bool,
    /// The status of the answer that is being made; 0 while there is none.
    pub answering: u16,
    /// Its end is being noted.
    pub logging: bool,
    /// The connection goes on after this request, as far as is known.
    pub keep_alive: bool,
    /// There are other representations of the file.
    pub varies: bool,
    /// Its body is not wanted any more: an error is being answered.
    pub discarded: bool,
    /// Fields of an answer in whose place another one is sent.
    pub kept: Vec<(Box<str>, Vec<u8>)>,
    /// How the application sees the request; `None`: as it was sent.
    pub seen: Option<Box<Seen>>,
    /// Values of the configuration's own variables, by number.
    pub values: Vec<Option<Value>>,
    /// Of the last regular expression that matched.
    pub captures: Captures,
    /// Maps that are being evaluated.
    pub depth: u8,
    /// `set $limit_rate`, in bytes a second.
    pub limit_rate: Option<u64>,
    /// `$request_id`, once it was asked for.
    pub id: Option<[u8; 32]>,
    /// Room for what a variable is looked up by.
    pub scratch: Vec<u8>,
    /// The cookie of `userid`.
    pub uid: userid::State,
    /// What was decided where requests are counted.
    pub limit_req: limit_req::Status,
    pub limit_conn: limit_conn::Status,
    /// The status that a request was refused with, and after how many seconds it may come again.
    pub retry_after: Option<(u16, u64)>,
    /// The servers that it was passed on to.
    pub asked: Option<Box<Asked>>,
    /// Memory for that.
    pub spare: Option<Box<Asked>>,
}

impl Default for Route {
    fn default() -> Self {
        Route {
            server: 0,
            location: 0,
            args: None,
            rewritten: false,
            internal: false,
            get: false,
            main_method: None,
            error_page: false,
            status: 0,
            changes: MOST_CHANGES + 1,
            subrequest: false,
            charset: None,
            plain_body: false,
            whole_path: false,
            stayed: false,
            answering: 0,
            logging: false,
            keep_alive: false,
            varies: false,
            discarded: false,
            kept: Vec::new(),
            seen: None,
            values: Vec::new(),
            captures: Captures::default(),
            depth: 0,
            limit_rate: None,
            id: None,
            scratch: Vec::new(),
            uid: userid::State::default(),
            limit_req: limit_req::Status::None,
            limit_conn: limit_conn::Status::None,
            retry_after: None,
            asked: None,
            spare: None,
        }
    }
}

impl Route {
    /// Makes it ready for another request.
    pub fn reset(&mut self) {
        // Field by field: it is done for every request, and a whole new one is a lot of memory to move.
        let Route {
            server,
            location,
            args,
            rewritten,
            internal,
            get,
            main_method,
            error_page,
            status,
            changes,
            subrequest,
            charset,
            plain_body,
            whole_path,
            stayed,
            answering,
            logging,
            keep_alive,
            varies,
            discarded,
            kept,
            seen,
            values,
            captures,
            depth,
            limit_rate,
            id,
            scratch,
            uid,
            limit_req,
            limit_conn,
            retry_after,
            asked,
            spare,
        } = self;
        (*server, *location, *status, *answering, *depth) = (0, 0, 0, 0, 0);
        *changes = MOST_CHANGES + 1;
        for flag in [
            rewritten, internal, get, error_page, subrequest, plain_body, whole_path, stayed, logging, keep_alive,
            varies, discarded,
        ] {
            *flag = false;
        }
        (*args, *charset, *seen, *limit_rate, *id) = (None, None, None, None, None);
        *main_method = None;
        if let Some(mut done) = asked.take() {
            done.clear();
            *spare = Some(done);
        }
        kept.clear();
        values.clear();
        captures.clear();
        scratch.clear();
        *uid = userid::State::default();
        (*limit_req, *limit_conn, *retry_after) = (limit_req::Status::None, limit_conn::Status::None, None);
    }

    /// The servers that it is passed on to.
    pub fn asked(&mut self) -> &mut Asked {
        let Route { asked, spare, .. } = self;
        asked.get_or_insert_with(|| spare.take().unwrap_or_default())
    }

    /// Gives a variable a value.
    pub fn assign(&mut self, id: VarId, value: Value) {
        let index = id.index();
        if self.values.len() <= index {
            self.values.resize(index + 1, None);
        }
        self.values[index] = Some(value);
    }

    /// Takes a variable's value away.
    pub fn forget(&mut self, id: VarId) {
        if let Some(value) = self.values.get_mut(id.index()) {
            *value = None;
        }
    }
}

/// What a request knows of the connection that carries it.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    /// Number of the connection in this worker.
    pub serial: u64,
    /// Number of the request on it, from 1.
    pub requests: u32,
    pub socket: RawFd,
    pub since: Instant,
    /// What a PROXY protocol header said, if there was one.
    pub proxied: Option<Proxied>,
}

/// The addresses of a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    pub client: std::net::SocketAddr,
    pub server: std::net::SocketAddr,
}

impl Default for Carrier {
    fn default() -> Self {
        Carrier { serial: 0, requests: 0, socket: -1, since: Instant::now(), proxied: None }
    }
}
