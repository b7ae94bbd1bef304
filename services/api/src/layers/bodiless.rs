//! `HEAD` is `GET` without the body (RFC 9110 §9.3.2). All below is asked to `GET`: ETags, 304s, refusals and their headers are then the
//! same without anybody's doing. The body is taken off here.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;

pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    if *request.method() != Method::HEAD {
        return next.run(request).await;
    }
    *request.method_mut() = Method::GET;
    let mut response = next.run(request).await;
    // What would be compressed on its way has no length yet, and is not compressed for this.
    let length = response.body().size_hint().exact().filter(|length| *length > 0);
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Body::empty();
    response
}
