//! The built-in variables, one row each.

use std::fmt;

use super::asked;
use super::getters::*;
use super::scope::Scope;
use crate::exchange::{Peer, RequestBody};
use crate::features::ssl::variables as ssl;
use crate::features::{compression, referer, secure_link, userid};
use crate::stage::Coding;
use crate::{log, sys};

/// A variable: its name, how it is computed (`false`: it has no value), and what it is.
pub struct Row {
    pub name: &'static str,
    pub get: fn(&mut Scope<'_>, &mut Vec<u8>) -> bool,
    pub doc: &'static str,
}

/// Variables with a common beginning; the rest of the name says which one.
pub struct Family {
    pub prefix: &'static str,
    pub get: fn(&mut Scope<'_>, &str, &mut Vec<u8>) -> bool,
    pub doc: &'static str,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.name)
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.prefix)
    }
}

const fn row(name: &'static str, get: fn(&mut Scope<'_>, &mut Vec<u8>) -> bool, doc: &'static str) -> Row {
    Row { name, get, doc }
}

/// Variables that a configuration sets for a feature to read: with the registry, as its own are.
pub const SET: &[(&str, &str)] =
    &[("uid_reset", "to be set: `1`, or `log` with a line in the log, if `$uid_got` is not to count, see `userid`")];

pub const FAMILIES: &[Family] = &[
    Family { prefix: "arg_", get: argument, doc: "the argument NAME of the query string" },
    Family { prefix: "cookie_", get: cookie, doc: "the cookie NAME" },
    Family { prefix: "http_", get: request_field, doc: "the request's field NAME, with `_` for `-`" },
    Family { prefix: "sent_http_", get: sent_field, doc: "the answer's field NAME" },
    Family { prefix: "sent_trailer_", get: nothing_named, doc: "the answer's trailer field NAME" },
    Family { prefix: "upstream_http_", get: asked::field, doc: "the upstream answer's field NAME" },
    Family { prefix: "upstream_trailer_", get: asked::trailer, doc: "the upstream's trailer field NAME" },
    Family { prefix: "upstream_cookie_", get: asked::cookie, doc: "the upstream's cookie NAME" },
    Family { prefix: "proxy_protocol_tlv_", get: proxied_value, doc: "a TLV of the PROXY protocol" },
];

pub const ROWS: &[Row] = &[
    row("args", query, "the query string; may be set"),
    row(
        "binary_remote_addr",
        |s, out| {
            match s.request.peer {
                Peer::Inet(address) => match address.ip() {
                    std::net::IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
                    std::net::IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
                },
                Peer::Unix => out.extend_from_slice(b"unix:"),
            }
            true
        },
        "the client's address as 4 or 16 bytes",
    ),
    row(
        "body_bytes_sent",
        |s, out| number(out, s.answer.map_or(0, |a| a.body_bytes)),
        "bytes of the body sent, with chunk framing",
    ),
    row("bytes_sent", |s, out| number(out, s.answer.map_or(0, |a| a.bytes)), "bytes sent to the client"),
    row("connection", |s, out| number(out, s.request.carrier.serial), "the connection's number"),
    row("connection_requests", |s, out| number(out, s.request.carrier.requests.into()), "requests on the connection"),
    row(
        "connection_time",
        |s, out| seconds(out, s.request.carrier.since.elapsed()),
        "age of the connection in seconds, with milliseconds",
    ),
    row("content_length", content_length, "the request's Content-Length"),
    row("content_type", |s, out| field(s, "content-type", out), "the request's Content-Type"),
    row("date_gmt", |_, out| time(out, true), "the time in GMT"),
    row("date_local", |_, out| time(out, false), "the local time"),
    row("document_root", root, "`root` or `alias` of the request"),
    row("document_uri", uri, "the same as $uri"),
    row(
        "host",
        |s, out| {
            let config = s.config;
            let host = s.request.server_host();
            if host.is_empty() {
                return present(out, config.server(s.request.route.server).name.as_bytes());
            }
            present(out, host)
        },
        "the host of the request line, or of Host, or the server's name",
    ),
    row("hostname", |_, out| present(out, sys::process::host_name().as_bytes()), "the machine's name"),
    row(
        "https",
        |s, out| {
            if s.request.secure {
                out.extend_from_slice(b"on");
            }
            true
        },
        "`on` with TLS, otherwise empty",
    ),
    row("invalid_referer", referer::invalid, "`1` if the request's Referer is none of `valid_referers`"),
    row(
        "is_args",
        |s, out| {
            if s.request.query().is_some_and(|query| !query.is_empty()) {
                out.push(b'?');
            }
            true
        },
        "`?` if there is a query string",
    ),
    row(
        "is_request_port",
        |s, out| {
            if s.request.host_port.is_some() {
                out.push(b':');
            }
            true
        },
        "`:` if the request names a port",
    ),
    row("limit_rate", |s, out| number(out, s.request.route.limit_rate.unwrap_or(0)), "bytes a second; may be set"),
    row(
        "msec",
        |_, out| {
            log::time::seconds_and_ms(out, wall_ms());
            true
        },
        "seconds since 1970, with milliseconds",
    ),
    row(
        "nginx_version",
        |_, out| present(out, crate::identity::NGINX_VERSION.as_bytes()),
        "the version of nginx that this follows",
    ),
    row("pid", |_, out| number(out, std::process::id().into()), "the worker's process"),
    row(
        "pipe",
        |s, out| {
            out.push(if s.request.pipelined { b'p' } else { b'.' });
            true
        },
        "`p` if the request came before the answer to the one before, else `.`",
    ),
    row("proxy_protocol_addr", |s, out| proxied(s, out, |p| p.client.ip().to_string()), "client of the PROXY protocol"),
    row("proxy_protocol_port", |s, out| proxied(s, out, |p| p.client.port().to_string()), "its port"),
    row(
        "proxy_protocol_server_addr",
        |s, out| proxied(s, out, |p| p.server.ip().to_string()),
        "the address it came to",
    ),
    row("proxy_protocol_server_port", |s, out| proxied(s, out, |p| p.server.port().to_string()), "that one's port"),
    row("proxy_add_x_forwarded_for", forwarded_for, "X-Forwarded-For with $remote_addr added"),
    row("proxy_host", asked::proxy_host, "host of `proxy_pass`"),
    row("proxy_port", asked::proxy_port, "port of `proxy_pass`"),
    row("query_string", query, "the same as $args"),
    row(
        "realip_remote_addr",
        |s, out| {
            let peer = s.request.connected_peer();
            address(peer, out)
        },
        "the client's address before realip changed it",
    ),
    row(
        "realip_remote_port",
        |s, out| {
            let peer = s.request.connected_peer();
            port(peer, out)
        },
        "the client's port before realip changed it",
    ),
    row(
        "realpath_root",
        |s, out| {
            let mut path = Vec::new();
            root(s, &mut path);
            match sys::open::real_path(&path) {
                Ok(real) => present(out, &real),
                Err(_) => false,
            }
        },
        "$document_root with symbolic links resolved",
    ),
    row("remote_addr", |s, out| address(s.request.peer, out), "the client's address"),
    row("remote_port", |s, out| port(s.request.peer, out), "the client's port"),
    row("remote_user", remote_user, "the name of Basic authentication"),
    row("request", |s, out| some(out, s.request.line()), "the request line"),
    row(
        "request_body",
        |s, out| match &s.request.body {
            RequestBody::Inline(span) => present(out, span.of(&s.request.buf)),
            RequestBody::Memory(bytes) => present(out, bytes),
            _ => false,
        },
        "the request's body, if it is in memory",
    ),
    row("request_body_file", nothing, "the file of the request's body (files here have no names)"),
    row(
        "request_completion",
        |s, out| {
            if s.answer.is_some_and(|answer| answer.complete) {
                out.extend_from_slice(b"OK");
            }
            true
        },
        "`OK` if the answer is complete",
    ),
    row(
        "request_filename",
        |s, out| crate::handlers::files::path::of(s, out).is_some(),
        "the file that `root` or `alias` and the URI name",
    ),
    row(
        "request_id",
        |s, out| {
            let id = *s.request.route.id.get_or_insert_with(sys::random::hex_id);
            present(out, &id)
        },
        "32 random hexadecimal digits, unique for the request",
    ),
    row(
        "request_length",
        |s, out| {
            let length = s.request.received();
            number(out, length)
        },
        "bytes of the request: line, fields and body",
    ),
    row("request_method", |s, out| some(out, s.request.main_method()), "the method"),
    row("request_port", |s, out| present(out, s.request.port().as_bytes()), "the port that the request names"),
    row(
        "request_time",
        |s, out| seconds(out, s.request.started.elapsed()),
        "seconds since the first byte, with milliseconds",
    ),
    row("request_uri", |s, out| some(out, s.request.target_uri()), "the target as the client sent it, with arguments"),
    row("scheme", |s, out| present(out, if s.request.secure { b"https" } else { b"http" }), "`http` or `https`"),
    row("secure_link", secure_link::variable, "what checking a link gave, see `secure_link`"),
    row("secure_link_expires", secure_link::expires, "when the link ends, see `secure_link`"),
    row(
        "server_addr",
        |s, out| {
            let name = s.request.local_end().0;
            present(out, name.as_bytes())
        },
        "the address that the connection came to",
    ),
    row(
        "server_name",
        |s, out| {
            let config = s.config;
            present(out, config.server(s.request.route.server).name.as_bytes())
        },
        "the name of the server that answers",
    ),
    row(
        "server_port",
        |s, out| {
            let port = s.request.local_end().1;
            present(out, port.as_bytes())
        },
        "the port that the connection came to",
    ),
    row(
        "server_protocol",
        |s, out| present(out, s.request.head.version.name().as_bytes()),
        "the protocol of the request",
    ),
    row(
        "status",
        |s, out| {
            let route = &s.request.route;
            let status = match s.answer {
                Some(answer) if answer.head.status != 0 => answer.head.status,
                // The client left before there was one.
                Some(_) => 499,
                None if route.status != 0 => route.status,
                None => route.answering,
            };
            out.extend_from_slice(&[100, 10, 1].map(|place| b'0' + (status / place % 10) as u8));
            true
        },
        "the answer's status",
    ),
    row("tcpinfo_rtt", |s, out| tcp(s, out, 0), "TCP_INFO of the connection: round trip time in µs"),
    row("tcpinfo_rttvar", |s, out| tcp(s, out, 1), "TCP_INFO: its variance"),
    row("tcpinfo_snd_cwnd", |s, out| tcp(s, out, 2), "TCP_INFO: the congestion window"),
    row("tcpinfo_rcv_space", |s, out| tcp(s, out, 3), "TCP_INFO: room to receive"),
    row("time_iso8601", |_, out| present(out, &log::time::now().iso8601), "local time, ISO 8601"),
    row(
        "time_iso8601_ms",
        |_, out| {
            log::time::iso8601_ms(out, wall_ms());
            true
        },
        "the same with milliseconds",
    ),
    row("time_local", |_, out| present(out, &log::time::now().local), "local time, as in the Common Log Format"),
    row("uid_got", userid::got, "the identifier that the client sent, see `userid`"),
    row("uid_set", userid::set, "the identifier that the client is sent, see `userid`"),
    row("uri", uri, "the URI, decoded and normalised; rewrites change it"),
    row("upstream_addr", asked::address, "where the request was passed to"),
    row("upstream_bytes_received", asked::received, "bytes from the upstream"),
    row("upstream_bytes_sent", asked::sent, "bytes to the upstream"),
    row("upstream_cache_status", nothing, "what the cache did"),
    row("upstream_connect_time", asked::connect_time, "seconds until the upstream was connected"),
    row("upstream_header_time", asked::header_time, "seconds until its answer began"),
    row("upstream_last_server_name", asked::server, "the upstream's name"),
    row("upstream_queue_time", asked::queue_time, "seconds that it waited for a server, see `queue`"),
    row("upstream_response_length", asked::response_length, "length of its answer"),
    row("upstream_response_time", asked::response_time, "seconds until its answer ended"),
    row("upstream_status", asked::status, "its status"),
    row("acme_certificate", nothing, "the certificate that ACME got"),
    row("acme_certificate_key", nothing, "its key"),
    row("ancient_browser", nothing, "see `ancient_browser`"),
    row(
        "brotli_ratio",
        |s, out| compression::ratio(s, Coding::Brotli, out),
        "by how much the answer was compressed with `brotli`; in logs",
    ),
    row(
        "gzip_ratio",
        |s, out| compression::ratio(s, Coding::Gzip, out),
        "by how much the answer was compressed with `gzip`; in logs",
    ),
    row("modern_browser", nothing, "see `modern_browser`"),
    row("msie", nothing, "`1` for any version of MSIE"),
    row("otel_parent_id", nothing, "the span that this one is in"),
    row("otel_parent_sampled", nothing, "`1` if that one is recorded, else `0`"),
    row("otel_span_id", nothing, "the request's span"),
    row("otel_trace_id", nothing, "the request's trace"),
    row(
        "zstd_ratio",
        |s, out| compression::ratio(s, Coding::Zstd, out),
        "by how much the answer was compressed with `zstd`; in logs",
    ),
    row(
        "limit_req_status",
        |s, out| some(out, s.request.route.limit_req.name().as_bytes()),
        "what `limit_req` decided",
    ),
    row(
        "limit_conn_status",
        |s, out| some(out, s.request.route.limit_conn.name().as_bytes()),
        "what `limit_conn` decided",
    ),
    row("slice_range", nothing, "the range of a slice"),
    row("http2", http2, "`h2` or `h2c` with HTTP/2, otherwise empty"),
    row("http3", empty, "`h3` with HTTP/3, otherwise empty"),
    row("fastcgi_script_name", uri, "see `fastcgi_index`"),
    row("fastcgi_path_info", empty, "see `fastcgi_split_path_info`"),
    row("ssl_alpn_protocol", ssl::ALPN_PROTOCOL, "the protocol chosen by ALPN"),
    row("ssl_cipher", ssl::CIPHER, "the cipher of the connection"),
    row("ssl_ciphers", ssl::CIPHERS, "the client's ciphers"),
    row("ssl_client_cert", ssl::CLIENT_CERT, "the client's certificate, with tabs"),
    row("ssl_client_escaped_cert", ssl::CLIENT_ESCAPED_CERT, "the client's certificate, URL-encoded"),
    row("ssl_client_fingerprint", ssl::CLIENT_FINGERPRINT, "its SHA-1"),
    row("ssl_client_i_dn", ssl::CLIENT_I_DN, "its issuer"),
    row("ssl_client_i_dn_legacy", ssl::CLIENT_I_DN_LEGACY, "its issuer, as OpenSSL used to write it"),
    row("ssl_client_raw_cert", ssl::CLIENT_RAW_CERT, "the client's certificate in PEM"),
    row("ssl_client_s_dn", ssl::CLIENT_S_DN, "its subject"),
    row("ssl_client_s_dn_legacy", ssl::CLIENT_S_DN_LEGACY, "its subject, as OpenSSL used to write it"),
    row("ssl_client_serial", ssl::CLIENT_SERIAL, "its serial number"),
    row("ssl_client_v_end", ssl::CLIENT_V_END, "the end of its validity"),
    row("ssl_client_v_remain", ssl::CLIENT_V_REMAIN, "days until it ends"),
    row("ssl_client_v_start", ssl::CLIENT_V_START, "the start of its validity"),
    row("ssl_client_verify", ssl::CLIENT_VERIFY, "what checking it gave"),
    row("ssl_curve", ssl::CURVE, "the curve of the key exchange"),
    row("ssl_curves", ssl::CURVES, "the client's curves"),
    row("ssl_early_data", ssl::EARLY_DATA, "`1` for a request that came before the handshake's end"),
    row("ssl_protocol", ssl::PROTOCOL, "the protocol of the connection"),
    row("ssl_server_name", ssl::SERVER_NAME, "the name that the client asked for by SNI"),
    row("ssl_session_id", ssl::SESSION_ID, "the session's number"),
    row("ssl_session_reused", ssl::SESSION_REUSED, "`r` if the session was used again"),
];
