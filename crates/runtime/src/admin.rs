//! The admin port: `/livez`, `/readyz` and `/metrics` over HTTP/1.
//!
//! It is apart from the API's port, so that probes and scrapes are answered while the API sheds load or drains, and so that a
//! network policy can tell them apart.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::health::{Health, Readiness};
use crate::listen;

/// Connections served at once; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 64;
/// Longest wait for a request's headers.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest life of a connection, which serves one request.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers probes and scrapes, the age of the watchdogs among them, until `shutdown`, which is best cancelled after the drain:
/// `/readyz` must say "not ready" meanwhile. Connections still open then are dropped.
pub async fn serve(listener: TcpListener, health: Health, registry: Registry, shutdown: CancellationToken) {
    health.measure(&opentelemetry::global::meter("tidemark-runtime"));
    let serve = |stream| converse(stream, health.clone(), registry.clone());
    listen::accept(listener, CONNECTIONS_MAX, shutdown.cancelled(), serve).await;
}

async fn converse(stream: TcpStream, health: Health, registry: Registry) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &health, &registry))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // One request each: an idle scraper holds no permit.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

fn answer<B>(request: &Request<B>, health: &Health, registry: &Registry) -> Response<Full<Bytes>> {
    let route: fn(&Health, &Registry) -> Response<Full<Bytes>> = match request.uri().path() {
        "/livez" => |health, _| livez(health),
        "/readyz" => |health, _| readyz(health),
        "/metrics" => |_, registry| metrics(registry),
        _ => return text(StatusCode::NOT_FOUND, "not found; there are /livez, /readyz and /metrics"),
    };
    if request.method() != Method::GET {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refusal;
    }
    route(health, registry)
}

fn livez(health: &Health) -> Response<Full<Bytes>> {
    match health.liveness() {
        Ok(()) => text(StatusCode::OK, "alive"),
        Err(stalled) => text(StatusCode::SERVICE_UNAVAILABLE, &stalled.to_string()),
    }
}

fn readyz(health: &Health) -> Response<Full<Bytes>> {
    match health.readiness() {
        Readiness::Ready => text(StatusCode::OK, "ready"),
        Readiness::NotReady(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(families) => respond(StatusCode::OK, HeaderValue::from_static(TEXT_FORMAT), families),
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics as text");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written as text; see the log")
        }
    }
}

fn text(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    respond(status, HeaderValue::from_static("text/plain; charset=utf-8"), format!("{line}\n"))
}

fn respond(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests;
