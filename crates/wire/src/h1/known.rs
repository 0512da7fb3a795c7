//! The field names that requests usually have, so that a name is compared once and is a number from then on.

macro_rules! known {
    ($($variant:ident = $name:literal,)*) => {
        /// A usual request field name.
        #[repr(u8)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        pub enum Known {
            /// Any other name.
            #[default]
            Other,
            $(#[doc = $name] $variant,)*
        }

        impl Known {
            /// All of them, in order: `ALL[known as usize] == known`.
            pub const ALL: &[Known] = &[Known::Other, $(Known::$variant,)*];

            /// The name in lower case; empty for `Other`.
            pub const fn name(self) -> &'static str {
                match self {
                    Known::Other => "",
                    $(Known::$variant => $name,)*
                }
            }
        }
    };
}

known! {
    Host = "host",
    Accept = "accept",
    AcceptCharset = "accept-charset",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AccessControlRequestHeaders = "access-control-request-headers",
    AccessControlRequestMethod = "access-control-request-method",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLanguage = "content-language",
    ContentLength = "content-length",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Dnt = "dnt",
    Expect = "expect",
    Forwarded = "forwarded",
    From = "from",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    KeepAlive = "keep-alive",
    MaxForwards = "max-forwards",
    Origin = "origin",
    Pragma = "pragma",
    Priority = "priority",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    Range = "range",
    Referer = "referer",
    SecChUa = "sec-ch-ua",
    SecChUaMobile = "sec-ch-ua-mobile",
    SecChUaPlatform = "sec-ch-ua-platform",
    SecFetchDest = "sec-fetch-dest",
    SecFetchMode = "sec-fetch-mode",
    SecFetchSite = "sec-fetch-site",
    SecFetchUser = "sec-fetch-user",
    SecGpc = "sec-gpc",
    SecWebSocketExtensions = "sec-websocket-extensions",
    SecWebSocketKey = "sec-websocket-key",
    SecWebSocketProtocol = "sec-websocket-protocol",
    SecWebSocketVersion = "sec-websocket-version",
    ServiceWorker = "service-worker",
    Te = "te",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UpgradeInsecureRequests = "upgrade-insecure-requests",
    UserAgent = "user-agent",
    Via = "via",
    XCsrfToken = "x-csrftoken",
    XCsrfTokenDashed = "x-csrf-token",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedPrefix = "x-forwarded-prefix",
    XForwardedProto = "x-forwarded-proto",
    XForwardedServer = "x-forwarded-server",
    XHttpMethodOverride = "x-http-method-override",
    XRealIp = "x-real-ip",
    XRequestId = "x-request-id",
    XRequestedWith = "x-requested-with",
}

impl Known {
    /// The name, whatever its case; it must be a token.
    pub fn of(name: &[u8]) -> Known {
        if name.is_empty() {
            return Known::Other;
        }
        let known = Known::ALL[TABLE[slot(name)] as usize];
        if is_same(name, known.name().as_bytes()) { known } else { Known::Other }
    }
}

/// Whether a token is this usual name, whatever its case. Setting a bit makes letters lower case; it makes no other
/// character of a token one that these names have. Eight bytes a step.
fn is_same(name: &[u8], lower: &[u8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    if name.len() != lower.len() {
        return false;
    }
    let (words, rest) = name.as_chunks::<8>();
    let (lower_words, lower_rest) = lower.as_chunks::<8>();
    let same = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*a) | CASE == u64::from_le_bytes(*b);
    words.iter().zip(lower_words).all(same) && rest.iter().zip(lower_rest).all(|(a, b)| a | 0x20 == *b)
}

const SLOTS: usize = 512;

/// Found by search: with it every name has a slot of its own, so that one comparison decides. When a name is added and
/// the build says so, try other odd numbers.
const SEED: u32 = 0xb410_d93d;

static TABLE: [u8; SLOTS] = build();

/// Three bytes and the length tell the usual names apart; `| 0x20` makes letters lower case.
const fn slot(name: &[u8]) -> usize {
    let len = name.len();
    let middle = (name[len / 2] | 0x20) as u32;
    let before_last = (name[len.saturating_sub(2)] | 0x20) as u32;
    let last = (name[len - 1] | 0x20) as u32;
    let mixed = (middle | before_last << 8 | last << 16 | (len as u32) << 24).wrapping_mul(SEED);
    (mixed >> 23) as usize
}

const fn build() -> [u8; SLOTS] {
    let mut slots = [0; SLOTS];
    let mut i = 1;
    while i < Known::ALL.len() {
        let at = slot(Known::ALL[i].name().as_bytes());
        assert!(slots[at] == 0, "two names share a slot: choose another SEED");
        slots[at] = i as u8;
        i += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (i, &known) in Known::ALL.iter().enumerate().skip(1) {
            assert_eq!(known as usize, i);
            let name = known.name();
            assert_eq!(name, name.to_ascii_lowercase());
            assert_eq!(Known::of(name.as_bytes()), known);
            assert_eq!(Known::of(name.to_ascii_uppercase().as_bytes()), known);
        }
    }

    #[test]
    fn other_names_are_other() {
        for name in ["", "h", "hosts", "x-host", "content_length", "content-lengthh", "tE ", "\u{212a}eep-alive"] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
    }
}
