//! The duration of every request, by route and status. Routes are patterns: a raw path would make an instrument per tenant or id.

use std::sync::LazyLock;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

/// OpenTelemetry's own name and attributes (semantic conventions, HTTP server).
pub(crate) const REQUEST_DURATION: &str = "http.server.request.duration";
const ROUTE: &str = "http.route";
const METHOD: &str = "http.request.method";
const STATUS: &str = "http.response.status_code";

/// Upper bounds of the histogram's buckets, in seconds, as the conventions advise; the last is the time a request may take.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

static DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    opentelemetry::global::meter("tidemark-api")
        .f64_histogram(REQUEST_DURATION)
        .with_unit("s")
        .with_description("Time from a request's head to its answer's head.")
        .with_boundaries(BOUNDS.to_vec())
        .build()
});

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    // The conventions' name for a method outside RFC 9110; clients could otherwise make up any number of them.
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "_OTHER".to_owned(),
    };
    let response = next.run(request).await;
    let attributes = [
        KeyValue::new(ROUTE, route),
        KeyValue::new(METHOD, method),
        KeyValue::new(STATUS, i64::from(response.status().as_u16())),
    ];
    DURATION.record(started.elapsed().as_secs_f64(), &attributes);
    response
}
