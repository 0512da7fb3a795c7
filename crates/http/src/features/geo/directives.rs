//! The directive `geo`, and the variable that it makes.

use std::net::IpAddr;
use std::sync::Arc;

use conf::{Diagnostic, Directive};

use super::{Builder, Geo};
use crate::config::arguments;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Table;
use crate::config::row::Row;
use crate::exchange::Peer;
use crate::variables::{Scope, Source, Template};

/// A variable that follows from an address.
pub struct Variable {
    /// The address; `None`: the client's.
    address: Option<Template>,
    table: Geo,
    pub volatile: bool,
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new("geo", H, (1, 2), "[$ADDRESS] $VARIABLE { NETWORK VALUE; ... }", "",
        "The variable's value is that of the smallest network with the client's address (or that of another variable) in it. `default`, \
         `delete NETWORK`, `proxy NETWORK`, `proxy_recursive`, `ranges`, `volatile` and `include` mean what they do in nginx.",
        Table(geo)).repeats(),
];

fn geo(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let last = s.count() - 1;
    let name = arguments::new_variable(s.it, last)?;
    let address = if last == 1 {
        arguments::variable(s.it, 0)?;
        Some(s.template(0)?)
    } else {
        None
    };
    let mut builder = Builder::default();
    let mut volatile = false;
    for line in s.it.block.iter().flatten() {
        match entry(&mut builder, line, &mut volatile) {
            Ok(warnings) => {
                for warning in warnings {
                    s.make.warn(Diagnostic::of(line, warning));
                }
            }
            Err(message) => s.make.problems.push(Diagnostic::of(line, message)),
        }
    }
    let variable = Variable { address, table: builder.finish(), volatile };
    s.make.registry.define(&name, Source::Geo(Arc::new(variable)), &s.it.name.at);
    Ok(())
}

fn entry(builder: &mut Builder, line: &Directive, volatile: &mut bool) -> Result<Vec<String>, String> {
    let name = line.name.text.as_str();
    match &line.args[..] {
        [] => match name {
            "ranges" => builder.ranges().map(|()| Vec::new()),
            "proxy_recursive" => {
                builder.proxy_recursive();
                Ok(Vec::new())
            }
            "volatile" => {
                *volatile = true;
                Ok(Vec::new())
            }
            _ => Err("invalid number of the geo parameters".to_owned()),
        },
        [value] => match name {
            "default" => builder.set_default(&value.text),
            "delete" => builder.delete(&value.text),
            "proxy" => builder.proxy(&value.text),
            network => builder.add(network, &value.text),
        },
        _ => Err("invalid number of the geo parameters".to_owned()),
    }
}

impl Variable {
    /// Appends the value.
    pub fn write(&self, scope: &mut Scope<'_>, out: &mut Vec<u8>) -> bool {
        let address = match &self.address {
            Some(template) => {
                let text = template.value(scope);
                std::str::from_utf8(&text).ok().and_then(|text| text.parse::<IpAddr>().ok())
            }
            None => self.client(scope),
        };
        out.extend_from_slice(self.table.find(address).as_bytes());
        true
    }

    /// The client's address, or the one that a proxy speaks for.
    fn client(&self, scope: &Scope<'_>) -> Option<IpAddr> {
        let Peer::Inet(peer) = scope.request.peer else { return None };
        let proxies = self.table.proxies();
        let mut address = peer.ip();
        let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address.to_canonical()));
        if proxies.is_empty() || !trusted(address) {
            return Some(address);
        }
        for value in scope.request.field_values("x-forwarded-for").into_iter().rev() {
            for part in value.rsplit(|&byte| byte == b',') {
                let text = std::str::from_utf8(part.trim_ascii()).ok();
                let Some(next) = text.and_then(|text| text.parse::<IpAddr>().ok()) else { return Some(address) };
                address = next;
                if !self.table.proxy_recursive() || !trusted(address) {
                    return Some(address);
                }
            }
        }
        Some(address)
    }
}
