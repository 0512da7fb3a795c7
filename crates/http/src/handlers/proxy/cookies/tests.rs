//! Cookies as nginx 1.22.1 changes them.

use crate::handlers::proxy::tests::mapped;

#[test]
fn what_becomes_of_cookies() {
    let table: &[(&str, &[(&str, &str)])] = &[
        (
            "proxy_cookie_domain old.com new.org;",
            &[
                ("a=1; Domain=old.com", "a=1; Domain=new.org"),
                ("a=1; domain=.old.com; path=/app/x", "a=1; domain=.new.org; path=/app/x"),
                ("a=1;Domain=OLD.com;Path=/app", "a=1; Domain=new.org; Path=/app"),
                ("  c = 3 ; Domain = old.com ; x", "c=3; Domain=new.org; x"),
                ("a=1; domain=old.com; Domain=old.com", "a=1; domain=new.org; Domain=new.org"),
                ("a=1;;  ; Domain=old.com;", "a=1; ; ; Domain=new.org; "),
                ("=x; Domain=old.com", "=x; Domain=new.org"),
                ("a==; Domain=old.com", "a==; Domain=new.org"),
            ],
        ),
        (
            "proxy_cookie_path /app/ /;",
            &[
                ("a=1; domain=.old.com; path=/app/x", "a=1; domain=.old.com; path=/x"),
                (
                    "a=1; expires=Mon, 01 Jan 2001 00:00:00 GMT; path=/app/",
                    "a=1; expires=Mon, 01 Jan 2001 00:00:00 GMT; path=/",
                ),
                ("a=1; Secure=x; path = /app/q", "a=1; Secure=x; path=/q"),
            ],
        ),
        (
            "proxy_cookie_domain ~^(.*)ld\\.com$ $1.$host; proxy_cookie_path ~*^/APP(.*)$ /r$1;",
            &[
                ("a=1;Domain=OLD.com;Path=/app", "a=1; Domain=O.h.example; Path=/r"),
                (
                    "a=1; path=/appx; Secure; HttpOnly; SameSite=Lax; Max-Age=5",
                    "a=1; path=/rx; Secure; HttpOnly; SameSite=Lax; Max-Age=5",
                ),
                ("a=1; domain=.old.com; path=/app/x", "a=1; domain=.o.h.example; path=/r/x"),
            ],
        ),
        (
            "proxy_cookie_domain no yes; proxy_cookie_domain old.com first; proxy_cookie_domain ~old second; proxy_cookie_path /appx /1; proxy_cookie_path /app /2;",
            &[
                ("a=1; Domain=old.com", "a=1; Domain=first"),
                ("a=1; Domain=old.com.au", "a=1; Domain=second"),
                (
                    "a=1; path=/appx; Secure; HttpOnly; SameSite=Lax; Max-Age=5",
                    "a=1; path=/1; Secure; HttpOnly; SameSite=Lax; Max-Age=5",
                ),
                ("a=1; Domain=\"old.com\"", "a=1; Domain=second"),
            ],
        ),
        (
            "proxy_cookie_domain $arg_d $host; proxy_cookie_path / /$arg_p/;",
            &[("a=1; domain=.old.com; path=/app/x", "a=1; domain=.h.example; path=/secure/app/x")],
        ),
        (
            "proxy_cookie_domain .old.com new.org;",
            &[
                ("a=1; domain=.old.com; path=/app/x", "a=1; domain=.new.org; path=/app/x"),
                ("a=1; Domain=old.com", "a=1; Domain=new.org"),
            ],
        ),
        (
            "proxy_cookie_flags a secure httponly samesite=strict;",
            &[
                ("a=1", "a=1; Secure; HttpOnly; SameSite=Strict"),
                (
                    "a=1; path=/appx; Secure; HttpOnly; SameSite=Lax; Max-Age=5",
                    "a=1; path=/appx; Secure; HttpOnly; SameSite=Strict; Max-Age=5",
                ),
                ("a=1; samesite", "a=1; SameSite=Strict; Secure; HttpOnly"),
                ("a=1;;  ; Domain=old.com;", "a=1; ; ; Domain=old.com; ; Secure; HttpOnly; SameSite=Strict"),
                ("a=1; Secure=x; path = /app/q", "a=1; Secure=x; path=/app/q; HttpOnly; SameSite=Strict"),
                ("a=1;\tDomain=old.com", "a=1; \tDomain=old.com; Secure; HttpOnly; SameSite=Strict"),
            ],
        ),
        (
            "proxy_cookie_flags a nosecure nohttponly nosamesite;",
            &[
                ("a=1;Domain=OLD.com;Path=/app", "a=1; Domain=OLD.com; Path=/app"),
                ("a=1; path=/appx; Secure; HttpOnly; SameSite=Lax; Max-Age=5", "a=1; path=/appx; Max-Age=5"),
                ("a=1; samesite=none", "a=1"),
            ],
        ),
        (
            "proxy_cookie_flags ~^[bd]$ samesite; proxy_cookie_flags ~ secure samesite=none;",
            &[
                ("a=1", "a=1; Secure; SameSite=None"),
                ("domain=old.com", "domain=old.com; Secure; SameSite=None"),
                ("=x; Domain=old.com", "=x; Domain=old.com; Secure; SameSite=None"),
                ("a=1; samesite=none", "a=1; samesite=none; Secure"),
                ("  c = 3 ; Domain = old.com ; x", "c=3; Domain=old.com; x; Secure; SameSite=None"),
            ],
        ),
        ("proxy_cookie_flags a foo secure;", &[("a=1", "a=1; Secure"), ("a=1; samesite", "a=1; samesite; Secure")]),
        (
            "proxy_cookie_flags a secure nosecure samesite=lax;",
            &[("a=1", "a=1; Secure; SameSite=Lax"), ("a=1; samesite=none", "a=1; SameSite=Lax; Secure")],
        ),
        (
            "proxy_cookie_flags a samesite=lax samesite=none;",
            &[
                ("a=1", "a=1; SameSite=Lax"),
                (
                    "a=1; path=/appx; Secure; HttpOnly; SameSite=Lax; Max-Age=5",
                    "a=1; path=/appx; Secure; HttpOnly; SameSite=Lax; Max-Age=5; SameSite=None",
                ),
            ],
        ),
        ("proxy_cookie_flags $arg_d $arg_p;", &[("a=1", "a=1; Secure")]),
        (
            "proxy_cookie_flags A SECURE HttpOnly SameSite=Strict;",
            &[
                ("a=1", "a=1; Secure; HttpOnly; SameSite=Strict"),
                ("a=1; samesite=none", "a=1; SameSite=Strict; Secure; HttpOnly"),
            ],
        ),
        (
            "proxy_cookie_domain old.com n; proxy_cookie_flags ~. secure; proxy_cookie_path /app /n;",
            &[
                ("a=1;Domain=OLD.com;Path=/app", "a=1; Domain=n; Path=/n; Secure"),
                ("=x; Domain=old.com", "=x; Domain=n"),
                ("a=1; Domain", "a=1; Domain; Secure"),
            ],
        ),
    ];
    for (proxy, cookies) in table {
        let server = format!("location / {{ proxy_pass http://127.0.0.1:1; {proxy} }}");
        let domain = if proxy.contains("flags $arg_d") { "a" } else { "old.com" };
        for (cookie, expected) in *cookies {
            let head =
                mapped(&server, &format!("/?d={domain}&p=secure"), &format!("200 OK\nSet-Cookie: {cookie}")).head;
            let found = String::from_utf8_lossy(head.find("set-cookie").unwrap_or_default()).into_owned();
            assert_eq!(found, expected.trim(), "{proxy} {cookie}");
        }
    }
}

#[test]
fn cookies_that_no_rule_is_for_stay_as_they_are() {
    let server = "location / { proxy_pass http://127.0.0.1:1; proxy_cookie_domain a b; proxy_cookie_flags c secure; }";
    for cookie in ["a=1;Domain=c", "a", "a=1; Domain", "a=1;;"] {
        let head = mapped(server, "/", &format!("200 OK\nSet-Cookie: {cookie}")).head;
        assert_eq!(head.find("set-cookie"), Some(cookie.as_bytes()), "{cookie}");
    }
}
