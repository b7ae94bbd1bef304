//! `HEAD` is `GET` without the body (RFC 9110 §9.3.2). All below is asked to `GET`: ETags, 304s, refusals and their headers are then the
//! same without anybody's doing. axum, outside of all layers, still knows that it was `HEAD`, and leaves the body out.

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    if *request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    next.run(request).await
}
