//! Heads of requests that are too long, refused as anything else is: hyper would end them with a bare status. Its own limits, in
//! `serve.rs`, lie far enough above these that only what nobody sends by mistake meets them.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::ApiError;

/// Longest path and query, in bytes: four times what every server should take (RFC 9110 §4.1), for filters of a hundred long values.
pub(crate) const TARGET_BYTES_MAX: usize = 32 * 1024;
/// Most header fields: browsers send some 20, and each of a CDN, a load balancer and a mesh adds as many.
pub(crate) const FIELDS_MAX: usize = 100;
/// Most bytes of all names and values together: an access token of 8 KiB, and as much again for what is added on the way.
pub(crate) const FIELDS_BYTES_MAX: usize = 16 * 1024;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_BYTES_MAX {
        return ApiError::UriTooLong.into_response();
    }
    if is_too_large(request.headers()) {
        return ApiError::HeadersTooLarge.into_response();
    }
    next.run(request).await
}

fn is_too_large(headers: &HeaderMap) -> bool {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    headers.len() > FIELDS_MAX || bytes > FIELDS_BYTES_MAX
}
