//! `mirror`: locations that get every request, too. What they answer is not looked at.

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;

/// What holds in a block.
#[derive(Clone)]
pub struct Settings {
    /// The URIs that requests are mirrored to; empty = they are not.
    pub uris: Arc<[Box<str>]>,
    /// Mirrored requests have the body; it is read before they are made.
    pub request_body: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { uris: Arc::default(), request_body: true }
    }
}

impl Settings {
    pub fn is_on(&self) -> bool {
        !self.uris.is_empty()
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "mirror",
        HSL,
        (1, 1),
        "URI | off",
        "off",
        "A location that gets every request, too; what it answers is ignored. It may stand several times.",
        Set(mirror),
    )
    .repeats(),
    Row::new(
        "mirror_request_body",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether the location of `mirror` gets the request's body, which is then read before anything else is done with it.",
        Set(|s| s.set_flag(|settings| &mut settings.mirror.request_body)),
    ),
];

fn mirror(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let (uri, first) = (s.text(0).to_owned(), s.first);
    let before = if first { Arc::default() } else { s.block.settings.mirror.uris.clone() };
    if !first && (uri == "off" || before.is_empty()) {
        return Err(s.wrong("\"mirror\" directive is duplicate"));
    }
    let own = (uri != "off").then(|| Box::from(uri.as_str()));
    s.settings().mirror.uris = before.iter().cloned().chain(own).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Place};

    fn build(server: &str) -> Result<Config, String> {
        let text = format!("http {{ mirror /all; server {{ {server} }} }}");
        let tree = conf::parse_alone("test", &text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let built = Config::build(&tree, &Place::default());
        built.map(|built| built.config).map_err(|problems| problems[0].message.clone())
    }

    #[test]
    fn what_is_said_in_a_block_takes_the_place_of_what_is_around_it() {
        for (server, uris) in [
            ("", &["/all"][..]),
            ("mirror /a; mirror /b;", &["/a", "/b"]),
            ("mirror off;", &[]),
            ("mirror $uri;", &["$uri"]),
        ] {
            let config = build(server).unwrap();
            let settings = &config.locations[config.servers[0].location as usize].settings.mirror;
            assert_eq!(settings.uris.iter().map(|uri| &**uri).collect::<Vec<_>>(), uris, "{server}");
        }
        for server in ["mirror off; mirror /a;", "mirror /a; mirror off;", "mirror off; mirror off;"] {
            assert_eq!(build(server).err().as_deref(), Some("\"mirror\" directive is duplicate"), "{server}");
        }
    }
}
