//! What rests on TLS: HTTP/2, HTTP/3, certificates that are fetched.

use super::super::arguments::check;
use super::super::context::sets::*;
use super::super::row::{Action, MANY, Row};
use super::rows;

const HTTP3: &str = "clients are not answered by HTTP/3";
const FETCH: &str = "no certificates are fetched";

pub const PROTOCOLS: &[Row] = rows! { ""
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
