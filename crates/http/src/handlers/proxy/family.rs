//! What differs between the protocols that requests are passed on by: which directives hold, how a head is made.

use std::sync::Arc;

use super::request::{self, Body};
use super::target::{self, Pass, Target};
use super::{HttpVersion, tunnel};
use crate::config::Settings;
use crate::handlers::grpc;
use crate::upstream::policy::Policy;
use crate::variables::Scope;

/// The family of directives that a request is passed on by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    Proxy,
    Grpc,
}

/// The head of a request, as servers get it.
pub struct Made {
    /// As the text of HTTP/1.1.
    pub text: Vec<u8>,
    /// It goes by HTTP/2.
    pub http2: bool,
    /// The value that the server has to know of a WebSocket's key, where the key is ours.
    pub accept: Option<[u8; 28]>,
}

impl Family {
    /// The policy of a block.
    pub fn policy(self, settings: &Settings) -> &Arc<Policy> {
        match self {
            Family::Proxy => &settings.proxy.policy,
            Family::Grpc => &settings.grpc.policy,
        }
    }

    /// The directive that passes requests on.
    pub fn directive(self) -> &'static str {
        match self {
            Family::Proxy => "proxy_pass",
            Family::Grpc => "grpc_pass",
        }
    }

    /// What URLs begin with.
    pub fn scheme(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Family::Proxy, false) => "http://",
            (Family::Proxy, true) => "https://",
            (Family::Grpc, false) => "grpc://",
            (Family::Grpc, true) => "grpcs://",
        }
    }

    /// Whether bodies may go on while they arrive; `chunked`: their length is not known.
    pub fn streams(self, settings: &Settings, chunked: bool) -> bool {
        let proxy = &settings.proxy;
        match self {
            Family::Grpc => true,
            Family::Proxy => {
                let old = chunked && proxy.http_version == HttpVersion::Http10;
                let buffers = proxy.policy.request_buffering || old || proxy.set_body.is_some();
                !buffers && proxy.policy.pass_request_body
            }
        }
    }

    /// Where a request goes now; the error is for the log.
    pub fn target(self, scope: &mut Scope<'_>, pass: &Pass) -> Result<Target, String> {
        match self {
            Family::Proxy => target::of(scope, pass),
            Family::Grpc => grpc::target::of(scope, pass),
        }
    }

    /// The head of a request for servers.
    pub fn head(self, scope: &mut Scope<'_>, target: &Target, body: Body) -> Made {
        let mut text = Vec::with_capacity(1024);
        if self == Family::Grpc {
            grpc::request::head(scope, target, body, &mut text);
            return Made { text, http2: true, accept: None };
        }
        request::head(scope, target, body, &mut text);
        let accept = scope.request.tunnel.then(|| tunnel::ask(&mut text));
        // Another protocol can only be asked for in HTTP/1.
        let http2 = scope.settings().proxy.http_version == HttpVersion::Http2 && !tunnel::is_asked(&text);
        Made { text, http2, accept }
    }
}
