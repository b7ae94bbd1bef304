//! The span of a request, in the trace that its `traceparent` names or in one of its own. What is recorded is the route and never the
//! path: a path has ids in it, and a query string what a tenant filters by.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tidemark_runtime::telemetry::trace;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::request_id::RequestId;

/// W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let span = span(&request);
    if span.is_disabled() {
        return next.run(request).await;
    }
    if let Some(traceparent) = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()) {
        trace::continue_from(&span, traceparent);
    }
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    // What a client did wrong is no error of the server's span (semantic conventions, HTTP).
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.as_str());
    }
    response
}

fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    tracing::info_span!(
        "request",
        otel.name = name(request, route),
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = method(request),
        http.route = route,
        http.response.status_code = Empty,
        // As it comes in: whoever ends TLS stands before us.
        url.scheme = "http",
        tidemark.request.id = request.extensions().get::<RequestId>().map(RequestId::as_str),
    )
}

/// Evaluated for spans that are recorded alone.
fn name(request: &Request, route: Option<&str>) -> String {
    // The conventions' word for a method that nobody knows is not for names.
    let method = Some(method(request)).filter(|method| *method != OTHER).unwrap_or("HTTP");
    route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

const OTHER: &str = "_OTHER";

/// A method of RFC 9110, or the conventions' word for any other: clients could make up any number of them.
fn method(request: &Request) -> &str {
    match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => OTHER,
    }
}
