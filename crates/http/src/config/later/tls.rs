//! TLS for clients, and what rests on it: HTTP/2, HTTP/3, certificates that are fetched.

use super::super::arguments::check;
use super::super::context::sets::*;
use super::super::row::{Action, MANY, Row};
use super::rows;

const TLS: &str = "TLS is not served: sockets with `ssl` are not opened";
const CHECK: &str = "requests here are answered 503, because nothing may be let through unchecked";
const HTTP2: &str = "clients are not answered by HTTP/2";
const HTTP3: &str = "clients are not answered by HTTP/3";
const FETCH: &str = "no certificates are fetched";

pub const SSL: &[Row] = rows! { "ssl"
    "" HS (1, 1) "on | off" "off" "The old way to say `listen ... ssl`." => Later(TLS);
    "_buffer_size" HS (1, 1) "SIZE" "16k" "The buffer that is encrypted at once; without effect." => Tuning(check::size);
    "_certificate" HS (1, 1) "FILE" "" "The certificate, with the chain to its root." => Later(TLS), repeats;
    "_certificate_cache" HS (1, 3) "off | max=NUMBER [inactive=TIME] [valid=TIME]" "off" "A cache of certificates whose names have variables." => Later(TLS);
    "_certificate_compression" HS (1, 1) "on | off" "off" "Whether certificates are compressed." => Later(TLS);
    "_certificate_key" HS (1, 1) "FILE" "" "The certificate's key." => Later(TLS), repeats;
    "_ciphers" HS (1, 1) "CIPHERS" "HIGH:!aNULL:!MD5" "The ciphers, as OpenSSL lists them." => Later(TLS);
    "_client_certificate" HS (1, 1) "FILE" "" "Certificates that those of clients are checked with; clients are told of them." => Later(TLS);
    "_conf_command" HS (2, 2) "NAME VALUE" "" "A command of OpenSSL's configuration." => Later(TLS), repeats;
    "_crl" HS (1, 1) "FILE" "" "Certificates that clients may not have any more." => Later(TLS);
    "_dhparam" HS (1, 1) "FILE" "" "Parameters for DHE ciphers." => Later(TLS);
    "_early_data" HS (1, 1) "on | off" "off" "Whether requests are taken before the handshake's end." => Later(TLS);
    "_ecdh_curve" HS (1, 1) "CURVES" "auto" "Curves for the exchange of keys." => Later(TLS);
    "_ech_file" HS (1, 1) "FILE" "" "Keys for encrypted ClientHello." => Later(TLS), repeats;
    "_key_log" HS (1, 1) "FILE" "" "The file that keys of connections are written to." => Later(TLS);
    "_object_cache_inheritable" M (1, 1) "on | off" "on" "Whether certificates that did not change are kept over a reload; without effect." => Tuning(check::flag);
    "_ocsp" HS (1, 1) "on | off | leaf" "off" "Whether certificates of clients are checked by OCSP." => Later(TLS);
    "_ocsp_cache" HS (1, 1) "off | shared:NAME:SIZE" "off" "A cache of OCSP's answers about clients." => Later(TLS);
    "_ocsp_responder" HS (1, 1) "URL" "" "Who is asked by OCSP about certificates of clients." => Later(TLS);
    "_password_file" HS (1, 1) "FILE" "" "Passphrases of keys." => Later(TLS);
    "_prefer_server_ciphers" HS (1, 1) "on | off" "off" "Whether the server's order of ciphers holds." => Later(TLS);
    "_protocols" HS (1, MANY) "PROTOCOL ..." "TLSv1.2 TLSv1.3" "The protocols." => Later(TLS), repeats;
    "_reject_handshake" HS (1, 1) "on | off" "off" "Whether handshakes are refused." => Later(TLS);
    "_session_cache" HS (1, 2) "off | none | builtin[:NUMBER] [shared:NAME:SIZE]" "none" "Where sessions are kept." => Later(TLS), repeats;
    "_session_ticket_key" HS (1, 1) "FILE" "" "The key of session tickets." => Later(TLS), repeats;
    "_session_tickets" HS (1, 1) "on | off" "on" "Whether there are session tickets." => Later(TLS);
    "_session_timeout" HS (1, 1) "TIME" "5m" "How long a session may be used again." => Later(TLS);
    "_stapling" HS (1, 1) "on | off" "off" "Whether OCSP answers are sent along." => Later(TLS);
    "_stapling_file" HS (1, 1) "FILE" "" "The OCSP answer to send." => Later(TLS);
    "_stapling_responder" HS (1, 1) "URL" "" "Who is asked for the OCSP answer to send along." => Later(TLS);
    "_stapling_verify" HS (1, 1) "on | off" "off" "Whether the OCSP answer to send along is checked." => Later(TLS);
    "_trusted_certificate" HS (1, 1) "FILE" "" "Certificates for checks that clients are not told of." => Later(TLS);
    "_verify_client" HS (1, 1) "on | off | optional | optional_no_ca" "off" "Whether clients must have a certificate." => Later(CHECK);
    "_verify_depth" HS (1, 1) "NUMBER" "1" "How long the chain of a client's certificate may be." => Later(TLS);
};

pub const PROTOCOLS: &[Row] = rows! { ""
    "http2" HS (1, 1) "on | off" "off" "Whether clients may use HTTP/2." => Later(HTTP2);
    "http2_body_preread_size" HS (1, 1) "SIZE" "64k" "How much of a body is taken before it is asked for; without effect." => Tuning(check::size);
    "http2_chunk_size" HSL (1, 1) "SIZE" "8k" "The longest piece of an answer's body; without effect." => Tuning(check::size);
    "http2_idle_timeout" HS (1, 1) "TIME" "3m" "Gone from nginx: `keepalive_timeout` is in its place." => Tuning(check::time), repeats;
    "http2_max_concurrent_pushes" HS (1, 1) "NUMBER" "10" "Gone from nginx." => Tuning(check::number);
    "http2_max_concurrent_streams" HS (1, 1) "NUMBER" "128" "How many requests a connection may have at a time." => Later(HTTP2);
    "http2_max_field_size" HS (1, 1) "SIZE" "4k" "Gone from nginx: `large_client_header_buffers` is in its place." => Tuning(check::size), repeats;
    "http2_max_header_size" HS (1, 1) "SIZE" "16k" "Gone from nginx: `large_client_header_buffers` is in its place." => Tuning(check::size), repeats;
    "http2_max_requests" HS (1, 1) "NUMBER" "1000" "Gone from nginx: `keepalive_requests` is in its place." => Tuning(check::number), repeats;
    "http2_pool_size" HS (1, 1) "SIZE" "4k" "Memory of a connection; without effect." => Tuning(check::size);
    "http2_push" HSL (1, 1) "URI | off" "off" "Gone from nginx: nothing is pushed." => Tuning(check::anything), repeats;
    "http2_push_preload" HSL (1, 1) "on | off" "off" "Gone from nginx: nothing is pushed." => Tuning(check::flag);
    "http2_recv_buffer_size" H (1, 1) "SIZE" "256k" "The buffer of a worker for requests; without effect." => Tuning(check::size);
    "http2_recv_timeout" HS (1, 1) "TIME" "30s" "Gone from nginx: `client_header_timeout` is in its place." => Tuning(check::time), repeats;
    "http2_streams_index_size" HS (1, 1) "NUMBER" "32" "Without effect." => Tuning(check::number);
    "http3" HS (1, 1) "on | off" "on" "Whether clients may use HTTP/3." => Later(HTTP3);
    "http3_hq" HS (1, 1) "on | off" "off" "Whether clients may use HTTP/0.9 over QUIC, for tests." => Later(HTTP3);
    "http3_max_concurrent_streams" HS (1, 1) "NUMBER" "128" "How many requests a connection may have at a time." => Later(HTTP3);
    "http3_stream_buffer_size" HS (1, 1) "SIZE" "64k" "The buffer of a stream; without effect." => Tuning(check::size);
    "quic_active_connection_id_limit" HS (1, 1) "NUMBER" "2" "How many names of a connection are kept; without effect." => Tuning(check::number);
    "quic_bpf" M (1, 1) "on | off" "off" "Whether packets find their worker by eBPF; without effect." => Tuning(check::flag);
    "quic_gso" HS (1, 1) "on | off" "off" "Whether several packets are sent at once; without effect." => Tuning(check::flag);
    "quic_host_key" HS (1, 1) "FILE" "" "The key that tokens are made with." => Later(HTTP3);
    "quic_retry" HS (1, 1) "on | off" "off" "Whether the addresses of clients are checked first." => Later(HTTP3);
};

pub const ACME: &[Row] = rows! { "acme_"
    "certificate" S (1, MANY) "ISSUER [NAME ...] [key=TYPE]" "" "Fetches a certificate for the server." => Later(FETCH), repeats;
    "issuer" H (1, 1) "NAME { ... }" "" "Who certificates are fetched from." => LaterBlock(FETCH), repeats;
    "shared_zone" H (1, 1) "zone=NAME:SIZE" "zone=ngx_acme_shared:256k" "Memory for fetched certificates; without effect." => Tuning(check::anything);
};
