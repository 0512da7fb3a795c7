//! HTTP/2: what the settings of its section say together.

use super::Exit;
use super::given::Given;
use super::ready::{refuse, split_commas};

/// Whether HTTP/2 is spoken, and with what limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// With clients that choose it in the TLS handshake.
    pub tls: bool,
    /// With clients that begin with it, without TLS.
    pub cleartext: bool,
    /// Streams of a connection at a time.
    pub streams: i64,
    /// Window of a stream, in bytes.
    pub window: i64,
    /// Longest frame, in bytes.
    pub frame: i64,
    /// Largest head, in bytes.
    pub head: i64,
}

/// With TLS it is spoken unless it is left out; without, only if it is asked for.
pub(super) fn http2(given: &mut Given, tls: bool) -> Result<Http2, Exit> {
    let text = given.text("http_protocols").to_ascii_lowercase();
    let named: Vec<&str> = split_commas(&text).collect();
    let refused = |why: String, hint: &str| Err(refuse(given, "http_protocols", why, Some(hint)));
    for (index, protocol) in named.iter().enumerate() {
        match *protocol {
            "h3" => return refused("HTTP/3 is not supported yet".into(), "leave `h3` out"),
            "h1" | "h2" if named[..index].contains(protocol) => {
                return refused(format!("`{protocol}` stands twice"), "once is enough");
            }
            "h1" | "h2" => {}
            other => return refused(format!("`{other}` is no version of HTTP"), "`h1` is HTTP/1.1, `h2` is HTTP/2"),
        }
    }
    if !named.contains(&"h1") && !named.is_empty() {
        return refused("HTTP/1.1 cannot be left out".into(), "write `h2,h1`");
    }
    let with_tls = tls && named.contains(&"h2");
    let prior = "write `prior-knowledge`: clients begin with HTTP/2 at once";
    let cleartext = match given.text("http2_cleartext").to_ascii_lowercase().as_str() {
        "off" | "false" | "no" | "0" | "none" | "" => false,
        "prior-knowledge" | "on" | "true" | "yes" | "1" => true,
        "both" => {
            let place = given.place("http2_cleartext");
            given.warnings.push(format!("{place}: `Upgrade: h2c` is not spoken, which leaves `prior-knowledge`"));
            true
        }
        "upgrade" => {
            return Err(refuse(given, "http2_cleartext", "`Upgrade: h2c` is not spoken", Some(prior)));
        }
        other => {
            let why = format!("`{other}` is not a way of HTTP/2 without TLS");
            return Err(refuse(given, "http2_cleartext", why, Some(prior)));
        }
    };
    Ok(Http2 {
        tls: with_tls,
        cleartext: cleartext || given.switch("http2"),
        streams: given.int("http2_max_concurrent_streams"),
        window: given.int("http2_initial_window_size"),
        frame: given.int("http2_max_frame_size"),
        head: given.int("http2_max_header_list_size"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::line;

    #[test]
    fn http2_comes_with_tls() {
        for (args, on) in [
            ("app", false),
            ("app --certfile c", true),
            ("app --certfile c --http-protocols h1", false),
            ("app --certfile c --http-protocols h2,h1", true),
            ("app --http-protocols h2,h1", false),
            ("app --http2", true),
            ("app --http2-cleartext prior-knowledge", true),
            ("app --http2-cleartext on", true),
            ("app --http2-cleartext off", false),
        ] {
            let http2 = line(args).settings().http2;
            assert_eq!(http2.tls || http2.cleartext, on, "{args}");
        }
        for (args, why) in [
            ("app --http-protocols h2", "HTTP/1.1 cannot be left out\nhint: write `h2,h1`"),
            ("app --http-protocols h1,h3", "HTTP/3 is not supported yet\nhint: leave `h3` out"),
            ("app --http-protocols h1,h1", "`h1` stands twice\nhint: once is enough"),
            ("app --http-protocols spdy", "`spdy` is no version of HTTP\nhint: `h1` is HTTP/1.1, `h2` is HTTP/2"),
        ] {
            assert_eq!(line(args).refused(), (1, format!("daemun: `--http-protocols`: {why}")));
        }
        let why = "`Upgrade: h2c` is not spoken\nhint: write `prior-knowledge`: clients begin with HTTP/2 at once";
        assert_eq!(line("app --http2-cleartext upgrade").refused(), (1, format!("daemun: `--http2-cleartext`: {why}")));
        let http2 = line("app --http2 --http2-max-concurrent-streams 7 --http2-max-frame-size 20000").settings().http2;
        assert_eq!((http2.streams, http2.frame, http2.window, http2.head), (7, 20_000, 65_535, 65_536));
    }
}
