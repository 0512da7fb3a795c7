//! Directives about connections in general: how long they live, how fast they are written to.

use std::sync::Arc;

use crate::config::arguments::check;
use crate::config::context::sets::*;
use crate::config::row::Action::{Set, Tuning};
use crate::config::row::Row;
use crate::config::settings::{KeepAliveDisable, Lingering};

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "connection_pool_size",
        HS,
        (1, 1),
        "SIZE",
        "256",
        "It is checked and has no effect here: memory of a connection is not pooled.",
        Tuning(check::size),
    ),
    Row::new(
        "keepalive_disable",
        HSL,
        (1, 2),
        "none | msie6 | safari ...",
        "msie6",
        "Browsers whose connections are not kept: `msie6` after a POST, `safari` always (old versions on macOS).",
        Set(|s| {
            let mut value = KeepAliveDisable { msie6: false, safari: false };
            for index in 0..s.count() {
                match s.one_of(index, &[("none", 0), ("msie6", 1), ("safari", 2)])? {
                    1 => value.msie6 = true,
                    2 => value.safari = true,
                    _ => {}
                }
            }
            s.settings().keepalive_disable = value;
            Ok(())
        }),
    ),
    Row::new(
        "keepalive_min_timeout",
        HSL,
        (1, 1),
        "TIME",
        "0",
        "How long an idle connection stays open at least when its worker ends gracefully, so that a client does \
         not find it closed while it sends.",
        Set(|s| s.set_ms(|x| &mut x.keepalive_min_timeout)),
    ),
    Row::new(
        "keepalive_requests",
        HSL,
        (1, 1),
        "NUMBER",
        "1000",
        "How many requests a client may send on one connection before it is closed.",
        Set(|s| {
            let n = s.number(0)?;
            // nginx counts the first one before it looks. Elsewhere 0 is no limit.
            let least = u64::from(!s.make.main.modern);
            s.settings().keepalive_requests = u32::try_from(n.max(least)).unwrap_or(u32::MAX);
            Ok(())
        }),
    ),
    Row::new(
        "keepalive_time",
        HSL,
        (1, 1),
        "TIME",
        "1h",
        "How old a connection may get: after this time it is closed behind the next answer.",
        Set(|s| s.set_ms(|x| &mut x.keepalive_time)),
    ),
    Row::new(
        "keepalive_timeout",
        HSL,
        (1, 2),
        "TIME [HEADER-TIME]",
        "75s",
        "How long a connection may wait for its next request before it is closed; `0` closes it after every \
         answer. HEADER-TIME is what clients are told in the field Keep-Alive.",
        Set(|s| {
            let timeout = s.ms(0)?;
            let header = if s.count() > 1 { s.seconds(1)? } else { 0 };
            s.settings().keepalive_timeout = timeout;
            s.settings().keepalive_header = header;
            Ok(())
        }),
    ),
    Row::new(
        "limit_rate",
        HSLI,
        (1, 1),
        "RATE",
        "0",
        "How many bytes a second an answer is sent with, for each request; `0` is no limit. It may have \
         variables.",
        Set(|s| {
            let template = rate(s)?;
            s.settings().limit_rate = template;
            Ok(())
        }),
    ),
    Row::new(
        "limit_rate_after",
        HSLI,
        (1, 1),
        "SIZE",
        "0",
        "The first SIZE bytes of an answer are sent as fast as they go; only then `limit_rate` counts.",
        Set(|s| {
            let template = rate(s)?;
            s.settings().limit_rate_after = template;
            Ok(())
        }),
    ),
    Row::new(
        "lingering_close",
        HSL,
        (1, 1),
        "off | on | always",
        "on",
        "Whether a connection that is to be closed while the client still sends is read for a while, because \
         otherwise the client might never see its answer. `on` does so where data may come, `always` for every \
         connection.",
        Set(|s| {
            let value =
                s.one_of(0, &[("off", Lingering::Off), ("on", Lingering::On), ("always", Lingering::Always)])?;
            s.settings().lingering_close = value;
            Ok(())
        }),
    ),
    Row::new(
        "lingering_time",
        HSL,
        (1, 1),
        "TIME",
        "30s",
        "How long a connection is read after its answer, all in all, see `lingering_close`.",
        Set(|s| s.set_ms(|x| &mut x.lingering_time)),
    ),
    Row::new(
        "lingering_timeout",
        HSL,
        (1, 1),
        "TIME",
        "5s",
        "How long to wait for more when a connection is read after its answer; if nothing comes it is closed, see \
         `lingering_close`.",
        Set(|s| s.set_ms(|x| &mut x.lingering_timeout)),
    ),
    Row::new(
        "postpone_output",
        HSL,
        (1, 1),
        "SIZE",
        "1460",
        "It is checked and has no effect here: an answer that is ready is sent.",
        Tuning(check::size),
    ),
    Row::new(
        "reset_timedout_connection",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "Whether a connection that is closed because the client was too slow is reset (RST), which frees its \
         memory at once.",
        Set(|s| s.set_flag(|x| &mut x.reset_timedout_connection)),
    ),
    Row::new(
        "send_lowat",
        HSL,
        (1, 1),
        "SIZE",
        "0",
        "It is checked and has no effect here: the kernel decides when a socket may be written to.",
        Set(|s| {
            s.size(0)?;
            s.make.warn(conf::Diagnostic::of(s.it, "\"send_lowat\" is not supported, ignored"));
            Ok(())
        }),
    ),
    Row::new(
        "send_timeout",
        HSL,
        (1, 1),
        "TIME",
        "60s",
        "How long a client may take nothing of an answer before its connection is closed.",
        Set(|s| s.set_ms(|x| &mut x.send_timeout)),
    ),
    Row::new(
        "tcp_nodelay",
        HSL,
        (1, 1),
        "on | off",
        "on",
        "It is checked and has no effect here: nothing is held back to be sent with more (TCP_NODELAY is always \
         set).",
        Tuning(check::flag),
    ),
    Row::new(
        "tcp_nopush",
        HSL,
        (1, 1),
        "on | off",
        "off",
        "It is checked and has no effect here: the head of an answer and the beginning of its file always leave \
         together.",
        Tuning(check::flag),
    ),
];

fn rate(s: &mut crate::config::build::Setter<'_>) -> Result<Option<Arc<crate::variables::Template>>, conf::Diagnostic> {
    let text = s.text(0);
    if !text.contains('$') && conf::size(text).is_none() {
        return Err(s.invalid());
    }
    if text == "0" {
        return Ok(None);
    }
    s.template(0).map(|template| Some(Arc::new(template)))
}
