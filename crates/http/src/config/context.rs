//! The blocks of a configuration that a directive may stand in.

use std::fmt;

/// One kind of block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Context {
    /// Outside of all blocks.
    Main = 1,
    Events = 1 << 1,
    Http = 1 << 2,
    Server = 1 << 3,
    /// `if` in a server.
    ServerIf = 1 << 4,
    Location = 1 << 5,
    /// `if` in a location.
    LocationIf = 1 << 6,
    LimitExcept = 1 << 7,
    Upstream = 1 << 8,
    /// `python_app`
    App = 1 << 9,
    /// `match`
    Match = 1 << 10,
}

/// Several kinds of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contexts(u16);

/// The sets that the tables are made of; the letters are those of nginx's documentation.
pub mod sets {
    use super::{Context::*, Contexts};

    pub const M: Contexts = Contexts(Main as u16);
    pub const E: Contexts = Contexts(Events as u16);
    pub const H: Contexts = Contexts(Http as u16);
    pub const S: Contexts = Contexts(Server as u16);
    pub const L: Contexts = Contexts(Location as u16);
    pub const U: Contexts = Contexts(Upstream as u16);
    pub const APP: Contexts = Contexts(App as u16);
    pub const MATCH: Contexts = Contexts(Match as u16);
    pub const HS: Contexts = H.or(S);
    pub const SL: Contexts = S.or(L);
    pub const HSL: Contexts = HS.or(L);
    pub const LI: Contexts = L.or(Contexts(LocationIf as u16));
    pub const LIX: Contexts = LI.or(Contexts(LimitExcept as u16));
    pub const HSLI: Contexts = HS.or(LI);
    pub const HSLIX: Contexts = HS.or(LIX);
    pub const HSLX: Contexts = HSL.or(Contexts(LimitExcept as u16));
    /// Where the rewrite module's commands stand.
    pub const REWRITE: Contexts = SL.or(Contexts(ServerIf as u16 | LocationIf as u16));
    pub const HREWRITE: Contexts = H.or(REWRITE);
    pub const MHSL: Contexts = M.or(HSL);
}

impl Contexts {
    pub const fn or(self, other: Contexts) -> Contexts {
        Contexts(self.0 | other.0)
    }

    pub fn has(self, context: Context) -> bool {
        self.0 & context as u16 != 0
    }

    /// The names, as the documentation has them.
    pub fn names(self) -> Vec<&'static str> {
        const ALL: [(Context, &str); 11] = [
            (Context::Main, "main"),
            (Context::Events, "events"),
            (Context::Http, "http"),
            (Context::Server, "server"),
            (Context::ServerIf, "if in server"),
            (Context::Location, "location"),
            (Context::LocationIf, "if in location"),
            (Context::LimitExcept, "limit_except"),
            (Context::Upstream, "upstream"),
            (Context::App, "python_app"),
            (Context::Match, "match"),
        ];
        ALL.iter().filter(|(context, _)| self.has(*context)).map(|(_, name)| *name).collect()
    }
}

impl fmt::Display for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}
