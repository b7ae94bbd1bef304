//! The id of a request: the client's own where it is harmless, else ours; in every log line of the request and in its answer.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::conditional::CACHE_CONTROL;

/// The header that carries the id both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Most characters of a client's own id; a longer one is replaced.
const LENGTH_MAX: usize = 128;

/// The id of the request being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let harmless = |id: &&str| (1..=LENGTH_MAX).contains(&id.len()) && id.bytes().all(allowed);
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(harmless);
        Self(given.map_or_else(|| format!("{:016x}", rand::random::<u64>()), str::to_owned))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names the request, and says on every answer that it is its tenant's alone.
pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let header = HeaderValue::from_str(id.as_str()).expect("an id is plain ASCII");
    // The path without its query: filters may hold what must not be in logs.
    let span = tracing::info_span!("request", id = id.as_str(), method = %request.method(), path = request.uri().path());
    request.extensions_mut().insert(id);
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(X_REQUEST_ID, header);
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(CACHE_CONTROL);
    response
}
