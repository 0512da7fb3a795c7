//! The rest: `upstream` blocks, traces.

use super::super::arguments::check;
use super::super::context::sets::*;
use super::super::row::{Action, MANY, Row};
use super::rows;

const TRACE: &str = "no traces are sent";

pub const REST: &[Row] = rows! { ""
    "client_body_early_read" HS (1, MANY) "STRING ..." "" "The body is read before a location is chosen if no STRING is empty or `0`." => Later("bodies are not read early"), repeats;
    "json_set" HSL (3, 3) "$VARIABLE VALUE PATH" "" "A variable with a part of a JSON text." => Later("the variable is empty"), repeats;
    "open_file_cache_events" HSL (1, 1) "on | off" "off" "Without effect." => Tuning(check::flag);
    "otel_exporter" H (0, 0) "{ ... }" "" "Where traces are sent." => LaterBlock(TRACE);
    "otel_resource_attr" H (2, 2) "NAME VALUE" "" "An attribute of the resource." => Later(TRACE), repeats;
    "otel_service_name" H (1, 1) "NAME" "unknown_service:nginx" "The service that traces are of." => Later(TRACE);
    "otel_span_attr" HSL (2, 2) "NAME VALUE" "" "An attribute of spans." => Later(TRACE), repeats;
    "otel_span_name" HSL (1, 1) "NAME" "" "What spans are called." => Later(TRACE);
    "otel_trace" HSL (1, 1) "on | off | $VARIABLE" "off" "Whether requests are traced." => Later(TRACE);
    "otel_trace_context" HSL (1, 1) "extract | inject | propagate | ignore" "ignore" "What is done with the trace that a client names." => Later(TRACE);
    "post_action" HSLI (1, 1) "URI | off" "off" "A location that is called after a request." => Later("nothing is called");
    "slice" HSL (1, 1) "SIZE" "0" "Answers are fetched in slices of SIZE; 0 = whole." => Later("answers are not fetched in slices");
};
