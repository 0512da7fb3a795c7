//! Every directive, once: the tables of all files, and finding rows in them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::row::Row;
use super::{core, later, process, structure};
use crate::features::{
    access, addition, auth_basic, auth_request, charset, compression, early_hints, error_page, expires, forwarded, geo,
    headers, http2, limit_conn, limit_req, map, mirror, realip, referer, rewrite, secure_headers, secure_link,
    split_clients, ssi, ssl, sub_filter, userid,
};
use crate::handlers::{app, empty_gif, files, grpc, index, proxy, stub_status};
use crate::upstream::policy::directives as policy;
use crate::{log, upstream};

/// The chapter of what is accepted with a warning.
pub const LATER: &str = "Not supported yet";

/// All tables, each with the title of its chapter in the reference.
pub const CHAPTERS: &[(&str, &[Row])] = &[
    ("Processes", process::ROWS),
    ("Structure", structure::ROWS),
    ("Requests", core::requests::ROWS),
    ("Connections", core::connections::ROWS),
    ("Answers", core::answers::ROWS),
    ("Rewriting", rewrite::ROWS),
    ("Names of servers", upstream::resolve::ROWS),
    ("Health of servers", upstream::health::directives::ROWS),
    ("Answers of healthy servers", upstream::health::matching::ROWS),
    ("Access by address", access::ROWS),
    ("Names and passwords", auth_basic::ROWS),
    ("Access by another location", auth_request::ROWS),
    ("Python applications", app::ROWS),
    ("Additions", addition::ROWS),
    ("Charsets", charset::ROWS),
    ("The empty image", empty_gif::ROWS),
    ("Early hints", early_hints::ROWS),
    ("Error pages", error_page::ROWS),
    ("Expiry", expires::ROWS),
    ("Files", files::ROWS),
    ("Compressed answers", compression::directives::ROWS),
    ("Clients of compressed answers", compression::clients::ROWS),
    ("The client's address", forwarded::ROWS),
    ("Geo", geo::ROWS),
    ("Fields of answers", headers::ROWS),
    ("HTTP/2", http2::ROWS),
    ("Indexes and listings", index::ROWS),
    ("Limits of requests in progress", limit_conn::ROWS),
    ("Limits of requests by time", limit_req::ROWS),
    ("Logs", log::directives::ROWS),
    ("Map", map::ROWS),
    ("The client's address behind a proxy", realip::ROWS),
    ("Mirrors of requests", mirror::ROWS),
    ("Passing requests on by HTTP", proxy::ROWS),
    ("Servers that are asked by HTTP", policy::PROXY_COMMON),
    ("Answers of servers", policy::PROXY_ANSWERS),
    ("Bodies on their way from and to servers", policy::PROXY_BUFFERED),
    ("Passing requests on by gRPC", grpc::ROWS),
    ("Servers that are asked by gRPC", policy::GRPC_COMMON),
    ("Answers by gRPC", policy::GRPC_ANSWERS),
    ("Referers", referer::ROWS),
    ("Secure fields", secure_headers::ROWS),
    ("Secure links", secure_link::ROWS),
    ("Split clients", split_clients::ROWS),
    ("Server side includes", ssi::directives::ROWS),
    ("TLS", ssl::ROWS),
    ("TLS to servers", upstream::tls::PROXY),
    ("TLS to servers by gRPC", upstream::tls::GRPC),
    ("Status", stub_status::ROWS),
    ("Substitutions", sub_filter::ROWS),
    ("Groups of servers", upstream::directives::ROWS),
    ("User identifiers", userid::ROWS),
    (LATER, later::ROWS),
];

/// Chapters whose directives say how an answer is made, and never whether there is one or what makes it: with these
/// alone, a server whose only location has an application needs no phases before it. A new chapter is not among them.
const PLAIN: &[&[Row]] = &[
    process::ROWS,
    structure::ROWS,
    core::requests::ROWS,
    core::connections::ROWS,
    core::answers::ROWS,
    app::ROWS,
    compression::directives::ROWS,
    compression::clients::ROWS,
    error_page::ROWS,
    expires::ROWS,
    files::ROWS,
    forwarded::ROWS,
    headers::ROWS,
    http2::ROWS,
    log::directives::ROWS,
    secure_headers::ROWS,
];

/// What there is in those chapters that does more.
const NOT_PLAIN: [&str; 6] = ["if", "internal", "limit_except", "limit_rate", "limit_rate_after", "try_files"];

/// Whether a directive leaves the way of a request alone.
pub fn is_plain(name: &str) -> bool {
    let known = PLAIN.iter().any(|rows| rows.iter().any(|row| row.name == name));
    known && !NOT_PLAIN.contains(&name)
}

static BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static Row>>> = LazyLock::new(|| {
    let mut all: HashMap<&'static str, Vec<&'static Row>> = HashMap::new();
    for row in rows() {
        all.entry(row.name).or_default().push(row);
    }
    all
});

/// The rows of a name: one for each meaning.
pub fn find(name: &str) -> &'static [&'static Row] {
    BY_NAME.get(name).map(Vec::as_slice).unwrap_or_default()
}

pub fn rows() -> impl Iterator<Item = &'static Row> {
    CHAPTERS.iter().flat_map(|(_, rows)| rows.iter())
}

pub fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|row| row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_complete() {
        for row in rows() {
            assert!(!row.doc.is_empty() && row.doc.ends_with('.'), "{}: a sentence of documentation", row.name);
            assert!(row.arguments.0 <= row.arguments.1, "{}", row.name);
            assert!(!row.contexts.names().is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn a_name_means_one_thing_in_a_block() {
        for (name, rows) in BY_NAME.iter() {
            for (index, one) in rows.iter().enumerate() {
                for other in &rows[index + 1..] {
                    let both: Vec<_> =
                        one.contexts.names().into_iter().filter(|n| other.contexts.names().contains(n)).collect();
                    assert!(both.is_empty(), "{name} stands twice for {both:?}");
                }
            }
        }
    }
}
