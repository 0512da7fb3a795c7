//! Why a message is refused: one variant per reason, with the status it is answered with.

/// A reason to refuse a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    TlsHandshake,
    BareLf,
    BareCr,
    ControlInLine,
    BlankLines,
    RequestLine,
    Method,
    Target,
    VersionSyntax,
    Version,
    LineTooLong,
    FieldTooLarge,
    TooManyFields,
    HeadTooLarge,
    ObsFold,
    SpaceBeforeColon,
    FieldName,
    ControlInField,
    MissingHost,
    SeveralHosts,
    Host,
    Length,
    SeveralLengths,
    LengthAndCoding,
    CodingOnHttp10,
    Coding,
    SeveralCodings,
    Expectation,
    ChunkSize,
    ChunkExtension,
    ChunkEnd,
    Trailer,
    TrailersTooLarge,
}

impl Refusal {
    /// The status that tells the client (RFC 9110 section 15.5, RFC 6585 section 5).
    pub fn status(self) -> u16 {
        match self {
            Refusal::LineTooLong => 414,
            Refusal::Expectation => 417,
            Refusal::FieldTooLarge | Refusal::TooManyFields | Refusal::HeadTooLarge | Refusal::TrailersTooLarge => 431,
            Refusal::Coding => 501,
            Refusal::Version => 505,
            _ => 400,
        }
    }

    /// The status that nginx answers with; 494 is its own for heads that are too large.
    pub fn nginx_status(self) -> u16 {
        match self {
            Refusal::FieldTooLarge | Refusal::TooManyFields | Refusal::HeadTooLarge => 494,
            other => other.status(),
        }
    }

    /// A short sentence for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::TlsHandshake => "TLS handshake on a plain port",
            Refusal::BareLf => "line feed without carriage return",
            Refusal::BareCr => "carriage return without line feed",
            Refusal::ControlInLine => "control character in the request line",
            Refusal::BlankLines => "too many blank lines before the request line",
            Refusal::RequestLine => "request line is not METHOD TARGET VERSION",
            Refusal::Method => "method is not a token",
            Refusal::Target => "invalid request target",
            Refusal::VersionSyntax => "invalid protocol version",
            Refusal::Version => "protocol version not supported",
            Refusal::LineTooLong => "request line too long",
            Refusal::FieldTooLarge => "header field too large",
            Refusal::TooManyFields => "too many header fields",
            Refusal::HeadTooLarge => "request head too large",
            Refusal::ObsFold => "header field line begins with whitespace",
            Refusal::SpaceBeforeColon => "whitespace between header name and colon",
            Refusal::FieldName => "invalid header name",
            Refusal::ControlInField => "control character in a header field",
            Refusal::MissingHost => "no Host header",
            Refusal::SeveralHosts => "several Host headers",
            Refusal::Host => "invalid Host header",
            Refusal::Length => "invalid Content-Length",
            Refusal::SeveralLengths => "several Content-Length headers",
            Refusal::LengthAndCoding => "both Content-Length and Transfer-Encoding",
            Refusal::CodingOnHttp10 => "Transfer-Encoding in an HTTP/1.0 request",
            Refusal::Coding => "Transfer-Encoding other than chunked",
            Refusal::SeveralCodings => "several Transfer-Encoding headers",
            Refusal::Expectation => "Expect other than 100-continue",
            Refusal::ChunkSize => "invalid chunk size",
            Refusal::ChunkExtension => "invalid or too large chunk extension",
            Refusal::ChunkEnd => "chunk not ended by CRLF",
            Refusal::Trailer => "invalid trailer field",
            Refusal::TrailersTooLarge => "trailer fields too large",
        }
    }
}
