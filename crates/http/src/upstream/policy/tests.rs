//! What is wrong with the directives of a policy, in nginx's words, and what blocks inherit.

use super::{Buffering, Ignored, Next, Policy};
use crate::config::{Config, Place};

fn build(http: &str) -> Result<Config, Vec<String>> {
    let tree =
        conf::parse_alone("test", &format!("http {{ {http} }}")).unwrap_or_else(|problems| panic!("{problems:?}"));
    let built = Config::build(&tree, &Place::default());
    built.map(|built| built.config).map_err(|problems| problems.into_iter().map(|problem| problem.message).collect())
}

#[test]
fn sizes_go_together() {
    let busy = "\"proxy_busy_buffers_size\" must be less than the size of all \"proxy_buffers\" minus one buffer";
    let both = "must be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"";
    let policy = |change: fn(&mut Policy)| {
        let mut policy = Policy { buffer_size: 4096, buffers: (8, 4096), ..Policy::default() };
        change(&mut policy);
        super::directives::fit("proxy_", &policy).err().unwrap_or_default()
    };
    assert_eq!(policy(|_| {}), "");
    assert_eq!(policy(|it| it.buffers = (1, 8192)), "there must be at least 2 \"proxy_buffers\"");
    assert_eq!(policy(|it| it.buffers = (2, 4096)), busy);
    assert_eq!(policy(|it| it.buffers = (3, 4096)), "");
    assert_eq!(policy(|it| it.buffer_size = 16384), busy);
    assert_eq!(policy(|it| it.buffer_size = 1), "");
    assert_eq!(policy(|it| it.busy_buffers = Some(1024)), format!("\"proxy_busy_buffers_size\" {both}"));
    assert_eq!(policy(|it| it.busy_buffers = Some(28 * 1024)), "");
    assert_eq!(policy(|it| it.busy_buffers = Some(29 * 1024)), busy);
    assert_eq!(policy(|it| it.temp_file_write = Some(1024)), format!("\"proxy_temp_file_write_size\" {both}"));
    let most = policy(|it| it.max_temp_file_size = 1024);
    assert!(
        most.starts_with(
            "\"proxy_max_temp_file_size\" must be equal to zero to disable temporary files usage or must be"
        )
    );
    assert_eq!(policy(|it| it.max_temp_file_size = 0), "");
}

#[test]
fn what_is_wrong() {
    for (http, why) in [
        ("proxy_buffers 1 64k; server { }", "there must be at least 2 \"proxy_buffers\""),
        (
            "server { location / { proxy_busy_buffers_size 1; } }",
            "\"proxy_busy_buffers_size\" must be equal to or greater than the \
            maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"",
        ),
        ("proxy_buffers 0 8k;", "\"proxy_buffers\" directive invalid value"),
        ("proxy_max_temp_file_size x;", "\"proxy_max_temp_file_size\" directive invalid value"),
        ("proxy_next_upstream error foo;", "invalid value \"foo\""),
        ("proxy_next_upstream http_501;", "invalid value \"http_501\""),
        ("grpc_next_upstream http_501;", "invalid value \"http_501\""),
        ("proxy_ignore_headers X-Accel-Redirect Foo;", "invalid value \"Foo\""),
        ("proxy_bind foo;", "invalid address \"foo\""),
        ("proxy_bind 127.0.0.1 foo;", "invalid parameter \"foo\""),
        ("proxy_bind off transparent;", "invalid address \"off\""),
        ("proxy_limit_rate x;", "\"proxy_limit_rate\" directive invalid value"),
        (
            "proxy_buffering maybe;",
            "invalid value \"maybe\" in \"proxy_buffering\" directive, it must be \"on\" or \"off\"",
        ),
        ("proxy_read_timeout x;", "\"proxy_read_timeout\" directive invalid value"),
        ("proxy_next_upstream_tries x;", "\"proxy_next_upstream_tries\" directive invalid number"),
        ("proxy_temp_path /tmp/x x;", "\"proxy_temp_path\" directive invalid value"),
        ("proxy_no_cache $;", "invalid variable name"),
        ("proxy_read_timeout 1; proxy_read_timeout 2;", "\"proxy_read_timeout\" directive is duplicate"),
    ] {
        let problems = build(http).err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem == why), "{http}: {problems:?}");
    }
    // Sizes are checked where they hold, not where they are said.
    build("proxy_busy_buffers_size 64k; server { proxy_buffers 20 8k; }").unwrap();
    for fine in [
        "proxy_bind [::1]:80; server { proxy_bind off; }",
        "proxy_bind $remote_addr transparent;",
        "proxy_no_cache $uri; proxy_cache_bypass 0 $uri;",
    ] {
        build(fine).unwrap();
    }
}

#[test]
fn what_blocks_inherit() {
    let config = build(
        "proxy_read_timeout 5s; proxy_hide_header A; proxy_hide_header b; proxy_pass_header Date; proxy_next_upstream http_500;
         proxy_next_upstream timeout; proxy_ignore_headers Vary; proxy_buffering off; proxy_bind 127.0.0.1; proxy_limit_rate 1k;
         server { location /one { proxy_hide_header C; proxy_send_timeout 7s; proxy_next_upstream off; proxy_limit_rate 0; }
                  location /two { } }",
    )
    .unwrap();
    let policy =
        |name: &str| &config.locations.iter().find(|location| &*location.name == name).unwrap().settings.proxy.policy;
    let (one, two) = (policy("/one"), policy("/two"));
    assert_eq!((one.read_timeout, one.send_timeout, one.connect_timeout), (5_000, 7_000, 60_000));
    assert!(one.hides(b"C") && !one.hides(b"a") && two.hides(b"a") && two.hides(b"B") && !two.hides(b"c"));
    assert!(
        !one.hides(b"date") && one.hides(b"Server") && one.hides(b"X-Accel-Redirect") && !one.hides(b"X-Accel-Foo")
    );
    assert!(two.next.has(Next::HTTP_500) && two.next.has(Next::TIMEOUT) && !two.next.has(Next::ERROR));
    assert!(!one.next.has(Next::HTTP_500.with(Next::ERROR)));
    assert!(two.ignored.has(Ignored::VARY) && !two.ignored.has(Ignored::EXPIRES));
    assert_eq!((two.buffering, two.bind.is_some()), (Buffering::Off, true));
    assert!(two.limit_rate.is_some() && one.limit_rate.is_none());
}
