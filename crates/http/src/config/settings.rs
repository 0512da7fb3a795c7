//! What the blocks of a configuration set, with nginx's defaults. Everything here is inherited: a block begins with a
//! copy of what its parent has set. Lists and maps are shared until a block sets its own.

use std::path::PathBuf;
use std::sync::Arc;

use wire::h1::{AsNginx, Limits};

use crate::features::{
    access, addition, auth_basic, auth_request, charset, compression, early_hints, error_page, expires, headers, http2,
    limit_conn, limit_req, mirror, realip, referer, secure_headers, secure_link, ssi, ssl, sub_filter, userid,
};
use crate::handlers::{app, files, grpc, index, proxy};
use crate::log;
use crate::upstream::resolve;
use crate::variables::Template;

/// Settings of a location, or of a block in it.
#[derive(Clone)]
pub struct Settings {
    // Requests.
    /// Largest body, in bytes; 0 = no limit, see `max_body`.
    pub client_max_body_size: u64,
    /// Bodies up to this many bytes stay in memory.
    pub client_body_buffer_size: u64,
    /// Between two reads of a body, in ms.
    pub client_body_timeout: u64,
    /// Directory for bodies and answers that do not fit in memory; `None` = the system's.
    pub temporary_path: Option<PathBuf>,
    pub satisfy: Satisfy,
    /// How long an answer of status 401 is held back, in ms.
    pub auth_delay: u64,

    // Connections.
    /// Between two writes of an answer, in ms.
    pub send_timeout: u64,
    /// Between two requests, in ms; 0 = close after each.
    pub keepalive_timeout: u64,
    /// What the Keep-Alive field says, in seconds; 0 = there is none.
    pub keepalive_header: u64,
    /// Requests on one connection; 0 = no limit.
    pub keepalive_requests: u32,
    /// Age up to which a connection is kept, in ms; 0 = no limit.
    pub keepalive_time: u64,
    /// How long an idle connection is kept when the worker ends, in ms.
    pub keepalive_min_timeout: u64,
    pub keepalive_disable: KeepAliveDisable,
    pub lingering_close: Lingering,
    /// In ms.
    pub lingering_time: u64,
    /// In ms.
    pub lingering_timeout: u64,
    /// A client that is too slow is sent RST.
    pub reset_timedout_connection: bool,
    pub tcp_nodelay: bool,
    pub limit_rate: Option<Arc<Template>>,
    pub limit_rate_after: Option<Arc<Template>>,

    // Answers.
    pub types: Arc<files::Types>,
    pub default_type: Arc<str>,
    pub server_tokens: Tokens,
    pub absolute_redirect: bool,
    pub port_in_redirect: bool,
    pub server_name_in_redirect: bool,
    pub chunked_transfer_encoding: bool,
    pub msie_padding: bool,
    pub etag: bool,
    pub if_modified_since: IfModifiedSince,
    /// Parts of one answer; `None` = no limit, 0 = no ranges.
    pub max_ranges: Option<u32>,
    pub sendfile: bool,
    /// Answers have a Server field.
    pub server_header: bool,
    /// Answers have a Date field.
    pub date_header: bool,
    /// Answers that do not end the connection say so.
    pub keep_alive_field: bool,
    /// Error pages, redirects and fields as nginx has them.
    pub nginx_pages: bool,
    pub error_pages: Arc<Vec<error_page::ErrorPage>>,
    pub recursive_error_pages: bool,
    pub headers: headers::Settings,
    /// Bytes of a body in one frame of HTTP/2.
    pub http2_chunk_size: usize,
    pub secure_headers: secure_headers::Settings,
    pub expires: expires::Settings,
    pub addition: addition::Settings,
    pub sub_filter: sub_filter::Settings,
    pub charset: charset::Settings,
    pub ssi: ssi::directives::Settings,
    pub compression: compression::Settings,

    // Files.
    pub root: files::Root,
    pub files: files::Settings,
    pub index: index::Settings,

    // Logs.
    pub access_logs: Arc<Vec<log::access::Place>>,
    /// `open_log_file_cache`
    pub log_cache: Option<log::files::Limits>,
    /// `None`: the process's.
    pub error_log: Option<Arc<[super::main::ErrorTarget]>>,
    pub log_not_found: bool,
    pub log_subrequest: bool,
    pub rewrite_log: bool,
    pub uninitialized_variable_warn: bool,

    // Features.
    pub access: access::Settings,
    pub auth_basic: auth_basic::Settings,
    pub auth_request: auth_request::Settings,
    pub limit_req: limit_req::Settings,
    pub limit_conn: limit_conn::Settings,
    pub realip: realip::Settings,
    pub early_hints: early_hints::Settings,
    pub mirror: mirror::Settings,
    pub referer: referer::Settings,
    pub secure_link: secure_link::Settings,
    pub userid: userid::Settings,

    // Servers that requests are passed on to.
    /// Who names are asked of while the worker runs.
    pub resolver: Option<Arc<resolve::Resolver>>,
    /// How long that may take, in ms.
    pub resolver_timeout: u64,

    // Applications.
    pub app: app::Settings,

    // Passing requests on.
    pub proxy: Arc<proxy::Settings>,
    pub grpc: Arc<grpc::Settings>,
}

/// Settings of a server: what is decided before a location is known.
#[derive(Clone)]
pub struct ServerSettings {
    /// Limits of a request's head, in bytes and fields.
    pub limits: Limits,
    /// For the whole head, in ms.
    pub client_header_timeout: u64,
    pub merge_slashes: bool,
    pub http2: http2::Settings,
    /// Proxies whose word is taken for a client's address and scheme, as typed; empty = none.
    pub forwarded_allow_ips: String,
    /// Names and values of fields by which such a proxy says that its client came by TLS.
    pub secure_scheme_headers: Vec<(String, String)>,
    pub ssl: Arc<ssl::Settings>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Satisfy {
    All,
    Any,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lingering {
    Off,
    On,
    Always,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfModifiedSince {
    Off,
    Exact,
    Before,
}

/// Browsers whose connections are not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAliveDisable {
    pub msie6: bool,
    pub safari: bool,
}

/// What the Server field and error pages say of the version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    On,
    Off,
    Build,
}

/// How WebSockets are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Else a handshake is an ordinary request.
    pub enabled: bool,
    /// The longest message taken from a client, in bytes.
    pub max_size: usize,
    /// Messages that wait for the application; then the client is read no further.
    pub max_queue: usize,
    /// Between two pings, in ms; 0 = none.
    pub ping_interval: u64,
    /// From a ping to its pong, in ms; 0 = no limit.
    pub ping_timeout: u64,
    /// Offer compression (RFC 7692).
    pub deflate: bool,
}

impl Default for WebSocket {
    fn default() -> Self {
        WebSocket {
            enabled: true,
            max_size: 16 << 20,
            max_queue: 32,
            ping_interval: 20_000,
            ping_timeout: 20_000,
            deflate: true,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            client_max_body_size: 1 << 20,
            client_body_buffer_size: 16 * 1024,
            client_body_timeout: 60_000,
            temporary_path: None,
            satisfy: Satisfy::All,
            auth_delay: 0,
            send_timeout: 60_000,
            keepalive_timeout: 75_000,
            keepalive_header: 0,
            keepalive_requests: 1000,
            keepalive_time: 3_600_000,
            keepalive_min_timeout: 0,
            keepalive_disable: KeepAliveDisable { msie6: true, safari: false },
            lingering_close: Lingering::On,
            lingering_time: 30_000,
            lingering_timeout: 5_000,
            reset_timedout_connection: false,
            tcp_nodelay: true,
            limit_rate: None,
            limit_rate_after: None,
            types: Arc::new(files::Types::default()),
            default_type: "text/plain".into(),
            server_tokens: Tokens::On,
            absolute_redirect: true,
            port_in_redirect: true,
            server_name_in_redirect: false,
            chunked_transfer_encoding: true,
            msie_padding: true,
            etag: true,
            if_modified_since: IfModifiedSince::Exact,
            max_ranges: None,
            sendfile: false,
            server_header: true,
            date_header: true,
            keep_alive_field: true,
            nginx_pages: true,
            error_pages: Arc::default(),
            recursive_error_pages: false,
            headers: headers::Settings::default(),
            http2_chunk_size: http2::CHUNK,
            secure_headers: secure_headers::Settings::default(),
            expires: expires::Settings::default(),
            addition: addition::Settings::default(),
            sub_filter: sub_filter::Settings::default(),
            charset: charset::Settings::default(),
            ssi: ssi::directives::Settings::default(),
            compression: compression::Settings::default(),
            root: files::Root::default(),
            files: files::Settings::default(),
            index: index::Settings::default(),
            access_logs: Arc::default(),
            log_cache: None,
            error_log: None,
            log_not_found: true,
            log_subrequest: false,
            rewrite_log: false,
            uninitialized_variable_warn: true,
            access: access::Settings::default(),
            auth_basic: auth_basic::Settings::default(),
            auth_request: auth_request::Settings::default(),
            limit_req: limit_req::Settings::default(),
            limit_conn: limit_conn::Settings::default(),
            realip: realip::Settings::default(),
            early_hints: early_hints::Settings::default(),
            mirror: mirror::Settings::default(),
            referer: None,
            secure_link: secure_link::Settings::default(),
            userid: userid::Settings::default(),
            resolver: None,
            resolver_timeout: resolve::TIMEOUT,
            app: app::Settings::default(),
            proxy: Arc::default(),
            grpc: Arc::default(),
        }
    }
}

impl Settings {
    /// `defaults modern;`: the defaults where nginx's hurt.
    pub fn modern() -> Settings {
        Settings {
            server_tokens: Tokens::Off,
            sendfile: true,
            keep_alive_field: false,
            nginx_pages: false,
            if_modified_since: IfModifiedSince::Before,
            types: Arc::new(files::Types::modern()),
            default_type: wire::media::DEFAULT.into(),
            compression: compression::Settings::modern(),
            files: files::Settings::modern(),
            proxy: Arc::new(proxy::Settings::modern()),
            ..Settings::default()
        }
    }

    /// Whether something is added to the heads of answers that is not the same for all.
    pub fn changes_heads(&self) -> bool {
        self.headers.is_computed() || self.expires.is_on() || self.userid.is_on()
    }

    /// Whether something may change the bodies of answers, or follow them.
    pub fn changes_bodies(&self) -> bool {
        self.charset.is_on()
            || self.charset.has_source()
            || self.sub_filter.is_on()
            || self.ssi.is_on()
            || self.addition.is_on()
            || self.headers.has_trailers()
            || self.compression.is_on()
    }

    /// Whether there are limits or authentication that may take time before a request is let in.
    pub fn guards(&self) -> bool {
        self.auth_basic.is_on() || self.auth_request.is_on() || self.limit_req.is_on() || self.limit_conn.is_on()
    }

    /// The largest body taken, in bytes.
    pub fn max_body(&self) -> u64 {
        if self.client_max_body_size == 0 { u64::MAX } else { self.client_max_body_size }
    }

    /// The directory for temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.temporary_path.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl ServerSettings {
    /// What several slashes in a path count as.
    pub fn slashes(&self) -> wire::uri::Slashes {
        if self.merge_slashes { wire::uri::Slashes::Merge } else { wire::uri::Slashes::Keep }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            limits: Limits { line: 0, fields: 1000, field_size: 0, head: 0, nginx: Some(AsNginx::default()) },
            client_header_timeout: 60_000,
            merge_slashes: true,
            http2: http2::Settings::default(),
            forwarded_allow_ips: String::new(),
            secure_scheme_headers: Vec::new(),
            ssl: Arc::default(),
        }
    }
}

impl ServerSettings {
    /// `defaults modern;`: heads are read by the book.
    pub fn modern() -> ServerSettings {
        ServerSettings {
            limits: Limits { line: 8190, fields: 1000, field_size: 8190, head: 64 * 1024, nginx: None },
            ..ServerSettings::default()
        }
    }
}
