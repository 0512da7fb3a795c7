//! A configuration from its text to what the server runs with: whatever it says, it is built or refused.
#![no_main]

use std::sync::LazyLock;

use http::config::{Config, Place};
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place {
    prefix: "/nowhere/prefix".into(),
    conf: "/nowhere/conf".into(),
    access_log: Some("logs/access.log".into()),
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Names of hosts would be looked up.
    if names_a_host(text) {
        return;
    }
    let read = conf::read("fuzz", text, &mut conf::NoFiles);
    match Config::build(&read.tree, &PLACE) {
        Ok(built) => {
            let config = built.config;
            for (index, _) in config.listens.iter().enumerate() {
                let (_, settings) = config.first_settings(index);
                assert!(settings.max_body() > 0);
            }
            for location in &config.locations {
                assert!((location.server as usize) < config.servers.len());
            }
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == conf::Severity::Emerg));
            assert!(problems.iter().all(|problem| !problem.nginx().is_empty()));
        }
    }
});

/// Whether an address of a socket or of a log could be a name.
fn names_a_host(text: &str) -> bool {
    let plain = |word: &str| {
        let address = word.trim_start_matches(['"', '\'']).strip_prefix("syslog:server=").unwrap_or(word);
        address.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '[' | '*' | '/' | '$' | '.' | '-'))
            || address.starts_with("unix:")
            || address.starts_with("logs/")
            || matches!(address, "off" | "stderr")
    };
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let takes = ["listen", "error_log", "access_log"].iter().any(|name| word.contains(name));
        if (takes && words.clone().next().is_some_and(|next| !plain(next))) || word.contains("syslog:") {
            return true;
        }
    }
    false
}
