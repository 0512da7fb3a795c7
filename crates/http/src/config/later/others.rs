//! The rest: `upstream` blocks, traces.

use super::super::arguments::check;
use super::super::context::sets::*;
use super::super::row::{Action, MANY, Row};
use super::rows;

const PASS: &str = "requests are not passed on";
const PROBE: &str = "servers are not probed";
const TRACE: &str = "no traces are sent";
const MIRROR: &str = "requests are not mirrored";
const RESOLVE: &str = "names are not looked up while the server runs";

pub const UPSTREAM: &[Row] = rows! { ""
    "upstream" H (1, 1) "NAME { ... }" "" "A group of servers that requests are passed on to." => LaterBlock(PASS), repeats;
    "hash" U (1, 2) "KEY [consistent]" "" "Servers are chosen by a key." => Later(PASS), repeats;
    "health_check" L (0, MANY) "[PARAMETER ...]" "" "Servers are probed." => Later(PROBE), repeats;
    "ip_hash" U (0, 0) "" "" "Servers are chosen by the client's address." => Later(PASS), repeats;
    "keepalive" U (1, 2) "NUMBER [local]" "32 local" "How many idle connections a worker keeps." => Later(PASS);
    "keepalive_requests" U (1, 1) "NUMBER" "1000" "How many requests one connection may carry." => Later(PASS);
    "keepalive_time" U (1, 1) "TIME" "1h" "How old a connection may be when another request is sent on it." => Later(PASS);
    "keepalive_timeout" U (1, 1) "TIME" "60s" "How long an idle connection is kept." => Later(PASS);
    "least_conn" U (0, 0) "" "" "The server with the fewest connections is chosen." => Later(PASS), repeats;
    "least_time" U (1, 2) "header | last_byte [inflight]" "" "The fastest server with the fewest connections is chosen." => Later(PASS), repeats;
    "match" H (1, 1) "NAME { ... }" "" "What an answer to a probe must look like." => LaterBlock(PROBE), repeats;
    "random" U (0, 2) "[two [METHOD]]" "" "Servers are chosen at random." => Later(PASS), repeats;
    "resolver" U (1, MANY) "ADDRESS ... [valid=TIME] [ipv4=on|off] [ipv6=on|off]" "" "Who is asked for addresses of the group's servers." => Later(PASS);
    "resolver_timeout" U (1, 1) "TIME" "30s" "How long looking up a name may take." => Later(PASS);
    "server" U (1, MANY) "ADDRESS [PARAMETER ...]" "" "A server of the group." => Later(PASS), repeats;
    "state" U (1, 1) "FILE" "" "The file that the group's servers are kept in." => Later(PASS);
    "sticky" U (2, MANY) "cookie NAME [PARAMETER ...] | route $VARIABLE ... | learn PARAMETER ..." "" "A client stays with its server." => Later(PASS);
    "zone" U (1, 2) "NAME [SIZE]" "" "Memory that workers share what they know of servers in." => Later(PASS), repeats;
};

pub const REST: &[Row] = rows! { ""
    "client_body_early_read" HS (1, MANY) "STRING ..." "" "The body is read before a location is chosen if no STRING is empty or `0`." => Later("bodies are not read early"), repeats;
    "early_hints" HSL (1, MANY) "STRING ..." "" "Whether an answer of status 103 is passed to the client." => Later("answers of status 103 are not passed on"), repeats;
    "json_set" HSL (3, 3) "$VARIABLE VALUE PATH" "" "A variable with a part of a JSON text." => Later("the variable is empty"), repeats;
    "mirror" HSL (1, 1) "URI | off" "off" "A location that gets every request, too." => Later(MIRROR), repeats;
    "mirror_request_body" HSL (1, 1) "on | off" "on" "Whether the location of `mirror` gets the request's body." => Later(MIRROR);
    "open_file_cache_events" HSL (1, 1) "on | off" "off" "Without effect." => Tuning(check::flag);
    "otel_exporter" H (0, 0) "{ ... }" "" "Where traces are sent." => LaterBlock(TRACE);
    "otel_resource_attr" H (2, 2) "NAME VALUE" "" "An attribute of the resource." => Later(TRACE), repeats;
    "otel_service_name" H (1, 1) "NAME" "unknown_service:nginx" "The service that traces are of." => Later(TRACE);
    "otel_span_attr" HSL (2, 2) "NAME VALUE" "" "An attribute of spans." => Later(TRACE), repeats;
    "otel_span_name" HSL (1, 1) "NAME" "" "What spans are called." => Later(TRACE);
    "otel_trace" HSL (1, 1) "on | off | $VARIABLE" "off" "Whether requests are traced." => Later(TRACE);
    "otel_trace_context" HSL (1, 1) "extract | inject | propagate | ignore" "ignore" "What is done with the trace that a client names." => Later(TRACE);
    "post_action" HSLI (1, 1) "URI | off" "off" "A location that is called after a request." => Later("nothing is called");
    "resolver" HSL (1, MANY) "ADDRESS ... [valid=TIME] [ipv4=on|off] [ipv6=on|off] [status_zone=ZONE]" "" "Who is asked for addresses of names." => Later(RESOLVE);
    "resolver_timeout" HSL (1, 1) "TIME" "30s" "How long looking up a name may take." => Later(RESOLVE);
    "slice" HSL (1, 1) "SIZE" "0" "Answers are fetched in slices of SIZE; 0 = whole." => Later("answers are not fetched in slices");
};
