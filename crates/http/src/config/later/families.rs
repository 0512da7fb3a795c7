//! Directives that pass requests on. Their names come in families: what `proxy_read_timeout` is for HTTP,
//! `fastcgi_read_timeout` is for FastCGI. What families have in common is written once.

use super::super::arguments::check;
use super::super::context::Contexts;
use super::super::context::sets::*;
use super::super::row::{Action, MANY, Row};
use super::rows;
use crate::upstream::policy::table::{answers, buffered, common, later};

/// Where `tunnel_pass` stands.
const SLI: Contexts = S.or(LI);

const ANSWER: &str = "requests here are answered 502";
const PASS: &str = "requests are not passed on";
const CACHE: &str = "answers are not cached";
const STORE: &str = "answers are not stored";

/// Caches and stores, of the families whose answers may be kept.
macro_rules! kept {
    ($prefix:literal) => { rows! { $prefix
        "cache" HSL (1, 1) "ZONE | off" "off" "The cache that answers are kept in." => Later(CACHE);
        "cache_background_update" HSL (1, 1) "on | off" "off" "Whether a stale answer is sent while a fresh one is fetched." => Later(CACHE);
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
        "store" HSL (1, 1) "on | off | FILE" "off" "Whether answers are stored as files." => Later(STORE);
        "store_access" HSL (1, 3) "WHO:RIGHTS ..." "user:rw" "The access rights of stored files." => Later(STORE);
    } };
}

pub const PROXY_KEPT: &[Row] = kept!("proxy_");
pub const PROXY: &[Row] = rows! { "proxy_"
    "cache_convert_head" HSL (1, 1) "on | off" "on" "Whether HEAD is made GET for the cache." => Later(CACHE);
};

pub const FASTCGI_COMMON: &[Row] = common!(later "fastcgi_" fastcgi);
pub const FASTCGI_ANSWERS: &[Row] = answers!(later "fastcgi_" fastcgi);
pub const FASTCGI_BUFFERED: &[Row] = buffered!(later "fastcgi_" fastcgi);
pub const FASTCGI_KEPT: &[Row] = kept!("fastcgi_");
pub const FASTCGI: &[Row] = rows! { "fastcgi_"
    "catch_stderr" HSL (1, 1) "STRING" "" "Errors with STRING in them count as a failure of the server." => Later(PASS), repeats;
    "index" HSL (1, 1) "FILE" "" "What is added to paths that end with a slash." => Later(PASS);
    "keep_conn" HSL (1, 1) "on | off" "off" "Whether servers are asked to keep connections." => Later(PASS);
    "param" HSL (2, 3) "NAME VALUE [if_not_empty]" "" "A parameter that servers get." => Later(PASS), repeats;
    "pass" LI (1, 1) "ADDRESS" "" "Passes requests on to a server, by FastCGI." => Later(ANSWER);
    "send_lowat" HSL (1, 1) "SIZE" "0" "Without effect." => Tuning(check::size);
    "split_path_info" HSL (1, 1) "REGEX" "" "Splits a path into script name and path info." => Later(PASS), repeats;
};

pub const UWSGI_COMMON: &[Row] = common!(later "uwsgi_" uwsgi);
pub const UWSGI_ANSWERS: &[Row] = answers!(later "uwsgi_" uwsgi);
pub const UWSGI_BUFFERED: &[Row] = buffered!(later "uwsgi_" uwsgi);
pub const UWSGI_KEPT: &[Row] = kept!("uwsgi_");
pub const UWSGI: &[Row] = rows! { "uwsgi_"
    "modifier1" HSL (1, 1) "NUMBER" "0" "The first modifier of packets." => Later(PASS);
    "modifier2" HSL (1, 1) "NUMBER" "0" "The second modifier of packets." => Later(PASS);
    "param" HSL (2, 3) "NAME VALUE [if_not_empty]" "" "A parameter that servers get." => Later(PASS), repeats;
    "pass" LI (1, 1) "[suwsgi://]ADDRESS" "" "Passes requests on to a server, by uwsgi." => Later(ANSWER);
    "string" HSL (1, 1) "STRING" "" "What servers get after the parameters." => Later(PASS);
};

pub const SCGI_COMMON: &[Row] = common!(later "scgi_" scgi);
pub const SCGI_ANSWERS: &[Row] = answers!(later "scgi_" scgi);
pub const SCGI_BUFFERED: &[Row] = buffered!(later "scgi_" scgi);
pub const SCGI_KEPT: &[Row] = kept!("scgi_");
pub const SCGI: &[Row] = rows! { "scgi_"
    "param" HSL (2, 3) "NAME VALUE [if_not_empty]" "" "A parameter that servers get." => Later(PASS), repeats;
    "pass" LI (1, 1) "ADDRESS" "" "Passes requests on to a server, by SCGI." => Later(ANSWER);
};

pub const MEMCACHED_COMMON: &[Row] = common!(later "memcached_" memcached);
pub const MEMCACHED: &[Row] = rows! { "memcached_"
    "gzip_flag" HSL (1, 1) "NUMBER" "" "The flag of values that are compressed." => Later(PASS);
    "pass" LI (1, 1) "ADDRESS" "" "Answers with the value of $memcached_key." => Later(ANSWER);
};

pub const TUNNEL_COMMON: &[Row] = common!(later "tunnel_" tunnel);
pub const TUNNEL: &[Row] = rows! { "tunnel_"
    "pass" SLI (0, 1) "[ADDRESS]" "" "Connects clients that ask with CONNECT to where they want." => Later(ANSWER);
    "send_lowat" HSL (1, 1) "SIZE" "0" "Without effect." => Tuning(check::size);
};
