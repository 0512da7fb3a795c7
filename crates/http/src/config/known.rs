//! Directives of nginx, and of modules that are common beside it, that are known and not there: a configuration that has
//! one is told what to use, not only that the name is unknown. What has a row in `table` does not belong here.

/// The hint for a directive that is known and not there.
pub fn hint(name: &str) -> Option<&'static str> {
    let at = KNOWN.binary_search_by_key(&name, |known| known.0).ok()?;
    Some(KNOWN[at].1)
}

const MAIL: &str = "mail proxying is not there: keep nginx, or a mail server's own proxy, for it";
const STREAM: &str = "TCP and UDP proxying is not there: keep nginx or HAProxy for the `stream` block";
const DAV: &str = "WebDAV is not there: let the application take PUT, DELETE and MKCOL";
const XSLT: &str = "XSLT is not there: transform XML in the application";
const IMAGE: &str = "images are not transformed: resize them when they are stored, or in the application";
const PERL: &str = "there is no Perl in here: use `python_pass`";
const JS: &str = "there is no JavaScript in here: use `python_pass`, `map` or `rewrite`";
const LUA: &str = "there is no Lua in here: use `python_pass`, `map` or `rewrite`";
const GEOIP: &str = "databases of addresses are not read: list the networks in a `geo` block";
const MEMCACHED: &str = "memcached is not asked: let the application do it, or use `proxy_cache`";
const MEDIA: &str = "media files are served as files, with ranges: remove it, players seek with those";
const SEGMENTS: &str = "media files are not cut into segments: prepare them with a packager";
const TOKENS: &str = "tokens are not checked here: check them in the application, or with `auth_request`";
const API: &str = "there is no such interface: use `stub_status` and the access log";
const PROBES: &str = "peers are not probed: use `max_fails` and `fail_timeout`";
const KEYVAL: &str = "there is no table that changes at run time: use `map` with an included file and reload";
const SESSION: &str = "sessions are not logged: write $request_id or a cookie into the access log";
const ZONE_SYNC: &str = "shared memory is not kept in step between machines: remove it";
const PEERS: &str = "not there in an `upstream` block: remove it, or use `hash`";
const SPDY: &str = "SPDY is gone: use `http2 on`";
const BROWSER: &str = "browsers are not told apart by age: use `map $http_user_agent`";
const DEGRADATION: &str = "memory is not watched here: limit it with the service manager";
const HTTP3: &str = "HTTP/3 is not there: remove it and `quic` from `listen`; clients use HTTP/2";
const OTEL: &str = "traces are not sent: trace in the application";
const HEADERS: &str = "use `add_header`, or `proxy_hide_header`";
const REQUEST_HEADERS: &str = "use `proxy_set_header`";
const ECHO: &str = "use `return` or `python_pass`";
const FANCYINDEX: &str = "use `autoindex`";
const SUBS: &str = "use `sub_filter`";
const PASSENGER: &str = "applications are started by `python_pass`";
const MODSECURITY: &str = "there is no such firewall in here: put one before it";
const STATUS: &str = "use `stub_status` and the access log";
const RTMP: &str = "video is not taken in here: keep another server for RTMP";
const UPLOAD: &str = "let the application take uploads";

/// Name and hint, by name.
pub const KNOWN: &[(&str, &str)] = &[
    ("access_by_lua", LUA),
    ("access_by_lua_block", LUA),
    ("access_by_lua_file", LUA),
    ("ancient_browser", BROWSER),
    ("ancient_browser_value", BROWSER),
    ("api", API),
    ("auth_http", MAIL),
    ("auth_http_header", MAIL),
    ("auth_http_pass_client_cert", MAIL),
    ("auth_http_timeout", MAIL),
    ("auth_jwt", TOKENS),
    ("auth_jwt_claim_set", TOKENS),
    ("auth_jwt_header_set", TOKENS),
    ("auth_jwt_key_cache", TOKENS),
    ("auth_jwt_key_file", TOKENS),
    ("auth_jwt_key_request", TOKENS),
    ("auth_jwt_leeway", TOKENS),
    ("auth_jwt_require", TOKENS),
    ("auth_jwt_type", TOKENS),
    ("auth_oidc", TOKENS),
    ("auth_require", TOKENS),
    ("balancer_by_lua_block", LUA),
    ("balancer_by_lua_file", LUA),
    ("body_filter_by_lua", LUA),
    ("body_filter_by_lua_block", LUA),
    ("body_filter_by_lua_file", LUA),
    ("check", STATUS),
    ("check_status", STATUS),
    ("content_by_lua", LUA),
    ("content_by_lua_block", LUA),
    ("content_by_lua_file", LUA),
    ("create_full_put_path", DAV),
    ("dav_access", DAV),
    ("dav_ext_lock", DAV),
    ("dav_ext_lock_zone", DAV),
    ("dav_ext_methods", DAV),
    ("dav_methods", DAV),
    ("debug_points", "it is for debugging nginx itself: remove it"),
    ("degradation", DEGRADATION),
    ("degrade", DEGRADATION),
    ("echo", ECHO),
    ("echo_duplicate", ECHO),
    ("echo_exec", ECHO),
    ("echo_location", ECHO),
    ("echo_sleep", ECHO),
    ("f4f", SEGMENTS),
    ("f4f_buffer_size", SEGMENTS),
    ("fancyindex", FANCYINDEX),
    ("fancyindex_default_sort", FANCYINDEX),
    ("fancyindex_exact_size", FANCYINDEX),
    ("fancyindex_footer", FANCYINDEX),
    ("fancyindex_header", FANCYINDEX),
    ("fancyindex_ignore", FANCYINDEX),
    ("fancyindex_localtime", FANCYINDEX),
    ("fancyindex_name_length", FANCYINDEX),
    ("flv", MEDIA),
    ("geoip2", GEOIP),
    ("geoip2_proxy", GEOIP),
    ("geoip2_proxy_recursive", GEOIP),
    ("geoip_city", GEOIP),
    ("geoip_country", GEOIP),
    ("geoip_org", GEOIP),
    ("geoip_proxy", GEOIP),
    ("geoip_proxy_recursive", GEOIP),
    ("google_perftools_profiles", "it is for profiling nginx itself: remove it"),
    ("header_filter_by_lua", LUA),
    ("header_filter_by_lua_block", LUA),
    ("header_filter_by_lua_file", LUA),
    ("health_check_timeout", PROBES),
    ("hls", SEGMENTS),
    ("hls_buffers", SEGMENTS),
    ("hls_forward_args", SEGMENTS),
    ("hls_fragment", SEGMENTS),
    ("hls_mp4_buffer_size", SEGMENTS),
    ("hls_mp4_max_buffer_size", SEGMENTS),
    ("http3_max_table_capacity", HTTP3),
    ("image_filter", IMAGE),
    ("image_filter_buffer", IMAGE),
    ("image_filter_interlace", IMAGE),
    ("image_filter_jpeg_quality", IMAGE),
    ("image_filter_sharpen", IMAGE),
    ("image_filter_transparency", IMAGE),
    ("image_filter_webp_quality", IMAGE),
    ("imap_auth", MAIL),
    ("imap_capabilities", MAIL),
    ("imap_client_buffer", MAIL),
    ("init_by_lua", LUA),
    ("init_by_lua_block", LUA),
    ("init_by_lua_file", LUA),
    ("init_worker_by_lua", LUA),
    ("init_worker_by_lua_block", LUA),
    ("init_worker_by_lua_file", LUA),
    ("js_access", JS),
    ("js_body_filter", JS),
    ("js_content", JS),
    ("js_context_reuse", JS),
    ("js_context_reuse_max_size", JS),
    ("js_engine", JS),
    ("js_fetch_buffer_size", JS),
    ("js_fetch_ciphers", JS),
    ("js_fetch_keepalive", JS),
    ("js_fetch_keepalive_requests", JS),
    ("js_fetch_keepalive_time", JS),
    ("js_fetch_keepalive_timeout", JS),
    ("js_fetch_max_response_buffer_size", JS),
    ("js_fetch_protocols", JS),
    ("js_fetch_proxy", JS),
    ("js_fetch_timeout", JS),
    ("js_fetch_trusted_certificate", JS),
    ("js_fetch_verify", JS),
    ("js_fetch_verify_depth", JS),
    ("js_filter", JS),
    ("js_header_filter", JS),
    ("js_import", JS),
    ("js_include", JS),
    ("js_load_http_native_module", JS),
    ("js_load_stream_native_module", JS),
    ("js_path", JS),
    ("js_periodic", JS),
    ("js_preload_object", JS),
    ("js_preread", JS),
    ("js_set", JS),
    ("js_shared_dict_zone", JS),
    ("js_var", JS),
    ("keyval", KEYVAL),
    ("keyval_zone", KEYVAL),
    ("log_by_lua", LUA),
    ("log_by_lua_block", LUA),
    ("log_by_lua_file", LUA),
    ("lua_code_cache", LUA),
    ("lua_need_request_body", LUA),
    ("lua_package_cpath", LUA),
    ("lua_package_path", LUA),
    ("lua_shared_dict", LUA),
    ("lua_socket_log_errors", LUA),
    ("mail", MAIL),
    ("max_errors", MAIL),
    ("memcached_force_ranges", MEMCACHED),
    ("mgmt", API),
    ("min_delete_depth", DAV),
    ("modern_browser", BROWSER),
    ("modern_browser_value", BROWSER),
    ("modsecurity", MODSECURITY),
    ("modsecurity_rules", MODSECURITY),
    ("modsecurity_rules_file", MODSECURITY),
    ("modsecurity_rules_remote", MODSECURITY),
    ("modsecurity_transaction_id", MODSECURITY),
    ("more_clear_headers", HEADERS),
    ("more_clear_input_headers", REQUEST_HEADERS),
    ("more_set_headers", HEADERS),
    ("more_set_input_headers", REQUEST_HEADERS),
    ("mp4", MEDIA),
    ("mp4_buffer_size", MEDIA),
    ("mp4_limit_rate", MEDIA),
    ("mp4_limit_rate_after", MEDIA),
    ("mp4_max_buffer_size", MEDIA),
    ("mp4_start_key_frame", MEDIA),
    ("ntlm", PEERS),
    ("oidc_provider", TOKENS),
    ("opentracing", OTEL),
    ("opentracing_load_tracer", OTEL),
    ("pagespeed", "pages are not rewritten here: remove it"),
    ("pass", STREAM),
    ("passenger_app_root", PASSENGER),
    ("passenger_app_type", PASSENGER),
    ("passenger_base_uri", PASSENGER),
    ("passenger_enabled", PASSENGER),
    ("passenger_python", PASSENGER),
    ("passenger_root", PASSENGER),
    ("passenger_ruby", PASSENGER),
    ("passenger_startup_file", PASSENGER),
    ("perl", PERL),
    ("perl_modules", PERL),
    ("perl_require", PERL),
    ("perl_set", PERL),
    ("pop3_auth", MAIL),
    ("pop3_capabilities", MAIL),
    ("preread_buffer_size", STREAM),
    ("preread_timeout", STREAM),
    ("protocol", MAIL),
    ("quic_stream_buffer_size", HTTP3),
    ("rewrite_by_lua", LUA),
    ("rewrite_by_lua_block", LUA),
    ("rewrite_by_lua_file", LUA),
    ("rtmp", RTMP),
    ("rtmp_control", RTMP),
    ("rtmp_stat", RTMP),
    ("session_log", SESSION),
    ("session_log_format", SESSION),
    ("session_log_zone", SESSION),
    ("set_by_lua", LUA),
    ("set_by_lua_block", LUA),
    ("set_by_lua_file", LUA),
    ("smtp_auth", MAIL),
    ("smtp_capabilities", MAIL),
    ("smtp_client_buffer", MAIL),
    ("smtp_greeting_delay", MAIL),
    ("spdy_chunk_size", SPDY),
    ("spdy_headers_comp", SPDY),
    ("spdy_keepalive_timeout", SPDY),
    ("spdy_pool_size", SPDY),
    ("spdy_recv_buffer_size", SPDY),
    ("spdy_recv_timeout", SPDY),
    ("spdy_streams_index_size", SPDY),
    ("starttls", MAIL),
    ("status_format", API),
    ("status_zone", API),
    ("sticky_cookie_insert", PEERS),
    ("stream", STREAM),
    ("subs_filter", SUBS),
    ("subs_filter_bypass", SUBS),
    ("subs_filter_types", SUBS),
    ("upload_cleanup", UPLOAD),
    ("upload_pass", UPLOAD),
    ("upload_progress", UPLOAD),
    ("upload_set_form_field", UPLOAD),
    ("upload_store", UPLOAD),
    ("vhost_traffic_status", STATUS),
    ("vhost_traffic_status_display", STATUS),
    ("vhost_traffic_status_display_format", STATUS),
    ("vhost_traffic_status_zone", STATUS),
    ("xclient", MAIL),
    ("xml_entities", XSLT),
    ("xslt_last_modified", XSLT),
    ("xslt_param", XSLT),
    ("xslt_string_param", XSLT),
    ("xslt_stylesheet", XSLT),
    ("xslt_types", XSLT),
    ("zone_sync", ZONE_SYNC),
    ("zone_sync_buffers", ZONE_SYNC),
    ("zone_sync_connect_retry_interval", ZONE_SYNC),
    ("zone_sync_connect_timeout", ZONE_SYNC),
    ("zone_sync_interval", ZONE_SYNC),
    ("zone_sync_recv_buffer_size", ZONE_SYNC),
    ("zone_sync_server", ZONE_SYNC),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_stand_once() {
        for pair in KNOWN.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        assert!(KNOWN.iter().all(|(_, hint)| !hint.is_empty() && !hint.ends_with('.')));
    }

    #[test]
    fn what_has_a_row_is_not_here() {
        for row in crate::config::table::rows() {
            assert_eq!(hint(row.name), None, "{}", row.name);
        }
        assert_eq!(hint("debug_points"), Some("it is for debugging nginx itself: remove it"));
        assert_eq!(hint("server_nmae"), None);
    }
}
