//! What the error log says of heads that are refused: nginx's words, or a line in Gunicorn's manner.

use wire::h1::{Known, Refusal, Version};

use super::Conn;
use crate::config::{Config, Server};
use crate::exchange::Request;
use crate::features::ssl::Verify;
use crate::log::{Context, ErrorLog, Level};
use crate::tls::verify::{BY_OCSP, is_only_unknown};

/// Longest piece of a line that is told.
const LONGEST: usize = 1024;

/// Tells of a head that was refused. The server is chosen already.
pub fn tell(conn: &Conn, request: &Request, config: &Config, log: &ErrorLog, refusal: Refusal) {
    if log.is_nginx() {
        request.log(Level::Info, config, log, format_args!("{} while {}", words(request, refusal), doing(request)));
    } else {
        log.warning(format_args!("Invalid request from ip={}: {}", conn.client(), refusal.reason()));
    }
}

/// Tells of lines that were left out of a head.
pub fn tell_left_out(request: &Request, config: &Config, log: &ErrorLog) {
    if request.head.left_out.is_empty() || !log.enabled(Level::Info) {
        return;
    }
    for line in &request.head.left_out {
        let line = String::from_utf8_lossy(line.of(&request.buf));
        let message = format_args!("client sent invalid header line: \"{line}\" while reading client request headers");
        request.log(Level::Info, config, log, message);
    }
}

/// Tells of a path that is none. nginx finds that out before it reads fields, and so does not tell them.
pub fn tell_bad_path(request: &Request, config: &Config, log: &ErrorLog) {
    if !log.is_nginx() || !log.enabled(Level::Info) {
        return;
    }
    let context = Context {
        connection: Some(request.carrier.serial),
        doing: "reading client request line",
        client: Some(&request.peer),
        server: config.servers.get(request.route.server as usize).map(|server| server.name.as_bytes()),
        request: request.line(),
        ..Context::default()
    };
    log.request(Level::Info, &context, format_args!("client sent invalid request"));
}

/// What is wrong with the connection for this request: the status to refuse it with. nginx's rules for sockets with
/// `ssl`.
pub fn unfit(conn: &Conn, request: &Request, config: &Config, log: &ErrorLog) -> Option<u16> {
    if !config.listens[conn.local.listen].listen.options.ssl {
        return None;
    }
    let tell = |message: &str| {
        if log.is_nginx() {
            request.log(Level::Info, config, log, format_args!("{message} while reading client request headers"));
        }
    };
    let Some(tls) = &request.tls else {
        tell("client sent plain HTTP request to HTTPS port");
        return Some(497);
    };
    let server = config.server(request.route.server);
    let verify = server.settings.ssl.verify;
    if verify == Verify::Off {
        return None;
    }
    // The certificate was asked for, and looked at, by the rules of another server.
    let other = tls.by != request.route.server && (tls.server.is_some() || !tls.client_chain.is_empty());
    let name = tls.server_name.as_deref().unwrap_or_default();
    if other && !name.as_bytes().eq_ignore_ascii_case(&request.host_name) && !same_tls(config, tls.by, server) {
        tell("client attempted to request the server name different from the one that was negotiated");
        return Some(421);
    }
    if tls.verify_error != 0 && !(verify == Verify::OptionalNoCa && is_only_unknown(tls.verify_error)) {
        let reason = tls.client_verify.strip_prefix("FAILED:").unwrap_or_default();
        match tls.verify_error {
            BY_OCSP => tell(&format!("client SSL certificate verify error: {reason}")),
            number => tell(&format!("client SSL certificate verify error: ({number}:{reason})")),
        }
        return Some(495);
    }
    if verify == Verify::On && tls.client_chain.is_empty() {
        tell("client sent no required SSL certificate");
        return Some(496);
    }
    None
}

/// Whether a handshake by the rules of one server is as good as one by those of another.
fn same_tls(config: &Config, by: u32, server: &Server) -> bool {
    match (&config.server(by).tls, &server.tls) {
        (Some(one), Some(other)) => std::sync::Arc::ptr_eq(one, other),
        _ => false,
    }
}

/// What was being read.
pub fn doing(request: &Request) -> &'static str {
    if request.head.has_line() { "reading client request headers" } else { "reading client request line" }
}

fn words(request: &Request, refusal: Refusal) -> String {
    match refusal {
        Refusal::Method | Refusal::TlsHandshake => "client sent invalid method".into(),
        Refusal::Version => "client sent invalid version".into(),
        Refusal::LineTooLong => "client sent too long URI".into(),
        Refusal::BareLf | Refusal::BareCr if !request.head.has_line() => "client sent invalid request".into(),
        Refusal::ControlInLine
        | Refusal::BlankLines
        | Refusal::RequestLine
        | Refusal::Target
        | Refusal::VersionSyntax => "client sent invalid request".into(),
        Refusal::TooManyFields => "client sent too many header lines".into(),
        Refusal::FieldTooLarge | Refusal::HeadTooLarge => {
            format!("client sent too long header line: \"{}...\"", line(request))
        }
        Refusal::MissingHost if request.head.version == Version::Http2 => {
            "client sent neither \":authority\" nor \"Host\" header".into()
        }
        Refusal::MissingHost => "client sent HTTP/1.1 request without \"Host\" header".into(),
        Refusal::Host => "client sent invalid host header".into(),
        Refusal::SeveralHosts => duplicate(request, "host header", Known::Host),
        Refusal::SeveralLengths => duplicate(request, "header line", Known::ContentLength),
        Refusal::SeveralCodings => duplicate(request, "header line", Known::TransferEncoding),
        Refusal::Length => "client sent invalid \"Content-Length\" header".into(),
        Refusal::LengthAndCoding => {
            "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time".into()
        }
        Refusal::CodingOnHttp10 => "client sent HTTP/1.0 request with \"Transfer-Encoding\" header".into(),
        Refusal::Coding => {
            let value = request.field("transfer-encoding").unwrap_or_default();
            format!("client sent unknown \"Transfer-Encoding\": \"{}\"", String::from_utf8_lossy(value))
        }
        Refusal::ObsFold | Refusal::SpaceBeforeColon | Refusal::FieldName => {
            let line = line(request);
            let end = line.bytes().position(|byte| matches!(byte, b' ' | b'\t' | b':')).unwrap_or(line.len());
            let byte = line.as_bytes().get(end).copied().unwrap_or_default();
            format!("client sent invalid header line: \"{}\\x{byte:02x}...\"", &line[..end])
        }
        _ => format!("client sent invalid header line: \"{}...\"", line(request)),
    }
}

fn duplicate(request: &Request, what: &str, known: Known) -> String {
    let previous = request.head.fields.iter().find(|field| field.known == known);
    let text = |span: wire::h1::Span| String::from_utf8_lossy(span.of(&request.buf)).into_owned();
    let previous = previous.map(|field| format!("{}: {}", text(field.name), text(field.value))).unwrap_or_default();
    format!("client sent duplicate {what}: \"{}\", previous value: \"{previous}\"", line(request))
}

/// The line that was refused, up to its end or what is wrong in it.
fn line(request: &Request) -> String {
    let rest = request.buf.get(request.head.last_line()..).unwrap_or_default();
    let rest = &rest[..rest.len().min(LONGEST)];
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}
