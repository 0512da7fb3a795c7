//! Directives of the contexts main and events: what the process does.

use super::arguments::check;
use super::context::sets::*;
use super::main::{Affinity, ErrorTarget, WorkerProcesses};
use super::row::Action::{Set, Tuning};
use super::row::{MANY, Row};

/// The table, by name.
pub const ROWS: &[Row] = &[
    Row::new(
        "accept_mutex",
        E,
        (1, 1),
        "on | off",
        "off",
        "It is checked and has no effect here: workers do not wait for each other to accept connections.",
        Tuning(check::flag),
    ),
    Row::new("accept_mutex_delay", E, (1, 1), "TIME", "500ms", "It is checked and has no effect here: see `accept_mutex`.", Tuning(check::time)),
    Row::new(
        "daemon",
        M,
        (1, 1),
        "on | off",
        "on",
        "Whether the server goes to the background when it starts. Service managers and containers want `off`.",
        Set(|s| {
            s.make.main.daemon = s.flag()?;
            Ok(())
        }),
    ),
    Row::new(
        "debug_connection",
        E,
        (1, 1),
        "ADDRESS | CIDR | unix:",
        "",
        "It is checked and has no effect here: there is no debug log for single clients.",
        Tuning(check::anything),
    )
    .repeats(),
    Row::new(
        "env",
        M,
        (1, 1),
        "VARIABLE[=VALUE]",
        "TZ",
        "A variable of the environment that the workers keep, or with a value, get. Without it they have only \
         `TZ` and what Python needs.",
        Set(|s| {
            let text = s.text(0);
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text.to_owned(), None),
            };
            s.make.main.env.push((name, value));
            Ok(())
        }),
    )
    .repeats(),
    Row::new(
        "error_log",
        M,
        (1, MANY),
        "FILE | stderr | syslog:... [LEVEL]",
        "logs/error.log error",
        "Where errors are reported: a file, `stderr` or `syslog:server=...`. LEVEL is the least one that is \
         reported: debug, info, notice, warn, error, crit, alert, emerg.",
        Set(|s| {
            let target = error_target(s)?;
            s.make.main.error_logs.push(target);
            Ok(())
        }),
    )
    .repeats(),
    Row::new(
        "error_log",
        HSL,
        (1, MANY),
        "FILE | stderr | syslog:... [LEVEL]",
        "logs/error.log error",
        "Where errors of the requests of this block are reported, in place of the logs of the block around it. Arguments \
         as in the main context.",
        Set(|s| {
            let target = error_target(s)?;
            let mut targets = match &s.block.settings.error_log {
                Some(targets) if !s.first => targets.to_vec(),
                _ => Vec::new(),
            };
            targets.push(target);
            s.settings().error_log = Some(targets.into());
            Ok(())
        }),
    )
    .repeats(),
    Row::new(
        "load_module",
        M,
        (1, 1),
        "FILE",
        "",
        "Accepts a module of nginx whose work is built in, so that a line of a package's configuration needs no \
         change; others are refused.",
        Tuning(load_module),
    )
    .repeats(),
    Row::new(
        "lock_file",
        M,
        (1, 1),
        "FILE",
        "logs/nginx.lock",
        "It is checked and has no effect here: accepting connections needs no lock.",
        Tuning(check::anything),
    ),
    Row::new(
        "master_process",
        M,
        (1, 1),
        "on | off",
        "on",
        "Whether there are a master and workers; `off` is one process for debugging.",
        Set(|s| {
            s.make.main.master_process = s.flag()?;
            Ok(())
        }),
    ),
    Row::new("multi_accept", E, (1, 1), "on | off", "off", "It is checked and has no effect here: a worker takes as many connections as it can serve.", Tuning(check::flag)),
    Row::new(
        "pcre_jit",
        M,
        (1, 1),
        "on | off",
        "off",
        "It is checked and has no effect here: regular expressions are always compiled to machine code.",
        Tuning(check::flag),
    ),
    Row::new(
        "pid",
        M,
        (1, 1),
        "FILE",
        "logs/nginx.pid",
        "The file that the number of the master process is written to.",
        Set(|s| {
            s.make.main.pid = Some(s.text(0).to_owned());
            Ok(())
        }),
    ),
    Row::new("ssl_engine", M, (1, 1), "DEVICE", "", "It is checked and has no effect here: there are no engines of OpenSSL.", Tuning(check::anything)),
    Row::new(
        "thread_pool",
        M,
        (2, 3),
        "NAME threads=NUMBER [max_queue=NUMBER]",
        "default threads=32 max_queue=65536",
        "It is checked and has no effect here: files are not read by threads.",
        Tuning(thread_pool),
    )
    .repeats(),
    Row::new("timer_resolution", M, (1, 1), "TIME", "", "It is checked and has no effect here: the time is taken whenever it is needed.", Tuning(check::time)),
    Row::new(
        "use",
        E,
        (1, 1),
        "METHOD",
        "epoll",
        "How a worker waits for connections; only `epoll` is there.",
        Tuning(|it| match super::arguments::text(it, 0) {
            "epoll" => Ok(()),
            other => Err(conf::Diagnostic::of(it, format!("invalid event type \"{other}\""))),
        }),
    ),
    Row::new(
        "user",
        M,
        (1, 2),
        "USER [GROUP]",
        "nobody",
        "The user, and the group, that the workers run as when the server is started by root. Without GROUP it is \
         the group of the same name.",
        Set(|s| {
            let group = (s.count() > 1).then(|| s.text(1).to_owned());
            s.make.main.user = Some((s.text(0).to_owned(), group));
            Ok(())
        }),
    ),
    Row::new("worker_aio_requests", E, (1, 1), "NUMBER", "32", "It is checked and has no effect here: see `aio`.", Tuning(check::number)),
    Row::new(
        "worker_connections",
        E,
        (1, 1),
        "NUMBER",
        "512",
        "How many connections each worker may have open at the same time.",
        Set(|s| {
            let number = conf::number(s.text(0)).and_then(|number| u32::try_from(number).ok());
            let number = number.ok_or_else(|| s.wrong(format!("invalid number \"{}\"", s.text(0))));
            s.make.main.worker_connections = number?;
            Ok(())
        }),
    ),
    Row::new(
        "worker_cpu_affinity",
        M,
        (1, MANY),
        "auto [MASK] | MASK ...",
        "",
        "Which processors the workers run on: a MASK of binary digits for each worker, the first processor last, \
         or `auto` for one each.",
        Set(|s| {
            let first = usize::from(s.text(0) == "auto");
            let mut masks = Vec::new();
            for index in first..s.count() {
                let text = s.text(index);
                if let Some(other) = text.chars().rev().find(|c| !matches!(c, '0' | '1')) {
                    let message = format!("invalid character \"{other}\" in \"worker_cpu_affinity\"");
                    return Err(s.wrong(message).hint("a mask has a digit for each processor, the first one last: 0101"));
                }
                let mut mask = vec![0u64; text.len().div_ceil(64)];
                for (bit, _) in text.bytes().rev().enumerate().filter(|(_, b)| *b == b'1') {
                    mask[bit / 64] |= 1 << (bit % 64);
                }
                masks.push(mask);
            }
            if first == 1 && masks.len() > 1 {
                return Err(s.wrong("invalid number of arguments in \"worker_cpu_affinity\" directive"));
            }
            s.make.main.worker_cpu_affinity =
                if first == 1 { Affinity::Auto(masks.pop()) } else { Affinity::Masks(masks) };
            Ok(())
        }),
    ),
    Row::new(
        "worker_memory",
        M,
        (1, 1),
        "SIZE",
        "0",
        "How much memory each worker may hold for bodies, messages and answers in progress, in bytes or with k, m or g; 0 is \
         no limit. Beyond it new requests are answered 503, bodies go to files, and a WebSocket whose message is not \
         complete is closed (1013), until there is less. Memory of applications is not counted.",
        Set(|s| {
            s.make.main.worker_memory = s.offset(0)?;
            Ok(())
        }),
    ),
    Row::new(
        "worker_priority",
        M,
        (1, 1),
        "NUMBER",
        "0",
        "The priority of the workers, as nice(1) counts: from -20 (most urgent) to 20.",
        Set(|s| {
            let number = s.text(0).parse::<i32>().ok().filter(|_| !s.text(0).starts_with('+'));
            let wrong = || s.wrong("\"worker_priority\" directive invalid number");
            s.make.main.worker_priority = number.ok_or_else(wrong)?;
            Ok(())
        }),
    ),
    Row::new(
        "worker_processes",
        M,
        (1, 1),
        "NUMBER | auto",
        "1",
        "How many worker processes serve requests; `auto` is one for each processor that the server may use.",
        Set(|s| {
            s.make.main.worker_processes = match s.text(0) {
                "auto" => WorkerProcesses::Auto,
                _ => match s.number(0) {
                    Ok(count @ 1..) => WorkerProcesses::Count(count as usize),
                    _ => return Err(s.invalid()),
                },
            };
            Ok(())
        }),
    ),
    Row::new(
        "worker_rlimit_core",
        M,
        (1, 1),
        "SIZE",
        "",
        "The largest core file that a worker may leave when it crashes, in bytes.",
        Set(|s| {
            s.make.main.worker_rlimit_core = Some(s.offset(0)?);
            Ok(())
        }),
    ),
    Row::new(
        "worker_rlimit_nofile",
        M,
        (1, 1),
        "NUMBER",
        "",
        "How many files and connections a worker may have open (RLIMIT_NOFILE).",
        Set(|s| {
            s.make.main.worker_rlimit_nofile = Some(s.number(0)?);
            Ok(())
        }),
    ),
    Row::new(
        "worker_shutdown_timeout",
        M,
        (1, 1),
        "TIME",
        "",
        "How long workers may take to finish their requests when they end gracefully; then the connections are \
         closed. Without it there is no limit.",
        Set(|s| {
            s.make.main.worker_shutdown_timeout = Some(s.ms(0)?);
            Ok(())
        }),
    ),
    Row::new(
        "working_directory",
        M,
        (1, 1),
        "DIRECTORY",
        "",
        "The current directory of the workers, which is also where core files are left.",
        Set(|s| {
            s.make.main.working_directory = Some(s.text(0).to_owned());
            Ok(())
        }),
    ),
];

fn thread_pool(it: &conf::Directive) -> Result<(), conf::Diagnostic> {
    let wrong = |message: String| Err(conf::Diagnostic::of(it, message));
    let mut threads = super::arguments::text(it, 0) == "default";
    for word in it.args.iter().skip(1) {
        if let Some(number) = word.text.strip_prefix("threads=") {
            if conf::number(number).is_none_or(|number| number == 0) {
                return wrong(format!("invalid threads value \"{}\"", word.text));
            }
            threads = true;
        } else if let Some(number) = word.text.strip_prefix("max_queue=")
            && conf::number(number).is_none()
        {
            return wrong(format!("invalid max_queue value \"{}\"", word.text));
        }
    }
    if threads { Ok(()) } else { wrong("\"thread_pool\" must have \"threads\" parameter".to_owned()) }
}

const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];

fn error_target(s: &super::build::Setter<'_>) -> Result<ErrorTarget, conf::Diagnostic> {
    let mut words: Vec<String> = s.it.args.iter().map(|word| word.text.clone()).collect();
    let mut level = None;
    if words.len() > 1 {
        let last = words.pop().unwrap_or_default();
        if words.len() > 1 || !LEVELS.contains(&last.as_str()) {
            return Err(s
                .wrong(format!("invalid log level \"{last}\""))
                .hint(format!("one of: {}", LEVELS.join(", "))));
        }
        level = Some(last);
    }
    if words[0].starts_with("memory:") {
        return Err(s.wrong("nginx was built without debug support").hint("use a file or stderr"));
    }
    let all: Vec<&str> = words.iter().chain(&level).map(String::as_str).collect();
    crate::log::Target::error(&all).map_err(|(_, why)| s.wrong(why))?;
    Ok(ErrorTarget { words, level })
}

/// Modules that nginx's packages load and whose work is built in, or that nothing of ours needs.
fn load_module(it: &conf::Directive) -> Result<(), conf::Diagnostic> {
    const KNOWN: [&str; 12] = [
        "ngx_http_brotli_filter_module",
        "ngx_http_brotli_static_module",
        "ngx_http_geoip_module",
        "ngx_http_image_filter_module",
        "ngx_http_perl_module",
        "ngx_http_xslt_filter_module",
        "ngx_http_zstd_filter_module",
        "ngx_http_zstd_static_module",
        "ngx_mail_module",
        "ngx_stream_module",
        "ngx_stream_geoip_module",
        "ngx_http_subs_filter_module",
    ];
    let path = super::arguments::text(it, 0);
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".so");
    if KNOWN.contains(&name) {
        return Ok(());
    }
    let message = format!("module \"{path}\" is not supported");
    Err(conf::Diagnostic::of(it, message)
        .hint("modules of nginx are not loaded; take the line out if its directives are not used"))
}
