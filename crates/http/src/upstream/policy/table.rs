//! The directives of a policy, once for all families of names: what `proxy_read_timeout` is for HTTP,
//! `fastcgi_read_timeout` is for FastCGI. A family is live, or its rows are of what is not supported yet.

/// Rows of a live family: the settings of `$family` have a policy. Without a setter a row does what stands after `|`.
macro_rules! live {
    ($prefix:literal $family:ident $($name:literal ($least:expr, $most:expr) $syntax:literal $default:literal $doc:literal
        => $set:ident | $action:ident($what:expr) $(, $repeats:ident)?;)*) => {
        &[$($crate::config::row::Row::new(
            concat!($prefix, $name), $crate::config::context::sets::HSL, ($least, $most), $syntax, $default, $doc,
            $crate::config::row::Action::Set(|s| $crate::upstream::policy::directives::$set(s, |settings| {
                let family = std::sync::Arc::make_mut(&mut settings.$family);
                std::sync::Arc::make_mut(&mut family.policy)
            })))
            $(.$repeats())?),*]
    };
}

/// Rows of a family that is not supported yet.
macro_rules! later {
    ($prefix:literal $family:ident $($name:literal ($least:expr, $most:expr) $syntax:literal $default:literal $doc:literal
        => $set:ident | $action:ident($what:expr) $(, $repeats:ident)?;)*) => {
        &[$($crate::config::row::Row::new(
            concat!($prefix, $name), $crate::config::context::sets::HSL, ($least, $most), $syntax, $default, $doc,
            $crate::config::row::Action::$action($what))
            $(.$repeats())?),*]
    };
}

/// What every family has.
macro_rules! common {
    ($how:ident $prefix:literal $family:ident) => { $how! { $prefix $family
        "allow_upstream" (1, MANY) "STRING ..." "" "A server is asked only if no STRING is empty or `0`." => allow | Later(PASS), repeats;
        "bind" (1, 2) "ADDRESS[:PORT] [transparent] | off" "" "The local address that connections come from." => bind | Later(PASS);
        "bind_dynamic" (1, 1) "on | off" "off" "Whether the local address is found anew for each connection." => bind_dynamic | Later(PASS);
        "buffer_size" (1, 1) "SIZE" "4k" "The buffer for an answer's head; a head that does not fit is answered 502." => buffer_size | Tuning(check::size);
        "connect_timeout" (1, 1) "TIME" "60s" "How long connecting to a server may take." => connect_timeout | Later(PASS);
        "next_upstream" (1, MANY) "error | timeout | invalid_header | http_500 | http_502 | http_503 | http_504 | http_403 | http_404 | http_429 | non_idempotent | denied | off ..." "error timeout"
            "After which failures the next server is asked. Requests that are not idempotent (POST, LOCK, PATCH) are sent to another server only with `non_idempotent`."
            => next_upstream | Later(PASS), repeats;
        "next_upstream_timeout" (1, 1) "TIME" "0" "For how long next servers are asked; 0 = no limit." => next_upstream_timeout | Later(PASS);
        "next_upstream_tries" (1, 1) "NUMBER" "0" "How many servers are asked; 0 = no limit." => next_upstream_tries | Later(PASS);
        "read_timeout" (1, 1) "TIME" "60s" "How long a server may send nothing." => read_timeout | Later(PASS);
        "send_timeout" (1, 1) "TIME" "60s" "How long a server may take nothing." => send_timeout | Later(PASS);
        "socket_keepalive" (1, 1) "on | off" "off" "Whether TCP keep-alive is on for connections to servers." => socket_keepalive | Later(PASS);
    } };
}

/// What the families have whose answers are HTTP's.
macro_rules! answers {
    ($how:ident $prefix:literal $family:ident) => { $how! { $prefix $family
        "hide_header" (1, 1) "FIELD" "" "A field of the answer that clients do not get." => hide_header | Later(PASS), repeats;
        "ignore_headers" (1, MANY) "FIELD ..." "" "Fields of the answer that are not obeyed: `X-Accel-Redirect`, `X-Accel-Expires`, `X-Accel-Limit-Rate`, `X-Accel-Buffering`, `X-Accel-Charset`, `Expires`, `Cache-Control`, `Set-Cookie`, `Vary`." => ignore_headers | Later(PASS), repeats;
        "intercept_errors" (1, 1) "on | off" "off" "Whether answers of status 300 and more are shown by `error_page`." => intercept_errors | Later(PASS);
        "pass_header" (1, 1) "FIELD" "" "A field of the answer that clients get although they usually do not: Date, Server, X-Pad, X-Accel-*." => pass_header | Later(PASS), repeats;
        "request_dynamic" (1, 1) "on | off" "off" "Whether the request is made anew for each server that is asked." => request_dynamic | Later(PASS);
    } };
}

/// What the families have whose answers may be kept: in memory, in files.
macro_rules! buffered {
    ($how:ident $prefix:literal $family:ident) => { $how! { $prefix $family
        "buffering" (1, 1) "on | off | auto" "on" "Whether answers are taken from the server as fast as it sends. `auto`: yes, but for streams of events, which are passed on as they come; the default with `defaults modern;`." => buffering | Later(PASS);
        "buffers" (2, 2) "NUMBER SIZE" "8 4k" "Memory for an answer." => buffers | Tuning(check::buffers);
        "busy_buffers_size" (1, 1) "SIZE" "8k" "How much of an answer in memory may be on its way to the client." => busy_buffers_size | Tuning(check::size);
        "cache_bypass" (1, MANY) "STRING ..." "" "The cache does not answer if a STRING is neither empty nor `0`. There is no cache yet." => conditions | Tuning(check::anything), repeats;
        "force_ranges" (1, 1) "on | off" "off" "Whether ranges are made of any answer." => force_ranges | Later(PASS);
        "ignore_client_abort" (1, 1) "on | off" "off" "Whether a server may finish although the client is gone." => ignore_client_abort | Later(PASS);
        "limit_rate" (1, 1) "RATE" "0" "Bytes a second that answers are read with; 0 = no limit." => limit_rate | Later(PASS);
        "max_temp_file_size" (1, 1) "SIZE" "1024m" "How much of an answer may go to a file; 0 = none of it." => max_temp_file_size | Tuning(check::size);
        "no_cache" (1, MANY) "STRING ..." "" "The answer is not cached if a STRING is neither empty nor `0`. There is no cache yet." => conditions | Tuning(check::anything), repeats;
        "pass_request_body" (1, 1) "on | off" "on" "Whether servers get the request's body." => pass_request_body | Later(PASS);
        "pass_request_headers" (1, 1) "on | off" "on" "Whether servers get the request's fields." => pass_request_headers | Later(PASS);
        "request_buffering" (1, 1) "on | off" "on" "Whether a request's body is read whole before it is passed on." => request_buffering | Later(PASS);
        "temp_file_write_size" (1, 1) "SIZE" "8k" "How much is written to a file at once." => temp_file_write_size | Tuning(check::size);
        "temp_path" (1, 4) "DIRECTORY [LEVEL ...]" "" "Where answers go that do not fit in memory. Files there have no names, so levels are without effect." => temp_path | Tuning(check::anything);
    } };
}

pub(crate) use {answers, buffered, common, later, live};
