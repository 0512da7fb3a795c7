//! Directives about answers in general: types, files, redirects, what the server says of itself.

use std::sync::Arc;

use crate::config::arguments;
use crate::config::arguments::check;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Table, Tuning};
use crate::config::row::Row;
use crate::config::settings::{IfModifiedSince, Tokens};
use crate::handlers::files;

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "absolute_redirect",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether redirects that the server makes itself name scheme and host (`http://host/path/`); with `off` \
         they are only the path.",
        Set(|s| s.set_flag(|x| &mut x.absolute_redirect)),
    ),
    Row::new(
        "aio",
        HSL,
        (1, 1),
        "on | off | threads[=POOL]",
        "off",
        "Reading of files in the background. The argument is checked and has no effect here: files are sent by \
         sendfile or from memory.",
        Tuning(|it| match arguments::text(it, 0) {
            "on" | "off" => Ok(()),
            word if word == "threads" || word.starts_with("threads=") => Ok(()),
            _ => Err(conf::Diagnostic::of(it, "\"aio\" directive invalid value")),
        }),
    ),
    Row::new(
        "auth_delay",
        HSL,
        (1, 1),
        "TIME",
        "0s",
        "How long an answer of status 401 is held back, against guessing of passwords.",
        Set(|s| s.set_ms(|x| &mut x.auth_delay)),
    ),
    Row::new(
        "chunked_transfer_encoding",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether answers whose length is not known in advance may be sent in chunks (HTTP/1.1). With `off` the \
         connection is closed to show where such an answer ends.",
        Set(|s| s.set_flag(|x| &mut x.chunked_transfer_encoding)),
    ),
    Row::new(
        "date_header",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether answers have a Date field.",
        Set(|s| s.set_flag(|x| &mut x.date_header)),
    ),
    Row::new(
        "default_type",
        HSL,
        (1, 1),
        "MEDIA-TYPE",
        "text/plain",
        "The media type (Content-Type) of files whose extension is not in `types`.",
        Set(|s| {
            let text = s.text(0).into();
            s.settings().default_type = text;
            Ok(())
        }),
    ),
    Row::new(
        "directio",
        HSL,
        (1, 1),
        "SIZE | off",
        "off",
        "It is checked and has no effect here: files are always read by way of the page cache.",
        Tuning(|it| if arguments::text(it, 0) == "off" { Ok(()) } else { check::offset(it) }),
    ),
    Row::new(
        "directio_alignment",
        HSL,
        (1, 1),
        "SIZE",
        "512",
        "It is checked and has no effect here: see `directio`.",
        Tuning(check::offset),
    ),
    Row::new(
        "etag",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether answers with files have an ETag field, by which a client can ask whether its copy is still good.",
        Set(|s| s.set_flag(|x| &mut x.etag)),
    ),
    Row::new(
        "if_modified_since",
        HSL,
        (1, 1),
        "off | exact | before",
        "exact",
        "How the date that a client sends with its copy of a file (If-Modified-Since) is compared with that of \
         the file: `exact`, they must be equal for 304; `before`, the file must not be newer; `off`, the date is \
         ignored.",
        Set(|s| {
            let value = s.one_of(
                0,
                &[
                    ("off", IfModifiedSince::Off),
                    ("exact", IfModifiedSince::Exact),
                    ("before", IfModifiedSince::Before),
                ],
            )?;
            s.settings().if_modified_since = value;
            Ok(())
        }),
    ),
    Row::new(
        "log_not_found",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether requests for files that do not exist are reported in the error log.",
        Set(|s| s.set_flag(|x| &mut x.log_not_found)),
    ),
    Row::new(
        "log_subrequest",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether subrequests, such as the parts of a page with SSI, have lines of their own in the access log.",
        Set(|s| s.set_flag(|x| &mut x.log_subrequest)),
    ),
    Row::new(
        "max_ranges",
        HSL,
        (1, 1),
        "NUMBER",
        "no limit",
        "How many parts of a file a client may ask for in one request. With more the whole file is sent; `0` \
         allows none.",
        Set(|s| {
            let n = s.number(0)?;
            s.settings().max_ranges = Some(u32::try_from(n).unwrap_or(u32::MAX));
            Ok(())
        }),
    ),
    Row::new(
        "msie_padding",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether error pages for old Microsoft browsers get a comment that makes them at least 512 bytes long, \
         because those show pages of their own for shorter ones.",
        Set(|s| s.set_flag(|x| &mut x.msie_padding)),
    ),
    Row::new(
        "msie_refresh",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "It is checked and has no effect here: redirects are redirects for all browsers.",
        Tuning(check::flag),
    ),
    Row::new(
        "output_buffers",
        HSL,
        (2, 2),
        "NUMBER SIZE",
        "2 32k",
        "It is checked and has no effect here: buffers for reading files come from a pool.",
        Tuning(check::buffers),
    ),
    Row::new(
        "port_in_redirect",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether redirects that the server makes itself name the port.",
        Set(|s| s.set_flag(|x| &mut x.port_in_redirect)),
    ),
    Row::new(
        "read_ahead",
        HSL,
        (1, 1),
        "SIZE",
        "0",
        "It is checked and has no effect here: reading ahead is the kernel's choice.",
        Tuning(check::size),
    ),
    Row::new(
        "recursive_error_pages",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether an error while an `error_page` is made may lead to another `error_page`.",
        Set(|s| s.set_flag(|x| &mut x.recursive_error_pages)),
    ),
    Row::new(
        "sendfile",
        HSLI,
        (1, 1),
        "on | off",
        "off",
        "Whether the kernel copies files straight to the connection (sendfile). Here small files are sent from \
         memory and large ones by the kernel, either way.",
        Set(|s| s.set_flag(|x| &mut x.sendfile)),
    ),
    Row::new(
        "sendfile_max_chunk",
        HSL,
        (1, 1),
        "SIZE",
        "2m",
        "It is checked and has no effect here: one call of sendfile sends at most 2 MB.",
        Tuning(check::size),
    ),
    Row::new(
        "server_header",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "Whether answers have a Server field.",
        Set(|s| s.set_flag(|x| &mut x.server_header)),
    ),
    Row::new(
        "server_name_in_redirect",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether redirects that the server makes itself name the first `server_name`; otherwise it is the host \
         that the client asked for.",
        Set(|s| s.set_flag(|x| &mut x.server_name_in_redirect)),
    ),
    Row::new(
        "server_tokens",
        HSL,
        (1, 1),
        "on | off | build",
        "on",
        "Whether the version is told in the Server field and on error pages; `build` adds the name of the build.",
        Set(|s| {
            let value = s.one_of(0, &[("on", Tokens::On), ("off", Tokens::Off), ("build", Tokens::Build)])?;
            s.settings().server_tokens = value;
            Ok(())
        }),
    ),
    Row::new(
        "subrequest_output_buffer_size",
        HSL,
        (1, 1),
        "SIZE",
        "8k",
        "It is checked and has no effect here: answers of subrequests are kept whole.",
        Tuning(check::size),
    ),
    Row::new(
        "types",
        HSL,
        (0, 0),
        "{ MEDIA-TYPE EXTENSION ...; }",
        "text/html, image/gif, image/jpeg",
        "Which media type (Content-Type) a file has, by the extension of its name. A block replaces the types of \
         the block around it.",
        Table(types),
    )
    .repeats(),
    Row::new(
        "types_hash_bucket_size",
        HSL,
        (1, 1),
        "SIZE",
        "64",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
    Row::new(
        "types_hash_max_size",
        HSL,
        (1, 1),
        "NUMBER",
        "1024",
        "It is checked and has no effect here: tables grow by themselves.",
        Tuning(check::number),
    ),
];

fn types(s: &mut crate::config::build::Setter<'_>) -> Result<(), conf::Diagnostic> {
    let mut types = if s.first { files::Types::empty() } else { (*s.block.settings.types).clone() };
    for line in s.it.block.iter().flatten() {
        for extension in &line.args {
            if let Some(before) = types.insert(&extension.text, &line.name.text) {
                let message = format!(
                    "duplicate extension \"{}\", content type: \"{}\", previous content type: \"{before}\"",
                    extension.text, line.name.text
                );
                s.make.warn(conf::Diagnostic::of(line, message));
            }
        }
    }
    s.settings().types = Arc::new(types);
    Ok(())
}
