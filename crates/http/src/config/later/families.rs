//! Directives that pass requests on. Their names come in families: what `proxy_read_timeout` is for HTTP,
//! `fastcgi_read_timeout` is for FastCGI. What families have in common is written once.

use super::super::arguments::check;
use super::super::context::Contexts;
use super::super::context::sets::*;
use super::super::row::{Action, MANY, Row};
use super::rows;

/// Where `tunnel_pass` stands.
const SLI: Contexts = S.or(LI);

const ANSWER: &str = "requests here are answered 502";
const PASS: &str = "requests are not passed on";
const CACHE: &str = "answers are not cached";
const STORE: &str = "answers are not stored";

/// What every family has.
macro_rules! common {
    ($prefix:literal) => { rows! { $prefix
        "allow_upstream" HSL (1, MANY) "STRING ..." "" "A server is asked only if no STRING is empty or `0`." => Later(PASS), repeats;
        "bind" HSL (1, 2) "ADDRESS [transparent] | off" "" "The local address that connections come from." => Later(PASS);
        "bind_dynamic" HSL (1, 1) "on | off" "off" "Whether the local address is found anew for each connection." => Later(PASS);
        "buffer_size" HSL (1, 1) "SIZE" "4k" "The buffer for the beginning of an answer; without effect." => Tuning(check::size);
        "connect_timeout" HSL (1, 1) "TIME" "60s" "How long connecting to a server may take." => Later(PASS);
        "next_upstream" HSL (1, MANY) "error | timeout | ... | off ..." "error timeout"
            "After which failures the next server is asked." => Later(PASS), repeats;
        "next_upstream_timeout" HSL (1, 1) "TIME" "0" "For how long next servers are asked; 0 = no limit." => Later(PASS);
        "next_upstream_tries" HSL (1, 1) "NUMBER" "0" "How many servers are asked; 0 = no limit." => Later(PASS);
        "read_timeout" HSL (1, 1) "TIME" "60s" "How long a server may send nothing." => Later(PASS);
        "send_timeout" HSL (1, 1) "TIME" "60s" "How long a server may take nothing." => Later(PASS);
        "socket_keepalive" HSL (1, 1) "on | off" "off" "Whether TCP keep-alive is on for connections to servers." => Later(PASS);
    } };
}

/// What the families have whose answers are HTTP's.
macro_rules! answers {
    ($prefix:literal) => { rows! { $prefix
        "hide_header" HSL (1, 1) "FIELD" "" "A field of the answer that clients do not get." => Later(PASS), repeats;
        "ignore_headers" HSL (1, MANY) "FIELD ..." "" "Fields of the answer that are not obeyed, like `X-Accel-Redirect`." => Later(PASS), repeats;
        "intercept_errors" HSL (1, 1) "on | off" "off" "Whether answers of status 300 and more are shown by `error_page`." => Later(PASS);
        "pass_header" HSL (1, 1) "FIELD" "" "A field of the answer that clients get although they usually do not." => Later(PASS), repeats;
        "request_dynamic" HSL (1, 1) "on | off" "off" "Whether the request is made anew for each server that is asked." => Later(PASS);
    } };
}

/// What the families have whose answers may be kept: in memory, in files, in a cache.
macro_rules! buffered {
    ($prefix:literal) => { rows! { $prefix
        "buffering" HSL (1, 1) "on | off" "on" "Whether answers are taken from the server as fast as it sends." => Later(PASS);
        "buffers" HSL (2, 2) "NUMBER SIZE" "8 4k" "Memory for an answer; without effect." => Tuning(check::buffers);
        "busy_buffers_size" HSL (1, 1) "SIZE" "8k" "How much of an answer in memory may be busy sending; without effect." => Tuning(check::size);
        "cache" HSL (1, 1) "ZONE | off" "off" "The cache that answers are kept in." => Later(CACHE);
        "cache_background_update" HSL (1, 1) "on | off" "off" "Whether a stale answer is sent while a fresh one is fetched." => Later(CACHE);
        "cache_bypass" HSL (1, MANY) "STRING ..." "" "The cache does not answer if a STRING is neither empty nor `0`." => Later(CACHE), repeats;
        "cache_key" HSL (1, 1) "STRING" "" "What answers are found by." => Later(CACHE);
        "cache_lock" HSL (1, 1) "on | off" "off" "Whether only one request at a time fetches a new answer." => Later(CACHE);
        "cache_lock_age" HSL (1, 1) "TIME" "5s" "After how long another request may fetch an answer that one fetches already." => Later(CACHE);
        "cache_lock_timeout" HSL (1, 1) "TIME" "5s" "How long requests wait for an answer that another one fetches." => Later(CACHE);
        "cache_max_range_offset" HSL (1, 1) "SIZE" "" "Ranges that begin further on are not cached." => Later(CACHE);
        "cache_methods" HSL (1, MANY) "GET | HEAD | POST ..." "GET HEAD" "Methods whose answers are cached." => Later(CACHE), repeats;
        "cache_min_uses" HSL (1, 1) "NUMBER" "1" "After how many requests an answer is cached." => Later(CACHE);
        "cache_path" H (2, MANY) "DIRECTORY [levels=LEVELS] keys_zone=NAME:SIZE [PARAMETER ...]" "" "A cache." => Later(CACHE), repeats;
        "cache_purge" HSL (1, MANY) "STRING ..." "" "The request removes from the cache if a STRING is neither empty nor `0`." => Later(CACHE), repeats;
        "cache_revalidate" HSL (1, 1) "on | off" "off" "Whether stale answers are asked for with conditions." => Later(CACHE);
        "cache_use_stale" HSL (1, MANY) "error | timeout | updating | ... | off ..." "off" "When a stale answer is sent." => Later(CACHE), repeats;
        "cache_valid" HSL (1, MANY) "[CODE ...] TIME" "" "How long answers of a status are fresh." => Later(CACHE), repeats;
        "force_ranges" HSL (1, 1) "on | off" "off" "Whether ranges are made of any answer." => Later(PASS);
        "ignore_client_abort" HSL (1, 1) "on | off" "off" "Whether a server may finish although the client is gone." => Later(PASS);
        "limit_rate" HSL (1, 1) "RATE" "0" "Bytes a second that answers are read with; 0 = no limit." => Later(PASS);
        "max_temp_file_size" HSL (1, 1) "SIZE" "1024m" "How much of an answer may go to a file; without effect." => Tuning(check::size);
        "no_cache" HSL (1, MANY) "STRING ..." "" "The answer is not cached if a STRING is neither empty nor `0`." => Later(CACHE), repeats;
        "pass_request_body" HSL (1, 1) "on | off" "on" "Whether servers get the request's body." => Later(PASS);
        "pass_request_headers" HSL (1, 1) "on | off" "on" "Whether servers get the request's fields." => Later(PASS);
        "request_buffering" HSL (1, 1) "on | off" "on" "Whether a request's body is read whole before it is passed on." => Later(PASS);
        "store" HSL (1, 1) "on | off | FILE" "off" "Whether answers are stored as files." => Later(STORE);
        "store_access" HSL (1, 3) "WHO:RIGHTS ..." "user:rw" "The access rights of stored files." => Later(STORE);
        "temp_file_write_size" HSL (1, 1) "SIZE" "8k" "How much is written to a file at once; without effect." => Tuning(check::size);
        "temp_path" HSL (1, 4) "DIRECTORY [LEVEL ...]" "" "Where answers go that do not fit in memory; without effect." => Tuning(check::anything);
    } };
}

/// What the families have that know TLS.
macro_rules! tls {
    ($prefix:literal) => { rows! { $prefix
        "ssl_certificate" HSL (1, 1) "FILE" "" "The certificate that is shown to servers." => Later(PASS);
        "ssl_certificate_cache" HSL (1, 3) "off | max=NUMBER [inactive=TIME] [valid=TIME]" "off" "A cache of such certificates." => Later(PASS);
        "ssl_certificate_key" HSL (1, 1) "FILE" "" "The key of the certificate that is shown to servers." => Later(PASS);
        "ssl_ciphers" HSL (1, 1) "CIPHERS" "DEFAULT" "The ciphers for connections to servers." => Later(PASS);
        "ssl_conf_command" HSL (2, 2) "NAME VALUE" "" "A command of OpenSSL's configuration." => Later(PASS), repeats;
        "ssl_crl" HSL (1, 1) "FILE" "" "Certificates that servers may not have any more." => Later(PASS);
        "ssl_key_log" HSL (1, 1) "FILE" "" "The file that keys of connections are written to." => Later(PASS);
        "ssl_name" HSL (1, 1) "NAME" "$proxy_host" "The name that a server's certificate must have." => Later(PASS);
        "ssl_password_file" HSL (1, 1) "FILE" "" "Passphrases of keys." => Later(PASS);
        "ssl_protocols" HSL (1, MANY) "PROTOCOL ..." "TLSv1.2 TLSv1.3" "The protocols for connections to servers." => Later(PASS), repeats;
        "ssl_server_name" HSL (1, 1) "on | off" "off" "Whether servers are told the name by SNI." => Later(PASS);
        "ssl_session_reuse" HSL (1, 1) "on | off" "on" "Whether sessions are used again." => Later(PASS);
        "ssl_trusted_certificate" HSL (1, 1) "FILE" "" "Certificates that those of servers are checked with." => Later(PASS);
        "ssl_verify" HSL (1, 1) "on | off" "off" "Whether certificates of servers are checked." => Later(PASS);
        "ssl_verify_depth" HSL (1, 1) "NUMBER" "1" "How long the chain of a server's certificate may be." => Later(PASS);
    } };
}

pub const PROXY_COMMON: &[Row] = common!("proxy_");
pub const PROXY_ANSWERS: &[Row] = answers!("proxy_");
pub const PROXY_BUFFERED: &[Row] = buffered!("proxy_");
pub const PROXY_TLS: &[Row] = tls!("proxy_");
pub const PROXY: &[Row] = rows! { "proxy_"
    "cache_convert_head" HSL (1, 1) "on | off" "on" "Whether HEAD is made GET for the cache." => Later(CACHE);
    "cookie_domain" HSL (1, 2) "off | DOMAIN REPLACEMENT" "off" "Changes the domain of cookies." => Later(PASS), repeats;
    "cookie_flags" HSL (1, 4) "off | COOKIE [FLAG ...]" "off" "Changes flags of cookies." => Later(PASS), repeats;
    "cookie_path" HSL (1, 2) "off | PATH REPLACEMENT" "off" "Changes the path of cookies." => Later(PASS), repeats;
    "headers_hash_bucket_size" HSL (1, 1) "SIZE" "64" "Tables grow by themselves here; without effect." => Tuning(check::size);
    "headers_hash_max_size" HSL (1, 1) "NUMBER" "512" "Tables grow by themselves here; without effect." => Tuning(check::number);
    "http_version" HSL (1, 1) "1.0 | 1.1 | 2" "1.1" "The protocol that servers are spoken to with." => Later(PASS);
    "method" HSL (1, 1) "METHOD" "" "The method that servers get in place of the client's." => Later(PASS);
    "pass" LIX (1, 1) "URL" "" "Passes requests on to a server, by HTTP." => Later(ANSWER);
    "pass_trailers" HSL (1, 1) "on | off" "off" "Whether clients get the trailer fields of answers." => Later(PASS);
    "redirect" HSL (1, 2) "default | off | REDIRECT REPLACEMENT" "default" "Changes the fields Location and Refresh." => Later(PASS), repeats;
    "send_lowat" HSL (1, 1) "SIZE" "0" "Without effect." => Tuning(check::size);
    "set_body" HSL (1, 1) "STRING" "" "The body that servers get in place of the client's." => Later(PASS);
    "set_header" HSL (2, 2) "FIELD VALUE" "Host $proxy_host" "A field that servers get in place of the client's." => Later(PASS), repeats;
};

pub const FASTCGI_COMMON: &[Row] = common!("fastcgi_");
pub const FASTCGI_ANSWERS: &[Row] = answers!("fastcgi_");
pub const FASTCGI_BUFFERED: &[Row] = buffered!("fastcgi_");
pub const FASTCGI: &[Row] = rows! { "fastcgi_"
    "catch_stderr" HSL (1, 1) "STRING" "" "Errors with STRING in them count as a failure of the server." => Later(PASS), repeats;
    "index" HSL (1, 1) "FILE" "" "What is added to paths that end with a slash." => Later(PASS);
    "keep_conn" HSL (1, 1) "on | off" "off" "Whether servers are asked to keep connections." => Later(PASS);
    "param" HSL (2, 3) "NAME VALUE [if_not_empty]" "" "A parameter that servers get." => Later(PASS), repeats;
    "pass" LI (1, 1) "ADDRESS" "" "Passes requests on to a server, by FastCGI." => Later(ANSWER);
    "send_lowat" HSL (1, 1) "SIZE" "0" "Without effect." => Tuning(check::size);
    "split_path_info" HSL (1, 1) "REGEX" "" "Splits a path into script name and path info." => Later(PASS), repeats;
};

pub const UWSGI_COMMON: &[Row] = common!("uwsgi_");
pub const UWSGI_ANSWERS: &[Row] = answers!("uwsgi_");
pub const UWSGI_BUFFERED: &[Row] = buffered!("uwsgi_");
pub const UWSGI_TLS: &[Row] = tls!("uwsgi_");
pub const UWSGI: &[Row] = rows! { "uwsgi_"
    "modifier1" HSL (1, 1) "NUMBER" "0" "The first modifier of packets." => Later(PASS);
    "modifier2" HSL (1, 1) "NUMBER" "0" "The second modifier of packets." => Later(PASS);
    "param" HSL (2, 3) "NAME VALUE [if_not_empty]" "" "A parameter that servers get." => Later(PASS), repeats;
    "pass" LI (1, 1) "[suwsgi://]ADDRESS" "" "Passes requests on to a server, by uwsgi." => Later(ANSWER);
    "string" HSL (1, 1) "STRING" "" "What servers get after the parameters." => Later(PASS);
};

pub const SCGI_COMMON: &[Row] = common!("scgi_");
pub const SCGI_ANSWERS: &[Row] = answers!("scgi_");
pub const SCGI_BUFFERED: &[Row] = buffered!("scgi_");
pub const SCGI: &[Row] = rows! { "scgi_"
    "param" HSL (2, 3) "NAME VALUE [if_not_empty]" "" "A parameter that servers get." => Later(PASS), repeats;
    "pass" LI (1, 1) "ADDRESS" "" "Passes requests on to a server, by SCGI." => Later(ANSWER);
};

pub const GRPC_COMMON: &[Row] = common!("grpc_");
pub const GRPC_ANSWERS: &[Row] = answers!("grpc_");
pub const GRPC_TLS: &[Row] = tls!("grpc_");
pub const GRPC: &[Row] = rows! { "grpc_"
    "pass" LI (1, 1) "[grpcs://]ADDRESS" "" "Passes requests on to a server, by gRPC." => Later(ANSWER);
    "set_header" HSL (2, 2) "FIELD VALUE" "" "A field that servers get in place of the client's." => Later(PASS), repeats;
};

pub const MEMCACHED_COMMON: &[Row] = common!("memcached_");
pub const MEMCACHED: &[Row] = rows! { "memcached_"
    "gzip_flag" HSL (1, 1) "NUMBER" "" "The flag of values that are compressed." => Later(PASS);
    "pass" LI (1, 1) "ADDRESS" "" "Answers with the value of $memcached_key." => Later(ANSWER);
};

pub const TUNNEL_COMMON: &[Row] = common!("tunnel_");
pub const TUNNEL: &[Row] = rows! { "tunnel_"
    "pass" SLI (0, 1) "[ADDRESS]" "" "Connects clients that ask with CONNECT to where they want." => Later(ANSWER);
    "send_lowat" HSL (1, 1) "SIZE" "0" "Without effect." => Tuning(check::size);
};
