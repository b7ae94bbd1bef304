//! While the API takes its leave it answers everything, and closes each connection behind the answer: clients open their next one
//! where `/readyz` still says yes, and no request meets a connection that is just being closed.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio_util::sync::CancellationToken;

pub(crate) async fn layer(State(stop): State<CancellationToken>, request: Request, next: Next) -> Response {
    // HTTP/2 has a frame of its own for this, which ends the drain.
    let has_header = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if has_header && stop.is_cancelled() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
