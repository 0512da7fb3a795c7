//! The directives of a policy: what each of them sets. Their table is in `table`.

use std::sync::Arc;

use conf::Diagnostic;

use super::table::{answers, buffered, common, live};
use super::{Bind, Buffering, Ignored, Next, Policy};
use crate::config::arguments;
use crate::config::build::{Maker, Setter};
use crate::config::row::{MANY, Row};
use crate::config::settings::Settings;
use crate::upstream::spec::literal;
use crate::variables::Template;

pub const PROXY_COMMON: &[Row] = common!(live "proxy_" proxy);
pub const PROXY_ANSWERS: &[Row] = answers!(live "proxy_" proxy);
pub const PROXY_BUFFERED: &[Row] = buffered!(live "proxy_" proxy);
pub const GRPC_COMMON: &[Row] = common!(live "grpc_" grpc);
pub const GRPC_ANSWERS: &[Row] = answers!(live "grpc_" grpc);

/// Where the settings of a block have the policy of a family.
type Place = fn(&mut Settings) -> &mut Policy;

type Done = Result<(), Diagnostic>;

/// A setter for a flag, a time in ms, a size in bytes.
macro_rules! simple {
    ($($name:ident $kind:ident $field:ident;)*) => { $(
        pub fn $name(s: &mut Setter<'_>, place: Place) -> Done {
            place(s.settings()).$field = simple!($kind s);
            Ok(())
        }
    )* };
    (flag $s:ident) => { $s.flag()? };
    (time $s:ident) => { $s.ms(0)? };
}

simple! {
    bind_dynamic flag bind_dynamic;
    connect_timeout time connect_timeout;
    force_ranges flag force_ranges;
    ignore_client_abort flag ignore_client_abort;
    intercept_errors flag intercept_errors;
    next_upstream_timeout time next_timeout;
    pass_request_body flag pass_request_body;
    pass_request_headers flag pass_request_headers;
    pass_trailers flag pass_trailers;
    read_timeout time read_timeout;
    request_buffering flag request_buffering;
    request_dynamic flag request_dynamic;
    send_timeout time send_timeout;
    socket_keepalive flag socket_keepalive;
}

/// What the arguments of a directive are as texts with variables; those of several directives in a block add up.
fn templates(s: &mut Setter<'_>, before: &[Template]) -> Result<Arc<[Template]>, Diagnostic> {
    let mut all = if s.first { Vec::new() } else { before.to_vec() };
    for index in 0..s.count() {
        all.push(s.template(index)?);
    }
    Ok(all.into())
}

pub fn allow(s: &mut Setter<'_>, place: Place) -> Done {
    let before = place(s.settings()).allow.clone();
    place(s.settings()).allow = templates(s, &before)?;
    Ok(())
}

/// Conditions that nothing asks for: they are read, so that what is wrong with them is told.
pub fn conditions(s: &mut Setter<'_>, _: Place) -> Done {
    templates(s, &[]).map(drop)
}

pub fn bind(s: &mut Setter<'_>, place: Place) -> Done {
    let transparent = s.count() == 2;
    if s.text(0) == "off" && !transparent {
        place(s.settings()).bind = None;
        return Ok(());
    }
    let address = s.template(0)?;
    if let Some(fixed) = address.as_fixed() {
        local_address(fixed).ok_or_else(|| s.wrong(format!("invalid address \"{}\"", s.text(0))))?;
    }
    if transparent && s.text(1) != "transparent" {
        return Err(s.wrong(format!("invalid parameter \"{}\"", s.text(1))));
    }
    place(s.settings()).bind = Some(Arc::new(Bind { address, transparent }));
    Ok(())
}

/// `ADDRESS`, `IPV4:PORT` or `[IPV6]:PORT`; without a port it is 0, which stands for any.
pub fn local_address(text: &[u8]) -> Option<std::net::SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    literal(bare).map(|ip| (ip, 0).into()).or_else(|| text.parse().ok())
}

pub fn buffering(s: &mut Setter<'_>, place: Place) -> Done {
    let value = match s.text(0) {
        "auto" => Buffering::Auto,
        _ if s.flag()? => Buffering::On,
        _ => Buffering::Off,
    };
    place(s.settings()).buffering = value;
    Ok(())
}

/// A size is said here: `check` tells if it does not go with the others.
fn sized<'s>(s: &'s mut Setter<'_>, place: Place) -> &'s mut Policy {
    let at = s.it.name.at.clone();
    let policy = place(Arc::make_mut(&mut s.block.settings));
    policy.sizes_at = Some(at);
    policy
}

fn bytes(s: &Setter<'_>, index: usize) -> Result<usize, Diagnostic> {
    usize::try_from(s.size(index)?).map_err(|_| s.invalid())
}

pub fn buffer_size(s: &mut Setter<'_>, place: Place) -> Done {
    let size = bytes(s, 0)?;
    sized(s, place).buffer_size = size;
    Ok(())
}

pub fn buffers(s: &mut Setter<'_>, place: Place) -> Done {
    let (number, size) = arguments::buffers(s.it)?;
    let both = usize::try_from(number).ok().zip(usize::try_from(size).ok()).ok_or_else(|| s.invalid())?;
    sized(s, place).buffers = both;
    Ok(())
}

pub fn busy_buffers_size(s: &mut Setter<'_>, place: Place) -> Done {
    let size = bytes(s, 0)?;
    sized(s, place).busy_buffers = Some(size);
    Ok(())
}

pub fn temp_file_write_size(s: &mut Setter<'_>, place: Place) -> Done {
    let size = bytes(s, 0)?;
    sized(s, place).temp_file_write = Some(size);
    Ok(())
}

pub fn max_temp_file_size(s: &mut Setter<'_>, place: Place) -> Done {
    let size = s.size(0)?;
    sized(s, place).max_temp_file_size = size;
    Ok(())
}

pub fn temp_path(s: &mut Setter<'_>, place: Place) -> Done {
    for level in 1..s.count() {
        conf::number(s.text(level)).ok_or_else(|| s.invalid())?;
    }
    let path = s.path(0);
    place(s.settings()).temp_path = Some(Arc::new(path));
    Ok(())
}

pub fn limit_rate(s: &mut Setter<'_>, place: Place) -> Done {
    let rate = s.template(0)?;
    let fixed = match rate.as_fixed() {
        Some(_) => Some(s.size(0)?),
        None => None,
    };
    place(s.settings()).limit_rate = (fixed != Some(0)).then(|| Arc::new(rate));
    Ok(())
}

pub fn next_upstream_tries(s: &mut Setter<'_>, place: Place) -> Done {
    let tries = s.number(0)?;
    place(s.settings()).next_tries = u32::try_from(tries).unwrap_or(u32::MAX);
    Ok(())
}

/// What the arguments of a directive name, of `words`, to which `before` was named in the block already. A word that is
/// there twice is warned of.
fn set_of<T: Copy + PartialEq>(
    s: &mut Setter<'_>,
    words: &[(&str, T)],
    mut set: T,
    with: fn(T, T) -> T,
) -> Result<T, Diagnostic> {
    for word in &s.it.args {
        let known = words.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word.text));
        let Some((_, value)) = known else {
            return Err(s.wrong(format!("invalid value \"{}\"", word.text)));
        };
        let more = with(set, *value);
        if more == set {
            let warning = s.wrong(format!("duplicate value \"{}\"", word.text));
            s.make.warn(warning);
        }
        set = more;
    }
    Ok(set)
}

pub fn next_upstream(s: &mut Setter<'_>, place: Place) -> Done {
    const WORDS: &[(&str, Next)] = &[
        ("error", Next::ERROR),
        ("timeout", Next::TIMEOUT),
        ("invalid_header", Next::INVALID_HEADER),
        ("non_idempotent", Next::NON_IDEMPOTENT),
        ("http_500", Next::HTTP_500),
        ("http_502", Next::HTTP_502),
        ("http_503", Next::HTTP_503),
        ("http_504", Next::HTTP_504),
        ("http_403", Next::HTTP_403),
        ("http_404", Next::HTTP_404),
        ("http_429", Next::HTTP_429),
        ("updating", Next::UPDATING),
        ("denied", Next::DENIED),
        ("off", Next::OFF),
    ];
    let before = if s.first { Next::NOTHING } else { place(s.settings()).next };
    place(s.settings()).next = set_of(s, WORDS, before, Next::with)?;
    Ok(())
}

pub fn ignore_headers(s: &mut Setter<'_>, place: Place) -> Done {
    const WORDS: &[(&str, Ignored)] = &[
        ("X-Accel-Redirect", Ignored::ACCEL_REDIRECT),
        ("X-Accel-Expires", Ignored::ACCEL_EXPIRES),
        ("X-Accel-Limit-Rate", Ignored::ACCEL_LIMIT_RATE),
        ("X-Accel-Buffering", Ignored::ACCEL_BUFFERING),
        ("X-Accel-Charset", Ignored::ACCEL_CHARSET),
        ("Expires", Ignored::EXPIRES),
        ("Cache-Control", Ignored::CACHE_CONTROL),
        ("Set-Cookie", Ignored::SET_COOKIE),
        ("Vary", Ignored::VARY),
    ];
    let before = if s.first { Ignored::default() } else { place(s.settings()).ignored };
    place(s.settings()).ignored = set_of(s, WORDS, before, Ignored::with)?;
    Ok(())
}

/// A name is added to a list; the first one in a block begins it anew.
fn listed(list: &mut Arc<[Box<str>]>, first: bool, name: &str) {
    let before = if first { &[][..] } else { &list[..] };
    *list = before.iter().cloned().chain([name.to_ascii_lowercase().into()]).collect();
}

pub fn hide_header(s: &mut Setter<'_>, place: Place) -> Done {
    let (name, first) = (s.text(0).to_owned(), s.first);
    listed(&mut place(s.settings()).hide, first, &name);
    Ok(())
}

pub fn pass_header(s: &mut Setter<'_>, place: Place) -> Done {
    let (name, first) = (s.text(0).to_owned(), s.first);
    listed(&mut place(s.settings()).pass, first, &name);
    Ok(())
}

/// Checks the sizes of every location against each other, where they were said. What is wrong is told once, at the
/// place where the last of them was said.
pub fn check(make: &mut Maker) {
    let mut told: Vec<conf::At> = Vec::new();
    let mut problems = Vec::new();
    for location in &make.locations {
        let policy = &location.settings.proxy.policy;
        let Some(at) = &policy.sizes_at else { continue };
        if let Err(why) = fit("proxy_", policy)
            && !told.contains(at)
        {
            told.push(at.clone());
            problems.push(Diagnostic::new(at.clone(), why));
        }
    }
    make.problems.extend(problems);
}

/// Whether the sizes go together; the error is nginx's.
pub fn fit(prefix: &str, policy: &Policy) -> Result<(), String> {
    let both = format!("the maximum of the value of \"{prefix}buffer_size\" and one of the \"{prefix}buffers\"");
    let (number, size) = policy.buffers;
    let (largest, busy) = (policy.largest_buffer(), policy.busy_buffers_size());
    if number < 2 {
        return Err(format!("there must be at least 2 \"{prefix}buffers\""));
    }
    if busy < largest {
        return Err(format!("\"{prefix}busy_buffers_size\" must be equal to or greater than {both}"));
    }
    if busy > (number - 1).saturating_mul(size) {
        return Err(format!(
            "\"{prefix}busy_buffers_size\" must be less than the size of all \"{prefix}buffers\" minus one buffer"
        ));
    }
    if policy.temp_file_write_size() < largest {
        return Err(format!("\"{prefix}temp_file_write_size\" must be equal to or greater than {both}"));
    }
    if policy.max_temp_file_size != 0 && policy.max_temp_file_size < largest as u64 {
        return Err(format!(
            "\"{prefix}max_temp_file_size\" must be equal to zero to disable temporary files usage or must be equal \
             to or greater than {both}"
        ));
    }
    Ok(())
}
