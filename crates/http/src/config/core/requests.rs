//! Directives about requests in general: heads, bodies, limits.

use crate::config::arguments;
use crate::config::arguments::check;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::Row;
use crate::config::settings::Satisfy;

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "aio_write",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "It is checked and has no effect here: temporary files are always written at once.",
        Tuning(check::flag),
    ),
    Row::new(
        "client_body_buffer_size",
        HSL,
        (1, 1),
        "SIZE",
        "16k",
        "A request body of up to SIZE bytes is kept in memory; a longer one goes to a temporary file.",
        Set(|s| s.set_size(|x| &mut x.client_body_buffer_size)),
    ),
    Row::new(
        "client_body_in_file_only",
        HSL,
        (1, 1),
        "on | clean | off",
        "off",
        "Whether every request body goes to a file. The argument is checked and has no effect here: such files \
         have no names.",
        Tuning(|it| match arguments::text(it, 0) {
            "on" | "clean" | "off" => Ok(()),
            other => Err(conf::Diagnostic::of(it, format!("invalid value \"{other}\""))),
        }),
    ),
    Row::new(
        "client_body_in_single_buffer",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "It is checked and has no effect here: a body in memory is always in one piece.",
        Tuning(check::flag),
    ),
    Row::new(
        "client_body_temp_path",
        HSL,
        (1, 4),
        "DIRECTORY [LEVEL ...]",
        "the system's temporary directory",
        "The directory for request bodies that do not fit in memory. The files have no names and are gone when \
         they are closed, so the LEVELs of directories mean nothing here.",
        Set(|s| {
            let path = s.path(0);
            for index in 1..s.count() {
                conf::number(s.text(index)).filter(|level| (1..=3).contains(level)).ok_or_else(|| s.invalid())?;
            }
            s.settings().temporary_path = Some(path);
            Ok(())
        }),
    ),
    Row::new(
        "client_body_timeout",
        HSL,
        (1, 1),
        "TIME",
        "60s",
        "How long a client may send nothing in the middle of a request body. Then it is answered 408.",
        Set(|s| s.set_ms(|x| &mut x.client_body_timeout)),
    ),
    Row::new(
        "client_header_buffer_size",
        HS,
        (1, 1),
        "SIZE",
        "1k",
        "The size of the buffer that the lines of a request's head are put into first; see \
         `large_client_header_buffers`.",
        Set(|s| {
            let size = usize::try_from(s.size(0)?).unwrap_or(usize::MAX);
            as_nginx(s, |nginx| nginx.first = size);
            Ok(())
        }),
    ),
    Row::new(
        "client_header_timeout",
        HS,
        (1, 1),
        "TIME",
        "60s",
        "How long a client may take to send the head of a request (the request line and all fields). Then its \
         connection is closed without an answer, and 408 is logged.",
        Set(|s| {
            let ms = s.ms(0)?;
            s.server().client_header_timeout = ms;
            Ok(())
        }),
    ),
    Row::new(
        "client_max_body_size",
        HSL,
        (1, 1),
        "SIZE",
        "1m",
        "The largest request body, for example an upload, in bytes; a larger one is answered 413. `0` is no \
         limit.",
        Set(|s| {
            let size = s.offset(0)?;
            s.settings().client_max_body_size = size;
            Ok(())
        }),
    ),
    Row::new(
        "ignore_invalid_headers",
        HS,
        (1, 1),
        "on | off",
        "on",
        "Whether request fields are left out whose names have other characters than letters, digits and `-` (and \
         `_` with `underscores_in_headers`).",
        Set(|s| {
            let on = s.flag()?;
            as_nginx(s, |nginx| nginx.keep_invalid = !on);
            Ok(())
        }),
    ),
    Row::new(
        "large_client_header_buffers",
        HS,
        (2, 2),
        "NUMBER SIZE",
        "4 8k",
        "The limits of a request's head: its lines are put into the buffer of `client_header_buffer_size` and then into \
         up to NUMBER of SIZE bytes. A request line that does not fit into one is answered 414, a longer field 400, and \
         so is a head that does not fit into all of them.",
        Set(|s| {
            let (number, size) = arguments::buffers(s.it)?;
            let limits = &mut s.server().limits;
            let bytes = usize::try_from(size).unwrap_or(usize::MAX);
            match &mut limits.nginx {
                Some(nginx) => {
                    nginx.buffer = bytes;
                    nginx.buffers = usize::try_from(number).unwrap_or(usize::MAX);
                }
                None => {
                    limits.line = bytes;
                    limits.field_size = bytes;
                    limits.head =
                        usize::try_from(size.saturating_mul(number)).unwrap_or(usize::MAX).saturating_add(1024);
                }
            }
            Ok(())
        }),
    ),
    Row::new(
        "max_headers",
        HS,
        (1, 1),
        "NUMBER",
        "1000",
        "How many fields the head of a request may have; more are answered 400.",
        Set(|s| {
            let n = s.number(0)? as usize;
            s.server().limits.fields = n;
            Ok(())
        }),
    ),
    Row::new(
        "merge_slashes",
        HS,
        (1, 1),
        "on | off",
        "on",
        "Whether several slashes next to each other in a path count as one: `//a///b` is `/a/b`.",
        Set(|s| {
            let on = s.flag()?;
            s.server().merge_slashes = on;
            Ok(())
        }),
    ),
    Row::new(
        "request_pool_size",
        HS,
        (1, 1),
        "SIZE",
        "4k",
        "It is checked and has no effect here: memory of a request is not pooled.",
        Tuning(check::size),
    ),
    Row::new(
        "satisfy",
        HSL,
        (1, 1),
        "all | any",
        "all",
        "Whether `all` of the rules about who may come in (`allow` and `deny`, `auth_basic`, `auth_request`) must \
         let a request pass, or `any` one is enough.",
        Set(|s| {
            let value = s.one_of(0, &[("all", Satisfy::All), ("any", Satisfy::Any)])?;
            s.settings().satisfy = value;
            Ok(())
        }),
    ),
    Row::new(
        "server_names_hash_bucket_size",
        H,
        (1, 1),
        "SIZE",
        "64",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
    Row::new(
        "server_names_hash_max_size",
        H,
        (1, 1),
        "NUMBER",
        "512",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
    Row::new(
        "underscores_in_headers",
        HS,
        (1, 1),
        "on | off",
        "off",
        "Whether request fields with `_` in their names are accepted; otherwise they are invalid, see \
         `ignore_invalid_headers`.",
        Set(|s| {
            let on = s.flag()?;
            as_nginx(s, |nginx| nginx.underscores = on);
            Ok(())
        }),
    ),
    Row::new(
        "variables_hash_bucket_size",
        H,
        (1, 1),
        "SIZE",
        "64",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
    Row::new(
        "variables_hash_max_size",
        H,
        (1, 1),
        "NUMBER",
        "1024",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
];

/// Changes how heads are read, unless it is by the book: with `defaults modern` only fields with good names are taken,
/// and `_` is good.
fn as_nginx(s: &mut crate::config::build::Setter<'_>, change: impl FnOnce(&mut wire::h1::AsNginx)) {
    if let Some(nginx) = &mut s.server().limits.nginx {
        change(nginx);
    }
}
