//! Writes the body of every refusal, ours and the framework's, as `application/problem+json`.

use std::any::Any;

use axum::BoxError;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;

use super::request_id::RequestId;
use crate::instruments::{self, Shed};
use crate::problem::{ApiError, Problem, Unavailable};

/// Gives an error status without a problem its problem, and every problem its body.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let instance = request.extensions().get::<RequestId>().map(|id| format!("urn:tidemark:request:{}", id.as_str()));
    let mut response = next.run(request).await;
    let status = response.status();
    let problem = response.extensions_mut().remove::<Problem>();
    let Some(mut problem) = problem.or_else(|| of_framework(status)) else { return response };
    problem.instance = instance.unwrap_or_default();
    let body = serde_json::to_vec(&problem).expect("a problem is plain data");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    response
}

/// The problem behind a status that the framework chose by itself.
fn of_framework(status: StatusCode) -> Option<Problem> {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("not_found", "there is nothing at this address"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "this address does not know the method; see the Allow header"),
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is longer than 256 KiB"),
        status if status.is_server_error() => {
            ("internal", "something went wrong here; it has been logged under the request's id")
        }
        status if status.is_client_error() => ("bad_request", "the request cannot be read"),
        _ => return None,
    };
    Some(Problem::new(status, code, detail))
}

/// The refusal behind an error of the load-shedding or timing layer.
pub(crate) async fn of_layer(error: BoxError) -> ApiError {
    if error.is::<Overloaded>() {
        instruments::shed(Shed::Overloaded);
        ApiError::Unavailable(Unavailable::Overloaded)
    } else if error.is::<Elapsed>() {
        instruments::shed(Shed::Timeout);
        ApiError::Unavailable(Unavailable::Timeout)
    } else {
        ApiError::Internal(error)
    }
}

/// The refusal behind a panic. What the panic said goes to the log, never to the client.
pub(crate) fn of_panic(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::Internal(format!("a handler panicked: {}", said.unwrap_or("with no text")).into()).into_response()
}
