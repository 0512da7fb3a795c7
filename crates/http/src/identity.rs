//! What the program calls itself: in the Server field, on error pages, in messages.

use std::sync::OnceLock;

use crate::config::settings::Tokens;

/// The version of nginx whose behaviour this follows.
pub const NGINX_VERSION: &str = "1.31.5";

static NGINX: OnceLock<bool> = OnceLock::new();

/// Says, once and before anything is served, whether the program was called as `nginx`.
pub fn set(nginx: bool) {
    let _ = NGINX.set(nginx);
}

/// Whether the program was called as `nginx`.
pub fn is_nginx() -> bool {
    *NGINX.get().unwrap_or(&false)
}

/// `daemun` or `nginx`.
pub fn name() -> &'static str {
    if is_nginx() { "nginx" } else { "daemun" }
}

/// The Server field's value.
pub fn server(tokens: Tokens) -> &'static str {
    match (tokens, is_nginx()) {
        (Tokens::Off, _) => name(),
        (_, true) => "nginx/1.31.5",
        (_, false) => concat!("daemun/", env!("CARGO_PKG_VERSION")),
    }
}
