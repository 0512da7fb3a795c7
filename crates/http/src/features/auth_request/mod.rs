//! `auth_request`: another location says whether a request is let in. What it answers is asked for by the phases.

use std::sync::Arc;

use conf::Diagnostic;

use crate::config::arguments;
use crate::config::build::Setter;
use crate::config::context::sets::*;
use crate::config::row::Action::Set;
use crate::config::row::Row;
use crate::exchange::ResponseHead;
use crate::variables::{Scope, Source, Template, VarId};

/// What holds in a block.
#[derive(Clone, Default)]
pub struct Settings {
    /// Whom to ask.
    uri: Option<Arc<[u8]>>,
    set: Arc<Vec<Assignment>>,
}

/// `auth_request_set`
#[derive(Clone)]
struct Assignment {
    target: Target,
    value: Template,
}

#[derive(Clone, Copy)]
enum Target {
    Own(VarId),
    Args,
    LimitRate,
}

impl Settings {
    pub fn is_on(&self) -> bool {
        self.uri.is_some()
    }

    /// The path of the location that decides.
    pub fn uri(&self) -> Option<&[u8]> {
        self.uri.as_deref()
    }
}

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "auth_request",
        HSL,
        (1, 1),
        "URI | off",
        "off",
        "Asks the location of URI whether a request is let in, by a request of the same fields and without a body: a \
         status of 2xx lets it in, 401 and 403 refuse it, any other is an error (500). An application may answer there; \
         the location is best `internal`.",
        Set(|s| {
            let uri = s.text(0);
            let uri = (uri != "off").then(|| uri.as_bytes().into());
            s.settings().auth_request.uri = uri;
            Ok(())
        }),
    ),
    Row::new(
        "auth_request_set",
        HSL,
        (2, 2),
        "$VARIABLE VALUE",
        "",
        "Gives a variable a value when the location of `auth_request` has answered. In VALUE `$upstream_http_NAME`, \
         `$upstream_cookie_NAME` and `$upstream_status` are of that answer.",
        Set(assign),
    )
    .repeats(),
];

fn assign(s: &mut Setter<'_>) -> Result<(), Diagnostic> {
    let name = arguments::variable(s.it, 0)?.to_ascii_lowercase();
    let target = match name.as_str() {
        "args" => Target::Args,
        "limit_rate" => Target::LimitRate,
        name if crate::variables::is_built_in(name) => {
            return Err(s.wrong(format!("the duplicate \"{name}\" variable")));
        }
        name => Target::Own(s.make.registry.define(name, Source::Given, &s.it.name.at)),
    };
    let value = s.template(1)?;
    let first = s.first;
    let set = &mut s.settings().auth_request.set;
    if first {
        *set = Arc::default();
    }
    Arc::make_mut(set).push(Assignment { target, value });
    Ok(())
}

/// Values for the variables of a request, not given to it yet.
pub struct Values(Vec<(Target, Vec<u8>)>);

/// Computes the values where `answered` has been answered with this head.
pub fn values(settings: &Settings, answered: &mut Scope<'_>, head: &ResponseHead) -> Values {
    let compute =
        |assignment: &Assignment| (assignment.target, answered.with_head(head, |scope| assignment.value.value(scope)));
    Values(settings.set.iter().map(compute).collect())
}

/// Gives them to the request that is to be let in or not.
pub fn set(scope: &mut Scope<'_>, values: Values) {
    for (target, value) in values.0 {
        match target {
            Target::Own(id) => scope.assign(id, value),
            Target::Args => scope.request.route.args = Some(value),
            Target::LimitRate => {
                let rate = std::str::from_utf8(&value).ok().and_then(conf::size);
                if rate.is_some() {
                    scope.request.route.limit_rate = rate;
                } else {
                    let value = String::from_utf8_lossy(&value);
                    scope.request.error(scope.config, scope.log, format_args!("invalid $limit_rate \"{value}\""));
                }
            }
        }
    }
}
