//! `If-None-Match`: what the client has already is not sent again (RFC 9110 §13.1.2).
//!
//! Every answer to a GET has an ETag. Configuration has a strong one, its version, with a digest where more is shown; what says how fresh
//! it is has a weak one over the rest of it; all else gets a weak one over its whole body here, so that no route is without.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::unsent::whole;
use crate::etag;

/// Where the API's own answers are.
const ANSWERS: &str = "/v1/";
/// What an answer may be kept for: a client may keep it, and asks each time whether it still holds. The numbers are live, and asking
/// costs a 304; any age would only be a time to be wrong in.
pub(crate) const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");
/// What describes the body that is not sent.
const OF_THE_BODY: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_LENGTH];

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let reads = *request.method() == Method::GET && request.uri().path().starts_with(ANSWERS);
    let known = request.headers().clone();
    let response = next.run(request).await;
    if !reads || response.status() != StatusCode::OK {
        return response;
    }
    let mut response = tagged(response).await;
    // Another key of the same browser may be another tenant's.
    response.headers_mut().append(header::VARY, HeaderValue::from_static("authorization"));
    let etag = response.headers().get(header::ETAG);
    if etag.is_some_and(|etag| is_known(&known, etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        for name in OF_THE_BODY {
            response.headers_mut().remove(name);
        }
    }
    response
}

async fn tagged(response: Response) -> Response {
    if response.headers().contains_key(header::ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = whole(body).await;
    parts.headers.insert(header::ETAG, etag::of_content(&body, None));
    Response::from_parts(parts, Body::from(body))
}

/// Whether `If-None-Match` names the tag, by the weak comparison.
pub(crate) fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let etag = etag.to_str().map(opaque).unwrap_or_default();
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let knows = |values: &[&'static str], etag: &'static str| {
            let values = values.iter().map(|value| (header::IF_NONE_MATCH, HeaderValue::from_static(value)));
            is_known(&values.collect(), &HeaderValue::from_static(etag))
        };
        for known in [&["*"][..], &["\"7\""], &["W/\"7\""], &["\"6\", W/\"7\""], &["\"6\"", "\"7\""]] {
            assert!(knows(known, "\"7\"") && knows(known, "W/\"7\""), "{known:?}");
        }
        for other in [&[][..], &["\"6\""], &["7"], &["\"77\""]] {
            assert!(!knows(other, "\"7\""), "{other:?}");
        }
    }
}
