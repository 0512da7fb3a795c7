//! What `-v`, `-V` and `-h` print.

use super::layout::Layout;
use super::{COMPATIBLE, Program};

/// What nginx can be built with, and whether it is here. Tools look in this list for what they may ask for.
const MODULES: &[(&str, bool)] = &[
    ("compat", false),
    ("file-aio", true),
    ("http_addition_module", true),
    ("http_auth_request_module", false),
    ("http_dav_module", false),
    ("http_flv_module", false),
    ("http_geoip_module", false),
    ("http_gunzip_module", false),
    ("http_gzip_static_module", true),
    ("http_image_filter_module", false),
    ("http_mp4_module", false),
    ("http_perl_module", false),
    ("http_random_index_module", true),
    ("http_realip_module", true),
    ("http_secure_link_module", true),
    ("http_slice_module", false),
    ("http_ssl_module", false),
    ("http_stub_status_module", true),
    ("http_sub_module", true),
    ("http_v2_module", false),
    ("http_v3_module", false),
    ("http_xslt_module", false),
    ("mail", false),
    ("mail_ssl_module", false),
    ("pcre", true),
    ("pcre-jit", true),
    ("stream", false),
    ("stream_realip_module", false),
    ("stream_ssl_module", false),
    ("stream_ssl_preread_module", false),
    ("threads", true),
];

/// `-v`, one line or two; with `configure`, what is built in. Tools read the lines that begin with `nginx version` and
/// `configure arguments`.
pub fn version(program: Program, configure: bool, layout: &Layout) -> String {
    let own = crate::VERSION;
    let mut lines = match (program, configure) {
        (Program::Nginx, _) => format!("nginx version: nginx/{COMPATIBLE}\n"),
        (Program::Daemun, false) => format!("daemun version: daemun/{own} (nginx/{COMPATIBLE} compatible)\n"),
        (Program::Daemun, true) => format!("nginx version: nginx/{COMPATIBLE}\ndaemun version: daemun/{own}\n"),
    };
    if configure {
        lines.push_str("configure arguments:");
        for argument in layout.arguments() {
            lines.push_str(&format!(" {argument}"));
        }
        for (module, here) in MODULES {
            lines.push_str(if *here { " --with-" } else { " --without-" });
            lines.push_str(module);
        }
        lines.push('\n');
    }
    lines
}

/// `-h`.
pub fn help(program: Program, layout: &Layout) -> String {
    let mut text = version(program, false, layout);
    text.push_str(&format!("Usage: {} [-?hvVtTq] [-s signal] [-p prefix]\n", program.name()));
    text.push_str(
        "             [-e filename] [-c filename] [-g directives]\n\
         \n\
         Options:\n",
    );
    let defaults = |flag: &str| match flag {
        "-p prefix" => format!(" (default: {})", layout.prefix.display()),
        "-e filename" => format!(" (default: {})", layout.error_log),
        "-c filename" => format!(" (default: {})", layout.file.display()),
        _ => String::new(),
    };
    for (flag, what) in FLAGS {
        text.push_str(&format!("  {flag:<14}: {what}{}\n", defaults(flag)));
    }
    if program == Program::Daemun {
        text.push_str(
            "\nWith an application, or a `-c` that names a Python file, the command line is Gunicorn's: see `daemun --help`.\n\
             `daemun help NAME` explains a directive or an option, `daemun fmt FILE...` formats configuration files,\n\
             `daemun explain -c FILE URL` tells what becomes of a request.\n",
        );
    }
    text
}

/// The flags and what they do.
pub const FLAGS: &[(&str, &str)] = &[
    ("-?,-h", "show this help"),
    ("-v", "show the version"),
    ("-V", "show the version and what is built in"),
    ("-t", "test the configuration"),
    ("-T", "test the configuration and show its files"),
    ("-q", "with a test, show only what is wrong"),
    ("-s signal", "tell the running master to stop, quit, reload or reopen"),
    ("-p prefix", "set the directory that relative paths count from"),
    ("-e filename", "set the error log of the start"),
    ("-c filename", "set the configuration file"),
    ("-g directives", "set directives of the main context, before the file's"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_find_their_lines() {
        let layout = Layout::new(&Default::default(), std::path::Path::new("/here"), true);
        let text = version(Program::Daemun, true, &layout);
        assert!(text.starts_with("nginx version: nginx/"), "{text}");
        let arguments = text.lines().last().unwrap();
        assert!(arguments.starts_with("configure arguments: --prefix=/usr/share/nginx --conf-path="), "{arguments}");
        assert!(arguments.contains(" --with-http_realip_module") && arguments.contains(" --without-stream"));
        assert!(MODULES.is_sorted());
    }
}
